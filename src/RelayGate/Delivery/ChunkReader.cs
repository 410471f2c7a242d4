using RelayGate.Core.Mail;

namespace RelayGate.Delivery;

/// <summary>Reads one chunk of a body that is in the store.</summary>
/// <param name="sequence">From 0; each chunk but the last has <see cref="Queue.MessageBody.ChunkOctets"/> octets.</param>
public delegate Task<ReadOnlyMemory<byte>> ChunkReader(QueueId id, int sequence, CancellationToken cancellationToken);
