using System.Net;
using RelayGate.Core.Dsn;
using RelayGate.Core.Policy;
using RelayGate.Delivery;
using RelayGate.Queue;
using RelayGate.Tests.Fakes;

namespace RelayGate.Tests.Delivery;

public sealed class StuckHopTests
{
    /// <summary>Next hops that take a connection and then say nothing, with more mail for each than there are connections.</summary>
    [Fact]
    public async Task Tarpits_with_much_mail_leave_connections_and_workers_to_a_destination_that_serves()
    {
        await using var dns = new FakeDns();
        await using var good = new FakeNextHop(IPAddress.Parse("127.0.0.80"));
        await using var tarpit = new FakeNextHop(IPAddress.Parse("127.0.0.81"), good.EndPoint.Port);
        tarpit.Script = static e => e.Verb == "connect" ? new HopAction.Stall() : null;
        await using var gateway = new DeliveryGateway(good, o =>
        {
            o.Delivery.NextHop = "mx";
            o.Delivery.Resolver = dns.EndPoint.ToString();
            o.Delivery.MxPort = good.EndPoint.Port;
            o.Delivery.AllowLoopback = true;
            o.Delivery.Connections.Total = 12;
        });
        dns.A("mx.good.test", "127.0.0.80").A("mx.tar.test", "127.0.0.81").Mx("good.test", 10, "mx.good.test");
        await gateway.AcceptAsync("first@good.test");
        await good.NextAsync();

        for (int i = 0; i < 15; i++) // A site of its own each.
        {
            dns.A($"mx.tar{i}.test", "127.0.0.81").Mx($"tar{i}.test", 10, $"mx.tar{i}.test");
            for (int n = 0; n < 6; n++)
                await gateway.AcceptAsync($"a{n}@tar{i}.test");
        }
        await DeliveryGateway.UntilAsync(() => Task.FromResult(tarpit.OpenConnections >= 4));

        for (int i = 0; i < 20; i++)
        {
            await gateway.AcceptAsync($"b{i}@good.test");
            await good.NextAsync(); // 10 s at most, and the clock of the limits stands still.
        }
        Assert.InRange(tarpit.OpenConnections, 1, 9); // Three quarters.
    }

    /// <summary>All connections to the first MX are held by messages to which it says nothing: the others wait for one, and then go to the second.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_stuck_MX_leaves_its_mail_to_the_next(bool bothStuck)
    {
        await using var dns = new FakeDns();
        await using var second = new FakeNextHop(IPAddress.Parse("127.0.0.83"));
        await using var first = new FakeNextHop(IPAddress.Parse("127.0.0.82"), second.EndPoint.Port);
        dns.Mx("dest.test", 10, "mx1.test").Mx("dest.test", 20, "mx2.test").A("mx1.test", "127.0.0.82").A("mx2.test", "127.0.0.83");
        first.Script = static e => e.Verb == "connect" ? new HopAction.Stall() : null;
        if (bothStuck)
            second.Script = static e => e.Verb == "content" ? new HopAction.Stall() : null;
        var time = new ManualTimeProvider();
        using var harness = new DeliveryHarness("mx", time, o =>
        {
            o.Delivery.Resolver = dns.EndPoint.ToString();
            o.Delivery.MxPort = second.EndPoint.Port;
            o.Delivery.AllowLoopback = true;
            o.Delivery.Connections.PerMx = 1;
        });
        Task<AttemptResult> holding = harness.AttemptAsync();
        await DeliveryGateway.UntilAsync(() => Task.FromResult(first.OpenConnections == 1));

        Task<AttemptResult> waiting = harness.AttemptAsync();
        await AdvanceUntilAsync(time, () => second.Connections == 1, limit: ConnectionPool.WaitLimit);
        if (!bothStuck)
        {
            AttemptResult result = await waiting;
            Assert.Equal((OutcomeKind.Delivered, null, "127.0.0.83"), (result.Outcomes[0]!.Kind, result.Wait, result.NextHop!.EndPoint.Address.ToString()));
            Assert.False(holding.IsCompleted);
            return;
        }
        Task<AttemptResult> last = harness.AttemptAsync();
        await AdvanceUntilAsync(time, () => last.IsCompleted, limit: ConnectionPool.WaitLimit + ConnectionPool.NextWaitLimit);
        Assert.Equal(("connection mx1.test", WaitCause.Connection), ((await last).Wait?.WaitsFor.Text, (await last).Wait?.Cause));
        Assert.Equal((OutcomeKind.Deferred, "4.4.5"), ((await last).Outcomes[0]!.Kind, (await last).Outcomes[0]!.Status));
        Assert.False(holding.IsCompleted || waiting.IsCompleted);
    }

    [Fact]
    public async Task Mail_that_finds_no_connection_is_told_of_and_given_up_at_its_age_like_any_other()
    {
        await using var dns = new FakeDns();
        await using var hop = new FakeNextHop(IPAddress.Parse("127.0.1.87")) { Script = static e => e.Verb == "content" ? new HopAction.Stall() : null };
        foreach (string name in (string[])["busy", "dest", "acme"]) // Sites of their own, which share the bound of the address.
            dns.Mx($"{name}.test", 10, $"mx.{name}.test").A($"mx.{name}.test", "127.0.1.87");
        await using var gateway = new DeliveryGateway(hop, o =>
        {
            o.Delivery.NextHop = "mx";
            o.Delivery.Resolver = dns.EndPoint.ToString();
            o.Delivery.MxPort = hop.EndPoint.Port;
            o.Delivery.AllowLoopback = true;
            o.Delivery.Connections.PerMx = 1;
            (o.Delivery.Timeouts.Reply, o.Delivery.Timeouts.Data) = (TimeSpan.FromHours(10), TimeSpan.FromHours(10));
            (o.Delivery.Retry.DelayNoticeAfter, o.Delivery.Retry.GiveUpAfter) = (TimeSpan.FromMinutes(10), TimeSpan.FromHours(1));
        });
        DateTimeOffset start = gateway.Queue.Time.GetUtcNow();
        await gateway.AcceptAsync("holds@busy.test");
        await DeliveryGateway.UntilAsync(() => Task.FromResult(hop.OpenConnections == 1));
        await gateway.AcceptAsync("waits@dest.test");

        Assert.InRange(await AdvanceUntilAsync("delay_noticed = 1"), TimeSpan.FromMinutes(10), TimeSpan.FromMinutes(14));
        Assert.Equal(1, await gateway.Queue.Count("recipient", "address = 'waits@dest.test' and last_reply like '4.4.5 No connection to mx.dest.test % became free in time'"));
        Assert.InRange(await AdvanceUntilAsync("state = 2"), TimeSpan.FromHours(1), TimeSpan.FromMinutes(64));

        string report = await gateway.Queue.Text("select cast(body as text) from message where seq = 4");
        Assert.Contains("The time that a message has is over. Our server has had no connection free", report.Replace("\r\n    ", " ", StringComparison.Ordinal), StringComparison.Ordinal);
        Assert.Contains("Status: 5.4.7", report, StringComparison.Ordinal);
        Assert.Equal(1, hop.Connections);

        async Task<TimeSpan> AdvanceUntilAsync(string state)
        {
            while (await gateway.Queue.Count("recipient", $"address = 'waits@dest.test' and {state}") == 0 && gateway.Queue.Time.GetUtcNow() < start.AddHours(2))
            {
                gateway.Queue.Time.Advance(TimeSpan.FromSeconds(30));
                await Task.Delay(20);
            }
            return gateway.Queue.Time.GetUtcNow() - start;
        }
    }

    [Fact]
    public async Task The_host_that_has_decided_all_is_that_of_the_record_though_no_connection_was_free_to_ask_it_again()
    {
        await using var hosts = new TwoProviders();
        Task<SmtpClientSession?>? holder = null;
        int recipients = 0;
        hosts.First.Script = e =>
        {
            if (e.Verb != "RCPT" || ++recipients != 2)
                return null;
            holder = hosts.HoldAsync();
            return new HopAction.Raw("452 4.5.3 Too many recipients\r\n");
        };

        AttemptResult result = await hosts.AttemptAsync();

        Assert.True(holder is { IsCompletedSuccessfully: true });
        Assert.Equal([OutcomeKind.Delivered, OutcomeKind.Deferred], result.Outcomes.Select(o => o!.Kind));
        Assert.Equal(("mx.provone.test", "provone.test", 0, DeliveryStage.EndOfData), (result.NextHop!.Host, result.Provider, hosts.Second.Connections, result.Stage));
    }

    [Fact]
    public async Task A_refusal_of_our_address_pauses_it_where_it_was_said_though_the_next_host_took_those_that_found_no_connection()
    {
        await using var hosts = new TwoProviders(perTransaction: 1);
        hosts.First.Script = e =>
        {
            if (e.Verb != "RCPT")
                return null;
            _ = hosts.HoldAsync();
            return new HopAction.Raw("550 5.7.1 Client host [10.44.0.13] blocked using bl.spamcop.net\r\n");
        };

        AttemptResult result = await hosts.AttemptAsync();

        Assert.Equal(1, hosts.Second.Connections);
        Assert.Equal([OutcomeKind.Deferred, OutcomeKind.Delivered], result.Outcomes.Select(o => o!.Kind));
        Assert.Equal(WaitKey.Ip(IPAddress.Parse("127.0.0.1"), "provone.test"), result.AddressWait?.For);
    }

    [Fact]
    public async Task Those_that_find_no_connection_after_others_were_taken_are_deferred_for_that()
    {
        await using var hosts = new TwoProviders(perTransaction: 1);
        hosts.First.Script = e =>
        {
            if (e.Verb == "RCPT")
                _ = hosts.HoldAsync();
            return null;
        };
        hosts.Second.Script = static e => e.Verb == "RCPT" ? throw new InvalidOperationException() : null;
        Task<SmtpClientSession?> second = hosts.HoldAsync(second: true);

        AttemptResult result = await hosts.AttemptAsync();

        Assert.NotNull(await second);
        Assert.Null(result.Wait);
        Assert.Equal([OutcomeKind.Delivered, OutcomeKind.Deferred], result.Outcomes.Select(o => o!.Kind));
        Assert.Equal(("4.4.5", WaitCause.Connection, "mx.provone.test"), (result.Outcomes[1]!.Status, result.Outcomes[1]!.Wait, result.NextHop!.Host));
    }

    [Fact]
    public void What_one_host_will_never_do_does_not_fail_while_no_connection_to_another_was_free()
    {
        var result = new AttemptResult(1, TimeProvider.System);
        result.DecideRest(TlsPlanner.RequirementNotMet("The message requires TLS", TlsPlanner.EncryptionNeeded));

        result.PutOff(new PutOff(WaitKey.Connection("mx2.test"), DeliveryHarness.Now, "4.4.5", "No connection", WaitCause.Connection));
        result.Close();

        Assert.Null(result.Wait);
        Assert.Equal((OutcomeKind.Deferred, "4.4.5"), (result.Outcomes[0]!.Kind, result.Outcomes[0]!.Status));
    }

    /// <summary>A domain with hosts of two providers, and one connection to each at a time.</summary>
    private sealed class TwoProviders : IAsyncDisposable
    {
        private readonly ManualTimeProvider _time = new();
        private readonly FakeDns _dns = new();
        private readonly DeliveryHarness _harness;

        public TwoProviders(int perTransaction = 100)
        {
            Second = new FakeNextHop(IPAddress.Parse("127.0.1.82"), First.EndPoint.Port);
            _dns.Mx("two.test", 10, "mx.provone.test").Mx("two.test", 20, "mx.provtwo.test").A("mx.provone.test", "127.0.1.81").A("mx.provtwo.test", "127.0.1.82");
            _harness = new DeliveryHarness("mx", _time, o =>
            {
                o.Delivery.Resolver = _dns.EndPoint.ToString();
                o.Delivery.MxPort = First.EndPoint.Port;
                o.Delivery.AllowLoopback = true;
                (o.Delivery.Connections.PerMx, o.Delivery.Connections.RecipientsPerTransaction) = (1, perTransaction);
            });
        }

        public FakeNextHop First { get; } = new(IPAddress.Parse("127.0.1.81"));

        public FakeNextHop Second { get; }

        /// <summary>Another message gets in line for the connection, and keeps it.</summary>
        public Task<SmtpClientSession?> HoldAsync(bool second = false) => _harness.Pool.TakeAsync(
            new EgressBinding(IPAddress.Parse("127.0.0.1"), "mail.shop.test"), new NextHopAddress(second ? "mx.provtwo.test" : "mx.provone.test", (second ? Second : First).EndPoint, false), false, TimeSpan.FromHours(1), default).AsTask();

        public async Task<AttemptResult> AttemptAsync()
        {
            Task<AttemptResult> attempt = _harness.AttemptAsync(DeliveryHarness.Job("Hello\r\n", "one@two.test", "two@two.test"));
            await AdvanceUntilAsync(_time, () => attempt.IsCompleted, ConnectionPool.WaitLimit + ConnectionPool.NextWaitLimit);
            return await attempt;
        }

        public async ValueTask DisposeAsync()
        {
            _harness.Dispose();
            await First.DisposeAsync();
            await Second.DisposeAsync();
            await _dns.DisposeAsync();
        }
    }

    /// <summary>Steps of a second, as what waits may begin to wait late; the limits of a reply are never reached.</summary>
    private static async Task AdvanceUntilAsync(ManualTimeProvider time, Func<bool> condition, TimeSpan limit)
    {
        DateTimeOffset end = time.GetUtcNow() + limit + TimeSpan.FromSeconds(30);
        while (!condition() && time.GetUtcNow() < end)
        {
            time.Advance(TimeSpan.FromSeconds(1));
            await Task.Delay(20);
        }
        Assert.True(condition());
    }
}
