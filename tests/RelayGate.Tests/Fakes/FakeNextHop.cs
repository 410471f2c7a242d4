using System.Collections.Concurrent;
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;

namespace RelayGate.Tests.Fakes;

/// <summary>A message as the fake received it.</summary>
/// <param name="Content">Octets after dot-unstuffing, or of the BDAT chunks.</param>
/// <param name="Wire">Octets as they came, the final dot included; equal to the content for BDAT.</param>
public sealed record ReceivedMessage(string Mail, IReadOnlyList<string> Rcpts, byte[] Content, byte[] Wire, IPAddress Client, string Hello, bool Tls, int Connection)
{
    /// <summary>Who had logged in, and by what; "" for nobody.</summary>
    public string Login { get; init; } = "";

    public string Text => Encoding.UTF8.GetString(Content);
}

/// <summary>What happens on a connection: "connect", a command line, "content" at the end of mail data, or "handshake" when one has begun that is not answered.</summary>
public sealed record HopEvent(int Connection, string Verb, string Line, bool Tls);

/// <summary>What the fake does in place of its usual reply.</summary>
public abstract record HopAction
{
    /// <summary>These octets (Latin-1), exactly.</summary>
    public sealed record Raw(string Octets) : HopAction;

    /// <summary>These octets, then close.</summary>
    public sealed record RawThenClose(string Octets) : HopAction;

    /// <summary>These octets and then the usual.</summary>
    public sealed record RawThenUsual(string Octets) : HopAction;

    /// <summary>These octets, then a reset: what the peer has not read yet may still reach it.</summary>
    public sealed record RawThenReset(string Octets) : HopAction;

    /// <summary>These octets and an end of input for the peer, whose octets are read on until it goes away.</summary>
    public sealed record HalfClose(string Octets) : HopAction;

    /// <summary>These octets beneath TLS.</summary>
    public sealed record Beneath(string Octets) : HopAction;

    /// <summary>Forgets what came in the same packet, and then the usual: a server that claims PIPELINING and cannot do it.</summary>
    public sealed record DropPipelined : HopAction;

    /// <summary>Sends this over and over, an octet every few milliseconds, until the peer goes away.</summary>
    public sealed record Trickle(string Octets) : HopAction;

    public sealed record Close : HopAction;

    /// <summary>Close so that the peer sees a reset.</summary>
    public sealed record Reset : HopAction;

    /// <summary>Says nothing more until the peer goes away.</summary>
    public sealed record Stall : HopAction;

    /// <summary>These octets; nothing is read any more until the test is over.</summary>
    public sealed record RawThenStop(string Octets) : HopAction;

    /// <summary>The usual, and then this: a next hop that ends right after its reply.</summary>
    public sealed record UsualThen(HopAction Then) : HopAction;

    /// <summary>Sends this over and over until the peer goes away.</summary>
    public sealed record Endless(string Octets) : HopAction;

    /// <summary>Accepts STARTTLS and then talks garbage.</summary>
    public sealed record FailHandshake : HopAction;
}

/// <summary>An SMTP server on loopback that obeys, or misbehaves as a test tells it to.</summary>
public sealed class FakeNextHop : IAsyncDisposable
{
    private static readonly Lazy<X509Certificate2> OwnCertificate = new(MakeCertificate); // Made once: every test has its own fake.

    private readonly Socket _listener;
    private readonly CancellationTokenSource _stop = new();
    private readonly ConcurrentDictionary<Socket, bool> _open = new();
    private readonly SemaphoreSlim _received = new(0);
    private readonly List<Task> _sessions = [];
    private readonly Task _accepting;
    private int _connections;

    public FakeNextHop(IPAddress? address = null, int port = 0)
    {
        address ??= IPAddress.Loopback;
        _listener = new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        _listener.Bind(new IPEndPoint(address, port));
        _listener.Listen(512);
        EndPoint = (IPEndPoint)_listener.LocalEndPoint!;
        _accepting = Task.Run(AcceptAsync);
    }

    public IPEndPoint EndPoint { get; }

    public string Url => $"smtp://{EndPoint}";

    /// <summary>Keywords after the greeting line of EHLO.</summary>
    public IList<string> Extensions { get; set; } = new List<string> { "PIPELINING", "SIZE 52428800", "ENHANCEDSTATUSCODES", "8BITMIME", "SMTPUTF8", "DSN" };

    /// <summary>Asked before each reply; null: the usual.</summary>
    public Func<HopEvent, HopAction?> Script { get; set; } = _ => null;

    /// <summary>Logins with their passwords; asked only where <see cref="Extensions"/> has AUTH.</summary>
    public Dictionary<string, string> Logins { get; } = [];

    /// <summary>TLS from the first octet.</summary>
    public bool ImplicitTls { get; set; }

    /// <summary>Commands it does not know although it may offer them: 502, and what follows is read as commands.</summary>
    public ISet<string> Lacks { get; } = new HashSet<string>();

    /// <summary>Most octets of one read; few make a slow reader, whose window is often closed.</summary>
    public int ReadOctets { get; set; } = 64 * 1024;

    /// <summary>What is shown in the handshake; null: a certificate of its own for mx.example.</summary>
    public SslStreamCertificateContext? Certificate { get; set; }

    public SslProtocols Protocols { get; set; } = SslProtocols.None;

    /// <summary>The names that clients asked for in the handshake (SNI), "" for none.</summary>
    public ConcurrentQueue<string> ServerNames { get; } = new();

    /// <summary>Every reply goes out octet by octet, each in a segment of its own.</summary>
    public bool OctetByOctet { get; set; }

    public ConcurrentQueue<ReceivedMessage> Messages { get; } = new();

    /// <summary>Every command line, in order of arrival over all connections.</summary>
    public ConcurrentQueue<string> Commands { get; } = new();

    public int Connections => Volatile.Read(ref _connections);

    public int OpenConnections => _open.Count;

    /// <summary>Waits for the next message, 10 s at most.</summary>
    public async Task<ReceivedMessage> NextAsync()
    {
        Assert.True(await _received.WaitAsync(TimeSpan.FromSeconds(10)), "No message came");
        Assert.True(Messages.TryDequeue(out ReceivedMessage? message));
        return message;
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        _listener.Dispose();
        foreach (Socket socket in _open.Keys)
            socket.Dispose();
        await _accepting;
        Task[] sessions;
        lock (_sessions)
            sessions = [.. _sessions];
        await Task.WhenAll(sessions);
        _stop.Dispose();
        _received.Dispose();
    }

    private async Task AcceptAsync()
    {
        while (true)
        {
            Socket socket;
            try
            {
                socket = await _listener.AcceptAsync(_stop.Token);
            }
            catch (Exception e) when (e is OperationCanceledException or SocketException or ObjectDisposedException)
            {
                return;
            }
            int number = Interlocked.Increment(ref _connections);
            _open[socket] = true;
            lock (_sessions)
                _sessions.Add(Task.Run(() => ServeAsync(socket, number)));
        }
    }

    private async Task ServeAsync(Socket socket, int number)
    {
        try
        {
            socket.NoDelay = true;
            if (ReadOctets < 64 * 1024)
                socket.ReceiveBufferSize = ReadOctets;
            await using var session = new Session(this, socket, number);
            await session.RunAsync();
        }
        catch (Exception e) when (e is IOException or SocketException or ObjectDisposedException or OperationCanceledException or AuthenticationException)
        {
            // The client went away, or the test is over.
        }
        finally
        {
            _open.TryRemove(socket, out _);
            socket.Dispose();
        }
    }

    private static X509Certificate2 MakeCertificate()
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=mx.example", key, HashAlgorithmName.SHA256);
        using X509Certificate2 made = request.CreateSelfSigned(DateTimeOffset.UnixEpoch, new DateTimeOffset(2100, 1, 1, 0, 0, 0, TimeSpan.Zero));
        return X509CertificateLoader.LoadPkcs12(made.Export(X509ContentType.Pkcs12), null);
    }

    private sealed class Session(FakeNextHop hop, Socket socket, int number) : IAsyncDisposable
    {
        private static readonly HashSet<string> Known = ["EHLO", "HELO", "MAIL", "RCPT", "DATA", "BDAT", "RSET", "STARTTLS", "AUTH", "QUIT", "NOOP"];

        private readonly List<byte> _input = [];
        private readonly List<string> _rcpts = [];
        private readonly List<byte> _content = [];
        private int _position; // In the input.
        private Stream _stream = new NetworkStream(socket, ownsSocket: true);
        private string? _mail;
        private string _hello = "";
        private string _login = "";
        private bool _tls;

        public ValueTask DisposeAsync() => _stream.DisposeAsync();

        public async Task RunAsync()
        {
            if (hop.ImplicitTls)
                await TakeTlsAsync();
            if (!await ActAsync("connect", "", "220 mx.example ESMTP fake\r\n"))
                return;
            while (await ReadLineAsync() is { } line)
            {
                hop.Commands.Enqueue(line);
                string verb = line.Split(' ', 2)[0].ToUpperInvariant();
                bool goOn = verb switch
                {
                    _ when hop.Lacks.Contains(verb) || (hop.Lacks.Count > 0 && !Known.Contains(verb)) => await ActAsync(verb, line, "502 5.5.1 Unknown command\r\n"),
                    "EHLO" => await HelloAsync(line, true),
                    "HELO" => await HelloAsync(line, false),
                    "MAIL" => await MailAsync(line),
                    "RCPT" => await RcptAsync(line),
                    "DATA" => await DataAsync(line),
                    "BDAT" => await BdatAsync(line),
                    "RSET" or "." => await ActAsync(verb, line, "250 2.0.0 Ok\r\n", Forget),
                    "STARTTLS" => await StartTlsAsync(line),
                    "AUTH" => await AuthAsync(line),
                    "QUIT" => await ActAsync(verb, line, "221 2.0.0 Bye\r\n") && false,
                    _ => await ActAsync(verb, line, "250 2.0.0 Ok\r\n"),
                };
                if (!goOn)
                    return;
            }
        }

        private async Task<bool> HelloAsync(string line, bool extended)
        {
            _hello = line[5..];
            Forget();
            var reply = new StringBuilder();
            if (extended && hop.Extensions.Count > 0)
            {
                reply.Append("250-mx.example\r\n");
                for (int i = 0; i < hop.Extensions.Count; i++)
                    reply.Append(i == hop.Extensions.Count - 1 ? "250 " : "250-").Append(hop.Extensions[i]).Append("\r\n");
            }
            else
            {
                reply.Append("250 mx.example\r\n");
            }
            return await ActAsync(extended ? "EHLO" : "HELO", line, reply.ToString());
        }

        private Task<bool> MailAsync(string line) => ActAsync("MAIL", line, _mail is null ? "250 2.1.0 Ok\r\n" : "503 5.5.1 Nested MAIL\r\n", () => _mail = line);

        private Task<bool> RcptAsync(string line) => _mail is null
            ? ActAsync("RCPT", line, "503 5.5.1 MAIL first\r\n")
            : ActAsync("RCPT", line, "250 2.1.5 Ok\r\n", () => _rcpts.Add(line));

        private async Task<bool> DataAsync(string line)
        {
            if (_rcpts.Count == 0)
                return await ActAsync("DATA", line, "503 5.5.1 RCPT first\r\n");
            bool accepted = false;
            if (!await ActAsync("DATA", line, "354 Go on\r\n", () => accepted = true))
                return false;
            if (!accepted)
                return true;
            var wire = new List<byte>();
            while (!EndsData(wire))
            {
                if (await ReadOctetAsync() is not { } octet)
                    return false;
                wire.Add(octet);
            }
            byte[] raw = [.. wire];
            return await EndAsync(Unstuff(raw), raw);
        }

        private async Task<bool> BdatAsync(string line)
        {
            string[] words = line.Split(' ');
            for (long left = long.Parse(words[1]); left > 0; left--)
            {
                if (await ReadOctetAsync() is not { } octet)
                    return false;
                _content.Add(octet);
            }
            if (_rcpts.Count == 0)
                return await ActAsync("BDAT", line, "503 5.5.1 RCPT first\r\n", Forget);
            if (words.Length < 3)
                return await ActAsync("BDAT", line, "250 2.0.0 Ok\r\n");
            byte[] content = [.. _content];
            return await EndAsync(content, content);
        }

        private Task<bool> EndAsync(byte[] content, byte[] wire) => ActAsync("content", "", $"250 2.0.0 Ok: queued as {number}\r\n", () =>
        {
            hop.Messages.Enqueue(new ReceivedMessage(
                _mail!, [.. _rcpts], content, wire, ((IPEndPoint)socket.RemoteEndPoint!).Address, _hello, _tls, number)
            { Login = _login });
            hop._received.Release();
            Forget();
        });

        private async Task<bool> StartTlsAsync(string line)
        {
            HopAction? action = hop.Script(new HopEvent(number, "STARTTLS", line, _tls));
            if (action is HopAction.FailHandshake)
            {
                await WriteAsync("220 2.0.0 Go on\r\n");
                await ReadOctetAsync(); // The ClientHello has come.
                await WriteAsync("no TLS here\r\n");
                return false;
            }
            if (action is HopAction.RawThenStop stopped)
            {
                await WriteAsync(stopped.Octets);
                await ReadOctetAsync();
                hop.Script(new HopEvent(number, "handshake", "", _tls));
                await Task.Delay(Timeout.Infinite, hop._stop.Token);
            }
            string reply = action is HopAction.RawThenUsual injected ? "220 2.0.0 Go on\r\n" + injected.Octets : "220 2.0.0 Go on\r\n";
            if (action is not null and not HopAction.RawThenUsual)
                return await PlayAsync(action, reply, null);
            await WriteAsync(reply);
            _input.Clear();
            _position = 0;
            Forget();
            await TakeTlsAsync();
            return true;
        }

        private async Task TakeTlsAsync()
        {
            var tls = new SslStream(_stream);
            await tls.AuthenticateAsServerAsync(hop.Certificate is { } shown
                ? new SslServerAuthenticationOptions { ServerCertificateContext = shown, EnabledSslProtocols = hop.Protocols }
                : new SslServerAuthenticationOptions { ServerCertificate = OwnCertificate.Value, EnabledSslProtocols = hop.Protocols });
            hop.ServerNames.Enqueue(tls.TargetHostName);
            _stream = tls;
            _tls = true;
        }

        private async Task<bool> AuthAsync(string line)
        {
            string[] words = line.Split(' ');
            string login = "";
            bool isRight = false;
            switch (words[1])
            {
                case "PLAIN":
                    string[] plain = Decode(words[2]).Split('\0');
                    (login, isRight) = (plain[1], Knows(plain[1], plain[2]));
                    break;
                case "LOGIN":
                    login = Decode(await AskAsync("Username:"));
                    isRight = Knows(login, Decode(await AskAsync("Password:")));
                    break;
                case "SCRAM-SHA-256":
                    string bare = Decode(words[2])[3..];
                    login = bare.Split(',')[0][2..];
                    string first = $"r={bare.Split(',')[1][2..]}srv,s={Convert.ToBase64String("salt of the fake"u8)},i=4096";
                    string final = Decode(await AskAsync(first));
                    byte[] salted = Rfc2898DeriveBytes.Pbkdf2(Encoding.UTF8.GetBytes(hop.Logins.GetValueOrDefault(login, "")), "salt of the fake"u8, 4096, HashAlgorithmName.SHA256, 32);
                    byte[] clientKey = HMACSHA256.HashData(salted, "Client Key"u8);
                    byte[] text = Encoding.UTF8.GetBytes($"{bare},{first},{final[..final.LastIndexOf(",p=", StringComparison.Ordinal)]}");
                    byte[] proof = [.. clientKey.Zip(HMACSHA256.HashData(SHA256.HashData(clientKey), text), static (a, b) => (byte)(a ^ b))];
                    isRight = final.EndsWith(",p=" + Convert.ToBase64String(proof), StringComparison.Ordinal);
                    if (isRight)
                        await AskAsync("v=" + Convert.ToBase64String(HMACSHA256.HashData(HMACSHA256.HashData(salted, "Server Key"u8), text)));
                    break;
            }
            return await ActAsync("AUTH", line, isRight ? "235 2.7.0 Ok\r\n" : "535 5.7.8 No\r\n", () => _login = isRight ? $"{login} by {words[1]}" : "");
        }

        private bool Knows(string login, string password) => hop.Logins.TryGetValue(login, out string? known) && known == password;

        private async Task<string> AskAsync(string challenge)
        {
            await WriteAsync($"334 {Convert.ToBase64String(Encoding.UTF8.GetBytes(challenge))}\r\n");
            return await ReadLineAsync() ?? "";
        }

        private static string Decode(string base64) => Encoding.UTF8.GetString(Convert.FromBase64String(base64));

        private void Forget()
        {
            _mail = null;
            _rcpts.Clear();
            _content.Clear();
        }

        /// <summary>Does what the script says, else replies as usual and runs <paramref name="usual"/>. False: the session is over.</summary>
        private Task<bool> ActAsync(string verb, string line, string reply, Action? usual = null) =>
            PlayAsync(hop.Script(new HopEvent(number, verb, line, _tls)), reply, usual);

        private async Task<bool> PlayAsync(HopAction? action, string reply, Action? usual)
        {
            switch (action)
            {
                case null:
                    usual?.Invoke();
                    await WriteAsync(reply);
                    return true;
                case HopAction.Raw raw:
                    if (raw.Octets.StartsWith('2') || raw.Octets.StartsWith('3'))
                        usual?.Invoke();
                    await WriteAsync(raw.Octets);
                    return true;
                case HopAction.RawThenUsual raw:
                    usual?.Invoke();
                    await WriteAsync(raw.Octets + reply);
                    return true;
                case HopAction.RawThenClose raw:
                    await WriteAsync(raw.Octets);
                    return false;
                case HopAction.Endless endless:
                    while (true)
                        await WriteAsync(endless.Octets);
                case HopAction.RawThenStop raw:
                    await WriteAsync(raw.Octets);
                    await Task.Delay(Timeout.Infinite, hop._stop.Token);
                    return false;
                case HopAction.Reset:
                    socket.LingerState = new LingerOption(true, 0);
                    return false;
                case HopAction.RawThenReset raw:
                    await WriteAsync(raw.Octets);
                    socket.LingerState = new LingerOption(true, 0);
                    return false;
                case HopAction.UsualThen then:
                    usual?.Invoke();
                    await WriteAsync(reply);
                    return await PlayAsync(then.Then, "", null);
                case HopAction.HalfClose raw:
                    await WriteAsync(raw.Octets);
                    socket.Shutdown(SocketShutdown.Send);
                    await ReadOnAsync();
                    return false;
                case HopAction.Beneath raw:
                    await socket.SendAsync(Encoding.Latin1.GetBytes(raw.Octets), SocketFlags.None);
                    await ReadOnAsync();
                    return false;
                case HopAction.DropPipelined:
                    _position = _input.Count;
                    usual?.Invoke();
                    await WriteAsync(reply);
                    return true;
                case HopAction.Trickle trickle:
                    for (int i = 0; ; i = (i + 1) % trickle.Octets.Length)
                    {
                        await WriteAsync(trickle.Octets[i..(i + 1)]);
                        await Task.Delay(5, hop._stop.Token);
                    }
                case HopAction.Stall:
                    await ReadOnAsync();
                    return false;
                default:
                    return false;
            }
        }

        /// <summary>Reads until the peer goes away.</summary>
        private async Task ReadOnAsync()
        {
            while (await ReadOctetAsync() is not null)
            {
            }
        }

        private async Task WriteAsync(string text)
        {
            byte[] octets = Encoding.Latin1.GetBytes(text);
            for (int i = 0; hop.OctetByOctet && i < octets.Length; i++)
                await _stream.WriteAsync(octets.AsMemory(i, 1), hop._stop.Token);
            if (!hop.OctetByOctet)
                await _stream.WriteAsync(octets, hop._stop.Token);
        }

        private async Task<string?> ReadLineAsync()
        {
            var line = new List<byte>();
            while (await ReadOctetAsync() is { } octet)
            {
                line.Add(octet);
                if (line.Count >= 2 && line[^1] == '\n' && line[^2] == '\r')
                    return Encoding.UTF8.GetString([.. line[..^2]]);
            }
            return null;
        }

        private async Task<byte?> ReadOctetAsync()
        {
            if (_position == _input.Count)
            {
                _input.Clear();
                _position = 0;
                var buffer = new byte[hop.ReadOctets];
                int read = await _stream.ReadAsync(buffer, hop._stop.Token);
                if (read == 0)
                    return null;
                _input.AddRange(buffer.AsSpan(0, read));
            }
            return _input[_position++];
        }

        private static bool EndsData(List<byte> wire) => wire.Count switch
        {
            3 => wire[0] == '.' && wire[1] == '\r' && wire[2] == '\n',
            > 4 => wire[^1] == '\n' && wire[^2] == '\r' && wire[^3] == '.' && wire[^4] == '\n' && wire[^5] == '\r',
            _ => false,
        };

        private static byte[] Unstuff(byte[] wire)
        {
            var content = new List<byte>(wire.Length);
            bool lineStart = true;
            for (int i = 0; i < wire.Length - 3; i++)
            {
                if (lineStart && wire[i] == '.')
                {
                    lineStart = false;
                    continue;
                }
                content.Add(wire[i]);
                lineStart = wire[i] == '\n' && i > 0 && wire[i - 1] == '\r';
            }
            return [.. content];
        }
    }
}
