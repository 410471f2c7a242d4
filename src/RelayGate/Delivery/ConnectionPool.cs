using System.Collections.Immutable;
using System.Net;
using RelayGate.Configuration;
using RelayGate.Queue;
using RelayGate.Core.Policy;
using RelayGate.Replies;
using RelayGate.Telemetry;
using RelayGate.Tls;

namespace RelayGate.Delivery;

/// <summary>Keeps sessions with next hops for the next message, bounds how many there are, and watches their time limits.</summary>
/// <remarks>
/// Sessions are shared within a <see cref="Lane"/>; bounds hold over lanes, by addresses alone, whatever is said in EHLO, asked of TLS or logged in as:
/// <c>Connections:Total</c> for all, <c>PerAddress</c> for a local address, <c>PerNextHop</c> for a remote one, <c>PerMx</c> or <c>PerSmarthost</c> for a pair
/// of them, and a provider's <c>Connections</c> from one local address to all of its hosts. At a bound that is reached an idle session of another lane is
/// closed; where none is idle, lanes take turns, and each serves its deliveries in order of arrival.
/// One lock guards lists only; nothing waits inside it, and nothing there takes longer for more lanes, sessions or waiting deliveries.
/// A waiting lane stands in the line of one bound that is reached and has no idle session; whenever a bound gains a place or an idle session, its line is
/// served until that is so again (<see cref="ServeLines(ReadOnlySpan{ConnectionBound}, ref Outcome)"/>). So nobody waits who could go.
/// </remarks>
public sealed partial class ConnectionPool : IDisposable
{
    /// <summary>How long a delivery waits for a free connection before it goes on to the next address, or its job back to the queue. 1 min.</summary>
    public static readonly TimeSpan WaitLimit = TimeSpan.FromMinutes(1);

    /// <summary>How long it waits at each address after that. 10 s.</summary>
    public static readonly TimeSpan NextWaitLimit = TimeSpan.FromSeconds(10);

    /// <summary>Idle time after which the local address of a session is looked at again: a burst costs no look.</summary>
    private static readonly TimeSpan LookAgain = TimeSpan.FromMilliseconds(100);

    /// <summary>How long a session goes from one delivery of its lane to the next, and another lane waits, before that one has its place: a connection costs more than a delivery. 1 s.</summary>
    private static readonly TimeSpan Turn = TimeSpan.FromSeconds(1);

    private readonly Lock _lock = new();
    private readonly DeliveryOptions _options;
    private readonly TrustedAuthorities _authorities;
    private readonly TimeProvider _time;
    private readonly ChunkReader _readChunk;
    private readonly ReplyRuleBook _rules;
    private readonly OrderlyHosts _orderly;
    private readonly ITimer _watch;
    private readonly Dictionary<SessionKey, Lane> _lanes = [];
    private readonly Dictionary<BoundKey, ConnectionBound> _bounds = []; // But that of all.
    private readonly ConnectionBound _all;
    private readonly HashSet<SmtpClientSession> _sessions = []; // All that are open or about to be.
    private int _waiting;
    private bool _aborted;

    public ConnectionPool(DeliveryOptions options, TimeProvider time, ChunkReader readChunk, ReplyRuleBook rules, TrustedAuthorities authorities)
    {
        _options = options;
        _authorities = authorities;
        _time = time;
        _readChunk = readChunk;
        _rules = rules;
        _orderly = new OrderlyHosts(time);
        _all = new ConnectionBound(default, options.Connections.Total);
        TimeSpan shortest = new[] { options.Timeouts.Connect, options.Timeouts.Reply, options.Timeouts.Data }.Min();
        TimeSpan period = TimeSpan.FromTicks(Math.Clamp(shortest.Ticks / 4, TimeSpan.TicksPerMillisecond * 10, TimeSpan.TicksPerSecond));
        _watch = time.CreateTimer(static pool => ((ConnectionPool)pool!).Sweep(), this, period, period);
    }

    /// <summary>Sessions open now, idle ones included.</summary>
    public int Open => Figures().Open;

    /// <summary>Recipients of one transaction at most.</summary>
    internal int MaxRecipients => _options.Connections.RecipientsPerTransaction;

    /// <summary>How it stands now.</summary>
    public ConnectionFigures Figures()
    {
        lock (_lock)
        {
            ConnectionBound? address = null, nextHop = null;
            foreach (ConnectionBound bound in _bounds.Values)
            {
                if (bound.Key is { Remote: null, Provider: null } && bound.Sessions > (address?.Sessions ?? 0))
                    address = bound;
                else if (bound.Key is { Local: null } && bound.Sessions > (nextHop?.Sessions ?? 0))
                    nextHop = bound;
            }
            return new ConnectionFigures(_all.Sessions, _all.Idle.Count, _waiting, _all.Limit) { Address = UseOf(address), NextHop = UseOf(nextHop) };
        }
    }

    private static BoundUse? UseOf(ConnectionBound? bound) => bound is null ? null : new BoundUse($"{(object?)bound.Key.Local ?? bound.Key.Remote}", bound.Sessions, bound.Limit);

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
        if (EgressBinding.For(egress, address.EndPoint.AddressFamily) is not { } binding)
            return 1;
        IPAddress local = LocalOf(binding, address);
        if (_bounds.GetValueOrDefault(new BoundKey(local, address.EndPoint, null)) is { } pair)
        {
            foreach (SmtpClientSession session in pair.Idle)
            {
                if (session.Egress == binding)
                    return 0;
            }
            if (!pair.HasRoom)
                return 2;
        }
        return _bounds.GetValueOrDefault(new BoundKey(null, address.EndPoint, null)) is { HasRoom: false } ? 2 : 1;
    }

    /// <summary>Gives an idle session for this pair, else a new one that is not connected yet, as soon as the bounds allow.</summary>
    /// <param name="fresh">A kept session has just turned out broken: those idle beside it are not trusted either.</param>
    /// <param name="wait">How long, at most.</param>
    /// <returns>Null when none became free in that time.</returns>
    /// <exception cref="OperationCanceledException">Cancelled, or the pool was aborted.</exception>
    internal async ValueTask<SmtpClientSession?> TakeAsync(EgressBinding egress, NextHopAddress nextHop, bool fresh, TimeSpan wait, CancellationToken cancellationToken)
    {
        SessionKey key = KeyOf(egress, nextHop);
        while (true)
        {
            SmtpClientSession? session;
            Lane.Waiter? waiter = null;
            var after = new Outcome();
            lock (_lock)
            {
                if (_aborted)
                    throw new OperationCanceledException("Delivery has ended");
                if (!_lanes.TryGetValue(key, out Lane? lane))
                    lane = AddLane(key, nextHop, ref after);
                if (fresh)
                    DropIdle(lane);
                session = Get(lane, ref after, out ConnectionBound? reached);
                if (session is null)
                    waiter = AddWaiter(lane, reached!);
            }
            after.Run();
            session ??= await WaitAsync(waiter!, wait, cancellationToken);
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
        Lane lane = session.Lane!;
        bool keep = session.IsReusable && session.Transactions < lane.MaxTransactions;
        session.IdleSince = _time.GetTimestamp();
        var after = new Outcome();
        Lane.Waiter? next = null;
        lock (_lock)
        {
            keep &= !_aborted;
            next = keep && !IsOthersTurn(session) ? lane.Waiters.First?.Value : null;
            if (next is not null)
            {
                Leave(next);
            }
            else
            {
                if (keep)
                    lane.Put(session);
                else
                    Forget(session);
                ServeLines(lane, ref after);
            }
        }
        next?.Result.SetResult(session);
        if (!keep)
            session.Dispose();
        after.Run();
    }

    /// <summary>Ends every session at once, at the end of the grace period; what is under way fails.</summary>
    public void Abort()
    {
        SmtpClientSession[] all;
        lock (_lock)
        {
            _aborted = true;
            all = [.. _sessions];
            foreach (Lane lane in _lanes.Values.ToArray())
            {
                while (lane.Waiters.First is { } waiter)
                {
                    Leave(waiter.Value);
                    waiter.Value.Result.TrySetCanceled();
                }
            }
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
        var after = new Outcome();
        lock (_lock)
        {
            Forget(session);
            ServeLines(session.Lane!, ref after);
        }
        session.Dispose();
        after.Run();
    }

    /// <summary>Nobody waits for a place of theirs: while a session is idle, none of its bounds has a line.</summary>
    private void DropIdle(Lane lane)
    {
        while (lane.TryPop() is { } session)
        {
            lane.Count(-1);
            _sessions.Remove(session);
            session.Dispose();
        }
    }

    private async Task<SmtpClientSession?> WaitAsync(Lane.Waiter waiter, TimeSpan wait, CancellationToken cancellationToken)
    {
        await using CancellationTokenRegistration registration = cancellationToken.UnsafeRegister(_ => Cancel(waiter), null);
        await using ITimer limit = _time.CreateTimer(_ => GiveUp(waiter), null, wait, Timeout.InfiniteTimeSpan);
        return await waiter.Result.Task;
    }

    private void GiveUp(Lane.Waiter waiter)
    {
        if (TryLeave(waiter))
            waiter.Result.TrySetResult(null);
    }

    private void Cancel(Lane.Waiter waiter)
    {
        if (TryLeave(waiter))
            waiter.Result.TrySetCanceled();
    }

    /// <returns>False when the waiter has its session already.</returns>
    private bool TryLeave(Lane.Waiter waiter)
    {
        lock (_lock)
        {
            if (waiter.Node.List is null)
                return false;
            Leave(waiter);
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
        var after = new Outcome();
        lock (_lock)
        {
            while (_all.Idle.First is { } oldest && _time.GetElapsedTime(oldest.Value.IdleSince) >= limit)
                Close(oldest.Value, ref after);
        }
        after.Run();
    }
}
