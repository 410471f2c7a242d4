using System.Collections.Immutable;
using System.Net.Sockets;
using RelayGate.Accounts;
using RelayGate.Admin;
using RelayGate.Configuration;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Core.Tls;
using RelayGate.Delivery;
using RelayGate.Queue;

namespace RelayGate.Hosting;

/// <summary>Says which way mail would go now, by the same look-ups as an attempt; nothing is dialled.</summary>
internal sealed class RouteTester(NextHopResolver resolver, TlsPlanner tlsPlanner, AccountDirectory accounts, SuspendedDestinations suspended, RelayGateOptions options)
{
    public async Task<RoutePlan> RunAsync(string? subscription, MailboxAddress recipient, CancellationToken cancellationToken)
    {
        string whose = subscription ?? "";
        var path = new ForwardPath(recipient);
        Route route = resolver.RouteOf(whose, path);
        EgressChoice egress = await accounts.EgressOfAsync(whose, null, cancellationToken);
        NextHopPlan plan = await resolver.ResolveAsync(whose, path, cancellationToken);
        string? off = await accounts.IPv6OffByAsync(whose, cancellationToken);
        PutOff? byHand = suspended.WaitForDomain(recipient.Domain?.Value ?? recipient.DomainText);
        var stops = ImmutableArray.CreateBuilder<RouteStop>(plan.Addresses.Length);
        foreach (NextHopAddress address in plan.Addresses)
            stops.Add(Stop(address, await tlsPlanner.DecideAsync(plan, address, default, cancellationToken), egress, off, byHand ?? suspended.WaitForProvider(address.Provider)));
        string? fault = byHand?.Text ?? plan.Failure?.Text ?? (stops.All(static s => s.WhyNot is not null) ? "no address of the next hop can be dialled" : null);
        return new RoutePlan(RouteView.Of(route, accounts.Routes.Has(route.Key)), EgressText.ForPeople(egress), stops.ToImmutable(), fault);
    }

    private RouteStop Stop(NextHopAddress address, in TlsDecision tls, EgressChoice egress, string? ipv6OffBy, PutOff? byHand)
    {
        AddressFamily family = address.EndPoint.AddressFamily;
        EgressBinding? binding = EgressBinding.For(egress, family);
        if (options.Delivery.HasIPv6Off(address.Provider))
            ipv6OffBy = $"provider {address.Provider}";
        string? whyNot = byHand is not null ? byHand.Text
            : family == AddressFamily.InterNetworkV6 && ipv6OffBy is not null ? $"IPv6 is switched off for {ipv6OffBy}"
            : binding is null ? $"the egress has no {(family == AddressFamily.InterNetwork ? "IPv4" : "IPv6")} address"
            : binding.Address is { } needed && !LocalAddresses.CanBind(needed) ? $"{needed} is not on this host" : tls.Refusal?.Text;
        return new RouteStop(
            address.Host, address.Remote, address.Provider, binding?.Address?.ToString(), whyNot is null ? binding!.Helo : null, tls.Policy.Mode.Word(), address.IsImplicitTls, whyNot);
    }
}
