using System.Data.Common;
using Microsoft.Extensions.Logging;
using RelayGate.Configuration;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Storage;

namespace RelayGate.Queue;

/// <summary>The one writer of the store: everything that must be durable goes through here, in batches, one fsync each (DESIGN §6).</summary>
/// <remarks>
/// A thread of its own takes what waits, runs it in one transaction, commits once and completes the waiters. There is no timer: while one
/// commit is on its way to the disk, the next batch gathers. <c>QueueWriter.Batches.cs</c> holds the thread and what it does about errors.
/// </remarks>
public sealed partial class QueueWriter : IDisposable
{
    private readonly SqliteRelayStore _store;
    private readonly UsageTable _usage;
    private readonly Func<string?, AccountVersion> _versionOf;
    private readonly RelayGateOptions _options;
    private readonly TimeProvider _time;
    private readonly ILogger<QueueWriter> _logger;
    private readonly WriteMailbox _mailbox = new();
    private readonly WriteContext _context = new();
    private readonly Thread _thread;

    /// <summary>Opens the writer's connection and starts its thread.</summary>
    /// <param name="versionOf">The current version of a subscription's accounts (AccountDirectory.VersionOf).</param>
    public QueueWriter(
        SqliteRelayStore store, UsageTable usage, Func<string?, AccountVersion> versionOf, RelayGateOptions options, TimeProvider time, ILogger<QueueWriter> logger)
    {
        _store = store;
        _usage = usage;
        _versionOf = versionOf;
        _options = options;
        _time = time;
        _logger = logger;
        _context.Connection = store.OpenWriteConnection();
        _thread = new Thread(Run) { IsBackground = true, Name = "store write" };
        _thread.Start();
    }

    /// <summary>The store was closed and opened again after broken I/O: whatever was cached of it is to be read again. Runs on the writer's thread.</summary>
    public event Action? Reopened;

    /// <summary>Makes the binding decision and commits the message with usage and record. 250 only after <see cref="OfferOutcome.Committed"/>.</summary>
    /// <param name="cancellationToken">Holds only until the writer has taken the write.</param>
    public Task<OfferResult> OfferAsync(OfferedMessage message, CancellationToken cancellationToken) => throw new NotImplementedException();

    /// <summary>Records a refusal without waiting for the commit. Returns the ref to name in the reply: floods are merged into one record.</summary>
    public QueueId RecordRefusal(RefusedOffer refusal) => throw new NotImplementedException();

    /// <summary>Writes one chunk of a body over <see cref="MessageBody.ChunkOctets"/> ahead of its message; orphans are collected.</summary>
    public Task<bool> WriteChunkAsync(QueueId id, int sequence, ReadOnlyMemory<byte> octets, CancellationToken cancellationToken) => throw new NotImplementedException();

    /// <summary>Any other change (accounts, limits, holding and deleting), as one write of a batch; an exception rolls back this write alone and is rethrown.</summary>
    /// <param name="write">Runs on the writer's thread inside its transaction.</param>
    /// <param name="committed">Runs on the writer's thread after the commit and before the next batch: invalidates caches.</param>
    /// <param name="cancellationToken">Holds only until the writer has taken the write.</param>
    public Task<T> WriteAsync<T>(Func<DbConnection, T> write, Action<T>? committed = null, CancellationToken cancellationToken = default) =>
        WriteAsync(new ActionWrite<T>(write, committed), cancellationToken);

    /// <summary>Records an attempt, ends or reschedules its recipients and enqueues the DSN, all in one commit. Retried until it is durable.</summary>
    /// <param name="dsn">The DSN that this attempt causes, or null.</param>
    public Task CompleteAsync(DeliveryJob job, DeliveryAttempt attempt, PreparedDsn? dsn) => throw new NotImplementedException();

    /// <summary>Writes what still waits, then closes the writer's connection.</summary>
    public void Dispose()
    {
        _mailbox.Close();
        _thread.Join();
    }

    internal async Task<T> WriteAsync<T>(ActionWrite<T> write, CancellationToken cancellationToken)
    {
        await AddAsync(write, cancellationToken);
        return await write.Done;
    }

    /// <summary>Puts a write into the mailbox. Returns when it is there; throws when the deadline passed before the writer took it.</summary>
    private async ValueTask AddAsync(PendingWrite write, CancellationToken cancellationToken) => await _mailbox.AddAsync(write, cancellationToken);
}

/// <summary>A DSN of our own making, ready for the queue: from the null reverse-path, to the original's reverse-path, by the original's egress.</summary>
/// <param name="IsDelayNotice">It tells of a delay only: the message is marked, so that it gets one such notice.</param>
public sealed record PreparedDsn(
    QueueId Id, ForwardPath Recipient, byte[] HeaderSection, byte[] Body, bool HeaderNeedsUtf8, bool BodyIs8Bit, bool IsDelayNotice = false);
