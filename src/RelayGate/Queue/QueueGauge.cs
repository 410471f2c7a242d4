using RelayGate.Core.Mail;
using RelayGate.Storage;

namespace RelayGate.Queue;

/// <summary>How many messages are in the queue, for status and metrics; counted over an index in short reads, never on the way of a message.</summary>
public sealed class QueueGauge(SqliteRelayStore store, QueueScheduler scheduler, UsageTable usage, TimeProvider time) : IDisposable
{
    /// <summary>Entries that one read walks over: some milliseconds.</summary>
    private const int Step = 50_000;

    private const string CountSome = "select count(*), max(id) from (select id from message where id > ? order by id limit ?)";
    private const string CountKept = "select count(*) from message where expires_at is not null";
    private const string OldestPending = "select min(message) filter (where state = 0), max(message), count(*) from (select message, state from recipient where message >= ? order by message limit ?)";
    private const string SelectId = "select id from message where seq = ?";

    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(15);
    private static readonly TimeSpan Fresh = TimeSpan.FromSeconds(1);

    private readonly SemaphoreSlim _counting = new(1);
    private ITimer? _timer;
    private volatile QueueFigures _last = new(0, 0, 0, 0, null);
    private long _oldestSeq; // Rows before it are kept for their content alone, and never come back into the queue.
    private long _countedAt = long.MinValue;

    /// <summary>What was counted last, with what is in flight now.</summary>
    public QueueFigures Last => _last with { InFlight = scheduler.InFlight };

    /// <summary>Counts now and then every 15 seconds.</summary>
    public async Task StartAsync(CancellationToken cancellationToken)
    {
        await RefreshAsync(cancellationToken);
        _timer = time.CreateTimer(_ => _ = RefreshQuietlyAsync(), null, Interval, Interval);
    }

    /// <summary>Counts unless that was done within the last second.</summary>
    public async Task<QueueFigures> RefreshAsync(CancellationToken cancellationToken)
    {
        await _counting.WaitAsync(cancellationToken);
        try
        {
            if (_countedAt != long.MinValue && time.GetElapsedTime(_countedAt) < Fresh)
                return Last;
            long all = 0;
            byte[] after = [];
            while (true)
            {
                byte[] from = after;
                (long count, byte[]? last) = await store.ReadRawAsync(connection => Some(connection, from), cancellationToken);
                all += count;
                if (last is null || count < Step)
                    break;
                after = last;
            }
            long held = usage.Holds.Total;
            long kept = await store.ReadRawAsync(connection => Count(connection, CountKept), cancellationToken);
            DateTimeOffset? oldest = await OldestAsync(cancellationToken);
            long waiting = Math.Max(0, all - held - kept);
            long active = Math.Min(waiting, scheduler.Active);
            _last = new QueueFigures(active, waiting - active, held, 0, oldest);
            _countedAt = time.GetTimestamp();
            return Last;
        }
        finally
        {
            _counting.Release();
        }
    }

    public void Dispose()
    {
        _timer?.Dispose();
        _counting.Dispose();
    }

    /// <summary>On the timer: a store that fails is reported by those who need it.</summary>
    private async Task RefreshQuietlyAsync()
    {
        try
        {
            await RefreshAsync(CancellationToken.None);
        }
        catch (Exception error) when (error is ObjectDisposedException or OperationCanceledException or System.Data.Common.DbException or InvalidOperationException)
        {
            // The old figures stay.
        }
    }

    private static (long Count, byte[]? Last) Some(StoreConnection connection, byte[] after)
    {
        SqliteStatement row = connection.Prepared(CountSome).Bind(1, after).Bind(2, (long)Step);
        row.Step();
        (long, byte[]?) result = (row.Int64(0), row.Int64(0) == 0 ? null : row.Blob(1).ToArray());
        row.Reset();
        return result;
    }

    private static long Count(StoreConnection connection, string sql)
    {
        SqliteStatement row = connection.Prepared(sql);
        row.Step();
        long count = row.Int64(0);
        row.Reset();
        return count;
    }

    /// <summary>Arrival of the first message that has a recipient to serve; goes on where the last look ended.</summary>
    private async Task<DateTimeOffset?> OldestAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            (long? pending, long last, long rows, byte[]? id) = await store.ReadRawAsync(connection => Oldest(connection, _oldestSeq), cancellationToken);
            if (pending is null && rows < Step)
                return null;
            _oldestSeq = pending ?? last;
            if (pending is not null)
                return id is null ? null : QueueId.FromBytes(id).Timestamp;
        }
    }

    private static (long? Pending, long Last, long Rows, byte[]? Id) Oldest(StoreConnection connection, long from)
    {
        SqliteStatement row = connection.Prepared(OldestPending).Bind(1, from).Bind(2, (long)Step);
        row.Step();
        (long? pending, long last, long rows) = (row.NullableInt64(0), row.NullableInt64(1) ?? from, row.Int64(2));
        row.Reset();
        if (pending is not { } seq)
            return (null, last, rows, null);
        SqliteStatement message = connection.Prepared(SelectId).Bind(1, seq);
        byte[]? id = message.Step() ? message.Blob(0).ToArray() : null;
        message.Reset();
        return (seq, last, rows, id);
    }
}

/// <param name="Active">Messages that the scheduler has taken up: in an attempt, or next in turn for one.</param>
/// <param name="Deferred">Messages that wait in the store for the time of their next attempt, or for a place among the active ones.</param>
/// <param name="Held">Messages that are parked.</param>
/// <param name="InFlight">Delivery jobs in flight now.</param>
/// <param name="OldestAt">Arrival of the oldest message that has a recipient to serve, held ones included; null when there is none.</param>
public sealed record QueueFigures(long Active, long Deferred, long Held, long InFlight, DateTimeOffset? OldestAt)
{
    /// <summary>Messages that wait for an attempt or are in one.</summary>
    public long Waiting => Active + Deferred;
}
