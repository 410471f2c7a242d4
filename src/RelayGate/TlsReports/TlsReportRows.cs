using System.Data.Common;
using System.Globalization;
using RelayGate.Accounts;
using RelayGate.Core.Tls.Reports;

namespace RelayGate.TlsReports;

/// <summary>Where a report stands.</summary>
internal enum TlsReportState
{
    /// <summary>To be delivered to some target.</summary>
    Waiting = 2,

    /// <summary>Delivered to every target, or put into the queue for it.</summary>
    Sent = 3,

    /// <summary>Given up for some target.</summary>
    Failed = 4,
}

/// <summary>One address that a report goes to.</summary>
/// <param name="Next">When it is tried, ms since 1970; null: it has ended.</param>
/// <param name="Mail">Its mail's ref.</param>
/// <param name="Error">Why the last attempt failed; "": it did not.</param>
internal sealed record TlsReportTarget(string Uri, TlsReportState State, int Attempts, long? Next, string? Mail, string Error);

/// <summary>What is kept of the delivery of a report.</summary>
internal sealed record TlsReportEntry(DateOnly Day, string Domain, string Id, TlsReportState State, long Successes, long Failures);

/// <summary>Figures and reports in the store. Of those who want no reports nothing is kept beyond the day.</summary>
internal static class TlsReportRows
{
    /// <summary>Domains that are counted in a day; more are not.</summary>
    public const int MaxDomains = 20_000;

    /// <summary>Kinds of failures that are told apart for a domain in a day.</summary>
    public const int MaxDetails = 100;

    public const string Ddl = """
        -- TLS of sessions with next hops, for the reports of RFC 8460: by UTC day (days since 1970), recipient domain and published policy.
        create table tls_day (
          day integer not null,
          domain text not null,
          policy text not null,
          successes integer not null,
          failures integer not null,
          primary key (day, domain, policy)
        ) without rowid;

        create table tls_failure (
          day integer not null,
          domain text not null,
          policy text not null,
          result text not null,
          mx text not null,
          local text not null,
          remote text not null,
          reason text not null,
          count integer not null,
          primary key (day, domain, policy, result, mx, local, remote)
        ) without rowid;

        -- Reports to those who want them, and where they went; next_attempt: null once it has ended.
        create table tls_report (
          day integer not null,
          domain text not null,
          id text not null,
          primary key (day, domain)
        ) without rowid;

        create table tls_report_target (
          day integer not null,
          domain text not null,
          uri text not null,
          state integer not null,
          attempts integer not null,
          next_attempt integer,
          mail text,
          error text not null,
          primary key (day, domain, uri)
        ) without rowid;
        create index tls_report_due on tls_report_target (next_attempt) where next_attempt is not null;

        """;

    /// <summary>Adds what was counted.</summary>
    /// <returns>Whether all of it had room.</returns>
    public static bool Add(DbConnection db, IEnumerable<TlsFigures> figures)
    {
        bool all = true;
        foreach (TlsFigures f in figures)
        {
            int day = f.Key.Day.DayNumber;
            if (db.Execute(
                "update tls_day set successes = successes + $4, failures = failures + $5 where day = $1 and domain = $2 and policy = $3",
                day, f.Key.Domain, f.Key.Policy, f.Successes, f.Failures) == 0)
            {
                if (db.Exists("select 1 from tls_day where day = $1 limit 1 offset $2", day, MaxDomains - 1))
                {
                    all = false;
                    continue;
                }
                db.Execute("insert into tls_day (day, domain, policy, successes, failures) values ($1, $2, $3, $4, $5)", day, f.Key.Domain, f.Key.Policy, f.Successes, f.Failures);
            }
            foreach (TlsFailure detail in f.Details)
                Add(db, f.Key, detail);
        }
        return all;
    }

    private static void Add(DbConnection db, TlsTallyKey key, TlsFailure detail)
    {
        const string Where = "where day = $1 and domain = $2 and policy = $3 and result = $4 and mx = $5 and local = $6 and remote = $7";
        int day = key.Day.DayNumber;
        if (db.Execute($"update tls_failure set count = count + $8 {Where}", day, key.Domain, key.Policy, detail.Result, detail.MxHost, detail.Local, detail.Remote, detail.Count) > 0)
            return;
        if (detail.MxHost.Length + detail.Local.Length + detail.Remote.Length > 0
            && db.Exists("select 1 from tls_failure where day = $1 and domain = $2 limit 1 offset $3", day, key.Domain, MaxDetails - 1))
        {
            Add(db, key, new TlsFailure(detail.Result, "", "", "", "", detail.Count)); // Without details there are only the result types.
            return;
        }
        db.Execute(
            "insert into tls_failure (day, domain, policy, result, mx, local, remote, reason, count) values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            day, key.Domain, key.Policy, detail.Result, detail.MxHost, detail.Local, detail.Remote, detail.Reason, detail.Count);
    }

    /// <summary>Domains of days before <paramref name="today"/> that nobody has looked at yet, in order.</summary>
    public static List<(DateOnly Day, string Domain)> NotPlanned(DbConnection db, DateOnly today, (DateOnly Day, string Domain) after, int count) => db.All(
        """
        select distinct day, domain from tls_day d
        where (day, domain) > ($1, $2) and day < $3 and not exists (select 1 from tls_report r where r.day = d.day and r.domain = d.domain)
        order by day, domain limit $4
        """,
        static row => (DateOnly.FromDayNumber(row.GetInt32(0)), row.GetString(1)), after.Day.DayNumber, after.Domain, today.DayNumber, count);

    public static List<TlsReportPolicy> Policies(DbConnection db, DateOnly day, string domain)
    {
        ILookup<string, TlsFailure> details = db.All(
            "select policy, result, mx, local, remote, reason, count from tls_failure where day = $1 and domain = $2 order by policy, result, mx, local, remote",
            static row => (Policy: row.GetString(0), Failure: new TlsFailure(row.GetString(1), row.GetString(2), row.GetString(3), row.GetString(4), row.GetString(5), row.GetInt64(6))),
            day.DayNumber, domain).ToLookup(static d => d.Policy, static d => d.Failure);
        return db.All(
            "select policy, successes, failures from tls_day where day = $1 and domain = $2 order by policy",
            row => new TlsReportPolicy(TlsPolicyText.Read(row.GetString(0)), row.GetInt64(1), row.GetInt64(2), [.. details[row.GetString(0)]]), day.DayNumber, domain);
    }

    public static string? Id(DbConnection db, DateOnly day, string domain) =>
        db.First("select id from tls_report where day = $1 and domain = $2", static row => row.GetString(0), day.DayNumber, domain);

    /// <summary>A report is to be sent.</summary>
    /// <param name="again">Targets that are known are tried anew; else a report that is planned already stands as it is.</param>
    public static void Plan(DbConnection db, DateOnly day, string domain, string id, IEnumerable<string> uris, long now, bool again)
    {
        if (db.Execute("insert into tls_report (day, domain, id) values ($1, $2, $3) on conflict do nothing", day.DayNumber, domain, id) == 0 && !again)
            return;
        foreach (string uri in uris)
        {
            db.Execute(
                """
                insert into tls_report_target (day, domain, uri, state, attempts, next_attempt, error) values ($1, $2, $3, $4, 0, $5, '')
                on conflict (day, domain, uri) do update set state = excluded.state, attempts = 0, next_attempt = excluded.next_attempt, mail = null, error = ''
                """,
                day.DayNumber, domain, uri, (int)TlsReportState.Waiting, now);
        }
    }

    /// <summary>Nobody wants the figures of this domain, unless a report of them was planned meanwhile.</summary>
    public static void Forget(DbConnection db, DateOnly day, string domain)
    {
        if (Id(db, day, domain) is not null)
            return;
        db.Execute("delete from tls_failure where day = $1 and domain = $2", day.DayNumber, domain);
        db.Execute("delete from tls_day where day = $1 and domain = $2", day.DayNumber, domain);
    }

    public static List<(DateOnly Day, string Domain, string Uri)> Due(DbConnection db, long now, int count) => db.All(
        "select day, domain, uri from tls_report_target where next_attempt <= $1 order by next_attempt limit $2",
        static row => (DateOnly.FromDayNumber(row.GetInt32(0)), row.GetString(1), row.GetString(2)), now, count);

    public static List<TlsReportTarget> Targets(DbConnection db, DateOnly day, string domain) => db.All(
        "select uri, state, attempts, next_attempt, mail, error from tls_report_target where day = $1 and domain = $2 order by uri",
        static row => Target(row, 0), day.DayNumber, domain);

    public static void Attempted(DbConnection db, DateOnly day, string domain, TlsReportTarget target) => db.Execute(
        "update tls_report_target set state = $4, attempts = $5, next_attempt = $6, mail = $7, error = $8 where day = $1 and domain = $2 and uri = $3",
        day.DayNumber, domain, target.Uri, (int)target.State, target.Attempts, target.Next, target.Mail, target.Error);

    /// <summary>Reports, the newest first.</summary>
    /// <param name="before">Where the page before ended; null: the first page.</param>
    public static List<TlsReportEntry> List(DbConnection db, string? domain, (DateOnly Day, string Domain)? before, int count) => db.All(
        $"""
        select day, domain, id,
          (select coalesce(min(case state when {(int)TlsReportState.Waiting} then 0 when {(int)TlsReportState.Failed} then 1 else 2 end), 2) from tls_report_target t where t.day = r.day and t.domain = r.domain),
          (select coalesce(sum(successes), 0) from tls_day d where d.day = r.day and d.domain = r.domain),
          (select coalesce(sum(failures), 0) from tls_day d where d.day = r.day and d.domain = r.domain)
        from tls_report r
        where ($1 is null or domain = $1) and (day < $2 or (day = $2 and domain > $3))
        order by day desc, domain limit $4
        """,
        static row => new TlsReportEntry(
            DateOnly.FromDayNumber(row.GetInt32(0)), row.GetString(1), row.GetString(2),
            row.GetInt32(3) switch { 0 => TlsReportState.Waiting, 1 => TlsReportState.Failed, _ => TlsReportState.Sent }, row.GetInt64(4), row.GetInt64(5)),
        domain, before?.Day.DayNumber ?? DateOnly.MaxValue.DayNumber, before?.Domain ?? "", count);

    /// <summary>Removes some of what is older than <paramref name="oldest"/>.</summary>
    public static int RemoveOld(DbConnection db, DateOnly oldest)
    {
        int removed = 0;
        foreach ((string table, string key) in ((string, string)[])
            [("tls_failure", "day, domain, policy, result, mx, local, remote"), ("tls_report_target", "day, domain, uri"), ("tls_report", "day, domain"), ("tls_day", "day, domain, policy")])
            removed += db.Execute(string.Create(CultureInfo.InvariantCulture, $"delete from {table} where ({key}) in (select {key} from {table} where day < {oldest.DayNumber} limit 500)"));
        return removed;
    }

    private static TlsReportTarget Target(DbDataReader row, int at) => new(
        row.GetString(at), (TlsReportState)row.GetInt32(at + 1), row.GetInt32(at + 2), row.IsDBNull(at + 3) ? null : row.GetInt64(at + 3), row.TextOrNull(at + 4), row.GetString(at + 5));
}
