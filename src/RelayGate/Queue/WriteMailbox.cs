using System.Diagnostics.CodeAnalysis;

namespace RelayGate.Queue;

/// <summary>Where writes wait for the writer's thread. Bounded: a full mailbox holds sessions, and so their clients, back.</summary>
[SuppressMessage("Design", "CA1001", Justification = "The semaphore has no handle to free, and sessions may wait on it while the writer stops.")]
internal sealed class WriteMailbox
{
    public const int Capacity = 1024; // Four batches.

    private readonly object _gate = new();
    private readonly Queue<PendingWrite> _waiting = new(Capacity);
    private readonly SemaphoreSlim _room = new(Capacity);
    private bool _woken;
    private bool _closed;

    /// <summary>Puts a write at the end, after waiting for room.</summary>
    /// <exception cref="ObjectDisposedException">The writer has stopped.</exception>
    public async ValueTask AddAsync(PendingWrite write, CancellationToken cancellationToken)
    {
        await _room.WaitAsync(cancellationToken);
        if (Enqueue(write))
            return;
        _room.Release(); // So that the next who waits hears of it too.
        throw new ObjectDisposedException(nameof(QueueWriter), "The writer has stopped");
    }

    /// <summary>Puts a write at the end if there is room at once.</summary>
    public bool TryAdd(PendingWrite write)
    {
        if (_closed || !_room.Wait(0))
            return false;
        return Enqueue(write);
    }

    /// <summary>Moves what waits into <paramref name="batch"/>, up to the bounds; waits while there is nothing and nobody wakes it.</summary>
    /// <returns>False when closed and empty.</returns>
    public bool Take(List<PendingWrite> batch, int maxWrites, long maxOctets)
    {
        int removed = 0;
        lock (_gate)
        {
            while (_waiting.Count == 0 && !_woken && !_closed)
                Monitor.Wait(_gate);
            _woken = false;
            if (_closed && _waiting.Count == 0)
                return false;
            long octets = 0;
            while (batch.Count < maxWrites && _waiting.TryPeek(out PendingWrite? write) && (batch.Count == 0 || octets + write.Octets <= maxOctets))
            {
                _waiting.Dequeue();
                removed++;
                if (!write.TryTake())
                    continue; // Its deadline passed while it waited.
                octets += write.Octets;
                batch.Add(write);
            }
        }
        if (removed > 0)
            _room.Release(removed);
        return true;
    }

    /// <summary>Lets <see cref="Take"/> return, even with nothing.</summary>
    public void Wake()
    {
        lock (_gate)
        {
            _woken = true;
            Monitor.Pulse(_gate);
        }
    }

    /// <summary>Refuses new writes; what waits is still taken.</summary>
    public void Close()
    {
        lock (_gate)
        {
            _closed = true;
            Monitor.Pulse(_gate);
        }
    }

    private bool Enqueue(PendingWrite write)
    {
        lock (_gate)
        {
            if (_closed)
                return false;
            _waiting.Enqueue(write);
            if (_waiting.Count == 1)
                Monitor.Pulse(_gate);
        }
        return true;
    }
}
