using RelayGate.Core.Policy;
using RelayGate.Storage;

namespace RelayGate.Queue;

/// <summary>Held messages that were not released when their turn came, because the policy would refuse them now.</summary>
internal static class HoldStuck
{
    private const string NextSubscription = "select min(held_at) from message where held = 7 and held_at is not null and held_at > ?";
    private const string SelectOf = "select seq from message where held <> 0 and subscription = ? and held = 7 order by seq limit 10000";
    private const string SelectObjects = "select distinct held_at from message where held <> 0 and subscription = ? and held = 4 and held_at is not null";

    /// <summary>Subscriptions that have such messages.</summary>
    public static IReadOnlyCollection<string> Subscriptions(StoreConnection connection)
    {
        var names = new List<string>();
        string after = "";
        while (true)
        {
            SqliteStatement select = connection.Prepared(NextSubscription).Bind(1, after);
            string? next = select.Step() ? select.NullableText(0) : null;
            select.Reset();
            if (next is null)
                return names;
            names.Add(HoldKey.Parse(next).Name);
            after = next;
        }
    }

    public static List<long> Of(StoreConnection connection, string subscription)
    {
        var found = new List<long>();
        SqliteStatement row = connection.Prepared(SelectOf).Bind(1, subscription);
        while (row.Step())
            found.Add(row.Int64(0));
        return found;
    }

    /// <summary>Where messages of a subscription wait: bounded, as they are.</summary>
    public static List<AccountKey> Objects(StoreConnection connection, string subscription)
    {
        var found = new List<AccountKey>();
        SqliteStatement row = connection.Prepared(SelectObjects).Bind(1, subscription);
        while (row.Step())
            found.Add(HoldKey.Parse(row.Text(0)));
        return found;
    }

    /// <summary>They wait at their subscription from now on, and are decided anew.</summary>
    public static int Retry(WriteContext context, string subscription, IReadOnlyList<long> rowIds, DateTimeOffset now)
    {
        var entry = new HoldEntry(HoldReason.Limit, HoldKey.Of(new AccountKey(Level.Subscription, subscription)), null);
        foreach (long seq in rowIds)
        {
            if (HoldRows.Find(context, seq) is ({ Reason: HoldReason.Refused }, _))
                HoldRows.Hold(context, seq, entry, now);
        }
        return rowIds.Count;
    }
}
