using RelayGate.Core.Policy;

namespace RelayGate.Queue;

/// <summary>Why a message is held, and how long that may last.</summary>
/// <param name="For">What it waits for, in words.</param>
/// <param name="At">The object whose limit it waits for, for instance <c>mailbox info@shop.test</c>; null when no limit holds it.</param>
/// <param name="Ahead">Messages that go before it at that object, as the senders take turns.</param>
/// <param name="ReleaseAbout">About when it is released, if nothing changes; null where time alone does not help.</param>
/// <param name="ExpiresAt">When its sender gets it back; null: it waits for a human.</param>
public sealed record QueueHold(
    HoldReason Reason, string For, DateTimeOffset? Since, string? At = null, long? Ahead = null, DateTimeOffset? ReleaseAbout = null, DateTimeOffset? ExpiresAt = null)
{
    /// <param name="at">As it is stored.</param>
    /// <param name="note">Why it was not released when its turn came.</param>
    internal static string Words(HoldReason reason, string? at, string? note) => reason switch
    {
        HoldReason.Limit => at is null ? "it waits for room" : $"{HoldKey.Parse(at)} is over its limit",
        HoldReason.Script => at is null ? "its script is blocked" : $"{at} is blocked",
        HoldReason.Suspended => at is null ? "its sender is suspended" : $"{at} is suspended",
        HoldReason.Refused => $"it would be refused now ({note})",
        HoldReason.Administrator => "held by hand",
        _ => "the outcome of an attempt could not be recorded",
    };
}
