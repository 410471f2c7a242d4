using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;

namespace RelayGate.Delivery;

/// <summary>Remembers for a time by which address family a site could not be connected to from one of our addresses, while it could by the other.</summary>
/// <remarks>Bounded: what does not fit is not remembered, which costs a time limit and no mail.</remarks>
internal sealed class FamilyHealth(TimeProvider time)
{
    /// <summary>How long a family is tried last. 10 min.</summary>
    public static readonly TimeSpan Memory = TimeSpan.FromMinutes(10);

    /// <summary>Pairs of local address and site that are remembered. 4096.</summary>
    private const int MaxKnown = 4096;

    private readonly ConcurrentDictionary<(IPAddress? Local, string Site, AddressFamily Family), long> _failing = new();

    public bool IsFailing(IPAddress? local, string site, AddressFamily family)
    {
        if (_failing.IsEmpty || !_failing.TryGetValue((local, site, family), out long since))
            return false;
        if (time.GetElapsedTime(since) < Memory)
            return true;
        _failing.TryRemove((local, site, family), out _);
        return false;
    }

    public void Failed(IPAddress? local, string site, AddressFamily family)
    {
        if (_failing.Count >= MaxKnown)
            Forget();
        if (_failing.Count < MaxKnown)
            _failing[(local, site, family)] = time.GetTimestamp();
    }

    public void Connected(IPAddress? local, string site, AddressFamily family)
    {
        if (!_failing.IsEmpty)
            _failing.TryRemove((local, site, family), out _);
    }

    private void Forget()
    {
        foreach (((IPAddress?, string, AddressFamily) key, long since) in _failing)
        {
            if (time.GetElapsedTime(since) >= Memory)
                _failing.TryRemove(key, out _);
        }
    }
}
