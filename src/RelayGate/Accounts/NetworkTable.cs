using System.Net;
using System.Net.Sockets;

namespace RelayGate.Accounts;

/// <summary>All listed networks, looked up by longest prefix: one set of networks for each prefix length in use.</summary>
internal sealed class NetworkTable
{
    private readonly Dictionary<(IPAddress Prefix, int Length), NetworkRecord> _networks = [];
    private readonly int[] _lengths4;
    private readonly int[] _lengths6;

    public NetworkTable(IEnumerable<NetworkRecord> networks)
    {
        foreach (NetworkRecord network in networks)
            _networks[(network.Network.BaseAddress, network.Network.PrefixLength)] = network;
        _lengths4 = Lengths(AddressFamily.InterNetwork);
        _lengths6 = Lengths(AddressFamily.InterNetworkV6);
    }

    /// <summary>The narrowest listed network that holds an address.</summary>
    public NetworkRecord? Find(IPAddress address)
    {
        if (_networks.Count == 0)
            return null;
        if (address.IsIPv4MappedToIPv6)
            address = address.MapToIPv4();
        foreach (int length in address.AddressFamily == AddressFamily.InterNetwork ? _lengths4 : _lengths6)
        {
            if (_networks.TryGetValue((Mask(address, length), length), out NetworkRecord? network))
                return network;
        }
        return null;
    }

    public NetworkRecord? ByName(string cidr) =>
        IPNetwork.TryParse(cidr, out IPNetwork network) && _networks.TryGetValue((network.BaseAddress, network.PrefixLength), out NetworkRecord? known) ? known : null;

    /// <summary>The address with all bits behind the prefix set to zero.</summary>
    public static IPAddress Mask(IPAddress address, int prefixLength)
    {
        Span<byte> octets = stackalloc byte[16];
        if (!address.TryWriteBytes(octets, out int count))
            throw new ArgumentException("No IPv4 or IPv6 address", nameof(address));
        for (int i = 0; i < count; i++)
            octets[i] &= (byte)~(0xff >> Math.Clamp(prefixLength - 8 * i, 0, 8));
        return new IPAddress(octets[..count]);
    }

    private int[] Lengths(AddressFamily family) =>
        [.. _networks.Keys.Where(key => key.Prefix.AddressFamily == family).Select(static key => key.Length).Distinct().OrderDescending()];
}
