namespace RelayGate.Queue;

/// <summary>How a destination did lately.</summary>
internal enum LaneHealth
{
    /// <summary>It serves: as many jobs as its bound allows.</summary>
    Serves,

    /// <summary>Nothing is known of it yet.</summary>
    Unknown,

    /// <summary>It does not answer, or takes very long.</summary>
    Stuck,
}

/// <summary>All jobs to one destination: a bound on those in flight, so that one that is stuck holds up no other.</summary>
/// <remarks>This and the following types are guarded by the lock of <see cref="QueueScheduler"/>.</remarks>
internal sealed class DestinationLane(string key, int bound, int allowed, LaneHealth health)
{
    public string Key { get; } = key;

    /// <summary>Jobs in flight at most.</summary>
    public int Bound { get; } = bound;

    /// <summary>Jobs in flight now at most: grows to <see cref="Bound"/> with what is served in time, and falls with what is not.</summary>
    public int Allowed { get; private set; } = allowed;

    public LaneHealth Health { get; private set; } = health;

    public int InFlight { get; set; }

    /// <summary>Slots that are kept for flows that were parked and are in the ring again.</summary>
    public int Granted { get; set; }

    /// <summary>Octets of its jobs in memory, those in flight with them, and of what is being read.</summary>
    public long Octets { get; set; }

    /// <summary>What of these waits: jobs in flight end, but what waits may wait for long.</summary>
    public MemoryShare Memory { get; } = new();

    /// <summary>Jobs in memory that wait, and reads under way.</summary>
    public int Waiting { get; set; }

    /// <summary>Flows with jobs that wait for a slot, first come first served.</summary>
    public Queue<SubscriptionFlow> Parked { get; } = [];

    /// <summary>Flows that exist for this lane.</summary>
    public int Flows { get; set; }

    public int Free => Allowed - InFlight - Granted;

    /// <summary>Whether a flow may have a slot: one is free, and as many are left as the flow has, so that others always find some.</summary>
    public bool HasSlotFor(SubscriptionFlow flow) => Free > 0 && flow.InFlight <= Free;

    /// <summary>Whether more of it in memory would only wait there: of a lane that does not serve no more is read than it may begin.</summary>
    public bool HasEnough => Health != LaneHealth.Serves && Waiting > 0;

    /// <summary>Takes a flow out of the line.</summary>
    public void Unpark(SubscriptionFlow flow)
    {
        for (int i = Parked.Count; i > 0; i--)
        {
            SubscriptionFlow first = Parked.Dequeue();
            if (first != flow)
                Parked.Enqueue(first);
        }
    }

    /// <summary>Follows how a job fared.</summary>
    public void Note(JobEnd end)
    {
        switch (end)
        {
            case JobEnd.Served:
                Allowed = Math.Min(Bound, Allowed + 1);
                Health = LaneHealth.Serves;
                break;
            case JobEnd.Unserved:
                int least = Math.Min(Bound, DestinationLanes.FirstBound);
                Allowed = Math.Max(least, Allowed / 2);
                if (Allowed == least)
                    Health = LaneHealth.Stuck;
                break;
        }
    }
}

/// <summary>How a job fared, for the concurrency of its destination.</summary>
public enum JobEnd
{
    /// <summary>Says nothing of the destination.</summary>
    Neutral,

    /// <summary>The next hop answered, whatever it said, in good time.</summary>
    Served,

    /// <summary>No connection, no answer, or a very late one.</summary>
    Unserved,
}

/// <summary>What one subscription has for one destination.</summary>
internal sealed class SubscriptionFlow(SubscriptionQueue owner, DestinationLane lane)
{
    public SubscriptionQueue Owner { get; } = owner;

    public DestinationLane Lane { get; } = lane;

    /// <summary>Jobs in memory.</summary>
    public Queue<DeliveryJob> Ready { get; } = [];

    /// <summary>Messages known by row id alone: they are read when their turn comes.</summary>
    public RowLine Known { get; } = new();

    /// <summary>In its owner's ring.</summary>
    public bool InRing { get; set; }

    /// <summary>Waits for a slot of its lane, or for room among lanes like it.</summary>
    public bool IsParked { get; set; }

    /// <summary>Among which lanes it is noted for the next room, or null.</summary>
    public LaneHealth? StarvedAs { get; set; }

    /// <summary>A slot of its lane is kept for it.</summary>
    public bool HasGrant { get; set; }

    /// <summary>What the kept slot counts as.</summary>
    public LaneHealth GrantedAs { get; set; }

    /// <summary>Rows are being read, or wait to be.</summary>
    public bool IsLoading { get; set; }

    /// <summary>The share of memory that it has waited for, until it is looked at again.</summary>
    public MemoryShare? WokenFrom { get; set; }

    /// <summary>Jobs of this flow in flight.</summary>
    public int InFlight { get; set; }

    public bool IsUnused => Ready.Count == 0 && Known.Count == 0 && !InRing && !IsParked && !HasGrant && !IsLoading && InFlight == 0;
}

/// <summary>Row ids in the order they came.</summary>
internal sealed class RowLine
{
    private readonly Queue<long> _rows = [];
    private Stack<long>? _front;

    public int Count => _rows.Count + (_front?.Count ?? 0);

    public void Enqueue(long rowId) => _rows.Enqueue(rowId);

    public bool TryDequeue(out long rowId) => (_front is not null && _front.TryPop(out rowId)) || _rows.TryDequeue(out rowId);

    /// <summary>It is the first again.</summary>
    public void PutBack(long rowId) => (_front ??= []).Push(rowId);
}

/// <summary>The flows of one subscription; subscriptions take turns, and within one its destinations do.</summary>
internal sealed class SubscriptionQueue(string name)
{
    public string Name { get; } = name;

    public Dictionary<DestinationLane, SubscriptionFlow> Flows { get; } = [];

    /// <summary>Flows that may have a job to start.</summary>
    public Queue<SubscriptionFlow> Ring { get; } = [];

    public bool InRing { get; set; }

    /// <summary>Its jobs in memory, those in flight with them, and what is being read.</summary>
    public MemoryShare Memory { get; } = new();

    /// <summary>Messages known by row id alone.</summary>
    public int KnownRows { get; set; }

    /// <summary>Its jobs in flight, and grants, by the health their lane had.</summary>
    public int[] InFlightAs { get; } = new int[3];
}

/// <summary>A message that waits in the scheduler or is in flight: once for each lane, and each recipient in one job at most.</summary>
/// <remarks>Lanes change when a domain's site is learned or a route is set: that no recipient is attempted twice at once must not hang on them.</remarks>
internal sealed class KnownMessage
{
    private readonly List<DestinationLane> _lanes = new(1);
    private DeliveryJob? _job;
    private List<DeliveryJob>? _others;

    /// <summary>Held or ended by the administrator: rows that still wait need not be read. Jobs are withdrawn each by itself.</summary>
    public bool IsWithdrawn { get; set; }

    /// <summary>Those in memory: ready, in flight, or about to be leased.</summary>
    public IEnumerable<DeliveryJob> Jobs => _job is null ? _others ?? [] : _others is null ? [_job] : _others.Prepend(_job);

    public bool IsUnused => _lanes.Count == 0;

    public bool TryAdd(DestinationLane lane)
    {
        if (_lanes.Contains(lane))
            return false;
        _lanes.Add(lane);
        return true;
    }

    public void Remove(DestinationLane lane) => _lanes.Remove(lane);

    /// <summary>A job is in memory from now on, ready or in flight.</summary>
    public void Claim(DeliveryJob job)
    {
        if (_job is null)
            _job = job;
        else
            (_others ??= []).Add(job);
    }

    public void Unclaim(DeliveryJob job)
    {
        if (ReferenceEquals(_job, job))
            _job = null;
        else
            _others?.RemoveAll(other => ReferenceEquals(other, job));
    }

    /// <summary>Whether a job in memory has the recipient.</summary>
    public bool IsClaimed(QueuedRecipient recipient) => Has(_job, recipient) || (_others is not null && _others.Exists(job => Has(job, recipient)));

    private static bool Has(DeliveryJob? job, QueuedRecipient recipient)
    {
        if (job is null)
            return false;
        foreach (QueuedRecipient other in job.Recipients)
        {
            if (other.Index == recipient.Index)
                return true;
        }
        return false;
    }
}
