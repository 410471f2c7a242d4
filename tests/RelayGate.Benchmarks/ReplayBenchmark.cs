using System.Diagnostics;
using System.Text;
using RelayGate.Configuration;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Queue;
using RelayGate.Replay;
using RelayGate.Storage;

namespace RelayGate.Benchmarks;

/// <summary>
/// <c>limit simulate</c> over a store of records, beside reading the same records alone.
/// <c>dotnet run -c Release --project tests/RelayGate.Benchmarks -- replay [records] [subscriptions]</c>
/// </summary>
internal static class ReplayBenchmark
{
    private const int Page = 2000;
    private const string Select = "select id, kind, verdict, reason, identity, repeats, last_at, levels, detail from decision where id > ? order by id limit ?";
    private const string Insert = """
        insert into decision (id, kind, verdict, outcome, reason, subscription, identity, sender, recipients, octets, repeats, last_at, levels, detail)
        values (?, 2, 2, 5, 'accepted', ?, ?, ?, 'customer@example.org', 4310, 1, ?, ?, ?)
        """;

    public static async Task RunAsync(string[] args)
    {
        int records = args.Length > 0 ? int.Parse(args[0]) : 1_000_000;
        int subscriptions = args.Length > 1 ? int.Parse(args[1]) : 10_000;
        string folder = Directory.CreateTempSubdirectory("rg-bench-").FullName;
        try
        {
            using SqliteRelayStore store = SqliteRelayStore.Open(folder);
            Fill(store, records, subscriptions);
            Console.WriteLine($"{records:N0} records of {subscriptions:N0} subscriptions in 7 days, file {new FileInfo(store.Path).Length >> 20} MiB");
            TimeSpan alone = await ReadAsync(store);
            Console.WriteLine($"reading alone: {alone.TotalSeconds:N1} s, {alone.TotalMicroseconds / records:N1} us a record");
            foreach (string[] set in (string[][])[["domain=100/h"], ["server=5000/h", "subscription=20/d", "domain=15/d", "mailbox=2/h,10/d:rcpt"]])
                await ReplayAsync(store, set, records, alone);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static async Task ReplayAsync(SqliteRelayStore store, string[] set, int records, TimeSpan alone)
    {
        LimitProposal[] proposals = [.. set.Select(s => LimitProposal.TryParse(s, out LimitProposal? proposal, out string? fault) ? proposal : throw new FormatException(fault))];
        GC.Collect();
        long before = GC.GetTotalMemory(true), most = 0;
        TimeSpan cpu = Environment.CpuUsage.TotalTime;
        long started = Stopwatch.GetTimestamp();
        ReplayReport? report = null;
        int steps = 0;
        await foreach (ReplayStep step in new LimitReplay(store, new RelayGateOptions(), TimeProvider.System).RunAsync(proposals, null, TimeProvider.System.GetUtcNow().AddDays(-7), default))
        {
            report = step.Report;
            if (++steps % 50 == 0 || report is not null)
                most = Math.Max(most, GC.GetTotalMemory(report is not null) - before);
        }
        TimeSpan took = Stopwatch.GetElapsedTime(started);
        cpu = Environment.CpuUsage.TotalTime - cpu;
        Console.WriteLine(
            $"simulate {string.Join(' ', set)}: {took.TotalSeconds:N1} s ({took / alone:N1} times reading alone), {cpu.TotalMicroseconds / records:N1} us CPU a record, up to {most >> 20} MiB; "
            + $"{report!.Stopped.Messages:N0} of {report.Offered.Messages:N0} messages stopped, {report.Levels[(int)Level.Subscription].Hit:N0} of {report.Levels[(int)Level.Subscription].Seen:N0} subscriptions hit");
    }

    private static async Task<TimeSpan> ReadAsync(SqliteRelayStore store)
    {
        long started = Stopwatch.GetTimestamp();
        byte[]? after = new byte[16];
        while (after is not null)
        {
            byte[] from = after;
            after = await store.ReadRawAsync(
                connection =>
                {
                    SqliteStatement row = connection.Prepared(Select).Bind(1, from).Bind(2, Page);
                    byte[]? last = null;
                    long octets = 0;
                    while (row.Step())
                    {
                        last = row.Blob(0).ToArray();
                        octets += row.Blob(7).Length + row.Blob(8).Length + row.Int64(6);
                    }
                    return octets == 0 ? null : last;
                },
                default);
        }
        return Stopwatch.GetElapsedTime(started);
    }

    /// <summary>Records as the writer makes them for accepted mail of two mailboxes in two domains of each subscription.</summary>
    private static void Fill(SqliteRelayStore store, int records, int subscriptions)
    {
        using StoreConnection connection = store.OpenWriteConnection();
        DateTimeOffset start = TimeProvider.System.GetUtcNow().AddDays(-7).AddMinutes(1);
        var random = new Random(1);
        SqliteStatement insert = connection.Prepared(Insert);
        for (int i = 0; i < records; i++)
        {
            if (i % 20_000 == 0)
                connection.Execute(i == 0 ? "begin" : "commit; begin");
            DateTimeOffset at = start + (TimeSpan.FromDays(7) - TimeSpan.FromMinutes(2)) * ((double)i / records);
            int n = random.Next(subscriptions);
            string domain = $"shop{n}-{random.Next(2)}.test", mailbox = $"info{random.Next(2)}@{domain}";
            string levels = $$"""
                {"reply":"250 2.0.0 Queued","class":"login","levels":[{"level":"server","name":"","origin":"Limits:Defaults:Server","used":{{i}},"after":{{i + 1}}},{"level":"plan","name":"basic","origin":"Limits:Defaults:Plan","used":{{i}},"after":{{i + 1}}},{"level":"subscription","name":"acme{{n}}","limit":"400/h","origin":"Limits:Defaults:Subscription","used":3,"after":4},{"level":"domain","name":"{{domain}}","limit":"200/h","origin":"Limits:Defaults:Domain","used":2,"after":3},{"level":"mailbox","name":"{{mailbox}}","limit":"100/h","origin":"Limits:Defaults:Mailbox","used":1,"after":2}]}
                """;
            string detail = $$"""
                {"listener":"local","protocol":"ESMTPA","helo":"client.test","client":"127.0.0.1","plan":"basic","recipients":1,"messageId":"<{{i}}@{{domain}}>","subject":"Your order {{i}}","from":"{{mailbox}}","reversePath":"{{mailbox}}","egress":{"why":"subscription-address","ipv4":"192.0.2.11","helo":"mail.{{domain}}"},"signatures":["d={{domain}} s=rg1"],"headerChanges":["+Received"]}
                """;
            insert.Bind(1, QueueId.Create(at, (ushort)random.Next(65536), (ulong)i).ToBytes()).Bind(2, $"acme{n}").Bind(3, $"login {mailbox}").Bind(4, mailbox)
                .Bind(5, at.ToUnixTimeMilliseconds()).BindUtf8(6, Encoding.UTF8.GetBytes(levels)).BindUtf8(7, Encoding.UTF8.GetBytes(detail)).Execute();
        }
        connection.Execute("commit; PRAGMA wal_checkpoint(TRUNCATE)");
    }
}
