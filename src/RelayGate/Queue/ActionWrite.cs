using System.Data.Common;
using RelayGate.Storage;

namespace RelayGate.Queue;

/// <summary>Any change that is no message: accounts, limits, holding, deleting, housekeeping. Its exceptions are its own.</summary>
internal sealed class ActionWrite<T>(Func<WriteContext, T> write, Action<T>? committed) : PendingWrite
{
    private readonly TaskCompletionSource<T> _done = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private T _result = default!;

    public ActionWrite(Func<DbConnection, T> write, Action<T>? committed)
        : this((WriteContext context) => write(context.Connection.Connection), committed)
    {
    }

    public Task<T> Done => _done.Task;

    public override bool HasSavepoint => true;

    public override void Execute(WriteContext context) => _result = write(context);

    public override void Committed(WriteContext context)
    {
        try
        {
            committed?.Invoke(_result);
            _done.TrySetResult(_result);
        }
        catch (Exception e)
        {
            _done.TrySetException(e); // A bug of the caller's; the change itself is durable.
        }
    }

    public override void Failed(StoreError error, Exception cause) => _done.TrySetException(cause);

    protected override void Expired() => _done.TrySetCanceled();
}
