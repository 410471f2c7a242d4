using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using RelayGate.Configuration;
using RelayGate.Core.Mail;
using RelayGate.Storage;
using RelayGate.Telemetry;

namespace RelayGate.Queue;

/// <summary>What one round of housekeeping removed.</summary>
/// <param name="Decisions">Records, with their attempts.</param>
/// <param name="Messages">Failed messages whose content is kept no longer.</param>
/// <param name="Chunks">Chunk rows that no message came for.</param>
/// <param name="UsageHours">Rows of the hourly history.</param>
/// <param name="Audit">Rows of the audit list.</param>
/// <param name="Notices">Notices, or deliveries to webhooks.</param>
/// <param name="Pages">Free pages given back to the file system.</param>
public sealed record MaintenanceResult(long Decisions, long Messages, long Chunks, long UsageHours, long Audit, long Notices, long Pages);

/// <summary>Removes what is kept no longer: old records, content of failed messages, orphan chunks, old hours; and gives free pages back.</summary>
/// <remarks>
/// A round runs every ten minutes. It finds by short reads and deletes in writes of at most <see cref="MaxRows"/> rows, with a pause after each,
/// so that mail never waits behind it. A round that fails is logged, and the next one goes on.
/// </remarks>
public sealed class Maintenance : IHostedService, IDisposable
{
    /// <summary>Rows that one write deletes at most.</summary>
    public const int MaxRows = 500;

    private const int MaxChunks = 32; // 8 MiB: their pages are walked through to be freed.
    private const int MinimumFreePages = 4096; // 32 MiB stay in the file to be used again.
    private const int MaxUploads = 100_000; // Large bodies under way that are remembered: far above the bound of sessions.

    private static readonly TimeSpan FirstRound = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan Interval = TimeSpan.FromMinutes(10);
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan OrphanAge = TimeSpan.FromHours(1);
    private static readonly TimeSpan LeastAudit = TimeSpan.FromDays(31);

    private readonly SqliteRelayStore _store;
    private readonly QueueWriter _writer;
    private readonly RetentionOptions _retention;
    private readonly TimeProvider _time;
    private readonly ILogger<Maintenance> _logger;
    private readonly BackgroundLoop _loop = new();
    private readonly Dictionary<QueueId, Upload> _uploads = [];

    public Maintenance(SqliteRelayStore store, QueueWriter writer, RelayGateOptions options, TimeProvider time, ILogger<Maintenance> logger)
    {
        _store = store;
        _writer = writer;
        _retention = options.Retention;
        _time = time;
        _logger = logger;
    }

    public Task StartAsync(CancellationToken cancellationToken)
    {
        _loop.Start(RunAsync);
        return Task.CompletedTask;
    }

    /// <summary>Ends the loop after the write that runs.</summary>
    public Task StopAsync(CancellationToken cancellationToken) => _loop.StopAsync(cancellationToken);

    /// <summary>Ends the loop also where it was not stopped, as after a start that failed.</summary>
    public void Dispose() => _loop.Dispose();

    /// <summary>Completes when the loop has ended.</summary>
    internal Task Ended => _loop.Ended;

    /// <summary>One round.</summary>
    public async Task<MaintenanceResult> RunOnceAsync(CancellationToken cancellationToken)
    {
        DateTimeOffset now = _time.GetUtcNow();
        long messages = await RemoveFailedAsync(now, cancellationToken);
        long decisions = await RemoveDecisionsAsync(now - _retention.Decisions, cancellationToken);
        long chunks = await RemoveOrphansAsync(now, cancellationToken);
        long hours = await RemoveHistoryAsync(now - _retention.History, cancellationToken);
        TimeSpan keep = _retention.Decisions > LeastAudit ? _retention.Decisions : LeastAudit;
        long audit = await RemoveAuditAsync(now - keep, cancellationToken);
        long notices = await RemoveNoticesAsync(now - keep, cancellationToken);
        long pages = await VacuumAsync(cancellationToken);
        return new MaintenanceResult(decisions, messages, chunks, hours, audit, notices, pages);
    }

    private async Task RunAsync()
    {
        TimeSpan wait = FirstRound;
        while (true)
        {
            try
            {
                await Task.Delay(wait, _time, _loop.Stopping);
                MaintenanceResult done = await RunOnceAsync(_loop.Stopping);
                if (done.Decisions + done.Messages + done.Chunks + done.UsageHours + done.Audit + done.Notices + done.Pages > 0)
                    Log.MaintenanceDone(_logger, done.Decisions, done.Messages, done.Chunks, done.UsageHours, done.Audit, done.Notices, done.Pages);
            }
            catch (OperationCanceledException) when (_loop.Stopping.IsCancellationRequested)
            {
                return;
            }
            catch (Exception e)
            {
                Log.MaintenanceFailed(_logger, e); // Full disk, broken store: the next round goes on.
            }
            wait = Interval;
        }
    }

    private async Task<long> RemoveFailedAsync(DateTimeOffset now, CancellationToken cancellationToken)
    {
        long removed = 0;
        while (true)
        {
            int done = await WriteAsync(context => MaintenanceRows.RemoveFailed(context, now.ToUnixTimeMilliseconds(), MaxRows), cancellationToken);
            removed += done;
            if (done == 0)
                return removed;
        }
    }

    /// <summary>Records go when they are old, unless their message is still in the queue or its content is kept.</summary>
    private async Task<long> RemoveDecisionsAsync(DateTimeOffset before, CancellationToken cancellationToken)
    {
        long removed = 0;
        byte[] end = QueueId.Create(before, 0, 0).ToBytes();
        byte[] after = new byte[16];
        while (true)
        {
            (List<byte[]> ids, byte[]? last) = await _store.ReadRawAsync(connection => MaintenanceRows.OldDecisions(connection, after, end, MaxRows), cancellationToken);
            while (ids.Count > 0)
            {
                List<byte[]> left = ids;
                int done = await WriteAsync(context => MaintenanceRows.RemoveDecisions(context, left, MaxRows), cancellationToken);
                removed += done;
                ids = ids[done..];
            }
            if (last is null)
                return removed;
            after = last;
        }
    }

    /// <summary>
    /// Chunks without a message belong to an upload under way, or to one that was cut off: they go when nothing was added for an hour. What a
    /// run before this one left behind is given the same hour, counted from the first round.
    /// </summary>
    private async Task<long> RemoveOrphansAsync(DateTimeOffset now, CancellationToken cancellationToken)
    {
        long removed = 0;
        var seen = new HashSet<QueueId>();
        byte[] after = new byte[16];
        byte[] end = QueueId.Create(now - OrphanAge, 0, 0).ToBytes();
        while (true)
        {
            (List<(QueueId Id, int Chunks)> uploads, byte[]? last) =
                await _store.ReadRawAsync(connection => MaintenanceRows.Uploads(connection, after, end, MaxRows), cancellationToken);
            foreach ((QueueId id, int chunks) in uploads)
            {
                seen.Add(id);
                if (IsOrphan(id, chunks))
                    removed += await RemoveChunksAsync(id, cancellationToken);
            }
            if (last is null)
                break;
            after = last;
        }
        foreach (QueueId gone in _uploads.Keys.Where(id => !seen.Contains(id)).ToList())
            _uploads.Remove(gone);
        return removed;
    }

    private bool IsOrphan(QueueId id, int chunks)
    {
        if (_uploads.TryGetValue(id, out Upload known) && known.Chunks == chunks)
            return _time.GetElapsedTime(known.SeenAt) >= OrphanAge;
        if (_uploads.Count < MaxUploads || _uploads.ContainsKey(id))
            _uploads[id] = new Upload(chunks, _time.GetTimestamp());
        return false;
    }

    private async Task<long> RemoveChunksAsync(QueueId id, CancellationToken cancellationToken)
    {
        long removed = 0;
        while (true)
        {
            int done = await WriteAsync(context => MaintenanceRows.RemoveOrphan(context, id, MaxChunks), cancellationToken);
            removed += done;
            if (done < MaxChunks)
                return removed;
        }
    }

    private async Task<long> RemoveHistoryAsync(DateTimeOffset before, CancellationToken cancellationToken)
    {
        long removed = 0;
        while (true)
        {
            int done = await WriteAsync(context => MaintenanceRows.RemoveHistory(context, UsageHistory.HourOf(before), MaxRows), cancellationToken);
            removed += done;
            if (done < MaxRows)
                return removed;
        }
    }

    private async Task<long> RemoveAuditAsync(DateTimeOffset before, CancellationToken cancellationToken)
    {
        long removed = 0;
        while (true)
        {
            int done = await WriteAsync(context => AuditRows.RemoveOld(context.Connection.Connection, before, MaxRows), cancellationToken);
            removed += done;
            if (done < MaxRows)
                return removed;
        }
    }

    private async Task<long> RemoveNoticesAsync(DateTimeOffset before, CancellationToken cancellationToken)
    {
        byte[] end = QueueId.Create(before, 0, 0).ToBytes();
        long removed = 0;
        while (true)
        {
            int done = await WriteAsync(context => MaintenanceRows.RemoveNotices(context, end, MaxRows), cancellationToken);
            removed += done;
            if (done < MaxRows)
                return removed;
        }
    }

    /// <summary>Gives pages back while many are free: more than a tenth of the file and more than 32 MiB.</summary>
    private async Task<long> VacuumAsync(CancellationToken cancellationToken)
    {
        long given = 0;
        while (true)
        {
            (long free, long all) = await _store.ReadRawAsync(
                connection => (connection.Scalar("PRAGMA freelist_count"), connection.Scalar("PRAGMA page_count")), cancellationToken);
            if (free <= MinimumFreePages || free <= all / 10)
                return given;
            int done = await WriteAsync(MaintenanceRows.Vacuum, cancellationToken);
            given += done;
            if (done == 0)
                return given;
        }
    }

    private async Task<int> WriteAsync(Func<WriteContext, int> write, CancellationToken cancellationToken)
    {
        int done = await _writer.RunAsync(write, cancellationToken);
        if (done > 0)
            await Task.Delay(Pause, _time, cancellationToken);
        return done;
    }

    /// <param name="SeenAt">When it was first seen with so many chunks, by the monotonic clock.</param>
    private readonly record struct Upload(int Chunks, long SeenAt);
}
