using System.Collections.Immutable;
using System.Net;
using RelayGate.Configuration;
using RelayGate.Queue;
using RelayGate.Core.Policy;
using RelayGate.Replies;
using RelayGate.Tls;

namespace RelayGate.Delivery;

/// <summary>Keeps sessions with next hops for the next message, bounds how many there are, and watches their time limits.</summary>
/// <remarks>
/// Bounds: <c>Connections:Total</c> for all, <c>PerMx</c> or <c>PerSmarthost</c> for one pair of local and remote address, and a provider's <c>Connections</c>
/// from one local address to all of its hosts.
/// Who finds a bound reached waits in order of arrival. One lock guards lists only; nothing waits inside it.
/// </remarks>
public sealed class ConnectionPool : IDisposable
{
    /// <summary>How long a delivery waits for a free connection before its job goes back to the queue. 1 min.</summary>
    public static readonly TimeSpan WaitLimit = TimeSpan.FromMinutes(1);

    /// <summary>Idle time after which the local address of a session is looked at again: a burst costs no look.</summary>
    private static readonly TimeSpan LookAgain = TimeSpan.FromMilliseconds(100);

    private readonly Lock _lock = new();
    private readonly DeliveryOptions _options;
    private readonly TrustedAuthorities _authorities;
    private readonly TimeProvider _time;
    private readonly ChunkReader _readChunk;
    private readonly ReplyRuleBook _rules;
    private readonly OrderlyHosts _orderly;
    private readonly ITimer _watch;
    private readonly Dictionary<SessionKey, Lane> _lanes = [];
    private readonly Dictionary<(EgressBinding Egress, IPEndPoint Remote), List<Lane>> _byAddress = []; // Whatever is asked of TLS.
    private readonly Dictionary<(EgressBinding Egress, string Provider), LaneGroup> _groups = [];
    private readonly HashSet<SmtpClientSession> _sessions = []; // All that are open or about to be.
    private readonly LinkedList<Waiter> _waiters = []; // In order of arrival, for any lane.
    private bool _aborted;

    public ConnectionPool(DeliveryOptions options, TimeProvider time, ChunkReader readChunk, ReplyRuleBook rules, TrustedAuthorities authorities)
    {
        _options = options;
        _authorities = authorities;
        _time = time;
        _readChunk = readChunk;
        _rules = rules;
        _orderly = new OrderlyHosts(time);
        TimeSpan shortest = new[] { options.Timeouts.Connect, options.Timeouts.Reply, options.Timeouts.Data }.Min();
        TimeSpan period = TimeSpan.FromTicks(Math.Clamp(shortest.Ticks / 4, TimeSpan.TicksPerMillisecond * 10, TimeSpan.TicksPerSecond));
        _watch = time.CreateTimer(static pool => ((ConnectionPool)pool!).Sweep(), this, period, period);
    }

    /// <summary>Sessions open now, idle ones included.</summary>
    public int Open
    {
        get
        {
            lock (_lock)
                return _sessions.Count;
        }
    }

    /// <summary>Recipients of one transaction at most.</summary>
    internal int MaxRecipients => _options.Connections.RecipientsPerTransaction;

    /// <summary>The addresses of a plan: those of equal hosts first to which a session is idle, then those to which another one may be opened.</summary>
    internal ImmutableArray<NextHopAddress> InOrder(NextHopPlan plan, EgressChoice egress)
    {
        if (plan.EqualAddresses < 2)
            return plan.Addresses;
        lock (_lock)
            return [.. plan.Addresses.Take(plan.EqualAddresses).OrderBy(address => RankOf(egress, address)), .. plan.Addresses.Skip(plan.EqualAddresses)];
    }

    private int RankOf(EgressChoice egress, NextHopAddress address)
    {
        if (EgressBinding.For(egress, address.EndPoint.AddressFamily) is not { } binding || !_byAddress.TryGetValue((binding, address.EndPoint), out List<Lane>? lanes))
            return 1;
        return lanes.Exists(static lane => lane.Idle.Oldest is not null) ? 0 : lanes.Exists(static lane => lane.HasRoom) ? 1 : 2;
    }

    /// <summary>Gives an idle session for this pair, else a new one that is not connected yet, as soon as the bounds allow.</summary>
    /// <param name="fresh">A kept session has just turned out broken: those idle beside it are not trusted either.</param>
    /// <returns>Null when none became free within <see cref="WaitLimit"/>.</returns>
    /// <exception cref="OperationCanceledException">Cancelled, or the pool was aborted.</exception>
    internal async ValueTask<SmtpClientSession?> TakeAsync(EgressBinding egress, NextHopAddress nextHop, bool fresh, CancellationToken cancellationToken)
    {
        SessionKey key = KeyOf(egress, nextHop);
        while (true)
        {
            SmtpClientSession? session;
            Waiter? waiter = null;
            SmtpClientSession? victim = null;
            lock (_lock)
            {
                if (_aborted)
                    throw new OperationCanceledException("Delivery has ended");
                if (!_lanes.TryGetValue(key, out Lane? lane))
                    lane = AddLane(key, nextHop);
                if (fresh)
                    DropIdle(lane);
                if (!lane.Idle.TryPop(out session))
                {
                    if (!lane.HasRoom && lane.Group is { HasRoom: false } group && lane.IsBelowBound && OldestIdle(group) is { } other)
                        Forget(victim = other);
                    else if (lane.HasRoom && _sessions.Count >= _options.Connections.Total && OldestIdle() is { } oldest)
                        Forget(victim = oldest);
                    if (lane.HasRoom && _sessions.Count < _options.Connections.Total)
                        session = NewSession(lane);
                    else
                        waiter = AddWaiter(lane);
                }
            }
            if (victim is not null)
                _ = victim.QuitAsync();
            session ??= await WaitAsync(waiter!, cancellationToken);
            if (session is null)
                return null;
            if (!session.WasOpened || !(session.IsStale || IsOrphaned(session)))
                return session;
            Discard(session); // Closed by the next hop while it was idle.
        }
    }

    /// <summary>Whether the local address of a session has gone from this host while it was idle: what is sent over it would stall until its time limit.</summary>
    private bool IsOrphaned(SmtpClientSession session) =>
        session.LocalAddress is { } local && _time.GetElapsedTime(session.IdleSince) >= LookAgain && !LocalAddresses.CanBind(local);

    /// <summary>Takes a session back: kept if another transaction may follow, else closed. Every session taken comes back here once.</summary>
    internal void Return(SmtpClientSession session)
    {
        bool keep = session.IsReusable && session.Transactions < session.Lane!.MaxTransactions;
        session.IdleSince = _time.GetTimestamp();
        lock (_lock)
        {
            if (keep && !_aborted)
            {
                Lane lane = session.Lane!;
                if (FirstWaiterOf(lane) is { } waiter)
                {
                    Serve(waiter, session);
                    return;
                }
                if ((_waiters.Count == 0 || _sessions.Count < _options.Connections.Total) && lane.Group is not { Waiting: > 0 })
                {
                    lane.Idle.Push(session);
                    return;
                }
            }
            Forget(session);
            ServeNextWaiter();
        }
        if (keep)
            _ = session.QuitAsync();
        else
            session.Dispose();
    }

    /// <summary>Ends every session at once, at the end of the grace period; what is under way fails.</summary>
    public void Abort()
    {
        SmtpClientSession[] all;
        lock (_lock)
        {
            _aborted = true;
            all = [.. _sessions];
            foreach (Waiter waiter in _waiters)
                waiter.Result.TrySetCanceled();
            _waiters.Clear();
        }
        foreach (SmtpClientSession session in all)
            session.Abort();
    }

    /// <summary>Ends the sessions that are idle, with QUIT.</summary>
    public void CloseIdle() => CloseIdle(TimeSpan.Zero);

    public void Dispose()
    {
        _watch.Dispose();
        CloseIdle();
        Abort();
    }

    private void Discard(SmtpClientSession session)
    {
        lock (_lock)
        {
            Forget(session);
            ServeNextWaiter();
        }
        session.Dispose();
    }

    private void DropIdle(Lane lane)
    {
        while (lane.Idle.TryPop(out SmtpClientSession? session))
        {
            lane.AddSessions(-1);
            _sessions.Remove(session!);
            session!.Dispose();
        }
    }

    private async Task<SmtpClientSession?> WaitAsync(Waiter waiter, CancellationToken cancellationToken)
    {
        await using CancellationTokenRegistration registration = cancellationToken.UnsafeRegister(_ => Cancel(waiter), null);
        await using ITimer limit = _time.CreateTimer(_ => GiveUp(waiter), null, WaitLimit, Timeout.InfiniteTimeSpan);
        return await waiter.Result.Task;
    }

    private void GiveUp(Waiter waiter)
    {
        if (TryLeave(waiter))
            waiter.Result.TrySetResult(null);
    }

    private void Cancel(Waiter waiter)
    {
        if (TryLeave(waiter))
            waiter.Result.TrySetCanceled();
    }

    /// <returns>False when the waiter has its session already.</returns>
    private bool TryLeave(Waiter waiter)
    {
        lock (_lock)
        {
            if (waiter.Node.List is null)
                return false;
            _waiters.Remove(waiter.Node);
            waiter.Lane.AddWaiting(-1);
            RemoveIfUnused(waiter.Lane);
            return true;
        }
    }

    private void Sweep()
    {
        long now = _time.GetTimestamp();
        lock (_lock)
        {
            foreach (SmtpClientSession session in _sessions)
                session.ExpireIfDue(now);
        }
        CloseIdle(_options.Connections.Idle);
    }

    private void CloseIdle(TimeSpan limit)
    {
        var closing = new List<SmtpClientSession>();
        lock (_lock)
        {
            foreach (Lane lane in _lanes.Values)
                lane.Idle.CopyTo(closing, session => _time.GetElapsedTime(session.IdleSince) >= limit);
            foreach (SmtpClientSession session in closing)
                Forget(session);
        }
        foreach (SmtpClientSession session in closing)
            _ = session.QuitAsync();
    }

    private SmtpClientSession NewSession(Lane lane)
    {
        var session = new SmtpClientSession(lane.Key.Egress, lane.NextHop, _options, _authorities, _time, _readChunk, _rules, _orderly) { Lane = lane };
        lane.AddSessions(1);
        _sessions.Add(session);
        return session;
    }

    private void Forget(SmtpClientSession session)
    {
        Lane lane = session.Lane!;
        if (!_sessions.Remove(session))
            return;
        lane.AddSessions(-1);
        lane.Idle.Remove(session);
        RemoveIfUnused(lane);
    }

    private void RemoveIfUnused(Lane lane)
    {
        if (lane.Sessions == 0 && lane.Waiting == 0 && _lanes.Remove(lane.Key))
        {
            List<Lane> lanes = _byAddress[(lane.Key.Egress, lane.Key.Remote)];
            lanes.Remove(lane);
            if (lanes.Count == 0)
                _byAddress.Remove((lane.Key.Egress, lane.Key.Remote));
            if (lane.Group is { } group && --group.Lanes == 0)
                _groups.Remove((lane.Key.Egress, group.Provider));
        }
    }

    private SessionKey KeyOf(EgressBinding egress, NextHopAddress nextHop) =>
        new(egress, nextHop.EndPoint, nextHop.Tls, nextHop.Login, nextHop.IsImplicitTls) { Provider = OptionsOf(nextHop.Provider) is null ? "" : nextHop.Provider };

    /// <summary>What differs for a provider in the pool; null: nothing, so that its hosts' sessions are shared whatever name a domain gives them.</summary>
    private ProviderOptions? OptionsOf(string provider) =>
        provider.Length > 0 && _options.Providers.TryGetValue(provider, out ProviderOptions? own) && (own.Connections ?? own.MessagesPerConnection) is not null ? own : null;

    private Lane AddLane(SessionKey key, NextHopAddress nextHop)
    {
        string provider = nextHop.Provider;
        ProviderOptions? own = OptionsOf(provider);
        LaneGroup? group = null;
        if (own?.Connections is { } most)
        {
            if (!_groups.TryGetValue((key.Egress, provider), out group))
                _groups.Add((key.Egress, provider), group = new LaneGroup(provider, most));
            group.Lanes++;
        }
        int bound = nextHop.IsSmarthost ? _options.Connections.PerSmarthost : group?.Bound ?? _options.Connections.PerMx;
        var lane = new Lane(key, nextHop, bound, own?.MessagesPerConnection ?? _options.Connections.MessagesPerConnection, group);
        _lanes.Add(key, lane);
        if (!_byAddress.TryGetValue((key.Egress, key.Remote), out List<Lane>? lanes))
            _byAddress.Add((key.Egress, key.Remote), lanes = new List<Lane>(1));
        lanes.Add(lane);
        return lane;
    }

    /// <param name="group">Null: of all.</param>
    private SmtpClientSession? OldestIdle(LaneGroup? group = null)
    {
        SmtpClientSession? oldest = null;
        foreach (Lane lane in _lanes.Values)
        {
            if ((group is null || lane.Group == group) && lane.Idle.Oldest is { } candidate && (oldest is null || candidate.IdleSince < oldest.IdleSince))
                oldest = candidate;
        }
        return oldest;
    }

    private Waiter AddWaiter(Lane lane)
    {
        var waiter = new Waiter(lane);
        _waiters.AddLast(waiter.Node);
        lane.AddWaiting(1);
        return waiter;
    }

    private Waiter? FirstWaiterOf(Lane lane)
    {
        if (lane.Waiting == 0)
            return null;
        foreach (Waiter waiter in _waiters)
        {
            if (waiter.Lane == lane)
                return waiter;
        }
        return null;
    }

    /// <summary>After a session has gone: its place goes to the first who waits for a lane with room.</summary>
    private void ServeNextWaiter()
    {
        if (_aborted || _sessions.Count >= _options.Connections.Total)
            return;
        foreach (Waiter waiter in _waiters)
        {
            if (waiter.Lane.HasRoom)
            {
                Serve(waiter, NewSession(waiter.Lane));
                return;
            }
        }
    }

    private void Serve(Waiter waiter, SmtpClientSession session)
    {
        _waiters.Remove(waiter.Node);
        waiter.Lane.AddWaiting(-1);
        waiter.Result.SetResult(session);
    }

    private sealed class Waiter
    {
        public Waiter(Lane lane)
        {
            Lane = lane;
            Node = new LinkedListNode<Waiter>(this);
        }

        public Lane Lane { get; }

        public LinkedListNode<Waiter> Node { get; }

        public TaskCompletionSource<SmtpClientSession?> Result { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}
