using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.RegularExpressions;

namespace RelayGate.Tests.Submission;

/// <summary>A dialog kept as a text file: what the client sends, what the server answers.</summary>
/// <remarks>
/// <c>@ listener</c> names the listener (local, unix, starttls, open). <c>C: text</c> sends a line with CRLF, <c>c: text</c> octets as they
/// are; both know \r \n \t \0 \\ \xHH. <c>S: text</c> is a line of the answer, * stands for anything; <c>S: (closed)</c> is the end.
/// </remarks>
internal sealed record Dialog(string Listener, IReadOnlyList<(bool FromClient, string Text)> Lines)
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    public static Dialog Read(string path)
    {
        string listener = "local";
        var lines = new List<(bool, string)>();
        foreach (string line in File.ReadLines(path))
        {
            if (line.Length == 0 || line[0] == '#')
                continue;
            string text = line.Length > 3 ? line[3..] : "";
            switch (line[..2])
            {
                case "@ ":
                    listener = line[2..];
                    break;
                case "C:":
                    lines.Add((true, Unescape(text) + "\r\n"));
                    break;
                case "c:":
                    lines.Add((true, Unescape(text)));
                    break;
                case "S:":
                    lines.Add((false, text));
                    break;
                default:
                    throw new FormatException($"{path}: {line}");
            }
        }
        return new Dialog(listener, lines);
    }

    /// <summary>Client text in one piece, not waiting for answers.</summary>
    public Task ReplayWholeAsync(EndPoint server) => ReplayAsync(server, async (socket, received) =>
    {
        await socket.SendAsync(Encoding.Latin1.GetBytes(string.Concat(Lines.Where(l => l.FromClient).Select(l => l.Text))));
        foreach ((_, string expected) in Lines.Where(l => !l.FromClient))
            await received.ExpectAsync(expected);
    });

    /// <summary>Line by line, each answer awaited before the client goes on.</summary>
    public Task ReplayByLineAsync(EndPoint server) => ReplayAsync(server, async (socket, received) =>
    {
        foreach ((bool fromClient, string text) in Lines)
        {
            if (fromClient)
                await socket.SendAsync(Encoding.Latin1.GetBytes(text));
            else
                await received.ExpectAsync(text);
        }
    });

    /// <summary>Each octet in a packet of its own.</summary>
    public Task ReplayByOctetAsync(EndPoint server) => ReplayAsync(server, async (socket, received) =>
    {
        foreach ((bool fromClient, string text) in Lines)
        {
            if (!fromClient)
            {
                await received.ExpectAsync(text);
                continue;
            }
            try
            {
                foreach (byte octet in Encoding.Latin1.GetBytes(text))
                    await socket.SendAsync((byte[])[octet]);
            }
            catch (SocketException) // The server has closed in the middle of the line; what it said first is checked below.
            {
            }
        }
    });

    private static async Task ReplayAsync(EndPoint server, Func<Socket, Answers, Task> replay)
    {
        using var socket = new Socket(server.AddressFamily, SocketType.Stream, server is IPEndPoint ? ProtocolType.Tcp : ProtocolType.Unspecified);
        if (server is IPEndPoint)
            socket.NoDelay = true;
        await socket.ConnectAsync(server);
        using var stream = new NetworkStream(socket);
        using var reader = new StreamReader(stream, Encoding.Latin1);
        var answers = new Answers(reader);
        try
        {
            await replay(socket, answers).WaitAsync(Patience);
        }
        catch (Exception error)
        {
            throw new InvalidOperationException($"{error.Message}\nSo far:\n{answers.Heard}", error);
        }
    }

    private static string Unescape(string text) => Regex.Replace(
        Encoding.Latin1.GetString(Encoding.UTF8.GetBytes(text)), @"\\(r|n|t|0|\\|x[0-9A-Fa-f]{2})", match => match.Value[1..] switch
        {
            "r" => "\r",
            "n" => "\n",
            "t" => "\t",
            "0" => "\0",
            "\\" => "\\",
            string hex => ((char)Convert.ToByte(hex[1..], 16)).ToString(),
        }, RegexOptions.ExplicitCapture, TimeSpan.FromSeconds(5));

    private sealed class Answers(StreamReader reader)
    {
        public StringBuilder Heard { get; } = new();

        public async Task ExpectAsync(string expected)
        {
            string? line;
            try
            {
                line = await reader.ReadLineAsync();
            }
            catch (IOException) // Reset: the server closed while octets of ours were unread.
            {
                line = null;
            }
            Heard.AppendLine(line ?? "(closed)");
            string pattern = "^" + Regex.Escape(expected).Replace("\\*", ".*", StringComparison.Ordinal) + "$";
            if (!Regex.IsMatch(line ?? "(closed)", pattern, RegexOptions.None, TimeSpan.FromSeconds(5)))
                throw new InvalidOperationException($"Expected: {expected}\nActual:   {line ?? "(closed)"}");
        }
    }
}
