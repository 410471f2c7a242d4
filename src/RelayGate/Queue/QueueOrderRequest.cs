using System.Collections.Immutable;
using System.Net;

namespace RelayGate.Queue;

/// <summary>What can be ordered for queued messages.</summary>
public enum QueueOrder
{
    /// <summary>Park: no attempt begins until release.</summary>
    Hold,

    /// <summary>Let held messages go on at once. One that the policy parked is counted now; that may exceed its limits.</summary>
    Release,

    /// <summary>Make what waits for its next attempt due now. Held ones stay held.</summary>
    Retry,

    /// <summary>As <see cref="Retry"/>, <see cref="QueueOrderRequest.FlushedInASecond"/> messages for each second, so that next hops are not stormed.</summary>
    Flush,

    /// <summary>Delete, without a DSN; the records say so. Named ones also when they failed and only their content is kept.</summary>
    Delete,

    /// <summary>Give up now: the sender hears of it as of a failed attempt. What is in an attempt is left alone.</summary>
    Bounce,

    /// <summary>Put back what failed, while its content is kept: its failed recipients are tried anew. It counts nowhere, and its age counts from now.</summary>
    Requeue,

    /// <summary>
    /// Leave from where mail of its sender leaves now, or from <see cref="QueueOrderRequest.To"/>, and be due now: the one way in which a message's
    /// address changes.
    /// </summary>
    Rebind,
}

/// <summary>One order by hand.</summary>
/// <param name="Selection">What it is for.</param>
public sealed record QueueOrderRequest(QueueOrder Order, QueueSelection Selection)
{
    /// <summary>Messages that a flush makes due for each second.</summary>
    public const int FlushedInASecond = 100;

    /// <summary>Characters of <see cref="Text"/> at most.</summary>
    public const int MaxText = 400;

    /// <summary>What a bounce says when nothing else is to be said.</summary>
    public const string DefaultText = "Returned to its sender by the administrator";

    /// <summary>Only count.</summary>
    public bool DryRun { get; init; }

    /// <summary>Whose user orders, and for whose messages alone it is: not for those that an administrator or the gateway itself has stopped. Null: an administrator.</summary>
    public string? OnlySubscription { get; init; }

    /// <summary>Who gives it: the mail log, the audit list and the record of each message name him.</summary>
    public string By { get; init; } = "the gateway";

    /// <summary>
    /// Of a rebind: addresses in place of those of the choice of now, one of each family at most; empty: none. One that is neither the
    /// subscription's own, nor shared, nor the server's is not taken.
    /// </summary>
    public ImmutableArray<IPAddress> To { get; init; } = [];

    /// <summary>Of a bounce: why, for its sender; one line.</summary>
    public string Text { get; init; } = DefaultText;
}

/// <summary>How far an order is.</summary>
/// <param name="Count">Messages changed, or found by a dry run.</param>
/// <param name="Looked">Messages looked at.</param>
public readonly record struct QueueOrderProgress(int Count, long Looked);

/// <summary>What an order did.</summary>
public enum QueueOrderOutcome
{
    /// <summary>It was carried out; perhaps there was nothing to do.</summary>
    Done,

    /// <summary>None of the messages that were named is in the queue (or none is the caller's).</summary>
    NotFound,
}

/// <summary>The count of an order, or of what it would do.</summary>
/// <param name="Count">Messages that were changed, or would be.</param>
/// <param name="Unchanged">Messages that are in the state already, or that the order is not for: held ones are not retried.</param>
/// <param name="UnchangedHeld">Of <paramref name="Unchanged"/>, those that a retry met held: they go on when they are released.</param>
/// <param name="InFlight">
/// Messages in an attempt now. Of <paramref name="Count"/>: the attempt may finish, and so may deliver. Of a bounce they are among <paramref name="Unchanged"/>.
/// </param>
/// <param name="NotFound">Refs that were named and are not there.</param>
/// <param name="Interrupted">It was stopped before its end: the rest is as it was.</param>
public sealed record QueueOrderResult(
    QueueOrderOutcome Outcome, int Count, int Unchanged, int UnchangedHeld, int InFlight, ImmutableArray<string> NotFound, bool DryRun, bool Interrupted = false)
{
    /// <summary>Of <see cref="Unchanged"/>, those of a rebind that may not leave from the address asked for.</summary>
    public int NotAllowed { get; init; }

    /// <summary>Of <see cref="Count"/>, messages of a retry or flush with recipients that wait for something: while that lasts, they are put off again. By cause, most first.</summary>
    public ImmutableArray<OrderWait> Waits { get; init; } = [];
}

/// <summary>What messages wait for.</summary>
/// <param name="For">As <see cref="WaitKey"/> writes it.</param>
public sealed record OrderWait(string For, int Messages);

/// <summary>How delivery ends a message that is given up without an attempt.</summary>
/// <param name="PlanAsync">What is recorded and who hears of it, with status (RFC 3463) and text.</param>
/// <param name="Tell">Called when that is durable.</param>
public sealed record MessageEnder(Func<QueuedMessage, string, string, ValueTask<MessageEnd>> PlanAsync, Action<MessageEnd, CompletionResult> Tell);

/// <summary>The end of a message for all its recipients that had not ended.</summary>
public sealed record MessageEnd(DeliveryJob Job, DeliveryAttempt Attempt, PreparedDsn? Dsn);
