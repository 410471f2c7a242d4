using System.Net;
using System.Net.Sockets;
using System.Text;

namespace RelayGate.Server.Demo;

/// <summary>What the receiver took: one message.</summary>
/// <param name="From">Address the connection came from: the egress address.</param>
/// <param name="Signature">d= and s= of the first DKIM-Signature as written, not verified; "" without one.</param>
internal sealed record ReceivedMessage(IPAddress From, string Helo, string ReversePath, IReadOnlyList<string> Recipients, long Octets, string Subject, string Signature);

/// <summary>
/// The internet of the demo: an SMTP receiver on loopback that takes everything, keeps nothing and tells what came.
/// Recipients called <c>unknown</c> get 550 and those called <c>later</c> 451, so that failures and retries can be seen.
/// </summary>
internal sealed class DemoReceiver : IAsyncDisposable
{
    private const int MaxConnections = 200;
    private const int MaxHeaderLines = 1000;

    private static readonly TimeSpan Idle = TimeSpan.FromMinutes(5);

    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly CancellationTokenSource _stopping = new();
    private readonly SemaphoreSlim _connections = new(MaxConnections);
    private readonly Action<ReceivedMessage> _received;
    private readonly Task _accepting;

    public DemoReceiver(Action<ReceivedMessage> received)
    {
        _received = received;
        _listener.Start();
        _accepting = Task.Run(AcceptAsync);
    }

    public int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;

    public async ValueTask DisposeAsync()
    {
        await _stopping.CancelAsync();
        _listener.Stop();
        await _accepting;
        _stopping.Dispose();
        _connections.Dispose();
    }

    private async Task AcceptAsync()
    {
        var sessions = new List<Task>();
        try
        {
            while (true)
            {
                await _connections.WaitAsync(_stopping.Token);
                Socket socket = await _listener.AcceptSocketAsync(_stopping.Token);
                sessions.RemoveAll(s => s.IsCompleted);
                sessions.Add(ServeAsync(socket));
            }
        }
        catch (Exception error) when (error is OperationCanceledException or SocketException or ObjectDisposedException)
        {
            await Task.WhenAll(sessions);
        }
    }

    private async Task ServeAsync(Socket socket)
    {
        try
        {
            using var deadline = CancellationTokenSource.CreateLinkedTokenSource(_stopping.Token);
            await using var stream = new NetworkStream(socket, ownsSocket: true);
            using var reader = new StreamReader(stream, Encoding.Latin1, detectEncodingFromByteOrderMarks: false, bufferSize: 16 * 1024);
            await new Session(this, ((IPEndPoint)socket.RemoteEndPoint!).Address, reader, stream, deadline).RunAsync();
        }
        catch (Exception error) when (error is IOException or OperationCanceledException or SocketException)
        {
            // The gateway went away, or the demo ends.
        }
        finally
        {
            _connections.Release();
        }
    }

    private sealed class Session(DemoReceiver receiver, IPAddress client, StreamReader reader, NetworkStream stream, CancellationTokenSource deadline)
    {
        private readonly List<string> _recipients = [];
        private string _helo = "";
        private string _reversePath = "";

        public async Task RunAsync()
        {
            await ReplyAsync("220 mx.demo.example ESMTP demo receiver");
            while (await ReadLineAsync() is { } line)
            {
                string verb = line.Split(' ')[0].ToUpperInvariant();
                switch (verb)
                {
                    case "EHLO" or "HELO":
                        _helo = line.Length > 5 ? line[5..] : "";
                        await ReplyAsync("250-mx.demo.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n250 ENHANCEDSTATUSCODES");
                        break;
                    case "MAIL":
                        _reversePath = PathOf(line);
                        _recipients.Clear();
                        await ReplyAsync("250 2.1.0 ok");
                        break;
                    case "RCPT":
                        await ReplyAsync(TakeRecipient(PathOf(line)));
                        break;
                    case "DATA" when _recipients.Count > 0:
                        await ReplyAsync("354 go ahead");
                        await TakeDataAsync();
                        await ReplyAsync("250 2.0.0 taken by the demo receiver");
                        _recipients.Clear();
                        break;
                    case "DATA":
                        await ReplyAsync("554 5.5.1 no valid recipients");
                        break;
                    case "RSET" or "NOOP":
                        _recipients.Clear();
                        await ReplyAsync("250 2.0.0 ok");
                        break;
                    case "QUIT":
                        await ReplyAsync("221 2.0.0 bye");
                        return;
                    default:
                        await ReplyAsync("500 5.5.1 unknown command");
                        break;
                }
            }
        }

        private string TakeRecipient(string recipient)
        {
            switch (recipient.Split('@')[0].ToLowerInvariant())
            {
                case "unknown":
                    return $"550 5.1.1 <{recipient}> no such user in the demo";
                case "later":
                    return $"451 4.2.0 <{recipient}> is busy, try again later";
                default:
                    _recipients.Add(recipient);
                    return "250 2.1.5 ok";
            }
        }

        private async Task TakeDataAsync()
        {
            long octets = 0;
            string subject = "", signature = "";
            bool inHeader = true, inSignature = false;
            int lines = 0;
            while (await ReadLineAsync() is { } line && line != ".")
            {
                octets += line.Length + 2;
                if (!inHeader || ++lines > MaxHeaderLines)
                    continue;
                inHeader = line.Length > 0;
                bool folded = line.StartsWith(' ') || line.StartsWith('\t');
                inSignature = folded ? inSignature : line.StartsWith("DKIM-Signature:", StringComparison.OrdinalIgnoreCase);
                if (inSignature && signature.Length < 4096)
                    signature += line;
                if (line.StartsWith("Subject:", StringComparison.OrdinalIgnoreCase))
                    subject = line["Subject:".Length..].Trim();
            }
            string tags = signature.Length == 0 ? "" : $"d={Tag(signature, "d")} s={Tag(signature, "s")}";
            receiver._received(new ReceivedMessage(client, _helo, _reversePath, [.. _recipients], octets, subject, tags));
        }

        private async Task<string?> ReadLineAsync()
        {
            deadline.CancelAfter(Idle);
            return await reader.ReadLineAsync(deadline.Token);
        }

        private async Task ReplyAsync(string reply) => await stream.WriteAsync(Encoding.ASCII.GetBytes(reply + "\r\n"), deadline.Token);

        private static string PathOf(string line)
        {
            int open = line.IndexOf('<'), close = line.IndexOf('>');
            return open >= 0 && close > open ? line[(open + 1)..close] : "";
        }

        private static string Tag(string signature, string name) => signature[(signature.IndexOf(':') + 1)..]
            .Split(';', StringSplitOptions.TrimEntries)
            .Select(t => t.Split('=', 2, StringSplitOptions.TrimEntries))
            .FirstOrDefault(t => t.Length == 2 && t[0] == name)?[1] ?? "?";
    }
}
