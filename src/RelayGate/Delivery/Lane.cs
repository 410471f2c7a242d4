namespace RelayGate.Delivery;

/// <summary>The sessions of one pair of local and remote address. Guarded by the lock of <see cref="ConnectionPool"/>.</summary>
internal sealed class Lane(SessionKey key, NextHopAddress nextHop, int bound, int maxTransactions, LaneGroup? group)
{
    public SessionKey Key { get; } = key;

    public NextHopAddress NextHop { get; } = nextHop;

    /// <summary>Transactions after which a session ends, so that load spreads anew over a next hop's machines.</summary>
    public int MaxTransactions { get; } = maxTransactions;

    /// <summary>Those it has a bound in common with; null: none.</summary>
    public LaneGroup? Group { get; } = group;

    /// <summary>Idle sessions, the one used last on top: a burst that ebbs away lets the others grow old and close.</summary>
    public IdleStack Idle { get; } = new();

    /// <summary>Sessions open or about to be.</summary>
    public int Sessions { get; private set; }

    /// <summary>Deliveries waiting for a session.</summary>
    public int Waiting { get; private set; }

    public bool IsBelowBound => Sessions < bound;

    public bool HasRoom => IsBelowBound && Group is not { HasRoom: false };

    public void AddSessions(int number)
    {
        Sessions += number;
        if (Group is not null)
            Group.Sessions += number;
    }

    public void AddWaiting(int number)
    {
        Waiting += number;
        if (Group is not null)
            Group.Waiting += number;
    }

    internal sealed class IdleStack
    {
        private readonly List<SmtpClientSession> _sessions = [];

        public SmtpClientSession? Oldest => _sessions.Count == 0 ? null : _sessions[0];

        public void CopyTo(List<SmtpClientSession> target, Func<SmtpClientSession, bool> which) => target.AddRange(_sessions.Where(which));

        public void Push(SmtpClientSession session) => _sessions.Add(session);

        public bool TryPop(out SmtpClientSession? session)
        {
            session = _sessions.Count == 0 ? null : _sessions[^1];
            if (session is not null)
                _sessions.RemoveAt(_sessions.Count - 1);
            return session is not null;
        }

        public void Remove(SmtpClientSession session) => _sessions.Remove(session);
    }
}

/// <summary>The sessions from one local address to all hosts of a provider that has a bound of its own.</summary>
internal sealed class LaneGroup(string provider, int bound)
{
    public string Provider { get; } = provider;

    public int Bound { get; } = bound;

    public int Lanes { get; set; }

    public int Sessions { get; set; }

    public int Waiting { get; set; }

    public bool HasRoom => Sessions < Bound;
}
