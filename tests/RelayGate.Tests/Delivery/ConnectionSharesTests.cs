using System.Net;
using RelayGate.Configuration;
using RelayGate.Core.Policy;
using RelayGate.Core.Tls;
using RelayGate.Delivery;
using RelayGate.Telemetry;
using RelayGate.Tests.Fakes;

namespace RelayGate.Tests.Delivery;

/// <summary>Bounds of connections hold by addresses, whatever else keeps sessions apart, and who waits at one is served.</summary>
public sealed class ConnectionSharesTests
{
    private static readonly TimeSpan Soon = TimeSpan.FromSeconds(10);

    [Fact]
    public async Task Names_and_demands_on_tls_share_the_bound_of_a_pair_of_addresses_and_all_mail_goes()
    {
        await using var dns = new FakeDns();
        await using var hop = new FakeNextHop(IPAddress.Parse("127.0.0.81"));
        int most = 0;
        DeliveryHarness? made = null;
        hop.Script = e =>
        {
            most = Math.Max(most, made!.Pool.Open);
            return null;
        };
        using var harness = made = new DeliveryHarness("mx", change: o =>
        {
            o.Delivery.Resolver = dns.EndPoint.ToString();
            o.Delivery.MxPort = hop.EndPoint.Port;
            o.Delivery.AllowLoopback = true;
            o.Delivery.Connections.PerMx = 2;
        }, routes: () => new RouteTable([], [new Route(new RouteKey("", "strict.test"), []) { Tls = TlsMode.None }]));
        dns.A("mx.big.test", "127.0.0.81").Mx("dest.test", 10, "mx.big.test").Mx("strict.test", 10, "mx.big.test");

        AttemptResult[] results = await Task.WhenAll(Enumerable.Range(0, 48).Select(i => harness.AttemptAsync(DeliveryHarness.Job(
            DeliveryHarness.Message(RelayGate.Queue.MessageBody.FromBytes("Hello\r\n"u8.ToArray())) with { Egress = DeliveryHarness.EgressFrom("127.0.0.1", helo: i % 2 == 0 ? "one.test" : "two.test") },
            i % 4 < 2 ? "b@dest.test" : "b@strict.test"))));

        Assert.All(results, r => Assert.Equal(OutcomeKind.Delivered, r.Outcomes[0]!.Kind));
        Assert.Equal(48, hop.Messages.Count);
        Assert.Equal(["one.test", "two.test"], hop.Messages.Select(m => m.Hello).Distinct().Order());
        Assert.Equal(2, most);
    }

    [Fact]
    public async Task An_idle_connection_under_another_name_or_policy_gives_way()
    {
        await using var hop = new FakeNextHop();
        using var harness = new DeliveryHarness(hop.Url, change: o => o.Delivery.Connections.PerMx = 1);
        var address = new NextHopAddress("a.test", hop.EndPoint, false);
        harness.Pool.Return(await OpenAsync(harness, From("127.0.0.1", "one.test"), address));

        harness.Pool.Return(await OpenAsync(harness, From("127.0.0.1", "two.test"), address));
        Assert.Equal((1, 1), (harness.Pool.Open, harness.Pool.Figures().Idle));
        harness.Pool.Return(await OpenAsync(harness, From("127.0.0.1", "two.test"), address.Under(TlsPolicy.May with { Minimum = TlsVersion.Tls13 })));
        harness.Pool.Return(await OpenAsync(harness, From("127.0.0.1", "two.test"), address.Under(TlsPolicy.May with { Minimum = TlsVersion.Tls13 })));

        Assert.Equal(1, harness.Pool.Open);
        Assert.Equal(3, hop.Connections);
    }

    [Fact]
    public async Task One_local_address_has_so_many_connections_over_all_next_hops()
    {
        using var harness = new DeliveryHarness("smtp://127.0.0.1:1", change: o => o.Delivery.Connections.PerAddress = 2);
        EgressBinding busy = From("127.0.0.1", "one.test");
        SmtpClientSession first = await harness.Pool.TakeAsync(busy, Hop("127.0.0.91"), false, ConnectionPool.WaitLimit, default) ?? throw new InvalidOperationException();
        SmtpClientSession second = await harness.Pool.TakeAsync(busy, Hop("127.0.0.92"), false, ConnectionPool.WaitLimit, default) ?? throw new InvalidOperationException();

        Task<SmtpClientSession?> third = harness.Pool.TakeAsync(busy with { Helo = "two.test" }, Hop("127.0.0.93"), false, ConnectionPool.WaitLimit, default).AsTask();
        Assert.False(third.IsCompleted);
        Assert.Equal(((BoundUse?)new BoundUse("127.0.0.1", 2, 2), 1), (harness.Pool.Figures().Address, harness.Pool.Figures().Waiting));
        SmtpClientSession other = (await harness.Pool.TakeAsync(From("127.0.0.2", "one.test"), Hop("127.0.0.93"), false, ConnectionPool.WaitLimit, default).AsTask().WaitAsync(Soon))!;
        harness.Pool.Return(other);
        Assert.False(third.IsCompleted);

        harness.Pool.Return(first);
        harness.Pool.Return((await third.WaitAsync(Soon))!);
        harness.Pool.Return(second);
        Assert.Equal(new ConnectionFigures(0, 0, 0, 500), harness.Pool.Figures());
    }

    [Fact]
    public async Task One_next_hop_has_so_many_connections_over_all_local_addresses()
    {
        using var harness = new DeliveryHarness("smtp://127.0.0.1:1", change: o => o.Delivery.Connections.PerNextHop = 2);
        SmtpClientSession first = (await harness.Pool.TakeAsync(From("127.0.0.1", "one.test"), Hop("127.0.0.91"), false, ConnectionPool.WaitLimit, default))!;
        SmtpClientSession second = (await harness.Pool.TakeAsync(From("127.0.0.2", "one.test"), Hop("127.0.0.91"), false, ConnectionPool.WaitLimit, default))!;

        Task<SmtpClientSession?> third = harness.Pool.TakeAsync(From("127.0.0.3", "one.test"), Hop("127.0.0.91"), false, ConnectionPool.WaitLimit, default).AsTask();
        harness.Pool.Return((await harness.Pool.TakeAsync(From("127.0.0.3", "one.test"), Hop("127.0.0.92"), false, ConnectionPool.WaitLimit, default).AsTask().WaitAsync(Soon))!);
        Assert.False(third.IsCompleted);

        harness.Pool.Return(second);
        harness.Pool.Return((await third.WaitAsync(Soon))!);
        harness.Pool.Return(first);
        Assert.Equal(0, harness.Pool.Open);
    }

    /// <summary>The first in the line of one bound is kept by another one: who stands behind it goes, and it goes when that one has room.</summary>
    [Fact]
    public async Task Who_waits_at_two_bounds_keeps_nobody_waiting_and_is_not_forgotten()
    {
        using var harness = new DeliveryHarness("smtp://127.0.0.1:1", change: o => (o.Delivery.Connections.PerAddress, o.Delivery.Connections.PerNextHop) = (2, 1));
        EgressBinding one = From("127.0.0.1", "one.test"), two = From("127.0.0.2", "one.test");
        SmtpClientSession a = (await harness.Pool.TakeAsync(one, Hop("127.0.0.91"), false, ConnectionPool.WaitLimit, default))!;
        SmtpClientSession b = (await harness.Pool.TakeAsync(one, Hop("127.0.0.92"), false, ConnectionPool.WaitLimit, default))!;
        Task<SmtpClientSession?> first = harness.Pool.TakeAsync(one, Hop("127.0.0.93"), false, ConnectionPool.WaitLimit, default).AsTask(); // Waits at its own address.
        Task<SmtpClientSession?> behind = harness.Pool.TakeAsync(one, Hop("127.0.0.94"), false, ConnectionPool.WaitLimit, default).AsTask();
        SmtpClientSession c = (await harness.Pool.TakeAsync(two, Hop("127.0.0.93"), false, ConnectionPool.WaitLimit, default))!; // Now at that next hop as well.

        harness.Pool.Return(a);
        SmtpClientSession d = (await behind.WaitAsync(Soon))!;
        Assert.False(first.IsCompleted);
        harness.Pool.Return(b);
        Assert.False(first.IsCompleted);
        harness.Pool.Return(c);

        harness.Pool.Return((await first.WaitAsync(Soon))!);
        harness.Pool.Return(d);
        Assert.Equal(new ConnectionFigures(0, 0, 0, 500), harness.Pool.Figures());
    }

    [Fact]
    public async Task A_lane_that_has_always_more_to_send_lets_another_have_its_turn()
    {
        await using var hop = new FakeNextHop();
        var time = new ManualTimeProvider();
        using var harness = new DeliveryHarness(hop.Url, time, o => o.Delivery.Connections.PerMx = 1);
        var address = new NextHopAddress("a.test", hop.EndPoint, false);
        SmtpClientSession session = await OpenAsync(harness, From("127.0.0.1", "one.test"), address);
        Task<SmtpClientSession?> other = harness.Pool.TakeAsync(From("127.0.0.1", "two.test"), address, false, ConnectionPool.WaitLimit, default).AsTask();
        Task<SmtpClientSession?>[] more = [.. Enumerable.Range(0, 3).Select(_ => harness.Pool.TakeAsync(From("127.0.0.1", "one.test"), address, false, ConnectionPool.WaitLimit, default).AsTask())];

        harness.Pool.Return(session);
        Assert.Same(session, await more[0].WaitAsync(Soon)); // A connection is not given up for so short a wait.
        Assert.False(other.IsCompleted);
        time.Advance(TimeSpan.FromSeconds(1.1));
        harness.Pool.Return(session);

        SmtpClientSession next = (await other.WaitAsync(Soon))!;
        Assert.Equal("two.test", next.Egress.Helo);
        Assert.False(more[1].IsCompleted);
        harness.Pool.Return(next);
        SmtpClientSession again = (await more[1].WaitAsync(Soon))!;
        harness.Pool.Return(again);
        harness.Pool.Return((await more[2].WaitAsync(Soon))!);
        Assert.Equal(0, harness.Pool.Figures().Waiting);
    }

    /// <summary>The busy lane stands in the line of its pair, the other one in that of an outer bound.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_lane_that_has_always_more_to_send_gives_its_place_to_one_that_waits_at_another_bound(bool isKept)
    {
        var time = new ManualTimeProvider();
        await using var hop = new FakeNextHop();
        await using var quiet = new FakeNextHop(IPAddress.Parse("127.0.0.84"));
        using var harness = new DeliveryHarness(hop.Url, time, o => (o.Delivery.Connections.Total, o.Delivery.Connections.PerMx, o.Delivery.Connections.MessagesPerConnection) = (2, 2, isKept ? 1000 : 0));
        var busy = new NextHopAddress("a.test", hop.EndPoint, false);
        EgressBinding from = From("127.0.0.1", "one.test");
        SmtpClientSession session = await OpenAsync(harness, from, busy);
        await OpenAsync(harness, from, busy);
        Task<SmtpClientSession?> more = harness.Pool.TakeAsync(from, busy, false, ConnectionPool.WaitLimit, default).AsTask();
        time.Advance(TimeSpan.FromSeconds(0.1));
        Task<SmtpClientSession?> other = harness.Pool.TakeAsync(from, new NextHopAddress("b.test", quiet.EndPoint, false), false, ConnectionPool.WaitLimit, default).AsTask();

        for (int turns = 0; !other.IsCompleted; turns++)
        {
            Assert.InRange(turns, 0, 3);
            time.Advance(TimeSpan.FromSeconds(1));
            Task<SmtpClientSession?> next = more;
            more = harness.Pool.TakeAsync(from, busy, false, ConnectionPool.WaitLimit, default).AsTask();
            harness.Pool.Return(session);
            await Task.WhenAny(other, next).WaitAsync(Soon);
            if (next.IsCompleted)
                session = await OpenedAsync(next);
            else
                more = next;
        }
        Assert.Equal(2, harness.Pool.Open);
    }

    [Fact]
    public async Task Lanes_that_all_have_always_more_to_send_change_once_a_second_and_not_with_each_message()
    {
        await using var hop = new FakeNextHop();
        var time = new ManualTimeProvider();
        using var harness = new DeliveryHarness(hop.Url, time, o => o.Delivery.Connections.PerMx = 1);
        var address = new NextHopAddress("a.test", hop.EndPoint, false);
        EgressBinding[] names = [From("127.0.0.1", "one.test"), From("127.0.0.1", "two.test")];
        var served = new int[2];
        SmtpClientSession session = await OpenAsync(harness, names[0], address);
        Queue<Task<SmtpClientSession?>>[] waiting = [.. names.Select(name => new Queue<Task<SmtpClientSession?>>(Enumerable.Range(0, 20).Select(_ => harness.Pool.TakeAsync(name, address, false, TimeSpan.FromHours(1), default).AsTask())))];

        for (int i = 0; i < 100; i++) // Ten messages a second.
        {
            time.Advance(TimeSpan.FromSeconds(0.1));
            harness.Pool.Return(session);
            await Task.WhenAny(waiting[0].Peek(), waiting[1].Peek()).WaitAsync(Soon);
            int next = waiting[0].Peek().IsCompleted ? 0 : 1;
            session = await OpenedAsync(waiting[next].Dequeue());
            waiting[next].Enqueue(harness.Pool.TakeAsync(names[next], address, false, TimeSpan.FromHours(1), default).AsTask());
            served[next]++;
        }

        Assert.InRange(hop.Connections, 9, 12);
        Assert.All(served, messages => Assert.InRange(messages, 40, 60));
    }

    [Fact]
    public async Task Whoever_waits_at_whatever_bound_has_its_turn_and_nobody_waits_who_could_go()
    {
        await using var first = new FakeNextHop(IPAddress.Parse("127.0.0.85"));
        await using var second = new FakeNextHop(IPAddress.Parse("127.0.0.86"));
        var time = new ManualTimeProvider();
        using var harness = new DeliveryHarness(first.Url, time, o =>
        {
            ConnectionOptions c = o.Delivery.Connections;
            (c.Total, c.PerAddress, c.PerMx, c.MessagesPerConnection) = (5, 3, 2, 7);
        });
        var random = new Random(4);
        // Eleven lanes of three local addresses, two remote ones and two names; one lane fewer, so that the shares differ.
        List<(EgressBinding From, NextHopAddress To)> lanes = [.. from address in Enumerable.Range(1, 3) from helo in (string[])["one.test", "two.test"] from hop in (FakeNextHop[])[first, second]
            select (From($"127.0.0.{address}", helo), new NextHopAddress("a.test", hop.EndPoint, false))];
        lanes.RemoveAt(0);
        int[] servedAt = new int[lanes.Count];
        List<(SmtpClientSession Session, int Lane)> used = [];
        var waiting = lanes.Select(lane => new Queue<Task<SmtpClientSession?>>(Enumerable.Range(0, 3).Select(_ => Take(lane)))).ToArray();

        for (int step = 0; step < 400; step++)
        {
            await GatherAsync(step);
            for (int lane = 0; lane < lanes.Count; lane++)
            {
                Assert.True(step - servedAt[lane] < 80, $"Lane {lane} has not been served for {step - servedAt[lane]} steps");
                (EgressBinding from, NextHopAddress to) = lanes[lane];
                int[] others = [.. used.Select(u => u.Lane)];
                Assert.True(
                    others.Length == 5 || others.Count(o => lanes[o].From.Address!.Equals(from.Address)) == 3 || others.Count(o => lanes[o].From.Address!.Equals(from.Address) && lanes[o].To.Equals(to)) == 2,
                    $"Lane {lane} waits and could go in step {step}");
            }
            time.Advance(TimeSpan.FromSeconds(0.3));
            int returned = random.Next(used.Count);
            SmtpClientSession session = used[returned].Session;
            used.RemoveAt(returned);
            harness.Pool.Return(session);
        }

        Task<SmtpClientSession?> Take((EgressBinding From, NextHopAddress To) lane) => harness.Pool.TakeAsync(lane.From, lane.To, false, TimeSpan.FromHours(1), default).AsTask();

        // What was given is opened; whoever was served has another delivery at once.
        async Task GatherAsync(int step)
        {
            for (long started = TimeProvider.System.GetTimestamp(); ; await Task.Delay(1)) // Waits are over a moment after they were served.
            {
                for (int lane = 0; lane < lanes.Count; lane++)
                {
                    while (waiting[lane].Peek().IsCompleted)
                    {
                        used.Add((await OpenedAsync(waiting[lane].Dequeue()), lane));
                        waiting[lane].Enqueue(Take(lanes[lane]));
                        servedAt[lane] = step;
                    }
                }
                ConnectionFigures figures = harness.Pool.Figures();
                if (used.Count == figures.Open - figures.Idle)
                    return;
                Assert.True(TimeProvider.System.GetElapsedTime(started) < Soon);
            }
        }
    }

    [Fact]
    public async Task Many_lanes_with_cancelled_waits_keep_all_bounds_and_lose_nobody()
    {
        await using var first = new FakeNextHop(IPAddress.Parse("127.0.0.82"));
        await using var second = new FakeNextHop(IPAddress.Parse("127.0.0.83"));
        using var harness = new DeliveryHarness(first.Url, change: o =>
        {
            ConnectionOptions c = o.Delivery.Connections;
            (c.Total, c.PerAddress, c.PerNextHop, c.PerMx, c.MessagesPerConnection) = (7, 4, 5, 3, 20);
        });
        var used = new Dictionary<object, int>();
        int served = 0, cancelled = 0;

        await Task.WhenAll(Enumerable.Range(0, 40).Select(n => Task.Run(async () =>
        {
            var random = new Random(n);
            for (int i = 0; i < 25; i++)
            {
                EgressBinding egress = From($"127.0.0.{1 + random.Next(3)}", $"helo{random.Next(2)}.test");
                FakeNextHop hop = random.Next(2) == 0 ? first : second;
                using var impatient = new CancellationTokenSource();
                if (random.Next(5) == 0)
                    impatient.CancelAfter(TimeSpan.FromMilliseconds(random.Next(3)));
                SmtpClientSession session;
                try
                {
                    session = (await harness.Pool.TakeAsync(egress, new NextHopAddress("a.test", hop.EndPoint, false), random.Next(20) == 0, ConnectionPool.WaitLimit, impatient.Token).AsTask().WaitAsync(TimeSpan.FromSeconds(30)))!;
                }
                catch (OperationCanceledException)
                {
                    Interlocked.Increment(ref cancelled);
                    continue;
                }
                Use((egress.Address!, 4), 1);
                Use((hop.EndPoint, 5), 1);
                Use(((egress.Address!, hop.EndPoint), 3), 1);
                if (!session.WasOpened)
                    Assert.Null(await session.OpenAsync(true, _ => default));
                await Task.Yield();
                Use((egress.Address!, 4), -1);
                Use((hop.EndPoint, 5), -1);
                Use(((egress.Address!, hop.EndPoint), 3), -1);
                harness.Pool.Return(session);
                Interlocked.Increment(ref served);
            }
        }))).WaitAsync(TimeSpan.FromSeconds(60));

        Assert.Equal(1000, served + cancelled);
        Assert.InRange(served, 700, 1000);
        ConnectionFigures figures = harness.Pool.Figures();
        Assert.Equal((0, figures.Open), (figures.Waiting, figures.Idle));
        harness.Pool.CloseIdle();
        Assert.Equal(0, harness.Pool.Open);
        Assert.Null(harness.Pool.Figures().Address); // Nothing is kept of who had none left.

        void Use((object Of, int Bound) share, int number)
        {
            lock (used)
                Assert.InRange(used[share.Of] = used.GetValueOrDefault(share.Of) + number, 0, share.Bound);
        }
    }

    private static EgressBinding From(string address, string helo) => new(IPAddress.Parse(address), helo);

    private static NextHopAddress Hop(string address) => new("a.test", new IPEndPoint(IPAddress.Parse(address), 25), false);

    private static Task<SmtpClientSession> OpenAsync(DeliveryHarness harness, EgressBinding egress, NextHopAddress nextHop) =>
        OpenedAsync(harness.Pool.TakeAsync(egress, nextHop, false, ConnectionPool.WaitLimit, default).AsTask());

    private static async Task<SmtpClientSession> OpenedAsync(Task<SmtpClientSession?> taking)
    {
        SmtpClientSession session = (await taking.WaitAsync(Soon))!;
        if (!session.WasOpened)
            Assert.Null(await session.OpenAsync(true, _ => default));
        return session;
    }
}
