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
internal sealed class RouteTester(NextHopResolver resolver, TlsPlanner tlsPlanner, AccountDirectory accounts, RelayGateOptions options)
{
    public async Task<RoutePlan> RunAsync(string? subscription, MailboxAddress recipient, CancellationToken cancellationToken)
    {
        string whose = subscription ?? "";
        var path = new ForwardPath(recipient);
        Route route = resolver.RouteOf(whose, path);
        EgressChoice egress = await accounts.EgressOfAsync(whose, null, cancellationToken);
        NextHopPlan plan = await resolver.ResolveAsync(whose, path, cancellationToken);
        string? off = options.Delivery.Providers.TryGetValue(plan.Provider, out ProviderOptions? own) && own.IPv6 == false
            ? $"provider {plan.Provider}"
            : await accounts.IPv6OffByAsync(whose, cancellationToken);
        var stops = ImmutableArray.CreateBuilder<RouteStop>(plan.Addresses.Length);
        foreach (NextHopAddress address in plan.Addresses)
            stops.Add(Stop(address, await tlsPlanner.DecideAsync(plan, address, default, cancellationToken), egress, off));
        string? fault = plan.Failure?.Text ?? (stops.All(static s => s.WhyNot is not null) ? "no address of the next hop can be dialled" : null);
        return new RoutePlan(RouteView.Of(route, accounts.Routes.Has(route.Key)), plan.Provider, EgressText.ForPeople(egress), stops.ToImmutable(), fault);
    }

    private static RouteStop Stop(NextHopAddress address, in TlsDecision tls, EgressChoice egress, string? ipv6OffBy)
    {
        AddressFamily family = address.EndPoint.AddressFamily;
        EgressBinding? binding = EgressBinding.For(egress, family);
        string? whyNot = family == AddressFamily.InterNetworkV6 && ipv6OffBy is not null ? $"IPv6 is switched off for {ipv6OffBy}"
            : binding is null ? $"the egress has no {(family == AddressFamily.InterNetwork ? "IPv4" : "IPv6")} address"
            : binding.Address is { } needed && !LocalAddresses.CanBind(needed) ? $"{needed} is not on this host" : tls.Refusal?.Text;
        return new RouteStop(
            address.Host, address.Remote, binding?.Address?.ToString(), whyNot is null ? binding!.Helo : null, tls.Policy.Mode.Word(), address.IsImplicitTls, whyNot);
    }
}
