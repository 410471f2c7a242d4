using System.Net;
using RelayGate.Configuration;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Core.Tls;
using RelayGate.Delivery;
using RelayGate.Queue;
using RelayGate.Tests.Fakes;

namespace RelayGate.Tests.Delivery;

/// <summary>What is configured or ordered for a provider holds for each of its hosts, also where another provider's stand before them.</summary>
public sealed class ProviderHostsTests : IAsyncLifetime, IAsyncDisposable
{
    private readonly FakeNextHop _one = new(IPAddress.Parse("127.0.1.81"));
    private readonly FakeDns _dns = new();
    private FakeNextHop _two = null!;

    public Task InitializeAsync()
    {
        _two = new FakeNextHop(IPAddress.Parse("127.0.1.82"), _one.EndPoint.Port);
        _dns.Mx("dest.test", 10, "mx.provone.test").Mx("dest.test", 20, "mx.provtwo.test").A("mx.provone.test", "127.0.1.81").A("mx.provtwo.test", "127.0.1.82");
        return Task.CompletedTask;
    }

    Task IAsyncLifetime.DisposeAsync() => DisposeAsync().AsTask(); // The one that this version of the runner calls.

    public async ValueTask DisposeAsync()
    {
        await _one.DisposeAsync();
        await _two.DisposeAsync();
        await _dns.DisposeAsync();
    }

    [Fact]
    public async Task A_suspended_provider_is_not_dialled_as_the_backup_of_another()
    {
        _one.Script = Busy;
        await using var gateway = new DeliveryGateway(_one, Mx);
        await gateway.Queue.Destinations.SuspendAsync(WaitKey.Provider("provtwo.test"), "uid 0", default);

        await gateway.AcceptAsync("b@dest.test");
        await DeliveryGateway.UntilAsync(async () => await gateway.Queue.Count("attempt", "stage <> 'put-off' and provider = 'provone.test'") == 1 && gateway.Queue.Scheduler.InFlight == 0);

        Assert.Equal((1, 0), (_one.Connections, _two.Connections));
        Assert.Equal(1, await gateway.Queue.Count("recipient", "state = 0 and waits_for is null and attempts = 1 and last_reply like '%busy%'"));
    }

    [Fact]
    public async Task Another_provider_takes_what_is_for_a_suspended_one_and_where_all_are_suspended_it_waits()
    {
        await using var gateway = new DeliveryGateway(_one, Mx);
        await gateway.Queue.Destinations.SuspendAsync(WaitKey.Provider("provone.test"), "uid 0", default);
        await gateway.AcceptAsync("b@dest.test");
        await _two.NextAsync();
        await gateway.UntilSettledAsync();

        await gateway.Queue.Destinations.SuspendAsync(WaitKey.Provider("provtwo.test"), "uid 0", default);
        await gateway.AcceptAsync("c@dest.test");
        await DeliveryGateway.UntilAsync(async () => await gateway.Queue.Count("recipient", "waits_for = 'provider provone.test' and attempts = 0") == 1);
        Assert.Equal((0, 1), (_one.Connections, _two.Connections));
        await DeliveryGateway.UntilAsync(async () => await gateway.Queue.Count("attempt", "stage = 'put-off' and provider = 'provone.test'") == 1);

        await gateway.Queue.Destinations.ResumeAsync(WaitKey.Provider("provone.test"), "uid 0", default);
        gateway.Queue.Time.Advance(TimeSpan.FromSeconds(2));
        await _one.NextAsync();
    }

    [Fact]
    public async Task A_suspended_smarthost_is_not_dialled_wherever_it_stands_in_the_route()
    {
        await using var gateway = new DeliveryGateway(_one, o => o.Delivery.NextHop = $"{_one.Url} {_two.Url}");
        _one.Script = Busy;
        await gateway.Queue.Destinations.SuspendAsync(WaitKey.Provider("127.0.1.82"), "uid 0", default);

        await gateway.AcceptAsync("b@dest.test");
        await DeliveryGateway.UntilAsync(async () => await gateway.Queue.Count("attempt", "stage <> 'put-off'") == 1 && gateway.Queue.Scheduler.InFlight == 0);

        Assert.Equal((1, 0), (_one.Connections, _two.Connections));
    }

    [Fact]
    public async Task TLS_of_a_provider_is_asked_of_its_hosts_alone()
    {
        _one.Script = Busy;
        using var strict = new DeliveryHarness("mx", change: o =>
        {
            Mx(o);
            o.Delivery.Providers["provtwo.test"] = new ProviderOptions { Tls = TlsMode.Encrypt };
        });
        using var other = new DeliveryHarness("mx", change: o =>
        {
            Mx(o);
            o.Delivery.Providers["provone.test"] = new ProviderOptions { Tls = TlsMode.Encrypt };
        });

        Assert.Equal(OutcomeKind.Deferred, (await strict.AttemptAsync()).Outcomes[0]!.Kind);
        Assert.Empty(_two.Messages); // It offers no TLS.
        Assert.Equal(OutcomeKind.Delivered, (await other.AttemptAsync()).Outcomes[0]!.Kind);
    }

    [Theory]
    [InlineData("provone.test", true)]
    [InlineData("provthree.test", false)]
    public async Task IPv6_is_off_for_a_providers_hosts_alone(string off, bool isDialled)
    {
        await using var six = new FakeNextHop(IPAddress.IPv6Loopback, _one.EndPoint.Port);
        _one.Script = Busy;
        _dns.Mx("six.test", 10, "mx.provone.test").Mx("six.test", 20, "mx.provthree.test").Aaaa("mx.provthree.test", "::1");
        using var harness = new DeliveryHarness("mx", change: o =>
        {
            Mx(o);
            o.Delivery.Providers[off] = new ProviderOptions { IPv6 = false };
        });
        QueuedMessage message = DeliveryHarness.Message(MessageBody.FromBytes("x\r\n"u8.ToArray())) with { Egress = DeliveryHarness.EgressFrom("127.0.0.1", "::1") };

        AttemptResult result = await harness.AttemptAsync(DeliveryHarness.Job(message, "b@six.test"));

        Assert.Equal((isDialled ? OutcomeKind.Delivered : OutcomeKind.Deferred, isDialled ? 1 : 0), (result.Outcomes[0]!.Kind, six.Connections));
    }

    private static HopAction.Raw? Busy(HopEvent e) => e.Verb == "connect" ? new HopAction.Raw("421 4.3.2 busy\r\n") : null;

    private void Mx(RelayGateOptions options)
    {
        options.Delivery.NextHop = "mx";
        options.Delivery.MxPort = _one.EndPoint.Port;
        options.Delivery.Resolver = _dns.EndPoint.ToString();
        options.Delivery.AllowLoopback = true;
    }
}
