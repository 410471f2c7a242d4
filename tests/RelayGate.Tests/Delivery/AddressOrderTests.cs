using System.Collections.Immutable;
using System.Net;
using System.Net.Sockets;
using RelayGate.Configuration;
using RelayGate.Core.Policy;
using RelayGate.Delivery;
using RelayGate.Queue;
using RelayGate.Tests.Fakes;

namespace RelayGate.Tests.Delivery;

/// <summary>Which of a next hop's addresses are tried, and in which order.</summary>
public sealed class AddressOrderTests
{
    [Fact]
    public void A_family_that_fails_comes_last_and_is_tried_all_the_same()
    {
        ImmutableArray<NextHopAddress> addresses = [Of("a", "2001:db8::1"), Of("a", "192.0.2.1"), Of("b", "2001:db8::2")];

        Assert.Equal(["192.0.2.1:25", "[2001:db8::1]:25", "[2001:db8::2]:25"], Remotes(AddressOrder.Of(addresses, static f => f == AddressFamily.InterNetworkV6)));
        Assert.Equal(addresses, AddressOrder.Of(addresses, static _ => true)); // The site fails, not a family.
        Assert.Equal(addresses, AddressOrder.Of(addresses, static _ => false));
    }

    [Fact]
    public void A_host_with_many_addresses_leaves_those_behind_it_their_turn()
    {
        ImmutableArray<NextHopAddress> addresses = [.. Enumerable.Range(1, 30).Select(static i => Of("many", $"192.0.2.{i}")), Of("other", "198.51.100.1"), Of("other", "198.51.100.2")];

        ImmutableArray<NextHopAddress> order = AddressOrder.Of(addresses, static _ => false);

        Assert.Equal(AddressOrder.MaxAddresses, order.Length);
        Assert.Equal(["other", "other"], order.TakeLast(2).Select(static a => a.Host));
        Assert.Equal("192.0.2.1:25", order[0].Remote);
    }

    [Fact]
    public async Task A_site_that_IPv6_does_not_reach_is_dialled_by_IPv4_first_for_a_time()
    {
        await using var dns = new FakeDns();
        await using var hop = new FakeNextHop(IPAddress.Parse("127.0.0.41"));
        dns.Mx("dest.test", 10, "six.test").Mx("dest.test", 20, "four.test").Aaaa("six.test", "::1").A("four.test", "127.0.0.41");
        var time = new ManualTimeProvider();
        using var harness = Mx(dns, hop, time);

        async Task AttemptAsync()
        {
            AttemptResult result = await harness.AttemptAsync(DeliveryHarness.Job(Message("127.0.0.1", "::1")));
            Assert.Equal(OutcomeKind.Delivered, result.Outcomes[0]!.Kind);
        }

        await AttemptAsync();
        string site = (await harness.Resolver.ResolveAsync("acme", DeliveryHarness.Recipient("b@dest.test").ForwardPath, default)) is var plan && plan.Site.Length > 0 ? plan.Site : "six.test";
        Assert.True(harness.Health.IsFailing(IPAddress.IPv6Loopback, site, AddressFamily.InterNetworkV6));
        Assert.False(harness.Health.IsFailing(IPAddress.Loopback, site, AddressFamily.InterNetwork));
        await AttemptAsync();
        Assert.True(harness.Health.IsFailing(IPAddress.IPv6Loopback, site, AddressFamily.InterNetworkV6)); // Not dialled meanwhile.
        time.Advance(FamilyHealth.Memory + TimeSpan.FromSeconds(1));
        Assert.False(harness.Health.IsFailing(IPAddress.IPv6Loopback, site, AddressFamily.InterNetworkV6));
    }

    /// <summary>Our own address is gone for a while: the site can be reached by that family all the same.</summary>
    [Fact]
    public async Task A_local_address_that_is_missing_says_nothing_of_the_sites_family()
    {
        await using var dns = new FakeDns();
        await using var hop = new FakeNextHop(IPAddress.Parse("127.0.0.41"));
        dns.Mx("dest.test", 10, "six.test").Mx("dest.test", 20, "four.test").Aaaa("six.test", "::1").A("four.test", "127.0.0.41");
        using var harness = Mx(dns, hop);
        IPAddress gone = IPAddress.Parse("2001:db8::66");

        AttemptResult result = await harness.AttemptAsync(DeliveryHarness.Job(Message("127.0.0.1", gone.ToString())));

        Assert.Equal(OutcomeKind.Delivered, result.Outcomes[0]!.Kind);
        Assert.True(harness.Local.IsMissing(gone));
        NextHopPlan plan = await harness.Resolver.ResolveAsync("acme", DeliveryHarness.Recipient("b@dest.test").ForwardPath, default);
        Assert.All(new[] { plan.Site, "six.test" }, site => Assert.False(harness.Health.IsFailing(gone, site, AddressFamily.InterNetworkV6)));
    }

    [Theory]
    [InlineData("subscription acme", "and IPv6 is switched off for subscription acme")]
    [InlineData("provider", "and IPv6 is switched off for provider")]
    public async Task Where_IPv6_is_off_it_is_not_dialled(string off, string expected)
    {
        await using var dns = new FakeDns();
        await using var hop = new FakeNextHop(IPAddress.IPv6Loopback);
        dns.Mx("dest.test", 10, "six.test").Aaaa("six.test", "::1");
        using var harness = Mx(dns, hop);
        if (off == "provider")
            harness.Options.Delivery.Providers[(await harness.Resolver.ResolveAsync("acme", DeliveryHarness.Recipient("b@dest.test").ForwardPath, default)).Addresses[0].Provider] = new ProviderOptions { IPv6 = false };
        else
            harness.IPv6OffBy = static subscription => $"subscription {subscription}";

        AttemptResult result = await harness.AttemptAsync(DeliveryHarness.Job(Message("127.0.0.1", "::1")));

        Assert.Equal((OutcomeKind.Deferred, "4.3.5"), (result.Outcomes[0]!.Kind, result.Outcomes[0]!.Status));
        Assert.Contains(expected, result.Outcomes[0]!.Text, StringComparison.Ordinal);
        Assert.Equal(0, hop.Connections);
    }

    [Fact]
    public async Task Mail_whose_IPv4_is_gone_leaves_by_its_own_IPv6_and_waits_where_there_is_none()
    {
        await using var dns = new FakeDns();
        await using var hop = new FakeNextHop(IPAddress.IPv6Loopback);
        dns.Mx("dest.test", 10, "mx.test").A("mx.test", "127.0.0.42").Aaaa("mx.test", "::1").Mx("four.test", 10, "only4.test").A("only4.test", "127.0.0.42");
        using var harness = Mx(dns, hop);

        AttemptResult both = await harness.AttemptAsync(DeliveryHarness.Job(Message("192.0.2.200", "::1")));
        AttemptResult four = await harness.AttemptAsync(DeliveryHarness.Job(Message("192.0.2.200", "::1"), "b@four.test"));

        Assert.Equal((OutcomeKind.Delivered, "::1"), (both.Outcomes[0]!.Kind, both.Local));
        Assert.Equal((WaitKey.Ip(IPAddress.Parse("192.0.2.200")), "4.3.5"), (four.Wait!.WaitsFor, four.Wait.Status));
        Assert.Equal(1, harness.Metrics.EgressBindFailures.Total); // It is known to be missing: not even a bind.
    }

    private static NextHopAddress Of(string host, string address) => new(host, new IPEndPoint(IPAddress.Parse(address), 25), IsSmarthost: false);

    private static IEnumerable<string> Remotes(ImmutableArray<NextHopAddress> addresses) => addresses.Select(static a => a.Remote);

    private static QueuedMessage Message(string ipv4, string ipv6) =>
        DeliveryHarness.Message(MessageBody.FromBytes("x\r\n"u8.ToArray())) with { Egress = DeliveryHarness.EgressFrom(ipv4, ipv6) };

    private static DeliveryHarness Mx(FakeDns dns, FakeNextHop hop, TimeProvider? time = null) => new("mx", time, o =>
    {
        o.Delivery.Resolver = dns.EndPoint.ToString();
        o.Delivery.AllowLoopback = true;
        o.Delivery.MxPort = hop.EndPoint.Port;
    });
}
