using System.Net.Sockets;
using System.Text;

namespace RelayGate.Server.Cli;

/// <summary>A small SMTP client for <c>relaygate send</c>: one command, one reply.</summary>
internal sealed class SmtpDialog : IDisposable
{
    private const int MaxReplyLines = 100;

    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(3);

    private readonly Socket _socket;
    private readonly NetworkStream _stream;
    private readonly StreamReader _reader;

    private SmtpDialog(Socket socket)
    {
        _socket = socket;
        _stream = new NetworkStream(socket, ownsSocket: true);
        _reader = new StreamReader(_stream, Encoding.UTF8);
    }

    /// <param name="server">host:port, or the path of a unix socket.</param>
    public static async Task<SmtpDialog> ConnectAsync(string server, CancellationToken cancellationToken)
    {
        bool isPath = server.Contains('/');
        var socket = isPath
            ? new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified)
            : new Socket(SocketType.Stream, ProtocolType.Tcp);
        try
        {
            if (isPath)
            {
                await socket.ConnectAsync(new UnixDomainSocketEndPoint(server), cancellationToken);
            }
            else
            {
                int colon = server.LastIndexOf(':');
                if (colon <= 0 || !ushort.TryParse(server.AsSpan(colon + 1), out ushort port))
                    throw new CliException(ExitCode.Usage, $"'{server}' is not host:port");
                await socket.ConnectAsync(server[..colon].Trim('[', ']'), port, cancellationToken);
            }
            return new SmtpDialog(socket);
        }
        catch (Exception error) when (error is SocketException or ArgumentException)
        {
            socket.Dispose();
            throw new CliException(ExitCode.Unreachable, $"cannot connect to {server}: {error.Message}");
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    /// <summary>Sends a line (or, with null, nothing) and reads the reply, lines joined by LF.</summary>
    public async Task<SmtpAnswer> AskAsync(string? command, CancellationToken cancellationToken)
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        patience.CancelAfter(Patience);
        try
        {
            if (command is not null)
                await _stream.WriteAsync(Encoding.UTF8.GetBytes(command + "\r\n"), patience.Token);
            var lines = new List<string>();
            while (await _reader.ReadLineAsync(patience.Token) is { } line && lines.Count < MaxReplyLines)
            {
                lines.Add(line);
                if (line.Length >= 3 && (line.Length == 3 || line[3] == ' ') && int.TryParse(line.AsSpan(0, 3), out int code))
                    return new SmtpAnswer(code, string.Join('\n', lines));
            }
            throw new CliException(ExitCode.Failed, lines.Count == 0 ? "the connection was closed" : $"no SMTP reply: {lines[0]}");
        }
        catch (IOException)
        {
            throw new CliException(ExitCode.Failed, "the connection was lost");
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            throw new CliException(ExitCode.Failed, $"no reply within {Patience.TotalMinutes:0} minutes");
        }
    }

    /// <summary>Sends mail data with CRLF line ends and dots doubled, then the final dot, and reads the reply.</summary>
    public async Task<SmtpAnswer> SendDataAsync(byte[] content, CancellationToken cancellationToken)
    {
        using var data = new MemoryStream(content.Length + 1024);
        byte last = (byte)'\n';
        foreach (byte octet in content)
        {
            if (octet == '\r')
                continue;
            if (octet == '\n')
                data.WriteByte((byte)'\r');
            else if (octet == '.' && last == '\n')
                data.WriteByte((byte)'.');
            data.WriteByte(octet);
            last = octet;
        }
        if (last != '\n')
            data.Write("\r\n"u8);
        try
        {
            await _stream.WriteAsync(data.GetBuffer().AsMemory(0, (int)data.Length), cancellationToken);
        }
        catch (IOException)
        {
            throw new CliException(ExitCode.Failed, "the connection was lost");
        }
        return await AskAsync(".", cancellationToken);
    }

    public void Dispose()
    {
        _reader.Dispose();
        _stream.Dispose();
        _socket.Dispose();
    }
}

/// <param name="Text">The whole reply.</param>
internal sealed record SmtpAnswer(int Code, string Text)
{
    public bool IsPositive => Code < 400;
}
