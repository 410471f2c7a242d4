using System.Diagnostics;

namespace RelayGate.InteropTests.Infrastructure;

/// <summary>Waits for what another process does: asks again and again, up to a bound.</summary>
public static class Eventually
{
    private static readonly TimeSpan Bound = TimeSpan.FromSeconds(30);

    public static async Task TrueAsync(Func<Task<bool>> condition, string what, TimeSpan? bound = null)
    {
        var watch = Stopwatch.StartNew();
        using var pace = new PeriodicTimer(TimeSpan.FromMilliseconds(50));
        while (!await condition())
        {
            if (watch.Elapsed > (bound ?? Bound))
                throw new TimeoutException($"Not within {bound ?? Bound}: {what}");
            await pace.WaitForNextTickAsync();
        }
    }

    public static Task TrueAsync(Func<bool> condition, string what, TimeSpan? bound = null) =>
        TrueAsync(() => Task.FromResult(condition()), what, bound);
}
