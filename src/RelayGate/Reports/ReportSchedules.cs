using System.Data.Common;
using System.Globalization;
using RelayGate.Accounts;
using RelayGate.Core.Policy;
using RelayGate.Core.Reports;

namespace RelayGate.Reports;

/// <summary>A report that is sent again and again.</summary>
/// <param name="Receiver">Null: the contact of the object's subscription at that time.</param>
/// <param name="At">Time of day (UTC), whole minutes.</param>
/// <param name="WithCsv">Attached as CSV as well.</param>
/// <param name="AddedAt">Nothing is sent for times before.</param>
public sealed record ReportSchedule(long Id, ReportPeriod Period, AccountKey Object, string? Receiver, TimeSpan At, bool WithCsv, DateTimeOffset AddedAt)
{
    /// <summary>In words, for the audit list: <c>day at 06:00 UTC, server, to admin@example.net</c>.</summary>
    public override string ToString() =>
        $"{Period.Word()} at {At:hh\\:mm} UTC, {Object}, to {Receiver ?? "the owner"}{(WithCsv ? ", with CSV" : "")}";
}

/// <summary>Schedules and what was sent by them, in the store.</summary>
internal static class ReportSchedules
{
    public const int MaxSchedules = 1000;

    public const string Ddl = """
        -- Reports that are sent. Receiver: null for the contact of the subscription; minute: of the day, UTC.
        create table report_schedule (
          id integer not null primary key,
          period integer not null,
          level integer not null,
          name text not null,
          receiver text,
          minute integer not null,
          csv integer not null,
          added_at integer not null
        );

        -- For which times reports were sent, so that a clock that is set back or a restart sends none twice.
        create table report_sent (
          schedule integer not null,
          at integer not null,
          mail blob not null,
          primary key (schedule, at)
        ) without rowid;

        """;

    private const int KeptTimes = 100;
    private const string Columns = "id, period, level, name, receiver, minute, csv, added_at";

    /// <returns>Its number; null: there are too many.</returns>
    public static long? Add(DbConnection db, ReportSchedule schedule)
    {
        if (db.Exists("select 1 from report_schedule limit 1 offset $1", MaxSchedules - 1))
            return null;
        string id = db.First(
            "insert into report_schedule (period, level, name, receiver, minute, csv, added_at) values ($1, $2, $3, $4, $5, $6, $7) returning id",
            static row => row.GetInt64(0).ToString(CultureInfo.InvariantCulture), (int)schedule.Period, (int)schedule.Object.Level, schedule.Object.Name, schedule.Receiver,
            (int)schedule.At.TotalMinutes, schedule.WithCsv ? 1 : 0, schedule.AddedAt.ToUnixTimeMilliseconds())!;
        long number = long.Parse(id, CultureInfo.InvariantCulture);
        db.Execute("delete from report_sent where schedule = $1", number); // Of one that had the number before.
        return number;
    }

    public static List<ReportSchedule> All(DbConnection db) => db.All($"select {Columns} from report_schedule order by id", Read);

    public static List<ReportSchedule> Of(DbConnection db, AccountKey key) =>
        db.All($"select {Columns} from report_schedule where level = $1 and name = $2 order by id", Read, (int)key.Level, key.Name);

    public static ReportSchedule? Find(DbConnection db, long id) => db.First($"select {Columns} from report_schedule where id = $1", Read, id);

    public static void Remove(DbConnection db, long id)
    {
        db.Execute("delete from report_schedule where id = $1", id);
        db.Execute("delete from report_sent where schedule = $1", id);
    }

    public static bool WasSent(DbConnection db, long id, DateTimeOffset at) =>
        db.Exists("select 1 from report_sent where schedule = $1 and at = $2", id, at.ToUnixTimeMilliseconds());

    public static DateTimeOffset? LastSent(DbConnection db, long id) => db.First(
        "select at from report_sent where schedule = $1 order by at desc limit 1", static row => row.GetInt64(0).ToString(CultureInfo.InvariantCulture), id) is { } at
        ? DateTimeOffset.FromUnixTimeMilliseconds(long.Parse(at, CultureInfo.InvariantCulture)) : null;

    public static void Sent(DbConnection db, long id, DateTimeOffset at, byte[] mail)
    {
        db.Execute("insert into report_sent (schedule, at, mail) values ($1, $2, $3)", id, at.ToUnixTimeMilliseconds(), mail);
        db.Execute("delete from report_sent where schedule = $1 and at <= (select at from report_sent where schedule = $1 order by at desc limit 1 offset $2)", id, KeptTimes);
    }

    private static ReportSchedule Read(DbDataReader row) => new(
        row.GetInt64(0), (ReportPeriod)row.GetInt32(1), new AccountKey((Level)row.GetInt32(2), row.GetString(3)), row.TextOrNull(4), TimeSpan.FromMinutes(row.GetInt32(5)),
        row.Flag(6), DateTimeOffset.FromUnixTimeMilliseconds(row.GetInt64(7)));
}
