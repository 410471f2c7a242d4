using System.Collections.Frozen;
using System.Collections.Immutable;

namespace RelayGate.Core.Policy;

/// <summary>All routes. The most special wins: subscription and recipient domain, recipient domain, subscription, server.</summary>
/// <remarks>
/// A recipient domain before a subscription: it is an exception to where mail of all goes (a partner behind a relay of its own), while a
/// subscription's is where its mail goes in general. Immutable; replaced whole when a route changes.
/// </remarks>
public sealed class RouteTable
{
    private readonly FrozenDictionary<RouteKey, Route> _routes;
    private readonly bool _hasBoth;
    private readonly bool _hasDomains;
    private readonly bool _hasSubscriptions;

    /// <param name="configured">Where mail goes that no route is for (<c>Delivery:NextHop</c>).</param>
    /// <param name="routes">Each key once.</param>
    public RouteTable(ImmutableArray<ImmutableArray<SmarthostAddress>> configured, IEnumerable<Route> routes)
    {
        _routes = routes.ToFrozenDictionary(static route => route.Key);
        Server = _routes.GetValueOrDefault(RouteKey.Server) ?? new Route(RouteKey.Server, configured);
        foreach (RouteKey key in _routes.Keys)
        {
            _hasBoth |= key is { Subscription.Length: > 0, Domain.Length: > 0 };
            _hasDomains |= key is { Subscription.Length: 0, Domain.Length: > 0 };
            _hasSubscriptions |= key is { Subscription.Length: > 0, Domain.Length: 0 };
        }
    }

    /// <summary>Where mail goes that no other route is for.</summary>
    public Route Server { get; }

    /// <summary>Whether there is a route for just this; of the server's: whether it is not the configured one.</summary>
    public bool Has(RouteKey key) => _routes.ContainsKey(key);

    /// <summary>Whether some route leads to a smarthost of this name. Looks at all of them.</summary>
    public bool HasSmarthost(string host) =>
        _routes.Values.Append(Server).Any(route => route.Smarthosts.Any(equals => equals.Any(smarthost => smarthost.Host.Equals(host, StringComparison.OrdinalIgnoreCase))));

    /// <summary>The route of one recipient. At most three look-ups, and none where there are no such routes.</summary>
    /// <param name="domain">Recipient domain as A-labels, or an address literal.</param>
    public Route Find(string subscription, string domain)
    {
        if (_hasBoth && _routes.TryGetValue(new RouteKey(subscription, domain), out Route? both))
            return both;
        if (_hasDomains && _routes.TryGetValue(new RouteKey("", domain), out Route? to))
            return to;
        return _hasSubscriptions && _routes.TryGetValue(new RouteKey(subscription, ""), out Route? of) ? of : Server;
    }
}
