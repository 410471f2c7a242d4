using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Text;

namespace RelayGate.Tests.Submission;

/// <summary>A client that says what a test wants, well-formed or not.</summary>
internal sealed class TestClient : IAsyncDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    private readonly Socket? _socket;
    private Stream _stream;

    public TestClient(Stream stream) => _stream = stream;

    private TestClient(Socket socket)
        : this(new NetworkStream(socket)) => _socket = socket;

    /// <summary>Connects and reads nothing yet.</summary>
    public static async Task<TestClient> ConnectAsync(EndPoint server)
    {
        var socket = new Socket(server.AddressFamily, SocketType.Stream, server is IPEndPoint ? ProtocolType.Tcp : ProtocolType.Unspecified);
        if (server is IPEndPoint)
            socket.NoDelay = true;
        await socket.ConnectAsync(server);
        return new TestClient(socket);
    }

    /// <summary>Connects, reads the greeting and says EHLO.</summary>
    public static async Task<TestClient> GreetAsync(EndPoint server)
    {
        TestClient client = await ConnectAsync(server);
        await client.GreetAsync();
        return client;
    }

    /// <summary>Connects, says EHLO and logs in.</summary>
    public static async Task<TestClient> LogInAsync(EndPoint server, string login = "info@shop.test")
    {
        TestClient client = await GreetAsync(server);
        await client.LogInAsync(login);
        return client;
    }

    public async Task GreetAsync()
    {
        Assert.StartsWith("220 ", await ReadAsync(), StringComparison.Ordinal);
        Assert.StartsWith("250-", await CommandAsync("EHLO client.test"), StringComparison.Ordinal);
    }

    public async Task LogInAsync(string login = "info@shop.test", string password = "secret") =>
        Assert.StartsWith("235 2.7.0", await CommandAsync(AuthPlain(login, password)), StringComparison.Ordinal);

    public static string AuthPlain(string login, string password) => "AUTH PLAIN " + Convert.ToBase64String(Encoding.UTF8.GetBytes($"\0{login}\0{password}"));

    /// <summary>Sends a command that must be answered so.</summary>
    public async Task<string> CommandAsync(string line, string reply)
    {
        string answer = await CommandAsync(line);
        Assert.StartsWith(reply, answer, StringComparison.Ordinal);
        return answer;
    }

    /// <summary>Offers a message and returns the reply to its last dot.</summary>
    public async Task<string> OfferAsync(string data, string reversePath = "info@shop.test", params string[] recipients)
    {
        await CommandAsync($"MAIL FROM:<{reversePath}>", "250 2.1.0");
        foreach (string recipient in recipients is [] ? ["ann@example.net"] : recipients)
            await CommandAsync($"RCPT TO:<{recipient}>", "250 2.1.5");
        await CommandAsync("DATA", "354 ");
        return await CommandAsync(data + "\r\n.");
    }

    /// <summary>The queue id that a reply names.</summary>
    public static string RefOf(string reply)
    {
        int at = reply.LastIndexOf("; ref ", StringComparison.Ordinal);
        Assert.True(at > 0, reply);
        return reply[(at + 6)..];
    }

    /// <summary>Sends a line and reads its reply.</summary>
    public async Task<string> CommandAsync(string line)
    {
        await SendAsync(line + "\r\n");
        return await ReadAsync();
    }

    public Task SendAsync(string text) => SendAsync(Encoding.Latin1.GetBytes(text));

    public async Task SendAsync(byte[] octets)
    {
        using var patience = new CancellationTokenSource(Patience);
        await _stream.WriteAsync(octets, patience.Token);
        await _stream.FlushAsync(patience.Token);
    }

    /// <summary>Sends, or does not when the server has closed meanwhile.</summary>
    public async Task DripAsync(string text)
    {
        try
        {
            await SendAsync(text);
        }
        catch (IOException) // Its last reply is still there to be read.
        {
        }
    }

    /// <summary>Reads one reply, all of its lines; "(closed)" at the end.</summary>
    public async Task<string> ReadAsync()
    {
        var reply = new StringBuilder();
        while (true)
        {
            string line = await ReadLineAsync();
            reply.Append(line);
            if (line.Length < 4 || line[3] != '-')
                return reply.ToString();
            reply.Append('\n');
        }
    }

    /// <summary>Reads until the server closes and returns everything.</summary>
    public async Task<string> ReadToEndAsync()
    {
        var all = new StringBuilder();
        for (string line = await ReadLineAsync(); line != "(closed)"; line = await ReadLineAsync())
            all.Append(line).Append('\n');
        return all.ToString();
    }

    public async Task<SslStream> StartTlsAfterAsync(string command)
    {
        await CommandAsync(command, "220 2.0.0");
        return await StartTlsAsync();
    }

    public async Task<SslStream> StartTlsAsync()
    {
        var tls = new SslStream(_stream);
        using var patience = new CancellationTokenSource(Patience);
        await tls.AuthenticateAsClientAsync(
            new SslClientAuthenticationOptions { TargetHost = "relay.test", RemoteCertificateValidationCallback = (_, certificate, _, _) => certificate?.Subject == "CN=relay.test" }, patience.Token);
        _stream = tls;
        return tls;
    }

    /// <summary>Ends without a word; <paramref name="reset"/> by RST.</summary>
    public void Cut(bool reset)
    {
        if (reset)
            _socket!.LingerState = new LingerOption(true, 0);
        _socket!.Close();
    }

    public async ValueTask DisposeAsync()
    {
        await _stream.DisposeAsync();
        _socket?.Dispose();
    }

    private async Task<string> ReadLineAsync()
    {
        using var patience = new CancellationTokenSource(Patience);
        var line = new StringBuilder();
        byte[] octet = new byte[1];
        try
        {
            while (await _stream.ReadAsync(octet, patience.Token) == 1)
            {
                if (octet[0] == '\n')
                    return line.ToString().TrimEnd('\r');
                line.Append((char)octet[0]);
            }
        }
        catch (IOException) // Reset: the server closed while octets of ours were unread.
        {
        }
        return "(closed)";
    }
}
