using System.Net;
using System.Net.Sockets;
using System.Text;

namespace RelayGate.Benchmarks;

/// <summary>The load of W1: 4 KiB, 20 sessions, a session for each message.</summary>
internal static class SmtpLoad
{
    public const int Sessions = 20;
    private static readonly byte[] Content = MakeContent();

    /// <summary>Sends messages over <see cref="Sessions"/> sessions at a time.</summary>
    /// <param name="senderOf">Sender of each message by its number.</param>
    public static async Task RunAsync(IPEndPoint server, int messages, Func<int, string> senderOf)
    {
        int next = -1;
        await Task.WhenAll(Enumerable.Range(0, Sessions).Select(_ => Task.Run(async () =>
        {
            byte[] buffer = new byte[4096];
            for (int n = Interlocked.Increment(ref next); n < messages; n = Interlocked.Increment(ref next))
                await SendAsync(server, senderOf(n), buffer);
        })));
    }

    /// <summary>As the load generator of the side-by-side benchmark does: a session for the message, every command after the reply to the one before.</summary>
    private static async Task SendAsync(IPEndPoint server, string sender, byte[] buffer)
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        await socket.ConnectAsync(server);
        await ExpectAsync(socket, buffer, "220");
        await SayAsync(socket, buffer, "EHLO bench.test\r\n"u8.ToArray(), "250");
        await SayAsync(socket, buffer, Encoding.ASCII.GetBytes($"MAIL FROM:<{sender}>\r\n"), "250");
        await SayAsync(socket, buffer, "RCPT TO:<someone@dest.test>\r\n"u8.ToArray(), "250");
        await SayAsync(socket, buffer, "DATA\r\n"u8.ToArray(), "354");
        await SayAsync(socket, buffer, Content, "250");
        await SayAsync(socket, buffer, "QUIT\r\n"u8.ToArray(), "221");
    }

    private static async Task SayAsync(Socket socket, byte[] buffer, ReadOnlyMemory<byte> octets, string code)
    {
        await socket.SendAsync(octets);
        await ExpectAsync(socket, buffer, code);
    }

    private static async Task ExpectAsync(Socket socket, byte[] buffer, string code)
    {
        int length = 0;
        do
        {
            int read = await socket.ReceiveAsync(buffer.AsMemory(length));
            if (read == 0)
                throw new IOException("The gateway closed the session");
            length += read;
        }
        while (!IsWhole(buffer.AsSpan(0, length)));
        string reply = Encoding.ASCII.GetString(buffer, 0, length);
        if (!reply.StartsWith(code, StringComparison.Ordinal))
            throw new IOException($"The gateway answered: {reply}");
    }

    /// <summary>Whether the last line is the last of its reply.</summary>
    private static bool IsWhole(ReadOnlySpan<byte> reply)
    {
        if (!reply.EndsWith("\r\n"u8))
            return false;
        int start = reply[..^2].LastIndexOf((byte)'\n') + 1;
        return reply[start + 3] == ' ';
    }

    private static byte[] MakeContent()
    {
        var text = new StringBuilder("From: <user0@elsewhere.test>\r\nTo: <someone@dest.test>\r\nSubject: scale\r\n\r\n");
        while (text.Length < 4096)
            text.Append("A line of text as people write them, sixty-odd characters.\r\n");
        return Encoding.ASCII.GetBytes(text.Append(".\r\n").ToString());
    }
}
