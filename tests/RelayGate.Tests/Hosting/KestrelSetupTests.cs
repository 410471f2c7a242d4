using System.Net.Sockets;
using RelayGate.Tests.Fakes;

namespace RelayGate.Tests.Hosting;

public class KestrelSetupTests
{
    [Fact]
    public async Task Three_hundred_sessions_at_once_are_all_greeted()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        var clients = new List<TcpClient>();
        try
        {
            for (int i = 0; i < 300; i++)
            {
                var client = new TcpClient();
                clients.Add(client);
                await client.ConnectAsync(gateway.Local);
            }
            using var bound = new CancellationTokenSource(TimeSpan.FromSeconds(30));
            var greeting = new byte[3];
            foreach (TcpClient client in clients)
            {
                await client.GetStream().ReadExactlyAsync(greeting, bound.Token);
                Assert.Equal("220"u8.ToArray(), greeting);
            }
        }
        finally
        {
            clients.ForEach(c => c.Dispose());
        }
    }
}
