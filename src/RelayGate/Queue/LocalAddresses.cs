using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;

namespace RelayGate.Queue;

/// <summary>What is known of the local addresses that mail leaves from: which are not on this host, and when each was last connected from.</summary>
public sealed class LocalAddresses(TimeProvider time)
{
    /// <summary>Missing addresses that are remembered; the mail of more is attempted, and deferred, like any other. 4096.</summary>
    public const int MaxMissing = 4096;

    /// <summary>Addresses whose use waits to be written. 4096.</summary>
    private const int MaxUses = 4096;

    private readonly ConcurrentDictionary<IPAddress, DateTimeOffset> _missing = new();
    private readonly ConcurrentDictionary<IPAddress, DateTimeOffset> _uses = new();

    /// <summary>Since when an address is known to be missing; null: it is not.</summary>
    public DateTimeOffset? MissingSince(IPAddress address) => !_missing.IsEmpty && _missing.TryGetValue(address, out DateTimeOffset since) ? since : null;

    public bool IsMissing(IPAddress address) => !_missing.IsEmpty && _missing.ContainsKey(address);

    /// <summary>All that are missing.</summary>
    public IReadOnlyCollection<IPAddress> Missing => [.. _missing.Keys];

    /// <summary>Looks whether this host has an address, and notes it. For <see cref="EgressWatch"/> alone, which sees to the mail that waits for it.</summary>
    internal bool Check(IPAddress address)
    {
        bool isHere = CanBind(address);
        if (isHere)
            _missing.TryRemove(address, out _);
        else
            NoteMissing(address);
        return isHere;
    }

    /// <summary>An address could not be bound.</summary>
    public void NoteMissing(IPAddress address)
    {
        if (_missing.Count < MaxMissing)
            _missing.TryAdd(address, time.GetUtcNow());
    }

    /// <summary>Nobody leaves from it any more, so that nobody misses it.</summary>
    public void Forget(IPAddress address) => _missing.TryRemove(address, out _);

    /// <summary>An address was missing before this process began.</summary>
    internal void Remember(IPAddress address, DateTimeOffset since) => _missing.TryAdd(address, since);

    /// <summary>A connection was made from an address.</summary>
    internal void Used(IPAddress address)
    {
        if (_uses.Count < MaxUses || _uses.ContainsKey(address))
            _uses[address] = time.GetUtcNow();
    }

    /// <summary>When an address was last connected from, if that is not written yet.</summary>
    internal DateTimeOffset? LastUseOf(IPAddress address) => _uses.TryGetValue(address, out DateTimeOffset at) ? at : null;

    /// <summary>Takes what waits to be written.</summary>
    internal List<(IPAddress Address, DateTimeOffset At)> TakeUses()
    {
        var uses = new List<(IPAddress, DateTimeOffset)>();
        foreach (IPAddress address in _uses.Keys)
        {
            if (_uses.TryRemove(address, out DateTimeOffset at))
                uses.Add((address, at));
        }
        return uses;
    }

    /// <summary>Whether a socket can be bound to an address: it is on this host.</summary>
    public static bool CanBind(IPAddress address)
    {
        try
        {
            using var socket = new Socket(address.AddressFamily, SocketType.Dgram, ProtocolType.Udp); // Takes no port from those of connections.
            socket.Bind(new IPEndPoint(address, 0));
            return true;
        }
        catch (SocketException e)
        {
            // No socket is to be had, or no port: that says nothing of the address.
            return e.SocketErrorCode is not (SocketError.AddressNotAvailable or SocketError.AccessDenied or SocketError.InvalidArgument or SocketError.AddressFamilyNotSupported);
        }
    }
}
