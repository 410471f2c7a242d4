using RelayGate.Configuration;
using RelayGate.Core.Policy;

namespace RelayGate.Queue;

/// <summary>How recipients are grouped by destination, and how much of each destination may be in flight.</summary>
/// <param name="KeyOf">Names the lane of a subscription's recipient. Only the recipient's address is asked for. The answer may change.</param>
/// <param name="BoundOf">Jobs in flight at most for a lane.</param>
public sealed record DestinationLanes(Func<string, QueuedRecipient, string> KeyOf, Func<string, int> BoundOf)
{
    /// <summary>Jobs in flight of a lane of which nothing is known yet, and of one that does not serve; it grows with each job that is served in time.</summary>
    public const int FirstBound = 5;

    private const int MaxSites = 20_000;
    private static readonly TimeSpan SiteAge = TimeSpan.FromHours(1);

    /// <summary>Whether a lane's bound is earned; false: it has its bound from the start, and counts as one that serves.</summary>
    public Func<string, bool> IsEarned { get; init; } = static _ => false;

    /// <summary>Jobs in flight at most in all lanes that do not serve; those of which nothing is known may have twice as many.</summary>
    public int MaxUnserved { get; init; } = int.MaxValue / 2;

    /// <summary>Hears by which hosts a domain is served (<c>NextHopPlan.Site</c>): domains of one site share a lane.</summary>
    public Action<string, string> Learn { get; init; } = static (_, _) => { };

    /// <summary>By site, else by recipient domain, where the next hop is found by MX; one lane for all that goes by the same smarthosts.</summary>
    /// <param name="routes">The routes in force; must not block.</param>
    public static DestinationLanes Of(DeliveryOptions options, Func<RouteTable> routes, TimeProvider time)
    {
        // A domain is served from many egress addresses, each with PerMx connections of its own; a quarter of all is the most one may hold.
        int bound = Math.Max(options.Connections.PerMx, options.Connections.Total / 4);
        var sites = new Recent<string>(MaxSites, SiteAge, time);
        return new DestinationLanes(
            (subscription, recipient) =>
            {
                string domain = recipient.ForwardPath.Address.Domain?.Value ?? recipient.ForwardPath.Address.DomainText;
                Route route = routes().Find(subscription, domain);
                return !route.IsMx ? route.Lane : sites.TryGet(domain, out string? site) ? site! : domain;
            },
            key => IsSmarthost(key) ? options.Connections.PerSmarthost : bound)
        {
            IsEarned = key => !IsSmarthost(key),
            MaxUnserved = Math.Max(1, options.Connections.Total / 4),
            Learn = sites.Set,
        };
    }

    private static bool IsSmarthost(string key) => key.Contains("://", StringComparison.Ordinal);
}
