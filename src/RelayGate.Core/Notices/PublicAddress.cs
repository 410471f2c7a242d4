using System.Collections.Immutable;
using System.Net;

namespace RelayGate.Core.Notices;

/// <summary>Whether an address is one of the internet, and not of this host, its network, or no host at all.</summary>
public static class PublicAddress
{
    /// <summary>What the IANA registries of special-purpose addresses (RFC 6890) call not globally reachable; examples of documentation aside, which reach nobody.</summary>
    private static readonly ImmutableArray<(IPNetwork Network, string What)> Others =
    [
        (IPNetwork.Parse("0.0.0.0/8"), "no address of a host"),
        (IPNetwork.Parse("10.0.0.0/8"), "private"),
        (IPNetwork.Parse("100.64.0.0/10"), "private (carrier-grade NAT)"),
        (IPNetwork.Parse("127.0.0.0/8"), "loopback"),
        (IPNetwork.Parse("169.254.0.0/16"), "link-local"),
        (IPNetwork.Parse("172.16.0.0/12"), "private"),
        (IPNetwork.Parse("192.0.0.0/24"), "reserved"),
        (IPNetwork.Parse("192.168.0.0/16"), "private"),
        (IPNetwork.Parse("198.18.0.0/15"), "private (benchmarks)"),
        (IPNetwork.Parse("224.0.0.0/4"), "multicast"),
        (IPNetwork.Parse("240.0.0.0/4"), "reserved"),
        (IPNetwork.Parse("::/128"), "no address of a host"),
        (IPNetwork.Parse("::1/128"), "loopback"),
        (IPNetwork.Parse("64:ff9b:1::/48"), "private (NAT64)"),
        (IPNetwork.Parse("100::/64"), "reserved"),
        (IPNetwork.Parse("2001::/23"), "reserved"), // Teredo and other protocol assignments.
        (IPNetwork.Parse("fc00::/7"), "private (unique local)"),
        (IPNetwork.Parse("fe80::/10"), "link-local"),
        (IPNetwork.Parse("fec0::/10"), "private (site-local)"),
        (IPNetwork.Parse("ff00::/8"), "multicast"),
    ];

    /// <returns>loopback, private, link-local …; null: it is an address of the internet.</returns>
    public static string? WhyNot(IPAddress address)
    {
        foreach (IPAddress form in Forms(address))
        {
            foreach ((IPNetwork network, string what) in Others)
            {
                if (network.BaseAddress.AddressFamily == form.AddressFamily && network.Contains(form))
                    return what;
            }
        }
        return null;
    }

    /// <summary>The address, and the IPv4 address within it: mapped, compatible, NAT64 (RFC 6052), 6to4.</summary>
    private static IEnumerable<IPAddress> Forms(IPAddress address)
    {
        byte[] octets = address.GetAddressBytes();
        if (octets.Length == 4)
        {
            yield return address;
            yield break;
        }
        var plain = new IPAddress(octets); // Without the zone of a link.
        if (plain.IsIPv4MappedToIPv6)
        {
            yield return plain.MapToIPv4(); // Alone: IPNetwork finds mapped addresses in IPv6 networks that they are not in.
            yield break;
        }
        yield return plain;
        bool isPrefixed = (octets.AsSpan(0, 12).IndexOfAnyExcept((byte)0) < 0 && octets.AsSpan(12, 3).IndexOfAnyExcept((byte)0) >= 0)
            || octets.AsSpan(0, 12).SequenceEqual((ReadOnlySpan<byte>)[0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0]);
        if (isPrefixed)
            yield return new IPAddress(octets.AsSpan(12, 4));
        if (octets[0] == 0x20 && octets[1] == 0x02)
            yield return new IPAddress(octets.AsSpan(2, 4));
    }
}
