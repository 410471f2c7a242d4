using System.Collections.Concurrent;

namespace RelayGate.Storage;

/// <summary>The threads that read: each has a connection of its own, so that a slow disk costs no thread of the pool and no read waits for a write.</summary>
internal sealed class StoreReaders : IDisposable
{
    private const int Threads = 3;
    private const int MaxWaiting = 1024; // Reads asked for and not begun; more wait before they queue.

    private readonly SqliteRelayStore _store;
    private readonly BlockingCollection<Work> _work = [];
    private readonly SemaphoreSlim _room = new(MaxWaiting);
    private readonly Thread[] _threads;

    public StoreReaders(SqliteRelayStore store)
    {
        _store = store;
        _threads = [.. Enumerable.Range(1, Threads).Select(n => new Thread(Run) { IsBackground = true, Name = $"store read {n}" })];
        foreach (Thread thread in _threads)
            thread.Start();
    }

    public async Task<T> ReadAsync<T>(Func<StoreConnection, T> read, CancellationToken cancellationToken)
    {
        await _room.WaitAsync(cancellationToken);
        var work = new Work<T>(read, cancellationToken);
        try
        {
            _work.Add(work, CancellationToken.None);
        }
        catch (InvalidOperationException e)
        {
            throw new ObjectDisposedException("The store is closed", e);
        }
        return await work.Done;
    }

    public void Dispose()
    {
        if (_work.IsAddingCompleted)
            return;
        _work.CompleteAdding();
        foreach (Thread thread in _threads)
            thread.Join();
        _work.Dispose();
        _room.Dispose();
    }

    private void Run()
    {
        StoreConnection? connection = null;
        int generation = 0;
        foreach (Work work in _work.GetConsumingEnumerable())
        {
            _room.Release();
            if (generation != _store.Generation) // The file was closed and reopened after broken I/O.
            {
                connection?.Dispose();
                connection = null;
                generation = _store.Generation;
            }
            work.Run(ref connection, _store);
        }
        connection?.Dispose();
    }

    private abstract class Work
    {
        public abstract void Run(ref StoreConnection? connection, SqliteRelayStore store);
    }

    private sealed class Work<T>(Func<StoreConnection, T> read, CancellationToken cancellationToken) : Work
    {
        private readonly TaskCompletionSource<T> _done = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task<T> Done => _done.Task;

        public override void Run(ref StoreConnection? connection, SqliteRelayStore store)
        {
            if (cancellationToken.IsCancellationRequested)
            {
                _done.TrySetCanceled(cancellationToken);
                return;
            }
            try
            {
                connection ??= store.OpenReadConnection();
                connection.Prepared(Sql.Begin).Execute();
                T result;
                try
                {
                    result = read(connection);
                }
                finally
                {
                    connection.Prepared(Sql.Commit).Execute();
                }
                _done.TrySetResult(result);
            }
            catch (Exception failure)
            {
                connection?.Dispose(); // Whatever it was, the next read begins on a clean connection.
                connection = null;
                _done.TrySetException(failure);
            }
        }
    }
}
