using System.Net;
using RelayGate.Storage;

namespace RelayGate.Queue;

/// <summary>Mail that was put off until something ends: a pause, a rest, a suspension of a destination.</summary>
public sealed class WaitingMail(SqliteRelayStore store, QueueWriter writer, TimeProvider time)
{
    private const int Batch = 250; // Rows of one write.
    private const int PerSecond = 500; // What wakes is spread, so that it does not meet the next hop, or the scheduler, all at once.
    private const int MaxKeys = 1024;

    private const string Select = "select message, position from recipient where waits_for = ? order by next_attempt limit ?";
    private const string Wake = "update recipient set next_attempt = min(next_attempt, ?), waits_for = null where message = ? and position = ?";
    private const string Next = "select min(waits_for) from recipient where waits_for > ? and waits_for < ?";
    private const string CountFrom = "select count(*) from (select 1 from recipient where waits_for > ? and waits_for < ? limit ?)";
    private const string CountAll = "select count(*) from (select 1 from recipient where waits_for = ? limit ?)";

    private readonly Lock _gate = new();
    private readonly Dictionary<WaitKey, long> _ended = [];
    private readonly Queue<(WaitKey Key, long Number)> _order = [];
    private long _number;
    private long _forgotten; // Whatever ended up to here may have ended anything.

    /// <summary>Names the present, for <see cref="PutOffAsync"/>.</summary>
    internal long Stamp => Volatile.Read(ref _number);

    /// <summary>What the mail waited for has ended: it is due now, the first in line first, 500 recipients a second.</summary>
    /// <returns>Recipients that no longer wait.</returns>
    public async Task<int> WakeWaitersAsync(WaitKey key, CancellationToken cancellationToken = default)
    {
        Note(key);
        DateTimeOffset start = time.GetUtcNow();
        int woken = 0;
        while (true)
        {
            DateTimeOffset due = start.AddSeconds(woken / PerSecond);
            (int some, _) = await writer.RunAsync(
                context => (Count: WakeSome(context, key, due), context.Rescheduled), cancellationToken, step => step.Rescheduled(due));
            woken += some;
            if (some < Batch)
                return woken;
        }
    }

    /// <summary>Recipients that wait for this.</summary>
    /// <param name="most">Counted up to here.</param>
    public Task<int> CountAsync(WaitKey key, int most, CancellationToken cancellationToken) => store.ReadRawAsync(
        connection =>
        {
            SqliteStatement count = connection.Prepared(CountAll).Bind(1, key.Text).Bind(2, most);
            count.Step();
            int found = count.Int32(0);
            count.Reset();
            return found;
        },
        cancellationToken);

    /// <summary>Recipients that wait for a local address at any provider.</summary>
    /// <param name="most">Counted up to here.</param>
    public Task<int> CountAtProvidersAsync(IPAddress address, int most, CancellationToken cancellationToken) => store.ReadRawAsync(
        connection =>
        {
            string prefix = WaitKey.Ip(address).Text;
            SqliteStatement count = connection.Prepared(CountFrom).Bind(1, prefix + ' ').Bind(2, prefix + '!').Bind(3, most);
            count.Step();
            int found = count.Int32(0);
            count.Reset();
            return found;
        },
        cancellationToken);

    /// <summary>Goes through what mail waits for: the next one by text.</summary>
    /// <param name="kind">As <see cref="WaitKey.Kind"/>.</param>
    /// <param name="after">Null: the first.</param>
    internal Task<WaitKey?> NextAsync(string kind, WaitKey? after, CancellationToken cancellationToken) => store.ReadRawAsync(
        connection =>
        {
            SqliteStatement next = connection.Prepared(Next).Bind(1, after?.Text ?? kind).Bind(2, kind + '!');
            WaitKey? found = next.Step() && next.NullableText(0) is { } text ? new WaitKey(text) : null;
            next.Reset();
            return found;
        },
        cancellationToken);

    /// <summary>Stores that a job is put off.</summary>
    /// <param name="stamp">From before it was decided: what has ended since makes it due at once.</param>
    internal Task<CompletionResult> PutOffAsync(DeliveryJob job, PutOff wait, DateTimeOffset until, PutOffEntry? told, long stamp) =>
        writer.PutOffAsync(job, wait, until, () => HasEnded(wait.WaitsFor, stamp), told);

    private static int WakeSome(WriteContext context, WaitKey key, DateTimeOffset due)
    {
        var rows = new List<(long Message, int Position)>(Batch);
        SqliteStatement select = context.Prepared(Select).Bind(1, key.Text).Bind(2, Batch);
        while (select.Step())
            rows.Add((select.Int64(0), select.Int32(1)));
        foreach ((long message, int position) in rows)
            context.Prepared(Wake).Bind(1, due.ToUnixTimeMilliseconds()).Bind(2, message).Bind(3, position).Execute();
        return rows.Count;
    }

    private void Note(WaitKey key)
    {
        lock (_gate)
        {
            _ended[key] = ++_number;
            _order.Enqueue((key, _number));
            if (_order.Count <= MaxKeys)
                return;
            (WaitKey oldest, _forgotten) = _order.Dequeue();
            if (_ended[oldest] == _forgotten)
                _ended.Remove(oldest);
        }
    }

    /// <summary>Whether what mail waited for has ended since.</summary>
    internal bool HasEnded(WaitKey key, long stamp)
    {
        lock (_gate)
            return stamp < _forgotten || (_ended.TryGetValue(key, out long number) && number > stamp);
    }
}
