using RelayGate.Core.Policy;

namespace RelayGate.Delivery;

/// <summary>Why a session did not come to be.</summary>
/// <param name="Egress">Not none: the local address is at fault, not the next hop, and nothing was sent.</param>
internal sealed record SessionFailure(DeliveryStage Stage, RecipientOutcome Outcome, EgressFault Egress = EgressFault.None)
{
    /// <summary>The next hop would not have us log in as configured: somebody has to mend that.</summary>
    public bool IsLoginAtFault { get; init; }
}

/// <summary>What is wrong with the local address.</summary>
internal enum EgressFault
{
    None,

    /// <summary>It could not be bound, so that no connection was made.</summary>
    NotHere,

    /// <summary>The connection left from another one.</summary>
    Elsewhere,

    /// <summary>It is exclusive to another subscription now.</summary>
    Denied,
}
