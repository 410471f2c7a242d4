using System.Net;
using RelayGate.Configuration;
using RelayGate.Core.Policy;
using RelayGate.Delivery;
using RelayGate.Tests.Fakes;

namespace RelayGate.Tests.Delivery;

/// <summary>Many domains that are served by the same hosts.</summary>
public sealed class SiteTests
{
    [Fact]
    public async Task Two_hundred_domains_of_one_provider_share_few_connections()
    {
        await using var dns = new FakeDns();
        await using var first = new FakeNextHop(IPAddress.Parse("127.0.0.61"));
        await using var second = new FakeNextHop(IPAddress.Parse("127.0.0.62"), first.EndPoint.Port);
        await using var gateway = new DeliveryGateway(first, o => Mx(o, dns, first));
        dns.A("mx1.big.test", "127.0.0.61").A("mx2.big.test", "127.0.0.62");
        for (int i = 0; i < 200; i++)
            dns.Mx($"shop{i}.test", 10, "mx1.big.test").Mx($"shop{i}.test", 10, "mx2.big.test");

        for (int i = 0; i < 200; i++)
        {
            await gateway.AcceptAsync($"info@shop{i}.test");
            if (i % 20 == 0)
                await gateway.UntilSettledAsync();
        }
        await gateway.UntilSettledAsync();

        Assert.Equal(200, first.Messages.Count + second.Messages.Count);
        Assert.InRange(first.Connections + second.Connections, 1, 20); // PerMx for each of the two addresses.
    }

    [Fact]
    public async Task A_session_that_is_idle_with_one_of_equal_hosts_is_used_before_another_is_dialled()
    {
        await using var dns = new FakeDns();
        await using var first = new FakeNextHop(IPAddress.Parse("127.0.0.63"));
        await using var second = new FakeNextHop(IPAddress.Parse("127.0.0.64"), first.EndPoint.Port);
        using var harness = new DeliveryHarness("mx", change: o => Mx(o, dns, first));
        dns.A("mx1.big.test", "127.0.0.63").A("mx2.big.test", "127.0.0.64");
        for (int i = 0; i < 30; i++)
            dns.Mx($"shop{i}.test", 10, "mx1.big.test").Mx($"shop{i}.test", 10, "mx2.big.test");

        for (int i = 0; i < 30; i++)
            Assert.Equal(OutcomeKind.Delivered, (await harness.AttemptAsync("x\r\n", $"info@shop{i}.test")).Outcomes[0]!.Kind);

        Assert.Equal(1, first.Connections + second.Connections);
    }

    [Fact]
    public async Task A_lower_preference_is_kept_to_although_a_session_with_the_other_is_idle()
    {
        await using var dns = new FakeDns();
        await using var first = new FakeNextHop(IPAddress.Parse("127.0.0.65"));
        await using var second = new FakeNextHop(IPAddress.Parse("127.0.0.66"), first.EndPoint.Port);
        using var harness = new DeliveryHarness("mx", change: o => Mx(o, dns, first));
        dns.A("mx1.big.test", "127.0.0.65").A("mx2.big.test", "127.0.0.66").Mx("a.test", 10, "mx2.big.test").Mx("b.test", 10, "mx1.big.test").Mx("b.test", 20, "mx2.big.test");

        await harness.AttemptAsync("x\r\n", "info@a.test");
        await harness.AttemptAsync("x\r\n", "info@b.test");

        Assert.Equal((1, 1), (first.Messages.Count, second.Messages.Count));
    }

    [Fact]
    public async Task Recipients_at_domains_of_one_site_go_in_one_transaction_once_the_site_is_known()
    {
        await using var dns = new FakeDns();
        await using var hop = new FakeNextHop(IPAddress.Parse("127.0.0.67"));
        await using var gateway = new DeliveryGateway(hop, o => Mx(o, dns, hop));
        dns.A("mx.big.test", "127.0.0.67");
        foreach (string domain in (string[])["a.test", "b.test", "c.test"])
        {
            dns.Mx(domain, 10, "mx.big.test");
            await gateway.AcceptAsync($"first@{domain}");
            await hop.NextAsync();
        }

        await gateway.AcceptAsync("x@a.test", "y@b.test", "z@c.test", "w@a.test");

        Assert.Equal(["RCPT TO:<x@a.test>", "RCPT TO:<y@b.test>", "RCPT TO:<z@c.test>", "RCPT TO:<w@a.test>"], (await hop.NextAsync()).Rcpts);
        await gateway.UntilSettledAsync();
        Assert.Equal(1, await gateway.Queue.Count("attempt", "json_array_length(results) = 4"));
    }

    /// <summary>The site was learned, and then one of the domains moved away: each recipient still gets one copy, at its own hosts.</summary>
    [Fact]
    public async Task A_job_whose_recipients_no_longer_share_a_route_is_split()
    {
        await using var dns = new FakeDns();
        await using var old = new FakeNextHop(IPAddress.Parse("127.0.0.68"));
        await using var moved = new FakeNextHop(IPAddress.Parse("127.0.0.69"), old.EndPoint.Port);
        using var harness = new DeliveryHarness("mx", change: o => Mx(o, dns, old));
        dns.A("mx.big.test", "127.0.0.68").A("mx.new.test", "127.0.0.69").Mx("a.test", 10, "mx.big.test").Mx("b.test", 10, "mx.new.test").Mx("c.test", 10, "mx.big.test");

        AttemptResult result = await harness.AttemptAsync("x\r\n", "x@a.test", "y@b.test", "z@c.test");

        Assert.All(result.Outcomes, o => Assert.Equal(OutcomeKind.Delivered, o!.Kind));
        Assert.Equal(["RCPT TO:<x@a.test>", "RCPT TO:<z@c.test>"], Assert.Single(old.Messages).Rcpts);
        Assert.Equal(["RCPT TO:<y@b.test>"], Assert.Single(moved.Messages).Rcpts);
    }

    [Fact]
    public async Task Parts_of_a_job_end_by_themselves_in_the_store()
    {
        await using var dns = new FakeDns();
        await using var good = new FakeNextHop(IPAddress.Parse("127.0.0.70"));
        await using var bad = new FakeNextHop(IPAddress.Parse("127.0.0.71"), good.EndPoint.Port);
        bad.Script = static e => e.Verb == "RCPT" ? new HopAction.Raw("450 4.2.0 later\r\n") : null;
        await using var gateway = new DeliveryGateway(good, o => Mx(o, dns, good));
        dns.A("mx.good.test", "127.0.0.70").A("mx.bad.test", "127.0.0.71").Mx("a.test", 10, "mx.good.test").Mx("b.test", 10, "mx.bad.test");
        gateway.Queue.Scheduler.Learn("a.test", "mx.one.test"); // What was so once.
        gateway.Queue.Scheduler.Learn("b.test", "mx.one.test");

        await gateway.AcceptAsync("x@a.test", "y@b.test");

        Assert.Equal(["RCPT TO:<x@a.test>"], (await good.NextAsync()).Rcpts);
        await DeliveryGateway.UntilAsync(async () => gateway.Queue.Scheduler.InFlight == 0 && await gateway.Queue.Count("attempt") == 2);
        Assert.Equal(1, await gateway.Queue.Count("recipient", "address = 'x@a.test' and state = 1"));
        Assert.Equal(1, await gateway.Queue.Count("recipient", "address = 'y@b.test' and state = 0 and attempts = 1"));
    }

    [Fact]
    public async Task A_providers_bound_counts_over_all_of_its_hosts_and_messages()
    {
        await using var dns = new FakeDns();
        await using var first = new FakeNextHop(IPAddress.Parse("127.0.0.72"));
        await using var second = new FakeNextHop(IPAddress.Parse("127.0.0.73"), first.EndPoint.Port);
        int open = 0, most = 0;
        HopAction? Count(HopEvent e)
        {
            if (e.Verb == "MAIL")
                most = Math.Max(most, Interlocked.Increment(ref open));
            if (e.Verb == "content")
                Interlocked.Decrement(ref open);
            return null;
        }
        first.Script = second.Script = Count;
        using var harness = new DeliveryHarness("mx", change: o =>
        {
            Mx(o, dns, first);
            o.Delivery.Providers["big.test"] = new ProviderOptions { Connections = 3, MessagesPerConnection = 4 };
        });
        dns.A("mx1.big.test", "127.0.0.72").A("mx2.big.test", "127.0.0.73").Mx("a.test", 10, "mx1.big.test").Mx("a.test", 10, "mx2.big.test");

        await Task.WhenAll(Enumerable.Range(0, 40).Select(_ => harness.AttemptAsync("x\r\n", "info@a.test")));

        ReceivedMessage[] messages = [.. first.Messages, .. second.Messages];
        Assert.Equal(40, messages.Length);
        Assert.InRange(most, 1, 3);
        Assert.All(first.Messages.GroupBy(m => m.Connection).Concat(second.Messages.GroupBy(m => m.Connection)), m => Assert.InRange(m.Count(), 1, 4));
    }

    [Fact]
    public async Task Recipients_beyond_a_transaction_that_failed_go_on_to_the_next_host()
    {
        await using var dns = new FakeDns();
        await using var first = new FakeNextHop(IPAddress.Parse("127.0.0.74"));
        first.Script = static e => e.Verb == "DATA" ? new HopAction.Close() : null;
        await using var second = new FakeNextHop(IPAddress.Parse("127.0.0.75"), first.EndPoint.Port);
        using var harness = new DeliveryHarness("mx", change: o =>
        {
            Mx(o, dns, first);
            o.Delivery.Connections.RecipientsPerTransaction = 2;
        });
        dns.A("mx1.big.test", "127.0.0.74").A("mx2.big.test", "127.0.0.75").Mx("a.test", 10, "mx1.big.test").Mx("a.test", 20, "mx2.big.test");

        AttemptResult result = await harness.AttemptAsync("x\r\n", "1@a.test", "2@a.test", "3@a.test", "4@a.test", "5@a.test");

        Assert.All(result.Outcomes, o => Assert.Equal(OutcomeKind.Delivered, o!.Kind));
        Assert.Equal([2, 2, 1], second.Messages.Select(m => m.Rcpts.Count));
        Assert.Empty(first.Messages);
    }

    [Fact]
    public async Task A_host_that_refuses_our_address_is_not_asked_again_for_the_recipients_beyond_a_transaction()
    {
        await using var dns = new FakeDns();
        await using var refusing = new FakeNextHop(IPAddress.Parse("127.0.0.76"));
        refusing.Script = static e => e.Verb == "RCPT" ? new HopAction.Raw("550 5.7.1 Client host [10.44.0.13] blocked using bl.spamcop.net\r\n") : null;
        await using var other = new FakeNextHop(IPAddress.Parse("127.0.0.77"), refusing.EndPoint.Port);
        using var harness = new DeliveryHarness("mx", change: o =>
        {
            Mx(o, dns, refusing);
            o.Delivery.Connections.RecipientsPerTransaction = 1;
        });
        dns.A("mx1.big.test", "127.0.0.76").A("mx2.big.test", "127.0.0.77").A("mx.other.test", "127.0.0.77");
        dns.Mx("a.test", 10, "mx1.big.test").Mx("a.test", 20, "mx2.big.test").Mx("b.test", 10, "mx1.big.test").Mx("b.test", 20, "mx.other.test");

        AttemptResult result = await harness.AttemptAsync("x\r\n", "1@a.test", "2@a.test", "3@a.test", "4@a.test");

        Assert.Single(refusing.Commands, static c => c.StartsWith("RCPT", StringComparison.Ordinal));
        Assert.Equal(0, other.Connections); // The same provider.
        Assert.Equal("ip 127.0.0.1 big.test", result.AddressWait!.Value.For.Text);
        Assert.All(result.Outcomes, o => Assert.Equal((OutcomeKind.Deferred, true), (o!.Kind, o.ConcernsEgress)));

        using var anew = new DeliveryHarness("mx", change: o =>
        {
            Mx(o, dns, refusing);
            o.Delivery.Connections.RecipientsPerTransaction = 1;
        });
        result = await anew.AttemptAsync("x\r\n", "1@b.test", "2@b.test", "3@b.test");
        Assert.Equal([OutcomeKind.Deferred, OutcomeKind.Delivered, OutcomeKind.Delivered], result.Outcomes.Select(static o => o!.Kind));
        Assert.Equal(2, refusing.Commands.Count(static c => c.StartsWith("RCPT", StringComparison.Ordinal)));
    }

    private static void Mx(RelayGateOptions options, FakeDns dns, FakeNextHop hop)
    {
        options.Delivery.NextHop = "mx";
        options.Delivery.Resolver = dns.EndPoint.ToString();
        options.Delivery.MxPort = hop.EndPoint.Port;
        options.Delivery.AllowLoopback = true;
    }
}
