using System.Data.Common;
using RelayGate.Accounts;

namespace RelayGate.Storage;

/// <summary>The list of what was changed by hand: written with the change, in its transaction.</summary>
internal static class AuditRows
{
    /// <summary>Who is named where nobody gave an order.</summary>
    public const string Gateway = "the gateway";

    /// <summary>Characters of one text at most; what is longer ends with an ellipsis.</summary>
    public const int MaxText = 500;

    public const string Ddl = """
        -- What was changed by hand. Subscription: whose own user may see the row.
        create table audit (
          seq integer not null primary key,
          at integer not null,
          whom text not null,
          what text not null,
          object text not null,
          subscription text,
          before text not null,
          after text not null
        );
        create index audit_at on audit (at);
        create index audit_object on audit (object, seq);
        create index audit_subscription on audit (subscription, seq) where subscription is not null;

        """;

    private const string Insert =
        "insert into audit (at, whom, what, object, subscription, before, after) values ($1, $2, $3, $4, $5, $6, $7) returning seq";

    private const string Select = "select seq, at, whom, what, object, subscription, before, after from audit where at >= $1 and seq < $2";

    /// <summary>Adds one row. Never give it a secret.</summary>
    /// <param name="by">Who changed it: <c>uid 0 (root)</c>.</param>
    /// <param name="what">The verb: <c>add</c>, <c>limit set</c>.</param>
    /// <param name="target">What was changed: <c>mailbox info@shop.test</c>, <c>setting Limits:Enforce</c>.</param>
    /// <param name="subscription">Whose user may see it; null: administrators alone.</param>
    /// <returns>Its number, for <see cref="Amend"/>.</returns>
    public static long Add(DbConnection db, DateTimeOffset at, string by, string what, string target, string? subscription, string before, string after) => long.Parse(
        db.First(Insert, static row => row.GetInt64(0).ToString(), at.ToUnixTimeMilliseconds(), Cut(by), Cut(what), Cut(target), subscription, Cut(before), Cut(after))!);

    /// <summary>Says anew what a change has led to, where it is made in several transactions.</summary>
    public static void Amend(DbConnection db, long seq, string after) => db.Execute("update audit set after = $2 where seq = $1", seq, Cut(after));

    /// <summary>Rows, newest first.</summary>
    /// <param name="target">Only of this object; null: of all.</param>
    /// <param name="subscription">Only what its user may see; null: everything.</param>
    /// <param name="before">Only with a smaller number; null: from the newest on.</param>
    public static List<AuditEntry> Read(DbConnection db, string? target, string? subscription, DateTimeOffset since, long? before, int rows) => db.All(
        Select + (target is null ? "" : " and object = $4") + (subscription is null ? "" : " and subscription = $5") + " order by seq desc limit $3",
        static row => new AuditEntry(
            row.GetInt64(0), DateTimeOffset.FromUnixTimeMilliseconds(row.GetInt64(1)), row.GetString(2), row.GetString(3), row.GetString(4), row.TextOrNull(5),
            row.GetString(6), row.GetString(7)),
        since.ToUnixTimeMilliseconds(), before ?? long.MaxValue, rows, target ?? "", subscription ?? "");

    /// <summary>Deletes some of what is older than <paramref name="end"/>.</summary>
    /// <returns>Rows deleted.</returns>
    public static int RemoveOld(DbConnection db, DateTimeOffset end, int limit) =>
        db.Execute("delete from audit where seq in (select seq from audit where at < $1 order by at limit $2)", end.ToUnixTimeMilliseconds(), limit);

    private static string Cut(string text) => text.Length <= MaxText ? text : text[..(MaxText - 1)] + "…";
}

/// <summary>One change by hand.</summary>
/// <param name="Number">Grows with time.</param>
/// <param name="By">Who: <c>uid 0 (root)</c>.</param>
/// <param name="What">The verb.</param>
/// <param name="Target">The object.</param>
/// <param name="Subscription">The subscription it belongs to, or null.</param>
/// <param name="Before">What was so before; empty for what is new.</param>
/// <param name="After">What is so since; empty for what was removed.</param>
public sealed record AuditEntry(long Number, DateTimeOffset At, string By, string What, string Target, string? Subscription, string Before, string After);
