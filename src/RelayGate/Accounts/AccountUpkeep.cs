using Microsoft.Extensions.Logging;
using RelayGate.Queue;
using RelayGate.Telemetry;

namespace RelayGate.Accounts;

/// <summary>What accounts need done by the clock: writing when identities were used, and ending replaced passwords whose grace is over.</summary>
/// <remarks>A round that fails is logged, and the next one goes on.</remarks>
public sealed class AccountUpkeep(AccountAdministration accounts, TimeProvider time, ILogger<AccountUpkeep> logger) : IDisposable
{
    /// <summary>Between two rounds.</summary>
    public static readonly TimeSpan Interval = TimeSpan.FromSeconds(10);

    private readonly BackgroundLoop _loop = new();

    /// <summary>Each round by its own clock: how long the writing takes, under load, ends no password later.</summary>
    public void Start() => _loop.Start(() => Task.WhenAll(RunAsync(accounts.EndGracesAsync, _loop.Stopping), RunAsync(accounts.SaveUsesAsync, _loop.Stopping)));

    /// <summary>Ends the rounds and writes what is left. While the writer still runs.</summary>
    public async Task StopAsync()
    {
        await _loop.StopAsync(CancellationToken.None);
        await RunOnceAsync(accounts.SaveUsesAsync);
    }

    /// <summary>Ends the rounds also where it was not stopped, as after a start that failed.</summary>
    public void Dispose() => _loop.Dispose();

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
