using RelayGate.Configuration;
using RelayGate.Core.Policy;

namespace RelayGate.Queue;

/// <summary>How recipients are grouped by destination, and how much of each destination may be in flight.</summary>
/// <param name="KeyOf">Names the lane of a subscription's recipient. Only the recipient's address is asked for.</param>
/// <param name="BoundOf">Jobs in flight at most for a lane.</param>
public sealed record DestinationLanes(Func<string, QueuedRecipient, string> KeyOf, Func<string, int> BoundOf)
{
    /// <summary>By recipient domain where the next hop is found by MX; one lane for all that goes by the same smarthosts.</summary>
    /// <param name="routes">The routes in force; must not block.</param>
    public static DestinationLanes Of(DeliveryOptions options, Func<RouteTable> routes)
    {
        // A domain is served from many egress addresses, each with PerMx connections of its own; a quarter of all is the most one may hold.
        int bound = Math.Max(options.Connections.PerMx, options.Connections.Total / 4);
        return new DestinationLanes(
            (subscription, recipient) =>
            {
                string domain = recipient.ForwardPath.Address.Domain?.Value ?? recipient.ForwardPath.Address.DomainText;
                Route route = routes().Find(subscription, domain);
                return route.IsMx ? domain : route.Lane;
            },
            key => key.Contains("://", StringComparison.Ordinal) ? options.Connections.PerSmarthost : bound);
    }
}
