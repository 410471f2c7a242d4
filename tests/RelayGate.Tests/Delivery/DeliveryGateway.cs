using Microsoft.Extensions.Logging.Abstractions;
using RelayGate.Configuration;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Delivery;
using RelayGate.Dns;
using RelayGate.Egress;
using RelayGate.Queue;
using RelayGate.Replies;
using RelayGate.Telemetry;
using RelayGate.Tls;
using RelayGate.Tests.Fakes;
using RelayGate.Tests.Queue;

namespace RelayGate.Tests.Delivery;

/// <summary>Queue and delivery over a real store and real sockets, without listeners.</summary>
internal sealed class DeliveryGateway : IAsyncDisposable
{
    private readonly RelayGateMetrics _metrics = new();

    public DeliveryGateway(FakeNextHop hop, Action<RelayGateOptions>? change = null)
    {
        Queue.Options.Hostname = "relay.test";
        Queue.Options.Delivery.NextHop = hop.Url;
        change?.Invoke(Queue.Options);
        Queue.Egress = DeliveryHarness.EgressFrom("127.0.0.2");
        var routes = new RouteTable(Queue.Options.Delivery.ConfiguredNextHop, []);
        Queue.Lanes = DestinationLanes.Of(Queue.Options.Delivery, () => routes, Queue.Time);
        States = new EgressStates(Queue.Time);
        Control = new EgressControl(Queue.Store, Queue.Writer, Queue.Waiting, States, Queue.Time, NullLogger<EgressControl>.Instance);
        Control.StartAsync(CancellationToken.None).GetAwaiter().GetResult();
        var log = new MailLog(_metrics, Queue.Time, NullLogger<MailLog>.Instance, new MailLogOutput(null));
        Rules = new ReplyRuleBook(Queue.Options.Delivery, Queue.Time, NullLogger<ReplyRuleBook>.Instance);
        var dns = new DnsResolver(new DnsServers(Queue.Options.Delivery.Resolver, TimeProvider.System, Queue.Options.Delivery.ResolverTrusted), TimeProvider.System);
        Service = new DeliveryService(
            Queue.Scheduler, Queue.Writer, Queue.Waiting, Queue.Destinations, States, new NextHopResolver(Queue.Options, dns, Rules), new TlsPlanner(Queue.Options.Delivery, dns, TimeProvider.System), new TrustedAuthorities(null),
            (_, _, _, _) => new((EgressChoice?)null), (subscription, local, token) => MayLeaveFrom(subscription, local, token), (_, _) => new((string?)null), Local, Queue.Store.ReadChunkAsync, (about, token) => OriginOf(about), Rules, Queue.Options, _metrics, log, Queue.Time, NullLogger<DeliveryService>.Instance);
        Service.StartAsync(CancellationToken.None).GetAwaiter().GetResult();
    }

    public QueueFixture Queue { get; } = new();

    public EgressStates States { get; }

    public EgressControl Control { get; }

    public EgressPermission MayLeaveFrom { get; set; } = (_, _, _) => new(true);

    /// <summary>In whose name reports are written.</summary>
    public Func<QueuedMessage, ValueTask<DsnOrigin>> OriginOf { get; set; } = _ => new(new DsnOrigin(MailboxAddress.Parse("MAILER-DAEMON@relay.test"), [], IsToHosted: true));

    /// <summary>RET of what is accepted.</summary>
    public DsnReturn Return { get; set; }

    public RelayGateMetrics Metrics => _metrics;

    public ReplyRuleBook Rules { get; }

    public LocalAddresses Local { get; } = new(TimeProvider.System);

    public DeliveryService Service { get; }

    public Task AcceptAsync(params string[] recipients) =>
        AcceptAsync([.. recipients.Select(r => new EnvelopeRecipient(new ForwardPath(MailboxAddress.Parse(r))))]);

    public async Task AcceptAsync(params EnvelopeRecipient[] recipients)
    {
        OfferedMessage template = Queue.Message(Queue.Account());
        OfferedMessage message = template with { Envelope = template.Envelope with { Recipients = [.. recipients], Return = Return } };
        Assert.Equal(OfferOutcome.Committed, (await Queue.OfferAsync(message)).Outcome);
    }

    /// <summary>Waits until something is so, 20 s at most.</summary>
    public static async Task UntilAsync(Func<Task<bool>> condition)
    {
        for (int i = 0; i < 1000; i++)
        {
            if (await condition())
                return;
            await Task.Delay(20);
        }
        Assert.Fail("It did not come to pass");
    }

    public Task UntilSettledAsync() => UntilAsync(async () => Queue.Scheduler.InFlight == 0 && await Queue.Count("recipient", "state = 0") == 0);

    /// <summary>Moves the clock until the next message comes, 60 s at most; the looks into the store and what is under way may end before each step.</summary>
    public async Task<ReceivedMessage> AdvanceUntilNextAsync(FakeNextHop hop, TimeSpan step, TimeSpan atMost)
    {
        DateTimeOffset end = Queue.Time.GetUtcNow() + atMost;
        long started = TimeProvider.System.GetTimestamp();
        while (hop.Messages.IsEmpty && TimeProvider.System.GetElapsedTime(started) < TimeSpan.FromSeconds(60))
        {
            // Past its end the clock creeps on, so that a look which was put off still happens.
            Queue.Time.Advance(Queue.Time.GetUtcNow() < end ? step : TimeSpan.FromSeconds(1));
            await Queue.Count("message");
            await Task.Delay(30);
            await UntilAsync(async () => Queue.Scheduler.InFlight == 0 && await Queue.Count("message") >= 0);
        }
        return await hop.NextAsync();
    }

    public async ValueTask DisposeAsync()
    {
        using var now = new CancellationTokenSource();
        await now.CancelAsync();
        await Service.StopAsync(now.Token);
        Service.Dispose();
        Control.Dispose();
        Rules.Dispose();
        Queue.Dispose();
        _metrics.Dispose();
    }
}
