using RelayGate.Storage;

namespace RelayGate.Queue;

/// <summary>Places of held messages among those that wait with them: read once for each object and sender, however many messages are asked for.</summary>
internal sealed class HoldLines
{
    /// <summary>Senders of one object whose messages are counted.</summary>
    private const int MaxSenders = 200;

    private const string SelectSenders = "select held_for, count(*) from message where held = 4 and held_at = ? group by held_for order by held_for limit 200";
    private const string SelectOwn = "select seq from message where held = 4 and held_at = ? and held_for = ? order by seq limit 10000";

    private readonly Dictionary<string, List<(string Sender, long Count)>> _senders = [];
    private readonly Dictionary<(string At, string Sender), List<long>> _own = [];

    /// <summary>Its sender's older messages, and of each other sender as many as have a turn before it.</summary>
    public long Ahead(StoreConnection connection, string at, string sender, long seq)
    {
        int place = Own(connection, at, sender).BinarySearch(seq);
        long own = place < 0 ? ~place : place, ahead = own;
        foreach ((string other, long count) in Senders(connection, at))
        {
            if (other != sender)
                ahead += Math.Min(count, own + 1);
        }
        return ahead;
    }

    private List<(string Sender, long Count)> Senders(StoreConnection connection, string at)
    {
        if (_senders.TryGetValue(at, out List<(string, long)>? known))
            return known;
        var senders = new List<(string, long)>(MaxSenders);
        SqliteStatement row = connection.Prepared(SelectSenders).Bind(1, at);
        while (row.Step())
            senders.Add((row.Text(0), row.Int64(1)));
        return _senders[at] = senders;
    }

    private List<long> Own(StoreConnection connection, string at, string sender)
    {
        if (_own.TryGetValue((at, sender), out List<long>? known))
            return known;
        var own = new List<long>();
        SqliteStatement row = connection.Prepared(SelectOwn).Bind(1, at).Bind(2, sender);
        while (row.Step())
            own.Add(row.Int64(0));
        return _own[(at, sender)] = own;
    }
}
