using System.Net.Sockets;
using System.Text;
using RelayGate.Core.Smtp;

namespace RelayGate.Sendmail;

/// <summary>The connection to the gateway's unix socket: lines out, replies in, each within its time.</summary>
/// <remarks>Everything that goes wrong on it means "not taken, try again" (75), because nobody knows what the gateway did.</remarks>
internal sealed class GatewayConnection : IDisposable
{
    private const int MaxReplyOctets = 64 * 1024;
    private const int BufferOctets = 64 * 1024;

    private static readonly TimeSpan ConnectTimeout = TimeSpan.FromSeconds(10);

    private readonly Socket _socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
    private readonly bool _isVerbose;
    private readonly byte[] _input = new byte[4096];
    private readonly byte[] _output = new byte[BufferOctets];
    private int _inputStart;
    private int _inputEnd;
    private int _outputLength;
    private bool _atLineStart = true; // Content always ends with a line end, so it is true for the next message as well.

    private GatewayConnection(bool isVerbose) => _isVerbose = isVerbose;

    public static GatewayConnection Open(string path, bool isVerbose)
    {
        var connection = new GatewayConnection(isVerbose);
        connection._socket.SendTimeout = (int)ConnectTimeout.TotalMilliseconds; // Also bounds connect, while the gateway's backlog is full.
        try
        {
            connection._socket.Connect(new UnixDomainSocketEndPoint(path));
        }
        catch (Exception e) when (e is SocketException or ArgumentException)
        {
            connection.Dispose();
            string why = (e as SocketException)?.SocketErrorCode switch
            {
                SocketError.AddressNotAvailable => "there is no such socket",
                SocketError.ConnectionRefused => "nobody listens there",
                SocketError.AccessDenied => "permission denied",
                SocketError.WouldBlock or SocketError.TimedOut or SocketError.TryAgain => "it is too busy",
                _ => e.Message,
            };
            string origin = path == Environment.GetEnvironmentVariable("RELAYGATE_SUBMIT") ? " (RELAYGATE_SUBMIT)" : "";
            throw new SendmailException(ExitCode.TemporaryFailure, $"cannot reach the gateway at {path}{origin}: {why}; is relaygate running?");
        }
        return connection;
    }

    public Socket Socket => _socket;

    /// <summary>Puts a command into the buffer.</summary>
    public void WriteLine(string command)
    {
        if (_isVerbose)
            ErrorOutput.WriteLine($">>> {command}");
        Write(Encoding.UTF8.GetBytes(command + "\r\n"));
    }

    public void Write(ReadOnlySpan<byte> octets)
    {
        while (!octets.IsEmpty)
        {
            if (_outputLength == _output.Length)
                Flush();
            int length = Math.Min(octets.Length, _output.Length - _outputLength);
            octets[..length].CopyTo(_output.AsSpan(_outputLength));
            _outputLength += length;
            octets = octets[length..];
        }
    }

    /// <summary>Writes a piece of message content with dots doubled at line starts (RFC 5321 §4.5.2).</summary>
    /// <param name="octets">Every line ends with CRLF, and the first piece begins a line.</param>
    public void WriteStuffed(ReadOnlySpan<byte> octets)
    {
        while (!octets.IsEmpty)
        {
            if (_atLineStart && octets[0] == '.')
                Write("."u8);
            int next = octets.IndexOf("\n."u8);
            int length = next < 0 ? octets.Length : next + 1;
            Write(octets[..length]);
            _atLineStart = octets[length - 1] == '\n';
            octets = octets[length..];
        }
    }

    public void Flush()
    {
        ReadOnlySpan<byte> rest = _output.AsSpan(0, _outputLength);
        _outputLength = 0;
        try
        {
            _socket.SendTimeout = (int)Timeouts.Command.TotalMilliseconds;
            while (!rest.IsEmpty)
                rest = rest[_socket.Send(rest)..];
        }
        catch (SocketException e)
        {
            throw Lost(e);
        }
    }

    /// <summary>Sends what is buffered and waits for one reply.</summary>
    public SmtpReply ReadReply(TimeSpan timeout)
    {
        Flush();
        var lines = new List<string>();
        int octets = 0;
        while (true)
        {
            string line = ReadLine(timeout);
            octets += line.Length;
            if (_isVerbose)
                ErrorOutput.WriteLine($"<<< {line}");
            if (octets > MaxReplyOctets || line.Length < 3 || line.AsSpan(0, 3).ContainsAnyExceptInRange('0', '9') || (line.Length > 3 && line[3] is not (' ' or '-')))
                throw new SendmailException(ExitCode.TemporaryFailure, "the gateway does not speak SMTP");
            lines.Add(line);
            if (line.Length == 3 || line[3] == ' ')
                return Join(lines);
        }
    }

    public void Dispose() => _socket.Dispose();

    private static SmtpReply Join(List<string> lines)
    {
        SmtpReply reply;
        try
        {
            reply = SmtpReply.Parse(lines[^1]);
        }
        catch (FormatException)
        {
            throw new SendmailException(ExitCode.TemporaryFailure, "the gateway does not speak SMTP");
        }
        if (lines.Count == 1)
            return reply;
        IEnumerable<string> texts = lines.Select(static line => line.Length > 4 ? SmtpReply.Parse($"{line[..3]} {line[4..]}").Text : "");
        return reply with { Text = string.Join('\n', texts) };
    }

    private string ReadLine(TimeSpan timeout)
    {
        using var line = new MemoryStream();
        while (true)
        {
            ReadOnlySpan<byte> buffered = _input.AsSpan(_inputStart, _inputEnd - _inputStart);
            int end = buffered.IndexOf((byte)'\n');
            line.Write(end < 0 ? buffered : buffered[..end]);
            _inputStart = end < 0 ? _inputEnd : _inputStart + end + 1;
            if (end >= 0 || line.Length > MaxReplyOctets)
                return Encoding.UTF8.GetString(line.GetBuffer(), 0, (int)line.Length).TrimEnd('\r');
            Receive(timeout);
        }
    }

    private void Receive(TimeSpan timeout)
    {
        int received;
        try
        {
            _socket.ReceiveTimeout = (int)timeout.TotalMilliseconds;
            received = _socket.Receive(_input);
        }
        catch (SocketException e)
        {
            throw Lost(e);
        }
        if (received == 0)
            throw new SendmailException(ExitCode.TemporaryFailure, "the gateway closed the connection before it had accepted the message");
        _inputStart = 0;
        _inputEnd = received;
    }

    private static SendmailException Lost(SocketException e) => new(
        ExitCode.TemporaryFailure,
        e.SocketErrorCode is SocketError.TimedOut or SocketError.WouldBlock
            ? "the gateway did not answer in time"
            : $"lost the connection to the gateway: {e.Message}");
}

/// <summary>How long each answer may take (RFC 5321 §4.5.3.2); <c>RELAYGATE_SUBMIT_TIMEOUT</c> (seconds) shortens all of them.</summary>
internal static class Timeouts
{
    private static readonly TimeSpan? Given =
        int.TryParse(Environment.GetEnvironmentVariable("RELAYGATE_SUBMIT_TIMEOUT"), out int seconds) && seconds is > 0 and <= 3600
            ? TimeSpan.FromSeconds(seconds)
            : null;

    public static TimeSpan Command => Given ?? TimeSpan.FromMinutes(5);

    /// <summary>After the final dot: the gateway is writing to its disk.</summary>
    public static TimeSpan EndOfData => Given ?? TimeSpan.FromMinutes(10);
}
