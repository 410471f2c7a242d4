using System.Net;
using System.Net.Sockets;
using RelayGate.Configuration;
using RelayGate.Core.Policy;

namespace RelayGate.Delivery;

/// <summary>The part that keeps to the bounds and serves those who wait at them. All of it runs under the lock.</summary>
public sealed partial class ConnectionPool
{
    /// <summary>An idle session of the lane, else a new one, for which idle ones of other lanes are closed where a bound is reached.</summary>
    /// <param name="reached">A bound that is reached and has no idle session, when there is nothing to give.</param>
    private SmtpClientSession? Get(Lane lane, ref Outcome after, out ConnectionBound? reached)
    {
        reached = null;
        if (lane.TryPop() is { } idle)
        {
            idle.GivenSince = _time.GetTimestamp();
            return idle;
        }
        foreach (ConnectionBound bound in lane.Bounds)
        {
            if (bound.IsExhausted)
            {
                reached = bound;
                return null;
            }
        }
        foreach (ConnectionBound bound in lane.Bounds)
        {
            while (!bound.HasRoom)
                Close(bound.Idle.First!.Value, ref after);
        }
        var session = new SmtpClientSession(lane.Key.Egress, lane.NextHop, _options, _authorities, _time, _readChunk, _rules, _orderly) { Lane = lane, GivenSince = _time.GetTimestamp() };
        lane.Count(1);
        _sessions.Add(session);
        return session;
    }

    /// <param name="idle">Left for the caller to end, after the lock.</param>
    private void Close(SmtpClientSession idle, ref Outcome after)
    {
        idle.Lane!.Remove(idle);
        Forget(idle);
        (after.Closing ??= []).Add(idle);
    }

    /// <param name="session">Not idle.</param>
    private void Forget(SmtpClientSession session)
    {
        if (!_sessions.Remove(session))
            return;
        session.Lane!.Count(-1);
        RemoveIfUnused(session.Lane);
    }

    private void RemoveIfUnused(Lane lane)
    {
        if (lane.Sessions > 0 || lane.Waiters.Count > 0 || !_lanes.Remove(lane.Key))
            return;
        foreach (ConnectionBound bound in lane.Bounds)
        {
            if (--bound.Lanes == 0 && bound != _all)
                _bounds.Remove(bound.Key);
        }
    }

    private SessionKey KeyOf(EgressBinding egress, NextHopAddress nextHop) =>
        new(egress, nextHop.EndPoint, nextHop.Tls, nextHop.Login, nextHop.IsImplicitTls) { Provider = OptionsOf(nextHop.Provider) is null ? "" : nextHop.Provider };

    /// <summary>Where the system chooses the local address, all that is sent by one family counts as from one.</summary>
    private static IPAddress LocalOf(EgressBinding egress, NextHopAddress nextHop) =>
        egress.Address ?? SystemChoice.Of(nextHop.EndPoint.AddressFamily);

    /// <summary>What differs for a provider in the pool; null: nothing, so that its hosts' sessions are shared whatever name a domain gives them.</summary>
    private ProviderOptions? OptionsOf(string provider) =>
        provider.Length > 0 && _options.Providers.TryGetValue(provider, out ProviderOptions? own) && (own.Connections ?? own.MessagesPerConnection) is not null ? own : null;

    private Lane AddLane(SessionKey key, NextHopAddress nextHop, ref Outcome after)
    {
        ConnectionOptions connections = _options.Connections;
        ProviderOptions? own = OptionsOf(nextHop.Provider);
        IPAddress local = LocalOf(key.Egress, nextHop);
        int perPair = nextHop.IsSmarthost ? connections.PerSmarthost : own?.Connections ?? connections.PerMx;
        ConnectionBound pair = Bound(new BoundKey(local, key.Remote, null), perPair);
        ConnectionBound remote = Bound(new BoundKey(null, key.Remote, null), connections.PerNextHop);
        ConnectionBound address = Bound(new BoundKey(local, null, null), connections.PerAddress);
        var lane = new Lane(key, nextHop, own?.MessagesPerConnection ?? connections.MessagesPerConnection, own?.Connections is { } perProvider
            ? [pair, Bound(new BoundKey(local, null, nextHop.Provider), perProvider), remote, address, _all]
            : [pair, remote, address, _all]);
        _lanes.Add(key, lane);
        foreach (ConnectionBound bound in lane.Bounds)
            bound.Lanes++;
        if (pair.Limit < perPair) // The same host serves as MX and as smarthost: the higher bound is for it.
        {
            pair.Limit = perPair;
            ServeLines([pair], ref after);
        }
        return lane;
    }

    private ConnectionBound Bound(BoundKey key, int limit)
    {
        if (!_bounds.TryGetValue(key, out ConnectionBound? bound))
            _bounds.Add(key, bound = new ConnectionBound(key, limit));
        return bound;
    }

    private Lane.Waiter AddWaiter(Lane lane, ConnectionBound reached)
    {
        var waiter = new Lane.Waiter(lane);
        lane.Waiters.AddLast(waiter.Node);
        if (lane.InLine.List is null)
            GoBehind(lane, reached.Line);
        _waiting++;
        return waiter;
    }

    /// <summary>Whether a session that comes back has had its turn, and another lane has waited as long for a place that it holds.</summary>
    private bool IsOthersTurn(SmtpClientSession session)
    {
        if (_time.GetElapsedTime(session.GivenSince) < Turn)
            return false;
        foreach (ConnectionBound bound in session.Lane!.Bounds)
        {
            LinkedListNode<Lane>? first = bound.Line.First == session.Lane.InLine ? session.Lane.InLine.Next : bound.Line.First;
            if (first is not null && _time.GetElapsedTime(first.Value.InLineSince) >= Turn)
                return true;
        }
        return false;
    }

    /// <summary>After a session of the lane has gone or become idle: whoever else waits for the place is before it.</summary>
    private void ServeLines(Lane lane, ref Outcome after)
    {
        if (lane.InLine.List is { } line)
        {
            line.Remove(lane.InLine);
            GoBehind(lane, line);
        }
        ServeLines(lane.Bounds, ref after);
    }

    /// <summary>
    /// Gives what these bounds allow to the lanes in their lines: of those that are first in one the one that waits longest, whatever bound it stands at.
    /// Who is kept by another bound goes into the line of that one, and loses no time by it.
    /// </summary>
    private void ServeLines(ReadOnlySpan<ConnectionBound> bounds, ref Outcome after)
    {
        while (NextOf(bounds) is { } bound)
        {
            Lane lane = bound.Line.First!.Value;
            bound.Line.RemoveFirst();
            if (Get(lane, ref after, out ConnectionBound? reached) is not { } session)
            {
                reached!.Line.AddLast(lane.InLine);
                continue;
            }
            Lane.Waiter waiter = lane.Waiters.First!.Value;
            Leave(waiter);
            (after.Served ??= []).Add((waiter, session));
            if (lane.Waiters.Count > 0)
                GoBehind(lane, bound.Line);
        }
    }

    /// <summary>The bound whose line is served next; null: none of them has both a line and a place or an idle session.</summary>
    private static ConnectionBound? NextOf(ReadOnlySpan<ConnectionBound> bounds)
    {
        ConnectionBound? next = null;
        foreach (ConnectionBound bound in bounds)
        {
            if (!bound.IsExhausted && bound.Line.First is { } first && (next is null || first.Value.InLineSince < next.Line.First!.Value.InLineSince))
                next = bound;
        }
        return next;
    }

    private void GoBehind(Lane lane, LinkedList<Lane> line)
    {
        lane.InLineSince = _time.GetTimestamp();
        line.AddLast(lane.InLine);
    }

    private void Leave(Lane.Waiter waiter)
    {
        Lane lane = waiter.Lane;
        lane.Waiters.Remove(waiter.Node);
        _waiting--;
        if (lane.Waiters.Count == 0)
            lane.InLine.List?.Remove(lane.InLine);
        RemoveIfUnused(lane);
    }

    /// <summary>What is to be done after the lock: what is closed goes before what takes its place, so that the next hop sees no more than the bound either.</summary>
    private struct Outcome
    {
        public List<SmtpClientSession>? Closing { get; set; }

        public List<(Lane.Waiter Waiter, SmtpClientSession Session)>? Served { get; set; }

        public readonly void Run()
        {
            foreach (SmtpClientSession session in Closing ?? [])
                _ = session.QuitAsync();
            foreach ((Lane.Waiter waiter, SmtpClientSession session) in Served ?? [])
                waiter.Result.SetResult(session);
        }
    }
}
