using System.Net;
using RelayGate.Accounts;
using RelayGate.Core.Policy;

namespace RelayGate.Tests.Submission;

/// <summary>Mail that other panels do not count: lists, forwards, catch-alls and mail without login. Here each of them is counted, by class.</summary>
public sealed class ClassCountTests : IAsyncLifetime
{
    private const string Hops = "Received: from a by b; 1\r\nReceived: from b by c; 2\r\nReceived: from c by d; 3\r\n";
    private static readonly AccountKey Acme = new(Level.Subscription, "acme");
    private static readonly AccountKey Forwards = Acme with { Class = MessageClass.Forward };

    private SubmissionHost _host = null!;

    public async Task InitializeAsync() => _host = await SubmissionHost.StartAsync();

    public async Task DisposeAsync() => await _host.DisposeAsync();

    [Theory]
    // 003-17: mail of a mailing list counts at the domain of the list, whoever wrote it.
    [InlineData("uid", "list-bounces@shop.test", "From: reader@example.org\r\nList-Id: <list.shop.test>\r\nPrecedence: list\r\nReceived: from x by y; 1\r\n", MessageClass.Local, "shop.test")]
    [InlineData("network", "list-bounces@shop.test", "From: reader@example.org\r\nList-Id: <list.shop.test>\r\n", MessageClass.Network, "shop.test")]
    // 003-18, 003-19: forwards of addresses that are no mailbox, and of a catch-all, to wherever.
    [InlineData("network", "srs0=abcd=ef=example.org=ann@shop.test", "From: ann@example.org\r\n" + Hops, MessageClass.Forward, "shop.test")]
    [InlineData("network", "nobody-there@shop.test", "From: ann@example.org\r\n" + Hops, MessageClass.Forward, "shop.test")]
    [InlineData("uid", "catch-all@shop.test", "From: ann@example.org\r\nResent-From: catch-all@shop.test\r\n", MessageClass.Forward, "shop.test")]
    // 003-22: forwards that keep the sender they came with have no domain here, and count for the subscription.
    [InlineData("network", "ann@example.org", "From: ann@example.org\r\n" + Hops, MessageClass.Forward, null)]
    [InlineData("network", "ann@example.org", "From: ann@example.org\r\nReceived: from x by y; 1\r\n", MessageClass.Forward, null)]
    // 003-23: mail of another computer without login counts at the domain of MAIL FROM, else for the subscription of its network.
    [InlineData("network", "info@shop.test", "From: info@shop.test\r\n", MessageClass.Network, "shop.test")]
    [InlineData("network", "unknown@sub.shop.test", "From: info@shop.test\r\n", MessageClass.Network, "shop.test")]
    [InlineData("network", "ceo@bank.example", "From: ceo@bank.example\r\n", MessageClass.Network, null)]
    // Answers of programs.
    [InlineData("network", "", "From: postmaster@shop.test\r\n", MessageClass.Automatic, "shop.test")]
    [InlineData("login", "", "From: info@shop.test\r\nAuto-Submitted: auto-replied\r\n", MessageClass.Automatic, "shop.test")]
    [InlineData("login", "info@shop.test", "From: info@shop.test\r\n", MessageClass.Login, "shop.test")]
    [InlineData("script", "info@shop.test", "From: info@shop.test\r\n", MessageClass.Script, "shop.test")]
    public async Task Every_message_counts_at_its_subscription_and_domain(string way, string reversePath, string header, MessageClass expected, string? domain)
    {
        await using TestClient client = await ConnectAsync(way);
        if (way == "script")
            header += $"X-PHP-Originating-Script: {SubmissionHost.Uid}:form.php\r\n";

        Assert.StartsWith("250 2.0.0", await client.OfferAsync(header + "\r\nhello\r\n", reversePath), StringComparison.Ordinal);

        List<string> counted = await _host.QueryAsync("select level, name, class, messages from usage_hour order by level", static row => $"{(Level)row.GetInt32(0)} {row.GetString(1)} {(MessageClass)row.GetInt32(2)} {row.GetInt64(3)}");
        string[] levels = ["Server  ", "Plan basic ", "Subscription acme ", .. domain is null ? Array.Empty<string>() : [$"Domain {domain} "], .. way == "login" ? ["Mailbox info@shop.test "] : Array.Empty<string>()];
        Assert.Equal(levels.Select(level => $"{level}{expected} 1"), counted);
        Assert.Equal(expected.Word(), Assert.Single(await _host.QueryAsync("select levels ->> 'class' from decision", static row => row.GetString(0))));
        Assert.Equal(1, _host.Metrics.Classes.Value(expected.Word(), "accepted"));
    }

    [Fact]
    public async Task Mail_that_is_passed_on_stays_a_forward_where_its_From_is_rewritten()
    {
        Ok(await _host.Administration.SetSubscriptionAsync("acme", new SubscriptionChange(HeaderFrom: "rewrite"), default));
        await using TestClient client = await ConnectAsync("network");

        string reply = await client.OfferAsync("From: ann@example.org\r\nReceived: from x by y; 1\r\n\r\nhello\r\n", "ann@example.org");

        Assert.Contains("postmaster@shop.test", await _host.ContentAsync(TestClient.RefOf(reply)), StringComparison.Ordinal);
        Assert.Equal("forward", Assert.Single(await _host.QueryAsync("select levels ->> 'class' from decision", static row => row.GetString(0))));
    }

    [Fact]
    public async Task A_limit_for_forwards_stops_forwards_alone()
    {
        Ok(await _host.Administration.SetLimitAsync(Forwards, null, "1/h", null, default));
        await using TestClient client = await ConnectAsync("network");

        Assert.StartsWith("250 ", await ForwardAsync(client), StringComparison.Ordinal);
        Assert.StartsWith("451 4.7.1 subscription acme class forward hourly limit reached: 1/1 messages", await ForwardAsync(client), StringComparison.Ordinal);
        Assert.StartsWith("250 ", await client.OfferAsync("From: info@shop.test\r\n\r\nhello\r\n"), StringComparison.Ordinal);

        LimitView view = Ok(await _host.Administration.ShowLimitAsync(Forwards, default));
        Assert.Equal(("1/h", 1L, 100), (view.Uses[0].Limit, view.Uses[0].Used, view.Uses[0].Percent));
        Assert.Equal(2, Ok(await _host.Administration.ShowLimitAsync(Acme, default)).Uses[0].Used);
        Ok(await _host.Administration.BoostLimitAsync(Forwards, 1, TimeSpan.FromHours(1), default));
        Assert.StartsWith("250 ", await ForwardAsync(client), StringComparison.Ordinal);
        Ok(await _host.Administration.ResetLimitAsync(Forwards, default));
        Assert.Equal((0L, 3L), (Ok(await _host.Administration.ShowLimitAsync(Forwards, default)).Uses[0].Used, Ok(await _host.Administration.ShowLimitAsync(Acme, default)).Uses[0].Used));
        Ok(await _host.Administration.UnsetLimitAsync(Forwards, null, default));
        Assert.Equal(["limit unset --class forward", "limit reset --class forward", "limit boost --class forward", "limit set --class forward"],
            Ok(await _host.Administration.ListAuditAsync("subscription acme", null, default, null, 10, default)).Items.Select(static e => e.What));
    }

    [Fact]
    public async Task A_default_for_a_class_is_inherited_by_each_object_below()
    {
        Ok(await _host.Administration.SetLimitAsync(new AccountKey(Level.Server, "", MessageClass.Automatic), Level.Mailbox, "1/d", OverLimitAction.Reject, default));
        await using TestClient client = await ConnectAsync("login");

        Assert.StartsWith("250 ", await client.OfferAsync("From: info@shop.test\r\n\r\nhello\r\n", ""), StringComparison.Ordinal);
        await client.CommandAsync("MAIL FROM:<>", "550 5.7.1 mailbox info@shop.test class automatic daily limit reached: 1/1");
        await client.CommandAsync("MAIL FROM:<info@shop.test>", "250");
    }

    [Fact]
    public async Task An_exempt_class_is_counted_and_never_limited()
    {
        Ok(await _host.Administration.SetLimitAsync(Acme, null, "1/h", null, default));
        Assert.True((await _host.Administration.SetSettingAsync("Classes:Forward", "Exempt", default)).IsOk);
        await using TestClient client = await ConnectAsync("network");

        for (int i = 0; i < 3; i++)
            Assert.StartsWith("250 ", await ForwardAsync(client), StringComparison.Ordinal);
        Assert.StartsWith("451 4.7.1", await client.OfferAsync("From: info@shop.test\r\n\r\nhello\r\n"), StringComparison.Ordinal);

        LimitView view = Ok(await _host.Administration.ShowLimitAsync(AccountKey.Server, default));
        Assert.Equal((3L, 3L), (view.Messages, view.Exempt));
    }

    [Fact]
    public async Task Mail_of_an_exempt_network_is_counted_and_shown_as_what_escapes()
    {
        Ok(await _host.Administration.SetLimitAsync(Acme, null, "1/h", null, default));
        Ok(await _host.Administration.AddNetworkAsync("198.51.100.0/24", "acme", true, false, default));
        await using TestClient client = _host.ConnectFrom(IPAddress.Parse("198.51.100.7"));
        await client.GreetAsync();

        for (int i = 0; i < 2; i++)
            Assert.StartsWith("250 ", await client.OfferAsync("From: info@shop.test\r\n\r\nhello\r\n"), StringComparison.Ordinal);

        LimitView view = Ok(await _host.Administration.ShowLimitAsync(AccountKey.Server, default));
        Assert.Equal((2L, 2L, true), (view.Messages, view.Exempt, view.IsEnforced));
    }

    private static Task<string> ForwardAsync(TestClient client) => client.OfferAsync("From: ann@example.org\r\n" + Hops + "\r\nhello\r\n", "ann@example.org");

    private async Task<TestClient> ConnectAsync(string way)
    {
        if (way == "login")
            return await TestClient.LogInAsync(_host.Local);
        if (way is "uid" or "script")
            return await TestClient.GreetAsync(_host.Unix);
        TestClient client = _host.ConnectFrom(IPAddress.Parse("192.0.2.7"));
        await client.GreetAsync();
        return client;
    }

    private static T Ok<T>(AdminResult<T> result)
        where T : class
    {
        Assert.True(result.IsOk, result.Error?.Message);
        return result.Value;
    }
}
