using System.Collections.Immutable;
using System.Diagnostics;
using System.Net;
using System.Text;
using Microsoft.Data.Sqlite;
using Microsoft.Extensions.Logging.Abstractions;
using RelayGate.Accounts;
using RelayGate.Configuration;
using RelayGate.Core.Mail;
using RelayGate.Core.Messages;
using RelayGate.Core.Policy;
using RelayGate.Queue;
using RelayGate.Storage;
using RelayGate.Telemetry;
using RelayGate.Tests.Fakes;
using SQLitePCL;

namespace RelayGate.Tests.Queue;

/// <summary>What goes wrong when a batch is committed.</summary>
internal enum BatchFault
{
    None,

    /// <summary>The batch is rolled back and its writes run again one by one.</summary>
    Statement,

    /// <summary>No room: what brings mail fails.</summary>
    Full,

    /// <summary>Broken I/O: the store is opened anew, and nothing of the batch was written.</summary>
    IoBeforeCommit,

    /// <summary>Broken I/O after the commit had reached the disk: the batch is taken back.</summary>
    IoAfterCommit,
}

/// <summary>One offer of a schedule.</summary>
/// <param name="Who">Index into <see cref="ExactnessRig.Senders"/>.</param>
/// <param name="IsForward">Somebody has sent it on: it is of that class.</param>
internal sealed record ScheduledOffer(int Who, int Recipients, bool IsForward);

/// <summary>What the engine said of one offer.</summary>
/// <param name="Moment">Offers of one batch share one.</param>
/// <param name="Usage">Time of the usage clock.</param>
/// <param name="Decision">Null: it failed, and counts nothing, or it was held before and is released now.</param>
/// <param name="Counts">It fills windows from now on.</param>
/// <param name="WasWaiting">Mail waited somewhere for room when it came.</param>
internal sealed record Ruled(
    int Moment, QueueId Id, DateTimeOffset Usage, SenderAccount Account, MessageClass Class, int Recipients, Decision? Decision, bool Counts, bool WasWaiting = false);

/// <summary>Store, writer, usage and accounts as the gateway puts them together, without sessions; and time, which a test moves.</summary>
internal sealed class ExactnessRig : IDisposable
{
    private readonly List<TempFolder> _folders = [];
    private readonly RelayGateOptions _options = new();
    private readonly RelayGateMetrics _metrics = new();
    private SqliteRelayStore _store = null!;
    private QueueWriter _writer = null!;
    private AccountDirectory _directory = null!;
    private QueueScheduler _scheduler = null!;
    private MailLog _log = null!;
    private HoldReleaser _releaser = null!;
    private readonly Dictionary<QueueId, OfferedMessage> _held = [];
    private int _ids;
    private int _moment;

    /// <param name="template">A store with the accounts of <see cref="CreateAccountsAsync"/>; null: none yet.</param>
    public ExactnessRig(DateTimeOffset start, string? template = null)
    {
        Time = new ManualTimeProvider(start);
        _options.Storage.MinimumFree = 0;
        _options.Limits.Defaults.Mailbox = _options.Limits.Defaults.Domain = _options.Limits.Defaults.Subscription = "unlimited";
        _folders.Add(new TempFolder());
        if (template is not null)
            CopyStore(template, Folder);
        Open();
        Start = Usage.Now;
    }

    /// <summary>Who sends: identity and reverse-path.</summary>
    public static ImmutableArray<(SenderIdentity Identity, string Sender)> Senders { get; } =
    [
        (new SenderIdentity(IdentityKind.Login, "a@one.test", IPAddress.Loopback), "a@one.test"),
        (new SenderIdentity(IdentityKind.Login, "b@one.test", IPAddress.Loopback), "b@one.test"),
        (new SenderIdentity(IdentityKind.Login, "c@two.test", IPAddress.Loopback), "c@two.test"),
        (new SenderIdentity(IdentityKind.Login, "d@three.test", IPAddress.Loopback), "d@three.test"),
        (new SenderIdentity(IdentityKind.Uid, "#4242", Process: new PeerProcess(4242)), "web@one.test"),
        (new SenderIdentity(IdentityKind.Uid, "#4242", Process: new PeerProcess(4242)), "web@elsewhere.example"),
        (new SenderIdentity(IdentityKind.Network, "203.0.113.0/24", IPAddress.Parse("203.0.113.7")), "x@three.test"),
        (new SenderIdentity(IdentityKind.Network, "203.0.113.0/24", IPAddress.Parse("203.0.113.7")), "x@elsewhere.example"),
    ];

    /// <summary>All objects that have limits; the last ones for one class.</summary>
    public static ImmutableArray<AccountKey> Objects { get; } =
    [
        AccountKey.Server, new(Level.Plan, "basic"), new(Level.Subscription, "acme"), new(Level.Subscription, "zeta"), new(Level.Domain, "one.test"),
        new(Level.Domain, "two.test"), new(Level.Domain, "three.test"), new(Level.Mailbox, "a@one.test"), new(Level.Mailbox, "b@one.test"), new(Level.Mailbox, "d@three.test"),
        new(Level.Subscription, "acme", MessageClass.Forward), new(Level.Domain, "one.test", MessageClass.Local), new(Level.Mailbox, "a@one.test", MessageClass.Forward),
    ];

    public ManualTimeProvider Time { get; }

    public string Folder => _folders[^1].Path;

    public UsageTable Usage { get; private set; } = null!;

    /// <summary>Of the usage clock.</summary>
    public DateTimeOffset Start { get; }

    /// <summary>Time that has really passed.</summary>
    public TimeSpan Elapsed { get; private set; }

    /// <summary>The wall clock was set back where nobody could tell: the usage clock may be behind from then on.</summary>
    public bool MayBeBehind { get; private set; }

    /// <summary>Everything offered, in order.</summary>
    public List<Ruled> Log { get; } = [];

    public async Task CreateAccountsAsync()
    {
        AccountAdministration accounts = Accounts();
        Ok(await accounts.AddPlanAsync("basic", default));
        Ok(await accounts.AddSubscriptionAsync("acme", new SubscriptionChange(Plan: "basic", SystemUsers: ["#4242"]), default));
        Ok(await accounts.AddSubscriptionAsync("zeta", new SubscriptionChange(Plan: "basic"), default));
        Ok(await accounts.AddDomainAsync("one.test", new DomainChange(Subscription: "acme"), default));
        Ok(await accounts.AddDomainAsync("two.test", new DomainChange(Subscription: "acme"), default));
        Ok(await accounts.AddDomainAsync("three.test", new DomainChange(Subscription: "zeta"), default));
        foreach ((SenderIdentity identity, _) in Senders.Where(s => s.Identity.Kind == IdentityKind.Login))
            Ok(await accounts.AddMailboxAsync(identity.Name, (string?)null, default));
        Ok(await accounts.AddNetworkAsync("203.0.113.0/24", "zeta", false, false, default));
    }

    /// <param name="boost">More for two hours; 0: none.</param>
    public async Task LimitAsync(AccountKey key, string value, OverLimitAction action, bool isEnforced, int boost)
    {
        Ok(await Accounts().SetLimitAsync(key, null, new LimitChange(value, action, Enforce: isEnforced), default));
        if (boost > 0)
            Ok(await Accounts().BoostLimitAsync(key, boost, TimeSpan.FromHours(2), default));
    }

    /// <summary>Messages that wait for room.</summary>
    public int Held => _held.Count;

    /// <summary>Minute by minute while mail is held, so that the time of each release is known.</summary>
    public async Task AdvanceAsync(TimeSpan by)
    {
        while (by > TimeSpan.Zero)
        {
            TimeSpan next = TimeSpan.FromTicks(TimeSpan.TicksPerMinute - Usage.Now.Ticks % TimeSpan.TicksPerMinute);
            TimeSpan part = _held.Count == 0 || by < next ? by : next;
            Advance(part);
            by -= part;
            await SettleAsync();
        }
    }

    /// <summary>Waits until the releaser has done all it can do now, and notes what it released.</summary>
    public async Task SettleAsync()
    {
        long began = Stopwatch.GetTimestamp();
        while (!_releaser.IsIdle)
        {
            Assert.True(Stopwatch.GetElapsedTime(began) < TimeSpan.FromSeconds(10), "the releaser does not come to rest");
            await Task.Delay(1);
        }
        if (_held.Count == 0)
            return;
        HashSet<QueueId> waiting = await IdsAsync("select id from message where held <> 0");
        foreach ((QueueId id, OfferedMessage message) in _held.Where(h => !waiting.Contains(h.Key)).ToList())
        {
            _held.Remove(id);
            Log.Add(new Ruled(++_moment, id, Usage.Now, message.Account, message.Early.Class!.Value, message.Envelope.Recipients.Length, null, true));
        }
    }

    private void Advance(TimeSpan by)
    {
        Time.Advance(by);
        Elapsed += by;
    }

    public void StepWallClock(TimeSpan by) => Time.StepWallClock(by);

    /// <summary>Offers that wait together for one commit, as parallel sessions make them.</summary>
    public async Task OfferAsync(IReadOnlyList<ScheduledOffer> offers, BatchFault fault = BatchFault.None)
    {
        _moment++;
        using var gate = new ManualResetEventSlim();
        var stands = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Task gathered = _writer.WriteAsync(_ => 0, _ =>
        {
            stands.SetResult();
            gate.Wait(TimeSpan.FromSeconds(10)); // The writer's thread: what comes now waits for one commit.
        });
        await stands.Task;
        bool isWaiting = _held.Count > 0;
        var waiting = new List<(OfferedMessage Message, Task<OfferResult> Result)>();
        foreach (ScheduledOffer offer in offers)
        {
            (OfferedMessage message, Decision early) = await PrepareAsync(offer);
            if (early.Verdict is Verdict.Accept or Verdict.Hold)
            {
                waiting.Add((message, _writer.OfferAsync(message, default)));
                continue;
            }
            Record(message, early, isWaiting);
            _writer.RecordRefusal(new RefusedOffer
            {
                Id = message.Id,
                ReceivedAt = message.ReceivedAt,
                Source = message.Source,
                Account = message.Account,
                Identity = message.Account.Identity,
                Envelope = message.Envelope,
                Decision = early,
                Stage = "MAIL",
            });
            message.Body.Release();
        }
        _writer.CommitFault = waiting.Count == 0 ? default : FaultOnce(fault);
        gate.Set();
        await gathered;
        foreach ((OfferedMessage message, Task<OfferResult> result) in waiting)
        {
            OfferResult ruled = await result.WaitAsync(TimeSpan.FromSeconds(10));
            message.Body.Release();
            bool isCommitted = ruled.Outcome == OfferOutcome.Committed;
            Record(message, ruled.Decision, isWaiting || _held.Count > 0, isCommitted && ruled.Decision!.IsAccepted);
            if (isCommitted && ruled.Decision!.Verdict == Verdict.Hold)
                _held.Add(message.Id, message);
        }
        _writer.CommitFault = default;
        await _writer.WriteAsync(_ => 0); // Opens a store that was closed, and takes back what was answered with 451.
        await SettleAsync();
    }

    /// <summary>Stops and starts again.</summary>
    /// <param name="setBack">How far the wall clock is set back while nothing runs.</param>
    public async Task RestartAsync(TimeSpan stopped, TimeSpan setBack)
    {
        Close();
        StartAgain(stopped, setBack);
        await SettleAsync();
    }

    /// <summary>What a killed process leaves behind is opened again.</summary>
    public async Task CrashAsync(TimeSpan stopped, TimeSpan setBack)
    {
        if (Usage.StepSinceNoted.Duration() >= TimeSpan.FromSeconds(10))
        {
            await AdvanceAsync(TimeSpan.FromMinutes(1)); // Docs/decisions/0003: within a minute it is noted.
            await _writer.WriteAsync(_ => 0);
            Assert.True(Usage.StepSinceNoted.Duration() < TimeSpan.FromSeconds(10), "the clocks were not noted");
        }
        if (Usage.StepSinceNoted > TimeSpan.Zero) // A smaller step is not, and cannot be told from time that passed.
        {
            await RestartAsync(stopped, setBack);
            return;
        }
        MayBeBehind |= Usage.StepSinceNoted < TimeSpan.Zero;
        var folder = new TempFolder();
        CopyStore(Folder, folder.Path);
        Close();
        _folders.Add(folder);
        StartAgain(stopped, setBack);
        await SettleAsync();
    }

    /// <summary>Ids that the decision log calls accepted.</summary>
    public Task<HashSet<QueueId>> AcceptedAsync() => IdsAsync("select id from decision where verdict = 2");

    private Task<HashSet<QueueId>> IdsAsync(string sql) => _store.ReadRawAsync(
        connection =>
        {
            var ids = new HashSet<QueueId>();
            SqliteStatement row = connection.Prepared(sql);
            while (row.Step())
                ids.Add(QueueId.FromBytes(row.Blob(0)));
            return ids;
        },
        default);

    public void Dispose()
    {
        Close();
        foreach (TempFolder folder in _folders)
            folder.Dispose();
    }

    private static (Action? Before, Action? After) FaultOnce(BatchFault fault)
    {
        bool isDue = true;
        Action fail = () =>
        {
            if (!isDue)
                return;
            isDue = false;
            throw fault switch
            {
                BatchFault.Statement => new InvalidOperationException("a bug"),
                BatchFault.Full => new SqliteException("disk full", raw.SQLITE_FULL),
                _ => new SqliteException("disk I/O error", raw.SQLITE_IOERR),
            };
        };
        return fault switch
        {
            BatchFault.None => default,
            BatchFault.IoAfterCommit => (null, fail),
            _ => (fail, null),
        };
    }

    private void Record(OfferedMessage message, Decision? decision, bool isWaiting, bool counts = false) =>
        Log.Add(new Ruled(_moment, message.Id, Usage.Now, message.Account, message.Early.Class!.Value, message.Envelope.Recipients.Length, decision, counts, isWaiting));

    /// <summary>The session's part: the early decision with the last known usage.</summary>
    private async Task<(OfferedMessage Message, Decision Early)> PrepareAsync(ScheduledOffer offer)
    {
        (SenderIdentity identity, string sender) = Senders[offer.Who];
        MailboxAddress address = MailboxAddress.Parse(sender);
        var envelope = new Envelope(
            new ReversePath(address), [.. Enumerable.Range(0, offer.Recipients).Select(n => new EnvelopeRecipient(new ForwardPath(MailboxAddress.Parse($"r{n}@example.org"))))]);
        var facts = new MessageFacts { Octets = 10, FromFields = 1, From = [address], HasDate = true, HasMessageId = true, MessageId = "<1@test>", Subject = "hello", HasResentFields = offer.IsForward };
        AccountLookup lookup = await _directory.LookUpAsync(identity, envelope.ReversePath, [address], default);
        Decision early = RelayPolicy.Decide(lookup.Account, lookup.Usage, envelope, facts);
        var message = new OfferedMessage
        {
            Id = QueueId.Create(Time.GetUtcNow(), 0, (ulong)++_ids),
            ReceivedAt = Time.GetUtcNow(),
            Source = new SubmissionSource("local", "client.test", "ESMTPA"),
            Account = lookup.Account,
            Envelope = envelope,
            Facts = facts,
            Early = early,
            HeaderSection = Encoding.ASCII.GetBytes($"From: {sender}\r\n\r\n"),
            HeaderChanges = [],
            Body = MessageBody.FromBytes(Encoding.ASCII.GetBytes("x\r\n")),
        };
        return (message, early);
    }

    private void StartAgain(TimeSpan stopped, TimeSpan setBack)
    {
        Advance(stopped);
        Time.StepWallClock(-setBack);
        MayBeBehind |= setBack > TimeSpan.Zero;
        Open();
    }

    private static void CopyStore(string from, string to)
    {
        foreach (string suffix in (string[])["", "-wal"])
        {
            string file = Path.Combine(from, SqliteRelayStore.FileName + suffix);
            if (File.Exists(file))
                File.Copy(file, Path.Combine(to, SqliteRelayStore.FileName + suffix));
        }
    }

    private static void Ok<T>(AdminResult<T> result)
        where T : class => Assert.True(result.IsOk, result.Error?.Message);

    private AccountAdministration Accounts() => new(_store, _writer, _directory, Usage, Time);

    private void Open()
    {
        _store = SqliteRelayStore.Open(Folder);
        Usage = new UsageTable(_store, Time, capacity: 4); // So few that rings leave memory all the time.
        _writer = new QueueWriter(
            _store, Usage, name => _directory.VersionOf(name), _options, _metrics, Time, NullLogger<QueueWriter>.Instance,
            new FreeSpace(() => long.MaxValue, () => true, 1, Time, NullLogger.Instance));
        _directory = new AccountDirectory(_store, Usage, _options, Time);
        _writer.Reopened += _directory.Forget;
        _log = new MailLog(_metrics, Time, NullLogger<MailLog>.Instance, new MailLogOutput(Stream.Null));
        _scheduler = new QueueScheduler(
            _store, _writer, new DestinationLanes((_, _) => "smarthost", _ => 1), () => Suspensions.None, TimeSpan.FromMinutes(1), Time, NullLogger<QueueScheduler>.Instance, 64L * 1024 * 1024);
        _releaser = new HoldReleaser(
            _store, _writer, _scheduler, Usage,
            async (identity, path, from, cancellationToken) => (await _directory.LookUpAsync(identity, path, from, cancellationToken)).Account,
            _log, Time, NullLogger<HoldReleaser>.Instance);
    }

    private void Close()
    {
        _releaser.Dispose();
        _scheduler.Dispose();
        _writer.Dispose();
        _directory.Dispose();
        _store.Dispose();
    }
}
