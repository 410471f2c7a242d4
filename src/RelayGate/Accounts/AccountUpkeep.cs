using Microsoft.Extensions.Logging;
using RelayGate.Telemetry;

namespace RelayGate.Accounts;

/// <summary>What accounts need done by the clock: writing when identities were used, and ending replaced passwords whose grace is over.</summary>
/// <remarks>A round that fails is logged, and the next one goes on.</remarks>
public sealed class AccountUpkeep(AccountAdministration accounts, TimeProvider time, ILogger<AccountUpkeep> logger) : IDisposable
{
    /// <summary>Between two rounds.</summary>
    public static readonly TimeSpan Interval = TimeSpan.FromSeconds(10);

    private readonly CancellationTokenSource _stopping = new();
    private Task _loop = Task.CompletedTask;
    private int _disposed;

    public void Start()
    {
        CancellationToken stop = _stopping.Token;
        _loop = Task.Run(() => RunAsync(stop), CancellationToken.None);
    }

    /// <summary>Ends the loop and writes what is left. While the writer still runs.</summary>
    public async Task StopAsync()
    {
        await _stopping.CancelAsync();
        await _loop;
        await RunOnceAsync();
    }

    /// <summary>Ends the loop also where it was not stopped, as after a start that failed.</summary>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
            return;
        _stopping.Cancel();
        _stopping.Dispose();
    }

    private async Task RunAsync(CancellationToken stop)
    {
        using var timer = new PeriodicTimer(Interval, time);
        try
        {
            while (await timer.WaitForNextTickAsync(stop))
                await RunOnceAsync();
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            // Stopped.
        }
    }

    private async Task RunOnceAsync()
    {
        try
        {
            await accounts.EndGracesAsync(CancellationToken.None);
            await accounts.SaveUsesAsync(CancellationToken.None);
        }
        catch (Exception e)
        {
            Log.UpkeepFailed(logger, e); // Full disk, broken store.
        }
    }
}
