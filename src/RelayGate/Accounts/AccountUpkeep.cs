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
        // Each by its own clock: how long the writing takes, under load, ends no password later.
        _loop = Task.WhenAll(
            Task.Run(() => RunAsync(accounts.EndGracesAsync, stop), CancellationToken.None), Task.Run(() => RunAsync(accounts.SaveUsesAsync, stop), CancellationToken.None));
    }

    /// <summary>Ends the rounds and writes what is left. While the writer still runs.</summary>
    public async Task StopAsync()
    {
        await _stopping.CancelAsync();
        await _loop;
        await RunOnceAsync(accounts.SaveUsesAsync);
    }

    /// <summary>Ends the rounds also where it was not stopped, as after a start that failed.</summary>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
            return;
        _stopping.Cancel();
        _stopping.Dispose();
    }

    private async Task RunAsync(Func<CancellationToken, Task> round, CancellationToken stop)
    {
        using var timer = new PeriodicTimer(Interval, time);
        try
        {
            while (await timer.WaitForNextTickAsync(stop))
                await RunOnceAsync(round);
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            // Stopped.
        }
    }

    private async Task RunOnceAsync(Func<CancellationToken, Task> round)
    {
        try
        {
            await round(CancellationToken.None);
        }
        catch (Exception e)
        {
            Log.UpkeepFailed(logger, e); // Full disk, broken store.
        }
    }
}
