using System.Collections.Immutable;
using System.Net;
using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using RelayGate.Configuration;
using RelayGate.Core.Mail;
using RelayGate.Core.Messages;
using RelayGate.Core.Policy;
using RelayGate.Core.Smtp;
using RelayGate.Queue;
using RelayGate.Storage;
using RelayGate.Telemetry;
using RelayGate.Tests.Delivery;
using RelayGate.Tests.Fakes;

namespace RelayGate.Tests.Queue;

/// <summary>A real store in a folder of its own, with writer and, when asked for, scheduler. <see cref="Reopen"/> is a restart.</summary>
internal sealed class QueueFixture : IDisposable
{
    private readonly TempFolder? _folder;
    private readonly ulong _run = (ulong)Random.Shared.NextInt64();
    private QueueScheduler? _scheduler;
    private SuspendedDestinations? _destinations;
    private int _ids;
    private long _lastSeq = 1_000_000_000; // Beyond what the writer counts.

    /// <param name="folder">A folder that stays; null: one of its own.</param>
    public QueueFixture(string? folder = null)
    {
        _folder = folder is null ? new TempFolder() : null;
        Folder = folder ?? _folder!.Path;
        Options = new RelayGateOptions();
        Options.Storage.MinimumFree = 0;
        Open();
    }

    public RelayGateOptions Options { get; }

    public RelayGateMetrics Metrics { get; } = new();

    public ManualTimeProvider Time { get; } = new();

    /// <summary>Writes into <see cref="LogLines"/> once it is started.</summary>
    public MailLog MailLog => field ??= new MailLog(Metrics, Time, NullLogger<MailLog>.Instance, new MailLogOutput(LogLines));

    public MemoryStream LogLines { get; } = new();

    public string Folder { get; }

    public string File => Path.Combine(Folder, SqliteRelayStore.FileName);

    public SqliteRelayStore Store { get; private set; } = null!;

    public UsageTable Usage { get; private set; } = null!;

    public QueueWriter Writer { get; private set; } = null!;

    /// <summary>What the directory would say of every subscription.</summary>
    public AccountVersion Version { get; set; }

    public HashSet<string> Suspended { get; } = [];

    /// <summary>Suspended domains and mailboxes.</summary>
    public HashSet<string> SuspendedSenders { get; } = [];

    public Suspensions Suspensions => new([.. Suspended], [.. SuspendedSenders]);

    /// <summary>What the disk would say.</summary>
    public long FreeOctets { get; set; } = long.MaxValue;

    /// <summary>What looking at the disk throws.</summary>
    public Exception? SpaceFault { get; set; }

    /// <summary>Made at first use: until then committed messages stay in the store alone.</summary>
    public QueueScheduler Scheduler => _scheduler ??= NewScheduler();

    /// <summary>Whose account is looked up at release.</summary>
    public Func<SenderIdentity, SenderAccount>? AccountOf { get; set; }

    public SenderLookup Lookup => (identity, _, _, _) => ValueTask.FromResult(AccountOf?.Invoke(identity) ?? Account());

    public WaitingMail Waiting { get; private set; } = null!;

    public QueueAdministration NewAdministration() => new(Store, Writer, Scheduler, Lookup, Forecast, Ender, MailLog, Time, (_, _, _, _) => new(Egress));

    public SuspendedDestinations Destinations => _destinations ??= new SuspendedDestinations(Store, Writer, Waiting, Time);

    /// <summary>How a message ends that is returned by hand; without a DSN, as here nobody writes one.</summary>
    public MessageEnder Ender { get; set; } = new(
        (message, status, text) => ValueTask.FromResult(new MessageEnd(
            new DeliveryJob(message, message.Recipients),
            new DeliveryAttempt(
                message.ReceivedAt.AddSeconds(1), TimeSpan.Zero, "local", "", "", "", null,
                [.. message.Recipients.Select(r => new RecipientResult(r, DeliveryResult.Failed, text, status, NextAttempt: null))]),
            null)),
        (_, _) => { });

    public HoldForecast Forecast => new(Store, Usage, Lookup, Options.Delivery.Retry.GiveUpAfter);

    public HoldReleaser NewReleaser() => new(Store, Writer, Scheduler, Usage, Lookup, MailLog, Time, NullLogger<HoldReleaser>.Instance);

    public SuspendedMail NewSuspendedMail(HoldReleaser releaser) =>
        new(Store, Writer, Scheduler, releaser, () => Suspensions, Time, NullLogger<SuspendedMail>.Instance);

    public int LaneBound { get; set; } = 100;

    /// <summary>Null: by domain, with <see cref="LaneBound"/>.</summary>
    public DestinationLanes? Lanes { get; set; }

    public long WindowOctets { get; set; } = 64L * 1024 * 1024;

    public int MaxKnownRows { get; set; } = 131_072;

    /// <summary>Where accepted messages leave from.</summary>
    public EgressChoice Egress { get; set; } = new(new EgressAddress(IPAddress.Parse("192.0.2.11"), "mail.acme.test"), null, "relay.example.net", "subscription-address");

    /// <param name="stopped">How long it is before the next start.</param>
    public void Reopen(TimeSpan stopped = default)
    {
        Close();
        Time.Advance(stopped);
        Open();
    }

    public QueueId NewId() => QueueId.Create(Time.GetUtcNow(), (ushort)Interlocked.Increment(ref _ids), _run);

    /// <summary>An account of a mailbox with one limit at its subscription.</summary>
    public SenderAccount Account(string subscription = "acme", string limit = "unlimited")
    {
        Assert.True(LimitSet.TryParse(limit, out LimitSet? limits));
        return new SenderAccount
        {
            Identity = new SenderIdentity(IdentityKind.Login, $"info@{subscription}.test", IPAddress.Loopback),
            Version = Version,
            Subscription = subscription,
            Plan = "basic",
            Levels =
            [
                new LevelLimit(AccountKey.Server, LimitSet.Unlimited, "Limits:Defaults:Server"),
                new LevelLimit(new AccountKey(Level.Plan, "basic"), LimitSet.Unlimited, "Limits:Defaults:Plan"),
                new LevelLimit(new AccountKey(Level.Subscription, subscription), limits, "own"),
                new LevelLimit(new AccountKey(Level.Domain, $"{subscription}.test"), LimitSet.Unlimited, "Limits:Defaults:Domain"),
                new LevelLimit(new AccountKey(Level.Mailbox, $"info@{subscription}.test"), LimitSet.Unlimited, "Limits:Defaults:Mailbox"),
            ],
            Mailbox = MailboxAddress.Parse($"info@{subscription}.test"),
            DefaultSender = MailboxAddress.Parse($"info@{subscription}.test"),
            ReversePathOwner = DomainOwner.Own,
            HeaderFromOwner = DomainOwner.Own,
            MaxMessageOctets = 50_000_000,
            MaxRecipients = 1000,
        };
    }

    public OfferedMessage Message(SenderAccount account, params string[] recipients) => Message(account, "A body.\r\n", recipients);

    public OfferedMessage Message(SenderAccount account, string body, params string[] recipients)
    {
        if (recipients.Length == 0)
            recipients = ["bob@example.org"];
        var envelope = new Envelope(
            new ReversePath(account.Mailbox), [.. recipients.Select(r => new EnvelopeRecipient(new ForwardPath(MailboxAddress.Parse(r))))], EnvelopeId: "env+1");
        byte[] octets = Encoding.UTF8.GetBytes(body);
        byte[] header = Encoding.ASCII.GetBytes($"From: {account.Mailbox}\r\nSubject: hello\r\n\r\n");
        var facts = new MessageFacts
        {
            Octets = header.Length + octets.Length,
            FromFields = 1,
            From = [account.Mailbox!],
            HasDate = true,
            HasMessageId = true,
            MessageId = "<1@test>",
            Subject = "hello",
        };
        var early = new Decision
        {
            Verdict = Verdict.Accept,
            Reason = Reasons.Accepted,
            Reply = SmtpReply.Parse("250 2.0.0 Accepted"),
            ReversePath = envelope.ReversePath,
            Egress = Egress,
        };
        return new OfferedMessage
        {
            Id = NewId(),
            ReceivedAt = Time.GetUtcNow(),
            Source = new SubmissionSource("local", "client.test", "ESMTPA"),
            Account = account,
            Envelope = envelope,
            Facts = facts,
            Early = early,
            HeaderSection = header,
            HeaderChanges = ["+Received"],
            Body = MessageBody.FromBytes(octets),
        };
    }

    public async Task<OfferResult> OfferAsync(OfferedMessage message)
    {
        OfferResult result = await Writer.OfferAsync(message, CancellationToken.None).WaitAsync(TimeSpan.FromSeconds(20));
        message.Body.Release();
        return result;
    }

    public async Task<OfferedMessage> AcceptAsync(SenderAccount account, params string[] recipients)
    {
        OfferedMessage message = Message(account, recipients);
        Assert.Equal(OfferOutcome.Committed, (await OfferAsync(message)).Outcome);
        return message;
    }

    /// <summary>Waits until the scheduler's first write is over: it comes when it comes, and could take a failure meant for another's.</summary>
    public async Task UntilTakenOverAsync()
    {
        _ = Scheduler;
        await DeliveryGateway.UntilAsync(async () => await Count("setting_state", "name = 'queue_taken_over'") == 1);
        await Writer.WriteAsync(_ => 0); // The batch it was in has ended, too.
    }

    public async Task<DeliveryJob> TakeAsync()
    {
        using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        return (await Scheduler.TakeAsync(deadline.Token))!;
    }

    public DeliveryAttempt Attempt(DeliveryJob job, DeliveryResult result, TimeSpan? next = null) => new(
        Time.GetUtcNow(), TimeSpan.FromMilliseconds(12), "end-of-data", "mx.example.org", "203.0.113.5:25", "192.0.2.11", null,
        [.. job.Recipients.Select(r => new RecipientResult(
            r, result, result == DeliveryResult.Delivered ? "250 2.0.0 Ok" : result == DeliveryResult.Failed ? "550 5.1.1 No such user" : "451 4.7.1 Greylisted",
            null, result == DeliveryResult.Deferred ? Time.GetUtcNow() + (next ?? TimeSpan.FromMinutes(5)) : null))]);

    public async Task EndAsync(DeliveryJob job, DeliveryResult result, TimeSpan? next = null, PreparedDsn? dsn = null)
    {
        await Writer.CompleteAsync(job, Attempt(job, result, next), dsn).WaitAsync(TimeSpan.FromSeconds(20));
        Scheduler.Complete(job);
    }

    /// <summary>Rows that are due, or will be, without their way through the writer.</summary>
    /// <param name="body">Octets of the body.</param>
    public Task<int> DueAsync(string subscription, int messages, Func<int, string> recipientOf, int body = 9, TimeSpan later = default, string? waitsFor = null) => Writer.RunAsync(
        context =>
        {
            long due = (Time.GetUtcNow() + later).ToUnixTimeMilliseconds();
            const string Message = """
                insert into message (seq, id, subscription, reverse_path, flags, dsn_return, egress, octets, held, header, body)
                values (?, ?, ?, 'info@acme.test', 0, 0, ?, ? + 15, 0, cast('Subject: hi' || char(13, 10, 13, 10) as blob), zeroblob(?))
                """;
            const string Recipient = """
                insert into recipient (message, position, subscription, address, notify, state, attempts, next_attempt, waits_for, delay_noticed)
                values (?, 0, ?, ?, 0, 0, 1, ?, ?, 0)
                """;
            for (int i = 0; i < messages; i++)
            {
                long seq = ++_lastSeq;
                context.Prepared(Message).Bind(1, seq).Bind(2, QueueId.Create(Time.GetUtcNow(), 0, (ulong)Random.Shared.NextInt64()).ToBytes())
                    .Bind(3, subscription).Bind(4, EgressText.Format(Egress)).Bind(5, body).Bind(6, body).Execute();
                context.Prepared(Recipient).Bind(1, seq).Bind(2, subscription).Bind(3, recipientOf(i)).Bind(4, due).Bind(5, waitsFor).Execute();
            }
            return messages;
        },
        CancellationToken.None);

    public Task<long> Count(string table, string where = "1") => Store.ReadRawAsync(connection => connection.Scalar($"select count(*) from {table} where {where}"), default);

    public Task<string> Text(string sql) => Store.ReadRawAsync(
        connection =>
        {
            using var statement = new SqliteStatement(connection.Connection.Handle!, sql);
            return statement.Step() ? statement.Text(0) : "(none)";
        },
        default);

    public void Dispose()
    {
        Close();
        _folder?.Dispose();
    }

    private void Open()
    {
        Store = SqliteRelayStore.Open(Folder);
        Usage = new UsageTable(Store, Time);
        Writer = new QueueWriter(
            Store, Usage, _ => Version, Options, Metrics, Time, NullLogger<QueueWriter>.Instance,
            new FreeSpace(() => SpaceFault is { } fault ? throw fault : FreeOctets, () => System.IO.File.Exists(File), 1, Time, NullLogger.Instance));
        Waiting = new WaitingMail(Store, Writer, Time);
    }

    private QueueScheduler NewScheduler() => new(
        Store, Writer, Lanes ?? new DestinationLanes((_, r) => r.ForwardPath.Address.DomainText, _ => LaneBound), () => Suspensions, Options.Delivery.Retry.First, Time,
        NullLogger<QueueScheduler>.Instance, WindowOctets, MaxKnownRows);

    private void Close()
    {
        _scheduler?.Dispose();
        _scheduler = null;
        _destinations = null;
        Writer.Dispose();
        Store.Dispose();
    }
}
