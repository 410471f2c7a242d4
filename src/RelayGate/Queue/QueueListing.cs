using System.Collections.Immutable;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;

namespace RelayGate.Queue;

/// <summary>Where a message of the queue stands.</summary>
public enum QueueState
{
    /// <summary>Not attempted yet, or in its first attempt.</summary>
    Active,

    /// <summary>Attempted, and to be tried again; or put off.</summary>
    Deferred,

    /// <summary>Parked until it is released.</summary>
    Held,

    /// <summary>It has left the queue: it failed, and its content is kept for a while (Retention:FailedContent). Listed only when this state is asked for.</summary>
    Failed,
}

/// <summary>What to look for in the queue. Null: whatever it is.</summary>
public sealed record QueueQuery
{
    /// <summary>
    /// Its messages come in the order of their next attempt, then the held ones; without it, in the order they entered the queue. Failed ones always in
    /// the order in which their content goes.
    /// </summary>
    public string? Subscription { get; init; }

    public QueueFilter Filter { get; init; } = new();

    public QueueId? Id { get; init; }

    /// <summary>Items of a page: 1 to <see cref="QueueAdministration.MaxPage"/>; others are brought into the range. Default 50.</summary>
    public int Limit { get; init; } = 50;

    /// <summary>Where the page before ended.</summary>
    public string? Cursor { get; init; }
}

/// <summary>One page of the queue.</summary>
/// <param name="NextCursor">
/// Null at the end. A page may be short, even empty, and still have one: filters without an index look at a bounded number of messages a page.
/// </param>
public sealed record QueuePage(ImmutableArray<QueueItem> Items, string? NextCursor);

/// <summary>One queued message as it is listed.</summary>
/// <param name="At">Time of MAIL.</param>
/// <param name="Sender">The reverse-path it leaves with; "" for the null reverse-path.</param>
/// <param name="Recipients">The first few that have not ended.</param>
/// <param name="RecipientCount">Recipients that have not ended.</param>
/// <param name="Attempts">Most attempts of a recipient that has not ended.</param>
/// <param name="NextAttempt">The earliest; null while held, and where nobody knows, because what it waits for has no end yet (<see cref="QueueItem.WaitsFor"/>).</param>
/// <param name="LastReply">Of the first recipient with one.</param>
public sealed record QueueItem(
    string Ref,
    DateTimeOffset At,
    QueueState State,
    HoldReason? Held,
    string Subscription,
    string Sender,
    ImmutableArray<string> Recipients,
    int RecipientCount,
    long Octets,
    int Attempts,
    DateTimeOffset? NextAttempt,
    string? LastReply)
{
    /// <summary>What its first recipient that was put off waits for (<see cref="WaitKey"/>); null: none was.</summary>
    public string? WaitsFor { get; init; }

    /// <summary>The addresses it leaves from; none where the system chooses.</summary>
    public ImmutableArray<string> Egress { get; init; } = [];

    /// <summary>When it was put back by hand after it had failed, from where on its age counts; null: it never was.</summary>
    public DateTimeOffset? RequeuedAt { get; init; }

    /// <summary>Of a failed one: until when its content is kept.</summary>
    public DateTimeOffset? KeptUntil { get; init; }

    /// <summary>Why it is held and how long; null unless it is.</summary>
    public QueueHold? Hold { get; init; }
}

/// <summary>One queued message with its envelope and content.</summary>
/// <param name="Egress">From where it leaves, for people.</param>
/// <param name="Header">The header section as it leaves; octets that are not UTF-8 are replaced.</param>
/// <param name="Body">As <paramref name="Header"/>, cut at the size asked for.</param>
/// <param name="BodyOctets">Size of the whole body.</param>
public sealed record QueueEntry(
    string Ref,
    DateTimeOffset At,
    QueueState State,
    HoldReason? Held,
    string Subscription,
    string Sender,
    string? EnvelopeId,
    DsnReturn Return,
    bool IsDsn,
    string Egress,
    long Octets,
    DateTimeOffset? KeptUntil,
    ImmutableArray<QueueEntryRecipient> Recipients,
    string Header,
    string Body,
    long BodyOctets,
    bool BodyIsCut)
{
    /// <summary>When it was put back by hand after it had failed; null: it never was.</summary>
    public DateTimeOffset? RequeuedAt { get; init; }

    /// <summary>Why it is held and how long; null unless it is.</summary>
    public QueueHold? Hold { get; init; }
}

/// <summary>One recipient of a queued message.</summary>
/// <param name="WaitsFor">What it was put off for (<see cref="WaitKey"/>), or null.</param>
public sealed record QueueEntryRecipient(
    int Position, string Recipient, DsnNotify Notify, string? OriginalRecipient, RecipientState State, int Attempts, DateTimeOffset? NextAttempt, string? LastReply,
    string? WaitsFor);

/// <summary>Which messages an order is for: those named, or all that a filter finds.</summary>
/// <param name="Ids">Not empty: these, and the filters are not looked at.</param>
/// <param name="Filter">The order holds for all recipients of what it finds.</param>
public sealed record QueueSelection(ImmutableArray<QueueId> Ids, string? Subscription, QueueFilter Filter)
{
    public static QueueSelection Of(params ImmutableArray<QueueId> ids) => new(ids, null, new QueueFilter());

    public static QueueSelection OfSubscription(string subscription, string? recipientDomain = null) => new([], subscription, new QueueFilter { RecipientDomain = recipientDomain });

    /// <summary>The whole queue, or all that goes to one domain.</summary>
    public static QueueSelection All(string? recipientDomain = null) => new([], null, new QueueFilter { RecipientDomain = recipientDomain });

    /// <summary>All that a filter finds.</summary>
    public static QueueSelection Where(QueueFilter filter) => new([], null, filter);

    /// <summary>For the audit list: what the order is for.</summary>
    internal string Target => this switch
    {
        { Ids: { IsDefaultOrEmpty: false, Length: 1 } } => $"message {Ids[0]}",
        { Filter.CountedAt: { } sender } => sender.Contains('@') ? $"mailbox {sender}" : $"domain {sender}",
        { Subscription: { } subscription } => $"subscription {subscription}",
        _ => "queue",
    };
}
