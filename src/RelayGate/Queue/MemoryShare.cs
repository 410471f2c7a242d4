using System.Diagnostics.CodeAnalysis;

namespace RelayGate.Queue;

/// <summary>What one user of the scheduler's memory has of it, and the flows that wait to be read until it has less.</summary>
/// <remarks>
/// Whoever waits here waits for octets of the share to be given back, or for more to be free than it has (<see cref="UsedUpShares"/>): while it has none,
/// nobody waits. Guarded by the lock of <see cref="QueueScheduler"/>.
/// </remarks>
internal sealed class MemoryShare
{
    /// <summary>Octets of messages in memory, or being read.</summary>
    public long Octets { get; set; }

    /// <summary>Flows whose rows wait to be read.</summary>
    public FlowTurns Waiting => field ??= new FlowTurns();

    /// <summary>Its size when it was put among <see cref="UsedUpShares"/>, and its number there; null: it is not there.</summary>
    public (long Octets, long Number)? UsedUpAt { get; set; }
}

/// <summary>Shares that flows wait for and that were not smaller than what was free, the smallest first: when others give octets back, they may go on.</summary>
/// <remarks>Guarded by the lock of <see cref="QueueScheduler"/>.</remarks>
internal sealed class UsedUpShares
{
    private readonly SortedSet<MemoryShare> _shares = new(Comparer<MemoryShare>.Create(static (a, b) => Comparer<(long, long)?>.Default.Compare(a.UsedUpAt, b.UsedUpAt)));
    private long _number;

    /// <summary>Notes a share by its size now; one that is there already keeps the smaller one.</summary>
    public void Add(MemoryShare share)
    {
        if (share.UsedUpAt is { } at && at.Octets <= share.Octets)
            return;
        Remove(share);
        share.UsedUpAt = (share.Octets, _number++);
        _shares.Add(share);
    }

    public void Remove(MemoryShare share)
    {
        if (share.UsedUpAt is null)
            return;
        _shares.Remove(share);
        share.UsedUpAt = null;
    }

    /// <summary>Takes the one out that was smallest, if it was smaller than what is free.</summary>
    public bool TryTake(long free, [NotNullWhen(true)] out MemoryShare? share)
    {
        share = _shares.Min;
        if (share is null || share.UsedUpAt!.Value.Octets >= free)
            return false;
        Remove(share);
        return true;
    }
}

/// <summary>A line of flows in which subscriptions take turns; those that have nothing in memory come in between the others.</summary>
/// <remarks>However many flows a subscription has here, the first one of another waits for one of them. Guarded by the lock of <see cref="QueueScheduler"/>.</remarks>
internal sealed class FlowTurns
{
    private readonly Dictionary<SubscriptionQueue, Queue<SubscriptionFlow>> _flows = [];
    private readonly Queue<SubscriptionQueue> _withNothing = [];
    private readonly Queue<SubscriptionQueue> _others = [];
    private bool _othersFirst;

    public bool IsEmpty => _flows.Count == 0;

    public void Enqueue(SubscriptionFlow flow)
    {
        if (_flows.TryGetValue(flow.Owner, out Queue<SubscriptionFlow>? own))
        {
            own.Enqueue(flow);
            return;
        }
        _flows.Add(flow.Owner, own = new Queue<SubscriptionFlow>());
        own.Enqueue(flow);
        Join(flow.Owner);
    }

    /// <param name="may">Whose turn it may be: all others stay in the line.</param>
    public bool TryDequeue([NotNullWhen(true)] out SubscriptionFlow? flow, Func<SubscriptionQueue, bool>? may = null)
    {
        flow = null;
        if ((Next(_othersFirst ? _others : _withNothing, may) ?? Next(_othersFirst ? _withNothing : _others, may)) is not { } subscription)
            return false;
        _othersFirst = !_othersFirst;
        Queue<SubscriptionFlow> own = _flows[subscription];
        flow = own.Dequeue();
        if (own.Count == 0)
            _flows.Remove(subscription);
        else
            Join(subscription);
        return true;
    }

    /// <summary>Takes the flows of a lane out, in their order.</summary>
    public List<SubscriptionFlow> Take(DestinationLane lane)
    {
        var taken = new List<SubscriptionFlow>();
        var left = new List<SubscriptionFlow>();
        while (TryDequeue(out SubscriptionFlow? flow))
            (flow.Lane == lane ? taken : left).Add(flow);
        left.ForEach(Enqueue);
        return taken;
    }

    private static SubscriptionQueue? Next(Queue<SubscriptionQueue> line, Func<SubscriptionQueue, bool>? may)
    {
        for (int i = line.Count; i > 0; i--)
        {
            SubscriptionQueue first = line.Dequeue();
            if (may is null || may(first))
                return first;
            line.Enqueue(first);
        }
        return null;
    }

    private void Join(SubscriptionQueue subscription) => (subscription.Memory.Octets == 0 ? _withNothing : _others).Enqueue(subscription);
}
