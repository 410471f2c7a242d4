using System.Diagnostics;
using RelayGate.Hosting;
using RelayGate.Server.Cli;

namespace RelayGate.Server;

/// <summary>Starts a gateway's host, waits for its end, and turns a start that fails into one line.</summary>
internal static class GatewayRun
{
    /// <summary>Time from the start of the process.</summary>
    public static TimeSpan SinceStart
    {
        get
        {
            using var self = Process.GetCurrentProcess();
            return TimeProvider.System.GetUtcNow() - new DateTimeOffset(self.StartTime);
        }
    }

    /// <param name="ready">Runs once everything listens.</param>
    public static async Task<int> RunAsync(WebApplication app, Func<Task> ready, CancellationToken cancellationToken)
    {
        try
        {
            await app.StartAsync(cancellationToken);
        }
        catch (Exception error) when (FindStartFault(error) is { } fault)
        {
            await Console.Error.WriteLineAsync($"relaygate: {fault}");
            return ExitCode.Failed;
        }
        await ready();
        await Console.Out.FlushAsync(cancellationToken);
        await app.WaitForShutdownAsync(cancellationToken);
        return ExitCode.Ok;
    }

    /// <summary>The line of a start that failed, wherever in the chain it is; null for any other fault.</summary>
    public static string? FindStartFault(Exception error)
    {
        for (Exception? cause = error; cause is not null; cause = cause.InnerException)
        {
            if (cause is GatewayStartException)
                return cause.Message;
        }
        return null;
    }
}
