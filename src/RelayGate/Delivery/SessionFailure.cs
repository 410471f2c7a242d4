using RelayGate.Core.Policy;

namespace RelayGate.Delivery;

/// <summary>Why a session did not come to be.</summary>
/// <param name="IsEgress">The local address is at fault, not the next hop: other hosts would fare no better, and nothing was sent.</param>
/// <param name="IsBindFailure">The egress address could not be bound, so that no connection was made.</param>
internal sealed record SessionFailure(DeliveryStage Stage, RecipientOutcome Outcome, bool IsEgress = false, bool IsBindFailure = false);
