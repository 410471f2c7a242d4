using System.Collections.Concurrent;
using System.Net.Sockets;
using System.Text;

namespace RelayGate.Tests.Sendmail;

/// <summary>An SMTP server on a unix socket that answers by a table: the first prefix that fits a command gives its reply.</summary>
/// <remarks>"" stands for the greeting and "." for the end of data; a reply of "close" closes the connection, one of "silence" says nothing.</remarks>
internal sealed class ScriptedGateway : IAsyncDisposable
{
    private static readonly (string Prefix, string Reply)[] Usual =
    [
        ("", "220 relay.example.net ESMTP"),
        ("EHLO", "250-relay.example.net\r\n250-PIPELINING\r\n250-SIZE 52428800\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n250 ENHANCEDSTATUSCODES"),
        ("MAIL", "250 2.1.0 Sender ok"),
        ("RCPT", "250 2.1.5 Recipient ok"),
        ("DATA", "354 Go ahead"),
        (".", "250 2.0.0 Queued; ref 01ARZ3NDEKTSV4RRFFQ69G5FAV"),
        ("QUIT", "221 2.0.0 Bye"),
        ("RSET", "250 2.0.0 Ok"),
    ];

    private readonly string _folder = Directory.CreateTempSubdirectory("rg-sendmail-").FullName;
    private readonly Socket _listener = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _running;
    private readonly (string Prefix, string Reply)[] _script;

    public ScriptedGateway(params (string Prefix, string Reply)[] script)
    {
        _script = [.. script, .. Usual];
        Path = System.IO.Path.Combine(_folder, "submit.sock");
        _listener.Bind(new UnixDomainSocketEndPoint(Path));
        _listener.Listen(16);
        _running = RunAsync();
    }

    public string Path { get; }

    /// <summary>Recipients over this in one transaction get 452 4.5.3.</summary>
    public int MaxRecipients { get; init; } = int.MaxValue;

    /// <summary>Command lines as received.</summary>
    public ConcurrentQueue<string> Commands { get; } = new();

    /// <summary>Mail data as received, without the final dot, one text for each transaction; an octet is a character.</summary>
    public ConcurrentQueue<string> Messages { get; } = new();

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        _listener.Dispose();
        await _running;
        _stop.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    private async Task RunAsync()
    {
        var sessions = new List<Task>();
        try
        {
            while (true)
                sessions.Add(ServeAsync(await _listener.AcceptAsync(_stop.Token)));
        }
        catch (Exception e) when (e is OperationCanceledException or SocketException or ObjectDisposedException)
        {
            await Task.WhenAll(sessions); // The test has ended.
        }
    }

    private async Task ServeAsync(Socket socket)
    {
        await using var stream = new NetworkStream(socket, ownsSocket: true);
        await ServeAsync(stream);
    }

    private async Task ServeAsync(NetworkStream stream)
    {
        using var reader = new StreamReader(stream, Encoding.Latin1);
        try
        {
            if (!await AnswerAsync(stream, ""))
                return;
            int recipients = 0;
            while (await ReadLineAsync(reader) is { } command)
            {
                Commands.Enqueue(command);
                recipients = command.StartsWith("RCPT", StringComparison.Ordinal) ? recipients + 1 : command.StartsWith("MAIL", StringComparison.Ordinal) ? 0 : recipients;
                if (recipients > MaxRecipients && command.StartsWith("RCPT", StringComparison.Ordinal))
                {
                    await stream.WriteAsync("452 4.5.3 Too many recipients\r\n"u8.ToArray(), _stop.Token);
                    continue;
                }
                if (!await AnswerAsync(stream, command) || command == "QUIT")
                    return;
                if (command != "DATA" || !ReplyTo(command).StartsWith("354", StringComparison.Ordinal))
                    continue;
                var data = new StringBuilder();
                while (await ReadLineAsync(reader) is { } line && line != ".")
                    data.Append(line).Append("\r\n");
                Messages.Enqueue(data.ToString());
                if (!await AnswerAsync(stream, "."))
                    return;
            }
        }
        catch (Exception e) when (e is IOException or OperationCanceledException)
        {
            // The client has gone, or the test has ended.
        }
    }

    private async Task<bool> AnswerAsync(NetworkStream stream, string command)
    {
        string reply = ReplyTo(command);
        if (reply == "close")
            return false;
        if (reply != "silence")
            await stream.WriteAsync(Encoding.Latin1.GetBytes(reply + "\r\n"), _stop.Token);
        return true;
    }

    private string ReplyTo(string command) =>
        Array.Find(_script, s => s.Prefix.Length == 0 || s.Prefix == "." ? s.Prefix == command : command.StartsWith(s.Prefix, StringComparison.Ordinal)).Reply
        ?? "502 5.5.1 Unknown command";

    /// <summary>A line ends with CRLF and with nothing else, so that what the client does not make right shows.</summary>
    private async Task<string?> ReadLineAsync(StreamReader reader)
    {
        var line = new StringBuilder();
        char[] one = new char[1];
        while (await reader.ReadAsync(one.AsMemory(), _stop.Token) > 0)
        {
            line.Append(one[0]);
            if (line.Length >= 2 && line[^2] == '\r' && line[^1] == '\n')
                return line.ToString(0, line.Length - 2);
        }
        return null;
    }
}
