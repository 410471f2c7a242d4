using System.Collections.Immutable;
using RelayGate.Core.Policy;

namespace RelayGate.Core.Reports;

/// <summary>What one object sent in one period. All formats are written from this, so that their figures are the same.</summary>
public sealed record Report
{
    public required string Hostname { get; init; }

    public required ReportPeriod Period { get; init; }

    /// <summary>First hour, whole (UTC).</summary>
    public required DateTimeOffset Begin { get; init; }

    /// <summary>End of the last hour (UTC); in the future while that hour runs.</summary>
    public required DateTimeOffset End { get; init; }

    /// <summary>When it was made.</summary>
    public required DateTimeOffset At { get; init; }

    public required AccountKey Object { get; init; }

    /// <summary><c>Limits:Enforce</c>: else everything is counted, and nothing is refused or held by a limit.</summary>
    public required bool LimitsEnforced { get; init; }

    /// <summary>The oldest hour that is kept; null: nothing is.</summary>
    public DateTimeOffset? HistorySince { get; init; }

    /// <summary>The period, and the one before it where the history reaches back so far.</summary>
    public required ReportSection Totals { get; init; }

    /// <summary>The rest, in the order in which it is shown; those without rows included.</summary>
    public required ImmutableArray<ReportSection> Sections { get; init; }

    /// <summary>Nothing was sent, refused, held or bounced.</summary>
    public bool IsEmpty => Totals.Rows[0] is { Offered: 0, Bounced: 0 or null };
}

/// <summary>One table of a report.</summary>
/// <param name="Key">In JSON and CSV: totals, classes, plans, subscriptions, domains, mailboxes, scripts, addresses, over, forwards.</param>
/// <param name="Columns">Those that say something here.</param>
/// <param name="Count">How many there are, the rows that are not listed included.</param>
public sealed record ReportSection(string Key, string Title, ReportColumns Columns, ImmutableArray<ReportRow> Rows, long Count)
{
    public const string Totals = "totals";
    public const string Classes = "classes";
    public const string Scripts = "scripts";
    public const string Addresses = "addresses";
    public const string Over = "over";
    public const string Forwards = "forwards";
}

/// <summary>The columns of <see cref="ReportRow"/> that a section shows.</summary>
[Flags]
public enum ReportColumns
{
    Messages = 1,
    Recipients = 2,
    Refused = 4,
    Held = 8,
    Bounced = 16,
    Exempt = 32,
    Forwarded = 64,
    HoursOver = 128,

    /// <summary>What every object has.</summary>
    OfObjects = Messages | Recipients | Refused | Held | Bounced,

    /// <summary>What scripts and addresses have.</summary>
    OfSources = Messages | Recipients | Refused,
}

/// <summary>Figures of one thing in one period. Null: not kept for it.</summary>
/// <param name="Kind">period, class, plan, subscription, domain, mailbox, script or address.</param>
/// <param name="Name">As it is stored; other people's text for scripts and mailboxes.</param>
public sealed record ReportRow(string Kind, string Name)
{
    /// <summary>Of a script, whose it is: <c>uid 1001</c>.</summary>
    public string? Of { get; init; }

    /// <summary>Messages that were accepted and counted, in the hour in which they were; held ones when they were released.</summary>
    public long Messages { get; init; }

    /// <summary>Recipients of these.</summary>
    public long Recipients { get; init; }

    /// <summary>Refused attempts, for whatever reason.</summary>
    public long Refused { get; init; }

    /// <summary>Messages that were taken and held.</summary>
    public long? Held { get; init; }

    /// <summary>Recipients that failed for good.</summary>
    public long? Bounced { get; init; }

    /// <summary>Of <see cref="Messages"/>, those that no limit held for.</summary>
    public long? Exempt { get; init; }

    /// <summary>Of <see cref="Messages"/>, those that were forwarded.</summary>
    public long? Forwarded { get; init; }

    /// <summary>Hours in which a limit of this very object refused or held mail.</summary>
    public long? HoursOver { get; init; }

    /// <summary>To be looked at: a domain that forwards in mass.</summary>
    public bool IsFlagged { get; init; }

    /// <summary>All that was offered: by this objects are put in order.</summary>
    public long Offered => Messages + Refused + (Held ?? 0);

    /// <summary>The figure of one column; null where it is not kept.</summary>
    public long? this[ReportColumns column] => column switch
    {
        ReportColumns.Messages => Messages,
        ReportColumns.Recipients => Recipients,
        ReportColumns.Refused => Refused,
        ReportColumns.Held => Held,
        ReportColumns.Bounced => Bounced,
        ReportColumns.Exempt => Exempt,
        ReportColumns.Forwarded => Forwarded,
        ReportColumns.HoursOver => HoursOver,
        _ => throw new ArgumentOutOfRangeException(nameof(column)),
    };
}
