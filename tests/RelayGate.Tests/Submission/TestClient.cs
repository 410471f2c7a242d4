using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Text;

namespace RelayGate.Tests.Submission;

/// <summary>A client that says what a test wants, well-formed or not.</summary>
internal sealed class TestClient : IAsyncDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    private readonly Socket _socket;
    private Stream _stream;

    private TestClient(Socket socket)
    {
        _socket = socket;
        _stream = new NetworkStream(socket);
    }

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
        Assert.StartsWith("220 ", await client.ReadAsync(), StringComparison.Ordinal);
        Assert.StartsWith("250-", await client.CommandAsync("EHLO client.test"), StringComparison.Ordinal);
        return client;
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
            _socket.LingerState = new LingerOption(true, 0);
        _socket.Close();
    }

    public async ValueTask DisposeAsync()
    {
        await _stream.DisposeAsync();
        _socket.Dispose();
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
