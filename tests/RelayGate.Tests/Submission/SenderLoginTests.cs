using RelayGate.Accounts;
using RelayGate.Core.Policy;

namespace RelayGate.Tests.Submission;

/// <summary>Logins by credentials beside mailboxes: whose mail it is, and what ends them.</summary>
public sealed class SenderLoginTests
{
    private const string Message = "From: info@shop.test\r\nSubject: x\r\n\r\nHello";

    private static readonly AccountKey Mailbox = new(Level.Mailbox, "info@shop.test");
    private static readonly AccountKey Domain = new(Level.Domain, "shop.test");
    private static readonly AccountKey Subscription = new(Level.Subscription, "acme");

    [Fact]
    public async Task The_credential_of_a_mailbox_sends_as_it_and_counts_at_all_five_levels()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        await using TestClient client = await LogInAsync(host, "app", await CreateAsync(host, "app", Mailbox));

        string id = TestClient.RefOf(await client.OfferAsync(Message, "ceo@shop.test"));

        Assert.Equal("info@shop.test", await ReversePathAsync(host));
        Assert.Equal(["server", "plan basic", "subscription acme", "domain shop.test", "mailbox info@shop.test"], await LevelsAsync(host));
        (string identity, string detail) = Assert.Single(await host.QueryAsync("select identity, detail from decision", row => (row.GetString(0), row.GetString(1))));
        Assert.Equal("login app", identity);
        Assert.Contains("\"credential\":\"app\"", detail, StringComparison.Ordinal);
        Assert.NotEmpty(id);
    }

    [Fact]
    public async Task The_credential_of_a_domain_owns_every_address_of_it_and_of_no_other()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        await host.ExecuteAsync("insert into domain (name, subscription) values ('blog.test', 'acme')");
        await using TestClient client = await LogInAsync(host, "app", await CreateAsync(host, "app", Domain));

        await client.OfferAsync(Message, "anybody@shop.test");
        Assert.Equal("anybody@shop.test", await ReversePathAsync(host));
        await client.OfferAsync(Message, "x@blog.test"); // The subscription's, but not the credential's.
        Assert.Equal("info@shop.test", await ReversePathAsync(host));
        await client.OfferAsync("From: x@blog.test\r\n\r\n", "x@blog.test");
        Assert.Equal("postmaster@shop.test", await ReversePathAsync(host));
        await client.CommandAsync("MAIL FROM:<x@other.test>", "550 5.7.1");
        Assert.Equal(["server", "plan basic", "subscription acme", "domain shop.test"], await LevelsAsync(host));
    }

    [Fact]
    public async Task The_credential_of_a_subscription_owns_all_its_domains_and_counts_at_that_of_the_sender()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        await host.ExecuteAsync("insert into domain (name, subscription) values ('blog.test', 'acme')");
        await using TestClient client = await LogInAsync(host, "app", await CreateAsync(host, "app", Subscription));

        await client.OfferAsync("From: x@blog.test\r\n\r\n", "x@blog.test");

        Assert.Equal("x@blog.test", await ReversePathAsync(host));
        Assert.Equal(["server", "plan basic", "subscription acme", "domain blog.test"], await LevelsAsync(host));
    }

    [Fact]
    public async Task A_replaced_password_ends_at_once_in_open_sessions_too()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        string old = await CreateAsync(host, "app", Mailbox);
        await using TestClient open = await LogInAsync(host, "app", old);
        Assert.StartsWith("250", await open.OfferAsync(Message), StringComparison.Ordinal);

        string next = Value(await host.Administration.RotateSenderAsync("app", null, TimeSpan.Zero, default)).Password!;

        await open.CommandAsync("MAIL FROM:<info@shop.test>", "530 5.7.0");
        await using TestClient stale = await TestClient.GreetAsync(host.Local);
        Assert.StartsWith("535 5.7.8", await host.AdvanceUntilAsync(stale.CommandAsync(TestClient.AuthPlain("app", old))), StringComparison.Ordinal);
        await using TestClient fresh = await LogInAsync(host, "app", next);
        Assert.StartsWith("250", await fresh.OfferAsync(Message), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_new_password_of_a_mailbox_ends_the_open_sessions_of_the_old_one()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        await using TestClient open = await LogInAsync(host, "info@shop.test", "secret");
        Assert.StartsWith("250", await open.OfferAsync(Message), StringComparison.Ordinal);
        Value(await host.Administration.SetMailboxAsync("info@shop.test", new MailboxChange(null, ["sales@shop.test"]), default)); // Another change ends nothing.
        Assert.StartsWith("250", await open.OfferAsync(Message), StringComparison.Ordinal);

        Value(await host.Administration.SetMailboxAsync("info@shop.test", new MailboxChange("second"), default));

        await open.CommandAsync("MAIL FROM:<info@shop.test>", "530 5.7.0");
        await using TestClient fresh = await LogInAsync(host, "info@shop.test", "second");
        Assert.StartsWith("250", await fresh.OfferAsync(Message), StringComparison.Ordinal);
        Value(await host.Administration.SetMailboxAsync("info@shop.test", new MailboxChange("third"), default)); // In the same millisecond, perhaps.
        await fresh.CommandAsync("MAIL FROM:<info@shop.test>", "530 5.7.0");
    }

    [Fact]
    public async Task With_a_grace_both_passwords_are_good_until_it_ends_in_open_sessions_too()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync(static o => o.Sessions.Idle = TimeSpan.FromHours(12));
        string old = await CreateAsync(host, "app", Mailbox);
        await using TestClient before = await LogInAsync(host, "app", old);

        string next = Value(await host.Administration.RotateSenderAsync("app", null, TimeSpan.FromHours(1), default)).Password!;

        await using TestClient withOld = await LogInAsync(host, "app", old);
        await using TestClient withNew = await LogInAsync(host, "app", next);
        foreach (TestClient client in new[] { before, withOld, withNew })
            Assert.StartsWith("250", await client.OfferAsync(Message), StringComparison.Ordinal);
        await withOld.CommandAsync("MAIL FROM:<info@shop.test>", "250");
        host.Time.Advance(TimeSpan.FromHours(1));
        await before.CommandAsync("MAIL FROM:<info@shop.test>", "530 5.7.0"); // Although nobody has taken it away yet.
        await withOld.CommandAsync("RCPT TO:<ann@example.net>", "530 5.7.0");
        Assert.StartsWith("250", await withNew.OfferAsync(Message), StringComparison.Ordinal);
        await using TestClient late = await TestClient.GreetAsync(host.Local);
        Assert.StartsWith("535 5.7.8", await host.AdvanceUntilAsync(late.CommandAsync(TestClient.AuthPlain("app", old))), StringComparison.Ordinal);
        await host.Administration.EndGracesAsync(default);
        await using TestClient last = await LogInAsync(host, "app", next);
        Assert.StartsWith("250", await last.OfferAsync(Message), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_revoked_credential_made_anew_does_not_revive_its_sessions()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        await using TestClient open = await LogInAsync(host, "app", await CreateAsync(host, "app", Mailbox));

        Value(await host.Administration.RevokeSenderAsync("app", default));
        await open.CommandAsync("MAIL FROM:<info@shop.test>", "530 5.7.0");
        await CreateAsync(host, "app", Mailbox);

        await open.CommandAsync("MAIL FROM:<info@shop.test>", "530 5.7.0"); // The clock stood still all the while.
    }

    [Fact]
    public async Task A_suspended_credential_sends_nothing_between_MAIL_and_the_end_of_data_either()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        await using TestClient client = await LogInAsync(host, "app", await CreateAsync(host, "app", Subscription));
        await client.CommandAsync("MAIL FROM:<info@shop.test>", "250");
        await client.CommandAsync("RCPT TO:<ann@example.net>", "250");
        await client.CommandAsync("DATA", "354");

        Value(await host.Administration.SetSenderSuspendedAsync("app", true, default));

        string reply = await client.CommandAsync(Message + "\r\n.", "550 5.7.1");
        Assert.Contains("credential app is suspended", reply, StringComparison.Ordinal);
        await client.CommandAsync("MAIL FROM:<info@shop.test>", "550 5.7.1");
        await using TestClient mailbox = await TestClient.LogInAsync(host.Local); // Others of the subscription go on.
        Assert.StartsWith("250", await mailbox.OfferAsync(Message), StringComparison.Ordinal);
        Value(await host.Administration.SetSenderSuspendedAsync("app", false, default));
        Assert.StartsWith("250", await client.OfferAsync(Message), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_suspended_uid_hands_in_nothing_by_a_login_either()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        await using TestClient client = await TestClient.GreetAsync(host.Unix);
        await client.CommandAsync("MAIL FROM:<info@shop.test>", "250");

        UidView user = Value(await host.Administration.SetUidSuspendedAsync($"#{SubmissionHost.Uid}", true, default));

        await client.CommandAsync("RSET", "250");
        Assert.Contains($"uid {user.Name} is suspended", await client.CommandAsync("MAIL FROM:<info@shop.test>", "550 5.7.1"), StringComparison.Ordinal);
        await using TestClient login = await TestClient.LogInAsync(host.Unix);
        await login.CommandAsync("MAIL FROM:<info@shop.test>", "550 5.7.1");
        await using TestClient elsewhere = await TestClient.LogInAsync(host.Local);
        await elsewhere.CommandAsync("MAIL FROM:<info@shop.test>", "250");
        Value(await host.Administration.SetUidSuspendedAsync(user.Name, false, default));
        await client.CommandAsync("MAIL FROM:<info@shop.test>", "250");
    }

    [Fact]
    public async Task What_still_has_credentials_is_not_removed()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        await CreateAsync(host, "app", Mailbox);

        AdminResult<MailboxView> refused = await host.Administration.RemoveMailboxAsync("info@shop.test", default);

        Assert.Equal(AdminErrorKind.InUse, refused.Error!.Kind);
        Assert.Contains("relaygate sender revoke app", refused.Error.Message, StringComparison.Ordinal);
        Value(await host.Administration.RevokeSenderAsync("app", default));
        Value(await host.Administration.RemoveMailboxAsync("info@shop.test", default));
    }

    [Fact]
    public async Task No_password_is_stored_in_the_clear_or_told_twice()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        string password = await CreateAsync(host, "app", Mailbox);

        Assert.True(password.Count(char.IsAsciiLetterOrDigit) * 5 >= 120);
        Assert.NotEqual(password, Value(await host.Administration.RotateSenderAsync("app", null, TimeSpan.FromMinutes(1), default)).Password);
        foreach (string stored in await host.QueryAsync("select password || previous from credential union all select before || after from audit", row => row.GetString(0)))
            Assert.DoesNotContain(password, stored, StringComparison.Ordinal);
        Assert.Equal(["create", "rotate"], await host.QueryAsync("select what from audit order by seq", row => row.GetString(0)));
    }

    [Theory]
    [InlineData("info@shop.test")]
    [InlineData("App")]
    [InlineData("")]
    [InlineData("-app")]
    public async Task A_name_is_never_that_of_a_mailbox(string name)
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();

        Assert.Equal(AdminErrorKind.Invalid, (await host.Administration.CreateSenderAsync(name, Mailbox, "secret", default)).Error!.Kind);
    }

    internal static async Task<string> CreateAsync(SubmissionHost host, string name, AccountKey of) =>
        Value(await host.Administration.CreateSenderAsync(name, of, null, CancellationToken.None)).Password!;

    internal static T Value<T>(AdminResult<T> result)
        where T : class => result.IsOk ? result.Value : throw new InvalidOperationException(result.Error.Message);

    private static async Task<TestClient> LogInAsync(SubmissionHost host, string login, string password)
    {
        TestClient client = await TestClient.GreetAsync(host.Local);
        await client.LogInAsync(login, password);
        return client;
    }

    private static async Task<string> ReversePathAsync(SubmissionHost host) =>
        (await host.QueryAsync("select reverse_path from message order by seq desc limit 1", row => row.GetString(0)))[0];

    /// <summary>The levels of the newest record.</summary>
    private static async Task<List<string>> LevelsAsync(SubmissionHost host) => await host.QueryAsync(
        """
        select trim(json_extract(l.value, '$.level') || ' ' || json_extract(l.value, '$.name'))
        from (select levels from decision where outcome <> 9 order by id desc limit 1) d, json_each(d.levels, '$.levels') l order by l.key
        """,
        row => row.GetString(0));
}
