using System.Net;
using System.Net.Sockets;
using System.Text;

namespace RelayGate.InteropTests.Infrastructure;

/// <summary>A bare SMTP client for what no usual program does: writes octets, reads replies.</summary>
public sealed class SmtpDialog : IDisposable
{
    private static readonly TimeSpan Bound = TimeSpan.FromSeconds(20);
    private readonly Socket _socket;
    private readonly StreamReader _reader;

    private SmtpDialog(Socket socket)
    {
        _socket = socket;
        Stream = new NetworkStream(socket, ownsSocket: true);
        _reader = new StreamReader(Stream, Encoding.Latin1);
    }

    public NetworkStream Stream { get; }

    public static Task<SmtpDialog> ConnectAsync(int port) => ConnectAsync(new IPEndPoint(IPAddress.Loopback, port));

    /// <param name="server">A port, or a unix socket, which is the same in every network namespace.</param>
    public static async Task<SmtpDialog> ConnectAsync(EndPoint server)
    {
        var socket = new Socket(server.AddressFamily, SocketType.Stream, server.AddressFamily == AddressFamily.Unix ? ProtocolType.Unspecified : ProtocolType.Tcp);
        try
        {
            if (server.AddressFamily != AddressFamily.Unix)
                socket.NoDelay = true;
            await socket.ConnectAsync(server);
        }
        catch (SocketException)
        {
            socket.Dispose();
            throw;
        }
        return new SmtpDialog(socket);
    }

    /// <summary>Writes octets, one for each character.</summary>
    public async Task WriteAsync(string octets) => await Stream.WriteAsync(Encoding.Latin1.GetBytes(octets));

    /// <summary>Last line of the next reply; null when the peer closed.</summary>
    public async Task<string?> ReplyAsync()
    {
        while (true)
        {
            string? line = await _reader.ReadLineAsync().WaitAsync(Bound);
            if (line is null || line.Length < 4 || line[3] != '-')
                return line;
        }
    }

    public async Task<string?> CommandAsync(string line)
    {
        await WriteAsync(line + "\r\n");
        return await ReplyAsync();
    }

    public async Task ExpectAsync(string line, string reply)
    {
        string? got = await CommandAsync(line);
        Assert.True(got?.StartsWith(reply, StringComparison.Ordinal) == true, $"{line}: expected {reply}, got {got}");
    }

    /// <summary>EHLO and AUTH PLAIN.</summary>
    public async Task LogInAsync(string login, string password)
    {
        Assert.StartsWith("220 ", await ReplyAsync());
        await ExpectAsync("EHLO client.test", "250");
        await ExpectAsync("AUTH PLAIN " + Convert.ToBase64String(Encoding.UTF8.GetBytes($"\0{login}\0{password}")), "235");
    }

    /// <summary>One transaction; the reply to the final dot, or the first refusal.</summary>
    public async Task<string?> SendAsync(string reversePath, string forwardPath, string content)
    {
        foreach (string command in (string[])[$"MAIL FROM:<{reversePath}>", $"RCPT TO:<{forwardPath}>", "DATA"])
        {
            string? reply = await CommandAsync(command);
            if (reply is null || reply[0] is '4' or '5')
                return reply;
        }
        await WriteAsync(content.Replace("\r\n.", "\r\n..", StringComparison.Ordinal) + "\r\n.\r\n");
        return await ReplyAsync();
    }

    public void Dispose()
    {
        _reader.Dispose();
        Stream.Dispose();
        _socket.Dispose();
    }
}
