using System.Collections.Immutable;
using RelayGate.Core.Replies;

namespace RelayGate.Queue;

/// <summary>Which refusals of next hops to look for. Null: whatever it is.</summary>
public sealed record RefusalQuery
{
    /// <summary>What they are about.</summary>
    public ReplyClass? Class { get; init; }

    /// <summary>The reply has one of these words or phrases, in upper or lower case. Empty: whatever it says.</summary>
    public ImmutableArray<string> Words { get; init; } = [];

    public string? Subscription { get; init; }

    /// <summary>Who runs the next hop, or who is behind it by the reply's own word.</summary>
    public string? Provider { get; init; }

    /// <summary>The local address that was refused.</summary>
    public string? Ip { get; init; }

    /// <summary>Domain of the recipient.</summary>
    public string? RecipientDomain { get; init; }

    /// <summary>The list that the reply names.</summary>
    public string? List { get; init; }

    /// <summary>Attempts that began not before this time.</summary>
    public DateTimeOffset? Since { get; init; }

    /// <summary>Of messages not older than this: what is older belonged to another subscription of the name.</summary>
    public DateTimeOffset MessagesSince { get; init; }

    /// <summary>Attempts that began not after this time.</summary>
    public DateTimeOffset? Until { get; init; }

    /// <summary>Items of a page: 1 to <see cref="MessageLog.MaxPage"/>; others are brought into the range. Default 50.</summary>
    public int Limit { get; init; } = 50;

    /// <summary>Where the page before ended.</summary>
    public string? Cursor { get; init; }
}

/// <summary>What refusals are put together by.</summary>
public enum RefusalKey
{
    /// <summary>Our local address.</summary>
    Ip,
    Provider,
    Class,
    List,
    Subscription,

    /// <summary>Domain of the recipient.</summary>
    Domain,

    /// <summary>The provider's own code.</summary>
    Code,
}

/// <summary>The refusal of one attempt: its first recipient that was refused so.</summary>
/// <param name="At">When the attempt began.</param>
/// <param name="Ip">Local address, or "".</param>
/// <param name="Recipients">How many were refused so.</param>
/// <param name="Result">deferred or failed.</param>
public sealed record RefusalItem(
    string Ref, DateTimeOffset At, string Class, string Provider, string Ip, string NextHop, string Stage, string Subscription, string Recipient, int Recipients,
    string Result, string Reply, string? Status, string? Code, string? List, string? Url, string? Rule);

/// <summary>One page of refusals, newest first.</summary>
/// <param name="NextCursor">Null at the end. A page may be short, even empty, and still have one: it looks at a bounded number of rows.</param>
public sealed record RefusalPage(ImmutableArray<RefusalItem> Items, string? NextCursor);

/// <summary>Refusals that have the same keys.</summary>
/// <param name="Values">In the order of the keys that were asked for; "" where there is none.</param>
/// <param name="Attempts">Attempts with such a refusal.</param>
/// <param name="Recipients">Recipients refused.</param>
/// <param name="Last">The newest, as a sample.</param>
public sealed record RefusalGroup(ImmutableArray<string> Values, long Attempts, long Recipients, DateTimeOffset FirstAt, DateTimeOffset LastAt, RefusalItem Last);

/// <summary>Refusals in groups, most attempts first.</summary>
/// <param name="IsComplete">False: there is more than is read at once, or there are more groups; then everything since <paramref name="ReadSince"/> was looked at.</param>
public sealed record RefusalGroups(ImmutableArray<RefusalGroup> Items, bool IsComplete, DateTimeOffset? ReadSince);
