using RelayGate.Core.Mail;
using RelayGate.Storage;

namespace RelayGate.Queue;

/// <summary>How many messages are in the queue, for status and metrics: from the writer's counts. The age of the oldest is read now and then, never on the way of a message.</summary>
public sealed class QueueGauge(SqliteRelayStore store, QueueScheduler scheduler, UsageTable usage, TimeProvider time) : IDisposable
{
    /// <summary>Entries that one read walks over at most: some milliseconds.</summary>
    private const int Step = 50_000;

    private const string SelectPending = "select message from (select message, state from recipient where message >= ? order by message limit ?) where state = 0 limit 1";
    private const string SelectLast = "select max(message), count(*) from (select message from recipient where message >= ? order by message limit ?)";
    private const string SelectId = "select id from message where seq = ?";

    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(15);
    private static readonly TimeSpan Fresh = TimeSpan.FromSeconds(1);

    private readonly Lock _gate = new();
    private readonly SemaphoreSlim _reading = new(1);
    private ITimer? _timer;
    private long _oldestSeq; // Rows before it are kept for their content alone; none of them is in the queue again.
    private DateTimeOffset? _oldestAt;
    private long _readAt = long.MinValue;

    /// <summary>What is in the queue now; the age of the oldest as it was read last.</summary>
    public QueueFigures Last
    {
        get
        {
            long held = usage.Holds.Total;
            long waiting = Math.Max(0, usage.Counts.Queued - held);
            long active = Math.Min(waiting, scheduler.Active);
            lock (_gate)
                return new QueueFigures(active, waiting - active, held, scheduler.InFlight, _oldestAt);
        }
    }

    /// <summary>Reads soon, and then every 15 seconds.</summary>
    public void Start() => _timer = time.CreateTimer(_ => _ = RefreshQuietlyAsync(), null, TimeSpan.Zero, Interval);

    /// <summary>Reads unless that was done within the last second.</summary>
    public async Task<QueueFigures> RefreshAsync(CancellationToken cancellationToken)
    {
        await _reading.WaitAsync(cancellationToken);
        try
        {
            if (_readAt != long.MinValue && time.GetElapsedTime(_readAt) < Fresh)
                return Last;
            DateTimeOffset? oldest = await OldestAsync(cancellationToken);
            lock (_gate)
                _oldestAt = oldest;
            _readAt = time.GetTimestamp();
            return Last;
        }
        finally
        {
            _reading.Release();
        }
    }

    public void Dispose()
    {
        _timer?.Dispose();
        _reading.Dispose();
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
            // The old figure stays.
        }
    }

    /// <summary>Arrival of the first message that has a recipient to serve; goes on where the last look ended, or at what was put back since.</summary>
    private async Task<DateTimeOffset?> OldestAsync(CancellationToken cancellationToken)
    {
        long revived = usage.Counts.TakeRevived();
        _oldestSeq = Math.Min(_oldestSeq, revived);
        while (true)
        {
            (long? pending, long last, bool isEnd, byte[]? id) = await store.ReadRawAsync(connection => Oldest(connection, _oldestSeq), cancellationToken);
            _oldestSeq = pending ?? last;
            if (pending is not null)
                return id is null ? null : QueueId.FromBytes(id).Timestamp;
            if (isEnd)
                return null;
        }
    }

    private static (long? Pending, long Last, bool IsEnd, byte[]? Id) Oldest(StoreConnection connection, long from)
    {
        SqliteStatement row = connection.Prepared(SelectPending).Bind(1, from).Bind(2, (long)Step);
        long? pending = row.Step() ? row.Int64(0) : null;
        row.Reset();
        if (pending is not { } seq)
        {
            row = connection.Prepared(SelectLast).Bind(1, from).Bind(2, (long)Step);
            row.Step();
            (long last, bool isEnd) = (row.NullableInt64(0) ?? from, row.Int64(1) < Step);
            row.Reset();
            return (null, last, isEnd, null);
        }
        SqliteStatement message = connection.Prepared(SelectId).Bind(1, seq);
        byte[]? id = message.Step() ? message.Blob(0).ToArray() : null;
        message.Reset();
        return (seq, seq, false, id);
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
