using Microsoft.Data.Sqlite;
using RelayGate.Storage;
using RelayGate.Telemetry;
using SQLitePCL;

namespace RelayGate.Queue;

public sealed partial class QueueWriter
{
    private const int MaxBatchWrites = 256;
    private const long MaxBatchOctets = 16 * 1024 * 1024;

    /// <summary>Writes answered with an error after a commit whose end is not known: taken back when the store is open again.</summary>
    private readonly List<PendingWrite> _doubtful = [];

    private readonly List<PendingWrite> _single = new(1);
    private bool _closed;

    private void Run()
    {
        var batch = new List<PendingWrite>(MaxBatchWrites);
        while (_mailbox.Take(batch, MaxBatchWrites, MaxBatchOctets))
        {
            if (batch.Count > 0)
                Write(batch);
            batch.Clear();
        }
        CloseConnection();
    }

    /// <summary>Commits a batch and ends each of its writes; never throws.</summary>
    private void Write(List<PendingWrite> batch)
    {
        if (_closed && !TryReopen(out Exception? cause))
        {
            Fail(batch, StoreError.Broken, cause!);
            return;
        }
        try
        {
            Commit(batch);
        }
        catch (Exception e)
        {
            Recover(batch, e);
            return;
        }
        foreach (PendingWrite write in batch)
        {
            if (write.Failure is { } failure)
                write.Failed(StoreErrors.Classify(failure), failure);
            else
                write.Committed(_context);
        }
    }

    private void Commit(List<PendingWrite> batch)
    {
        _context.Prepared(Sql.BeginImmediate).Execute();
        foreach (PendingWrite write in batch)
        {
            write.Failure = null;
            if (write.HasSavepoint)
                ExecuteInSavepoint(write);
            else
                write.Execute(_context);
        }
        _context.Prepared(Sql.Commit).Execute();
    }

    private void ExecuteInSavepoint(PendingWrite write)
    {
        _context.Prepared(Sql.Savepoint).Execute();
        try
        {
            write.Execute(_context);
        }
        catch (Exception e) when (StoreErrors.Classify(e) == StoreError.Statement)
        {
            _context.Prepared(Sql.RollbackToSavepoint).Execute();
            write.Failure = e;
        }
        _context.Prepared(Sql.ReleaseSavepoint).Execute();
    }

    /// <summary>Decides what becomes of a batch that could not be committed.</summary>
    private void Recover(List<PendingWrite> batch, Exception failure)
    {
        StoreError error = StoreErrors.Classify(failure);
        if (!TryRollback())
            error = StoreError.Broken;
        switch (error)
        {
            case StoreError.Broken:
                Log.StoreBroken(_logger, failure);
                CloseConnection();
                _doubtful.AddRange(batch);
                Fail(batch, error, failure);
                break;
            case StoreError.Full:
                Fail(batch, error, failure);
                break;
            default:
                if (batch.Count == 1)
                    Fail(batch, error, failure);
                else
                    WriteOneByOne(batch);
                break;
        }
    }

    private void WriteOneByOne(List<PendingWrite> batch)
    {
        foreach (PendingWrite write in batch)
        {
            _single.Clear();
            _single.Add(write);
            Write(_single);
        }
    }

    private static void Fail(List<PendingWrite> batch, StoreError error, Exception cause)
    {
        foreach (PendingWrite write in batch)
            write.Failed(error, cause);
    }

    private bool TryRollback()
    {
        try
        {
            if (raw.sqlite3_get_autocommit(_context.Connection.Connection.Handle) == 0)
                _context.Prepared(Sql.Rollback).Execute();
            return true;
        }
        catch (SqliteException)
        {
            return false;
        }
    }

    private bool TryReopen(out Exception? cause)
    {
        try
        {
            _context.Connection = _store.Reopen();
            foreach (PendingWrite write in _doubtful)
                write.Undo(_context.Connection);
        }
        catch (Exception e)
        {
            cause = e;
            return false;
        }
        _doubtful.Clear();
        _closed = false;
        cause = null;
        Log.StoreReopened(_logger);
        Reopened?.Invoke();
        return true;
    }

    private void CloseConnection()
    {
        if (_closed)
            return;
        _closed = true;
        _context.Connection.Dispose();
    }
}
