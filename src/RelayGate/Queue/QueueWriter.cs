using System.Data.Common;
using RelayGate.Core.Mail;

namespace RelayGate.Queue;

/// <summary>The one writer of the store: everything that must be durable goes through here, in batches, one fsync each (DESIGN §6).</summary>
public sealed class QueueWriter
{
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
    public Task<T> WriteAsync<T>(Func<DbConnection, T> write, Action<T>? committed = null, CancellationToken cancellationToken = default) => throw new NotImplementedException();

    /// <summary>Records an attempt, ends or reschedules its recipients and enqueues the DSN, all in one commit. Retried until it is durable.</summary>
    /// <param name="dsn">The DSN that this attempt causes, or null.</param>
    public Task CompleteAsync(DeliveryJob job, DeliveryAttempt attempt, PreparedDsn? dsn) => throw new NotImplementedException();
}

/// <summary>A DSN of our own making, ready for the queue: from the null reverse-path, to the original's reverse-path, by the original's egress.</summary>
public sealed record PreparedDsn(QueueId Id, ForwardPath Recipient, byte[] HeaderSection, byte[] Body, bool HeaderNeedsUtf8, bool BodyIs8Bit);
