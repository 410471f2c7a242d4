using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using RelayGate.Configuration;
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
    public static async Task<int> RunAsync(WebApplication app, Action ready, CancellationToken cancellationToken)
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
        ready();
        await Console.Out.FlushAsync(cancellationToken);
        await app.WaitForShutdownAsync(cancellationToken);
        return ExitCode.Ok;
    }

    /// <summary>One line for each SMTP listener, then HTTP and the control socket.</summary>
    public static IEnumerable<string> DescribeListeners(WebApplication app)
    {
        ListenerPlan plan = app.Services.GetRequiredService<ListenerPlan>();
        ListenSockets sockets = app.Services.GetRequiredService<ListenSockets>();
        foreach ((ListenerOptions listener, EndPoint announced) in plan.Submission)
        {
            bool isLoopback = announced is IPEndPoint ip && IPAddress.IsLoopback(ip.Address);
            string rules = (announced, listener.Tls) switch
            {
                (UnixDomainSocketEndPoint, _) => "identity: uid of the process",
                (_, ListenerTls.StartTls) => "STARTTLS, then AUTH",
                (_, ListenerTls.Implicit) => "TLS, AUTH",
                _ when isLoopback => "no TLS, AUTH PLAIN LOGIN",
                _ => "no TLS, no AUTH: listed networks only",
            };
            yield return $"SMTP {Text(sockets.BoundTo(announced) ?? announced)} ({listener.Name}: {rules})";
        }
        if (plan.Http is { } http)
            yield return $"HTTP {Text(sockets.BoundTo(http) ?? http)} (/healthz/live, /healthz/ready, /metrics)";
        yield return $"Control {Text(plan.Control)}";
    }

    private static string Text(EndPoint endPoint) => endPoint is UnixDomainSocketEndPoint ? $"unix:{endPoint}" : endPoint.ToString()!;

    private static string? FindStartFault(Exception error)
    {
        for (Exception? cause = error; cause is not null; cause = cause.InnerException)
        {
            if (cause is GatewayStartException)
                return cause.Message;
        }
        return null;
    }
}
