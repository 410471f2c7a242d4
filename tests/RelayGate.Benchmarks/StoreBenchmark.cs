using System.Diagnostics;
using System.Net;
using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using RelayGate.Configuration;
using RelayGate.Core.Mail;
using RelayGate.Core.Messages;
using RelayGate.Core.Policy;
using RelayGate.Core.Smtp;
using RelayGate.Queue;
using RelayGate.Storage;
using RelayGate.Telemetry;

namespace RelayGate.Benchmarks;

/// <summary>
/// The store's part of a message's way: offer, binding decision, commit, hand-over, outcome, deletion, with five counters and the record.
/// <c>dotnet run -c Release --project tests/RelayGate.Benchmarks -- store [messages] [sessions] [octets]</c>
/// </summary>
internal static class StoreBenchmark
{
    public static async Task RunAsync(string[] args)
    {
        int messages = args.Length > 0 ? int.Parse(args[0]) : 100_000;
        int sessions = args.Length > 1 ? int.Parse(args[1]) : 64;
        int octets = args.Length > 2 ? int.Parse(args[2]) : 4096;
        string folder = Directory.CreateTempSubdirectory("rg-bench-").FullName;
        try
        {
            await RunAsync(folder, messages / 10, sessions, octets, "warm-up");
            await RunAsync(folder, messages, sessions, octets, "measured");
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static async Task RunAsync(string folder, int messages, int sessions, int octets, string name)
    {
        var options = new RelayGateOptions();
        using SqliteRelayStore store = SqliteRelayStore.Open(folder);
        var usage = new UsageTable(store, TimeProvider.System);
        using var metrics = new RelayGateMetrics();
        using var writer = new QueueWriter(store, usage, _ => default, options, metrics, TimeProvider.System, NullLogger<QueueWriter>.Instance);
        using var scheduler = new QueueScheduler(
            store, writer, new DestinationLanes((_, _) => "smarthost", _ => sessions), () => Suspensions.None, TimeSpan.FromMinutes(1), TimeProvider.System,
            NullLogger<QueueScheduler>.Instance, 64L * 1024 * 1024);
        byte[] body = new byte[octets];
        Random.Shared.NextBytes(body);
        SenderAccount[] accounts = [.. Enumerable.Range(0, 20).Select(Account)];
        int left = messages;
        TimeSpan cpu = Environment.CpuUsage.TotalTime;
        long allocated = GC.GetTotalAllocatedBytes();
        long started = Stopwatch.GetTimestamp();

        Task[] delivering = [.. Enumerable.Range(0, sessions).Select(_ => Task.Run(() => DeliverAsync(writer, scheduler)))];
        await Task.WhenAll(Enumerable.Range(0, sessions).Select(n => Task.Run(async () =>
        {
            while (Interlocked.Decrement(ref left) >= 0)
                await OfferAsync(writer, accounts[n % accounts.Length], body);
        })));
        TimeSpan offered = Stopwatch.GetElapsedTime(started);
        while (await store.ReadAsync(Remaining, CancellationToken.None) > 0)
            await Task.Delay(5);
        TimeSpan all = Stopwatch.GetElapsedTime(started);

        cpu = Environment.CpuUsage.TotalTime - cpu;
        allocated = GC.GetTotalAllocatedBytes() - allocated;
        PrintThreads(messages);
        scheduler.Dispose();
        await Task.WhenAll(delivering);
        Console.WriteLine(
            $"{name}: {messages} messages of {octets} octets, {sessions} sessions: {messages / all.TotalSeconds:N0}/s delivered ({messages / offered.TotalSeconds:N0}/s accepted), "
            + $"{cpu.TotalMicroseconds / messages:N1} us CPU and {allocated / messages:N0} octets allocated per message, WAL {new FileInfo(store.Path + "-wal").Length >> 20} MiB, file {new FileInfo(store.Path).Length >> 20} MiB");
    }

    /// <summary>CPU by thread name since the thread began; the store's threads begin with each run.</summary>
    private static void PrintThreads(int messages)
    {
        var byName = new SortedDictionary<string, (double User, double System)>();
        foreach (string task in Directory.GetDirectories("/proc/self/task"))
        {
            string stat = File.ReadAllText(Path.Combine(task, "stat"));
            string name = stat[(stat.IndexOf('(') + 1)..stat.LastIndexOf(')')];
            string[] fields = stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
            (double user, double system) = byName.GetValueOrDefault(name);
            byName[name] = (user + double.Parse(fields[11]) * 10_000, system + double.Parse(fields[12]) * 10_000);
        }
        foreach ((string name, (double user, double system)) in byName.Where(t => t.Value.User + t.Value.System > messages))
            Console.WriteLine($"  {name,-16} user {user / messages,6:N1} us  system {system / messages,6:N1} us");
    }

    private static long Remaining(System.Data.Common.DbConnection connection)
    {
        using System.Data.Common.DbCommand command = connection.CreateCommand();
        command.CommandText = "select exists (select 1 from message)";
        return (long)command.ExecuteScalar()!;
    }

    private static async Task DeliverAsync(QueueWriter writer, QueueScheduler scheduler)
    {
        while (await scheduler.TakeAsync(CancellationToken.None) is { } job)
        {
            var attempt = new DeliveryAttempt(
                DateTimeOffset.UnixEpoch.AddTicks(Stopwatch.GetTimestamp()), TimeSpan.FromMilliseconds(12), "end-of-data", "mx.example.org", "203.0.113.5:25", "192.0.2.11", "TLS 1.3 AES",
                [new RecipientResult(job.Recipients[0], DeliveryResult.Delivered, "250 2.0.0 Ok: queued as 4Bq1Zk1234z", "2.0.0", null)]);
            await writer.CompleteAsync(job, attempt, null);
            scheduler.Complete(job);
        }
    }

    private static async Task OfferAsync(QueueWriter writer, SenderAccount account, byte[] body)
    {
        var envelope = new Envelope(new ReversePath(account.Mailbox), [new EnvelopeRecipient(new ForwardPath(MailboxAddress.Parse("customer@example.org")))]);
        byte[] header = Encoding.ASCII.GetBytes(
            $"Received: from client.test ([127.0.0.1]) by relay.example.net with ESMTPA id 01ARZ3NDEKTSV4RRFFQ69G5FAV for <customer@example.org>; Sun, 1 Mar 2026 12:00:00 +0000\r\nFrom: {account.Mailbox}\r\nSubject: Your order\r\n\r\n");
        byte[] pooled = System.Buffers.ArrayPool<byte>.Shared.Rent(body.Length);
        body.CopyTo(pooled, 0);
        DateTimeOffset now = TimeProvider.System.GetUtcNow();
        var message = new OfferedMessage
        {
            Id = QueueId.Create(now, (ushort)Random.Shared.Next(65536), (ulong)Random.Shared.NextInt64()),
            ReceivedAt = now,
            Source = new SubmissionSource("local", "client.test", "ESMTPA"),
            Account = account,
            Envelope = envelope,
            Facts = new MessageFacts { Octets = header.Length + body.Length, FromFields = 1, From = [account.Mailbox!], HasDate = true, HasMessageId = true, MessageId = "<1@shop.test>", Subject = "Your order" },
            Early = new Decision
            {
                Verdict = Verdict.Accept,
                Reason = Reasons.Accepted,
                Reply = SmtpReply.Parse("250 2.0.0 Queued"),
                ReversePath = envelope.ReversePath,
                Egress = new EgressChoice(new EgressAddress(IPAddress.Parse("192.0.2.11"), "mail.shop.test"), null, "relay.example.net", "subscription-address"),
            },
            HeaderSection = header,
            HeaderChanges = ["+Received"],
            Body = MessageBody.FromPooled(pooled, 0, body.Length),
        };
        OfferResult result = await writer.OfferAsync(message, CancellationToken.None);
        if (result.Outcome != OfferOutcome.Committed)
            throw new InvalidOperationException($"The offer ended as {result.Outcome}");
        message.Body.Release();
    }

    private static SenderAccount Account(int n) => new()
    {
        Identity = new SenderIdentity(IdentityKind.Login, $"info@shop{n}.test", IPAddress.Loopback),
        Subscription = $"acme{n}",
        Plan = "basic",
        Levels =
        [
            Level(AccountKey.Server), Level(new AccountKey(Core.Policy.Level.Plan, "basic")), Level(new AccountKey(Core.Policy.Level.Subscription, $"acme{n}")),
            Level(new AccountKey(Core.Policy.Level.Domain, $"shop{n}.test")), Level(new AccountKey(Core.Policy.Level.Mailbox, $"info@shop{n}.test")),
        ],
        Mailbox = MailboxAddress.Parse($"info@shop{n}.test"),
        DefaultSender = MailboxAddress.Parse($"info@shop{n}.test"),
        ReversePathOwner = DomainOwner.Own,
        HeaderFromOwner = DomainOwner.Own,
        MaxMessageOctets = 50_000_000,
        MaxRecipients = 1000,
    };

    private static LevelLimit Level(AccountKey key)
    {
        return LimitSet.TryParse("100000000/h", out LimitSet? limits) ? new LevelLimit(key, limits, "own") : throw new FormatException("The limit cannot be read");
    }
}
