using System.Net;
using System.Net.Sockets;
using System.Text;
using Microsoft.AspNetCore.Connections;
using RelayGate.Accounts;
using RelayGate.Hosting;
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

    /// <summary>Neither a refused chunk nor mail data that do not come keep the gateway from stopping in order.</summary>
    [Theory]
    [InlineData("EHLO x\r\nBDAT 3 LAST\r\n", 2)]
    [InlineData("EHLO x\r\nAUTH PLAIN AGluZm9Ac2hvcC50ZXN0AHNlY3JldA==\r\nMAIL FROM:<info@shop.test>\r\nRCPT TO:<ann@example.net>\r\nDATA\r\nSubject: x\r\n", 6)]
    public async Task A_client_that_stands_still_does_not_hold_up_the_stop(string said, int replies)
    {
        var time = new ManualTimeProvider();
        await using TestGateway gateway = await TestGateway.StartAsync(time: time);
        AccountAdministration accounts = gateway.Get<AccountAdministration>();
        await accounts.AddSubscriptionAsync("acme", new SubscriptionChange(), default);
        await accounts.AddDomainAsync("shop.test", new DomainChange(Subscription: "acme"), default);
        await accounts.AddMailboxAsync("info@shop.test", "secret", default);
        using var client = new TcpClient();
        await client.ConnectAsync(gateway.Local);
        await client.GetStream().WriteAsync(Encoding.ASCII.GetBytes(said));
        using var reader = new StreamReader(client.GetStream(), Encoding.ASCII, leaveOpen: true);
        for (int i = 0; i < replies;)
        {
            string line = await reader.ReadLineAsync().WaitAsync(TimeSpan.FromSeconds(10)) ?? "";
            i += line.Length > 3 && line[3] == '-' ? 0 : 1;
        }

        Task stopping = gateway.StopAsync();
        for (int i = 0; i < 600 && !stopping.IsCompleted; i++)
        {
            time.Advance(TimeSpan.FromSeconds(1));
            await Task.WhenAny(stopping, Task.Delay(20)); // Lets the session notice; how long it takes does not matter.
        }

        await stopping.WaitAsync(TimeSpan.FromSeconds(10));
        Assert.StartsWith("421", await reader.ReadLineAsync().WaitAsync(TimeSpan.FromSeconds(10)), StringComparison.Ordinal);
    }

    /// <summary>Whoever opens connections and says nothing does not shut out a command or a probe.</summary>
    [Fact]
    public async Task Idle_connections_do_not_keep_anybody_from_the_control_socket_or_the_admin_endpoint()
    {
        const int Idle = 300;
        await using TestGateway gateway = await TestGateway.StartAsync(configure: static o => o.Admin.Endpoint = "127.0.0.1:0");
        EndPoint admin = gateway.Get<ListenSockets>().BoundTo(gateway.Get<ListenerPlan>().Http!)!;
        var control = new UnixDomainSocketEndPoint(gateway.ControlSocket);
        var idle = new List<Socket>();
        try
        {
            for (int i = 0; i < Idle; i++)
            {
                idle.Add(await ConnectAsync(control));
                idle.Add(await ConnectAsync(admin));
            }

            Assert.StartsWith("HTTP/1.1 200 ", await GetAsync(control, "/api/v1/status"), StringComparison.Ordinal);
            Assert.StartsWith("HTTP/1.1 200 ", await GetAsync(admin, "/healthz/live"), StringComparison.Ordinal);
            Assert.StartsWith("HTTP/1.1 200 ", await GetAsync(admin, "/metrics"), StringComparison.Ordinal);
        }
        finally
        {
            idle.ForEach(s => s.Dispose());
        }
    }

    [Fact]
    public void A_uid_that_has_too_many_loses_its_own_oldest_and_nobody_elses()
    {
        var connections = new HttpConnections();
        var root = new TestConnection();
        var other = new TestConnection();
        connections.Enter(root, 0, isAdministrator: true);
        connections.Enter(other, 1001, isAdministrator: false);
        TestConnection[] flood = [.. Enumerable.Range(0, HttpConnections.PerUid * 2).Select(_ => new TestConnection())];

        foreach (TestConnection connection in flood)
            connections.Enter(connection, 1002, isAdministrator: false);

        Assert.Equal(flood.Take(HttpConnections.PerUid), flood.Where(c => c.IsAborted));
        Assert.False(root.IsAborted);
        Assert.False(other.IsAborted);
    }

    [Fact]
    public void Many_uids_together_leave_administrators_and_the_admin_endpoint_alone()
    {
        var connections = new HttpConnections();
        var root = new TestConnection();
        var probe = new TestConnection();
        connections.Enter(root, 0, isAdministrator: true);
        connections.Enter(probe, null, isAdministrator: false);
        TestConnection[] flood = [.. Enumerable.Range(0, HttpConnections.PerGroup * 2).Select(_ => new TestConnection())];

        for (int i = 0; i < flood.Length; i++)
            connections.Enter(flood[i], 2000 + i, isAdministrator: false);

        Assert.Equal(HttpConnections.PerGroup, flood.Count(c => c.IsAborted));
        Assert.False(root.IsAborted);
        Assert.False(probe.IsAborted);
    }

    [Fact]
    public void A_connection_that_ended_makes_room()
    {
        var connections = new HttpConnections();
        var first = new TestConnection();
        connections.Enter(first, 1001, isAdministrator: false);
        for (int i = 0; i < HttpConnections.PerUid * 4; i++)
        {
            var connection = new TestConnection();
            connections.Enter(connection, 1001, isAdministrator: false);
            connections.Leave(connection);
        }

        Assert.False(first.IsAborted);
    }

    private static async Task<Socket> ConnectAsync(EndPoint endPoint)
    {
        var socket = new Socket(endPoint.AddressFamily, SocketType.Stream, ProtocolType.Unspecified);
        await socket.ConnectAsync(endPoint);
        return socket;
    }

    private static async Task<string> GetAsync(EndPoint endPoint, string path)
    {
        using Socket socket = await ConnectAsync(endPoint);
        await using var stream = new NetworkStream(socket);
        await stream.WriteAsync(Encoding.ASCII.GetBytes($"GET {path} HTTP/1.1\r\nHost: relaygate\r\nConnection: close\r\n\r\n"));
        using var reader = new StreamReader(stream);
        return await reader.ReadToEndAsync().WaitAsync(TimeSpan.FromSeconds(10));
    }

    private sealed class TestConnection : DefaultConnectionContext
    {
        public bool IsAborted { get; private set; }

        public override void Abort(ConnectionAbortedException abortReason) => IsAborted = true;
    }
}
