using System.Collections.Immutable;
using System.Data.Common;
using RelayGate.Accounts;
using RelayGate.Core.Tls;

namespace RelayGate.Sts;

/// <summary>A policy as it is kept.</summary>
/// <param name="Id">Of the TXT record when it was fetched.</param>
internal sealed record KeptPolicy(string Domain, string Id, StsPolicy Policy, DateTimeOffset FetchedAt)
{
    public DateTimeOffset ExpiresAt => FetchedAt + Policy.MaxAge;
}

/// <summary>MTA-STS policies in the store, so that a restart does not open the window that their age is to close (RFC 8461 §10.2).</summary>
internal static class StsRows
{
    public const string Ddl = """
        -- MTA-STS policies of recipient domains. mx: one pattern a line; max_age: seconds; used_at: when mail last went by it, to the hour.
        create table sts_policy (
          domain text not null primary key,
          id text not null,
          mode integer not null,
          mx text not null,
          max_age integer not null,
          fetched_at integer not null,
          used_at integer not null
        ) without rowid;

        """;

    private const string Columns = "domain, id, mode, mx, max_age, fetched_at";

    public static KeptPolicy? Find(DbConnection db, string domain) => db.First($"select {Columns} from sts_policy where domain = $1", Read, domain);

    public static void Save(DbConnection db, KeptPolicy kept) => db.Execute(
        """
        insert into sts_policy (domain, id, mode, mx, max_age, fetched_at, used_at) values ($1, $2, $3, $4, $5, $6, $6)
        on conflict (domain) do update set id = $2, mode = $3, mx = $4, max_age = $5, fetched_at = $6
        """,
        kept.Domain, kept.Id, (int)kept.Policy.Mode, string.Join('\n', kept.Policy.Mx), (long)kept.Policy.MaxAge.TotalSeconds, kept.FetchedAt.ToUnixTimeMilliseconds());

    public static void MarkUsed(DbConnection db, string domain, DateTimeOffset at) =>
        db.Execute("update sts_policy set used_at = $2 where domain = $1", domain, at.ToUnixTimeMilliseconds());

    /// <summary>Those in use that were fetched before a time, oldest first.</summary>
    public static List<KeptPolicy> DueForRefresh(DbConnection db, DateTimeOffset fetchedBefore, DateTimeOffset usedAfter, int most) => db.All(
        $"select {Columns} from sts_policy where (fetched_at < $1 or fetched_at + max_age * 500 < $1 + 86400000) and used_at > $2 order by fetched_at limit $3",
        Read, fetchedBefore.ToUnixTimeMilliseconds(), usedAfter.ToUnixTimeMilliseconds(), most);

    /// <summary>Removes those that have expired, and what is over a number the ones fetched longest ago.</summary>
    public static int Prune(DbConnection db, DateTimeOffset now, int most) =>
        db.Execute("delete from sts_policy where fetched_at + max_age * 1000 < $1", now.ToUnixTimeMilliseconds())
        + db.Execute("delete from sts_policy where domain in (select domain from sts_policy order by fetched_at desc limit -1 offset $1)", most);

    private static KeptPolicy Read(DbDataReader row) => new(
        row.GetString(0), row.GetString(1),
        new StsPolicy((StsMode)row.GetInt32(2), [.. row.GetString(3).Split('\n', StringSplitOptions.RemoveEmptyEntries)], TimeSpan.FromSeconds(row.GetInt64(4))),
        DateTimeOffset.FromUnixTimeMilliseconds(row.GetInt64(5)));
}
