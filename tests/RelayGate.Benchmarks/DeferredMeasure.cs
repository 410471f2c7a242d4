using System.Diagnostics;
using System.Globalization;
using RelayGate.Storage;

namespace RelayGate.Benchmarks;

/// <summary>
/// What a million deferred messages cost: start to ready (bound: 5 s), memory (400 MB) and the accept rate of W1 (4 KiB, 20 sessions, a session for each
/// message; within 15 % of an empty queue's). <c>deferred PROGRAM [rounds] [messages] [deferred] [due]</c>, PROGRAM being the published executable; rounds are
/// interleaved. The deferred messages become due evenly over four hours, so that some are delivered meanwhile (what has become due between the rounds is put
/// off, lest it is worked off in the next one); with <c>due</c> all have become due before the start, as after an outage.
/// </summary>
internal static class DeferredMeasure
{
    private const int Subscriptions = 1000;
    private const int Domains = 5000;
    private const int Cycle = 4 * 3_600_000; // Milliseconds in which all of them become due.
    private const double ReadyBound = 5, MemoryBound = 400, RateBound = 0.85;

    public static async Task RunAsync(string[] args)
    {
        string program = args[0];
        int rounds = args.Length > 1 ? int.Parse(args[1], CultureInfo.InvariantCulture) : 3;
        int messages = args.Length > 2 ? int.Parse(args[2], CultureInfo.InvariantCulture) : 6000;
        int deferred = args.Length > 3 ? int.Parse(args[3], CultureInfo.InvariantCulture) : 1_000_000;
        bool isDue = args.Length > 4 && args[4] == "due";
        string folder = Directory.CreateDirectory(Path.Combine("/var/tmp", $"relaygate-deferred-{Environment.ProcessId}")).FullName;
        using var sink = Process.Start(new ProcessStartInfo(Environment.ProcessPath!, "delivery-sink") { UseShellExecute = false, RedirectStandardOutput = true, RedirectStandardInput = true })!;
        try
        {
            string nextHop = (await sink.StandardOutput.ReadLineAsync())!;
            string empty = ScaleMeasure.MakeStore(folder, "empty", Subscriptions);
            long started = Stopwatch.GetTimestamp();
            string full = ScaleMeasure.MakeStore(folder, "full", Subscriptions);
            Defer(full, deferred, isDue);
            Console.WriteLine($"store with {deferred} deferred messages{(isDue ? ", all of them due," : "")} of {Subscriptions} subscriptions to {Domains} domains: "
                + $"{new FileInfo(Path.Combine(full, "relaygate.db")).Length >> 20} MiB, made in {Stopwatch.GetElapsedTime(started).TotalSeconds:0} s");
            List<ScaleMeasure.Run> runs = [];
            for (int round = 0; round < rounds; round++)
            {
                runs.Add(await ScaleMeasure.MeasureAsync("empty queue", program, folder, empty, nextHop, messages, static n => n % Subscriptions));
                if (!isDue)
                    PutOffWhatIsDue(full);
                runs.Add(await ScaleMeasure.MeasureAsync("deferred", program, folder, full, nextHop, messages, static n => n % Subscriptions));
                Console.WriteLine($"round {round + 1}: empty {runs[^2].Rate:0}/s; deferred ready {runs[^1].ReadySeconds:0.00} s, {runs[^1].PeakMegabytes:0} MB, {runs[^1].Rate:0}/s");
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

    private static void Print(List<ScaleMeasure.Run> runs)
    {
        double baseline = ScaleMeasure.Median(runs.Where(r => r.Name == "empty queue").Select(r => r.Rate));
        ScaleMeasure.Run[] full = [.. runs.Where(r => r.Name == "deferred")];
        double ready = ScaleMeasure.Median(full.Select(r => r.ReadySeconds));
        double memory = full.Max(r => r.PeakMegabytes);
        double ratio = ScaleMeasure.Median(full.Select(r => r.Rate)) / baseline;
        Console.WriteLine($"start to ready {ready:0.00} s (bound {ReadyBound:0}) {Verdict(ready < ReadyBound)}");
        Console.WriteLine($"memory {memory:0} MB at its peak (bound {MemoryBound:0}) {Verdict(memory < MemoryBound)}");
        Console.WriteLine($"W1 {ratio * baseline:0}/s, {ratio:0.00} of an empty queue's {baseline:0}/s (bound {RateBound:0.00}) {Verdict(ratio >= RateBound)}");
    }

    private static string Verdict(bool isMet) => isMet ? "ok" : "MISSED";

    private static void PutOffWhatIsDue(string data)
    {
        using SqliteRelayStore store = SqliteRelayStore.Open(data);
        using StoreConnection connection = store.OpenWriteConnection();
        long now = TimeProvider.System.GetUtcNow().ToUnixTimeMilliseconds();
        connection.Prepared($"update recipient set next_attempt = next_attempt + {Cycle} where next_attempt < {now + 1000}").Execute();
    }

    private static void Defer(string data, int deferred, bool isDue)
    {
        using SqliteRelayStore store = SqliteRelayStore.Open(data);
        using StoreConnection connection = store.OpenWriteConnection();
        long now = TimeProvider.System.GetUtcNow().ToUnixTimeMilliseconds();
        long first = isDue ? now - Cycle : now;
        string numbers = $"with recursive n(i) as (select 0 union all select i + 1 from n where i + 1 < {deferred}) ";
        string id = $"unhex(printf('%012X%020X', {now - 3_600_000} + i / 1000, i))";
        string[] statements =
        [
            "begin immediate",
            $"""
            insert into message (seq, id, subscription, reverse_path, flags, dsn_return, egress, octets, held, header, body)
            {numbers} select i + 1, {id}, 'sub' || (i % {Subscriptions}), 'user0@site' || (i % {Subscriptions}) || 'a.test', 0, 0,
              'system' || char(9) || 'system' || char(9) || 'relay.bench.test' || char(9) || char(9) || char(9) || char(9), 1100, 0,
              cast('From: <user0@site.test>' || char(13, 10) || 'Subject: later' || char(13, 10, 13, 10) as blob), zeroblob(1000) from n
            """,
            $"""
            insert into recipient (message, position, subscription, counted_at, address, notify, state, attempts, next_attempt, last_reply, delay_noticed)
            {numbers} select i + 1, 0, 'sub' || (i % {Subscriptions}), 'user0@site' || (i % {Subscriptions}) || 'a.test', 'someone@dest' || (i % {Domains}) || '.test', 0, 0, 3,
              {first} + cast((i * 7919 % {deferred}) * {Cycle}.0 / {deferred} as integer), '450 4.2.0 Try again later', 0 from n
            """,
            $$"""
            insert into decision (id, kind, verdict, outcome, reason, subscription, identity, sender, recipients, octets, repeats, last_at, levels, detail)
            {{numbers}} select {{id}}, 2, 2, 3, 'accepted', 'sub' || (i % {{Subscriptions}}), 'login', 'user0@site' || (i % {{Subscriptions}}) || 'a.test',
              'someone@dest' || (i % {{Domains}}) || '.test', 1100, 1, {{now}}, '[]', '{}' from n
            """,
            "commit",
        ];
        foreach (string statement in statements)
            connection.Prepared(statement).Execute();
    }
}
