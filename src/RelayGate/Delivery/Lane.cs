namespace RelayGate.Delivery;

/// <summary>The sessions that are alike, so that any message of the pair of addresses may go over each of them. Guarded by the lock of <see cref="ConnectionPool"/>.</summary>
internal sealed class Lane
{
    private readonly LinkedList<SmtpClientSession> _idle = []; // The one used last at the end.

    /// <param name="maxTransactions">Transactions after which a session ends, so that load spreads anew over a next hop's machines.</param>
    /// <param name="bounds">All bounds that its sessions count for.</param>
    public Lane(SessionKey key, NextHopAddress nextHop, int maxTransactions, ConnectionBound[] bounds)
    {
        Key = key;
        NextHop = nextHop;
        MaxTransactions = maxTransactions;
        Bounds = bounds;
        InLine = new LinkedListNode<Lane>(this);
    }

    public SessionKey Key { get; }

    public NextHopAddress NextHop { get; }

    public int MaxTransactions { get; }

    public ConnectionBound[] Bounds { get; }

    /// <summary>Sessions open or about to be.</summary>
    public int Sessions { get; private set; }

    /// <summary>Deliveries waiting for a session, in order of arrival.</summary>
    public LinkedList<Waiter> Waiters { get; } = [];

    /// <summary>Its place in the line of a bound; in one while there are <see cref="Waiters"/>.</summary>
    public LinkedListNode<Lane> InLine { get; }

    /// <summary>Timestamp of when it began to wait for a place, or was last behind all others in a line: after it was given one there, or gave one back.</summary>
    public long InLineSince { get; set; }

    public void Count(int sessions)
    {
        Sessions += sessions;
        foreach (ConnectionBound bound in Bounds)
            bound.Sessions += sessions;
    }

    /// <summary>A session is idle from now on.</summary>
    public void Put(SmtpClientSession session)
    {
        if (session.IdleNodes.Length == 0)
            session.IdleNodes = [.. Enumerable.Range(0, Bounds.Length + 1).Select(_ => new LinkedListNode<SmtpClientSession>(session))];
        _idle.AddLast(session.IdleNodes[^1]);
        for (int i = 0; i < Bounds.Length; i++)
            Bounds[i].Idle.AddLast(session.IdleNodes[i]);
    }

    /// <summary>Takes the idle session that was used last: a burst that ebbs away lets the others grow old and close.</summary>
    public SmtpClientSession? TryPop()
    {
        SmtpClientSession? session = _idle.Last?.Value;
        if (session is not null)
            Remove(session);
        return session;
    }

    /// <summary>A session is not idle any more.</summary>
    public void Remove(SmtpClientSession session)
    {
        _idle.Remove(session.IdleNodes[^1]);
        for (int i = 0; i < Bounds.Length; i++)
            Bounds[i].Idle.Remove(session.IdleNodes[i]);
    }

    /// <summary>A delivery that waits for a session.</summary>
    internal sealed class Waiter
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
