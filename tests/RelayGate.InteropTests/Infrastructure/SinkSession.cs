using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Text;

namespace RelayGate.InteropTests.Infrastructure;

/// <summary>One session of <see cref="SinkServer"/>.</summary>
internal sealed class SinkSession(SinkServer server, Socket socket, Stream stream)
{
    private Stream _stream = stream;
    private readonly byte[] _buffer = new byte[64 * 1024];
    private int _start;
    private int _end;
    private bool _tls;

    public async Task RunAsync(CancellationToken cancellationToken)
    {
        IPAddress client = ((IPEndPoint)socket.RemoteEndPoint!).Address;
        string helo = "";
        string? mail = null;
        List<string> recipients = [];
        if (!await SendAsync(server.Reply("CONNECT") ?? "220 sink.test ESMTP"))
            return;
        while (await ReadLineAsync(cancellationToken) is { } octets)
        {
            string line = Encoding.UTF8.GetString(octets);
            string verb = line.Split(' ')[0].ToUpperInvariant();
            string? told = server.Reply(line);
            bool taken = told is null || told.StartsWith('2');
            switch (verb)
            {
                case "EHLO" or "HELO":
                    helo = line[5..];
                    await SendAsync(told ?? (verb == "EHLO" ? Greeting() : "250 sink.test"));
                    break;
                case "STARTTLS" when server.Certificate is not null:
                    await SendAsync("220 2.0.0 Go ahead");
                    var secured = new SslStream(_stream);
                    await secured.AuthenticateAsServerAsync(server.Certificate);
                    (_stream, _tls, _start, _end) = (secured, true, 0, 0);
                    break;
                case "MAIL":
                    mail = taken ? line[(line.IndexOf(':', StringComparison.Ordinal) + 1)..].Trim() : null;
                    recipients.Clear();
                    await SendAsync(told ?? "250 2.1.0 Ok");
                    break;
                case "RCPT" when mail is null: // Pipelined behind a refused MAIL.
                    await SendAsync("503 5.5.1 MAIL first");
                    break;
                case "RCPT":
                    if (taken)
                        recipients.Add(line[(line.IndexOf(':', StringComparison.Ordinal) + 1)..].Trim());
                    await SendAsync(told ?? "250 2.1.5 Ok");
                    break;
                case "DATA" when recipients.Count == 0:
                    await SendAsync("503 5.5.1 No recipients");
                    break;
                case "DATA":
                    await SendAsync(told is null || taken ? "354 Go on" : told);
                    if (!taken)
                        break;
                    byte[] data = await ReadDataAsync(cancellationToken);
                    string? end = server.Reply(".");
                    if (end is null || end.StartsWith('2'))
                        server.Keep(new SinkMessage(client, helo, mail!, [.. recipients], data, _tls));
                    mail = null;
                    recipients.Clear();
                    await SendAsync(end ?? "250 2.0.0 Ok");
                    break;
                case "QUIT":
                    await SendAsync("221 2.0.0 Bye");
                    return;
                case "RSET":
                    mail = null;
                    recipients.Clear();
                    await SendAsync("250 2.0.0 Ok");
                    break;
                case "NOOP":
                    await SendAsync("250 2.0.0 Ok");
                    break;
                default:
                    await SendAsync(told ?? "502 5.5.1 No such command");
                    break;
            }
        }
    }

    private string Greeting()
    {
        string[] lines = ["sink.test", .. server.Extensions, .. server.Certificate is not null && !_tls ? ["STARTTLS"] : Array.Empty<string>()];
        return string.Join("\r\n", lines.Select((text, i) => $"250{(i == lines.Length - 1 ? ' ' : '-')}{text}"));
    }

    /// <returns>False when the reply told us to hang up.</returns>
    private async Task<bool> SendAsync(string reply)
    {
        await _stream.WriteAsync(Encoding.UTF8.GetBytes(reply + "\r\n"));
        return !reply.StartsWith("421", StringComparison.Ordinal) && !reply.StartsWith("554", StringComparison.Ordinal);
    }

    private async Task<byte[]> ReadDataAsync(CancellationToken cancellationToken)
    {
        using var data = new MemoryStream();
        while (await ReadLineAsync(cancellationToken) is { } line)
        {
            if (line is [(byte)'.'])
                return data.ToArray();
            data.Write(line[0..].AsSpan(line is [(byte)'.', ..] ? 1 : 0));
            data.Write("\r\n"u8);
        }
        throw new IOException("Closed inside mail data");
    }

    /// <summary>One line without its CRLF; null at the end. A bare LF stays inside the line and shows up in what was received.</summary>
    private async Task<byte[]?> ReadLineAsync(CancellationToken cancellationToken)
    {
        using var line = new MemoryStream();
        while (true)
        {
            for (int i = _start; i < _end; i++)
            {
                line.WriteByte(_buffer[i]);
                if (_buffer[i] != (byte)'\n' || line.Length < 2 || line.GetBuffer()[line.Length - 2] != (byte)'\r')
                    continue;
                _start = i + 1;
                return line.GetBuffer()[..(int)(line.Length - 2)];
            }
            (_start, _end) = (0, await _stream.ReadAsync(_buffer, cancellationToken));
            if (_end == 0)
                return null;
        }
    }
}
