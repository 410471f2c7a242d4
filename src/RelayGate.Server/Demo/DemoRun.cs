using System.Net;
using System.Net.Sockets;
using RelayGate.Configuration;
using RelayGate.Hosting;
using RelayGate.Server.Cli;
using RelayGate.Telemetry;

namespace RelayGate.Server.Demo;

/// <summary>One run of the demo: a gateway, a receiver as its next hop, samples, and a few lines on what to try.</summary>
internal static class DemoRun
{
    public static async Task<int> RunAsync(string folder, int port, bool keep, CancellationToken cancellationToken)
    {
        GatewayProcess.HearInterrupts();
        GatewayProcess.KeepFilesToOurselves();
        Prepare(folder, keep);
        var screen = new DemoScreen();
        await using var receiver = new DemoReceiver(screen.Show);
        RelayGateOptions options = Options(folder, port, receiver.Port, out bool portWasTaken);
        RelayGateMetrics metrics;
        int exitCode;
        await using (WebApplication app = GatewayApp.Build(options, LogLevel.Warning, new MailLogOutput(Stream.Null)))
        {
            metrics = app.Services.GetRequiredService<RelayGateMetrics>();
            using CancellationTokenRegistration stopping = app.Lifetime.ApplicationStopping.Register(screen.Stopping);
            exitCode = await GatewayRun.RunAsync(app, async () =>
            {
                var samples = new DemoSamples(options.Admin.Socket);
                string password = await samples.CreateAsync(cancellationToken);
                string server = ((IPEndPoint)app.Services.GetRequiredService<ListenSockets>().BoundTo(app.Services.GetRequiredService<ListenerPlan>().Submission[0].EndPoint)!).ToString();
                new SendDefaults(server, DemoSamples.Mailbox, password).Write(folder);
                foreach (string line in app.Services.GetRequiredService<GatewayState>().Listeners)
                    Console.WriteLine(line);
                if (portWasTaken)
                    Console.WriteLine($"Port {port} is taken: a free one was chosen.");
                DemoScreen.PrintGuide(folder, server, password);
                Console.WriteLine($"RelayGate {RelayGateMetrics.Version} demo ready in {GatewayRun.SinceStart.TotalSeconds:0.0} s; Ctrl-C stops it");
                Console.WriteLine();
            }, cancellationToken);
        }
        if (exitCode == ExitCode.Ok)
            screen.PrintSummary(metrics);
        return exitCode;
    }

    /// <summary>Makes the folder fresh. Only what a demo left is removed: the folder is known by its mark.</summary>
    private static void Prepare(string folder, bool keep)
    {
        string mark = Path.Combine(folder, ".demo");
        try
        {
            if (Directory.Exists(folder) && !File.Exists(mark) && Directory.EnumerateFileSystemEntries(folder).Any())
                throw new CliException(ExitCode.Failed, $"{folder} is there and not the folder of a demo: remove it, or choose another with --data DIR");
            if (File.Exists(mark) && !keep)
            {
                using (DataDirectory.Open(Path.Combine(folder, "data"))) // Refuses while a demo runs in it.
                {
                }
                Directory.Delete(folder, recursive: true);
            }
            Directory.CreateDirectory(folder);
            File.SetUnixFileMode(folder, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
            File.WriteAllText(mark, "");
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new CliException(ExitCode.Failed, $"cannot use {folder} for the demo: {error.Message}; choose another with --data DIR");
        }
        catch (GatewayStartException error)
        {
            throw new CliException(ExitCode.Failed, error.Message);
        }
    }

    private static RelayGateOptions Options(string folder, int port, int receiverPort, out bool portWasTaken)
    {
        portWasTaken = port != 0 && !IsFree(port);
        var options = new RelayGateOptions
        {
            Hostname = "relay.demo.example",
            Postmaster = "postmaster@shop.test",
            DataDirectory = Path.Combine(folder, "data"),
            Listeners =
            [
                new ListenerOptions { Name = "local", Endpoint = $"127.0.0.1:{(portWasTaken ? 0 : port)}" },
                new ListenerOptions { Name = "sendmail", Endpoint = $"unix:{Path.Combine(folder, "submit.sock")}" },
            ],
        };
        if (!ListenerEndpoint.IsSocketPath(Path.Combine(folder, "control.sock")))
            throw new CliException(ExitCode.Failed, $"the path {folder} is too long for sockets (107 octets): choose a shorter one with --data DIR");
        options.Admin.Endpoint = null;
        options.Admin.Socket = Path.Combine(folder, "control.sock");
        options.Admin.Group = null;
        options.Delivery.NextHop = $"smtp://127.0.0.1:{receiverPort}";
        options.Delivery.Retry.First = TimeSpan.FromSeconds(5); // Something is to be seen within the five minutes of a demo.
        options.Storage.MinimumFree = 16 * 1024 * 1024;
        return options;
    }

    private static bool IsFree(int port)
    {
        try
        {
            using var probe = new TcpListener(IPAddress.Loopback, port);
            probe.Start();
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }
}
