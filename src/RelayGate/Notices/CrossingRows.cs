using System.Data.Common;
using RelayGate.Accounts;
using RelayGate.Core.Policy;
using RelayGate.Queue;

namespace RelayGate.Notices;

/// <summary>Which of the limits that were crossed have their notice: what was lost on the way from one to the other is found again.</summary>
internal static class CrossingRows
{
    /// <summary>Those without a notice, oldest first.</summary>
    public static List<LimitCrossing> Unnoticed(DbConnection db, int count) => db.All(
        "select level, name, class, unit, span, state, most, subscription, used, at from limit_alarm where noticed = 0 order by at limit $1", Read, count);

    /// <summary>The notice of a crossing is stored, in this transaction.</summary>
    public static void Noticed(DbConnection db, LimitCrossing crossing) => db.Execute(
        "update limit_alarm set noticed = 1 where level = $1 and name = $2 and class = $3 and unit = $4 and span = $5 and state = $6",
        (int)crossing.Key.Level, crossing.Key.Name, UsageTable.Number(crossing.Key.Class), (int)crossing.Limit.Unit, (int)crossing.Limit.Window, (int)crossing.Kind);

    private static LimitCrossing Read(DbDataReader row) => new(
        (CrossingKind)row.GetInt32(5), new AccountKey((Level)row.GetInt32(0), row.GetString(1), row.GetInt64(2) is var number and >= 0 ? (MessageClass)number : null),
        new Limit(row.GetInt64(6), (LimitUnit)row.GetInt32(3), (LimitWindow)row.GetInt32(4)), row.GetInt64(8), DateTimeOffset.FromUnixTimeMilliseconds(row.GetInt64(9)),
        row.TextOrNull(7));
}
