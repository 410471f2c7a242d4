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
    /// <summary>Nobody knows when what it waits for ends: <see cref="Until"/> is when it is looked at again.</summary>
    public bool IsOpenEnded { get; init; }

    /// <summary>What the refusal was about that the address keeps off for; none: it was by hand, or the address is missing.</summary>
    public ReplyClass Class { get; init; }
}

/// <summary>How the record of a message tells that it was put off: once for each cause, and with each notice of its delay.</summary>
/// <param name="Notice">The report that tells of the delay; null: none is due.</param>
internal sealed record PutOffEntry(DeliveryAttempt Entry, PreparedDsn? Notice);
