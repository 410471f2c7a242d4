using System.Diagnostics;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json.Nodes;
using RelayGate.InteropTests.Infrastructure;

namespace RelayGate.InteropTests.Hosting;

/// <summary>The process itself: what it says at the start, how it fails and how it stops.</summary>
public sealed class ServeTests
{
    [Fact]
    public async Task It_names_its_listeners_and_says_ready_and_stops_on_SIGTERM_with_an_idle_session()
    {
        await using SinkServer sink = SinkServer.Start();
        await using GatewayProcess gateway = await GatewayProcess.StartAsync(sink);
        string[] lines = gateway.Said.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Contains(lines, l => l.Contains($"SMTP 127.0.0.1:{gateway.Port}", StringComparison.Ordinal));
        Assert.DoesNotContain(lines, static l => l.Contains("Kestrel", StringComparison.OrdinalIgnoreCase) || l.Contains("Microsoft.", StringComparison.Ordinal));
        using SmtpDialog idle = await SmtpDialog.ConnectAsync(gateway.Port);
        await idle.LogInAsync("nobody@shop.test", "x").ContinueWith(static t => t.Exception, TaskScheduler.Default);

        var watch = Stopwatch.StartNew();
        Assert.Equal(0, await gateway.StopAsync());
        Assert.True(watch.Elapsed < TimeSpan.FromSeconds(12), $"stopping took {watch.Elapsed}");
    }

    [Theory]
    [InlineData("Hostnam", "\"x\"", "Hostnam")]
    [InlineData("MaxRecipients", "\"many\"", "many")]
    [InlineData("Delivery", "{\"NextHop\":\"gopher://x\"}", "gopher://x")]
    [InlineData("Delivery", "{\"Retry\":{\"First\":\"soon\"}}", "soon")]
    [InlineData("Listeners", "[{\"Name\":\"a\",\"Endpoint\":\"127.0.0.1:99999\"}]", "127.0.0.1:99999")]
    public async Task A_bad_setting_ends_the_start_in_one_line_with_file_key_and_value(string key, string value, string named)
    {
        await using var gateway = new GatewayProcess("mx");
        gateway.Settings[key] = JsonNode.Parse(value);
        gateway.WriteSettings();

        ProgramResult result = await new ProgramRun(Repository.Gateway, "serve", "--config", gateway.Folder["appsettings.json"]).RunAsync();

        result.ShouldExit(1).ShouldSay("appsettings.json").ShouldSay(named);
        Assert.DoesNotContain("   at ", result.Output + result.Error, StringComparison.Ordinal);
        Assert.Single((result.Output + result.Error).Split('\n', StringSplitOptions.RemoveEmptyEntries));
    }

    [Fact]
    public async Task A_busy_port_ends_the_start_in_one_line()
    {
        await using SinkServer sink = SinkServer.Start();
        await using var gateway = new GatewayProcess(sink.Url);
        gateway.Settings["Listeners"]![0]!["Endpoint"] = sink.EndPoint.ToString();
        gateway.WriteSettings();

        ProgramResult result = await new ProgramRun(Repository.Gateway, "serve", "--config", gateway.Folder["appsettings.json"]).RunAsync();

        result.ShouldExit(1).ShouldSay(sink.EndPoint.ToString()).ShouldSay("another program has this port");
        Assert.DoesNotContain("   at ", result.Output + result.Error, StringComparison.Ordinal);
    }

    [InteropFact(Programs.Root, "setpriv")]
    public async Task A_port_that_needs_a_privilege_ends_the_start_in_one_line_with_the_remedy()
    {
        string minimum = await File.ReadAllTextAsync("/proc/sys/net/ipv4/ip_unprivileged_port_start");
        if (int.Parse(minimum) <= 25)
            return; // Every port is free for everybody on this kernel: there is nothing to refuse.
        await using var gateway = new GatewayProcess("mx");
        gateway.Settings["Listeners"]![0]!["Endpoint"] = "127.0.0.1:25";
        using var own = new TestFolder();
        string config = own.Write("appsettings.json", new JsonObject { ["RelayGate"] = gateway.Settings.DeepClone() }.ToJsonString());
        (await new ProgramRun("chown", "-R", "nobody", own.FullName).RunAsync()).ShouldSucceed();

        ProgramResult result = await new ProgramRun("setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups", "--bounding-set=-all",
            Repository.ReadableGateway, "serve", "--config", config)
        { Environment = new Dictionary<string, string> { ["HOME"] = own.FullName } }.RunAsync();

        result.ShouldExit(1).ShouldSay("127.0.0.1:25").ShouldSay("CAP_NET_BIND_SERVICE");
    }

    [InteropFact(Programs.Root, "setpriv")]
    public async Task A_certificate_key_that_the_gateway_may_not_read_ends_the_start_in_one_line()
    {
        await using var gateway = new GatewayProcess("mx");
        using var own = new TestFolder();
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        using X509Certificate2 certificate = new CertificateRequest("CN=relay.example.net", key, HashAlgorithmName.SHA256)
            .CreateSelfSigned(TimeProvider.System.GetUtcNow().AddDays(-1), TimeProvider.System.GetUtcNow().AddDays(90));
        gateway.Settings["Certificate"] = new JsonObject
        {
            ["Path"] = own.Write("relay.pem", certificate.ExportCertificatePem()),
            ["KeyPath"] = own.Write("relay.key", key.ExportPkcs8PrivateKeyPem()),
        };
        string config = own.Write("appsettings.json", new JsonObject { ["RelayGate"] = gateway.Settings.DeepClone() }.ToJsonString());
        (await new ProgramRun("chown", "-R", "nobody", own.FullName).RunAsync()).ShouldSucceed();
        (await new ProgramRun("chown", "root", own["relay.key"]).RunAsync()).ShouldSucceed();
        File.SetUnixFileMode(own["relay.key"], UnixFileMode.UserRead);

        ProgramResult result = await new ProgramRun("setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups", "--bounding-set=-all",
            Repository.ReadableGateway, "serve", "--config", config)
        { Environment = new Dictionary<string, string> { ["HOME"] = own.FullName } }.RunAsync();

        result.ShouldExit(1).ShouldSay(own["relay.key"]).ShouldSay("denied");
        Assert.Single((result.Output + result.Error).Split('\n', StringSplitOptions.RemoveEmptyEntries));
    }

    [Fact]
    public async Task A_second_gateway_on_the_same_data_ends_and_names_the_first()
    {
        await using SinkServer sink = SinkServer.Start();
        await using GatewayProcess first = await GatewayProcess.StartAsync(sink);
        await using var second = new GatewayProcess(sink.Url);
        second.Settings["DataDirectory"] = first.Folder["data"];
        second.WriteSettings();

        ProgramResult result = await new ProgramRun(Repository.Gateway, "serve", "--config", second.Folder["appsettings.json"]).RunAsync();

        result.ShouldExit(1).ShouldSay($"{first.Id}");
    }

    [Fact]
    public async Task A_damaged_or_newer_store_ends_the_start_in_one_line_and_is_left_as_it_is()
    {
        await using SinkServer sink = SinkServer.Start();
        await using GatewayProcess gateway = await GatewayProcess.StartAsync(sink);
        await gateway.AddShopAsync();
        Assert.Equal(0, await gateway.StopAsync());
        string database = Directory.GetFiles(gateway.Folder["data"], "*.db").Single();
        byte[] junk = new byte[8192];
        Array.Fill(junk, (byte)'x');
        await File.WriteAllBytesAsync(database, junk);

        ProgramResult result = await new ProgramRun(Repository.Gateway, "serve", "--config", gateway.Folder["appsettings.json"]).RunAsync();

        result.ShouldExit(1).ShouldSay(Path.GetFileName(database));
        Assert.DoesNotContain("   at ", result.Output + result.Error, StringComparison.Ordinal);
        Assert.Equal(junk, await File.ReadAllBytesAsync(database));
    }

    [Fact]
    public async Task Health_and_metrics_answer_over_HTTP_and_the_API_does_not()
    {
        await using SinkServer sink = SinkServer.Start();
        await using GatewayProcess gateway = await GatewayProcess.StartAsync(sink);
        using var http = new HttpClient { BaseAddress = new Uri("http://" + gateway.AdminEndpoint) };

        Assert.Equal(200, (int)(await http.GetAsync("/healthz/live")).StatusCode);
        Assert.Equal(200, (int)(await http.GetAsync("/healthz/ready")).StatusCode);
        Assert.Contains("relaygate_", await http.GetStringAsync("/metrics"), StringComparison.Ordinal);
        Assert.Equal(401, (int)(await http.GetAsync("/api/v1/messages")).StatusCode);
    }
}
