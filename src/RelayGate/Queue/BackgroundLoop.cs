namespace RelayGate.Queue;

/// <summary>Work that runs beside everything else from its start until it is stopped, or disposed of, as after a start that failed.</summary>
internal sealed class BackgroundLoop : IDisposable
{
    private readonly CancellationTokenSource _stopping = new();
    private int _disposed;

    public BackgroundLoop() => Stopping = _stopping.Token;

    /// <summary>Cancelled when the work is to end; may be asked for after <see cref="Dispose"/> too.</summary>
    public CancellationToken Stopping { get; }

    /// <summary>Completes when the work has ended.</summary>
    public Task Ended { get; private set; } = Task.CompletedTask;

    public void Start(Func<Task> run) => Ended = Task.Run(run, CancellationToken.None);

    /// <summary>Has the work end, and waits until it has.</summary>
    /// <param name="cancellationToken">Ends the wait alone.</param>
    public async Task StopAsync(CancellationToken cancellationToken)
    {
        await _stopping.CancelAsync();
        await Ended.WaitAsync(cancellationToken);
    }

    public void Dispose()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
            return;
        _stopping.Cancel();
        _stopping.Dispose();
    }
}
