using System.Collections.Immutable;
using System.Net;
using System.Net.Sockets;
using RelayGate.Configuration;
using RelayGate.Core.Dns;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Core.Replies;
using RelayGate.Core.Tls;
using RelayGate.Dns;
using RelayGate.Replies;

namespace RelayGate.Delivery;

/// <summary>Finds the next hop of a recipient: the smarthosts of its route, or the MX hosts of its domain (RFC 5321 §5.1).</summary>
/// <remarks>The route is looked up at each attempt, in the table in force.</remarks>
public sealed partial class NextHopResolver
{
    private readonly DnsResolver _dns;
    private readonly ReplyRuleBook _rules;
    private readonly DeliveryOptions _options;
    private readonly ForbiddenAddresses _forbidden;
    private readonly Func<RouteTable> _routes;

    /// <param name="routes">The routes in force, asked for each attempt; must not block. Null: <c>Delivery:NextHop</c> alone.</param>
    /// <exception cref="FormatException">The configured next hop is none.</exception>
    public NextHopResolver(RelayGateOptions options, DnsResolver dns, ReplyRuleBook rules, Func<RouteTable>? routes = null)
    {
        _dns = dns;
        _rules = rules;
        _options = options.Delivery;
        _forbidden = new ForbiddenAddresses(options);
        if (routes is null)
        {
            var configured = new RouteTable(options.Delivery.ConfiguredNextHop, []);
            routes = () => configured;
        }
        _routes = routes;
    }

    /// <summary>The route in force for one recipient.</summary>
    public Route RouteOf(string subscription, ForwardPath recipient) =>
        _routes().Find(subscription, recipient.Address.Domain?.Value ?? recipient.Address.DomainText);

    /// <summary>What recipients have in common that go by the same way: the route's smarthosts, or the domain.</summary>
    public string WayOf(string subscription, ForwardPath recipient)
    {
        Route route = RouteOf(subscription, recipient);
        return route.IsMx ? recipient.Address.Domain?.Value ?? recipient.Address.DomainText : route.Lane;
    }

    /// <summary>Gives the addresses to try, in order, of both families; which of them may be used is the egress' business.</summary>
    /// <param name="subscription">Whose mail it is.</param>
    public ValueTask<NextHopPlan> ResolveAsync(string subscription, ForwardPath recipient, CancellationToken cancellationToken)
    {
        Route route = RouteOf(subscription, recipient);
        return route.IsMx ? new(ResolveMxAsync(recipient.Address, route.Tls, cancellationToken)) : ResolveSmarthostsAsync(route, cancellationToken);
    }

    private async Task<NextHopPlan> ResolveMxAsync(MailboxAddress recipient, TlsMode? tls, CancellationToken cancellationToken)
    {
        if (recipient.Domain is not { } domain)
            return ResolveLiteral(recipient.DomainText) with { Tls = tls };
        DnsAnswer answer = await _dns.ResolveAsync(new DnsQuestion(domain.Value, DnsType.Mx), cancellationToken);
        switch (answer.Outcome)
        {
            case DnsOutcome.NoName:
                return NextHopPlan.Fail("5.1.2", $"The domain {domain} does not exist");
            case DnsOutcome.Failed:
                return NextHopPlan.Defer("4.4.3", answer.Fault!);
        }
        MxHosts hosts = MxSelection.Order(answer.Name, [.. answer.Records.OfType<MxRecord>()], (ulong)Random.Shared.NextInt64());
        return hosts.Outcome == MxOutcome.NullMx
            ? NextHopPlan.Fail("5.1.10", $"The domain {domain} takes no mail (null MX)")
            : await ResolveHostsAsync(domain, hosts, cancellationToken) with { Domain = domain.Value, IsSecure = answer.IsAuthentic, Tls = tls };
    }

    private async Task<NextHopPlan> ResolveHostsAsync(Domain domain, MxHosts mx, CancellationToken cancellationToken)
    {
        ImmutableArray<string> hosts = mx.Names;
        int equals = 0;
        HostAddresses[] found = await Task.WhenAll(hosts.Select(h => AddressesOfAsync(h, cancellationToken)));
        var addresses = ImmutableArray.CreateBuilder<NextHopAddress>();
        var seen = new HashSet<IPAddress>();
        string? why = null;
        ReplyRules rules = _rules.Current;
        for (int i = 0; i < hosts.Length; i++)
        {
            string provider = rules.ProviderOf(hosts[i]);
            if (i == mx.FirstEquals)
                equals = addresses.Count;
            foreach (IPAddress address in found[i].Addresses)
            {
                var endPoint = new IPEndPoint(address, _options.MxPort);
                if (_forbidden.WhyNot(endPoint) is { } reason)
                    why ??= $"{hosts[i]} has the address {address}, which is {reason}";
                else if (seen.Add(address))
                    addresses.Add(new NextHopAddress(hosts[i], endPoint, IsSmarthost: false) { Provider = provider, IsSecure = found[i].IsSecure, AliasedTo = found[i].AliasedTo });
            }
        }
        if (addresses.Count > 0)
            return NextHopPlan.To(addresses.ToImmutable()) with { Site = mx.Site, EqualAddresses = mx.FirstEquals == hosts.Length ? addresses.Count : equals };
        if (Array.Find(found, f => f.Fault is not null) is { Fault: { } fault })
            return NextHopPlan.Defer("4.4.3", $"{fault}, of the hosts that take mail for {domain}");
        return why is not null
            ? NextHopPlan.Fail("5.4.4", $"Mail for {domain} cannot be routed: {why}")
            : NextHopPlan.Fail("5.4.4", $"No host that takes mail for {domain} has an address ({hosts[0]})");
    }

    private NextHopPlan ResolveLiteral(string literal)
    {
        if (!AddressLiteral.TryParse(literal, out IPAddress? address))
            return NextHopPlan.Fail("5.1.2", $"{literal} is no domain and no address");
        var endPoint = new IPEndPoint(address!, _options.MxPort);
        return _forbidden.WhyNot(endPoint) is { } reason
            ? NextHopPlan.Fail("5.4.4", $"Mail for {literal} cannot be routed: the address is {reason}")
            : NextHopPlan.To([new NextHopAddress(literal, endPoint, IsSmarthost: false) { Provider = literal }]);
    }

    /// <summary>IPv4 first: where both may be used, receivers judge IPv6 senders more strictly, and mail matters more than modernity.</summary>
    private async Task<HostAddresses> AddressesOfAsync(string host, CancellationToken cancellationToken)
    {
        Task<DnsAnswer> ipv4 = _dns.ResolveAsync(new DnsQuestion(host, DnsType.A), cancellationToken).AsTask();
        DnsAnswer ipv6 = await _dns.ResolveAsync(new DnsQuestion(host, DnsType.Aaaa), cancellationToken);
        DnsAnswer first = await ipv4;
        // What one family's lookup failing hides is the addresses, not whether the zone is signed: that the other answer says. Else whoever can make
        // one lookup fail could make mail go without DANE (RFC 7672 §2.1).
        DnsAnswer[] answers = [.. new[] { first, ipv6 }.Where(static a => a.Outcome != DnsOutcome.Failed)];
        string? end = answers.FirstOrDefault()?.Name;
        return new HostAddresses([.. answers.SelectMany(static a => a.Records).OfType<AddressRecord>().Select(static r => r.Address)], first.Fault ?? ipv6.Fault)
        {
            IsSecure = answers.Length > 0 && Array.TrueForAll(answers, static a => a.IsAuthentic),
            AliasedTo = end != host ? end : null,
        };
    }

    /// <param name="Fault">A lookup failed, so that no address does not mean none exists; null: both were answered.</param>
    private sealed record HostAddresses(ImmutableArray<IPAddress> Addresses, string? Fault)
    {
        public bool IsSecure { get; init; }

        public string? AliasedTo { get; init; }
    }
}
