using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using RelayGate.Storage;

namespace RelayGate.Benchmarks;

/// <summary>
/// What a large store costs: start to ready, memory, and the accept rate of W1 (4 KiB, 20 sessions, a session for each message), beside a store
/// with one subscription. <c>scale PROGRAM [rounds] [messages] [subscriptions]</c>, PROGRAM being the published executable; rounds are interleaved.
/// </summary>
internal static class ScaleMeasure
{
    private const int DomainsOfEach = 2;
    private const int MailboxesOfEach = 10;
    private static readonly TimeSpan StartPatience = TimeSpan.FromMinutes(2);

    internal sealed record Run(string Name, double ReadySeconds, double ReadyMegabytes, double PeakMegabytes, double Rate);

    public static async Task RunAsync(string[] args)
    {
        string program = args[0];
        int rounds = args.Length > 1 ? int.Parse(args[1], CultureInfo.InvariantCulture) : 5;
        int messages = args.Length > 2 ? int.Parse(args[2], CultureInfo.InvariantCulture) : 6000;
        int subscriptions = args.Length > 3 ? int.Parse(args[3], CultureInfo.InvariantCulture) : 100_000;
        string folder = Directory.CreateDirectory(Path.Combine("/var/tmp", $"relaygate-scale-{Environment.ProcessId}")).FullName;
        using var sink = Process.Start(new ProcessStartInfo(Environment.ProcessPath!, "delivery-sink") { UseShellExecute = false, RedirectStandardOutput = true, RedirectStandardInput = true })!;
        try
        {
            string nextHop = (await sink.StandardOutput.ReadLineAsync())!;
            string one = MakeStore(folder, "one", 1);
            long started = Stopwatch.GetTimestamp();
            string many = MakeStore(folder, "many", subscriptions);
            Console.WriteLine($"store with {subscriptions} subscriptions, {subscriptions * DomainsOfEach} domains, {subscriptions * MailboxesOfEach} mailboxes: "
                + $"{new FileInfo(Path.Combine(many, "relaygate.db")).Length >> 20} MiB, made in {Stopwatch.GetElapsedTime(started).TotalSeconds:0} s");
            List<Run> runs = [];
            for (int round = 0; round < rounds; round++)
            {
                runs.Add(await MeasureAsync("one subscription", program, folder, one, nextHop, messages, _ => 0));
                runs.Add(await MeasureAsync("many, the same sender", program, folder, many, nextHop, messages, _ => 0));
                // A step that is prime to the number of subscriptions: nearly every message is of a sender that was not seen before.
                runs.Add(await MeasureAsync("many, ever another sender", program, folder, many, nextHop, messages, n => (int)(n * 7919L % subscriptions)));
            }
            Print(runs);
        }
        finally
        {
            sink.StandardInput.Close();
            await sink.WaitForExitAsync();
            Directory.Delete(folder, recursive: true);
        }
    }

    private static void Print(List<Run> runs)
    {
        double baseline = Median(runs.Where(r => r.Name == runs[0].Name).Select(r => r.Rate));
        Console.WriteLine($"{"store",-28}{"ready s",9}{"MB ready",10}{"MB peak",9}{"accepted/s",12}{"ratio",7}   (medians of {runs.Count / 3}; rates: {string.Join(' ', runs.Select(r => $"{r.Rate:0}"))})");
        foreach (IGrouping<string, Run> group in runs.GroupBy(r => r.Name))
        {
            double rate = Median(group.Select(r => r.Rate));
            Console.WriteLine($"{group.Key,-28}{Median(group.Select(r => r.ReadySeconds)),9:0.00}{Median(group.Select(r => r.ReadyMegabytes)),10:0}"
                + $"{Median(group.Select(r => r.PeakMegabytes)),9:0}{rate,12:0}{rate / baseline,7:0.00}");
        }
    }

    internal static double Median(IEnumerable<double> values)
    {
        double[] sorted = [.. values.Order()];
        return sorted[sorted.Length / 2];
    }

    /// <summary>Two domains and ten mailboxes to each subscription, with contacts, passwords and some limits of their own.</summary>
    internal static string MakeStore(string folder, string name, int subscriptions)
    {
        string data = Directory.CreateDirectory(Path.Combine(folder, name)).FullName;
        File.SetUnixFileMode(data, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        using SqliteRelayStore store = SqliteRelayStore.Open(data);
        using StoreConnection connection = store.OpenWriteConnection();
        string password = $"SCRAM-SHA-256$100000:{new string('A', 24)}${new string('B', 44)}:{new string('C', 44)}";
        string[] statements =
        [
            "begin immediate",
            "insert into plan (name) values ('basic')",
            "insert into network (cidr) values ('127.0.0.0/8')",
            $"""
            insert into subscription (name, plan, contact)
            with recursive n(i) as (select 0 union all select i + 1 from n where i + 1 < {subscriptions}) select 'sub' || i, 'basic', 'owner@site' || i || 'a.test' from n
            """,
            "insert into domain (name, subscription) select 'site' || substr(name, 4) || 'a.test', name from subscription where plan = 'basic'",
            "insert into domain (name, subscription) select 'site' || substr(name, 4) || 'b.test', name from subscription where plan = 'basic'",
            $"""
            insert into mailbox (address, domain, password)
            with recursive n(i) as (select 0 union all select i + 1 from n where i + 1 < {MailboxesOfEach / DomainsOfEach}) select 'user' || i || '@' || name, name, '{password}' from domain, n
            """,
            "insert into object_limit (level, name, each, value) select 2, name, -1, '1000000/h' from subscription where plan = 'basic'",
            "insert into object_limit (level, name, each, value) values (1, 'basic', 3, '1000000/h'), (1, 'basic', 4, '1000000/h')",
            "commit",
        ];
        foreach (string statement in statements)
            connection.Prepared(statement).Execute();
        return data;
    }

    internal static async Task<Run> MeasureAsync(string name, string program, string folder, string data, string nextHop, int messages, Func<int, int> senderOf)
    {
        string config = Path.Combine(folder, "appsettings.json");
        await File.WriteAllTextAsync(config, $$"""
            { "RelayGate": { "Hostname": "relay.bench.test", "DataDirectory": "{{data}}",
              "Listeners": [ { "Name": "bench", "Endpoint": "127.0.0.1:0", "Tls": "None" } ],
              "Admin": { "Endpoint": null, "Socket": "{{Path.Combine(folder, "control.sock")}}", "Group": null },
              "Delivery": { "NextHop": "smtp://{{nextHop}}" } } }
            """);
        long started = Stopwatch.GetTimestamp();
        await using GatewayRun server = await GatewayRun.StartAsync(program, config, StartPatience);
        double ready = Stopwatch.GetElapsedTime(started).TotalSeconds;
        double readyMegabytes = Megabytes(server.Id, "VmRSS:");
        await SmtpLoad.RunAsync(server.Listener, messages / 10, n => SenderOf(senderOf(messages + n)));
        long load = Stopwatch.GetTimestamp();
        await SmtpLoad.RunAsync(server.Listener, messages, n => SenderOf(senderOf(n)));
        double rate = messages / Stopwatch.GetElapsedTime(load).TotalSeconds;
        return new Run(name, ready, readyMegabytes, Megabytes(server.Id, "VmHWM:"), rate);
    }

    private static string SenderOf(int subscription) => $"user0@site{subscription}a.test";

    private static double Megabytes(int pid, string field)
    {
        string line = File.ReadLines($"/proc/{pid}/status").First(l => l.StartsWith(field, StringComparison.Ordinal));
        return long.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture) / 1024.0;
    }
}
