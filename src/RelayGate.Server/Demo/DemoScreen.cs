using RelayGate.Core.Policy;
using RelayGate.Server.Cli;
using RelayGate.Telemetry;

namespace RelayGate.Server.Demo;

/// <summary>What the demo prints: the guide, one line for each message received, and the summary.</summary>
internal sealed class DemoScreen
{
    /// <summary>A load test into the demo must not be slowed by its screen.</summary>
    private const int MaxLinesShown = 200;

    private const int RecipientsShown = 3;

    private readonly Lock _printing = new();
    private int _received;
    private long _stoppingSince;

    public static void PrintGuide(string folder, string server, string password)
    {
        string programs = Path.TrimEndingDirectorySeparator(AppContext.BaseDirectory);
        Console.WriteLine($"""

            Nothing leaves this machine: all mail goes to a built-in receiver.
            Sample: plan basic 1000/h > subscription acme 200/h, leaves from {DemoSamples.Address} > domain shop.test 50/h, DKIM rg1 > mailbox info@shop.test 5/h
            Login {DemoSamples.Mailbox}, password {password}, server {server}, no TLS

            In a second terminal:
              export PATH={Quote(programs)}:$PATH RELAYGATE_SOCKET={Quote(Path.Combine(folder, "control.sock"))} RELAYGATE_SUBMIT={Quote(Path.Combine(folder, "submit.sock"))}
              relaygate send --to ann@example.net --subject Hello              # by SMTP, as info@shop.test
              for i in 1 2 3 4 5; do relaygate send -q --to ann@example.net; done   # the sixth within the hour is refused
              relaygate message list                                          # then: relaygate message explain REF
              relaygate limit show mailbox info@shop.test                     # used, origin, next possible
              relaygate limit set mailbox info@shop.test 25/h
              relaygate send --to unknown@example.net                         # fails: a report comes back
              relaygate explain --as info@shop.test --from ceo@bank.example --to ann@example.net
              printf 'Subject: cron\n\nhello\n' | relaygate-sendmail -i ann@example.net   # by the unix socket; identity: your uid
              relaygate status

            """);
    }

    public void Show(ReceivedMessage message)
    {
        lock (_printing)
        {
            if (++_received > MaxLinesShown)
                return;
            string signature = message.Signature.Length == 0 ? "not signed" : $"DKIM {message.Signature}";
            string more = message.Recipients.Count > RecipientsShown ? $" +{message.Recipients.Count - RecipientsShown}" : "";
            string line = $"received <{message.ReversePath}> -> {string.Join(", ", message.Recipients.Take(RecipientsShown).Select(r => $"<{r}>"))}{more} from {message.From} as {message.Helo}, {message.Octets} octets, {signature}: {message.Subject}";
            Console.WriteLine(Output.Clean(line));
            if (_received == MaxLinesShown)
                Console.WriteLine("(what is received from now on is only counted)");
        }
    }

    public void Stopping() => _stoppingSince = TimeProvider.System.GetTimestamp();

    public void PrintSummary(RelayGateMetrics metrics)
    {
        long accepted = metrics.Messages.Value("accepted", Reasons.Accepted);
        long left = metrics.QueueMessages().Sum(q => q.Count);
        Console.WriteLine();
        Console.WriteLine($"stopped cleanly in {TimeProvider.System.GetElapsedTime(_stoppingSince).TotalSeconds:0.0} s: "
            + $"messages: {accepted} accepted, {metrics.Messages.Total - accepted} refused, {left} left in the queue; recipients: {metrics.Deliveries.Value("delivered")} delivered");
    }

    /// <summary>For a shell, only where it is needed.</summary>
    private static string Quote(string path) => path.All(c => char.IsAsciiLetterOrDigit(c) || "/._-+".Contains(c)) ? path : $"'{path.Replace("'", @"'\''")}'";
}
