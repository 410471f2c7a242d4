using System.Collections.Immutable;
using System.Net;
using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using RelayGate.Configuration;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Core.Tls;
using RelayGate.Delivery;
using RelayGate.Dns;
using RelayGate.Egress;
using RelayGate.Queue;
using RelayGate.Replies;
using RelayGate.Telemetry;
using RelayGate.Tls;
using RelayGate.Tests.Fakes;

namespace RelayGate.Tests.Delivery;

/// <summary>A deliverer over real sockets, and messages to give it.</summary>
internal sealed class DeliveryHarness : IDisposable
{
    public static readonly DateTimeOffset Now = new(2026, 3, 1, 12, 0, 0, TimeSpan.Zero);
    public const string Header = "From: a@shop.test\r\nTo: b@dest.test\r\nSubject: hi\r\n\r\n";

    private static readonly ReplyRuleBook UsualRules = new(new DeliveryOptions(), TimeProvider.System, NullLogger<ReplyRuleBook>.Instance); // Its patterns are costly to make.

    private readonly Deliverer _deliverer;

    public DeliveryHarness(string nextHop, TimeProvider? time = null, Action<RelayGateOptions>? change = null, Func<RouteTable>? routes = null, StsLookup? sts = null)
    {
        Time = time ?? TimeProvider.System;
        Options.Hostname = "relay.test";
        Options.Delivery.NextHop = nextHop;
        change?.Invoke(Options);
        Metrics = new RelayGateMetrics();
        Rules = Options.Delivery.ReplyRules is null ? UsualRules : new ReplyRuleBook(Options.Delivery, Time, NullLogger<ReplyRuleBook>.Instance);
        Pool = new ConnectionPool(Options.Delivery, Time, (_, sequence, _) => Task.FromResult<ReadOnlyMemory<byte>>(Chunks[sequence]), Rules, new TrustedAuthorities(Options.Delivery.Tls.AuthoritiesPath));
        var dns = new DnsResolver(new DnsServers(Options.Delivery.Resolver ?? "127.0.0.1:1", Time, Options.Delivery.ResolverTrusted), Time);
        Resolver = new NextHopResolver(Options, dns, Rules, routes);
        var tls = new TlsPlanner(Options.Delivery, dns, Time, sts) { Observer = Observations.Add };
        _deliverer = new Deliverer(Resolver, tls, (subscription, local, _) => new(MayLeaveFrom(subscription, local)), (subscription, _) => new(IPv6OffBy(subscription)), Local, Pool, null, new EgressStates(Time), Options.Delivery, Metrics, Time) { LoginRefused = LoginRefusals.Add };
    }

    public TimeProvider Time { get; }

    public RelayGateOptions Options { get; } = new();

    public RelayGateMetrics Metrics { get; }

    public ReplyRuleBook Rules { get; }

    public ConnectionPool Pool { get; }

    public NextHopResolver Resolver { get; }

    /// <summary>What TLS reports are to be made of.</summary>
    public List<TlsObservation> Observations { get; } = [];

    public Func<string, IPAddress, bool> MayLeaveFrom { get; set; } = (_, _) => true;

    public List<LoginRefusal> LoginRefusals { get; } = [];

    public FamilyHealth Health => _deliverer.Health;

    public Func<string, string?> IPv6OffBy { get; set; } = _ => null;

    public LocalAddresses Local { get; } = new(TimeProvider.System);

    public List<byte[]> Chunks { get; } = [];

    /// <summary>Attempts a job; 20 s at most.</summary>
    public async Task<AttemptResult> AttemptAsync(DeliveryJob job)
    {
        var result = new AttemptResult(job.Recipients.Length, Time);
        IReadOnlyList<JobPart> parts = await _deliverer.PartsOfAsync(job, CancellationToken.None);
        if (parts.Count == 1)
        {
            await _deliverer.AttemptAsync(parts[0], result, CancellationToken.None).WaitAsync(TimeSpan.FromSeconds(20));
            return result;
        }
        foreach (JobPart part in parts)
        {
            var some = new AttemptResult(part.Job.Recipients.Length, Time);
            await _deliverer.AttemptAsync(part, some, CancellationToken.None).WaitAsync(TimeSpan.FromSeconds(20));
            for (int i = 0; i < part.Job.Recipients.Length; i++)
                result.Outcomes[job.Recipients.IndexOf(part.Job.Recipients[i])] = some.Outcomes[i];
        }
        return result;
    }

    public Task<AttemptResult> AttemptAsync(string body = "Hello\r\n", params string[] recipients) => AttemptAsync(Job(body, recipients));

    /// <summary>Attempts a job that stalls, and moves the clock in steps over the longest limit until it is over: the client may be behind the server.</summary>
    /// <param name="within">A time after which it still waits.</param>
    public async Task<AttemptResult> AttemptUntilOverAsync(ManualTimeProvider time, Task stalled, TimeSpan within = default, DeliveryJob? job = null)
    {
        Task<AttemptResult> attempt = AttemptAsync(job ?? Job());
        await stalled.WaitAsync(TimeSpan.FromSeconds(10));
        time.Advance(within);
        Assert.False(attempt.IsCompleted);
        while (!attempt.IsCompleted) // AttemptAsync has a bound.
        {
            time.Advance(TimeSpan.FromMinutes(11));
            await Task.WhenAny(attempt, Task.Delay(20));
        }
        return await attempt;
    }

    public void Dispose()
    {
        Pool.Dispose();
        if (Rules != UsualRules)
            Rules.Dispose();
        Metrics.Dispose();
    }

    public static DeliveryJob Job(string body = "Hello\r\n", params string[] recipients) => Job(Message(MessageBody.FromBytes(Encoding.Latin1.GetBytes(body))), recipients);

    public static DeliveryJob Job(QueuedMessage message, params string[] recipients)
    {
        if (recipients.Length == 0)
            recipients = ["b@dest.test"];
        ImmutableArray<QueuedRecipient> queued = [.. recipients.Select((r, i) => Recipient(r, i))];
        return new DeliveryJob(message with { Recipients = queued }, queued);
    }

    public static QueuedRecipient Recipient(string address, int index = 0, DsnNotify notify = DsnNotify.Default, string? original = null, int attempts = 0) =>
        new(index, new ForwardPath(MailboxAddress.Parse(address)), notify, original, RecipientState.Pending, attempts, Now, LastReply: null);

    public static QueuedMessage Message(MessageBody body, string header = Header, string? reversePath = "a@shop.test") => new()
    {
        Id = QueueId.Create(Now, 1, 2),
        RowId = 1,
        Subscription = "acme",
        ReceivedAt = Now,
        ReversePath = reversePath is null ? ReversePath.Null : new ReversePath(MailboxAddress.Parse(reversePath)),
        Recipients = [],
        Egress = EgressFrom("127.0.0.1"),
        HeaderSection = Encoding.UTF8.GetBytes(header),
        Body = body,
    };

    public static EgressChoice EgressFrom(string? ipv4, string? ipv6 = null, string helo = "mail.shop.test") => new(
        ipv4 is null ? null : new EgressAddress(IPAddress.Parse(ipv4), helo), ipv6 is null ? null : new EgressAddress(IPAddress.Parse(ipv6), helo), helo, "subscription-address");
}
