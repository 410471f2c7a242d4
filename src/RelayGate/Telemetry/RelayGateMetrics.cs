using System.Diagnostics;
using System.Diagnostics.Metrics;
using System.Reflection;
using RelayGate.Core.Notices;
using RelayGate.Core.Policy;
using RelayGate.Core.Replies;

namespace RelayGate.Telemetry;

/// <summary>All figures of the gateway, on one meter named "RelayGate". Labels come from closed sets: never a mailbox, domain or recipient.</summary>
public sealed class RelayGateMetrics : IDisposable
{
    public const string MeterName = "RelayGate";

    /// <summary>Label of providers that the reply rules have no name for.</summary>
    public const string OtherProvider = "other";

    private static readonly string[] Transient =
        [Reasons.TooManyRecipients, Reasons.TooManySessions, Reasons.LimitReached, Reasons.HoldFull, Reasons.StoreFull, Reasons.StoreFailed, Reasons.AccountChanged];

    private static readonly string[] Paths = ["login", "uid", "network", "none"];

    private readonly Histogram<double> _deliverySeconds;
    private readonly Histogram<double> _commitSeconds;
    private readonly Histogram<int> _batchWrites;
    private long _sessions;
    private volatile Func<IEnumerable<(string State, long Count)>>? _queueMessages;
    private volatile Func<double>? _queueOldestSeconds;
    private volatile Func<long>? _queueMemory;
    private volatile Func<long>? _inFlight;

    public RelayGateMetrics()
    {
        Meter = new Meter(MeterName, Version);
        Submissions = new LabelledCounter(Meter, "relaygate_submissions_total", "Mail transactions by how the identity was proved and how they ended.", ["path", "result"],
            Sets(Paths, ["accepted", "refused", "deferred", "held"]));
        Messages = new LabelledCounter(Meter, "relaygate_messages_total", "Decisions by outcome and reason.", ["outcome", "reason"],
            [.. Reasons.All.Select(r => (r == Reasons.Accepted ? "accepted" : Transient.Contains(r) ? "deferred" : "refused", r)), ("held", Reasons.LimitReached)]);
        Classes = new LabelledCounter(Meter, "relaygate_message_classes_total", "Mail transactions by the class of the message, as far as it was known, and how they ended.", ["class", "result"],
            Sets([.. Enum.GetValues<MessageClass>().Select(static c => c.Word())], ["accepted", "refused", "deferred", "held"]));
        RecipientRefusals = new LabelledCounter(Meter, "relaygate_recipient_refusals_total", "Recipients refused alone, without their message, by reason.", ["reason"],
            (Reasons.NeedsSmtpUtf8, ""), (Reasons.NoLocalContact, ""), (Reasons.TooManyRecipients, ""));
        LimitRefusals = new LabelledCounter(Meter, "relaygate_limit_refusals_total", "Transactions refused because a limit was reached, by the level that refused.", ["level"],
            [.. Enum.GetNames<Level>().Select(l => (l.ToLowerInvariant(), ""))]);
        Deliveries = new LabelledCounter(Meter, "relaygate_deliveries_total", "Recipients by the result of one delivery attempt.", ["result"],
            ("delivered", ""), ("deferred", ""), ("failed", ""));
        PutOffs = new LabelledCounter(Meter, "relaygate_put_offs_total", "Recipients that were put off without an attempt, by what they wait for.", ["cause"],
            ("ip", ""), ("to", ""), ("provider", ""), ("egress", ""));
        TlsPolicies = new LabelledCounter(Meter, "relaygate_tls_policy_total", "Sessions with next hops, and those that came to nothing before one, by the TLS policy in force and what came of it.", ["policy", "result"],
            [("may", "ok"), ("dane", "ok"), ("sts", "ok")]);
        Refusals = new LabelledCounter(Meter, "relaygate_delivery_refusals_total", "Recipients refused by next hops, by provider and by what the refusal is about.", ["provider", "class"],
            [.. ReplyClassNames.All.Skip(1).Select(static c => (OtherProvider, c))])
        { MaxLabelSets = 1500 };
        Dsns = new LabelledCounter(Meter, "relaygate_dsns_total", "Delivery status notifications put into the queue.", []);
        SuppressedDsns = new LabelledCounter(Meter, "relaygate_dsns_suppressed_total", "Delivery status notifications not sent because a bound was reached; their failures are recorded.", ["reason"],
            ("per-sender", ""), ("backscatter", ""));
        Authentications = new LabelledCounter(Meter, "relaygate_auth_total", "AUTH exchanges by mechanism and result.", ["mech", "result"],
            Sets(["PLAIN", "LOGIN", "SCRAM-SHA-256"], ["accepted", "rejected", "refused", "try-later", "cancelled", "malformed"]));
        Guessing = new LabelledCounter(Meter, "relaygate_password_guessing_total", "Times that an address or a login had failed so often that it is refused.", ["object"],
            ("address", ""), ("login", ""));
        EgressMismatches = new LabelledCounter(Meter, "relaygate_egress_mismatch_total", "Connections closed because the local address was not the decided one. Stays 0.", []);
        EgressDenials = new LabelledCounter(Meter, "relaygate_egress_denied_total", "Attempts stopped because the egress address is exclusive to another subscription now.", []);
        EgressBindFailures = new LabelledCounter(Meter, "relaygate_egress_bind_failures_total", "Connections not made because the egress address could not be bound.", []);
        SessionsRefused = new LabelledCounter(Meter, "relaygate_smtp_sessions_refused_total", "Sessions turned away with 421 at the start.", ["reason"],
            ("max", ""), ("per-address", ""), ("per-identity", ""), ("stopping", ""));
        SessionsTotal = new LabelledCounter(Meter, "relaygate_smtp_sessions_total", "SMTP sessions opened.", []);
        DroppedLogLines = new LabelledCounter(Meter, "relaygate_mail_log_dropped_total", "Mail-log lines dropped because the channel was full.", []);
        DroppedRefusals = new LabelledCounter(Meter, "relaygate_refusal_records_dropped_total", "Refusals without a decision record: too many waited for the store, or it failed.",
            ["reason"], ("backlog", ""), ("store", ""));
        StoreErrors = new LabelledCounter(Meter, "relaygate_store_errors_total", "Batches that failed, by kind.", ["kind"], ("statement", ""), ("io", ""), ("full", ""));
        Notices = new LabelledCounter(Meter, "relaygate_notices_total", "Notices raised, by kind; repeats included.", ["kind"],
            [.. NoticeKinds.All.Select(k => (NoticeKinds.Word(k), ""))]);
        NoticeMails = new LabelledCounter(Meter, "relaygate_notice_mails_total", "Mails of notices put into the queue.", []);
        ReportMails = new LabelledCounter(Meter, "relaygate_report_mails_total", "Mails of reports put into the queue.", []);
        TlsReports = new LabelledCounter(Meter, "relaygate_tls_reports_total", "Attempts to send TLS reports (RFC 8460), by what became of the report for one receiver.", ["result"],
            ("sent", ""), ("deferred", ""), ("failed", ""));
        DroppedNotices = new LabelledCounter(Meter, "relaygate_notices_dropped_total", "Notices that nobody is told of: too many waited, or too many in one period.", ["reason"],
            ("backlog", ""), ("flood", ""), ("webhook", ""), ("fault", ""));
        WebhookAttempts = new LabelledCounter(Meter, "relaygate_webhook_attempts_total", "Attempts to deliver to webhooks, by what became of the delivery.", ["result"],
            ("delivered", ""), ("deferred", ""), ("failed", ""));

        Meter.CreateObservableGauge("relaygate_smtp_sessions", () => Interlocked.Read(ref _sessions), "1", "SMTP sessions open now.");
        Meter.CreateObservableGauge("relaygate_queue_messages", ObserveQueue, "1", "Messages in the queue: active (in an attempt or next in turn), deferred or held.");
        Meter.CreateObservableGauge("relaygate_queue_oldest_seconds", () => _queueOldestSeconds?.Invoke() ?? 0, "s", "Age of the oldest message that has a recipient to serve.");
        Meter.CreateObservableGauge("relaygate_queue_memory_bytes", () => QueueMemory, "By", "Messages of the queue in memory.");
        Meter.CreateObservableGauge("relaygate_queue_memory_limit_bytes", () => QueueMemoryLimit, "By", "What messages of the queue may use of the memory.");
        Meter.CreateObservableGauge("relaygate_deliveries_in_flight", () => _inFlight?.Invoke() ?? 0, "1", "Delivery attempts that run now.");
        Meter.CreateObservableGauge("relaygate_delivery_connections", ObserveConnections, "1", "Connections to next hops: used by a delivery, or idle.");
        Meter.CreateObservableGauge("relaygate_delivery_connections_awaited", () => Connections?.Invoke().Waiting ?? 0, "1", "Deliveries that wait because a bound of connections is reached.");
        Meter.CreateObservableGauge("relaygate_egress_state", ObserveEgress, "1", "Local addresses whose mail waits or goes slower, at a provider or everywhere: 1 slowed, 2 paused, 3 resting.");
        Meter.CreateObservableGauge("relaygate_build_info", () => new Measurement<long>(1, new KeyValuePair<string, object?>("version", Version)), "1", "Always 1; the label is the version.");
        Meter.CreateObservableCounter("process_cpu_seconds_total", () => Environment.CpuUsage.TotalTime.TotalSeconds, "s", "CPU time of the process.");
        Meter.CreateObservableGauge("process_resident_memory_bytes", () => Environment.WorkingSet, "By", "Resident memory of the process.");
        Meter.CreateObservableGauge("dotnet_gc_heap_bytes", () => GC.GetTotalMemory(false), "By", "Managed heap.");
        _deliverySeconds = Meter.CreateHistogram<double>("relaygate_delivery_duration_seconds", "s", "Duration of one delivery attempt, connecting included.");
        _commitSeconds = Meter.CreateHistogram<double>("relaygate_store_commit_seconds", "s", "Duration of one commit of the writer's batch.");
        _batchWrites = Meter.CreateHistogram<int>("relaygate_store_batch_writes", "1", "Writes in one batch.");
    }

    /// <summary>Version of this build, without the commit.</summary>
    public static string Version { get; } =
        typeof(RelayGateMetrics).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion.Split('+')[0] ?? "0";

    public Meter Meter { get; }

    /// <summary>Labels: path (login, uid, network, none), result (accepted, refused, deferred, held).</summary>
    public LabelledCounter Submissions { get; }

    /// <summary>Labels: outcome (accepted, refused, deferred, held), reason (<see cref="Reasons"/>).</summary>
    public LabelledCounter Messages { get; }

    /// <summary>Labels: class (<see cref="MessageClass"/>), result (accepted, refused, deferred, held). Only what the policy was asked about.</summary>
    public LabelledCounter Classes { get; }

    /// <summary>Label: reason (<see cref="Reasons"/>). Recipients refused at RCPT whose message may go on without them; not in <see cref="Messages"/>.</summary>
    public LabelledCounter RecipientRefusals { get; }

    /// <summary>Label: level in lower case.</summary>
    public LabelledCounter LimitRefusals { get; }

    /// <summary>Label: delivered, deferred or failed; one for each recipient of an attempt.</summary>
    public LabelledCounter Deliveries { get; }

    /// <summary>By the first word of a wait: ip, to, provider.</summary>
    public LabelledCounter PutOffs { get; }

    /// <summary>Labels: the policy's word (none, may, encrypt, verify, sts, dane), and ok or a result type of RFC 8460 §4.3.</summary>
    public LabelledCounter TlsPolicies { get; }

    /// <summary>Labels: provider (a name of the reply rules, else other), class (<see cref="ReplyClassNames"/>); one for each recipient of an attempt.</summary>
    public LabelledCounter Refusals { get; }

    public LabelledCounter Dsns { get; }

    /// <summary>Label: per-sender or backscatter.</summary>
    public LabelledCounter SuppressedDsns { get; }

    /// <summary>Labels: mechanism (PLAIN, LOGIN, SCRAM-SHA-256), result (accepted, rejected, refused, try-later, cancelled, malformed).</summary>
    public LabelledCounter Authentications { get; }

    /// <summary>Label: address or login.</summary>
    public LabelledCounter Guessing { get; }

    public LabelledCounter EgressMismatches { get; }

    public LabelledCounter EgressDenials { get; }

    public LabelledCounter EgressBindFailures { get; }

    /// <summary>Label: max, per-address, per-identity or stopping.</summary>
    public LabelledCounter SessionsRefused { get; }

    public LabelledCounter SessionsTotal { get; }

    public LabelledCounter DroppedLogLines { get; }

    /// <summary>Label: backlog or store.</summary>
    public LabelledCounter DroppedRefusals { get; }

    /// <summary>Label: statement, io or full.</summary>
    public LabelledCounter StoreErrors { get; }

    /// <summary>Label: kind of the notice.</summary>
    public LabelledCounter Notices { get; }

    public LabelledCounter NoticeMails { get; }

    public LabelledCounter ReportMails { get; }

    /// <summary>Label: sent, deferred or failed.</summary>
    public LabelledCounter TlsReports { get; }

    /// <summary>Label: backlog, flood, webhook or fault.</summary>
    public LabelledCounter DroppedNotices { get; }

    /// <summary>Label: delivered, deferred or failed.</summary>
    public LabelledCounter WebhookAttempts { get; }

    /// <summary>Messages taken and held since the start.</summary>
    public long Held => Paths.Sum(path => Submissions.Value(path, "held"));

    /// <summary>SMTP sessions open now.</summary>
    public long OpenSessions => Interlocked.Read(ref _sessions);

    public void SessionOpened()
    {
        Interlocked.Increment(ref _sessions);
        SessionsTotal.Increment();
    }

    public void SessionClosed() => Interlocked.Decrement(ref _sessions);

    /// <summary>Counts one decision: by identity, by reason and, where a limit refused, by level.</summary>
    public void Decided(IdentityKind path, Decision decision)
    {
        string outcome = decision.Verdict switch
        {
            Verdict.Accept => "accepted",
            Verdict.Hold => "held",
            Verdict.Defer => "deferred",
            _ => "refused",
        };
        Submissions.Increment(PathName(path), outcome);
        Messages.Increment(outcome, decision.Reason);
        if (decision.Class is { } messageClass && path != IdentityKind.None)
            Classes.Increment(messageClass.Word(), outcome);
        if (decision.Stopped is { } stopped && !decision.IsTaken)
            LimitRefusals.Increment(LevelName(stopped.Key.Level));
    }

    public void DeliveryAttempted(TimeSpan duration) => _deliverySeconds.Record(duration.TotalSeconds);

    /// <param name="writes">Writes in the batch.</param>
    public void BatchCommitted(int writes, TimeSpan duration)
    {
        _batchWrites.Record(writes);
        _commitSeconds.Record(duration.TotalSeconds);
    }

    /// <summary>Sets where the queue's figures come from; asked at each scrape, must not block.</summary>
    public void ObserveQueue(Func<IEnumerable<(string State, long Count)>> messages, Func<double> oldestSeconds, Func<long> memoryOctets, Func<long> inFlight)
    {
        _queueMessages = messages;
        _queueOldestSeconds = oldestSeconds;
        _queueMemory = memoryOctets;
        _inFlight = inFlight;
    }

    /// <summary>Octets that messages of the queue may have in memory (<c>Delivery:MemoryOctets</c>).</summary>
    public long QueueMemoryLimit { get; set; }

    /// <summary>Octets of the queue's messages in memory.</summary>
    public long QueueMemory => _queueMemory?.Invoke() ?? 0;

    /// <summary>Who tells of the states of local addresses: address, provider ("" for everywhere) and number.</summary>
    public Func<IEnumerable<(string Address, string Provider, int State)>>? EgressStates { get; set; }

    /// <summary>Who tells of the connections to next hops.</summary>
    public Func<ConnectionFigures>? Connections { get; set; }

    /// <summary>Messages in the queue by state, as far as somebody tells.</summary>
    public IEnumerable<(string State, long Count)> QueueMessages() => _queueMessages?.Invoke() ?? [];

    public void Dispose() => Meter.Dispose();

    private IEnumerable<Measurement<long>> ObserveQueue() =>
        QueueMessages().Select(m => new Measurement<long>(m.Count, new KeyValuePair<string, object?>("state", m.State)));

    private IEnumerable<Measurement<long>> ObserveConnections()
    {
        ConnectionFigures figures = Connections?.Invoke() ?? default;
        return [new(figures.Open - figures.Idle, new KeyValuePair<string, object?>("state", "used")), new(figures.Idle, new KeyValuePair<string, object?>("state", "idle"))];
    }

    private IEnumerable<Measurement<long>> ObserveEgress() => (EgressStates?.Invoke() ?? []).Select(static s => new Measurement<long>(
        s.State, new KeyValuePair<string, object?>("egress_ip", s.Address), new KeyValuePair<string, object?>("provider", s.Provider)));

    private static string PathName(IdentityKind kind) => kind switch
    {
        IdentityKind.Login => "login",
        IdentityKind.Uid => "uid",
        IdentityKind.Network => "network",
        _ => "none",
    };

    private static string LevelName(Level level) => level switch
    {
        Level.Server => "server",
        Level.Plan => "plan",
        Level.Subscription => "subscription",
        Level.Domain => "domain",
        _ => "mailbox",
    };

    private static (string, string)[] Sets(string[] first, string[] second) => [.. first.SelectMany(_ => second, (a, b) => (a, b))];
}
