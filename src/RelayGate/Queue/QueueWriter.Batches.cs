using Microsoft.Data.Sqlite;
using RelayGate.Storage;
using RelayGate.Telemetry;
using SQLitePCL;

namespace RelayGate.Queue;

public sealed partial class QueueWriter
{
    private const int MaxBatchWrites = 256;
    private const long MaxBatchOctets = 16 * 1024 * 1024;

    private static readonly TimeSpan FirstPause = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan LongestPause = TimeSpan.FromMinutes(1);

    /// <summary>Writes answered with an error after a commit whose end is not known: taken back when the store is open again.</summary>
    private readonly List<PendingWrite> _doubtful = [];

    /// <summary>Outcomes that could not be committed yet.</summary>
    private readonly List<PendingWrite> _retained = [];

    private readonly List<PendingWrite> _single = new(1);
    private ScriptSent[] _sent = [];
    private int _retainedCount;
    private TimeSpan _pause = FirstPause;
    private volatile bool _retryDue;
    private volatile bool _retriesEnded;
    private bool _closed;
    private long _reopenFailedAt;
    private Exception? _reopenFailure;

    private void Run()
    {
        var batch = new List<PendingWrite>(MaxBatchWrites);
        while (_mailbox.Take(batch, MaxBatchWrites, MaxBatchOctets))
        {
            Turn(batch);
            batch.Clear();
            if (_retriesEnded)
                AbandonRetained();
        }
        if (!_closed)
            batch.Add(new ActionWrite<bool>(NoteClocks, null)); // The wall clock may have been set since the last message.
        _retryDue = true;
        Turn(batch);
        AbandonRetained();
        CloseConnection();
    }

    private bool NoteClocks(WriteContext context)
    {
        _usageBatch.WriteClocks(context);
        return true;
    }

    /// <summary>One turn of the writer's thread. Whatever goes wrong in it, each write of the batch ends, and the thread goes on.</summary>
    private void Turn(List<PendingWrite> batch)
    {
        try
        {
            if (batch.Count > 0)
                Write(batch);
            if ((_retryDue || _retriesEnded) && _retained.Count > 0)
                WriteRetained();
            if (!_closed && _checkpointer.AfterCommit(_context.Connection) is { } failure)
                CheckpointFailed(failure);
        }
        catch (Exception e)
        {
            Log.WriterFault(_logger, e);
            Fail([.. batch.Where(write => !write.IsDone && !_retained.Contains(write))], StoreError.Broken, e);
            if (_retained.Count > 0)
                PauseBeforeRetry();
        }
    }

    /// <summary>Commits a batch and ends each of its writes.</summary>
    private void Write(List<PendingWrite> batch)
    {
        if (_closed && !TryReopen())
        {
            Fail(batch, _space.IsEnough ? StoreError.Broken : StoreError.Full, _reopenFailure!);
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
        foreach (PendingWrite write in batch) // First, so that nothing that goes wrong with the others leaves a durable write untold.
        {
            if (write.Failure is not null)
                continue;
            write.IsDone = true;
            Tell(write);
        }
        foreach (PendingWrite write in batch)
        {
            if (write.Failure is { } failure)
                End(write, StoreError.Statement, failure);
        }
        TellBursts();
        if (_retained.Count > 0)
            _retryDue = true; // There is room again, or the disk works again.
    }

    /// <summary>Tells of a commit. What those who are told do wrong is theirs: the write is durable, and so are those behind it.</summary>
    private void Tell(PendingWrite write)
    {
        try
        {
            write.Committed(_context);
        }
        catch (Exception e)
        {
            Log.WriterFault(_logger, e);
        }
    }

    /// <summary>Looks whether a script sends much more than it usually does. What goes wrong here concerns no write.</summary>
    private void TellBursts()
    {
        ScriptSent[] sent = _sent;
        _sent = [];
        try
        {
            if (sent.Length > 0)
                _bursts.Add(sent, _context.Connection);
        }
        catch (Exception e)
        {
            Log.WriterFault(_logger, e);
        }
    }

    private void Commit(List<PendingWrite> batch)
    {
        long started = _time.GetTimestamp();
        _usageBatch.Begin();
        _context.Prepared(Sql.BeginImmediate).Execute();
        foreach (PendingWrite write in batch)
        {
            write.Failure = null;
            if (write.HasSavepoint)
                ExecuteInSavepoint(write);
            else
                write.Execute(_context);
        }
        _usageBatch.Write(_context);
        CommitFault.Before?.Invoke();
        _context.Prepared(Sql.Commit).Execute();
        CommitFault.After?.Invoke();
        _usageBatch.Committed();
        _sent = _usageBatch.Scripts.Committed();
        _metrics.BatchCommitted(batch.Count, _time.GetElapsedTime(started));
    }

    private void ExecuteInSavepoint(PendingWrite write)
    {
        UsageMark mark = _usageBatch.Mark();
        _context.Prepared(Sql.Savepoint).Execute();
        try
        {
            write.Execute(_context);
        }
        catch (Exception e) when (StoreErrors.Classify(e) == StoreError.Statement)
        {
            _context.Prepared(Sql.RollbackToSavepoint).Execute();
            _usageBatch.RollBack(mark);
            write.Failure = e;
        }
        _context.Prepared(Sql.ReleaseSavepoint).Execute();
    }

    /// <summary>Decides what becomes of a batch that could not be committed.</summary>
    private void Recover(List<PendingWrite> batch, Exception failure)
    {
        StoreError error = StoreErrors.Classify(failure);
        _usageBatch.RollBack();
        if (!TryRollback())
            error = StoreError.Broken;
        switch (error)
        {
            case StoreError.Broken:
                _metrics.StoreErrors.Increment("io");
                Log.StoreBroken(_logger, failure);
                CloseConnection();
                _doubtful.AddRange(batch);
                Fail(batch, _space.IsEnough ? error : StoreError.Full, failure); // A full disk shows itself in more than one way.
                break;
            case StoreError.Full:
                _metrics.StoreErrors.Increment("full");
                if (batch.Count == 1)
                {
                    Log.StoreFull(_logger);
                    Fail(batch, error, failure);
                    break;
                }
                // What brings new content fails at once; outcomes and orders of the administrator may free room.
                WriteOneByOne(batch, write => write is OfferWrite or ChunkWrite or RefusalWrite, error, failure);
                break;
            default:
                _metrics.StoreErrors.Increment("statement");
                Log.StatementFailed(_logger, failure);
                if (batch.Count == 1)
                    Fail(batch, error, failure);
                else
                    WriteOneByOne(batch, _ => false, error, failure);
                break;
        }
    }

    private void WriteOneByOne(List<PendingWrite> batch, Predicate<PendingWrite> fails, StoreError error, Exception failure)
    {
        foreach (PendingWrite write in batch)
        {
            if (fails(write))
            {
                End(write, error, failure);
                continue;
            }
            _single.Clear();
            _single.Add(write);
            Write(_single);
        }
    }

    private void Fail(List<PendingWrite> batch, StoreError error, Exception cause)
    {
        foreach (PendingWrite write in batch)
            End(write, error, cause);
    }

    /// <summary>Ends a write that failed, or keeps it when it is an outcome: what the next hop has taken cannot be taken back.</summary>
    private void End(PendingWrite write, StoreError error, Exception cause)
    {
        if (!write.IsOutcome || error == StoreError.Statement)
        {
            if (write is CompletionWrite outcome)
                Park(outcome.Job);
            write.IsDone = true;
            write.Failed(error, cause);
        }
        else if (!_retained.Contains(write))
        {
            _retained.Add(write);
            Volatile.Write(ref _retainedCount, _retained.Count);
            if (_retained.Count == 1)
                PauseBeforeRetry();
        }
    }

    /// <summary>An outcome that the store refuses for its own sake would be delivered again and again: its message is held for a human to look at.</summary>
    private void Park(DeliveryJob job)
    {
        Log.OutcomeRefused(_logger, job.Message.Id);
        try
        {
            if (_closed)
                return;
            _usageBatch.Begin(); // Between two batches: one of its own.
            _context.Prepared(Sql.BeginImmediate).Execute();
            MessageRows.Park(_context, job.Message.RowId, _time.GetUtcNow());
            _context.Prepared(Sql.Commit).Execute();
            _usageBatch.Committed();
        }
        catch (SqliteException e)
        {
            _usageBatch.RollBack();
            Log.StoreBroken(_logger, e);
            CloseConnection();
        }
    }

    private void WriteRetained()
    {
        _retryDue = false;
        while (_retained.Count > 0)
        {
            List<PendingWrite> again = _retained[..Math.Min(_retained.Count, MaxBatchWrites)];
            Write(again);
            if (_retained.RemoveAll(write => write.IsDone) == 0)
            {
                PauseBeforeRetry();
                return;
            }
        }
        _pause = FirstPause;
        Volatile.Write(ref _retainedCount, 0);
        Log.OutcomesWritten(_logger);
        OutcomesWritten?.Invoke();
    }

    /// <summary>At the end: the rows keep their next attempt, so that those who have the message already get it once more. No delivery starts any more.</summary>
    private void AbandonRetained()
    {
        foreach (PendingWrite write in _retained)
        {
            if (write is CompletionWrite outcome)
                Log.OutcomeLost(_logger, outcome.Job.Message.Id);
            write.IsDone = true;
            write.Failed(StoreError.Broken, new StoreUnusableException("The gateway stopped before the outcome could be recorded"));
        }
        _retained.Clear();
    }

    private void PauseBeforeRetry()
    {
        Log.OutcomesWait(_logger, _retained.Count, _pause.TotalSeconds);
        _retryTimer.Change(_pause, Timeout.InfiniteTimeSpan);
        _pause = _pause * 2 < LongestPause ? _pause * 2 : LongestPause;
    }

    private void RetryOutcomes()
    {
        _retryDue = true;
        _mailbox.Wake();
    }

    /// <summary>
    /// A log that nobody can move grows until the disk is full. Where the database file is at fault, the store is opened anew as after any broken
    /// I/O, and takes no mail until its log can be moved; a full disk passes by itself.
    /// </summary>
    private void CheckpointFailed(SqliteException failure)
    {
        bool isFull = StoreErrors.Classify(failure) == StoreError.Full;
        _metrics.StoreErrors.Increment(isFull ? "full" : "io");
        Log.CheckpointFailed(_logger, failure);
        if (!isFull)
            CloseConnection();
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

    /// <summary>Opens the store after broken I/O, at most once a second.</summary>
    private bool TryReopen()
    {
        if (_reopenFailure is not null && _time.GetElapsedTime(_reopenFailedAt) < FirstPause)
            return false;
        StoreConnection? connection = null;
        try
        {
            connection = _store.Reopen();
            connection.Prepared(Sql.BeginImmediate).Execute();
            foreach (PendingWrite write in _doubtful)
                write.Undo(connection); // They were answered with 451: they must not be delivered as well.
            connection.Prepared(Sql.Commit).Execute();
            _context.Attach(connection);
            _usage.Clear();
            _usageBatch.LoadQueue(connection);
            _usageBatch.LoadAlarms(connection);
            Reopened?.Invoke(); // A cache that cannot be read anew would decide by what may no longer be true.
        }
        catch (Exception e)
        {
            connection?.Dispose();
            _reopenFailedAt = _time.GetTimestamp();
            if (_reopenFailure is null)
                Log.ReopenFailed(_logger, e);
            _reopenFailure = e;
            return false;
        }
        _doubtful.Clear();
        _reopenFailure = null;
        _closed = false;
        Log.StoreReopened(_logger);
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
