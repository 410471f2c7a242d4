using System.Net;
using System.Net.Sockets;
using RelayGate.Core.Policy;
using RelayGate.Delivery;
using RelayGate.Queue;
using RelayGate.Tests.Fakes;

namespace RelayGate.Tests.Delivery;

/// <summary>Exclusive: mail leaves from the address that was decided, or not at all.</summary>
public sealed class EgressTests
{
    [Theory]
    [InlineData("127.0.0.2")]
    [InlineData("127.0.0.3")]
    public async Task A_message_leaves_from_its_address_and_greets_with_its_name(string address)
    {
        await using var hop = new FakeNextHop();
        using var harness = new DeliveryHarness(hop.Url);

        AttemptResult result = await AttemptAsync(harness, DeliveryHarness.EgressFrom(address, helo: $"h-{address}.test"));

        ReceivedMessage message = await hop.NextAsync();
        Assert.Equal((address, $"h-{address}.test"), (message.Client.ToString(), message.Hello));
        Assert.Equal(address, result.Local);
    }

    [Fact]
    public async Task Sessions_are_never_shared_between_addresses_or_names()
    {
        await using var hop = new FakeNextHop();
        using var harness = new DeliveryHarness(hop.Url);

        foreach (string address in new[] { "127.0.0.2", "127.0.0.3", "127.0.0.2", "127.0.0.3" })
            await AttemptAsync(harness, DeliveryHarness.EgressFrom(address));
        await AttemptAsync(harness, DeliveryHarness.EgressFrom("127.0.0.2", helo: "other.test"));

        Assert.Equal(["127.0.0.2", "127.0.0.3", "127.0.0.2", "127.0.0.3", "127.0.0.2"], hop.Messages.Select(m => m.Client.ToString()));
        Assert.Equal(3, hop.Connections);
        Assert.Equal("other.test", hop.Messages.Last().Hello);
    }

    [Fact]
    public async Task An_address_that_is_not_here_stops_the_attempt_before_anything_is_sent()
    {
        await using var hop = new FakeNextHop();
        using var harness = new DeliveryHarness(hop.Url);

        AttemptResult result = await AttemptAsync(harness, DeliveryHarness.EgressFrom("192.0.2.200"));

        Assert.Equal((OutcomeKind.Deferred, "4.3.5"), (result.Outcomes[0]!.Kind, result.Outcomes[0]!.Status));
        Assert.Equal("The egress address 192.0.2.200 is not on this host", result.Outcomes[0]!.Text);
        Assert.Equal(0, hop.Connections);
        Assert.Equal(1, harness.Metrics.EgressBindFailures.Total);
        Assert.Equal(0, harness.Metrics.EgressMismatches.Total);
    }

    [Fact]
    public async Task A_connection_that_left_from_elsewhere_is_a_mismatch()
    {
        await using var hop = new FakeNextHop();
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(new IPEndPoint(IPAddress.Parse("127.0.0.5"), 0));
        await socket.ConnectAsync(hop.EndPoint);

        SessionFailure? failure = EgressSocket.CheckLocalAddress(socket, new EgressBinding(IPAddress.Parse("127.0.0.6"), "x"), out IPAddress local);

        Assert.Equal("127.0.0.5", local.ToString());
        Assert.Equal(EgressFault.Elsewhere, failure!.Egress);
        Assert.Equal(("4.3.5", OutcomeKind.Deferred), (failure.Outcome.Status, failure.Outcome.Kind));
        Assert.Null(EgressSocket.CheckLocalAddress(socket, new EgressBinding(IPAddress.Parse("127.0.0.5"), "x"), out _));
    }

    [Fact]
    public async Task Without_any_address_the_mail_waits()
    {
        await using var hop = new FakeNextHop();
        using var harness = new DeliveryHarness(hop.Url);

        AttemptResult result = await AttemptAsync(harness, DeliveryHarness.EgressFrom(null));

        Assert.Equal((OutcomeKind.Deferred, "4.3.5"), (result.Outcomes[0]!.Kind, result.Outcomes[0]!.Status));
        Assert.Equal(0, hop.Connections);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task For_a_missing_family_the_message_waits_unless_its_choice_leaves_it_to_the_system(bool isSystemDefault)
    {
        await using var hop = new FakeNextHop();
        using var harness = new DeliveryHarness(hop.Url);

        AttemptResult result = await AttemptAsync(harness, DeliveryHarness.EgressFrom(null, "::1") with { Helo = "relay.test", IsSystemDefault = isSystemDefault });

        if (!isSystemDefault)
        {
            Assert.Equal((OutcomeKind.Deferred, "4.3.5"), (result.Outcomes[0]!.Kind, result.Outcomes[0]!.Status));
            Assert.Equal(0, hop.Connections);
            return;
        }
        ReceivedMessage message = await hop.NextAsync();
        Assert.Equal(("127.0.0.1", "relay.test"), (message.Client.ToString(), message.Hello));
    }

    [Fact]
    public async Task IPv6_is_bound_too()
    {
        await using var hop = new FakeNextHop(IPAddress.IPv6Loopback);
        using var harness = new DeliveryHarness(hop.Url);

        AttemptResult result = await AttemptAsync(harness, DeliveryHarness.EgressFrom("127.0.0.2", "::1"));
        AttemptResult missing = await AttemptAsync(harness, DeliveryHarness.EgressFrom("127.0.0.2", "2001:db8::200"));

        Assert.Equal((OutcomeKind.Delivered, "::1"), (result.Outcomes[0]!.Kind, result.Local));
        Assert.Equal("The egress address 2001:db8::200 is not on this host", missing.Outcomes[0]!.Text);
    }

    [Fact]
    public async Task The_system_chooses_only_where_no_address_is_configured()
    {
        await using var hop = new FakeNextHop();
        using var harness = new DeliveryHarness(hop.Url);

        AttemptResult result = await AttemptAsync(harness, EgressChoice.SystemDefault with { Helo = "relay.test" });

        ReceivedMessage message = await hop.NextAsync();
        Assert.Equal(("127.0.0.1", "relay.test"), (message.Client.ToString(), message.Hello));
        Assert.Equal("127.0.0.1", result.Local);
    }

    [Fact]
    public async Task An_address_given_to_another_subscription_is_not_used_any_more()
    {
        await using var hop = new FakeNextHop();
        using var harness = new DeliveryHarness(hop.Url);
        await AttemptAsync(harness, DeliveryHarness.EgressFrom("127.0.0.2"));
        harness.MayLeaveFrom = (subscription, local) => !(subscription == "acme" && local.ToString() == "127.0.0.2");

        AttemptResult result = await AttemptAsync(harness, DeliveryHarness.EgressFrom("127.0.0.2"));

        Assert.Equal((OutcomeKind.Deferred, "4.3.5"), (result.Outcomes[0]!.Kind, result.Outcomes[0]!.Status));
        Assert.Single(hop.Messages);
        Assert.Equal((1, 0), (harness.Metrics.EgressDenials.Total, harness.Metrics.EgressMismatches.Total));
    }

    [Fact]
    public async Task An_address_given_away_is_not_dialled_from()
    {
        await using var hop = new FakeNextHop();
        using var harness = new DeliveryHarness(hop.Url) { MayLeaveFrom = (_, _) => false };

        AttemptResult result = await AttemptAsync(harness, DeliveryHarness.EgressFrom("127.0.0.2"));

        Assert.Equal((OutcomeKind.Deferred, "4.3.5"), (result.Outcomes[0]!.Kind, result.Outcomes[0]!.Status));
        Assert.Equal(0, hop.Connections);
        Assert.Equal((1, 0), (harness.Metrics.EgressDenials.Total, harness.Metrics.EgressMismatches.Total));
    }

    [Fact]
    public async Task An_address_given_away_while_the_session_opens_sends_nothing()
    {
        bool isOurs = true;
        await using var hop = new FakeNextHop();
        hop.Script = e =>
        {
            Volatile.Write(ref isOurs, e.Verb != "EHLO" && Volatile.Read(ref isOurs));
            return null;
        };
        using var harness = new DeliveryHarness(hop.Url) { MayLeaveFrom = (_, _) => Volatile.Read(ref isOurs) };

        AttemptResult result = await AttemptAsync(harness, DeliveryHarness.EgressFrom("127.0.0.2"));

        Assert.Equal((OutcomeKind.Deferred, "4.3.5"), (result.Outcomes[0]!.Kind, result.Outcomes[0]!.Status));
        Assert.DoesNotContain(hop.Commands, c => c.StartsWith("MAIL", StringComparison.Ordinal));
    }

    [Fact]
    public async Task An_address_given_away_while_a_message_waits_for_a_connection_sends_nothing()
    {
        using var go = new SemaphoreSlim(0);
        await using var hop = new FakeNextHop();
        hop.Script = e =>
        {
            if (e.Verb == "content")
                go.Wait(TimeSpan.FromSeconds(10));
            return null;
        };
        using var harness = new DeliveryHarness(hop.Url, change: o => o.Delivery.Connections.PerSmarthost = 1);
        Task<AttemptResult> first = AttemptAsync(harness, DeliveryHarness.EgressFrom("127.0.0.2"));
        Task<AttemptResult> second = AttemptAsync(harness, DeliveryHarness.EgressFrom("127.0.0.2"));

        harness.MayLeaveFrom = (_, _) => hop.Messages.IsEmpty; // What has begun ends; nothing begins.
        go.Release();

        Assert.Equal(OutcomeKind.Delivered, (await first).Outcomes[0]!.Kind);
        Assert.Equal((OutcomeKind.Deferred, "4.3.5"), ((await second).Outcomes[0]!.Kind, (await second).Outcomes[0]!.Status));
        Assert.Single(hop.Messages);
    }

    [Fact]
    public async Task The_systems_choice_is_not_used_when_it_is_exclusive_to_another_subscription()
    {
        await using var hop = new FakeNextHop();
        using var harness = new DeliveryHarness(hop.Url);
        harness.MayLeaveFrom = (_, local) => local.ToString() != "127.0.0.1";

        AttemptResult fresh = await AttemptAsync(harness, EgressChoice.SystemDefault);
        Assert.DoesNotContain(hop.Commands, c => c.StartsWith("EHLO", StringComparison.Ordinal));
        harness.MayLeaveFrom = (_, _) => true;
        await AttemptAsync(harness, EgressChoice.SystemDefault);
        harness.MayLeaveFrom = (_, local) => local.ToString() != "127.0.0.1";
        AttemptResult kept = await AttemptAsync(harness, EgressChoice.SystemDefault);

        Assert.All([fresh, kept], r => Assert.Equal((OutcomeKind.Deferred, "4.3.5"), (r.Outcomes[0]!.Kind, r.Outcomes[0]!.Status)));
        Assert.Single(hop.Messages);
        Assert.Equal((2, 0), (harness.Metrics.EgressDenials.Total, harness.Metrics.EgressMismatches.Total));
    }

    /// <summary>MX1 has IPv6 alone, for which the system would choose another's address; MX2 is reached from the address of the message.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_denied_address_leaves_the_other_family_to_try(bool hasSecond)
    {
        await using var dns = new FakeDns();
        await using var second = new FakeNextHop(IPAddress.Parse("127.0.0.84"));
        await using var first = new FakeNextHop(IPAddress.IPv6Loopback, second.EndPoint.Port);
        dns.Mx("dest.test", 10, "mx1.test").Aaaa("mx1.test", "::1");
        if (hasSecond)
            dns.Mx("dest.test", 20, "mx2.test").A("mx2.test", "127.0.0.84");
        using var harness = new DeliveryHarness("mx", change: o =>
        {
            o.Delivery.Resolver = dns.EndPoint.ToString();
            o.Delivery.MxPort = second.EndPoint.Port;
            o.Delivery.AllowLoopback = true;
        });
        harness.MayLeaveFrom = (_, local) => local.AddressFamily == AddressFamily.InterNetwork;

        AttemptResult result = await AttemptAsync(harness, DeliveryHarness.EgressFrom("127.0.0.2") with { IsSystemDefault = true });

        Assert.DoesNotContain(first.Commands, static c => c.StartsWith("EHLO", StringComparison.Ordinal));
        Assert.Equal(1, harness.Metrics.EgressDenials.Total);
        Assert.False(result.IsNoAttempt);
        if (hasSecond)
            Assert.Equal((OutcomeKind.Delivered, "127.0.0.2"), (result.Outcomes[0]!.Kind, (await second.NextAsync()).Client.ToString()));
        else
            Assert.Equal((OutcomeKind.Deferred, "4.3.5"), (result.Outcomes[0]!.Kind, result.Outcomes[0]!.Status));
    }

    private static Task<AttemptResult> AttemptAsync(DeliveryHarness harness, EgressChoice egress)
    {
        QueuedMessage message = DeliveryHarness.Message(MessageBody.FromBytes("x\r\n"u8.ToArray())) with { Egress = egress };
        return harness.AttemptAsync(DeliveryHarness.Job(message));
    }
}
