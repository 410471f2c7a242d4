using System.Collections.Immutable;
using System.Runtime.CompilerServices;
using RelayGate.Configuration;
using RelayGate.Core.Policy;
using RelayGate.Core.Reports;
using RelayGate.Queue;
using RelayGate.Storage;

namespace RelayGate.Reports;

/// <summary>Makes reports from the hourly history.</summary>
/// <remarks>What belongs to a plan, subscription or domain is what belongs to it now; mail of what was removed or moved is in the totals alone.</remarks>
public sealed class ReportMaker
{
    /// <summary>Rows of one table where nothing else is asked for.</summary>
    public const int DefaultTop = 10;

    public const int MaxTop = 1000;

    /// <summary>A domain forwards in mass from so many messages in the period on, if they are at least half of what it sent.</summary>
    public const int MassForwards = 100;

    private static readonly Level[] Levels = [Level.Plan, Level.Subscription, Level.Domain, Level.Mailbox];

    private readonly HistoryReader _history;
    private readonly RelayGateOptions _options;
    private readonly TimeProvider _time;

    public ReportMaker(SqliteRelayStore store, RelayGateOptions options, TimeProvider time)
    {
        _history = new HistoryReader(store);
        _options = options;
        _time = time;
    }

    public async Task<Report> MakeAsync(ReportRequest request, CancellationToken cancellationToken)
    {
        DateTimeOffset begin = request.Period.Begin(request.End), before = request.Period.Begin(begin);
        var hours = new HourRange(Hour(Later(begin, request.Since)), Hour(request.End));
        DateTimeOffset? oldest = await _history.OldestAsync(cancellationToken) is { } hour ? DateTimeOffset.FromUnixTimeSeconds(hour * 3600) : null;
        (HistorySum sum, HistorySum[] classes) = await _history.ObjectAsync(request.Object, hours, cancellationToken);
        ImmutableArray<ReportRow> totals = [sum.ToRow("period", "period")];
        if (oldest <= before && request.Since <= before)
        {
            (HistorySum earlier, _) = await _history.ObjectAsync(request.Object, new HourRange(Hour(before), Hour(begin)), cancellationToken);
            totals = totals.Add(earlier.ToRow("period", "before"));
        }
        var byClass = new TopRows(classes.Length, static row => row.Offered + row.Bounced ?? 0);
        for (int i = 0; i < classes.Length; i++)
            byClass.Add(classes[i].ToRow("class", ((MessageClass)i).Word()) with { HoursOver = null, Forwarded = null });
        var over = new TopRows(request.Top, static row => row.HoursOver ?? 0);
        var forwards = new TopRows(request.Top, static row => row.Forwarded ?? 0);
        over.Add(sum.ToRow(Word(request.Object.Level), request.Object.Name));
        if (request.Object.Level == Level.Domain)
            forwards.Add(Flagged(sum.ToRow(Word(Level.Domain), request.Object.Name)));
        var sections = ImmutableArray.CreateBuilder<ReportSection>();
        sections.Add(byClass.Section(ReportSection.Classes, "By class", ReportColumns.OfObjects | ReportColumns.Exempt));
        foreach (Level level in Levels.Where(level => level > request.Object.Level))
            sections.Add(await TopAsync(request, level, hours, over, forwards, cancellationToken));
        sections.Add(await SourcesAsync(request, ReportSection.Scripts, "Top scripts", HistoryQuery.Scripts, hours, cancellationToken));
        sections.Add(await SourcesAsync(request, ReportSection.Addresses, "Top source addresses", HistoryQuery.Addresses, hours, cancellationToken));
        sections.Add(over.Section(ReportSection.Over, "Hours over the limit", ReportColumns.HoursOver | ReportColumns.Messages | ReportColumns.Refused | ReportColumns.Held));
        sections.Add(forwards.Section(ReportSection.Forwards, "Forwarded, by domain", ReportColumns.Messages | ReportColumns.Forwarded));
        return new Report
        {
            Hostname = _options.Hostname,
            Period = request.Period,
            Begin = begin,
            End = request.End,
            At = _time.GetUtcNow(),
            Object = request.Object,
            LimitsEnforced = request.LimitsEnforced,
            HistorySince = Later(oldest, request.Since),
            Totals = new ReportSection(ReportSection.Totals, "", ReportColumns.OfObjects | ReportColumns.Exempt | ReportColumns.Forwarded | ReportColumns.HoursOver, totals, 1),
            Sections = sections.DrainToImmutable(),
        };
    }

    /// <summary>What <c>status</c> shows of a period: the server's figures, and how many objects were over a limit of their own.</summary>
    public async Task<ReportOverview> OverviewAsync(ReportPeriod period, DateTimeOffset end, CancellationToken cancellationToken)
    {
        var hours = new HourRange(Hour(period.Begin(end)), Hour(end));
        (HistorySum sum, _) = await _history.ObjectAsync(AccountKey.Server, hours, cancellationToken);
        long over = 0;
        foreach (Level level in Enum.GetValues<Level>())
        {
            if (level == Level.Server)
                over += sum.HoursOver > 0 ? 1 : 0;
            else
            {
                await foreach (Dictionary<string, HistorySum> page in _history.AllAsync(HistoryQuery.Objects(level, onlyOver: true), hours, cancellationToken))
                    over += page.Count;
            }
        }
        return new ReportOverview(sum.ToRow("period", "period"), over, await _history.OverNowAsync(cancellationToken));
    }

    private async Task<ReportSection> TopAsync(
        ReportRequest request, Level level, HourRange hours, TopRows over, TopRows forwards, CancellationToken cancellationToken)
    {
        var top = new TopRows(request.Top, static row => row.Offered);
        await foreach (Dictionary<string, HistorySum> page in Pages(request.Object, level, hours, cancellationToken))
        {
            if (request.Object.Level == Level.Plan)
                await _history.FilterAsync(page, OfPlan(level), request.Object.Name, cancellationToken);
            foreach ((string name, HistorySum sum) in page)
            {
                ReportRow row = sum.ToRow(Word(level), name);
                top.Add(row);
                over.Add(row);
                if (level == Level.Domain)
                    forwards.Add(Flagged(row));
            }
        }
        string kind = Word(level), key = level == Level.Mailbox ? "mailboxes" : kind + "s";
        return top.Section(key, $"Top {key}", ReportColumns.OfObjects);
    }

    private IAsyncEnumerable<Dictionary<string, HistorySum>> Pages(AccountKey above, Level level, HourRange hours, CancellationToken cancellationToken) => above.Level switch
    {
        Level.Server or Level.Plan => _history.AllAsync(HistoryQuery.Objects(level), hours, cancellationToken),
        Level.Subscription when level == Level.Domain => _history.BelowAsync(level, HistorySql.DomainsOfSubscription, above, hours, cancellationToken),
        Level.Subscription => MailboxesOfSubscription(above, hours, cancellationToken),
        _ => _history.BelowAsync(level, HistorySql.MailboxesOfDomain, above, hours, cancellationToken),
    };

    private async IAsyncEnumerable<Dictionary<string, HistorySum>> MailboxesOfSubscription(
        AccountKey subscription, HourRange hours, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        await foreach (Dictionary<string, HistorySum> domains in Pages(subscription, Level.Domain, hours, cancellationToken))
        {
            foreach (string domain in domains.Keys) // Those that had something: the others' mailboxes had nothing either.
            {
                await foreach (Dictionary<string, HistorySum> mailboxes in Pages(new AccountKey(Level.Domain, domain), Level.Mailbox, hours, cancellationToken))
                    yield return mailboxes;
            }
        }
    }

    /// <summary>They are kept for the server and for each subscription.</summary>
    private async Task<ReportSection> SourcesAsync(
        ReportRequest request, string key, string title, Func<string, HistoryQuery> query, HourRange hours, CancellationToken cancellationToken)
    {
        var top = new TopRows(request.Top, static row => row.Offered);
        if (request.Object.Level is Level.Server or Level.Subscription)
        {
            await foreach (Dictionary<string, HistorySum> page in _history.AllAsync(query(request.Object.Name), hours, cancellationToken))
            {
                foreach ((string name, HistorySum sum) in page)
                    top.Add(key == ReportSection.Scripts ? ScriptRow(name, sum) : sum.ToSourceRow("address", name));
            }
        }
        return top.Section(key, title, ReportColumns.OfSources);
    }

    private static ReportRow ScriptRow(string name, HistorySum sum)
    {
        (int uid, string script) = HistoryQuery.Script(name);
        return sum.ToSourceRow("script", script) with { Of = $"uid {uid}" };
    }

    private static ReportRow Flagged(ReportRow row) => row with { IsFlagged = row.Forwarded >= MassForwards && row.Forwarded * 2 >= row.Messages };

    private static string OfPlan(Level level) => level switch
    {
        Level.Subscription => HistorySql.SubscriptionOfPlan,
        Level.Domain => HistorySql.DomainOfPlan,
        _ => HistorySql.MailboxOfPlan,
    };

    private static string Word(Level level) => level.ToString().ToLowerInvariant();

    private static long Hour(DateTimeOffset at) => UsageHistory.HourOf(at);

    private static DateTimeOffset Later(DateTimeOffset at, DateTimeOffset other) => at > other ? at : other;

    private static DateTimeOffset? Later(DateTimeOffset? at, DateTimeOffset other) => at is { } known ? Later(known, other) : null;
}

/// <summary>A period in short.</summary>
/// <param name="Server">All mail.</param>
/// <param name="Over">Objects of which a limit of their own refused or held mail in the period.</param>
/// <param name="OverNow">Objects that are over a limit of their own, and do not send until there is room.</param>
public sealed record ReportOverview(ReportRow Server, long Over, long OverNow);

/// <summary>Which report.</summary>
/// <param name="End">A whole hour.</param>
/// <param name="Top">Rows of one table, 1 to <see cref="ReportMaker.MaxTop"/>.</param>
/// <param name="Since">A whole hour; what was before is left out: it belonged to another subscription of this name. The default value: everything.</param>
public sealed record ReportRequest(ReportPeriod Period, DateTimeOffset End, AccountKey Object, int Top, bool LimitsEnforced, DateTimeOffset Since = default);
