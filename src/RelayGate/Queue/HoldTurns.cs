using RelayGate.Core.Policy;
using RelayGate.Storage;

namespace RelayGate.Queue;

/// <summary>The order in which what waits at one object goes on: its senders take turns, each with its oldest message.</summary>
internal static class HoldTurns
{
    private const string SelectTurn = "select held_for from hold_turn where held_at = ?";

    private const string NextSender = """
        select held_for from message where held = 4 and held_at = ? and held_for > ? order by held_for limit 1
        """;

    private const string NextOfSender = """
        select seq from message where held = 4 and held_at = ? and held_for = ? and seq > ? order by seq limit 1
        """;

    private const string SelectOlder = "select 1 from message where held = 4 and held_at = ? and held_for = ? and seq < ? limit 1";

    private const string NoteTurn =
        "insert into hold_turn (held_at, held_for) values (?, ?) on conflict (held_at) do update set held_for = excluded.held_for";

    private const string DeleteTurn = "delete from hold_turn where held_at = ?";

    /// <summary>Row ids of the next messages in turn. Each costs two look-ups by the index, however many wait.</summary>
    /// <param name="without">Senders that are passed over.</param>
    public static List<long> Next(StoreConnection connection, AccountKey key, int count, IReadOnlySet<string> without)
    {
        string at = HoldKey.Of(key);
        var found = new List<long>(count);
        var last = new Dictionary<string, long>();
        SqliteStatement turn = connection.Prepared(SelectTurn).Bind(1, at);
        string? sender = turn.Step() ? turn.Text(0) : null;
        turn.Reset();
        int idle = 0; // Senders met in a row that had no more.
        while (found.Count < count && idle <= last.Count)
        {
            sender = (sender is null ? null : Text(connection.Prepared(NextSender).Bind(1, at).Bind(2, sender))) ?? Text(connection.Prepared(NextSender).Bind(1, at).Bind(2, ""));
            if (sender is null)
                break;
            long after = last.GetValueOrDefault(sender);
            long? seq = without.Contains(sender) ? null : Seq(connection.Prepared(NextOfSender).Bind(1, at).Bind(2, sender).Bind(3, after));
            last[sender] = seq ?? after;
            idle = seq is null ? idle + 1 : 0;
            if (seq is { } one)
                found.Add(one);
        }
        return found;
    }

    /// <summary>Another object that counts it, at which its sender has an older message waiting; null: it is the sender's oldest.</summary>
    public static AccountKey? OlderElsewhere(WriteContext context, SenderAccount account, AccountKey key, HeldOffer offer)
    {
        MessageClass messageClass = MessageClasses.Of(account, offer.Envelope, offer.Message);
        foreach (LevelLimit level in account.Levels)
        {
            if (level.Key == key || !level.Key.Counts(messageClass) || context.Usage.WaitingAt(level.Key) == 0)
                continue;
            if (HasOlder(context, level.Key, offer))
                return level.Key;
        }
        return null;
    }

    /// <summary>Whether its sender has an older message waiting at an object.</summary>
    public static bool HasOlder(WriteContext context, AccountKey key, HeldOffer offer)
    {
        SqliteStatement older = context.Prepared(SelectOlder).Bind(1, HoldKey.Of(key)).Bind(2, offer.For).Bind(3, offer.Seq);
        bool isThere = older.Step();
        older.Reset();
        return isThere;
    }

    /// <summary>Remembers who went last, also over a restart.</summary>
    public static void Note(WriteContext context, AccountKey key, string sender) =>
        context.Prepared(NoteTurn).Bind(1, HoldKey.Of(key)).Bind(2, sender).Execute();

    /// <summary>Nothing waits there any more.</summary>
    public static void Forget(WriteContext context, AccountKey key) => context.Prepared(DeleteTurn).Bind(1, HoldKey.Of(key)).Execute();

    private static long? Seq(SqliteStatement select)
    {
        long? seq = select.Step() ? select.Int64(0) : null;
        select.Reset();
        return seq;
    }

    private static string? Text(SqliteStatement select)
    {
        string? text = select.Step() ? select.Text(0) : null;
        select.Reset();
        return text;
    }
}
