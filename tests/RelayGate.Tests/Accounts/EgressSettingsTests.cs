using System.Net;
using RelayGate.Accounts;
using RelayGate.Configuration;
using RelayGate.Core.Policy;
using RelayGate.Storage;
using RelayGate.Tests.Fakes;
using RelayGate.Tests.Submission;

namespace RelayGate.Tests.Accounts;

/// <summary>From where mail leaves is decided once, by the settings in force, and delivery follows what is kept with the message.</summary>
public sealed class EgressSettingsTests
{
    [Theory]
    [InlineData(MissingFamilyMode.Server, "Defer", null, null)]
    [InlineData(MissingFamilyMode.Defer, "Server", "::1", "::1")]
    [InlineData(MissingFamilyMode.Defer, "Server", null, "::1")] // The server has none either: the system's choice.
    [InlineData(MissingFamilyMode.Server, null, null, "::1")]
    [InlineData(MissingFamilyMode.Defer, null, null, null)]
    public async Task A_missing_family_is_dealt_with_as_the_setting_in_force_says(MissingFamilyMode file, string? stored, string? server, string? expected)
    {
        await using var hop = new FakeNextHop(IPAddress.IPv6Loopback);
        await using TestGateway gateway = await TestGateway.StartAsync(hop.Url, o => o.Egress.MissingFamily = file);
        AccountAdministration accounts = gateway.Get<AccountAdministration>();
        if (stored is not null)
            Assert.True((await accounts.SetSettingAsync("Egress:MissingFamily", stored, default)).IsOk);
        if (server is not null)
            Assert.True((await accounts.SetSettingAsync("Egress:IPv6", server, default)).IsOk);
        await OfferAsync(gateway, "127.0.0.2");

        if (expected is not null)
        {
            ReceivedMessage message = await hop.NextAsync();
            Assert.Equal((expected, "relay.test"), (message.Client.ToString(), message.Hello));
            return;
        }
        Assert.Contains("The next hop has only IPv6 addresses", await FirstReplyAsync(gateway.Get<SqliteRelayStore>()), StringComparison.Ordinal);
        Assert.Equal(0, hop.Connections);
    }

    /// <summary>The file's address was given away while another was set: nothing of others leaves from there, and the system does not choose instead.</summary>
    [Fact]
    public async Task A_server_address_that_another_has_now_does_not_fill_a_missing_family()
    {
        await using var hop = new FakeNextHop(IPAddress.IPv6Loopback);
        await using TestGateway gateway = await TestGateway.StartAsync(hop.Url, o =>
        {
            o.Egress.MissingFamily = MissingFamilyMode.Server;
            o.Egress.IPv6 = "::1";
        });
        AccountAdministration accounts = gateway.Get<AccountAdministration>();
        Assert.True((await accounts.AddPlanAsync("gold", default)).IsOk);
        Assert.True((await accounts.SetSettingAsync("Egress:IPv6", "2001:db8::1", default)).IsOk);
        Assert.True((await accounts.AddSubscriptionAsync("rival", new SubscriptionChange(Plan: "gold", IPv6: "::1"), default)).IsOk);
        Assert.True((await accounts.UnsetSettingAsync("Egress:IPv6", default)).IsOk);

        await OfferAsync(gateway, "127.0.0.2");

        Assert.Contains("The next hop has only IPv6 addresses", await FirstReplyAsync(gateway.Get<SqliteRelayStore>()), StringComparison.Ordinal);
        Assert.Equal(0, hop.Connections);
    }

    /// <summary>A drained address makes way for another of its subscription's (or, where the setting says so, the server's), and for nothing else.</summary>
    [Theory]
    [InlineData(null, MissingFamilyMode.Defer, "127.0.0.2", null)]
    [InlineData("127.0.0.2", MissingFamilyMode.Defer, "127.0.0.2", "::1")]
    [InlineData("127.0.0.2", MissingFamilyMode.Server, "127.0.0.9", "::1")]
    [InlineData("127.0.0.2 127.0.0.9", MissingFamilyMode.Server, "127.0.0.2", "::1")]
    [InlineData("127.0.0.3", MissingFamilyMode.Defer, "127.0.0.2", "::1", "127.0.0.3")]
    [InlineData("127.0.0.3 127.0.0.2", MissingFamilyMode.Defer, "127.0.0.3", "::1", "127.0.0.3")]
    public async Task A_drained_address_is_chosen_only_where_there_is_no_other_of_its_family(string? drained, MissingFamilyMode missing, string ipv4, string? ipv6, string? pinned = null)
    {
        await using var hop = new FakeNextHop();
        await using TestGateway gateway = await TestGateway.StartAsync(hop.Url, o =>
        {
            o.Egress.IPv4 = "127.0.0.9";
            o.Egress.MissingFamily = missing;
        });
        AccountAdministration accounts = gateway.Get<AccountAdministration>();
        Assert.True((await accounts.AddPlanAsync("gold", default)).IsOk);
        Assert.True((await accounts.AddSubscriptionAsync("beta", new SubscriptionChange(Plan: "gold", IPv4: "127.0.0.2", IPv6: ipv6), default)).IsOk);
        Assert.True((await accounts.AddDomainAsync("shop.test", new DomainChange(Subscription: "beta", IPv4: pinned), default)).IsOk);
        foreach (string address in drained?.Split(' ') ?? [])
            Assert.True((await accounts.DrainAddressAsync(address, isDraining: true, default)).IsOk);

        EgressChoice choice = await gateway.Get<AccountDirectory>().EgressOfAsync("beta", "shop.test", default);

        Assert.Equal((ipv4, ipv6, false), (choice.IPv4?.Address.ToString(), choice.IPv6?.Address.ToString(), choice.IsSystemDefault));
    }

    [Fact]
    public async Task All_mail_leaves_by_IPv4_alone_though_the_file_names_an_IPv6_address()
    {
        await using var hop = new FakeNextHop();
        await using TestGateway gateway = await TestGateway.StartAsync(hop.Url, static o =>
        {
            o.Egress.Mode = EgressMode.Explicit;
            o.Egress.IPv4 = "127.0.0.9";
            o.Egress.IPv6 = "::1";
        });
        AccountAdministration accounts = gateway.Get<AccountAdministration>();
        AccountDirectory directory = gateway.Get<AccountDirectory>();

        Assert.Equal("none", (await accounts.SetSettingAsync("Egress:IPv6", "None", default)).Value!.Value);

        EgressChoice choice = await directory.EgressOfAsync("", null, default);
        Assert.Equal(("127.0.0.9", null, false), (choice.IPv4?.Address.ToString(), choice.IPv6?.Address.ToString(), choice.IsSystemDefault));
        Assert.False((await accounts.SetSettingAsync("Egress:IPv4", "none", default)).IsOk); // Then it would have none.
        Assert.True((await accounts.UnsetSettingAsync("Egress:IPv6", default)).IsOk);
        Assert.Equal("::1", (await directory.EgressOfAsync("", null, default)).IPv6?.Address.ToString());
    }

    private static async Task OfferAsync(TestGateway gateway, string ipv4)
    {
        AccountAdministration accounts = gateway.Get<AccountAdministration>();
        Assert.True((await accounts.AddPlanAsync("basic", default)).IsOk);
        Assert.True((await accounts.AddSubscriptionAsync("acme", new SubscriptionChange(Plan: "basic", IPv4: ipv4), default)).IsOk);
        Assert.True((await accounts.AddDomainAsync("shop.test", new DomainChange(Subscription: "acme"), default)).IsOk);
        Assert.True((await accounts.AddMailboxAsync("info@shop.test", "secret", default)).IsOk);
        await using TestClient client = await TestClient.LogInAsync(gateway.Local);
        Assert.StartsWith("250 ", await client.OfferAsync("From: info@shop.test\r\n\r\nhello\r\n", recipients: "b@example.org"), StringComparison.Ordinal);
    }

    /// <summary>What the first attempt came to, 20 s at most.</summary>
    private static async Task<string> FirstReplyAsync(SqliteRelayStore store)
    {
        using var bound = new CancellationTokenSource(TimeSpan.FromSeconds(20));
        while (true)
        {
            string? reply = await store.ReadAsync(
                db =>
                {
                    using var command = db.CreateCommand();
                    command.CommandText = "select max(last_reply) from recipient";
                    return command.ExecuteScalar() as string;
                },
                bound.Token);
            if (reply is not null)
                return reply;
            await Task.Delay(20, bound.Token);
        }
    }
}
