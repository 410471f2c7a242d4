using System.Net;
using System.Text.Json.Nodes;
using RelayGate.Accounts;
using RelayGate.Configuration;
using RelayGate.Storage;
using RelayGate.Telemetry;
using RelayGate.Tests.Fakes;
using RelayGate.Tests.Submission;

namespace RelayGate.Tests.Admin;

public sealed class DoctorTests : IDisposable
{
    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(-1, "problem", "has expired")]
    [InlineData(3, "warning", "expires")]
    [InlineData(90, "ok", "valid until")]
    public async Task It_names_a_certificate_that_has_expired_or_soon_will(int days, string result, string text)
    {
        (string path, string keyPath) = TestCertificate.Write(_folder.Path, TimeProvider.System.GetUtcNow().AddDays(days));
        await using TestGateway gateway = await TestGateway.StartAsync(folder: _folder, configure: o =>
        {
            o.Certificate.Path = path;
            o.Certificate.KeyPath = keyPath;
        });

        JsonNode finding = await FindAsync(gateway, "certificate");

        Assert.Equal(result, (string?)finding["result"]);
        Assert.Contains(text, (string)finding["text"]!, StringComparison.Ordinal);
    }

    [Fact]
    public async Task It_names_an_address_of_a_customer_or_of_the_server_that_is_not_on_this_host()
    {
        await using TestGateway gateway = await TestGateway.StartAsync(configure: static o => o.Egress.IPv4 = "203.0.113.9");
        AccountAdministration accounts = gateway.Get<AccountAdministration>();
        Assert.True((await accounts.AddSubscriptionAsync("acme", new SubscriptionChange(IPv4: "203.0.113.11"), default)).IsOk);

        Assert.Equal("problem", (string?)(await FindAsync(gateway, "address 203.0.113.11"))["result"]);
        Assert.Equal("problem", (string?)(await FindAsync(gateway, "address 203.0.113.9"))["result"]);
    }

    [Fact]
    public async Task An_address_that_nobody_uses_is_a_note()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        AccountAdministration accounts = gateway.Get<AccountAdministration>();
        Assert.True((await accounts.AddAddressAsync("203.0.113.7", null, false, default)).IsOk);
        Assert.True((await accounts.AddAddressAsync("203.0.113.8", null, true, default)).IsOk);
        Assert.True((await accounts.AddSubscriptionAsync("acme", new SubscriptionChange(IPv4: "203.0.113.8"), default)).IsOk);

        JsonNode unused = await FindAsync(gateway, "address 203.0.113.7");

        Assert.Equal("note", (string?)unused["result"]);
        Assert.Contains("nobody uses it", (string)unused["text"]!, StringComparison.Ordinal);
        Assert.Equal("problem", (string?)(await FindAsync(gateway, "address 203.0.113.8"))["result"]);
    }

    [Fact]
    public async Task It_tries_every_listener_as_a_stranger()
    {
        (string path, string keyPath) = TestCertificate.Write(_folder.Path, TimeProvider.System.GetUtcNow().AddDays(90));
        await using TestGateway gateway = await TestGateway.StartAsync(folder: _folder, configure: o =>
        {
            o.Certificate.Path = path;
            o.Certificate.KeyPath = keyPath;
            o.Listeners.Add(new ListenerOptions { Name = "submission", Endpoint = "0.0.0.0:0", Tls = ListenerTls.StartTls });
            o.Listeners.Add(new ListenerOptions { Name = "inside", Endpoint = "127.0.0.1:0", Tls = ListenerTls.StartTls, LoopbackTls = ListenerTls.StartTls });
            o.Listeners.Add(new ListenerOptions { Name = "smtps", Endpoint = "127.0.0.1:0", Tls = ListenerTls.Implicit });
        });

        List<JsonNode> findings = await RelayFindingsAsync(gateway);

        foreach (string target in new[] { $"local {gateway.Local}", $"submission 127.0.0.1:{Port("submission")}", $"inside 127.0.0.1:{Port("inside")}", $"inside 127.0.0.1:{Port("inside")} STARTTLS", $"smtps 127.0.0.1:{Port("smtps")} TLS" })
        {
            JsonNode finding = Assert.Single(findings, f => (string?)f["check"] == $"relay {target}");
            Assert.Contains("162 forms of sender and recipient tried, none taken", (string)finding["text"]!, StringComparison.Ordinal);
            Assert.Equal("ok", (string?)finding["result"]);
        }
        Assert.Contains(findings, f => ((string)f["check"]!).StartsWith("relay sendmail unix:", StringComparison.Ordinal));
        Assert.Equal(0, await gateway.Get<SqliteRelayStore>().ReadAsync(db => db.All("select 1 from message", _ => 1).Count, default));
        Assert.InRange(await gateway.Get<SqliteRelayStore>().ReadAsync(db => db.All("select 1 from decision", _ => 1).Count, default), 1, 60); // Floods are merged.

        int Port(string listener) => ((IPEndPoint)gateway.EndPointOf(listener)).Port;
    }

    [Fact]
    public async Task It_warns_when_a_listed_network_lets_every_program_of_this_host_relay()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        AccountAdministration accounts = gateway.Get<AccountAdministration>();
        Assert.True((await accounts.AddSubscriptionAsync("acme", new SubscriptionChange(), default)).IsOk);
        Assert.True((await accounts.AddNetworkAsync("127.0.0.0/8", "acme", false, false, default)).IsOk);

        JsonNode finding = Assert.Single(await RelayFindingsAsync(gateway), f => (string?)f["check"] == $"relay local {gateway.Local}");

        Assert.Equal("warning", (string?)finding["result"]);
        Assert.Contains("network remove 127.0.0.0/8", (string)finding["text"]!, StringComparison.Ordinal);
    }

    [Fact]
    public async Task It_warns_of_how_much_mail_passes_the_limits_by()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        AccountAdministration accounts = gateway.Get<AccountAdministration>();
        Assert.Equal("ok", (string?)(await FindAsync(gateway, "limits"))["result"]);
        Assert.True((await accounts.AddSubscriptionAsync("acme", new SubscriptionChange(), default)).IsOk);
        Assert.True((await accounts.AddNetworkAsync("127.0.0.0/8", "acme", true, false, default)).IsOk);
        await using (TestClient client = await TestClient.GreetAsync(gateway.Local))
            Assert.StartsWith("250 ", await client.OfferAsync("From: a@example.org\r\n\r\nx\r\n", "a@example.org"), StringComparison.Ordinal);

        JsonNode escaped = await FindAsync(gateway, "limits");
        Assert.Equal("warning", (string?)escaped["result"]);
        Assert.Contains("no limit held for 1 of 1 messages", (string)escaped["text"]!, StringComparison.Ordinal);

        Assert.True((await accounts.SetSettingAsync("Limits:Enforce", "false", default)).IsOk);
        Assert.Contains("Limits:Enforce is false", (string)(await FindAsync(gateway, "limits"))["text"]!, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0, 3, "warning")]
    [InlineData(1, 3, "ok")]
    [InlineData(0, 0, "ok")]
    public async Task It_warns_when_nothing_that_was_tried_has_gone_out(int delivered, int deferred, string result)
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        gateway.Get<RelayGateMetrics>().Deliveries.Add(delivered, "delivered");
        gateway.Get<RelayGateMetrics>().Deliveries.Add(deferred, "deferred");

        Assert.Equal(result, (string?)(await FindAsync(gateway, "deliveries"))["result"]);
    }

    [Theory]
    [InlineData("relay.test", "ok", "relay.test")]
    [InlineData("nowhere.test", "warning", "has no address")]
    public async Task It_asks_the_resolver_for_our_own_name(string hostname, string result, string text)
    {
        await using var dns = new FakeDns();
        dns.A("relay.test", "192.0.2.1");
        await using TestGateway gateway = await TestGateway.StartAsync("mx", o =>
        {
            o.Hostname = hostname;
            o.Delivery.Resolver = dns.EndPoint.ToString();
        });

        JsonNode finding = await FindAsync(gateway, "dns");

        Assert.Equal(result, (string?)finding["result"]);
        Assert.Contains(text, (string)finding["text"]!, StringComparison.Ordinal);
    }

    [Fact]
    public async Task It_names_a_resolver_that_does_not_answer()
    {
        await using TestGateway gateway = await TestGateway.StartAsync("mx", static o => o.Delivery.Resolver = "127.0.0.1:9");

        Assert.Equal("problem", (string?)(await FindAsync(gateway, "dns"))["result"]);
    }

    private static async Task<JsonNode> FindAsync(TestGateway gateway, string check)
    {
        using HttpClient http = gateway.Control();
        JsonNode findings = JsonNode.Parse(await http.GetStringAsync("doctor"))!;
        Assert.Contains(findings["items"]!.AsArray(), static f => (string?)f!["check"] == "process facts" && ((string)f["text"]!).StartsWith("executable and folder of other users can", StringComparison.Ordinal));
        return Assert.Single(findings["items"]!.AsArray(), f => (string?)f!["check"] == check)!;
    }

    private static async Task<List<JsonNode>> RelayFindingsAsync(TestGateway gateway)
    {
        using HttpClient http = gateway.Control();
        JsonNode findings = JsonNode.Parse(await http.GetStringAsync("doctor"))!;
        return [.. findings["items"]!.AsArray().Where(f => ((string)f!["check"]!).StartsWith("relay ", StringComparison.Ordinal)).Select(f => f!)];
    }
}
