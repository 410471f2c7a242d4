using System.Net.Sockets;
using RelayGate.Tests.Fakes;

namespace RelayGate.Tests.Hosting;

public sealed class ConnectionBoundsTests
{
    /// <summary>Sessions:Max alone bounds SMTP; the smaller bound of HTTP connections does not reach the SMTP listeners.</summary>
    [Fact]
    public async Task More_sessions_than_http_may_have_are_greeted()
    {
        const int Sessions = 300;
        await using TestGateway gateway = await TestGateway.StartAsync();
        var clients = new List<TcpClient>();
        try
        {
            for (int i = 0; i < Sessions; i++)
            {
                var client = new TcpClient();
                clients.Add(client);
                await client.ConnectAsync(gateway.Local);
            }
            byte[] greeting = new byte[4];
            foreach (TcpClient client in clients)
            {
                await client.GetStream().ReadExactlyAsync(greeting).AsTask().WaitAsync(TimeSpan.FromSeconds(20));
                Assert.Equal("220 "u8.ToArray(), greeting);
            }
        }
        finally
        {
            clients.ForEach(c => c.Dispose());
        }
    }
}
