using System.Collections.Immutable;
using RelayGate.Core.Policy;

namespace RelayGate.Replay;

/// <summary>How far a replay is.</summary>
/// <param name="Share">Of the replayed time, 0 to 1.</param>
/// <param name="Records">Read so far.</param>
/// <param name="Report">With the last step.</param>
public sealed record ReplayStep(double Share, long Records, ReplayReport? Report);

/// <summary>What other limits would have done to the mail of some time.</summary>
public sealed record ReplayReport
{
    /// <summary>Origin of a limit that was tried out.</summary>
    public const string Proposed = "proposed";

    public required DateTimeOffset Since { get; init; }

    public required DateTimeOffset Until { get; init; }

    /// <summary>Records of this time that were read.</summary>
    public required long Records { get; init; }

    /// <summary>Of these, what never came as far as the limits: DSNs of our own, and what was refused for another reason.</summary>
    public required long LeftOut { get; init; }

    /// <summary>Everything replayed.</summary>
    public required MailCount Offered { get; init; }

    /// <summary>What would have been refused or held.</summary>
    public required MailCount Stopped { get; init; }

    /// <summary>Of what would have been stopped: what was really accepted.</summary>
    public required MailCount NewlyStopped { get; init; }

    /// <summary>What a limit really refused or held, and these would have let through.</summary>
    public required MailCount NewlyPassed { get; init; }

    /// <summary>When the first message would have been stopped; null: none.</summary>
    public DateTimeOffset? First { get; init; }

    /// <summary>For each level how many objects sent, and of how many a message would have been stopped.</summary>
    public required ImmutableArray<LevelCount> Levels { get; init; }

    /// <summary>The objects whose limit would have stopped messages, most first; at most <see cref="LimitReplay.MaxItems"/>.</summary>
    public required ImmutableArray<ReplayItem> Items { get; init; }

    /// <summary>Objects that <see cref="Items"/> leaves out.</summary>
    public required int ItemsOmitted { get; init; }
}

/// <param name="Recipients">Of all these messages; a refusal that came before any recipient counts as one.</param>
public readonly record struct MailCount(long Messages, long Recipients)
{
    public MailCount Plus(long messages, long recipients) => new(Messages + messages, Recipients + recipients);
}

/// <param name="Seen">Objects of the level that sent or tried to.</param>
/// <param name="Hit">Of these, how many had a message stopped, at whatever level.</param>
public sealed record LevelCount(Level Level, int Seen, int Hit);

/// <summary>One object whose limit would have stopped messages.</summary>
/// <param name="Limit">The one of its limits that was first met.</param>
/// <param name="Origin"><see cref="ReplayReport.Proposed"/>, or where a limit that stays comes from.</param>
/// <param name="Newly">Of the stopped ones, those really accepted.</param>
public sealed record ReplayItem(AccountKey Key, string Limit, string Origin, OverLimitAction Over, DateTimeOffset First, MailCount Stopped, MailCount Newly);
