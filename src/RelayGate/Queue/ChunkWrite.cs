using RelayGate.Core.Mail;
using RelayGate.Storage;

namespace RelayGate.Queue;

/// <summary>One chunk of a large body, written ahead of its message.</summary>
internal sealed class ChunkWrite(QueueId id, int number, ReadOnlyMemory<byte> octets) : PendingWrite
{
    private const string Insert = "insert into chunk (id, number, octets) values (?, ?, ?)";

    private readonly TaskCompletionSource<OfferOutcome> _done = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public Task<OfferOutcome> Done => _done.Task;

    public override long Octets => octets.Length;

    public override void Execute(WriteContext context) => context.Prepared(Insert).Bind(1, id.ToBytes()).Bind(2, number).Bind(3, octets.Span).Execute();

    public override void Committed(WriteContext context) => _done.TrySetResult(OfferOutcome.Committed);

    public override void Failed(StoreError error, Exception cause) =>
        _done.TrySetResult(error == StoreError.Full ? OfferOutcome.StoreFull : OfferOutcome.StoreFailed);

    protected override void Expired() => _done.TrySetResult(OfferOutcome.Expired);
}
