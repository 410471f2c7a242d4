using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using RelayGate.Configuration;
using RelayGate.Hosting;
using RelayGate.Telemetry;
using RelayGate.Tests.Fakes;

namespace RelayGate.Tests.Hosting;

public sealed class GatewayStartTests : IDisposable
{
    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Sockets_and_data_directory_have_the_documented_modes()
    {
        await using TestGateway gateway = await TestGateway.StartAsync(folder: _folder);

        Assert.Equal("666", Mode(gateway.SubmitSocket));
        Assert.Equal("666", Mode(gateway.ControlSocket)); // Who connects is known by the kernel, and that decides what may be asked.
        Assert.Equal("700", Mode(gateway.DataDirectory));
        Assert.Equal(GatewayPhase.Ready, gateway.Get<GatewayState>().Phase);
    }

    [Fact]
    public async Task A_second_gateway_on_the_same_data_is_refused_and_names_the_first()
    {
        await using TestGateway first = await TestGateway.StartAsync(folder: _folder);

        GatewayStartException error = await Assert.ThrowsAsync<GatewayStartException>(() => TestGateway.StartAsync(folder: _folder));

        Assert.Contains($"in use by process {Environment.ProcessId}", error.Message, StringComparison.Ordinal);
        Assert.True(File.Exists(first.SubmitSocket)); // The refused one has not touched what the first listens on.
    }

    [Fact]
    public async Task A_stale_socket_file_is_replaced_and_a_live_one_is_not()
    {
        string path = _folder.File("submit.sock");
        using (var left = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified))
        {
            left.Bind(new UnixDomainSocketEndPoint(_folder.File("other")));
            File.Move(_folder.File("other"), path); // The socket's own end then no longer removes it: as after a kill.
        }
        await using (TestGateway gateway = await TestGateway.StartAsync(folder: _folder))
        {
            using var client = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            await client.ConnectAsync(new UnixDomainSocketEndPoint(gateway.SubmitSocket));
        }
        using var alive = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        alive.Bind(new UnixDomainSocketEndPoint(path));
        alive.Listen();

        GatewayStartException error = await Assert.ThrowsAsync<GatewayStartException>(() => TestGateway.StartAsync(folder: _folder));

        Assert.Contains("another process listens on", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_is_not_a_socket_is_left_alone()
    {
        _folder.Write("submit.sock", "precious");

        GatewayStartException error = await Assert.ThrowsAsync<GatewayStartException>(() => TestGateway.StartAsync(folder: _folder));

        Assert.Contains("is not a socket", error.Message, StringComparison.Ordinal);
        Assert.Equal("precious", File.ReadAllText(_folder.File("submit.sock")));
    }

    [Fact]
    public async Task A_busy_port_is_one_line_with_the_remedy()
    {
        using var busy = new TcpListener(IPAddress.Loopback, 0);
        busy.Start();

        GatewayStartException error = await Assert.ThrowsAsync<GatewayStartException>(() =>
            TestGateway.StartAsync(folder: _folder, configure: o => o.Listeners[0].Endpoint = busy.LocalEndpoint.ToString()!));

        Assert.Contains($"cannot listen on {busy.LocalEndpoint} (listener local): another program has this port", error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', error.Message);
    }

    [Fact]
    public async Task Settings_for_a_provider_that_there_is_not_are_one_line_and_a_smarthost_is_one()
    {
        GatewayStartException error = await Assert.ThrowsAsync<GatewayStartException>(() =>
            TestGateway.StartAsync(folder: _folder, configure: o => o.Delivery.Providers["Googel"] = new ProviderOptions()));

        Assert.Equal("RelayGate:Delivery:Providers:Googel: no provider is called googel; did you mean google?", error.Message);
        await using TestGateway gateway = await TestGateway.StartAsync("smtp://localhost:26", o => o.Delivery.Providers["localhost"] = new ProviderOptions(), folder: _folder);
        Assert.Equal(GatewayPhase.Ready, gateway.Get<GatewayState>().Phase);
    }

    [Fact]
    public async Task An_address_of_another_host_is_one_line_with_the_remedy()
    {
        GatewayStartException error = await Assert.ThrowsAsync<GatewayStartException>(() =>
            TestGateway.StartAsync(folder: _folder, configure: o => o.Listeners[0].Endpoint = "192.0.2.1:2525"));

        Assert.Contains("this address is not on this host", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("missing", "there is no file")]
    [InlineData("folder", "there is no file")]
    [InlineData("rubbish", "do not contain a PEM")]
    [InlineData("no key", "with the key in the same file")]
    [InlineData("another key", "does not match")]
    [InlineData("empty", "do not contain a PEM")]
    public async Task A_certificate_that_cannot_be_used_is_one_line_with_the_remedy(string fault, string said)
    {
        (string path, string? keyPath) = TestCertificate.Write(_folder.Path, TimeProvider.System.GetUtcNow().AddDays(90));
        switch (fault)
        {
            case "missing":
                File.Delete(path);
                break;
            case "folder":
                File.Delete(path);
                Directory.CreateDirectory(path);
                break;
            case "rubbish":
                await File.WriteAllTextAsync(path, "rubbish\n");
                break;
            case "no key":
                keyPath = null;
                break;
            case "another key":
                string certificate = await File.ReadAllTextAsync(path);
                TestCertificate.Write(_folder.Path, TimeProvider.System.GetUtcNow().AddDays(90));
                await File.WriteAllTextAsync(path, certificate);
                break;
            default:
                await File.WriteAllTextAsync(path, "");
                break;
        }

        GatewayStartException error = await Assert.ThrowsAsync<GatewayStartException>(() => TestGateway.StartAsync(folder: _folder, configure: o =>
        {
            o.Certificate.Path = path;
            o.Certificate.KeyPath = keyPath;
            o.Listeners[0].Tls = ListenerTls.StartTls;
        }));

        Assert.Contains(path, error.Message, StringComparison.Ordinal);
        Assert.Contains(said, error.Message, StringComparison.Ordinal);
        Assert.Contains("RelayGate:Certificate", error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', error.Message);
    }

    [Fact]
    public void A_data_directory_that_others_can_read_is_refused()
    {
        string path = _folder.File("open");
        Directory.CreateDirectory(path);
        File.SetUnixFileMode(path, (UnixFileMode)0x1ED);

        Assert.Contains($"chmod 700 {path}", Assert.Throws<GatewayStartException>(() => DataDirectory.Open(path)).Message, StringComparison.Ordinal);
    }

    /// <summary>A remedy is followed at 3 a.m. without a thought: no chmod or chown of what others live in.</summary>
    [Theory]
    [InlineData("755", true)]
    [InlineData("1777", false)]
    public void A_folder_that_is_not_ours_alone_is_left_as_it_is(string mode, bool hasFiles)
    {
        string path = _folder.File("shared");
        Directory.CreateDirectory(path);
        if (hasFiles)
            File.WriteAllText(Path.Combine(path, "precious"), "");
        File.SetUnixFileMode(path, (UnixFileMode)Convert.ToInt32(mode, 8));

        string message = Assert.Throws<GatewayStartException>(() => DataDirectory.Open(path)).Message;

        Assert.DoesNotContain("chmod", message, StringComparison.Ordinal);
        Assert.DoesNotContain("chown", message, StringComparison.Ordinal);
        Assert.Contains("choose a folder of its own", message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_control_socket_whose_folder_cannot_be_made_is_one_line_with_the_remedy()
    {
        string path = Path.Combine(_folder.Write("file", ""), "sub", "control.sock");

        GatewayStartException error = await Assert.ThrowsAsync<GatewayStartException>(() => TestGateway.StartAsync(folder: _folder, configure: o => o.Admin.Socket = path));

        Assert.Contains($"cannot make the socket {path} (RelayGate:Admin:Socket): ", error.Message, StringComparison.Ordinal);
        Assert.Contains($"install -d -o {Environment.UserName} {Path.GetDirectoryName(path)}", error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', error.Message);
    }

    [Theory]
    [InlineData("no-such-group-here", 1)]
    [InlineData("root", 0)]
    [InlineData(null, 0)]
    public async Task An_admin_group_that_the_host_does_not_have_is_warned_of(string? group, int warnings)
    {
        var log = new ConcurrentQueue<string>();
        await using TestGateway gateway = await TestGateway.StartAsync(
            folder: _folder, configure: o => o.Admin.Group = group, services: s => s.AddSingleton<ILogger<GatewayService>>(new LineLogger(log)));

        Assert.Equal(warnings, log.Count(static l => l.Contains("RelayGate:Admin:Group is no-such-group-here, which this host does not have", StringComparison.Ordinal)));
    }

    private sealed class LineLogger(ConcurrentQueue<string> lines) : ILogger<GatewayService>
    {
        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            lines.Enqueue(formatter(state, exception));
    }

    [Fact]
    public void A_data_directory_that_is_a_file_is_refused() =>
        Assert.Contains("cannot create the data directory", Assert.Throws<GatewayStartException>(() => DataDirectory.Open(_folder.Write("file", ""))).Message, StringComparison.Ordinal);

    [Fact]
    public async Task After_a_stop_the_store_is_free_and_the_next_start_works()
    {
        for (int i = 0; i < 3; i++)
        {
            await using TestGateway gateway = await TestGateway.StartAsync(folder: _folder);
            await gateway.StopAsync();
        }
    }

    [Fact]
    public async Task An_idle_session_hears_421_and_does_not_delay_the_stop()
    {
        await using TestGateway gateway = await TestGateway.StartAsync(folder: _folder);
        using var client = new TcpClient();
        await client.ConnectAsync(gateway.Local);
        using var reader = new StreamReader(client.GetStream());
        Assert.StartsWith("220 relay.test", await reader.ReadLineAsync(), StringComparison.Ordinal);

        await gateway.StopAsync().WaitAsync(TimeSpan.FromSeconds(9)); // Below the grace of 10 s: nobody waited for the client.

        Assert.StartsWith("421 4.3.2", await reader.ReadLineAsync(), StringComparison.Ordinal);
        Assert.Null(await reader.ReadLineAsync());
    }

    [Fact]
    public async Task Health_and_metrics_answer_on_the_admin_endpoint_and_the_api_does_not()
    {
        await using TestGateway gateway = await TestGateway.StartAsync(folder: _folder, configure: o => o.Admin.Endpoint = "127.0.0.1:0");
        ListenerPlan plan = gateway.Get<ListenerPlan>();
        using var http = new HttpClient { BaseAddress = new Uri($"http://{gateway.Get<ListenSockets>().BoundTo(plan.Http!)}") };

        Assert.Equal("live\n", await http.GetStringAsync("/healthz/live"));
        Assert.Equal("ready\n", await http.GetStringAsync("/healthz/ready"));
        using HttpResponseMessage metrics = await http.GetAsync("/metrics");
        Assert.Equal("text/plain; version=0.0.4; charset=utf-8", metrics.Content.Headers.ContentType!.ToString());
        Assert.Contains("relaygate_build_info", await metrics.Content.ReadAsStringAsync(), StringComparison.Ordinal);
        foreach (string path in new[] { "/api/v1/status", "/api/v1/plans", "/api/nothing" })
        {
            using HttpResponseMessage api = await http.GetAsync(path);
            Assert.Equal(HttpStatusCode.Unauthorized, api.StatusCode);
            Assert.Equal("application/problem+json", api.Content.Headers.ContentType!.ToString());
            Assert.Contains("urn:relaygate:problem:unauthorized", await api.Content.ReadAsStringAsync(), StringComparison.Ordinal);
        }
    }

    private static string Mode(string path) => Convert.ToString((int)File.GetUnixFileMode(path), 8);
}
