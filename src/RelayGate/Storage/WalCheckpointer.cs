using Microsoft.Data.Sqlite;
using Microsoft.Extensions.Logging;
using RelayGate.Telemetry;
using SQLitePCL;

namespace RelayGate.Storage;

/// <summary>
/// Moves the write-ahead log into the database file when it has grown. Most of the work is done beside the writer; the writer itself moves
/// the short rest, so that the log is empty at one moment and begins anew. Far behind, the writer waits.
/// </summary>
internal sealed class WalCheckpointer : IDisposable
{
    /// <summary>Octets of log at which a checkpoint begins.</summary>
    public const long Begin = 64L * 1024 * 1024;

    /// <summary>Octets of log above which the writer pauses until it is empty.</summary>
    public const long Pause = 512L * 1024 * 1024;

    private const int FrameOctets = 8192 + 24;
    private const int RestartMilliseconds = 1000; // No read lasts longer than 100 ms; one that does is not waited for by all who write.
    private const int CacheWrite = 9; // SQLITE_DBSTATUS_CACHE_WRITE: pages the connection has written, here always to the log.

    private static readonly TimeSpan Again = TimeSpan.FromSeconds(1); // After a reader kept the log from beginning anew.
    private static readonly TimeSpan AfterFailure = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan BetweenRestarts = TimeSpan.FromSeconds(30);

    private readonly SqliteRelayStore _store;
    private readonly RelayGateMetrics _metrics;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly Thread _thread;
    private readonly SemaphoreSlim _begin = new(0);
    private readonly ManualResetEventSlim _idle = new(true);
    private StoreConnection? _writer; // Page counts are those of this connection.
    private int _pagesSeen;
    private long _pagesInLog;
    private (long Since, TimeSpan For) _rest; // No checkpoint begins while this lasts.
    private long? _restartedAt;
    private volatile bool _moved;
    private volatile bool _stopping;
    private volatile int _logFrames;

    public WalCheckpointer(SqliteRelayStore store, RelayGateMetrics metrics, TimeProvider time, ILogger logger)
    {
        _store = store;
        _metrics = metrics;
        _time = time;
        _logger = logger;
        _thread = new Thread(Run) { IsBackground = true, Name = "store checkpoint" };
        _thread.Start();
    }

    /// <summary>Where a checkpoint begins and where the writer pauses: tests need not write so much.</summary>
    internal (long Begin, long Pause) Bounds { get; set; } = (Begin, Pause);

    /// <summary>Tests answer here, in place of SQLite, what a disk would that takes no more of the database file; told whether it is a RESTART.</summary>
    internal Func<bool, int?>? Fault { get; set; }

    /// <summary>Waits until nothing runs beside the writer.</summary>
    internal void WaitIdle() => _idle.Wait();

    /// <summary>Called by the writer between two batches, outside a transaction.</summary>
    /// <returns>Why the log could not be moved into the database file, or null: nothing to do, done, or a reader was in the way.</returns>
    public SqliteException? AfterCommit(StoreConnection writer)
    {
        if (raw.sqlite3_db_status(writer.Connection.Handle, CacheWrite, out int pages, out _, 0) != raw.SQLITE_OK)
            return null;
        if (writer != _writer)
        {
            _writer = writer; // Opened anew: the log was emptied then.
            _pagesSeen = pages;
            _pagesInLog = 0;
        }
        _pagesInLog += PagesSince(_pagesSeen, pages);
        _pagesSeen = pages;
        long logOctets = _pagesInLog * FrameOctets;
        if (logOctets < Bounds.Begin)
            return null;
        if (!_idle.IsSet)
        {
            if (logOctets < Bounds.Pause)
                return null;
            _idle.Wait();
        }
        if (!_moved)
        {
            if (_time.GetElapsedTime(_rest.Since) < _rest.For)
                return null;
            _idle.Reset();
            _begin.Release();
            return null;
        }
        _moved = false;
        bool far = Math.Max(logOctets, (long)_logFrames * FrameOctets) >= Bounds.Pause; // A reader kept the log from beginning anew more than once.
        int result = far && MayRestart() ? Restart(writer, out bool isEmpty) : Checkpoint(writer, raw.SQLITE_CHECKPOINT_PASSIVE, out isEmpty);
        if (isEmpty)
        {
            _pagesInLog = 0;
            _rest = default;
            return null;
        }
        SqliteException? failure = Failure(result);
        _rest = (_time.GetTimestamp(), failure is null ? Again : AfterFailure);
        return failure;
    }

    /// <summary>SQLite's count of pages begins again at 0 after 2^31 of them: days, on a busy gateway.</summary>
    internal static int PagesSince(int before, int now) => unchecked(now - before) & int.MaxValue;

    public void Dispose()
    {
        _stopping = true;
        _begin.Release();
        _thread.Join();
        _begin.Dispose();
        _idle.Dispose();
    }

    private void Run()
    {
        while (true)
        {
            _begin.Wait();
            if (_stopping)
                return;
            try
            {
                using StoreConnection connection = _store.OpenWriteConnection();
                if (Failure(Checkpoint(connection, raw.SQLITE_CHECKPOINT_PASSIVE, out _)) is { } failure)
                    Report(failure);
            }
            catch (SqliteException e)
            {
                Report(e);
            }
            _moved = true;
            _idle.Set();
        }
    }

    /// <summary>The writer now does the whole on its own connection, and what it meets there decides.</summary>
    private void Report(SqliteException failure)
    {
        _metrics.StoreErrors.Increment(StoreErrors.Classify(failure) == StoreError.Full ? "full" : "io");
        Log.CheckpointFailed(_logger, failure);
    }

    /// <summary>Each try may hold up all who write for as long as it waits for readers, so that it is not made at every commit.</summary>
    private bool MayRestart()
    {
        if (_restartedAt is { } last && _time.GetElapsedTime(last) < BetweenRestarts)
            return false;
        _restartedAt = _time.GetTimestamp();
        return true;
    }

    private int Restart(StoreConnection writer, out bool isEmpty)
    {
        raw.sqlite3_busy_timeout(writer.Connection.Handle, RestartMilliseconds);
        try
        {
            return Checkpoint(writer, raw.SQLITE_CHECKPOINT_RESTART, out isEmpty);
        }
        finally
        {
            raw.sqlite3_busy_timeout(writer.Connection.Handle, StoreConnection.BusySeconds * 1000);
        }
    }

    private int Checkpoint(StoreConnection connection, int mode, out bool isEmpty)
    {
        isEmpty = false;
        if (Fault?.Invoke(mode == raw.SQLITE_CHECKPOINT_RESTART) is { } fault)
            return fault;
        int result = raw.sqlite3_wal_checkpoint_v2(connection.Connection.Handle, null, mode, out int frames, out int moved);
        if (result != raw.SQLITE_OK)
            return result;
        _logFrames = frames;
        isEmpty = frames == moved;
        return result;
    }

    /// <summary>Whoever is in the way leaves; anything else is a fault of the disk.</summary>
    private static SqliteException? Failure(int result) => (result & 0xff) is raw.SQLITE_OK or raw.SQLITE_BUSY or raw.SQLITE_LOCKED
        ? null
        : new SqliteException($"The log could not be moved into the database file: {raw.sqlite3_errstr(result).utf8_to_string()}", result & 0xff, result);
}
