using System.Collections.Immutable;
using RelayGate.Core.Policy;

namespace RelayGate.Queue;

/// <summary>What to look for in the decision log. Null: whatever it is.</summary>
public sealed record MessageQuery
{
    public string? Subscription { get; init; }

    /// <summary>The reverse-path as given, or <c>@domain</c> for all of a domain; "" for the null reverse-path.</summary>
    public string? Sender { get; init; }

    /// <summary>One of the recipients, as given. Only the first hundred of a record are searched.</summary>
    public string? Recipient { get; init; }

    /// <summary>Domain of one of the recipients, as for <see cref="Recipient"/>.</summary>
    public string? RecipientDomain { get; init; }

    public Verdict? Verdict { get; init; }

    public RecordOutcome? Outcome { get; init; }

    /// <summary>A slug of <see cref="Reasons"/>.</summary>
    public string? Reason { get; init; }

    /// <summary>As it is listed (<c>login info@shop.test</c>), or its name alone (<c>info@shop.test</c>).</summary>
    public string? Identity { get; init; }

    /// <summary>Not before this time of MAIL.</summary>
    public DateTimeOffset? Since { get; init; }

    /// <summary>Not after this time of MAIL.</summary>
    public DateTimeOffset? Until { get; init; }

    /// <summary>Items of a page: 1 to <see cref="MessageLog.MaxPage"/>; others are brought into the range. Default 50.</summary>
    public int Limit { get; init; } = 50;

    /// <summary>Where the page before ended.</summary>
    public string? Cursor { get; init; }
}

/// <summary>One page of the decision log.</summary>
/// <param name="NextCursor">
/// Null at the end. A page may be short, even empty, and still have one: filters without an index look at a bounded number of records a page.
/// </param>
public sealed record MessagePage(ImmutableArray<MessageItem> Items, string? NextCursor);

/// <summary>What was recorded or changed since a cursor, in the order of the commits.</summary>
/// <param name="Cursor">To go on with.</param>
/// <param name="IsGap">Something came between that is no longer known here: the gateway was restarted, or the reader fell behind.</param>
public sealed record MessageNews(ImmutableArray<MessageItem> Items, string Cursor, bool IsGap);

/// <summary>One record as it is listed.</summary>
/// <param name="At">Time of MAIL.</param>
/// <param name="LastAt">When the record was last changed; for merged refusals the time of the last one.</param>
/// <param name="Sender">The reverse-path as the client gave it; "" for the null reverse-path.</param>
/// <param name="Recipients">The first few.</param>
/// <param name="Octets">Size as received; 0 when it was refused before the data.</param>
/// <param name="Repeats">How many refusals this record stands for; 1 for a record of its own.</param>
/// <param name="Reply">Our reply, without its ref.</param>
public sealed record MessageItem(
    string Ref,
    RecordKind Kind,
    DateTimeOffset At,
    DateTimeOffset LastAt,
    string Identity,
    string? Subscription,
    string Sender,
    ImmutableArray<string> Recipients,
    int RecipientCount,
    Verdict Verdict,
    RecordOutcome Outcome,
    string Reason,
    string Reply,
    long Octets,
    long Repeats);
