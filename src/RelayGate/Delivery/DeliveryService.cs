using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using RelayGate.Configuration;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Core.Replies;
using RelayGate.Egress;
using RelayGate.Queue;
using RelayGate.Replies;
using RelayGate.Telemetry;
using RelayGate.Tls;

namespace RelayGate.Delivery;

/// <summary>Takes jobs from the queue, attempts them, and commits what came of it (steps 8 to 12 of a message's way).</summary>
/// <remarks>
/// Four workers for each connection that is allowed, so that those who wait for a stuck next hop's connection leave enough for the others; a
/// worker is a waiting continuation, not a thread. An IHostedService with tasks of its own, because
/// a BackgroundService that is stopped right after its start may never run, and what was taken must be drained.
/// </remarks>
public sealed partial class DeliveryService : IHostedService, IDisposable
{
    private const int WorkersPerConnection = 4;

    private const double SlowOctetsPerSecond = 100_000;

    private static readonly TimeSpan Grace = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan SlowAfter = TimeSpan.FromSeconds(30);

    private readonly QueueScheduler _scheduler;
    private readonly QueueWriter _writer;
    private readonly WaitingMail _waiting;
    private readonly EgressLookup _egress;
    private readonly RelayGateOptions _options;
    private readonly RelayGateMetrics _metrics;
    private readonly ReplyRuleBook _rules;
    private readonly MailLog _mailLog;
    private readonly TimeProvider _time;
    private readonly ILogger<DeliveryService> _logger;
    private readonly ConnectionPool _pool;
    private readonly Deliverer _deliverer;
    private readonly AttemptRecorder _recorder;
    private readonly DsnOriginLookup _dsnOrigin;
    private readonly DsnPlanner _dsnPlanner;
    private readonly CancellationTokenSource _stopping = new();
    private readonly CancellationTokenSource _aborting = new();
    private Task[] _workers = [];

    public DeliveryService(
        QueueScheduler scheduler, QueueWriter writer, WaitingMail waiting, SuspendedDestinations suspended, EgressStates states, NextHopResolver resolver, TlsPlanner tls, TrustedAuthorities authorities, EgressLookup egress, EgressPermission mayLeaveFrom, IPv6Switch ipv6OffBy, LocalAddresses local, ChunkReader readChunk, DsnOriginLookup dsnOrigin, ReplyRuleBook rules, RelayGateOptions options,
        RelayGateMetrics metrics, MailLog mailLog, TimeProvider time, ILogger<DeliveryService> logger)
    {
        _scheduler = scheduler;
        _writer = writer;
        _waiting = waiting;
        _egress = egress;
        _options = options;
        _metrics = metrics;
        _rules = rules;
        _mailLog = mailLog;
        _dsnOrigin = dsnOrigin;
        _time = time;
        _logger = logger;
        _pool = new ConnectionPool(options.Delivery, time, readChunk, rules, authorities);
        _deliverer = new Deliverer(resolver, tls, mayLeaveFrom, ipv6OffBy, local, _pool, suspended, states, options.Delivery, metrics, time) { SiteFound = scheduler.Learn, LoginRefused = refusal => LoginRefused?.Invoke(refusal) };
        _dsnPlanner = new DsnPlanner(options, OriginAsync, OwnMail.NewId);
        _recorder = new AttemptRecorder(options.Delivery);
    }

    /// <summary>The connections to next hops.</summary>
    public ConnectionFigures Connections() => _pool.Figures();

    /// <summary>A smarthost would not have us log in as configured. On the thread of a delivery; must not block.</summary>
    public event Action<LoginRefusal>? LoginRefused;

    public Task StartAsync(CancellationToken cancellationToken)
    {
        _workers = [.. Enumerable.Range(0, WorkersPerConnection * _options.Delivery.Connections.Total).Select(_ => Task.Run(WorkAsync, CancellationToken.None))];
        return Task.CompletedTask;
    }

    /// <summary>Takes no more jobs and lets those under way end; what is left after 10 s, or when <paramref name="cancellationToken"/> fires, is cut off and deferred.</summary>
    public async Task StopAsync(CancellationToken cancellationToken)
    {
        await _stopping.CancelAsync();
        Task drained = Task.WhenAll(_workers);
        try
        {
            await drained.WaitAsync(Grace, _time, cancellationToken);
        }
        catch (Exception e) when (e is OperationCanceledException or TimeoutException)
        {
            await _aborting.CancelAsync();
            _pool.Abort();
            _writer.EndRetries();
            await drained; // Every wait of a worker is on the pool, its sessions or the writer: none of them is without end now.
        }
        _pool.CloseIdle();
    }

    public void Dispose()
    {
        _pool.Dispose();
        _stopping.Dispose();
        _aborting.Dispose();
    }

    private async Task WorkAsync()
    {
        while (!_stopping.IsCancellationRequested)
        {
            DeliveryJob? job;
            try
            {
                job = await _scheduler.TakeAsync(_stopping.Token);
            }
            catch (OperationCanceledException)
            {
                return;
            }
            if (job is null)
                return;
            await RunAsync(job);
        }
    }

    /// <summary>One job from attempt to commit. The one place where a fault of delivery is caught: it defers this job and no other.</summary>
    private async Task RunAsync(DeliveryJob job)
    {
        JobEnd end = JobEnd.Neutral;
        try
        {
            foreach (JobPart part in await _deliverer.PartsOfAsync(job, _aborting.Token))
            {
                end = await RunAsync(part);
                job.End();
            }
        }
        catch (OperationCanceledException) when (_aborting.IsCancellationRequested)
        {
            // The rows keep their next attempt.
        }
        catch (Exception e)
        {
            Log.DeliveryFault(_logger, e, job.Message.Id.ToString());
        }
        finally
        {
            _scheduler.Complete(job, end);
        }
    }

    /// <summary>What goes by one way: an attempt of its own.</summary>
    private async Task<JobEnd> RunAsync(JobPart part)
    {
        DateTimeOffset startedAt = _time.GetUtcNow();
        long started = _time.GetTimestamp();
        long stamp = _waiting.Stamp;
        if (part.Job.Message is { Egress.MustWait: true } without) // Accepted while there was no address for it.
            part = part with { Job = part.Job.From(await EgressOrders.GiveAsync(_writer, _egress, without, startedAt, _aborting.Token)) };
        DeliveryJob job = part.Job;
        AttemptResult result = await AttemptAsync(part);
        TimeSpan took = _time.GetElapsedTime(started);
        if (result.IsNoAttempt || (result.Wait is { } wait && await PutOffAsync(job, result, wait, startedAt + took, stamp)))
            return JobEnd.Neutral;
        DeliveryAttempt attempt = _recorder.Record(job, result, startedAt, took, Random.Shared.NextDouble());
        PreparedDsn? dsn = await PlanDsnAsync(job, attempt);
        CompletionResult done = await _writer.CompleteAsync(job, attempt, dsn);
        if (!done.IsWritten)
            return JobEnd.Neutral;
        Tell(job, attempt, dsn, done);
        if (result.AddressWait is var (waitsFor, _) && _waiting.HasEnded(waitsFor, stamp))
            await _waiting.WakeWaitersAsync(waitsFor); // By hand, while the refusal was on its way into the store.
        return EndOf(job, result, took - result.Waited);
    }

    /// <summary>Slow is what takes half a minute, and more for large messages: a session that is held for so long is as good as stuck.</summary>
    private static JobEnd EndOf(DeliveryJob job, AttemptResult result, TimeSpan took)
    {
        if (took > SlowAfter + TimeSpan.FromSeconds(job.Message.Octets / SlowOctetsPerSecond))
            return JobEnd.Unserved;
        if (Array.Exists(result.Outcomes, static o => o!.Code != 0))
            return JobEnd.Served;
        return result.Stage == DeliveryStage.Local ? JobEnd.Neutral : JobEnd.Unserved;
    }

    /// <summary>Whatever ends the attempt, what the next hop has said by then counts: those it has taken must not be attempted again.</summary>
    private async Task<AttemptResult> AttemptAsync(JobPart part)
    {
        DeliveryJob job = part.Job;
        var result = new AttemptResult(job.Recipients.Length, _time);
        try
        {
            await _deliverer.AttemptAsync(part, result, _aborting.Token);
        }
        catch (OperationCanceledException) when (_aborting.IsCancellationRequested)
        {
            result.IsNoAttempt = result.IsEmpty; // The rows keep their next attempt.
            result.DecideRest(RecipientOutcome.Local(OutcomeKind.Deferred, "4.3.2", "The gateway stopped before the attempt had ended"));
        }
        catch (Exception e)
        {
            Log.DeliveryFault(_logger, e, job.Message.Id.ToString());
            result.DecideRest(RecipientOutcome.Local(OutcomeKind.Deferred, "4.3.0", "An error inside the gateway stopped the attempt; its log has the details"));
        }
        return result;
    }

    /// <summary>A report that cannot be written must not undo the attempt: its outcome would be lost, and what was delivered would be delivered again.</summary>
    private async ValueTask<PreparedDsn?> PlanDsnAsync(DeliveryJob job, DeliveryAttempt attempt)
    {
        try
        {
            return await _dsnPlanner.PlanAsync(job, attempt);
        }
        catch (Exception e)
        {
            Log.DsnFault(_logger, e, job.Message.Id.ToString());
            return null;
        }
    }

    /// <summary>Where accounts cannot be asked, the report goes out all the same, unsigned.</summary>
    private async ValueTask<DsnOrigin> OriginAsync(QueuedMessage about, CancellationToken cancellationToken)
    {
        try
        {
            return await _dsnOrigin(about, cancellationToken);
        }
        catch (Exception e)
        {
            Log.DsnOriginFault(_logger, e, about.Id.ToString());
            return new DsnOrigin(MailboxAddress.Parse($"{DsnOrigin.LocalPart}@{_options.Hostname}"), [], IsToHosted: true);
        }
    }

    private void Tell(DeliveryJob job, DeliveryAttempt attempt, PreparedDsn? dsn, CompletionResult done)
    {
        _metrics.DeliveryAttempted(attempt.Duration);
        foreach (HostRefusal passed in attempt.HostRefusals)
            TellPassed(job, attempt, passed);
        foreach (RecipientResult result in attempt.Results)
        {
            (MailEventKind kind, string label) = result.Result switch
            {
                DeliveryResult.Delivered => (MailEventKind.Delivered, "delivered"),
                DeliveryResult.Deferred => (MailEventKind.Deferred, "deferred"),
                _ => (MailEventKind.Failed, "failed"),
            };
            _metrics.Deliveries.Increment(label);
            string? refusal = result.Finding is { } finding ? result.Host is not null ? ReplyClassNames.NameOf(finding.Class) : CountRefusal(finding) : null;
            AttemptHost host = attempt.HostOf(result);
            _mailLog.Write(new MailEvent(kind, job.Message.Id)
            {
                Subscription = job.Message.Subscription,
                Recipient = result.Recipient.ForwardPath,
                NextHop = host.NextHop,
                Remote = host.Remote,
                Provider = host.Provider,
                Class = refusal,
                Local = host.Local,
                Tls = host.Tls,
                Duration = attempt.Duration,
                NextAttempt = result.NextAttempt,
                Reply = result.Reply,
            });
        }
        TellDsn(job, dsn, done);
    }

    private void TellPassed(DeliveryJob job, DeliveryAttempt attempt, HostRefusal passed)
    {
        string? refusal = null;
        for (int i = 0; i < passed.Recipients && passed.Finding is { } finding; i++)
            refusal = CountRefusal(finding);
        _mailLog.Write(new MailEvent(MailEventKind.Passed, job.Message.Id)
        {
            Subscription = job.Message.Subscription,
            Recipient = attempt.Results[passed.Recipient].Recipient.ForwardPath,
            Recipients = passed.Recipients,
            NextHop = passed.NextHop,
            Remote = passed.Remote,
            Provider = passed.Provider,
            Local = passed.Local,
            Class = refusal,
            Reply = passed.Reply,
        });
    }

    /// <returns>The word for its class.</returns>
    private string CountRefusal(ReplyFinding finding)
    {
        string word = ReplyClassNames.NameOf(finding.Class);
        _metrics.Refusals.Increment(_rules.Current.IsNamed(finding.Provider) ? finding.Provider : RelayGateMetrics.OtherProvider, word);
        return word;
    }

    private void TellDsn(DeliveryJob job, PreparedDsn? dsn, CompletionResult done)
    {
        if (done.Suppression != DsnSuppression.None)
            _metrics.SuppressedDsns.Increment(DsnSuppressions.Word(done.Suppression));
        if (dsn is not null && done.HasDsn)
        {
            _metrics.Dsns.Increment();
            _mailLog.Write(new MailEvent(MailEventKind.Dsn, dsn.Id) { Original = job.Message.Id, Recipient = dsn.Recipient, Subscription = job.Message.Subscription });
        }
    }
}
