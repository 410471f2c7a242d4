using System.Collections.Immutable;

namespace RelayGate.Core.Notices;

/// <summary>Something that happened and that people are told of.</summary>
public sealed record Notice
{
    public required NoticeKind Kind { get; init; }

    /// <summary>What the object is: server, plan, subscription, domain, mailbox, sender (an application password), uid, script, login or client.</summary>
    public required string Level { get; init; }

    /// <summary>The object's name; "" for the server. A script is written <c>UID PATH</c>.</summary>
    public required string Name { get; init; }

    /// <summary>The class of messages that the limit holds for; null: all.</summary>
    public string? Class { get; init; }

    /// <summary>The subscription the object belongs to: its contact is told as well. Null: nobody's, or not known.</summary>
    public string? Subscription { get; init; }

    /// <summary>The limit, for instance <c>200/h</c>.</summary>
    public string? Limit { get; init; }

    /// <summary>Used of the limit, sent by the script, or wrong passwords.</summary>
    public long? Used { get; init; }

    /// <summary>Attempts that were refused or held.</summary>
    public long? Refused { get; init; }

    /// <summary>When the next message is possible.</summary>
    public DateTimeOffset? NextPossible { get; init; }

    /// <summary>Where most of it came from, largest first, as far as it is known.</summary>
    public ImmutableArray<NoticeSource> Sources { get; init; } = [];

    /// <summary>The record of a message or refusal that shows it.</summary>
    public string? Ref { get; init; }

    /// <summary>Who did it, for instance <c>uid 0</c>.</summary>
    public string? By { get; init; }

    /// <summary>What else is to be said, in one line.</summary>
    public string? Remark { get; init; }
}

/// <param name="What">script, login, uid, network or client.</param>
/// <param name="Messages">How many messages, refused ones included; null: not counted.</param>
public sealed record NoticeSource(string What, string Name, long? Messages);

/// <summary>A notice as it is kept: one for all of its kind and object within one period.</summary>
/// <param name="Id">Text of its id.</param>
/// <param name="At">When it happened first.</param>
/// <param name="LastAt">When it happened last.</param>
/// <param name="Repeats">How often.</param>
public sealed record KeptNotice(string Id, DateTimeOffset At, DateTimeOffset LastAt, long Repeats, Notice Notice);
