using System.Net;
using System.Net.Sockets;
using System.Text.Json.Nodes;
using RelayGate.Accounts;
using RelayGate.Tests.Fakes;
using RelayGate.Tests.Submission;

namespace RelayGate.Tests.Server;

/// <summary>Where mail leaves from and where it goes, by commands alone and without a restart.</summary>
public sealed class EgressCommandTests : IAsyncLifetime, IAsyncDisposable
{
    private CommandRun _relaygate = null!;
    private TestGateway _gateway = null!;
    private FakeNextHop _nextHop = null!;

    public async Task InitializeAsync()
    {
        _nextHop = new FakeNextHop();
        _gateway = await TestGateway.StartAsync(_nextHop.Url);
        _relaygate = new CommandRun(_gateway.ControlSocket);
        AccountAdministration accounts = _gateway.Get<AccountAdministration>();
        Assert.True((await accounts.AddSubscriptionAsync("acme", new SubscriptionChange(IPv4: "127.0.0.2"), default)).IsOk);
        Assert.True((await accounts.AddDomainAsync("shop.test", new DomainChange(Subscription: "acme"), default)).IsOk);
        Assert.True((await accounts.AddMailboxAsync("info@shop.test", "secret", default)).IsOk);
    }

    public async ValueTask DisposeAsync()
    {
        await _gateway.DisposeAsync();
        await _nextHop.DisposeAsync();
    }

    Task IAsyncLifetime.DisposeAsync() => DisposeAsync().AsTask(); // The one that this version of the runner calls.

    [Fact]
    public async Task Routes_are_set_tested_and_removed_and_tell_no_password()
    {
        await using var partner = new FakeNextHop { Extensions = ["AUTH PLAIN"] };
        partner.Logins["acme"] = "geheim";
        await _relaygate.OkAsync($"route set to partner.test --next-hop {partner.Url} --login acme --password-stdin", "geheim\n");
        await OfferAsync("ann@partner.test");
        Assert.Equal("acme by PLAIN", (await partner.NextAsync()).Login);
        await OfferAsync("ann@elsewhere.test");
        await _nextHop.NextAsync();

        string[] outputs =
        [
            await _relaygate.OkAsync("route list"), await _relaygate.OkAsync("route list --json"), await _relaygate.OkAsync("route show to partner.test --json"),
            await _relaygate.OkAsync("audit list"), await _relaygate.OkAsync("route test ann@partner.test --subscription acme"),
        ];
        Assert.Contains("to partner.test", outputs[0], StringComparison.Ordinal);
        Assert.Contains($"127.0.0.2 (relay.test), subscription-address", outputs[4], StringComparison.Ordinal);
        Assert.Contains(partner.EndPoint.ToString(), outputs[4], StringComparison.Ordinal);
        Assert.All(outputs, static output => Assert.DoesNotContain("geheim", output, StringComparison.Ordinal));

        await _relaygate.OkAsync("route remove to partner.test");
        await OfferAsync("bob@partner.test");
        Assert.Equal(["RCPT TO:<bob@partner.test>"], (await _nextHop.NextAsync()).Rcpts);
        Assert.Equal(3, (await _relaygate.RunAsync("route remove to partner.test")).ExitCode);
        Assert.Equal(2, (await _relaygate.RunAsync("route set to")).ExitCode);
        Assert.Contains("none, may, encrypt, verify, dane or default", (await _relaygate.RunAsync("route set to partner.test --next-hop mx --tls sts")).Error, StringComparison.Ordinal);
        Assert.Contains("\"mx\" or \"smtp://host:port\"", (await _relaygate.RunAsync("route set server --next-hop relay.test")).Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_stored_password_goes_to_no_other_host()
    {
        await using var other = new FakeNextHop(System.Net.IPAddress.Parse("127.0.0.91")) { Extensions = ["AUTH PLAIN"] };
        other.Logins["acme"] = "geheim";
        await _relaygate.OkAsync("route set server --next-hop smtp://127.0.0.92,smtp://127.0.0.93 --login acme --password-stdin", "geheim\n");
        await _relaygate.OkAsync("route set server --next-hop smtp://127.0.0.93:2525"); // One it knows.

        Run refused = await _relaygate.RunAsync($"route set server --next-hop smtp://127.0.0.93 --next-hop {other.Url}");

        Assert.Contains("127.0.0.91 would be given the password of acme", refused.Error, StringComparison.Ordinal);
        Assert.Contains("smtp://127.0.0.93:2525", await _relaygate.OkAsync("route show server"), StringComparison.Ordinal);
        await _relaygate.OkAsync($"route set server --next-hop {other.Url} --login none");
        await OfferAsync("ann@dest.test");
        Assert.Equal("", (await other.NextAsync()).Login);
        await _relaygate.OkAsync($"route set server --next-hop {other.Url} --login acme --password-stdin", "geheim\n");
        await OfferAsync("ann@dest.test");
        Assert.Equal("acme by PLAIN", (await other.NextAsync()).Login);
    }

    [Fact]
    public async Task A_message_keeps_its_address_until_it_is_rebound_by_hand()
    {
        await _relaygate.OkAsync("route set subscription acme --next-hop smtp://127.0.0.1:9");
        await OfferAsync("first@dest.test");
        await OfferAsync("second@dest.test");
        await DeferredAsync(2);
        AccountAdministration accounts = _gateway.Get<AccountAdministration>();
        Assert.True((await accounts.AddSubscriptionAsync("rival", new SubscriptionChange(IPv4: "127.0.0.9"), default)).IsOk);
        await _relaygate.OkAsync("subscription set acme --ipv4 127.0.0.3");
        await _relaygate.OkAsync("route remove subscription acme");
        string[] refs = [.. JsonNode.Parse(await _relaygate.OkAsync("queue list --json"))!["items"]!.AsArray().Select(static i => (string)i!["ref"]!)];

        await _relaygate.OkAsync($"queue retry {refs[0]}");
        Assert.Equal("127.0.0.2", (await _nextHop.NextAsync()).Client.ToString());
        Run foreign = await _relaygate.RunAsync($"queue rebind {refs[1]} --to-ip 127.0.0.9");
        Assert.Equal(5, foreign.ExitCode);
        Assert.Contains("127.0.0.9 is neither", foreign.Error, StringComparison.Ordinal);
        Assert.Contains("1 message would be rebound", await _relaygate.OkAsync("queue rebind --subscription acme --dry-run"), StringComparison.Ordinal);
        await _relaygate.OkAsync("queue rebind --subscription acme --to-ip 127.0.0.3");
        Assert.Equal("127.0.0.3", (await _nextHop.NextAsync()).Client.ToString());
        Assert.Matches("queue rebind .*1 message to 127.0.0.3", await _relaygate.OkAsync("audit list"));
        Assert.Contains("rebound to 127.0.0.3", await _relaygate.OkAsync($"message explain {refs[1]}"), StringComparison.Ordinal);
    }

    /// <summary>RFC 8489: an answer to another request, or without the address, says nothing.</summary>
    [Fact]
    public async Task An_address_is_probed_by_stun()
    {
        using var stun = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
        stun.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        EndPoint client = new IPEndPoint(IPAddress.Any, 0);
        Task answering = Task.Run(async () =>
        {
            byte[] request = new byte[100];
            for (int i = 0; i < 3; i++)
            {
                SocketReceiveFromResult received = await stun.ReceiveFromAsync(request, new IPEndPoint(IPAddress.Any, 0));
                client = received.RemoteEndPoint;
                Assert.Equal((20, 0, 1), (received.ReceivedBytes, request[0], request[1]));
                byte[] address = [0, 0x20, 0, 8, 0, 1, 0, 0, .. IPAddress.Parse("198.51.100.7").GetAddressBytes().Select((octet, at) => (byte)(octet ^ request[4 + at]))];
                byte[] reply = [1, 1, 0, (byte)(i == 1 ? 0 : 20), .. request[4..20], .. i == 1 ? [] : (byte[])[0x80, 0x22, 0, 3, 1, 2, 3, 0, .. address]]; // SOFTWARE, padded, comes first.
                if (i == 0)
                    reply[19] ^= 1;
                await stun.SendToAsync(reply, received.RemoteEndPoint);
            }
        });
        await OfferAsync("ann@dest.test");

        string probed = await _relaygate.OkAsync($"ip probe 127.0.0.2 --to stun://{stun.LocalEndPoint}");

        Assert.Contains("seen as         198.51.100.7 (an address in between is translated)", probed, StringComparison.Ordinal);
        Assert.Equal("127.0.0.2", ((IPEndPoint)client).Address.ToString());
        await answering.WaitAsync(TimeSpan.FromSeconds(10));
    }

    [Fact]
    public async Task Addresses_tell_who_uses_them_and_as_which_they_are_seen()
    {
        await using var outside = new FakeNextHop { Script = static e => e.Verb == "EHLO" ? new HopAction.Raw("250-mx.example at your service, [198.51.100.7]\r\n250 SIZE 1000\r\n") : null };
        await OfferAsync("ann@dest.test");
        await _nextHop.NextAsync();

        string added = await _relaygate.OkAsync("ip add 192.0.2.77");
        string probed = await _relaygate.OkAsync($"ip probe 127.0.0.2 --to {outside.Url}");
        string shown = await _relaygate.OkAsync("ip show 127.0.0.2");
        JsonArray listed = JsonNode.Parse(await _relaygate.OkAsync("ip list --json"))!["items"]!.AsArray();

        Assert.Contains("it is not on this host now", added, StringComparison.Ordinal);
        Assert.Contains("seen as         198.51.100.7 (an address in between is translated)", probed, StringComparison.Ordinal);
        Assert.Contains("198.51.100.7 by smtp://", shown, StringComparison.Ordinal);
        Assert.Contains("acme", shown, StringComparison.Ordinal);
        Assert.Contains("last use", shown, StringComparison.Ordinal);
        Assert.Equal([null, true, false, null], listed.Select(static i => (bool?)i!["present"])); // Between the two that stand for the system's choice.
        Assert.Equal(1, (await _relaygate.RunAsync("ip probe 192.0.2.77 --to smtp://127.0.0.1:9")).ExitCode);
        Assert.Equal(2, (await _relaygate.RunAsync("ip probe 127.0.0.2")).ExitCode);
    }

    [Fact]
    public async Task Modes_greeting_and_IPv6_change_without_a_restart()
    {
        await _relaygate.OkAsync("setting set Egress:Greeting Domain");
        await OfferAsync("a@dest.test");
        ReceivedMessage greeted = await _nextHop.NextAsync();
        Assert.Equal(("127.0.0.2", "shop.test"), (greeted.Client.ToString(), greeted.Hello));

        await _relaygate.OkAsync("domain set shop.test --ipv4 127.0.0.4 --ipv6 ::1");
        await OfferAsync("b@dest.test");
        Assert.Equal("127.0.0.4", (await _nextHop.NextAsync()).Client.ToString());

        await _relaygate.OkAsync("setting set Egress:IPv4 127.0.0.8");
        await _relaygate.OkAsync("setting set Egress:Mode Explicit");
        await OfferAsync("c@dest.test");
        ReceivedMessage ofServer = await _nextHop.NextAsync();
        Assert.Equal(("127.0.0.8", "relay.test"), (ofServer.Client.ToString(), ofServer.Hello));

        await _relaygate.OkAsync("setting set Egress:IPv6Enabled false");
        Assert.Contains("IPv6 is off by the server", await _relaygate.OkAsync("explain --as info@shop.test --from info@shop.test --to a@dest.test"), StringComparison.Ordinal);
        await _relaygate.OkAsync("subscription set acme --ipv6-egress on");
        Assert.DoesNotContain("IPv6 is off", await _relaygate.OkAsync("explain --as info@shop.test --from info@shop.test --to a@dest.test"), StringComparison.Ordinal);
        Assert.Contains("on, off or default", (await _relaygate.RunAsync("subscription set acme --ipv6-egress maybe")).Error, StringComparison.Ordinal);
    }

    private async Task OfferAsync(string recipient)
    {
        await using TestClient client = await TestClient.LogInAsync(_gateway.Local);
        Assert.StartsWith("250 ", await client.OfferAsync("From: info@shop.test\r\n\r\nhello\r\n", recipients: recipient), StringComparison.Ordinal);
    }

    /// <summary>Waits until so many messages were attempted, 20 s at most.</summary>
    private async Task DeferredAsync(int count)
    {
        for (int i = 0; i < 200; i++)
        {
            if (_gateway.Get<RelayGate.Telemetry.RelayGateMetrics>().Deliveries.Value("deferred") >= count)
                return;
            await Task.Delay(100);
        }
        Assert.Fail("They were not attempted");
    }
}
