using System.Collections.Immutable;
using System.Data.Common;
using Microsoft.Extensions.Logging;
using RelayGate.Configuration;
using RelayGate.Core.Dkim;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Storage;
using RelayGate.Telemetry;

namespace RelayGate.Queue;

/// <summary>The one writer of the store: everything that must be durable goes through here, in batches, one fsync each (DESIGN §6).</summary>
/// <remarks>
/// A thread of its own takes what waits, runs it in one transaction, commits once and completes the waiters. There is no timer: while one
/// commit is on its way to the disk, the next batch gathers. <c>QueueWriter.Batches.cs</c> holds the thread and what it does about errors.
/// </remarks>
public sealed partial class QueueWriter : IDisposable
{
    private static readonly TimeSpan AlarmInterval = TimeSpan.FromMinutes(1);

    private readonly SqliteRelayStore _store;
    private readonly UsageTable _usage;
    private readonly RelayGateOptions _options;
    private readonly RelayGateMetrics _metrics;
    private readonly TimeProvider _time;
    private readonly ILogger<QueueWriter> _logger;
    private readonly FreeSpace _space;
    private readonly WriteMailbox _mailbox = new();
    private readonly RecordBufferPool _buffers = new();
    private readonly RefusalRecorder _refusals;
    private readonly UsageBatch _usageBatch;
    private readonly ScriptBursts _bursts;
    private readonly WriteContext _context;
    private readonly WalCheckpointer _checkpointer;
    private readonly ITimer _retryTimer;
    private readonly ITimer _alarmTimer;
    private readonly Thread _thread;
    private int _disposed;
    private int _missingLogged;

    /// <summary>Opens the writer's connection and starts its thread.</summary>
    /// <param name="versionOf">The current version of a subscription's accounts (AccountDirectory.VersionOf).</param>
    public QueueWriter(
        SqliteRelayStore store, UsageTable usage, Func<string?, AccountVersion> versionOf, RelayGateOptions options, RelayGateMetrics metrics,
        TimeProvider time, ILogger<QueueWriter> logger)
        : this(store, usage, versionOf, options, metrics, time, logger,
            FreeSpace.Of(store.Path, options.Storage.MinimumFree, time, logger))
    {
    }

    internal QueueWriter(
        SqliteRelayStore store, UsageTable usage, Func<string?, AccountVersion> versionOf, RelayGateOptions options, RelayGateMetrics metrics,
        TimeProvider time, ILogger<QueueWriter> logger, FreeSpace space)
    {
        _store = store;
        _usage = usage;
        _options = options;
        _metrics = metrics;
        _time = time;
        _logger = logger;
        _space = space;
        _refusals = new RefusalRecorder(_mailbox.TryAdd, _buffers, metrics.DroppedRefusals, time);
        _usageBatch = new UsageBatch(usage);
        _bursts = new ScriptBursts(options.Scripts, time);
        _context = new WriteContext(_usageBatch, versionOf);
        _context.Attach(store.OpenWriteConnection());
        _usageBatch.LoadAlarms(_context.Connection);
        _usageBatch.Crossed = Tell;
        _checkpointer = new WalCheckpointer(store, metrics, time, logger);
        _alarmTimer = time.CreateTimer(_ => EveryMinute(), null, AlarmInterval, AlarmInterval);
        _retryTimer = time.CreateTimer(_ => RetryOutcomes(), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        _thread = new Thread(Run) { IsBackground = true, Name = "store write" };
        _thread.Start();
    }

    /// <summary>The store was closed and opened again after broken I/O: whatever was cached of it is to be read again. Runs on the writer's thread.</summary>
    public event Action? Reopened;

    /// <summary>A script sends much more than it usually does: once for each such episode. Runs on the writer's thread.</summary>
    public event Action<ScriptBurst>? ScriptBurst
    {
        add => _bursts.Found += value;
        remove => _bursts.Found -= value;
    }

    /// <summary>Outcomes of deliveries wait to become durable: no new delivery may start, and submission answers 452.</summary>
    public bool OutcomesWait => Volatile.Read(ref _retainedCount) > 0;

    /// <summary>The records that were committed last.</summary>
    public RecordFeed Feed => _context.Feed;

    /// <summary>A limit was warned of, exceeded, or has recovered: once for each crossing. Runs on the writer's thread after the commit; must not block.</summary>
    public event Action<LimitCrossing>? LimitCrossed;

    /// <summary>Outcomes that waited are durable. Runs on the writer's thread.</summary>
    internal event Action? OutcomesWritten;

    /// <summary>Makes the binding decision and commits the message with usage and record. 250 only after <see cref="OfferOutcome.Committed"/>.</summary>
    /// <param name="cancellationToken">Holds only until the writer has taken the write.</param>
    public async Task<OfferResult> OfferAsync(OfferedMessage message, CancellationToken cancellationToken)
    {
        if (!_space.IsPresent)
            return FileMissing();
        if (!HasRoom)
            return new OfferResult(OfferOutcome.StoreFull, null);
        var write = new OfferWrite(message, _buffers, FirstAttempt);
        await AddAsync(write, cancellationToken);
        using CancellationTokenRegistration deadline = ExpireAt(write, cancellationToken);
        return await write.Done;
    }

    /// <summary>Records a refusal without waiting for the commit. Returns the ref to name in the reply: floods are merged into one record.</summary>
    public QueueId RecordRefusal(RefusedOffer refusal) => _refusals.Record(refusal);

    /// <summary>Writes one chunk of a body over <see cref="MessageBody.ChunkOctets"/> ahead of its message; orphans are collected.</summary>
    /// <param name="octets">Not to be changed until the task has ended.</param>
    /// <param name="cancellationToken">Holds only until the writer has taken the write.</param>
    public async Task<OfferOutcome> WriteChunkAsync(QueueId id, int sequence, ReadOnlyMemory<byte> octets, CancellationToken cancellationToken)
    {
        if (!_space.IsPresent)
            return FileMissing().Outcome;
        if (!HasRoom)
            return OfferOutcome.StoreFull;
        var write = new ChunkWrite(id, sequence, octets);
        await AddAsync(write, cancellationToken);
        using CancellationTokenRegistration deadline = ExpireAt(write, cancellationToken);
        return await write.Done;
    }

    /// <summary>Any other change (accounts, limits, holding and deleting), as one write of a batch; an exception rolls back this write alone and is rethrown.</summary>
    /// <param name="write">Runs on the writer's thread inside its transaction; again if the batch has to be rerun.</param>
    /// <param name="committed">Runs on the writer's thread after the commit and before the next batch: invalidates caches.</param>
    /// <param name="cancellationToken">Holds only until the writer has taken the write.</param>
    public Task<T> WriteAsync<T>(Func<DbConnection, T> write, Action<T>? committed = null, CancellationToken cancellationToken = default) =>
        WriteAsync(new ActionWrite<T>(write, committed), cancellationToken);

    /// <summary>Records an attempt, ends or reschedules its recipients and enqueues the DSN, all in one commit. Retried until it is durable.</summary>
    /// <param name="dsn">The DSN that this attempt causes, or null.</param>
    public Task<CompletionResult> CompleteAsync(DeliveryJob job, DeliveryAttempt attempt, PreparedDsn? dsn) => CompleteAsync(job, attempt, dsn, still: null);

    /// <summary>Ends a message that is not in an attempt, as a failed attempt would.</summary>
    /// <param name="still">Asked on the writer's thread whether the message still stands as it did when its end was planned; if not, nothing happens.</param>
    internal Task<CompletionResult> EndAsync(MessageEnd end, Func<WriteContext, bool> still) => CompleteAsync(end.Job, end.Attempt, end.Dsn, still);

    private async Task<CompletionResult> CompleteAsync(DeliveryJob job, DeliveryAttempt attempt, PreparedDsn? dsn, Func<WriteContext, bool>? still)
    {
        var write = new CompletionWrite(
            job, attempt, dsn, _options.Dsn, _buffers, _time.GetUtcNow(), _options.Retention.FailedContent, FirstAttempt, still);
        await _mailbox.AddAsync(write, CancellationToken.None);
        return await write.Done;
    }

    /// <summary>Stores that a job is put off. Not retried: its rows have a next attempt in any case.</summary>
    internal async Task<CompletionResult> PutOffAsync(DeliveryJob job, PutOff wait, DateTimeOffset until, Func<bool> isOver, PutOffEntry? told)
    {
        var write = new PutOffWrite(job, wait, until, isOver, told, _options.Dsn, _buffers, _time.GetUtcNow(), FirstAttempt);
        await _mailbox.AddAsync(write, CancellationToken.None);
        return await write.Done;
    }

    /// <summary>Delivery is cut off: outcomes that wait are tried once more, and what cannot be written then, or later, fails instead of waiting for ever.</summary>
    public void EndRetries()
    {
        _retriesEnded = true;
        _mailbox.Wake();
    }

    /// <summary>Writes what still waits, then closes the writer's connection. Outcomes that cannot be written are tried once more.</summary>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
            return;
        _mailbox.Close();
        _thread.Join();
        _retryTimer.Dispose();
        _alarmTimer.Dispose();
        _checkpointer.Dispose();
    }

    /// <summary>Takes over committed messages and due times.</summary>
    internal void Attach(Action<QueuedMessage> enqueued, Action<DateTimeOffset> rescheduled)
    {
        _context.Enqueued = enqueued;
        _context.Rescheduled = rescheduled;
    }

    /// <summary>Tells of mail that waits for room from now on.</summary>
    internal void AttachHolds(Action<AccountKey, DateTimeOffset> held) => _context.Held = held;

    /// <summary>As WriteAsync, for changes of the queue itself.</summary>
    internal Task<T> RunAsync<T>(Func<WriteContext, T> write, CancellationToken cancellationToken, Action<T>? committed = null) =>
        WriteAsync(new ActionWrite<T>(write, committed), cancellationToken);

    /// <summary>Holds messages whose rows cannot be understood, for a human to look at: they hold up nobody.</summary>
    internal Task<bool> ParkAsync(IReadOnlyList<long> rowIds) => RunAsync(
        context =>
        {
            foreach (long rowId in rowIds)
                MessageRows.Park(context, rowId, _time.GetUtcNow());
            return true;
        },
        CancellationToken.None);

    /// <summary>Runs on the writer's thread before and after a commit: tests throw there what a failing disk would.</summary>
    internal (Action? Before, Action? After) CommitFault { get; set; }

    internal WalCheckpointer Checkpointer => _checkpointer;

    private DateTimeOffset FirstAttempt => _time.GetUtcNow() + _options.Delivery.Retry.First;

    /// <summary>The mail is durable, whatever becomes of the news.</summary>
    private void Tell(LimitCrossing crossing)
    {
        try
        {
            LimitCrossed?.Invoke(crossing);
        }
        catch (Exception e)
        {
            Log.WriterFault(_logger, e);
        }
    }

    private void EveryMinute()
    {
        if (_usage.StepSinceNoted.Duration() >= UsageTable.Stepped)
            _ = _mailbox.TryAdd(new ActionWrite<bool>(NoteClocks, null));
        if (_usageBatch.Alarms > 0)
            _ = _mailbox.TryAdd(new ActionWrite<bool>(Sweep, null)); // A mailbox that is full is tried again in a minute.

        static bool Sweep(WriteContext context)
        {
            context.Usage.SweepAlarms(context.Connection);
            return true;
        }
    }

    private bool HasRoom => !OutcomesWait && _space.IsEnough;

    private OfferResult FileMissing()
    {
        if (Interlocked.Exchange(ref _missingLogged, 1) == 0)
            Log.StoreMissing(_logger, _store.Path);
        return new OfferResult(OfferOutcome.StoreFailed, null);
    }

    private static CancellationTokenRegistration ExpireAt(PendingWrite write, CancellationToken cancellationToken) =>
        cancellationToken.UnsafeRegister(static write => ((PendingWrite)write!).Expire(), write);

    private async Task<T> WriteAsync<T>(ActionWrite<T> write, CancellationToken cancellationToken)
    {
        await AddAsync(write, cancellationToken);
        using CancellationTokenRegistration deadline = ExpireAt(write, cancellationToken);
        return await write.Done;
    }

    /// <summary>Puts a write into the mailbox, or ends it when the deadline passed before there was room or the writer has stopped.</summary>
    private async ValueTask AddAsync(PendingWrite write, CancellationToken cancellationToken)
    {
        try
        {
            await _mailbox.AddAsync(write, cancellationToken);
        }
        catch (Exception e) when (e is OperationCanceledException or ObjectDisposedException)
        {
            write.Expire();
        }
    }
}

/// <summary>A DSN of our own making, ready for the queue: from the null reverse-path, to the original's reverse-path, by the original's egress.</summary>
public sealed record PreparedDsn(QueueId Id, ForwardPath Recipient, byte[] HeaderSection, byte[] Body, bool HeaderNeedsUtf8, bool BodyIs8Bit)
{
    /// <summary>Positions of the recipients whose delay it tells of: they are marked, so that each has one such notice.</summary>
    public ImmutableArray<int> Delayed { get; init; } = [];

    /// <summary>The keys of its signatures, for the record.</summary>
    public ImmutableArray<DkimKey> SignedBy { get; init; } = [];

    /// <summary>Whether it goes to an address of a domain that is hosted here.</summary>
    public bool IsToHosted { get; init; } = true;
}
