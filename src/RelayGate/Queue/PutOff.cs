using RelayGate.Core.Dsn;
using RelayGate.Core.Replies;

namespace RelayGate.Queue;

/// <summary>Why and until when a job is put off: nothing was tried, and it does not count as an attempt.</summary>
/// <param name="WaitsFor">What ends the wait before its time (<see cref="WaitingMail.WakeWaitersAsync"/>).</param>
/// <param name="Until">When it is looked at again in any case.</param>
/// <param name="Status">Enhanced status code, for the delay notice and the DSN when the message has become too old.</param>
/// <param name="Text">The reason, for people.</param>
/// <param name="Cause">What that is, for the sender.</param>
public sealed record PutOff(WaitKey WaitsFor, DateTimeOffset Until, string Status, string Text, WaitCause Cause)
{
    /// <summary>What the refusal was about that the address keeps off for; none: it was by hand, or the address is missing.</summary>
    public ReplyClass Class { get; init; }
}

/// <summary>The report that tells of the delay of what is put off.</summary>
/// <param name="Entry">How the record tells of it.</param>
internal sealed record DelayNotice(PreparedDsn Dsn, DeliveryAttempt Entry);
