using System.Net;
using RelayGate.Core.Policy;
using RelayGate.Delivery;
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
            Assert.Equal((OutcomeKind.Delivered, false, "127.0.0.83"), (result.Outcomes[0]!.Kind, result.IsNoAttempt, result.NextHop!.EndPoint.Address.ToString()));
            Assert.False(holding.IsCompleted);
            return;
        }
        Task<AttemptResult> last = harness.AttemptAsync();
        await AdvanceUntilAsync(time, () => last.IsCompleted, limit: ConnectionPool.WaitLimit + ConnectionPool.NextWaitLimit);
        Assert.True((await last).IsNoAttempt);
        Assert.Equal((OutcomeKind.Deferred, "4.4.5"), ((await last).Outcomes[0]!.Kind, (await last).Outcomes[0]!.Status));
        Assert.False(holding.IsCompleted || waiting.IsCompleted);
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
