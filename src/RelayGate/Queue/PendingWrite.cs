using RelayGate.Storage;

namespace RelayGate.Queue;

/// <summary>One change on its way to the store: it waits, is taken by the writer, runs in a batch and then is durable or has failed.</summary>
/// <remarks>All methods but <see cref="Expire"/> are called on the writer's thread. None may block.</remarks>
internal abstract class PendingWrite
{
    private const int Waiting = 0;
    private const int Taken = 1;
    private const int Cancelled = 2;

    private int _state;

    /// <summary>Octets of content, for the bound of a batch.</summary>
    public virtual long Octets => 0;

    /// <summary>Whether an exception of this write rolls back it alone, without a rerun of the batch.</summary>
    public virtual bool HasSavepoint => false;

    /// <summary>Whether it is tried for ever until it is durable: the outcome of a delivery, which cannot be taken back.</summary>
    public virtual bool IsOutcome => false;

    /// <summary>Why it failed inside a batch that went on without it.</summary>
    public Exception? Failure { get; set; }

    /// <summary>It was committed or has failed for good.</summary>
    public bool IsDone { get; set; }

    /// <summary>The writer's claim. False when the waiter gave up before.</summary>
    public bool TryTake() => Interlocked.CompareExchange(ref _state, Taken, Waiting) == Waiting;

    /// <summary>The waiter's deadline has passed: ends the write, unless the writer has taken it. Called on any thread.</summary>
    public void Expire()
    {
        if (Interlocked.CompareExchange(ref _state, Cancelled, Waiting) == Waiting)
            Expired();
    }

    /// <summary>Runs inside the transaction; again after a rollback, so it changes nothing but the store and the context.</summary>
    public abstract void Execute(WriteContext context);

    /// <summary>The commit is durable. The waiter hears of it whatever else this does.</summary>
    public abstract void Committed(WriteContext context);

    /// <summary>It was rolled back, or never tried.</summary>
    public abstract void Failed(StoreError error, Exception cause);

    /// <summary>The writer never took it.</summary>
    protected virtual void Expired() => Failed(StoreError.Broken, new TimeoutException("The writer did not take the write in time"));

    /// <summary>Takes back what a commit that was answered with an error may have left behind.</summary>
    public virtual void Undo(StoreConnection connection)
    {
    }
}
