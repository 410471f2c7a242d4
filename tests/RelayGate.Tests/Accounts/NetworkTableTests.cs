using System.Net;
using RelayGate.Accounts;

namespace RelayGate.Tests.Accounts;

/// <summary>Which listed network an address is in.</summary>
public sealed class NetworkTableTests
{
    [Theory]
    [InlineData("::ffff:192.0.2.7", "192.0.2.0/24")]
    [InlineData("::ffff:192.0.2.130", "192.0.2.128/25")]
    [InlineData("::ffff:198.51.100.7", null)] // In none of the IPv6 networks, whatever IPNetwork.Contains says.
    [InlineData("::ffff:252.0.0.1", null)]
    [InlineData("252.0.0.1", null)]
    [InlineData("fd00::1", "fc00::/7")]
    [InlineData("2001:db8::1", null)]
    public void A_client_over_a_socket_of_both_families_is_in_ipv4_networks_alone(string client, string? network)
    {
        var table = new NetworkTable(new[] { "192.0.2.0/24", "192.0.2.128/25", "fc00::/7", "::/8" }.Select(static cidr => new NetworkRecord(IPNetwork.Parse(cidr), null, false, false)));

        Assert.Equal(network, table.Find(IPAddress.Parse(client))?.Network.ToString());
    }

    [Fact]
    public void A_network_of_mapped_addresses_would_hold_nobody_and_is_refused()
    {
        AdminException refused = Assert.Throws<AdminException>(() => AccountNames.Network("::ffff:192.0.2.0/120"));

        Assert.Contains("192.0.2.0/24", refused.Message, StringComparison.Ordinal);
    }
}
