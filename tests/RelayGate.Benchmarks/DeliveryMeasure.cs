using System.Collections.Immutable;
using System.Diagnostics;
using System.Net;
using System.Text;
using RelayGate.Configuration;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Delivery;
using RelayGate.Dns;
using RelayGate.Egress;
using RelayGate.Queue;
using RelayGate.Replies;
using RelayGate.Telemetry;

namespace RelayGate.Benchmarks;

/// <summary>Measures delivery alone: CPU and allocations for one message over kept sessions on loopback. The receiver is a process of its own.</summary>
/// <remarks><c>delivery [messages] [octets] [sessions]</c>; budget: 100 µs for 4 KiB (docs/performance.md).</remarks>
internal static class DeliveryMeasure
{
    public static async Task RunAsync(string[] args)
    {
        int messages = args.Length > 0 ? int.Parse(args[0]) : 100_000;
        int octets = args.Length > 1 ? int.Parse(args[1]) : 4096;
        int sessions = args.Length > 2 ? int.Parse(args[2]) : 20;
        using var sink = Process.Start(new ProcessStartInfo(Environment.ProcessPath!, "delivery-sink") { UseShellExecute = false, RedirectStandardOutput = true, RedirectStandardInput = true })!;
        string endPoint = (await sink.StandardOutput.ReadLineAsync())!;

        var options = new RelayGateOptions { Hostname = "relay.test" };
        options.Delivery.NextHop = $"smtp://{endPoint}";
        using var metrics = new RelayGateMetrics();
        using var rules = new ReplyRuleBook(options.Delivery, TimeProvider.System, Microsoft.Extensions.Logging.Abstractions.NullLogger<ReplyRuleBook>.Instance);
        using var pool = new ConnectionPool(options.Delivery, TimeProvider.System, (_, _, _) => throw new InvalidOperationException(), rules, new RelayGate.Tls.TrustedAuthorities(null));
        var dns = new DnsResolver(new DnsServers("127.0.0.1", TimeProvider.System), TimeProvider.System);
        var tls = new TlsPlanner(options.Delivery, dns, TimeProvider.System);
        var deliverer = new Deliverer(new NextHopResolver(options, dns, rules), tls, (_, _, _) => new(true), (_, _) => new((string?)null), new LocalAddresses(TimeProvider.System), pool, null, new EgressStates(TimeProvider.System), options.Delivery, metrics, TimeProvider.System);
        var recorder = new AttemptRecorder(options.Delivery);
        DeliveryJob job = Job(octets);

        await SendAsync(deliverer, recorder, job, messages / 5, sessions);
        long allocated = GC.GetTotalAllocatedBytes();
        TimeSpan cpu = Environment.CpuUsage.TotalTime;
        TimeSpan kernel = Environment.CpuUsage.PrivilegedTime;
        long started = Stopwatch.GetTimestamp();
        await SendAsync(deliverer, recorder, job, messages, sessions);
        TimeSpan elapsed = Stopwatch.GetElapsedTime(started);
        cpu = Environment.CpuUsage.TotalTime - cpu;
        kernel = Environment.CpuUsage.PrivilegedTime - kernel;
        allocated = GC.GetTotalAllocatedBytes() - allocated;
        Console.WriteLine(
            $"{messages} messages of {octets} octets, {sessions} sessions: {messages / elapsed.TotalSeconds:0}/s, CPU {cpu.TotalMicroseconds / messages:0.0} µs " +
            $"(kernel {kernel.TotalMicroseconds / messages:0.0}), {allocated / messages} octets allocated for each");
        sink.StandardInput.Close();
        await sink.WaitForExitAsync();
    }

    /// <summary>A receiver that acknowledges everything, until its standard input ends.</summary>
    public static async Task SinkAsync()
    {
        await using var sink = new CountingSink(withChunking: false);
        Console.WriteLine(sink.EndPoint);
        await Console.In.ReadToEndAsync();
    }

    private static async Task SendAsync(Deliverer deliverer, AttemptRecorder recorder, DeliveryJob job, int messages, int sessions)
    {
        int left = messages;
        await Task.WhenAll(Enumerable.Range(0, sessions).Select(_ => Task.Run(async () =>
        {
            while (Interlocked.Decrement(ref left) >= 0)
            {
                var result = new AttemptResult(job.Recipients.Length, TimeProvider.System);
                await deliverer.AttemptAsync(new JobPart(job, null), result, CancellationToken.None);
                DeliveryAttempt attempt = recorder.Record(job, result, job.Message.ReceivedAt, TimeSpan.Zero, 0.5);
                if (attempt.Results[0].Result != DeliveryResult.Delivered)
                    throw new InvalidOperationException(attempt.Results[0].Reply);
            }
        })));
    }

    private static DeliveryJob Job(int octets)
    {
        string header = "Received: from client by relay.test\r\n" + string.Concat(Enumerable.Range(0, 12).Select(i => $"X-Field-{i}: {new string('v', 60)}\r\n"))
            + "From: a@shop.test\r\nTo: b@dest.test\r\nSubject: hello\r\n\r\n";
        var body = new StringBuilder();
        while (header.Length + body.Length < octets)
            body.Append("A line of text as people write them, sixty-odd characters.\r\n");
        var recipient = new QueuedRecipient(
            0, new ForwardPath(MailboxAddress.Parse("b@dest.test")), DsnNotify.Default, null, RecipientState.Pending, 0, DateTimeOffset.UnixEpoch, null);
        var message = new QueuedMessage
        {
            Id = default,
            RowId = 1,
            Subscription = "acme",
            ReceivedAt = DateTimeOffset.UnixEpoch,
            ReversePath = new ReversePath(MailboxAddress.Parse("a@shop.test")),
            Recipients = [recipient],
            RecipientCount = 1,
            Egress = new EgressChoice(new EgressAddress(IPAddress.Loopback, "mail.shop.test"), null, "", "subscription-address"),
            HeaderSection = Encoding.ASCII.GetBytes(header),
            Body = MessageBody.FromBytes(Encoding.ASCII.GetBytes(body.ToString())),
        };
        return new DeliveryJob(message, [recipient]);
    }
}
