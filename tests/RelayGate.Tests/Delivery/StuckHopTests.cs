using System.Net;
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
}
