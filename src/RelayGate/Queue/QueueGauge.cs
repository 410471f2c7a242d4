using RelayGate.Core.Mail;
using RelayGate.Storage;

namespace RelayGate.Queue;

/// <summary>How many messages are in the queue, for status and metrics; counted over an index in short reads, never on the way of a message.</summary>
public sealed class QueueGauge(SqliteRelayStore store, QueueScheduler scheduler, TimeProvider time) : IDisposable
{
    /// <summary>Entries that one read walks over: some milliseconds.</summary>
    private const int Step = 50_000;

    private const string CountSome = "select count(*), max(id) from (select id from message where id > ? order by id limit ?)";
    private const string CountHeld = "select count(*) from message where held <> 0";
    private const string CountKept = "select count(*) from message where expires_at is not null";
    private const string Oldest = "select min(id) from message";

    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(15);
    private static readonly TimeSpan Fresh = TimeSpan.FromSeconds(1);

    private readonly SemaphoreSlim _counting = new(1);
    private ITimer? _timer;
    private volatile QueueFigures _last = new(0, 0, 0, null);
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
            (long held, long kept, byte[]? oldest) = await store.ReadRawAsync(
                connection => (Count(connection, CountHeld), Count(connection, CountKept), First(connection)), cancellationToken);
            _last = new QueueFigures(Math.Max(0, all - held - kept), held, 0, all > kept && oldest is not null ? QueueId.FromBytes(oldest).Timestamp : null);
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

    private static byte[]? First(StoreConnection connection)
    {
        SqliteStatement row = connection.Prepared(Oldest);
        byte[]? first = row.Step() && row.Blob(0) is { Length: > 0 } id ? id.ToArray() : null;
        row.Reset();
        return first;
    }
}

/// <param name="Waiting">Messages that wait for an attempt or are in one.</param>
/// <param name="Held">Messages that are parked.</param>
/// <param name="InFlight">Delivery jobs in flight now.</param>
/// <param name="OldestAt">Arrival of the oldest message, or null when the queue is empty.</param>
public sealed record QueueFigures(long Waiting, long Held, long InFlight, DateTimeOffset? OldestAt);
