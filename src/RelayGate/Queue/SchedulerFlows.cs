namespace RelayGate.Queue;

/// <summary>All jobs to one destination: a bound on those in flight, so that one that is stuck holds up no other.</summary>
/// <remarks>This and the following types are guarded by the lock of <see cref="QueueScheduler"/>.</remarks>
internal sealed class DestinationLane(string key, int bound)
{
    public string Key { get; } = key;

    /// <summary>Jobs in flight at most.</summary>
    public int Bound { get; } = bound;

    public int InFlight { get; set; }

    /// <summary>Slots that are kept for flows that were parked and are in the ring again.</summary>
    public int Granted { get; set; }

    /// <summary>Octets of jobs in memory that wait for this lane.</summary>
    public long WaitingOctets { get; set; }

    /// <summary>Flows with jobs that wait for a slot, first come first served.</summary>
    public Queue<SubscriptionFlow> Parked { get; } = [];

    /// <summary>Flows whose rows wait to be read, because the lane's share of memory is used up.</summary>
    public Queue<SubscriptionFlow> WaitingLoads { get; } = [];

    /// <summary>Flows that exist for this lane.</summary>
    public int Flows { get; set; }

    public bool IsFull => InFlight + Granted >= Bound;
}

/// <summary>What one subscription has for one destination.</summary>
internal sealed class SubscriptionFlow(SubscriptionQueue owner, DestinationLane lane)
{
    public SubscriptionQueue Owner { get; } = owner;

    public DestinationLane Lane { get; } = lane;

    /// <summary>Jobs in memory.</summary>
    public Queue<DeliveryJob> Ready { get; } = [];

    /// <summary>Messages known by row id alone: they are read when their turn comes.</summary>
    public Queue<long> Known { get; } = [];

    /// <summary>In its owner's ring.</summary>
    public bool InRing { get; set; }

    /// <summary>Waits for a slot of its lane.</summary>
    public bool IsParked { get; set; }

    /// <summary>A slot of its lane is kept for it.</summary>
    public bool HasGrant { get; set; }

    /// <summary>Rows are being read, or wait to be.</summary>
    public bool IsLoading { get; set; }

    /// <summary>Jobs of this flow in flight.</summary>
    public int InFlight { get; set; }

    public bool IsUnused => Ready.Count == 0 && Known.Count == 0 && !InRing && !IsParked && !HasGrant && !IsLoading && InFlight == 0;
}

/// <summary>The flows of one subscription; subscriptions take turns, and within one its destinations do.</summary>
internal sealed class SubscriptionQueue(string name)
{
    public string Name { get; } = name;

    public Dictionary<DestinationLane, SubscriptionFlow> Flows { get; } = [];

    /// <summary>Flows that may have a job to start.</summary>
    public Queue<SubscriptionFlow> Ring { get; } = [];

    public bool InRing { get; set; }

    /// <summary>Octets of jobs in memory that wait.</summary>
    public long WaitingOctets { get; set; }
}

/// <summary>A message that waits in the scheduler or is in flight, so that it is not picked twice: once for each lane.</summary>
internal sealed class KnownMessage
{
    private readonly List<DestinationLane> _lanes = new(1);

    /// <summary>Held or deleted by the administrator: what still waits is dropped when its turn comes.</summary>
    public bool IsWithdrawn { get; set; }

    public bool IsUnused => _lanes.Count == 0;

    public bool TryAdd(DestinationLane lane)
    {
        if (_lanes.Contains(lane))
            return false;
        _lanes.Add(lane);
        return true;
    }

    public void Remove(DestinationLane lane) => _lanes.Remove(lane);
}
