namespace RelayGate.Delivery;

/// <summary>The sessions of one pair of local and remote address. Guarded by the lock of <see cref="ConnectionPool"/>.</summary>
internal sealed class Lane(SessionKey key, NextHopAddress nextHop, int bound)
{
    public SessionKey Key { get; } = key;

    public NextHopAddress NextHop { get; } = nextHop;

    /// <summary>Idle sessions, the one used last on top: a burst that ebbs away lets the others grow old and close.</summary>
    public IdleStack Idle { get; } = new();

    /// <summary>Sessions open or about to be.</summary>
    public int Sessions { get; set; }

    /// <summary>Deliveries waiting for a session.</summary>
    public int Waiting { get; set; }

    public bool HasRoom => Sessions < bound;

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
