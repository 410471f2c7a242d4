using RelayGate.Core.Mail;

namespace RelayGate.Delivery;

/// <summary>Reads one chunk of a body that is in the store.</summary>
/// <param name="sequence">From 0. A chunk has up to <see cref="Queue.MessageBody.ChunkOctets"/> octets; fewer where memory was short when it came.</param>
public delegate Task<ReadOnlyMemory<byte>> ChunkReader(QueueId id, int sequence, CancellationToken cancellationToken);
