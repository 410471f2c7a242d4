using Microsoft.Extensions.Logging;
using RelayGate.Core.Mail;
using RelayGate.Storage;

namespace RelayGate.Queue;

/// <summary>Hands committed messages to delivery: straight from memory when new, from the store when due; fair between subscriptions.</summary>
/// <remarks>
/// Subscriptions take turns, and within each its destinations do. New messages stay in memory while there is room; of the others only row ids
/// are known, and they are read when their turn comes. What is not even known is found by the next look at the index of due recipients.
/// A lane or subscription may use as much of either bound as is still free, so that some is always left for those that have little, and so may all
/// lanes together that are stuck, and all of which nothing is known yet.
/// </remarks>
public sealed partial class QueueScheduler : IDisposable
{
    private const int MessageOverhead = 2048; // Objects of a message beside its octets.
    private const int DefaultKnownRows = 131_072; // Row ids beside the window; 8 octets and an entry in a dictionary each.
    private const int MaxEarned = 20_000; // Destinations beside those in use whose health is remembered.
    private const int LowReady = 4; // Jobs left in a flow when the next rows are read.

    private readonly Lock _gate = new();
    private readonly SqliteRelayStore _store;
    private readonly QueueWriter _writer;
    private readonly DestinationLanes _lanes;
    private readonly Func<Suspensions> _suspended;
    private readonly TimeSpan _lease;
    private readonly TimeProvider _time;
    private readonly ILogger<QueueScheduler> _logger;
    private readonly long _windowOctets;
    private readonly int _maxKnownRows;
    private readonly Dictionary<string, DestinationLane> _laneByKey = [];
    private readonly Dictionary<string, SubscriptionQueue> _subscriptions = [];
    private readonly Dictionary<long, KnownMessage> _known = [];
    private readonly Queue<SubscriptionQueue> _ring = [];
    private readonly Stack<TaskCompletionSource<DeliveryJob?>> _waiters = [];
    private readonly ITimer _timer;
    private readonly Dictionary<DeliveryJob, Running> _running = new(ReferenceEqualityComparer.Instance);
    private readonly Recent<(int Allowed, LaneHealth Health)> _earned;
    private long _octets;
    private int _knownRows;
    private int _withdrawn; // Of the known messages.
    private bool _stopping;

    /// <param name="suspended">Whose mail is passed over now; asked for each job, must not block.</param>
    /// <param name="lease">A row that is picked gets this as its next attempt first, so that a crash during the attempt cannot hammer a peer (Retry:First).</param>
    /// <param name="windowOctets">Octets of messages in memory, in flight or waiting. The last message that is read may go beyond.</param>
    public QueueScheduler(
        SqliteRelayStore store, QueueWriter writer, DestinationLanes lanes, Func<Suspensions> suspended, TimeSpan lease, TimeProvider time,
        ILogger<QueueScheduler> logger, long windowOctets, int maxKnownRows = DefaultKnownRows)
    {
        _store = store;
        _writer = writer;
        _lanes = lanes;
        _suspended = suspended;
        _lease = lease;
        _time = time;
        _logger = logger;
        _windowOctets = windowOctets;
        _maxKnownRows = maxKnownRows;
        _earned = new Recent<(int Allowed, LaneHealth Health)>(MaxEarned, TimeSpan.FromHours(1), time);
        _timer = time.CreateTimer(_ => BeginSweep(), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        writer.Attach(Enqueue, NoteDue);
        writer.OutcomesWritten += Dispatch;
        writer.Reopened += () => NoteDue(DateTimeOffset.MinValue); // A commit whose end was not known may have left something behind.
        NoteDue(DateTimeOffset.MinValue); // What an earlier run left behind.
    }

    /// <summary>Jobs in flight now.</summary>
    public int InFlight
    {
        get
        {
            lock (_gate)
                return _running.Count;
        }
    }

    /// <summary>Messages that were taken up: in flight, in memory, or known by row id and next in turn. Without those that were held since.</summary>
    public int Active
    {
        get
        {
            lock (_gate)
                return _known.Count - _withdrawn;
        }
    }

    /// <summary>Octets of messages in memory, waiting or in flight.</summary>
    public long MemoryOctets
    {
        get
        {
            lock (_gate)
                return _octets;
        }
    }

    /// <summary>Octets of messages that may be in memory.</summary>
    public long WindowOctets => _windowOctets;

    /// <summary>Reads of messages so far.</summary>
    internal long Loads { get; private set; }

    private int FreeRows => _maxKnownRows - _knownRows;

    private long FreeOctets => _windowOctets - _octets;

    /// <summary>Waits for the next job that may start now. Called by each delivery worker; null when stopping.</summary>
    public ValueTask<DeliveryJob?> TakeAsync(CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        TaskCompletionSource<DeliveryJob?> waiter;
        lock (_gate)
        {
            if (_stopping)
                return new ValueTask<DeliveryJob?>((DeliveryJob?)null);
            if (Next() is { } job)
                return new ValueTask<DeliveryJob?>(job);
            waiter = new TaskCompletionSource<DeliveryJob?>(TaskCreationOptions.RunContinuationsAsynchronously);
            _waiters.Push(waiter);
        }
        return new ValueTask<DeliveryJob?>(WaitAsync(waiter, cancellationToken));
    }

    /// <summary>Ends a job, whether its attempt was committed or it could not be tried: its message may be picked again.</summary>
    /// <param name="end">How it fared, which says how many jobs its destination may have next.</param>
    public void Complete(DeliveryJob job, JobEnd end = JobEnd.Neutral)
    {
        lock (_gate)
        {
            if (!_running.Remove(job, out Running running))
                return;
            (SubscriptionFlow flow, DestinationLane lane) = (running.Flow, running.Flow.Lane);
            lane.InFlight--;
            flow.InFlight--;
            if (end != JobEnd.Neutral)
                NoteHealth(job, lane, end);
            Leave(job, flow);
            GiveBack(flow, running.Health);
            Grant(lane);
            RemoveIfUnused(flow);
            DispatchLocked();
        }
    }

    /// <summary>Notes by which hosts a domain is served (<c>NextHopPlan.Site</c>): from now on its mail shares a lane with that of the site's other domains.</summary>
    public void Learn(string domain, string site) => _lanes.Learn(domain, site);

    /// <summary>Drops what waits of a message that was held or deleted, also what was handed out and waits for a connection; an attempt in flight goes on. On the writer's thread.</summary>
    public void Withdraw(long rowId)
    {
        lock (_gate)
        {
            if (!_known.TryGetValue(rowId, out KnownMessage? known))
                return;
            foreach (DeliveryJob job in known.Jobs)
                job.Withdraw();
            SetWithdrawn(known, true);
        }
    }

    /// <summary>As <see cref="Withdraw"/>, on the writer's thread for what it is about to end: nothing of it is begun until the commit.</summary>
    /// <returns>False: a transaction is in flight, and nothing was withdrawn.</returns>
    internal bool TryWithdraw(long rowId)
    {
        lock (_gate)
        {
            if (!_known.TryGetValue(rowId, out KnownMessage? known))
                return true;
            if (known.Jobs.Any(static job => job.HasBegun))
                return false;
            var withdrawn = new List<DeliveryJob>();
            foreach (DeliveryJob job in known.Jobs.Where(static job => !job.IsWithdrawn))
            {
                if (job.TryWithdraw())
                {
                    withdrawn.Add(job);
                    continue;
                }
                foreach (DeliveryJob other in withdrawn) // It has begun just now.
                    other.Restore();
                return false;
            }
            SetWithdrawn(known, true);
            return true;
        }
    }

    /// <summary>Messages leave from elsewhere now: what waits of them in memory is dropped when its turn comes, and read again. An attempt in flight goes on as it began.</summary>
    public void Renew(IReadOnlyCollection<long> rowIds)
    {
        lock (_gate)
        {
            foreach (long rowId in rowIds)
            {
                if (!_known.TryGetValue(rowId, out KnownMessage? known))
                    continue;
                foreach (DeliveryJob job in known.Jobs.Where(job => !_running.ContainsKey(job)))
                    job.Withdraw();
            }
        }
    }

    /// <summary>How many of these messages are in an attempt now.</summary>
    public int CountInFlight(IReadOnlySet<long> rowIds)
    {
        lock (_gate)
            return _running.Keys.Select(job => job.Message.RowId).Where(rowIds.Contains).Distinct().Count();
    }

    /// <summary>Looks at once for messages that were released, resumed or ordered to be retried.</summary>
    public void Wake(IReadOnlyCollection<long>? rowIds = null)
    {
        lock (_gate)
        {
            foreach (long rowId in rowIds ?? [])
            {
                if (_known.TryGetValue(rowId, out KnownMessage? known))
                    SetWithdrawn(known, false);
            }
            _wholeNext = true; // Also at those of which something was due just now.
        }
        NoteDue(DateTimeOffset.MinValue);
    }

    /// <summary>Moves those of some messages to hold whose makers are suspended.</summary>
    internal Task<SuspensionStep> HoldSuspendedAsync(List<long> rowIds) =>
        _writer.RunAsync(context => SuspendedRows.Hold(context, rowIds, _suspended(), _time.GetUtcNow()), CancellationToken.None, Tell);

    /// <summary>Follows what suspending and resuming did. On the writer's thread.</summary>
    internal void Tell(SuspensionStep step)
    {
        foreach ((long seq, QueueId id, _) in step.Held)
        {
            Withdraw(seq);
            _writer.Feed.Add(id);
        }
        foreach ((_, QueueId id, _) in step.Released)
            _writer.Feed.Add(id);
        if (step.Released.Count > 0)
            Wake([.. step.Released.Select(static r => r.Seq)]);
    }

    /// <summary>Ends all waits for a job with null.</summary>
    public void Dispose()
    {
        lock (_gate)
        {
            _stopping = true;
            while (_waiters.TryPop(out TaskCompletionSource<DeliveryJob?>? waiter))
                waiter.TrySetResult(null);
        }
        _timer.Dispose();
    }

    private static long Cost(QueuedMessage message) => MessageOverhead + message.HeaderSection.Length + (message.Body.IsChunked ? 0 : message.Body.Octets);

    private static async Task<DeliveryJob?> WaitAsync(TaskCompletionSource<DeliveryJob?> waiter, CancellationToken cancellationToken)
    {
        await using CancellationTokenRegistration stop = cancellationToken.UnsafeRegister(
            static (state, token) => ((TaskCompletionSource<DeliveryJob?>)state!).TrySetCanceled(token), waiter);
        return await waiter.Task;
    }

    /// <summary>Takes a message that has just been committed, with the reference to its body. Runs on the writer's thread.</summary>
    private void Enqueue(QueuedMessage message)
    {
        lock (_gate)
        {
            foreach (DeliveryJob job in DestinationGroups.Of(message, message.Recipients, _lanes.KeyOf))
            {
                SubscriptionFlow flow = Flow(message.Subscription, _lanes.KeyOf(message.Subscription, job.Recipients[0]));
                if (!TryKnow(message.RowId, flow.Lane))
                    continue;
                message.Body.AddReference();
                if (HasMemoryFor(flow, Cost(message)))
                {
                    _known[message.RowId].Claim(job);
                    AddReady(flow, job);
                }
                else
                {
                    AddKnown(flow, job);
                }
            }
            DispatchLocked();
        }
        message.Release();
        NoteDue(message.Recipients[0].NextAttempt); // If it is not attempted, or cannot be kept here, the store tells of it then.
    }

    private void AddKnown(SubscriptionFlow flow, DeliveryJob job)
    {
        job.Message.Release();
        if (TryAddRow(flow, job.Message.RowId))
            RequestLoad(flow);
        else
            Forget(job.Message.RowId, flow.Lane);
        RemoveIfUnused(flow);
    }

    private bool HasRoomForRows(SubscriptionQueue subscription) => subscription.KnownRows < FreeRows;

    /// <summary>Notes a row of the store, if the shares of its subscription and flow have room: those that do not serve have little, so that they leave it to others.</summary>
    private bool TryAddRow(SubscriptionFlow flow, long rowId)
    {
        int share = flow.Lane.Health switch
        {
            LaneHealth.Serves => FreeRows / 2,
            LaneHealth.Unknown => LoadMessages,
            _ => 2 * DestinationLanes.FirstBound,
        };
        if (flow.Known.Count >= share || !HasRoomForRows(flow.Owner))
            return false;
        flow.Known.Enqueue(rowId);
        CountRows(flow, 1);
        return true;
    }

    private void CountRows(SubscriptionFlow flow, int rows)
    {
        _knownRows += rows;
        flow.Owner.KnownRows += rows;
    }

    private void AddReady(SubscriptionFlow flow, DeliveryJob job)
    {
        AddMemory(flow, Cost(job.Message));
        Wait(flow, job);
    }

    private void Wait(SubscriptionFlow flow, DeliveryJob job)
    {
        flow.Ready.Enqueue(job);
        flow.Lane.Waiting++;
        AddWaiting(flow.Lane, Cost(job.Message));
        PutInRing(flow);
    }

    private bool TryKnow(long rowId, DestinationLane lane)
    {
        if (!_known.TryGetValue(rowId, out KnownMessage? known))
            _known.Add(rowId, known = new KnownMessage());
        return known.TryAdd(lane);
    }

    private void Forget(long rowId, DestinationLane lane)
    {
        KnownMessage known = _known[rowId];
        known.Remove(lane);
        if (!known.IsUnused)
            return;
        SetWithdrawn(known, false);
        _known.Remove(rowId);
    }

    private void SetWithdrawn(KnownMessage known, bool withdrawn)
    {
        if (known.IsWithdrawn == withdrawn)
            return;
        known.IsWithdrawn = withdrawn;
        _withdrawn += withdrawn ? 1 : -1;
    }
}
