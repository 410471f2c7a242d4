using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Text;

namespace RelayGate.Tests.Fakes;

/// <summary>A web server on loopback that serves one MTA-STS policy over HTTPS.</summary>
public sealed class FakePolicyHost : IAsyncDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _serving;
    private int _requests;

    public FakePolicyHost()
    {
        _listener.Start();
        _serving = Task.Run(ServeAsync);
    }

    public int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;

    public SslStreamCertificateContext? Certificate { get; set; }

    public string Policy { get; set; } = "version: STSv1\nmode: enforce\nmx: *.dest.test\nmax_age: 604800\n";

    public string Status { get; set; } = "200 OK";

    /// <summary>Further fields of the answer, each with its CRLF.</summary>
    public string Fields { get; set; } = "Content-Type: text/plain\r\n";

    /// <summary>Answers wait for it.</summary>
    public Task Gate { get; set; } = Task.CompletedTask;

    public int Requests => Volatile.Read(ref _requests);

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        _listener.Dispose();
        await _serving;
        _stop.Dispose();
    }

    private async Task ServeAsync()
    {
        try
        {
            while (true)
                await AnswerAsync(await _listener.AcceptTcpClientAsync(_stop.Token));
        }
        catch (Exception e) when (e is OperationCanceledException or SocketException or ObjectDisposedException)
        {
            // The test is over.
        }
    }

    private async Task AnswerAsync(TcpClient client)
    {
        using TcpClient open = client;
        try
        {
            await using var tls = new SslStream(client.GetStream());
            await tls.AuthenticateAsServerAsync(new SslServerAuthenticationOptions { ServerCertificateContext = Certificate }, _stop.Token);
            using var reader = new StreamReader(tls, leaveOpen: true);
            if (await reader.ReadLineAsync(_stop.Token) is null)
                return; // It did not believe us.
            while (await reader.ReadLineAsync(_stop.Token) is { Length: > 0 })
            {
            }
            Interlocked.Increment(ref _requests);
            await Gate.WaitAsync(_stop.Token);
            await tls.WriteAsync(Encoding.ASCII.GetBytes($"HTTP/1.1 {Status}\r\n{Fields}Content-Length: {Policy.Length}\r\nConnection: close\r\n\r\n{Policy}"), _stop.Token);
        }
        catch (Exception e) when (e is IOException or AuthenticationException or SocketException)
        {
            // The client went away, or does not believe us.
        }
    }
}
