using RelayGate.Configuration;
using RelayGate.Replies;
using RelayGate.Tls;

namespace RelayGate.Delivery;

/// <summary>Keeps sessions with next hops for the next message, bounds how many there are, and watches their time limits.</summary>
/// <remarks>
/// Bounds: <c>Connections:Total</c> for all, <c>PerMx</c> or <c>PerSmarthost</c> for one pair of local and remote address.
/// Who finds a bound reached waits in order of arrival. One lock guards lists only; nothing waits inside it.
/// </remarks>
public sealed class ConnectionPool : IDisposable
{
    /// <summary>How long an idle session is kept: shorter than next hops wait, long enough for a burst. 10 s.</summary>
    public static readonly TimeSpan IdleLimit = TimeSpan.FromSeconds(10);

    /// <summary>Transactions after which a session ends, so that load spreads anew over a next hop's machines. 1000.</summary>
    public const int MaxTransactions = 1000;

    /// <summary>How long a delivery waits for a free connection before its job goes back to the queue. 1 min.</summary>
    public static readonly TimeSpan WaitLimit = TimeSpan.FromMinutes(1);

    private readonly Lock _lock = new();
    private readonly DeliveryOptions _options;
    private readonly TrustedAuthorities _authorities;
    private readonly TimeProvider _time;
    private readonly ChunkReader _readChunk;
    private readonly ReplyRuleBook _rules;
    private readonly ITimer _watch;
    private readonly Dictionary<SessionKey, Lane> _lanes = [];
    private readonly HashSet<SmtpClientSession> _sessions = []; // All that are open or about to be.
    private readonly LinkedList<Waiter> _waiters = []; // In order of arrival, for any lane.
    private bool _aborted;

    public ConnectionPool(DeliveryOptions options, TimeProvider time, ChunkReader readChunk, ReplyRuleBook rules)
    {
        _options = options;
        _authorities = new TrustedAuthorities(options.Tls.AuthoritiesPath);
        _time = time;
        _readChunk = readChunk;
        _rules = rules;
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

    /// <summary>Gives an idle session for this pair, else a new one that is not connected yet, as soon as the bounds allow.</summary>
    /// <param name="fresh">A kept session has just turned out broken: those idle beside it are not trusted either.</param>
    /// <returns>Null when none became free within <see cref="WaitLimit"/>.</returns>
    /// <exception cref="OperationCanceledException">Cancelled, or the pool was aborted.</exception>
    internal async ValueTask<SmtpClientSession?> TakeAsync(EgressBinding egress, NextHopAddress nextHop, bool fresh, CancellationToken cancellationToken)
    {
        var key = new SessionKey(egress, nextHop.EndPoint, nextHop.Tls, nextHop.Login, nextHop.IsImplicitTls);
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
                    _lanes.Add(key, lane = new Lane(key, nextHop, nextHop.IsSmarthost ? _options.Connections.PerSmarthost : _options.Connections.PerMx));
                if (fresh)
                    DropIdle(lane);
                if (!lane.Idle.TryPop(out session))
                {
                    if (lane.HasRoom && _sessions.Count >= _options.Connections.Total && OldestIdle() is { } oldest)
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
            if (!session.WasOpened || !session.IsStale)
                return session;
            Discard(session); // Closed by the next hop while it was idle.
        }
    }

    /// <summary>Takes a session back: kept if another transaction may follow, else closed. Every session taken comes back here once.</summary>
    internal void Return(SmtpClientSession session)
    {
        bool keep = session.IsReusable && session.Transactions < MaxTransactions;
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
                if (_waiters.Count == 0 || _sessions.Count < _options.Connections.Total)
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
            lane.Sessions--;
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
            waiter.Lane.Waiting--;
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
        CloseIdle(IdleLimit);
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
        var session = new SmtpClientSession(lane.Key.Egress, lane.NextHop, _options, _authorities, _time, _readChunk, _rules) { Lane = lane };
        lane.Sessions++;
        _sessions.Add(session);
        return session;
    }

    private void Forget(SmtpClientSession session)
    {
        Lane lane = session.Lane!;
        if (!_sessions.Remove(session))
            return;
        lane.Sessions--;
        lane.Idle.Remove(session);
        RemoveIfUnused(lane);
    }

    private void RemoveIfUnused(Lane lane)
    {
        if (lane.Sessions == 0 && lane.Waiting == 0)
            _lanes.Remove(lane.Key);
    }

    private SmtpClientSession? OldestIdle()
    {
        SmtpClientSession? oldest = null;
        foreach (Lane lane in _lanes.Values)
        {
            if (lane.Idle.Oldest is { } candidate && (oldest is null || candidate.IdleSince < oldest.IdleSince))
                oldest = candidate;
        }
        return oldest;
    }

    private Waiter AddWaiter(Lane lane)
    {
        var waiter = new Waiter(lane);
        _waiters.AddLast(waiter.Node);
        lane.Waiting++;
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
        waiter.Lane.Waiting--;
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
