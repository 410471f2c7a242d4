using System.Net;
using System.Net.Sockets;
using RelayGate.Core.Policy;
using RelayGate.Delivery;
using RelayGate.Tests.Fakes;

namespace RelayGate.Tests.Delivery;

public sealed class ConnectionPoolTests
{
    private static readonly EgressBinding System = new(null, "mail.shop.test");

    [Fact]
    public async Task A_session_comes_back_although_no_socket_can_be_had_for_the_one_who_waits()
    {
        using var harness = new DeliveryHarness("smtp://127.0.0.1:1", change: o => o.Delivery.Connections.Total = 1);
        SmtpClientSession used = (await harness.Pool.TakeAsync(System, new NextHopAddress("a.test", new IPEndPoint(IPAddress.Loopback, 1), true), false, ConnectionPool.WaitLimit, default))!;
        ValueTask<SmtpClientSession?> waiting = harness.Pool.TakeAsync(System, new NextHopAddress("b.test", new NoSocketEndPoint(), true), false, ConnectionPool.WaitLimit, default);
        Assert.False(waiting.IsCompleted);

        harness.Pool.Return(used);

        SmtpClientSession next = (await waiting.AsTask().WaitAsync(TimeSpan.FromSeconds(10)))!;
        SessionFailure failure = (await next.OpenAsync(true, _ => default))!;
        Assert.Equal((DeliveryStage.Connect, OutcomeKind.NextHost, "4.4.1"), (failure.Stage, failure.Outcome.Kind, failure.Outcome.Status));
        harness.Pool.Return(next);
        Assert.Equal(0, harness.Pool.Open);
    }

    [Fact]
    public async Task A_session_that_was_cut_off_before_it_was_opened_dials_nobody()
    {
        await using var hop = new FakeNextHop();
        using var harness = new DeliveryHarness(hop.Url);
        SmtpClientSession session = (await harness.Pool.TakeAsync(System, new NextHopAddress("a.test", hop.EndPoint, true), false, ConnectionPool.WaitLimit, default))!;

        harness.Pool.Abort();
        SessionFailure? failure = await session.OpenAsync(true, _ => default);
        harness.Pool.Return(session);

        Assert.Equal(DeliveryStage.Connect, failure!.Stage);
        Assert.Equal(0, hop.Connections);
    }

    /// <summary>An address of a family that no socket can be had for: as if there were no descriptors left.</summary>
    private sealed class NoSocketEndPoint() : IPEndPoint(IPAddress.Parse("127.0.0.2"), 1)
    {
        public override AddressFamily AddressFamily => AddressFamily.Ipx;
    }
}
