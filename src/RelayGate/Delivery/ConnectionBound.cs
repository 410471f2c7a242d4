using System.Net;

namespace RelayGate.Delivery;

/// <summary>How many sessions there may be of those that have something in common. Guarded by the lock of <see cref="ConnectionPool"/>.</summary>
internal sealed class ConnectionBound(BoundKey key, int limit)
{
    public BoundKey Key { get; } = key;

    public int Limit { get; set; } = limit;

    /// <summary>Lanes that count for it.</summary>
    public int Lanes { get; set; }

    /// <summary>Sessions open or about to be.</summary>
    public int Sessions { get; set; }

    /// <summary>Those of them that are idle, the longest first.</summary>
    public LinkedList<SmtpClientSession> Idle { get; } = [];

    /// <summary>Lanes with deliveries that this bound keeps waiting, the next one first.</summary>
    public LinkedList<Lane> Line { get; } = [];

    public bool HasRoom => Sessions < Limit;

    /// <summary>Reached, and no session is idle that could be closed.</summary>
    public bool IsExhausted => Sessions - Idle.Count >= Limit;
}

/// <summary>What the sessions of a bound have in common; null: any.</summary>
internal readonly record struct BoundKey(IPAddress? Local, IPEndPoint? Remote, string? Provider);
