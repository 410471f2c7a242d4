using System.Collections.Immutable;
using System.Net;
using System.Net.NetworkInformation;
using RelayGate.Configuration;

namespace RelayGate.Delivery;

/// <summary>Addresses that the DNS of a recipient's domain may not send us to: this machine's inside, our own listeners, no host at all.</summary>
internal sealed class ForbiddenAddresses(RelayGateOptions options)
{
    private readonly ImmutableArray<IPEndPoint> _listeners =
    [
        .. options.Listeners.Select(l => ListenerEndpoint.TryParse(l.Endpoint, out EndPoint? endPoint) ? endPoint as IPEndPoint : null).OfType<IPEndPoint>(),
    ];

    /// <returns>"on loopback", "not the address of a host" or "this gateway"; null: it may be dialled.</returns>
    public string? WhyNot(IPEndPoint endPoint)
    {
        IPAddress address = endPoint.Address.IsIPv4MappedToIPv6 ? endPoint.Address.MapToIPv4() : endPoint.Address;
        if (!options.Delivery.AllowLoopback && IPAddress.IsLoopback(address))
            return "on loopback";
        if (address.Equals(IPAddress.IPv6Any) || address.IsIPv6Multicast || IsNoHost(address))
            return "not the address of a host";
        foreach (IPEndPoint listener in _listeners)
        {
            if (listener.Port == endPoint.Port && (listener.Address.Equals(address) || (IsUnspecified(listener.Address) && IsLocal(address))))
                return "this gateway";
        }
        return null;
    }

    /// <summary>0.0.0.0/8 (Linux connects to itself), multicast, reserved and broadcast (RFC 6890).</summary>
    private static bool IsNoHost(IPAddress address)
    {
        Span<byte> octets = stackalloc byte[16];
        return address.TryWriteBytes(octets, out int length) && length == 4 && octets[0] is 0 or >= 224;
    }

    private static bool IsUnspecified(IPAddress address) => address.Equals(IPAddress.Any) || address.Equals(IPAddress.IPv6Any);

    /// <summary>Asked only when a listener has the port of MX hosts on all addresses.</summary>
    private static bool IsLocal(IPAddress address)
    {
        foreach (NetworkInterface network in NetworkInterface.GetAllNetworkInterfaces())
        {
            foreach (UnicastIPAddressInformation own in network.GetIPProperties().UnicastAddresses)
            {
                if (own.Address.Equals(address))
                    return true;
            }
        }
        return false;
    }
}
