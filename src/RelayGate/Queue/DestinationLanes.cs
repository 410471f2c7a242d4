using RelayGate.Configuration;

namespace RelayGate.Queue;

/// <summary>How recipients are grouped by destination, and how much of each destination may be in flight.</summary>
/// <param name="KeyOf">Names the lane of a recipient. Only the recipient's address is asked for.</param>
/// <param name="BoundOf">Jobs in flight at most for a lane.</param>
public sealed record DestinationLanes(Func<QueuedRecipient, string> KeyOf, Func<string, int> BoundOf)
{
    /// <summary>By recipient domain when next hops are found by MX; one lane for all with a smarthost.</summary>
    public static DestinationLanes Of(DeliveryOptions options)
    {
        if (options.NextHop != "mx")
            return new DestinationLanes(_ => options.NextHop, _ => options.Connections.PerSmarthost);
        // A domain is served from many egress addresses, each with PerMx connections of its own; a quarter of all is the most one may hold.
        int bound = Math.Max(options.Connections.PerMx, options.Connections.Total / 4);
        return new DestinationLanes(
            recipient => recipient.ForwardPath.Address.Domain?.Value ?? recipient.ForwardPath.Address.DomainText, _ => bound);
    }
}
