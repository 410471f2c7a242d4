using System.Collections.Immutable;
using RelayGate.Storage;
using RelayGate.Telemetry;

namespace RelayGate.Queue;

/// <summary>The part that reads messages when their turn comes, and takes a lease on them.</summary>
public sealed partial class QueueScheduler
{
    private const int MaxLoads = 2; // At once, so that reads for people always find a free thread.
    private const int LoadMessages = 32;
    private const long LoadOctets = 2 * 1024 * 1024;
    private const string SelectEgress = "select egress from message where seq = ?";
    private const string SelectNextAttempts = "select position, next_attempt from recipient where message = ? order by position";
    private const string LeaseRow = "update recipient set next_attempt = ?, waits_for = null where message = ? and position = ?";

    private readonly FlowTurns _loads = new(); // Flows that are to be read as soon as one may be.
    private readonly MemoryShare[] _memoryAs = [new(), new(), new()]; // Of lanes by their health.
    private readonly UsedUpShares _usedUp = new(); // Those that wait until more is free than they have.
    private int _activeLoads;

    /// <summary>Sees to it that a flow which is nearly empty gets its next rows.</summary>
    private void RequestLoad(SubscriptionFlow flow)
    {
        if (flow.IsLoading || flow.Known.Count == 0 || flow.Ready.Count > LowReady)
            return;
        flow.IsLoading = true;
        _loads.Enqueue(flow);
        StartLoads();
    }

    /// <summary>Reads for the flows whose turn it is, while memory is free. Called for each request, each octet given back, and each read that ends.</summary>
    private void StartLoads()
    {
        while (!_stopping && _activeLoads < MaxLoads && FreeOctets > 0 && _loads.TryDequeue(out SubscriptionFlow? flow))
        {
            (MemoryShare? from, flow.WokenFrom) = (flow.WokenFrom, null);
            if (UsedUp(flow) is { } share)
            {
                share.Waiting.Enqueue(flow);
                if (share.Octets >= FreeOctets)
                    _usedUp.Add(share);
                if (from is not null && from != share)
                    WakeLoads(from); // What it has left to use is another's.
                continue;
            }
            DestinationLane lane = flow.Lane;
            // Half of what it may have, so that what is left gets smaller but does not end. The octets are taken before they are read.
            long octets = Math.Clamp((FreeOctets - Used(flow)) / 2, 1, LoadOctets);
            int messages = lane.Health == LaneHealth.Serves ? LoadMessages : Math.Min(LoadMessages, lane.Allowed);
            _activeLoads++;
            lane.Waiting++;
            AddMemory(flow, octets);
            AddWaiting(lane, octets);
            Loads++;
            if (from is { Waiting.IsEmpty: false })
                WakeOrNote(from);
            _ = Task.Run(() => LoadAsync(flow, messages, octets));
        }
    }

    /// <summary>The most that one of those has whose share a flow's messages come out of.</summary>
    private long Used(SubscriptionFlow flow) => Math.Max(Math.Max(flow.Lane.Memory.Octets, flow.Owner.Memory.Octets), UsedAs(flow.Lane.Health));

    /// <summary>What lanes that do not serve have between them. Those that do need not leave anything to each other beside their own shares.</summary>
    private long UsedAs(LaneHealth health) => health == LaneHealth.Serves ? 0 : _memoryAs[(int)health].Octets;

    /// <summary>The first share of a flow that is as large as what is free, or null. It is not empty: memory is free.</summary>
    private MemoryShare? UsedUp(SubscriptionFlow flow)
    {
        DestinationLane lane = flow.Lane;
        if (lane.HasEnough || lane.Memory.Octets >= FreeOctets)
            return lane.Memory;
        if (UsedAs(lane.Health) >= FreeOctets)
            return _memoryAs[(int)lane.Health];
        return flow.Owner.Memory.Octets >= FreeOctets ? flow.Owner.Memory : null;
    }

    /// <summary>Whether a new message may stay in memory: behind nothing of its own in the store, and only into the shares that are free.</summary>
    private bool HasMemoryFor(SubscriptionFlow flow, long cost) =>
        flow.Known.Count == 0 && Used(flow) + cost <= FreeOctets && !(flow.Lane.Health == LaneHealth.Stuck && flow.Lane.HasEnough);

    /// <summary>Octets come into memory, or are about to.</summary>
    private void AddMemory(SubscriptionFlow flow, long octets)
    {
        _octets += octets;
        flow.Lane.Octets += octets;
        flow.Owner.Memory.Octets += octets;
        _memoryAs[(int)flow.Lane.Health].Octets += octets;
    }

    /// <summary>Octets have left memory.</summary>
    private void LeaveMemory(SubscriptionFlow flow, long octets)
    {
        AddMemory(flow, -octets);
        WakeLoads(flow.Owner.Memory);
        WakeLoads(_memoryAs[(int)flow.Lane.Health]);
        while (_usedUp.TryTake(FreeOctets, out MemoryShare? share)) // More is free for all the others too.
            WakeOrNote(share);
        StartLoads();
    }

    private static void AddWaiting(DestinationLane lane, long octets) => lane.Memory.Octets += octets;

    /// <summary>Octets do not wait any more.</summary>
    private void LeaveWaiting(DestinationLane lane, long octets)
    {
        lane.Memory.Octets -= octets;
        WakeLoads(lane.Memory);
        StartLoads();
    }

    /// <summary>
    /// A share has become smaller: the next of those that wait for it is looked at again, and sees to the one after it where more is left. All of them
    /// once it is empty, when nothing else would wake them.
    /// </summary>
    private void WakeLoads(MemoryShare share)
    {
        while (share.Waiting.TryDequeue(out SubscriptionFlow? flow))
        {
            flow.WokenFrom = share;
            _loads.Enqueue(flow);
            if (share.Octets > 0)
                break;
        }
        if (share.Waiting.IsEmpty)
            _usedUp.Remove(share);
    }

    /// <summary>Those that wait for a share go on one after the other, while it is smaller than what is free.</summary>
    private void WakeOrNote(MemoryShare share)
    {
        if (share.Octets < FreeOctets)
            WakeLoads(share);
        else
            _usedUp.Add(share);
    }

    /// <summary>A lane does better or worse: what it has in memory counts among other lanes' from now on.</summary>
    private void Move(DestinationLane lane, LaneHealth before)
    {
        (MemoryShare from, MemoryShare to) = (_memoryAs[(int)before], _memoryAs[(int)lane.Health]);
        from.Octets -= lane.Octets;
        to.Octets += lane.Octets;
        foreach (SubscriptionFlow flow in from.Waiting.Take(lane))
            _loads.Enqueue(flow);
        WakeLoads(from);
        if (lane.Health == LaneHealth.Stuck && to.Octets > FreeOctets)
            DropParked(lane);
        StartLoads();
    }

    /// <summary>Memory is short, and a lane has just been found stuck: what waits for it is in the store as well, and is found again when its lease ends.</summary>
    private void DropParked(DestinationLane lane)
    {
        foreach (SubscriptionFlow flow in lane.Parked)
            DropJobs(flow);
        NoteDue(_time.GetUtcNow() + _lease);
    }

    /// <summary>Reads the next messages of a flow.</summary>
    private async Task LoadAsync(SubscriptionFlow flow, int most, long octets)
    {
        List<long> rowIds = TakeRows(flow, most);
        var jobs = new List<DeliveryJob>();
        try
        {
            var unreadable = new List<long>();
            (List<QueuedMessage> messages, int read) =
                await _store.ReadRawAsync(connection => ReadMessages(connection, rowIds, octets, unreadable), CancellationToken.None);
            PutBack(flow, rowIds, read);
            if (unreadable.Count > 0)
                await _writer.ParkAsync(unreadable);
            jobs = await LeaseAsync(messages, flow.Lane);
        }
        catch (ObjectDisposedException)
        {
            return; // The store was closed: the gateway stops.
        }
        catch (Exception e)
        {
            Log.LoadFailed(_logger, e); // The rows are found again when they are due.
        }
        EndLoad(flow, rowIds, jobs, octets);
    }

    private List<long> TakeRows(SubscriptionFlow flow, int most)
    {
        var rowIds = new List<long>(most);
        lock (_gate)
        {
            while (rowIds.Count < most && flow.Known.TryDequeue(out long rowId))
            {
                CountRows(flow, -1);
                if (_known[rowId].IsWithdrawn)
                    Forget(rowId, flow.Lane);
                else
                    rowIds.Add(rowId);
            }
        }
        return rowIds;
    }

    /// <summary>What was too much for one read waits on.</summary>
    private void PutBack(SubscriptionFlow flow, List<long> rowIds, int read)
    {
        lock (_gate)
        {
            for (int i = rowIds.Count - 1; i >= read; i--)
                flow.Known.PutBack(rowIds[i]);
            CountRows(flow, rowIds.Count - read);
        }
        rowIds.RemoveRange(read, rowIds.Count - read);
    }

    /// <returns>The messages, and how many rows were looked at.</returns>
    private (List<QueuedMessage> Messages, int Read) ReadMessages(StoreConnection connection, List<long> rowIds, long most, List<long> unreadable)
    {
        var messages = new List<QueuedMessage>(rowIds.Count);
        long octets = 0;
        int read = 0;
        foreach (long rowId in rowIds)
        {
            if (octets >= most)
                break;
            read++;
            try
            {
                if (QueueReader.Message(connection, rowId) is not { } message)
                    continue;
                octets += Cost(message);
                messages.Add(message);
            }
            catch (Exception e) when (e is FormatException or ArgumentException)
            {
                Log.MessageUnreadable(_logger, rowId, e);
                unreadable.Add(rowId);
            }
        }
        return (messages, read);
    }

    /// <summary>Moves the next attempt of what is to be tried now into the future before anything is dialled; what was held meanwhile drops out.</summary>
    /// <remarks>Claims come first: from then on no other job takes these recipients up, and the lease fails for those whose row has changed since it was read.</remarks>
    private async Task<List<DeliveryJob>> LeaseAsync(List<QueuedMessage> messages, DestinationLane lane)
    {
        DateTimeOffset until = _time.GetUtcNow() + _lease;
        var held = new List<long>();
        List<DeliveryJob> jobs = Claim(messages, lane, held);
        var leased = new List<DeliveryJob>();
        try
        {
            if (held.Count > 0)
                await HoldSuspendedAsync(held);
            if (jobs.Count > 0)
                leased = await _writer.RunAsync(context => jobs.FindAll(job => Lease(context, job, until)), CancellationToken.None);
            return leased;
        }
        finally
        {
            foreach (DeliveryJob job in jobs.Except(leased))
            {
                lock (_gate)
                    _known[job.Message.RowId].Unclaim(job);
                job.Message.Release();
            }
        }
    }

    /// <summary>Makes jobs of what is due in a lane and in no other job.</summary>
    private List<DeliveryJob> Claim(List<QueuedMessage> messages, DestinationLane lane, List<long> held)
    {
        DateTimeOffset now = _time.GetUtcNow();
        Suspensions suspended = _suspended();
        var jobs = new List<DeliveryJob>(messages.Count);
        bool isElsewhere = false;
        lock (_gate)
        {
            foreach (QueuedMessage message in messages)
            {
                KnownMessage known = _known[message.RowId];
                QueuedRecipient[] open =
                [
                    .. message.Recipients.Where(r => r.NextAttempt != DateTimeOffset.MaxValue && (r.NextAttempt <= now || r is { Attempts: 0, WaitsFor: null }) && !known.IsClaimed(r)),
                ];
                ImmutableArray<QueuedRecipient> due = [.. open.Where(r => _lanes.KeyOf(message.Subscription, r) == lane.Key)];
                isElsewhere |= due.Length < open.Length;
                bool isHeld = suspended.Has(message);
                if (isHeld)
                    held.Add(message.RowId);
                if (due.IsEmpty || isHeld)
                {
                    message.Release();
                    continue;
                }
                var job = new DeliveryJob(message, due);
                known.Claim(job);
                jobs.Add(job);
            }
        }
        if (isElsewhere)
            NoteDue(now + Grid); // The lane of some may have changed since they were noted: they are found again.
        return jobs;
    }

    /// <returns>False: the message is not what was read any more; no row was changed, and what is due of it is found again.</returns>
    private static bool Lease(WriteContext context, DeliveryJob job, DateTimeOffset until)
    {
        if (!IsAsRead(context, job))
            return false;
        foreach (QueuedRecipient recipient in job.Recipients)
            context.Prepared(LeaseRow).Bind(1, until.ToUnixTimeMilliseconds()).Bind(2, job.Message.RowId).Bind(3, recipient.Index).Execute();
        return true;
    }

    private static bool IsAsRead(WriteContext context, DeliveryJob job)
    {
        SqliteStatement select = context.Prepared(SelectEgress).Bind(1, job.Message.RowId);
        bool isSame = select.Step() && EgressText.IsStill(select.Text(0), job.Message.Egress);
        select.Reset();
        if (!isSame)
            return false;
        int same = 0; // Both are in the order of the envelope.
        select = context.Prepared(SelectNextAttempts).Bind(1, job.Message.RowId);
        while (same < job.Recipients.Length && select.Step())
        {
            QueuedRecipient recipient = job.Recipients[same];
            if (select.Int32(0) != recipient.Index)
                continue;
            if (select.NullableInt64(1) != recipient.NextAttempt.ToUnixTimeMilliseconds())
                break;
            same++;
        }
        select.Reset();
        return same == job.Recipients.Length;
    }

    /// <summary>Puts what was read into its flow.</summary>
    private void EndLoad(SubscriptionFlow flow, List<long> rowIds, List<DeliveryJob> jobs, long octets)
    {
        lock (_gate)
        {
            foreach (DeliveryJob job in jobs)
            {
                AddReady(flow, job);
                rowIds.Remove(job.Message.RowId);
            }
            foreach (long rowId in rowIds) // Gone, held or not due.
                Forget(rowId, flow.Lane);
            _activeLoads--;
            flow.IsLoading = false;
            flow.Lane.Waiting--;
            LeaveMemory(flow, octets);
            LeaveWaiting(flow.Lane, octets);
            RequestLoad(flow);
            RemoveIfUnused(flow);
            DispatchLocked();
        }
    }
}
