using System.Collections.Immutable;
using System.Net;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using RelayGate.Core.Policy;
using RelayGate.Core.Tls;

namespace RelayGate.Delivery;

/// <summary>The smarthosts of a route.</summary>
public sealed partial class NextHopResolver
{
    private readonly ConditionalWeakTable<Route, NextHopPlan> _fixedPlans = [];

    private ValueTask<NextHopPlan> ResolveSmarthostsAsync(Route route, CancellationToken cancellationToken)
    {
        if (_fixedPlans.TryGetValue(route, out NextHopPlan? plan))
            return new(plan);
        if (!route.Smarthosts.All(static equals => equals is [var one] && IPAddress.TryParse(one.Host, out _)))
            return new(ResolveNamesAsync(route, cancellationToken));
        // Addresses in a fixed order: nothing to look up, ever.
        plan = Plan(route, [.. route.Smarthosts.Select(static equals => equals[0]).Select(smarthost => AddressOf(route, smarthost, IPAddress.Parse(smarthost.Host)))]);
        return new(_fixedPlans.GetValue(route, _ => plan));
    }

    private async Task<NextHopPlan> ResolveNamesAsync(Route route, CancellationToken cancellationToken)
    {
        ImmutableArray<SmarthostAddress> smarthosts = [.. route.Smarthosts.SelectMany(InTurn)];
        HostAddresses[] found = await Task.WhenAll(smarthosts.Select(async smarthost => IPAddress.TryParse(smarthost.Host, out IPAddress? literal)
            ? new HostAddresses([literal], null)
            : await AddressesOfAsync(smarthost.Host, cancellationToken)));
        var addresses = ImmutableArray.CreateBuilder<NextHopAddress>();
        for (int i = 0; i < smarthosts.Length; i++)
            addresses.AddRange(found[i].Addresses.Select(address => AddressOf(route, smarthosts[i], address) with { IsSecure = found[i].IsSecure, AliasedTo = found[i].AliasedTo }));
        if (addresses.Count > 0)
            return Plan(route, addresses.ToImmutable());
        // A smarthost that is not there is our own misconfiguration: mail waits for its repair and never bounces.
        string? fault = found.Select(static f => f.Fault).FirstOrDefault(static f => f is not null);
        string who = smarthosts.Length == 1 ? $"The smarthost {smarthosts[0].Host} has" : $"None of the smarthosts ({string.Join(", ", smarthosts.Select(static s => s.Host))}) has";
        return NextHopPlan.Defer("4.4.3", $"{who} {(smarthosts.Length == 1 ? "no" : "an")} address{(fault is null ? "" : $": {fault}")}");
    }

    /// <summary>Equals take turns by chance.</summary>
    private static IEnumerable<SmarthostAddress> InTurn(ImmutableArray<SmarthostAddress> equals)
    {
        SmarthostAddress[] mixed = [.. equals];
        if (mixed.Length > 1)
            Random.Shared.Shuffle(mixed);
        return mixed;
    }

    private static NextHopPlan Plan(Route route, ImmutableArray<NextHopAddress> addresses) =>
        NextHopPlan.To(addresses) with { Site = route.Lane };

    private NextHopAddress AddressOf(Route route, SmarthostAddress smarthost, IPAddress address)
    {
        string host = !IPAddress.TryParse(smarthost.Host, out IPAddress? literal) ? smarthost.Host
            : literal.AddressFamily == AddressFamily.InterNetwork ? $"[{literal}]" : $"[IPv6:{literal}]";
        bool isVerified = route.Login is not null && !IPAddress.IsLoopback(address) && _options.Tls.Policy < TlsMode.Verify;
        TlsMode mode = route.Tls ?? (isVerified ? TlsMode.Verify : _options.Tls.Policy);
        return new NextHopAddress(host, new IPEndPoint(address, smarthost.Port), IsSmarthost: true)
        {
            Tls = new TlsPolicy(mode) { Minimum = _options.Tls.MinimumVersion, Names = mode == TlsMode.Verify ? [smarthost.Host] : [] },
            Provider = smarthost.Host,
            Login = route.Login,
            IsImplicitTls = smarthost.IsImplicitTls,
        };
    }
}
