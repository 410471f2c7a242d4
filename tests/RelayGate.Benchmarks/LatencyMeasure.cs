using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace RelayGate.Benchmarks;

/// <summary>
/// Messages a second through to a next hop that is a round trip of 50 ms away and offers PIPELINING and CHUNKING: RelayGate (once more without CHUNKING) and,
/// given the folder of a side-by-side benchmark with adapters (lib.sh, peers/NAME.sh), other servers.
/// <c>latency PROGRAM [messages] [milliseconds] [rounds] [FOLDER PEER...]</c>.
/// </summary>
internal static class LatencyMeasure
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(5);

    private sealed record Run(string Name, double Accepted, double Delivered, int Taken, int Connections);

    public static async Task RunAsync(string[] args)
    {
        string program = args[0];
        int messages = Number(args, 1, 5000);
        TimeSpan roundTrip = TimeSpan.FromMilliseconds(Number(args, 2, 50));
        int rounds = Number(args, 3, 3);
        string? bench = args.Length > 4 ? args[4] : null;
        string[] peers = args.Length > 5 ? args[5..] : [];
        string folder = Directory.CreateDirectory(Path.Combine("/var/tmp", $"relaygate-latency-{Environment.ProcessId}")).FullName;
        await using var sink = new CountingSink(withChunking: true);
        try
        {
            List<Run> runs = [];
            for (int round = 0; round < rounds; round++)
            {
                runs.Add(await MeasureRelayGateAsync("relaygate", program, Path.Combine(folder, $"r{round}"), sink, roundTrip, messages));
                sink.WithChunking = false;
                runs.Add(await MeasureRelayGateAsync("without BDAT", program, Path.Combine(folder, $"d{round}"), sink, roundTrip, messages));
                sink.WithChunking = true;
                foreach (string peer in peers)
                    runs.Add(await MeasurePeerAsync(bench!, peer, sink, roundTrip, messages));
            }
            Console.WriteLine($"{messages} messages of 4 KiB, {SmtpLoad.Sessions} sessions, next hop {roundTrip.TotalMilliseconds:0} ms away, medians of {rounds}");
            Console.WriteLine($"{"server",-14}{"accepted/s",12}{"delivered/s",13}{"connections",13}{"lost",6}{"  × first",9}");
            double first = Median(runs.Where(r => r.Name == "relaygate").Select(r => r.Delivered));
            foreach (IGrouping<string, Run> group in runs.GroupBy(r => r.Name))
            {
                double rate = Median(group.Select(r => r.Delivered));
                Console.WriteLine($"{group.Key,-14}{Median(group.Select(r => r.Accepted)),12:0}{rate,13:0}{Median(group.Select(r => (double)r.Connections)),13:0}{group.Sum(r => messages - r.Taken),6}{first / rate,9:0.00}");
            }
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static async Task<Run> MeasureRelayGateAsync(string name, string program, string folder, CountingSink sink, TimeSpan roundTrip, int messages)
    {
        Directory.CreateDirectory(folder);
        string data = ScaleMeasure.MakeStore(folder, "data", 1);
        await using var proxy = new DelayProxy(sink.EndPoint, roundTrip);
        string config = Path.Combine(folder, "appsettings.json");
        await File.WriteAllTextAsync(config, $$"""
            { "RelayGate": { "Hostname": "relay.bench.test", "DataDirectory": "{{data}}",
              "Listeners": [ { "Name": "bench", "Endpoint": "127.0.0.1:0", "Tls": "None" } ],
              "Admin": { "Endpoint": null, "Socket": "{{Path.Combine(folder, "control.sock")}}", "Group": null },
              "Limits": { "Enforce": false },
              "Delivery": { "NextHop": "smtp://{{proxy.EndPoint}}" } } }
            """);
        await using GatewayRun server = await GatewayRun.StartAsync(program, config, Patience);
        return await MeasureAsync(name, server.Listener, sink, proxy, messages, "user0@site0a.test");
    }

    /// <summary>Starts and stops a peer by its adapter, in a shell of its own.</summary>
    private static async Task<Run> MeasurePeerAsync(string bench, string peer, CountingSink sink, TimeSpan roundTrip, int messages)
    {
        int port = FreePort();
        await using var proxy = new DelayProxy(sink.EndPoint, roundTrip);
        async Task ShellAsync(string step)
        {
            var start = new ProcessStartInfo("bash", ["-c", $". \"$1/lib.sh\"; load_peer \"$2\"; {step}", "bash", bench, peer])
            {
                UseShellExecute = false,
                Environment = { ["RGBENCH_SINK_PORT"] = Text(proxy.EndPoint.Port), ["RGBENCH_PEER_PORT"] = Text(port) },
            };
            using Process shell = Process.Start(start)!;
            await shell.WaitForExitAsync();
            if (shell.ExitCode != 0)
                throw new InvalidOperationException($"{peer}: {step} failed");
        }
        await ShellAsync("peer_check && start_peer");
        try
        {
            return await MeasureAsync(peer, new IPEndPoint(IPAddress.Loopback, port), sink, proxy, messages, "sender@src.example");
        }
        finally
        {
            await ShellAsync("stop_peer");
        }
    }

    private static async Task<Run> MeasureAsync(string name, IPEndPoint server, CountingSink sink, DelayProxy proxy, int messages, string sender)
    {
        int warm = Math.Min(200, messages / 10);
        int before = sink.Messages;
        await SmtpLoad.RunAsync(server, warm, _ => sender);
        await UntilAsync(() => sink.Messages - before >= warm);
        int connections = proxy.Connections;
        before = sink.Messages;
        long started = Stopwatch.GetTimestamp();
        await SmtpLoad.RunAsync(server, messages, _ => sender);
        double accepted = messages / Stopwatch.GetElapsedTime(started).TotalSeconds;
        await UntilAsync(() => sink.Messages - before >= messages);
        int taken = sink.Messages - before;
        double delivered = taken / Stopwatch.GetElapsedTime(started).TotalSeconds;
        Console.Error.WriteLine($"{name}: {accepted:0} accepted/s, {delivered:0} delivered/s");
        return new Run(name, accepted, delivered, taken, proxy.Connections - connections);
    }

    /// <summary>Waits until something is so; gives up after <see cref="Patience"/>, which the figures then show.</summary>
    private static async Task UntilAsync(Func<bool> condition)
    {
        long started = Stopwatch.GetTimestamp();
        while (!condition() && Stopwatch.GetElapsedTime(started) < Patience)
            await Task.Delay(5);
    }

    private static int FreePort()
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        return ((IPEndPoint)socket.LocalEndPoint!).Port;
    }

    private static double Median(IEnumerable<double> values)
    {
        double[] sorted = [.. values.Order()];
        return sorted[sorted.Length / 2];
    }

    private static int Number(string[] args, int index, int usual) => args.Length > index ? int.Parse(args[index], CultureInfo.InvariantCulture) : usual;

    private static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);
}
