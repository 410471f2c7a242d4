using System.Net;
using System.Net.Sockets;

namespace RelayGate.Core.Policy;

/// <summary>What one client has of the network: an IPv4 address, or the /64 that one IPv6 customer is given.</summary>
public static class ClientNetwork
{
    /// <summary>The address itself (IPv4, also where it comes mapped into IPv6), or that of its /64.</summary>
    public static IPAddress Of(IPAddress client)
    {
        if (client.AddressFamily != AddressFamily.InterNetworkV6)
            return client;
        if (client.IsIPv4MappedToIPv6)
            return client.MapToIPv4();
        Span<byte> octets = stackalloc byte[16];
        client.TryWriteBytes(octets, out _);
        octets[8..].Clear();
        return new IPAddress(octets);
    }

    /// <summary>As people write it: <c>192.0.2.7</c>, <c>2001:db8::/64</c>.</summary>
    /// <param name="network">Of <see cref="Of"/>.</param>
    public static string Text(IPAddress network) => network.AddressFamily == AddressFamily.InterNetworkV6 ? $"{network}/64" : network.ToString();
}
