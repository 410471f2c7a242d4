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
    private const int CacheWrite = 9; // SQLITE_DBSTATUS_CACHE_WRITE: pages the connection has written, here always to the log.

    private readonly SqliteRelayStore _store;
    private readonly Thread _thread;
    private readonly SemaphoreSlim _begin = new(0);
    private readonly ManualResetEventSlim _idle = new(true);
    private StoreConnection? _writer; // Page counts are those of this connection.
    private int _pagesSeen;
    private long _pagesInLog;
    private volatile bool _moved;
    private volatile bool _stopping;
    private volatile int _logFrames;

    public WalCheckpointer(SqliteRelayStore store)
    {
        _store = store;
        _thread = new Thread(Run) { IsBackground = true, Name = "store checkpoint" };
        _thread.Start();
    }

    /// <summary>Called by the writer between two batches, outside a transaction.</summary>
    public void AfterCommit(StoreConnection writer)
    {
        if (raw.sqlite3_db_status(writer.Connection.Handle, CacheWrite, out int pages, out _, 0) != raw.SQLITE_OK)
            return;
        if (writer != _writer)
        {
            _writer = writer; // Opened anew: the log was emptied then.
            _pagesSeen = pages;
            _pagesInLog = 0;
        }
        _pagesInLog += PagesSince(_pagesSeen, pages);
        _pagesSeen = pages;
        long logOctets = _pagesInLog * FrameOctets;
        if (logOctets < Begin)
            return;
        if (!_idle.IsSet)
        {
            if (logOctets < Pause)
                return;
            _idle.Wait();
        }
        if (!_moved)
        {
            _idle.Reset();
            _begin.Release();
            return;
        }
        _moved = false;
        bool far = Math.Max(logOctets, (long)_logFrames * FrameOctets) >= Pause; // A reader kept the log from beginning anew more than once.
        int result = raw.sqlite3_wal_checkpoint_v2(
            writer.Connection.Handle, null, far ? raw.SQLITE_CHECKPOINT_RESTART : raw.SQLITE_CHECKPOINT_PASSIVE, out int frames, out int moved);
        if (result == raw.SQLITE_OK && frames == moved)
            _pagesInLog = 0;
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
                if (raw.sqlite3_wal_checkpoint_v2(connection.Connection.Handle, null, raw.SQLITE_CHECKPOINT_PASSIVE, out int frames, out _) == raw.SQLITE_OK)
                    _logFrames = frames;
            }
            catch (Microsoft.Data.Sqlite.SqliteException)
            {
                // What is broken here is met, and reported, by the writer.
            }
            _moved = true;
            _idle.Set();
        }
    }
}
