using System.Net;
using RelayGate.Configuration;
using RelayGate.Core.Mail;
using RelayGate.Core.Replies;
using RelayGate.Core.Tls;
using RelayGate.Queue;
using RelayGate.Tests.Fakes;

namespace RelayGate.Tests.Delivery;

/// <summary>What a host refused stays evidence when another host, or the same by another address, then takes the message.</summary>
public sealed class PassedHostTests
{
    private const string Blocked = "550 5.7.1 Client host [10.44.0.13] blocked using bl.spamcop.net\r\n";

    [Fact]
    public async Task A_refusal_is_found_though_the_next_MX_host_takes_the_message()
    {
        await using var first = new FakeNextHop(IPAddress.Parse("127.0.1.71")) { Script = e => e.Verb == "MAIL" ? new HopAction.Raw(Blocked) : null };
        await using var second = new FakeNextHop(IPAddress.Parse("127.0.1.72"), first.EndPoint.Port);
        await using var dns = new FakeDns();
        dns.Mx("two.test", 10, "mx.provone.test").Mx("two.test", 20, "mx.provtwo.test").A("mx.provone.test", "127.0.1.71").A("mx.provtwo.test", "127.0.1.72");
        await using DeliveryGateway gateway = Mx(dns, first);

        await gateway.AcceptAsync("one@two.test");
        await second.NextAsync();
        await gateway.UntilSettledAsync();

        var log = new RefusalLog(gateway.Queue.Store);
        foreach (RefusalQuery query in (RefusalQuery[])
            [new() { Class = ReplyClass.IpBlocked }, new() { Provider = "provone.test" }, new() { List = "bl.spamcop.net" }, new() { Words = ["spamcop"] }, new() { Ip = "127.0.0.2" }])
        {
            RefusalItem item = Assert.Single((await log.ListAsync(query, null, default))!.Items);
            Assert.Equal(
                ("ip-blocked", "provone.test", "127.0.0.2", "mx.provone.test", "mail", "one@two.test", 1, "delivered", "5.7.1", "bl.spamcop.net"),
                (item.Class, item.Provider, item.Ip, item.NextHop, item.Stage, item.Recipient, item.Recipients, item.Result, "5" + item.Status![1..], item.List));
        }
        Assert.Empty((await log.ListAsync(new RefusalQuery { Provider = "provtwo.test" }, null, default))!.Items);
        RefusalGroup group = Assert.Single((await log.GroupAsync(new RefusalQuery(), [RefusalKey.Ip, RefusalKey.Provider], null, default))!.Items);
        Assert.Equal(["127.0.0.2", "provone.test"], group.Values.AsEnumerable());
        RecordedAttempt attempt = Assert.Single((await RecordAsync(gateway)).Attempts);
        Assert.Equal(("mx.provtwo.test", "provtwo.test", "delivered"), (attempt.NextHop, attempt.Provider, attempt.Results[0].Result));
        Assert.Equal(("mx.provone.test", "mail"), (Assert.Single(attempt.Refusals).NextHop, attempt.Refusals[0].Stage));
        Assert.Equal(1, gateway.Metrics.Refusals.Total);
    }

    [Fact]
    public async Task What_one_family_was_refused_stays_when_the_other_took_it()
    {
        await using var v4 = new FakeNextHop(IPAddress.Parse("127.0.1.73")) { Script = e => e.Verb == "connect" ? new HopAction.Raw("554 5.7.1 Your IP 127.0.0.2 is blacklisted\r\n") : null };
        await using var v6 = new FakeNextHop(IPAddress.IPv6Loopback, v4.EndPoint.Port);
        await using var dns = new FakeDns();
        dns.Mx("two.test", 10, "mx.prov.test").A("mx.prov.test", "127.0.1.73").Aaaa("mx.prov.test", "::1");
        await using DeliveryGateway gateway = Mx(dns, v4);
        gateway.Queue.Egress = DeliveryHarness.EgressFrom("127.0.0.2", "::1");

        await gateway.AcceptAsync("one@two.test");
        Assert.Equal("::1", (await v6.NextAsync()).Client.ToString());
        await gateway.UntilSettledAsync();

        RefusalItem item = Assert.Single((await new RefusalLog(gateway.Queue.Store).ListAsync(new RefusalQuery { Class = ReplyClass.IpBlocked, Ip = "127.0.0.2" }, null, default))!.Items);
        Assert.Equal(("greeting", "prov.test", "delivered"), (item.Stage, item.Provider, item.Result));
    }

    [Fact]
    public async Task Each_of_several_hosts_that_refuse_is_recorded_once_and_what_no_connection_reached_is_told()
    {
        static HopAction? Refuse(HopEvent e, string reply) => e.Verb == "RCPT" && e.Line.Contains("late@", StringComparison.Ordinal) ? new HopAction.Raw(reply) : null;
        await using var first = new FakeNextHop(IPAddress.Parse("127.0.1.74")) { Script = e => e.Verb == "MAIL" ? new HopAction.Raw("451 4.3.0 First is ill\r\n") : null };
        await using var second = new FakeNextHop(IPAddress.Parse("127.0.1.75"), first.EndPoint.Port) { Script = e => Refuse(e, "450 4.7.1 Greylisted, try again\r\n") };
        await using var dns = new FakeDns();
        dns.Mx("two.test", 5, "mx.dead.test").Mx("two.test", 10, "mx.provone.test").Mx("two.test", 20, "mx.provtwo.test")
            .A("mx.dead.test", "127.0.1.76").A("mx.provone.test", "127.0.1.74").A("mx.provtwo.test", "127.0.1.75");
        await using DeliveryGateway gateway = Mx(dns, first);

        await gateway.AcceptAsync("now@two.test", "late@two.test");
        await second.NextAsync();
        await DeliveryGateway.UntilAsync(async () => await gateway.Queue.Count("attempt") == 1);

        RecordedAttempt attempt = Assert.Single((await RecordAsync(gateway)).Attempts);
        Assert.Equal([("mx.dead.test", "connect", 2), ("mx.provone.test", "mail", 2)], attempt.Refusals.Select(r => (r.NextHop, r.Stage, r.Recipients)));
        Assert.Null(attempt.Refusals[0].Class);
        RefusalPage page = (await new RefusalLog(gateway.Queue.Store).ListAsync(new RefusalQuery(), null, default))!;
        Assert.Equal([("provone.test", "transient", 2), ("provtwo.test", "greylisted", 1)], page.Items.Select(i => (i.Provider, i.Class, i.Recipients)));
        Assert.Equal(3, gateway.Metrics.Refusals.Total);
    }

    /// <summary>RFC 3464 §2.3.5: Remote-MTA is the one that gave the diagnostic code.</summary>
    [Fact]
    public async Task What_is_told_of_a_recipient_names_the_host_that_decided_about_it_and_not_the_one_that_was_tried_last()
    {
        await using var first = new FakeNextHop(IPAddress.Parse("127.0.1.77"))
        {
            Script = e => e.Verb switch
            {
                "RCPT" when e.Line.Contains("gone", StringComparison.Ordinal) => new HopAction.Raw("550 5.1.1 No such user\r\n"),
                "DATA" => new HopAction.RawThenClose("421 4.3.2 Going down\r\n"),
                _ => null,
            },
        };
        await using var second = new FakeNextHop(IPAddress.Parse("127.0.1.78"), first.EndPoint.Port);
        await using var dns = new FakeDns();
        dns.Mx("two.test", 10, "mx.provone.test").Mx("two.test", 20, "mx.provtwo.test").A("mx.provone.test", "127.0.1.77").A("mx.provtwo.test", "127.0.1.78").A("acme.test", "127.0.1.78");
        await using DeliveryGateway gateway = Mx(dns, first);

        await gateway.AcceptAsync("gone1@two.test", "gone2@two.test", "here@two.test");
        Assert.Contains("here@two.test", Assert.Single((await second.NextAsync()).Rcpts), StringComparison.Ordinal);
        ReceivedMessage report = await second.NextAsync();
        await gateway.UntilSettledAsync();

        Assert.Equal(2, report.Text.Split("Remote-MTA: dns; mx.provone.test").Length - 1);
        Assert.DoesNotContain("provtwo", report.Text, StringComparison.Ordinal);
        RecordedAttempt attempt = Assert.Single((await RecordAsync(gateway)).Attempts);
        Assert.Equal("mx.provtwo.test", attempt.NextHop);
        Assert.Equal(
            [("failed", "mx.provone.test", first.EndPoint.ToString()), ("failed", "mx.provone.test", first.EndPoint.ToString()), ("delivered", null, null)],
            attempt.Results.Select(r => (r.Result, r.NextHop, r.Remote)));
        RefusalPage page = (await new RefusalLog(gateway.Queue.Store).ListAsync(new RefusalQuery { Words = ["No such user"] }, null, default))!;
        Assert.Equal([("provone.test", 2)], page.Items.Select(i => (i.Provider, i.Recipients)));
        Assert.Equal(3, gateway.Metrics.Refusals.Total);
    }

    [Fact]
    public async Task A_host_that_is_passed_over_for_its_TLS_is_told_though_the_next_takes_the_message()
    {
        await using var first = new FakeNextHop(IPAddress.Parse("127.0.1.77"));
        await using var second = new FakeNextHop(IPAddress.Parse("127.0.1.78"), first.EndPoint.Port);
        await using var dns = new FakeDns { Authentic = true };
        dns.Mx("two.test", 10, "mx.provone.test").Mx("two.test", 20, "mx.provtwo.test").A("mx.provone.test", "127.0.1.77").A("mx.provtwo.test", "127.0.1.78");
        await using DeliveryGateway gateway = Mx(dns, first, o =>
        {
            o.ResolverTrusted = true;
            o.Providers["provone.test"] = new ProviderOptions { Tls = TlsMode.Dane };
        });

        await gateway.AcceptAsync("one@two.test", "other@two.test");
        await second.NextAsync();
        await gateway.UntilSettledAsync();

        Assert.Equal(0, first.Connections);
        RecordedAttempt attempt = Assert.Single((await RecordAsync(gateway)).Attempts);
        Assert.Equal(("mx.provtwo.test", "delivered"), (attempt.NextHop, attempt.Results[0].Result));
        RecordedRefusal passed = Assert.Single(attempt.Refusals);
        Assert.Equal(("mx.provone.test", "local", 2, null), (passed.NextHop, passed.Stage, passed.Recipients, passed.Class));
        Assert.Contains("no usable TLSA record", passed.Reply, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Where_nothing_was_refused_nothing_is_kept()
    {
        await using var hop = new FakeNextHop();
        await using var gateway = new DeliveryGateway(hop);

        await gateway.AcceptAsync("one@dest.test");
        await hop.NextAsync();
        await gateway.UntilSettledAsync();

        Assert.Equal(1, await gateway.Queue.Count("attempt", "refusals is null and class is null"));
    }

    private static async Task<MessageRecord> RecordAsync(DeliveryGateway gateway)
    {
        var log = new MessageLog(gateway.Queue.Store, gateway.Queue.Writer.Feed);
        MessageItem item = (await log.ListAsync(new MessageQuery(), null, default))!.Items[^1];
        return (await log.ShowAsync(QueueId.TryParse(item.Ref, out QueueId id) ? id : default, null, default))!;
    }

    private static DeliveryGateway Mx(FakeDns dns, FakeNextHop hop, Action<DeliveryOptions>? change = null) => new(hop, options =>
    {
        options.Delivery.NextHop = "mx";
        options.Delivery.MxPort = hop.EndPoint.Port;
        options.Delivery.Resolver = dns.EndPoint.ToString();
        options.Delivery.AllowLoopback = true;
        change?.Invoke(options.Delivery);
    });
}
