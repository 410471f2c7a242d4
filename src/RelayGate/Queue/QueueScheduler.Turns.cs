namespace RelayGate.Queue;

/// <summary>The part that says whose turn it is: subscription by subscription, within one destination by destination, and no destination more than it can serve.</summary>
/// <remarks>
/// A lane has few slots until it serves in time, and a flow no more of them than it leaves free. All lanes that are stuck, and all of which nothing is
/// known yet, have a number of jobs in flight between them, so that however many are stuck, those that serve find connections and workers; and of these
/// a subscription has no more than it leaves free, so that one with thousands of dead destinations leaves room for another's first.
/// </remarks>
public sealed partial class QueueScheduler
{
    private readonly int[] _inFlightAs = new int[3]; // Jobs in flight, and grants, by the health their lane had.
    private readonly FlowTurns[] _starved = [new(), new(), new()]; // Parked flows that wait for room there. Some may have been served since.

    private void PutInRing(SubscriptionFlow flow)
    {
        if (flow.InRing || flow.IsParked)
            return;
        flow.InRing = true;
        flow.Owner.Ring.Enqueue(flow);
        PutInRing(flow.Owner);
    }

    private void PutInRing(SubscriptionQueue subscription)
    {
        if (subscription.InRing || subscription.Ring.Count == 0)
            return;
        subscription.InRing = true;
        _ring.Enqueue(subscription);
    }

    /// <summary>The next job by turn, or null. Each turn either gives a job or takes a flow out of the ring, so that this ends.</summary>
    private DeliveryJob? Next()
    {
        if (_writer.OutcomesWait)
            return null;
        Suspensions suspended = _suspended();
        while (_ring.TryDequeue(out SubscriptionQueue? subscription))
        {
            subscription.InRing = false;
            SubscriptionFlow flow = subscription.Ring.Dequeue();
            flow.InRing = false;
            DeliveryJob? job = suspended.Subscriptions.Contains(subscription.Name) ? DropReady(flow) : Next(flow, suspended);
            PutInRing(subscription);
            if (job is not null)
                return job;
            RemoveIfUnused(flow);
        }
        return null;
    }

    private DeliveryJob? Next(SubscriptionFlow flow, Suspensions suspended)
    {
        DestinationLane lane = flow.Lane;
        if (!flow.HasGrant && !MayStart(flow))
        {
            flow.IsParked = true;
            lane.Parked.Enqueue(flow);
            return null;
        }
        LaneHealth health = flow.HasGrant ? flow.GrantedAs : lane.Health;
        while (flow.Ready.TryDequeue(out DeliveryJob? job))
        {
            LeaveWaiting(flow, job);
            if (job.IsWithdrawn || suspended.Has(job.Message))
            {
                Leave(job, flow);
                continue;
            }
            if (flow.HasGrant)
                lane.Granted--;
            else
                CountInFlight(flow, health, 1);
            flow.HasGrant = false;
            lane.InFlight++;
            flow.InFlight++;
            _running.Add(job, new Running(flow, health));
            if (flow.Ready.Count > 0)
                PutInRing(flow);
            RequestLoad(flow);
            return job;
        }
        RequestLoad(flow);
        DropGrant(flow);
        return null;
    }

    /// <summary>Forgets what a suspended subscription has in memory: the store has it, and it goes on at resume.</summary>
    private DeliveryJob? DropReady(SubscriptionFlow flow)
    {
        DropJobs(flow);
        while (flow.Known.TryDequeue(out long rowId))
        {
            CountRows(flow, -1);
            Forget(rowId, flow.Lane);
        }
        DropGrant(flow);
        return null;
    }

    private void DropJobs(SubscriptionFlow flow)
    {
        while (flow.Ready.TryDequeue(out DeliveryJob? job))
        {
            LeaveWaiting(flow, job);
            Leave(job, flow);
        }
    }

    private void LeaveWaiting(SubscriptionFlow flow, DeliveryJob job)
    {
        flow.Lane.Waiting--;
        LeaveWaiting(flow.Lane, Cost(job.Message));
    }

    /// <summary>A job leaves memory.</summary>
    private void Leave(DeliveryJob job, SubscriptionFlow flow)
    {
        _known[job.Message.RowId].Unclaim(job);
        Forget(job.Message.RowId, flow.Lane);
        LeaveMemory(flow, Cost(job.Message));
        job.Message.Release();
    }

    /// <summary>Keeps free slots of a lane for the flows that have waited longest.</summary>
    private void Grant(DestinationLane lane)
    {
        for (int i = lane.Parked.Count; i > 0 && lane.Free > 0; i--)
        {
            SubscriptionFlow flow = lane.Parked.Dequeue();
            if (MayStart(flow))
                Grant(flow);
            else
                lane.Parked.Enqueue(flow);
        }
    }

    private void Grant(SubscriptionFlow flow)
    {
        flow.IsParked = false;
        flow.HasGrant = true;
        flow.GrantedAs = flow.Lane.Health;
        flow.Lane.Granted++;
        CountInFlight(flow, flow.GrantedAs, 1);
        PutInRing(flow);
    }

    private void DropGrant(SubscriptionFlow flow)
    {
        if (flow.HasGrant)
        {
            flow.HasGrant = false;
            flow.Lane.Granted--;
            GiveBack(flow, flow.GrantedAs);
        }
        Grant(flow.Lane);
    }

    /// <summary>Whether a flow's lane has a slot for it (else one of the lane's jobs will end first), and all lanes that do as well as this have room: else it is noted for that.</summary>
    private bool MayStart(SubscriptionFlow flow)
    {
        LaneHealth health = flow.Lane.Health;
        if (!flow.Lane.HasSlotFor(flow))
            return false;
        if (HasRoom(health, flow.Owner))
            return true;
        if (flow.StarvedAs != health)
        {
            flow.StarvedAs = health;
            _starved[(int)health].Enqueue(flow);
        }
        return false;
    }

    /// <summary>Whether another job of a subscription may start in lanes that do so well. Those that serve share what the others must leave.</summary>
    private bool HasRoom(LaneHealth health, SubscriptionQueue subscription) => health == LaneHealth.Serves || (Free(health) > 0 && subscription.InFlightAs[(int)health] <= Free(health));

    private int Free(LaneHealth health) => (health == LaneHealth.Stuck ? _lanes.MaxUnserved : 2 * _lanes.MaxUnserved) - _inFlightAs[(int)health];

    private void CountInFlight(SubscriptionFlow flow, LaneHealth health, int jobs)
    {
        _inFlightAs[(int)health] += jobs;
        flow.Owner.InFlightAs[(int)health] += jobs;
    }

    /// <summary>A job of a lane of this health has ended.</summary>
    private void GiveBack(SubscriptionFlow ended, LaneHealth health)
    {
        CountInFlight(ended, health, -1);
        if (!_starved[(int)health].IsEmpty)
            StartStarved(health);
    }

    /// <summary>Of those that wait for room in lanes of this health as many start as there is room for, subscriptions in turn.</summary>
    private void StartStarved(LaneHealth health)
    {
        while (Free(health) > 0 && _starved[(int)health].TryDequeue(out SubscriptionFlow? flow, subscription => HasRoom(health, subscription)))
        {
            if (flow.StarvedAs != health)
                continue; // Its lane has done better or worse since, and it was noted again for that.
            flow.StarvedAs = null;
            if (flow.IsParked && MayStart(flow))
            {
                flow.Lane.Unpark(flow);
                Grant(flow);
            }
        }
    }

    private void Dispatch()
    {
        lock (_gate)
            DispatchLocked();
    }

    private void DispatchLocked()
    {
        while (_waiters.TryPeek(out TaskCompletionSource<DeliveryJob?>? waiter))
        {
            if (waiter.Task.IsCompleted) // Cancelled.
            {
                _waiters.Pop();
                continue;
            }
            if (Next() is not { } job)
                return;
            while (!waiter.TrySetResult(job)) // Cancelled just now: another waiter gets the job.
            {
                _waiters.Pop();
                if (!_waiters.TryPeek(out waiter))
                {
                    PutBack(job);
                    return;
                }
            }
            _waiters.Pop();
        }
    }

    private void PutBack(DeliveryJob job)
    {
        _running.Remove(job, out Running running);
        running.Flow.Lane.InFlight--;
        running.Flow.InFlight--;
        Wait(running.Flow, job);
        GiveBack(running.Flow, running.Health);
    }

    /// <summary>A job in flight.</summary>
    /// <param name="Health">Of its lane, when it started.</param>
    private readonly record struct Running(SubscriptionFlow Flow, LaneHealth Health);
}
