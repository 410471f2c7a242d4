using System.Net;
using RelayGate.Configuration;
using RelayGate.Core.Policy;
using RelayGate.Delivery;
using RelayGate.Queue;
using RelayGate.Tests.Fakes;

namespace RelayGate.Tests.Delivery;

/// <summary>From a recipient's domain to the host that is dialled.</summary>
public sealed class RoutingTests
{
    [Fact]
    public async Task Mail_goes_to_the_MX_host_of_lowest_preference_and_on_to_the_next_when_nobody_is_there()
    {
        await using var dns = new FakeDns();
        await using var second = new FakeNextHop(IPAddress.Parse("127.0.0.22"));
        dns.Mx("dest.test", 20, "mx2.test").Mx("dest.test", 10, "mx1.test").A("mx1.test", "127.0.0.21").A("mx2.test", "127.0.0.22");
        using var harness = Mx(dns, second);

        AttemptResult result = await harness.AttemptAsync();

        Assert.Equal(OutcomeKind.Delivered, result.Outcomes[0]!.Kind);
        Assert.Equal(("mx2.test", second.EndPoint.ToString()), (result.NextHop!.Host, result.NextHop.Remote));
        Assert.Equal(["mx1.test", "mx2.test"], (await PlanAsync(harness)).Addresses.Select(a => a.Host));
    }

    [Fact]
    public async Task All_addresses_of_a_host_are_tried_and_a_stuck_one_costs_only_its_time_limit()
    {
        var stalled = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var dns = new FakeDns();
        await using var stuck = new FakeNextHop(IPAddress.Parse("127.0.0.23"));
        stuck.Script = e => e.Verb == "EHLO" && stalled.TrySetResult() ? new HopAction.Stall() : null;
        await using var good = new FakeNextHop(IPAddress.Parse("127.0.0.24"), stuck.EndPoint.Port);
        dns.Mx("dest.test", 10, "mx.test").A("mx.test", "127.0.0.23").A("mx.test", "127.0.0.24");
        var time = new ManualTimeProvider();
        using var harness = Mx(dns, stuck, time);

        Task<AttemptResult> attempt = harness.AttemptAsync();
        await stalled.Task.WaitAsync(TimeSpan.FromSeconds(10));
        time.Advance(TimeSpan.FromMinutes(6));
        AttemptResult result = await attempt;

        Assert.Equal(OutcomeKind.Delivered, result.Outcomes[0]!.Kind);
        Assert.Equal(good.EndPoint.ToString(), result.NextHop!.Remote);
    }

    [Fact]
    public async Task A_refused_recipient_is_not_offered_to_the_next_host()
    {
        await using var dns = new FakeDns();
        await using var first = new FakeNextHop(IPAddress.Parse("127.0.0.25"));
        first.Script = e => e.Line.Contains("no@", StringComparison.Ordinal) ? new HopAction.Raw("550 5.1.1 no\r\n")
            : e.Verb == "DATA" ? new HopAction.Close() : null;
        await using var second = new FakeNextHop(IPAddress.Parse("127.0.0.26"), first.EndPoint.Port);
        dns.Mx("dest.test", 10, "mx1.test").Mx("dest.test", 20, "mx2.test").A("mx1.test", "127.0.0.25").A("mx2.test", "127.0.0.26");
        using var harness = Mx(dns, first);

        AttemptResult result = await harness.AttemptAsync("x\r\n", "no@dest.test", "yes@dest.test");

        Assert.Equal([OutcomeKind.Failed, OutcomeKind.Delivered], result.Outcomes.Select(o => o!.Kind));
        Assert.Equal(["RCPT TO:<yes@dest.test>"], (await second.NextAsync()).Rcpts);
    }

    [Fact]
    public async Task A_lost_reply_to_the_final_dot_is_not_tried_at_the_next_host()
    {
        await using var dns = new FakeDns();
        await using var first = new FakeNextHop(IPAddress.Parse("127.0.0.27")) { Script = e => e.Verb == "content" ? new HopAction.Close() : null };
        await using var second = new FakeNextHop(IPAddress.Parse("127.0.0.28"), first.EndPoint.Port);
        dns.Mx("dest.test", 10, "mx1.test").Mx("dest.test", 20, "mx2.test").A("mx1.test", "127.0.0.27").A("mx2.test", "127.0.0.28");
        using var harness = Mx(dns, first);

        AttemptResult result = await harness.AttemptAsync();

        Assert.Equal(OutcomeKind.Deferred, result.Outcomes[0]!.Kind);
        Assert.Equal(DeliveryStage.EndOfData, result.Stage);
        Assert.Equal(0, second.Connections);
    }

    [Theory]
    [InlineData("nullmx.test", OutcomeKind.Failed, "5.1.10")]
    [InlineData("missing.test", OutcomeKind.Failed, "5.1.2")]
    [InlineData("broken.test", OutcomeKind.Deferred, "4.4.3")]
    [InlineData("mxwithout.test", OutcomeKind.Failed, "5.4.4")]
    [InlineData("mxbroken.test", OutcomeKind.Deferred, "4.4.3")]
    [InlineData("textonly.test", OutcomeKind.Failed, "5.4.4")]
    [InlineData("unspecified.test", OutcomeKind.Failed, "5.4.4")]
    public async Task A_domain_without_a_way_fails_or_waits(string domain, OutcomeKind kind, string status)
    {
        await using var dns = new FakeDns();
        dns.Mx("nullmx.test", 0, ".").Mx("mxwithout.test", 10, "gone.test").Mx("mxbroken.test", 10, "broken.test").Txt("textonly.test", "hello")
            .Mx("unspecified.test", 10, "zero.test").A("zero.test", "0.0.0.0");
        dns.Broken["broken.test"] = true;
        using var harness = new DeliveryHarness("mx", change: o => o.Delivery.Resolver = dns.EndPoint.ToString());

        RecipientOutcome outcome = (await harness.AttemptAsync("x\r\n", $"b@{domain}")).Outcomes[0]!;

        Assert.Equal((kind, status), (outcome.Kind, outcome.Status));
    }

    [Fact]
    public async Task A_DNS_server_that_gives_no_answer_is_named()
    {
        await using var dns = new FakeDns();
        dns.Broken["broken.test"] = true;
        using var broken = new DeliveryHarness("mx", change: o => o.Delivery.Resolver = dns.EndPoint.ToString());
        using var absent = new DeliveryHarness("mx", change: o => o.Delivery.Resolver = "127.0.0.1:1");
        using var smarthost = new DeliveryHarness("smtp://relay.test:25", change: o => o.Delivery.Resolver = "127.0.0.1:1");

        Assert.Equal($"DNS server {dns.EndPoint} answers SERVFAIL about broken.test MX", (await PlanAsync(broken, "b@broken.test")).Failure!.Text);
        RecipientOutcome waiting = (await PlanAsync(absent, "b@example.net")).Failure!;
        Assert.Equal((OutcomeKind.Deferred, "4.4.3", "No answer from DNS server 127.0.0.1:1 about example.net MX"), (waiting.Kind, waiting.Status, waiting.Text));
        Assert.Equal("The smarthost relay.test has no address: No answer from DNS server 127.0.0.1:1 about relay.test A", (await PlanAsync(smarthost)).Failure!.Text);
    }

    [Fact]
    public async Task Without_MX_the_domain_itself_is_the_host_also_behind_an_alias()
    {
        await using var dns = new FakeDns();
        dns.A("dest.test", "192.0.2.1").Aaaa("dest.test", "2001:db8::1").Cname("alias.test", "real.test").Mx("real.test", 5, "mx.test").A("mx.test", "192.0.2.2");
        using var harness = new DeliveryHarness("mx", change: o => o.Delivery.Resolver = dns.EndPoint.ToString());

        Assert.Equal(["192.0.2.1:25", "[2001:db8::1]:25"], (await PlanAsync(harness)).Addresses.Select(a => a.Remote));
        Assert.Equal(["192.0.2.2:25"], (await PlanAsync(harness, "b@alias.test")).Addresses.Select(a => a.Remote));
        Assert.Equal(["192.0.2.7:25"], (await PlanAsync(harness, "b@[192.0.2.7]")).Addresses.Select(a => a.Remote));
    }

    [Theory]
    [InlineData("127.0.0.1")]
    [InlineData("127.9.9.9")]
    [InlineData("0.0.0.0")]
    [InlineData("224.0.0.1")]
    [InlineData("255.255.255.255")]
    [InlineData("192.0.2.99")]
    [InlineData("::1")]
    [InlineData("::")]
    [InlineData("::ffff:127.0.0.1")]
    [InlineData("ff02::1")]
    public async Task DNS_cannot_send_us_to_ourselves(string address)
    {
        await using var dns = new FakeDns();
        dns.Mx("dest.test", 10, "evil.test").Mx("mixed.test", 10, "evil.test").Mx("mixed.test", 20, "good.test").A("good.test", "192.0.2.1");
        if (address.Contains(':', StringComparison.Ordinal))
            dns.Aaaa("evil.test", address);
        else
            dns.A("evil.test", address);
        using var harness = new DeliveryHarness("mx", change: o =>
        {
            o.Delivery.Resolver = dns.EndPoint.ToString();
            o.Listeners = [new ListenerOptions { Name = "own", Endpoint = "192.0.2.99:25" }];
        });

        RecipientOutcome? failure = (await PlanAsync(harness)).Failure;

        Assert.Equal((OutcomeKind.Failed, "5.4.4"), (failure!.Kind, failure.Status));
        Assert.Equal(["192.0.2.1:25"], (await PlanAsync(harness, "b@mixed.test")).Addresses.Select(a => a.Remote));
        if (!address.StartsWith("ff", StringComparison.Ordinal) && address != "::")
            Assert.NotNull((await PlanAsync(harness, address.Contains(':', StringComparison.Ordinal) ? $"b@[IPv6:{address}]" : $"b@[{address}]")).Failure);
    }

    [Fact]
    public async Task A_smarthost_may_have_a_name_and_waits_when_the_name_is_gone()
    {
        await using var dns = new FakeDns();
        await using var hop = new FakeNextHop();
        dns.A("smart.test", "127.0.0.1");
        using var harness = new DeliveryHarness($"smtp://smart.test:{hop.EndPoint.Port}", change: o => o.Delivery.Resolver = dns.EndPoint.ToString());
        using var gone = new DeliveryHarness("smtp://gone.test:25", change: o => o.Delivery.Resolver = dns.EndPoint.ToString());

        Assert.Equal(OutcomeKind.Delivered, (await harness.AttemptAsync()).Outcomes[0]!.Kind);
        RecipientOutcome waiting = (await gone.AttemptAsync()).Outcomes[0]!;
        Assert.Equal((OutcomeKind.Deferred, "4.4.3"), (waiting.Kind, waiting.Status));
    }

    private static DeliveryHarness Mx(FakeDns dns, FakeNextHop hop, TimeProvider? time = null) => new("mx", time, o =>
    {
        o.Delivery.Resolver = dns.EndPoint.ToString();
        o.Delivery.AllowLoopback = true;
        o.Delivery.MxPort = hop.EndPoint.Port;
    });

    private static async Task<NextHopPlan> PlanAsync(DeliveryHarness harness, string recipient = "b@dest.test")
    {
        QueuedRecipient to = DeliveryHarness.Recipient(recipient);
        return await harness.Resolver.ResolveAsync("acme", to.ForwardPath, CancellationToken.None);
    }
}
