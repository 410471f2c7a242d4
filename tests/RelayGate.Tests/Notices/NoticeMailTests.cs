using RelayGate.Accounts;
using RelayGate.Core.Notices;
using RelayGate.Core.Policy;
using RelayGate.Notices;
using RelayGate.Queue;
using RelayGate.Tests.Fakes;
using RelayGate.Tests.Queue;
using RelayGate.Tests.Submission;

namespace RelayGate.Tests.Notices;

/// <summary>Notices by mail through a whole gateway, to a real next hop.</summary>
public sealed class NoticeMailTests
{
    private static readonly Notice Exceeded = new()
    {
        Kind = NoticeKind.Exceeded,
        Level = "domain",
        Name = "shop.test",
        Subscription = "acme",
        Limit = "200/h",
        Used = 200,
        Refused = 7,
        Sources = [new NoticeSource("script", "/var/www/shop/mail.php", 180)],
        Ref = "01JADE0000000000000000000A",
    };

    private static Notice Of(NoticeKind kind, string name = "shop.test") => Exceeded with { Kind = kind, Name = name };

    [Fact]
    public async Task An_alarm_is_mailed_to_the_administrator_at_once_and_says_what_happened_and_what_to_do()
    {
        await using var hop = new FakeNextHop();
        await using TestGateway gateway = await TestGateway.StartAsync(hop.Url, o => o.Notices.Administrator = "admin@ops.test");

        Assert.True(gateway.Get<NoticeBoard>().Raise(Exceeded));
        ReceivedMessage mail = await hop.NextAsync();

        Assert.Equal("MAIL FROM:<>", mail.Mail.Split(" SIZE")[0].Split(" BODY")[0]);
        Assert.Equal("RCPT TO:<admin@ops.test>", mail.Rcpts[0].Split(" NOTIFY")[0]);
        Assert.Contains("\r\nSubject: [RelayGate relay.test] exceeded: domain shop.test, 200 of 200/h\r\n", mail.Text, StringComparison.Ordinal);
        Assert.Contains("\r\nAuto-Submitted: auto-generated\r\n", mail.Text, StringComparison.Ordinal);
        Assert.Contains("From: RelayGate <relaygate@relay.test>\r\n", mail.Text, StringComparison.Ordinal);
        Assert.Contains("script /var/www/shop/mail.php: 180 messages", mail.Text, StringComparison.Ordinal);
        Assert.Contains("relaygate limit show domain shop.test", mail.Text, StringComparison.Ordinal);
        Assert.Contains("relaygate domain suspend shop.test", mail.Text, StringComparison.Ordinal);
        Assert.Contains("relaygate message explain 01JADE0000000000000000000A", mail.Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_mail_stands_in_the_log_of_messages_and_counts_for_nobody()
    {
        await using var hop = new FakeNextHop();
        await using TestGateway gateway = await TestGateway.StartAsync(hop.Url);

        gateway.Get<NoticeBoard>().Raise(Exceeded);
        await hop.NextAsync();

        MessageItem item = Assert.Single((await gateway.Get<MessageLog>().ListAsync(new MessageQuery(), null, CancellationToken.None))!.Items);
        Assert.Equal(RelayGate.Queue.RecordKind.Notice, item.Kind);
        Assert.Equal("notice", item.Identity);
        Assert.Null(item.Subscription);
        Assert.Equal("postmaster@relay.test", Assert.Single(item.Recipients));
        LimitView server = (await gateway.Get<AccountAdministration>().ShowLimitAsync(AccountKey.Server, CancellationToken.None)).Value!;
        Assert.All(server.Uses, use => Assert.Equal(0, use.Used));
    }

    [Fact]
    public async Task What_follows_within_the_period_comes_in_one_digest_and_then_silence()
    {
        await using var hop = new FakeNextHop();
        var time = new ManualTimeProvider();
        await using TestGateway gateway = await TestGateway.StartAsync(hop.Url, time: time);
        NoticeBoard board = gateway.Get<NoticeBoard>();
        board.Raise(Exceeded);
        await hop.NextAsync();

        foreach (NoticeKind kind in new[] { NoticeKind.Recovered, NoticeKind.Exceeded, NoticeKind.Recovered })
            board.Raise(Of(kind));
        await NoticesAsync(gateway, 4);
        time.Advance(TimeSpan.FromMinutes(59));
        Assert.Empty(hop.Messages);
        time.Advance(TimeSpan.FromMinutes(1));
        ReceivedMessage digest = await hop.NextAsync();

        Assert.Contains("Subject: [RelayGate relay.test] exceeded: domain shop.test, 200 of 200/h (+2 more)\r\n", digest.Text, StringComparison.Ordinal);
        Assert.Contains("Domain shop.test has room again", digest.Text, StringComparison.Ordinal);
        time.Advance(TimeSpan.FromHours(5));
        Assert.Empty(hop.Messages);
    }

    [Fact]
    public async Task The_first_alarm_of_each_object_does_not_wait_until_too_many_mails_have_left()
    {
        await using var hop = new FakeNextHop();
        var time = new ManualTimeProvider();
        await using TestGateway gateway = await TestGateway.StartAsync(hop.Url, time: time);
        NoticeBoard board = gateway.Get<NoticeBoard>();
        for (int i = 1; i <= NoticeSchedule.MaxAtOnce; i++)
        {
            board.Raise(Of(NoticeKind.Exceeded, $"d{i}.test"));
            Assert.Contains($"exceeded: domain d{i}.test,", (await hop.NextAsync()).Text, StringComparison.Ordinal);
            time.Advance(TimeSpan.FromMinutes(1));
        }

        board.Raise(Of(NoticeKind.Exceeded, "one.test"));
        board.Raise(Of(NoticeKind.Exceeded, "two.test"));
        await NoticesAsync(gateway, NoticeSchedule.MaxAtOnce + 2);
        Assert.Empty(hop.Messages);
        time.Advance(TimeSpan.FromMinutes(59));

        Assert.Contains("(+1 more)", (await hop.NextAsync()).Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_first_alarm_of_another_kind_does_not_wait()
    {
        await using var hop = new FakeNextHop();
        await using TestGateway gateway = await TestGateway.StartAsync(hop.Url, time: new ManualTimeProvider());
        NoticeBoard board = gateway.Get<NoticeBoard>();
        board.Raise(Of(NoticeKind.Warning));
        await hop.NextAsync();

        board.Raise(Exceeded);

        Assert.Contains("exceeded: domain shop.test", (await hop.NextAsync()).Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_suspension_by_hand_is_told_to_the_administrator_and_to_the_owner_who_is_not_told_the_commands()
    {
        await using var hop = new FakeNextHop();
        await using TestGateway gateway = await TestGateway.StartAsync(hop.Url);
        AccountAdministration accounts = gateway.Get<AccountAdministration>();
        await accounts.AddSubscriptionAsync("acme", new SubscriptionChange(Contact: "owner@home.test"), CancellationToken.None);

        await accounts.SetSuspendedAsync(new AccountKey(Level.Subscription, "acme"), true, CancellationToken.None, "uid 0 (root)");
        await accounts.SetSuspendedAsync(new AccountKey(Level.Subscription, "acme"), true, CancellationToken.None, "uid 0 (root)");
        ReceivedMessage[] mails = [.. new[] { await hop.NextAsync(), await hop.NextAsync() }.OrderBy(static m => m.Rcpts[0])];

        Assert.StartsWith("RCPT TO:<owner@home.test>", mails[0].Rcpts[0], StringComparison.Ordinal);
        Assert.StartsWith("RCPT TO:<postmaster@relay.test>", mails[1].Rcpts[0], StringComparison.Ordinal);
        Assert.All(mails, m => Assert.Contains("suspended: subscription acme by uid 0 (root)", m.Text, StringComparison.Ordinal));
        Assert.Contains("relaygate subscription resume acme", mails[1].Text, StringComparison.Ordinal);
        Assert.DoesNotContain("relaygate subscription resume", mails[0].Text, StringComparison.Ordinal);
        Assert.DoesNotContain("times until", mails[1].Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Who_is_told_of_what_is_set_for_the_administrator_and_for_owners()
    {
        await using var hop = new FakeNextHop();
        await using TestGateway gateway = await TestGateway.StartAsync(hop.Url, o =>
        {
            o.Notices.AdministratorKinds = "none";
            o.Notices.OwnerKinds = "exceeded";
        });
        await gateway.Get<AccountAdministration>().AddSubscriptionAsync("acme", new SubscriptionChange(Contact: "owner@home.test"), CancellationToken.None);

        gateway.Get<NoticeBoard>().Raise(Of(NoticeKind.Warning));
        gateway.Get<NoticeBoard>().Raise(Exceeded);

        ReceivedMessage mail = await hop.NextAsync();
        Assert.StartsWith("RCPT TO:<owner@home.test>", mail.Rcpts[0], StringComparison.Ordinal);
        Assert.Contains("X-RelayGate-Notice: exceeded\r\n", mail.Text, StringComparison.Ordinal);
        await NoticesAsync(gateway, 2);
        Assert.Empty(hop.Messages);
    }

    [Fact]
    public async Task An_owner_whose_own_domain_is_over_its_limit_is_told_and_that_mail_counts_nowhere()
    {
        await using var hop = new FakeNextHop();
        await using TestGateway gateway = await TestGateway.StartAsync(hop.Url, o => o.Notices.AdministratorKinds = "none");
        AccountAdministration accounts = gateway.Get<AccountAdministration>();
        await accounts.AddSubscriptionAsync("acme", new SubscriptionChange(Contact: "owner@shop.test"), CancellationToken.None);
        await accounts.AddDomainAsync("shop.test", new DomainChange("acme"), CancellationToken.None);
        await accounts.SetLimitAsync(new AccountKey(Level.Domain, "shop.test"), null, "forbidden", null, CancellationToken.None);
        await accounts.SetSuspendedAsync(new AccountKey(Level.Subscription, "acme"), true, CancellationToken.None);

        gateway.Get<NoticeBoard>().Raise(Exceeded);

        await hop.NextAsync();
        Assert.Equal(0, (await accounts.ShowLimitAsync(new AccountKey(Level.Domain, "shop.test"), CancellationToken.None)).Value!.Uses[0].Used);
    }

    [Fact]
    public async Task A_notice_that_bounces_makes_neither_a_report_nor_a_notice()
    {
        await using var hop = new FakeNextHop();
        await using TestGateway gateway = await TestGateway.StartAsync(hop.Url);
        hop.Script = e => e.Verb == "RCPT" ? new HopAction.Raw("550 5.1.1 Nobody\r\n") : null;

        gateway.Get<NoticeBoard>().Raise(Exceeded);

        MessageItem item = null!;
        for (int i = 0; i < 500 && item?.Outcome != RecordOutcome.Failed; i++)
        {
            item = (await gateway.Get<MessageLog>().ListAsync(new MessageQuery(), null, CancellationToken.None))!.Items.SingleOrDefault()!;
            await Task.Delay(20);
        }
        Assert.Equal(RecordOutcome.Failed, item!.Outcome);
        await NoticesAsync(gateway, 1);
        Assert.Empty(hop.Messages);
        Assert.Equal(0, gateway.Get<RelayGate.Telemetry.RelayGateMetrics>().Dsns.Total);
    }

    [Fact]
    public async Task What_waits_and_what_was_told_survive_a_restart()
    {
        await using var hop = new FakeNextHop();
        using var folder = new TempFolder();
        var time = new ManualTimeProvider();
        await using (TestGateway gateway = await TestGateway.StartAsync(hop.Url, time: time, folder: folder))
        {
            gateway.Get<NoticeBoard>().Raise(Exceeded);
            await hop.NextAsync();
            gateway.Get<NoticeBoard>().Raise(Of(NoticeKind.Recovered, "second.test"));
            await NoticesAsync(gateway, 2);
            await gateway.StopAsync();
        }
        time.Advance(TimeSpan.FromMinutes(30));
        await using TestGateway again = await TestGateway.StartAsync(hop.Url, time: time, folder: folder);
        again.Get<NoticeBoard>().Raise(Of(NoticeKind.Recovered));
        again.Get<NoticeBoard>().Raise(Exceeded);
        await NoticesAsync(again, 4);
        Assert.Empty(hop.Messages);

        time.Advance(TimeSpan.FromMinutes(30));

        string digest = (await hop.NextAsync()).Text;
        Assert.Contains("second.test", digest, StringComparison.Ordinal);
        Assert.Contains("exceeded: domain shop.test, 200 of 200/h (+2 more)", digest, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_clock_that_is_set_causes_no_flood()
    {
        await using var hop = new FakeNextHop();
        using var folder = new TempFolder();
        var time = new ManualTimeProvider();
        await using (TestGateway gateway = await TestGateway.StartAsync(hop.Url, time: time, folder: folder))
        {
            gateway.Get<NoticeBoard>().Raise(Exceeded);
            await hop.NextAsync();
            time.StepWallClock(TimeSpan.FromDays(400));
            for (int i = 0; i < 20; i++)
                gateway.Get<NoticeBoard>().Raise(Of(NoticeKind.Recovered, $"d{i}.test"));
            await NoticesAsync(gateway, 21);
            Assert.Empty(hop.Messages);
            time.StepWallClock(TimeSpan.FromDays(-800));
            time.Advance(TimeSpan.FromHours(1));
            await hop.NextAsync();
            await gateway.StopAsync();
        }
        await using TestGateway again = await TestGateway.StartAsync(hop.Url, time: time, folder: folder);

        again.Get<NoticeBoard>().Raise(Of(NoticeKind.Recovered, "later.test"));
        await NoticesAsync(again, 22);
        Assert.Empty(hop.Messages);
        time.Advance(TimeSpan.FromHours(1));
        Assert.Contains("later.test", (await hop.NextAsync()).Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_flood_of_one_thing_is_one_notice_with_a_count()
    {
        await using var hop = new FakeNextHop();
        await using TestGateway gateway = await TestGateway.StartAsync(hop.Url, time: new ManualTimeProvider());
        for (int i = 0; i < 500; i++)
            gateway.Get<NoticeBoard>().Raise(Exceeded with { Refused = i });
        await hop.NextAsync();

        NoticeLog log = gateway.Get<NoticeLog>();
        ToldNotice told = null!;
        for (int i = 0; i < 500 && told?.Kept.Repeats != 500; i++)
        {
            told = Assert.Single((await log.ListAsync(null, null, default, null, 10, CancellationToken.None)).Items);
            await Task.Delay(20);
        }

        Assert.Equal(500, told!.Kept.Repeats);
        Assert.Equal(499, told.Kept.Notice.Refused);
        Assert.Empty(hop.Messages);
    }

    [Fact]
    public async Task A_limit_that_was_reached_is_told_with_the_login_and_the_address_that_used_it_up_and_a_sample()
    {
        await using var hop = new FakeNextHop();
        await using TestGateway gateway = await TestGateway.StartAsync(hop.Url);
        AccountAdministration accounts = gateway.Get<AccountAdministration>();
        await accounts.AddSubscriptionAsync("acme", new SubscriptionChange(), CancellationToken.None);
        await accounts.AddDomainAsync("shop.test", new DomainChange("acme"), CancellationToken.None);
        foreach (string mailbox in new[] { "busy@shop.test", "calm@shop.test" })
            await accounts.AddMailboxAsync(mailbox, "secret", CancellationToken.None);
        await accounts.SetLimitAsync(new AccountKey(Level.Domain, "shop.test"), null, "4/h", null, CancellationToken.None);
        await SendAsync(gateway, "calm@shop.test", 1);
        await SendAsync(gateway, "busy@shop.test", 3);
        await using (TestClient client = await TestClient.LogInAsync(gateway.Local, "busy@shop.test"))
            await client.CommandAsync("MAIL FROM:<busy@shop.test>", "451 4.7.1");

        ReceivedMessage mail = null!;
        while (mail?.Text.Contains("exceeded: domain shop.test, 4 of 4/h", StringComparison.Ordinal) != true)
            mail = await hop.NextAsync();

        Assert.Contains("login busy@shop.test: 4 messages", mail.Text, StringComparison.Ordinal);
        Assert.Contains("login calm@shop.test: 1 message\r\n", mail.Text, StringComparison.Ordinal);
        Assert.Contains("client 127.0.0.1: 5 messages", mail.Text, StringComparison.Ordinal);
        Assert.Contains("Refused:       1 attempt\r\n", mail.Text, StringComparison.Ordinal);
        Assert.Matches(@"Next possible: 20\d\d-", mail.Text);
        Assert.Contains("relaygate message explain 01", mail.Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Guessed_passwords_are_told_to_the_administrator_and_to_the_owner_of_the_login()
    {
        await using var hop = new FakeNextHop();
        await using TestGateway gateway = await TestGateway.StartAsync(hop.Url);
        AccountAdministration accounts = gateway.Get<AccountAdministration>();
        await accounts.AddSubscriptionAsync("acme", new SubscriptionChange(Contact: "owner@home.test"), CancellationToken.None);
        await accounts.AddDomainAsync("shop.test", new DomainChange("acme"), CancellationToken.None);
        await accounts.AddMailboxAsync("info@shop.test", "secret", CancellationToken.None);

        new NoticeHooks(gateway.Get<NoticeBoard>()).Guessed(new GuessingDetected(GuessedObject.Login, "info@shop.test", 20, TimeProvider.System.GetUtcNow()));
        ReceivedMessage[] mails = [.. new[] { await hop.NextAsync(), await hop.NextAsync() }.OrderBy(static m => m.Rcpts[0])];

        Assert.StartsWith("RCPT TO:<owner@home.test>", mails[0].Rcpts[0], StringComparison.Ordinal);
        Assert.All(mails, m => Assert.Contains("password-guessing: mailbox info@shop.test, 20 wrong passwords", m.Text, StringComparison.Ordinal));
        Assert.Contains("relaygate mailbox suspend info@shop.test", mails[1].Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_limit_that_was_reached_just_before_a_crash_is_told_after_it_and_once()
    {
        await using var hop = new FakeNextHop();
        using var folder = new TempFolder();
        var time = new ManualTimeProvider();
        Directory.CreateDirectory(folder.File("data"), UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        using (var dead = new QueueFixture(folder.File("data"))) // Nobody takes notices there.
        {
            await dead.OfferAsync(dead.Message(dead.Account(limit: "1/h"), "a@b.test"));
            await dead.OfferAsync(dead.Message(dead.Account(limit: "1/h"), "a@b.test"));
            Assert.Equal(1, await dead.Count("limit_alarm"));
        }
        for (int i = 0; i < 2; i++)
        {
            await using TestGateway gateway = await TestGateway.StartAsync(hop.Url, time: time, folder: folder);
            while (i == 0 && !(await hop.NextAsync()).Text.Contains("exceeded: subscription acme, 1 of 1/h", StringComparison.Ordinal))
            {
                // The message that used the limit up.
            }
            await NoticesAsync(gateway, 1);
            Assert.Equal(1, Assert.Single((await gateway.Get<NoticeLog>().ListAsync(null, null, default, null, 10, CancellationToken.None)).Items).Kept.Repeats);
            await gateway.StopAsync();
        }
    }

    [Fact]
    public async Task Many_guessing_addresses_share_a_notice_and_hide_no_limit_that_was_reached()
    {
        await using var hop = new FakeNextHop();
        var time = new ManualTimeProvider();
        await using TestGateway gateway = await TestGateway.StartAsync(hop.Url, time: time);
        NoticeBoard board = gateway.Get<NoticeBoard>();
        var hooks = new NoticeHooks(board);
        board.Raise(Of(NoticeKind.Recovered)); // Its mail leaves; what follows until the end is told in the digest.
        for (int i = 0; i < 300; i++)
            hooks.Guessed(new GuessingDetected(GuessedObject.Address, $"192.0.2.{i}", 20, time.GetUtcNow()));
        for (int i = 0; i < NoticeBudget.MaxOfSubscription + 20; i++)
        {
            while (!board.Raise(Of(NoticeKind.Exceeded, $"d{i}.test")))
                await Task.Delay(20);
        }
        while (!board.Raise(Of(NoticeKind.Exceeded, "victim.test") with { Subscription = "other" }))
            await Task.Delay(20);

        await NoticesAsync(gateway, 1 + NoticeBudget.MaxClients + 1 + NoticeBudget.MaxOfSubscription + 1);

        Page<ToldNotice> many = await gateway.Get<NoticeLog>().ListAsync(NoticeKind.PasswordGuessing, null, default, null, 1000, CancellationToken.None);
        Assert.Equal(200, Assert.Single(many.Items, static n => n.Kept.Notice.Name.Length == 0).Kept.Repeats);
        Page<ToldNotice> victim = await gateway.Get<NoticeLog>().ListAsync(null, "other", default, null, 10, CancellationToken.None);
        Assert.Equal("victim.test", Assert.Single(victim.Items).Kept.Notice.Name);
    }

    [Fact]
    public async Task A_limit_of_one_class_is_told_with_who_sent_of_that_class()
    {
        await using var hop = new FakeNextHop();
        await using TestGateway gateway = await TestGateway.StartAsync(hop.Url);
        AccountAdministration accounts = gateway.Get<AccountAdministration>();
        await accounts.AddSubscriptionAsync("acme", new SubscriptionChange(), CancellationToken.None);
        await accounts.AddDomainAsync("shop.test", new DomainChange("acme"), CancellationToken.None);
        foreach (string mailbox in new[] { "people@shop.test", "robot@shop.test" })
            await accounts.AddMailboxAsync(mailbox, "secret", CancellationToken.None);
        var automatic = new AccountKey(Level.Domain, "shop.test", MessageClass.Automatic);
        Assert.True((await accounts.SetLimitAsync(automatic, null, "2/h", null, CancellationToken.None)).IsOk);
        await SendAsync(gateway, "people@shop.test", 3);
        await using (TestClient client = await TestClient.LogInAsync(gateway.Local, "robot@shop.test"))
        {
            for (int i = 0; i < 3; i++)
                await client.OfferAsync("From: robot@shop.test\r\nAuto-Submitted: auto-generated\r\n\r\nhello\r\n", "robot@shop.test", "b@dest.test");
        }

        ReceivedMessage mail = null!;
        while (mail?.Text.Contains("exceeded: domain shop.test (class automatic), 2 of 2/h", StringComparison.Ordinal) != true)
            mail = await hop.NextAsync();

        Assert.Contains("login robot@shop.test: 3 messages", mail.Text, StringComparison.Ordinal);
        Assert.DoesNotContain("people@shop.test", mail.Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_waits_goes_to_the_contact_of_the_time_when_it_is_sent()
    {
        await using var hop = new FakeNextHop();
        var time = new ManualTimeProvider();
        await using TestGateway gateway = await TestGateway.StartAsync(hop.Url, static o => o.Notices.AdministratorKinds = "none", time);
        AccountAdministration accounts = gateway.Get<AccountAdministration>();
        await accounts.AddSubscriptionAsync("acme", new SubscriptionChange(Contact: "former@home.test"), CancellationToken.None);
        gateway.Get<NoticeBoard>().Raise(Exceeded);
        Assert.StartsWith("RCPT TO:<former@home.test>", (await hop.NextAsync()).Rcpts[0], StringComparison.Ordinal);
        gateway.Get<NoticeBoard>().Raise(Of(NoticeKind.Recovered));
        await NoticesAsync(gateway, 2);

        await accounts.SetSubscriptionAsync("acme", new SubscriptionChange(Contact: "present@home.test"), CancellationToken.None);
        time.Advance(TimeSpan.FromHours(1));

        ReceivedMessage mail = await hop.NextAsync();
        Assert.StartsWith("RCPT TO:<present@home.test>", mail.Rcpts[0], StringComparison.Ordinal);
        Assert.Contains("recovered: domain shop.test", mail.Text, StringComparison.Ordinal);
        time.Advance(TimeSpan.FromHours(2));
        Assert.Empty(hop.Messages);
    }

    [Fact]
    public async Task Wrong_passwords_over_the_wire_become_a_mail_to_the_owner_with_commands_that_he_may_give()
    {
        await using var hop = new FakeNextHop();
        var time = new ManualTimeProvider();
        await using TestGateway gateway = await TestGateway.StartAsync(hop.Url, o =>
        {
            o.Logins.FailuresBeforeRefusal = 2;
            o.Notices.AdministratorKinds = "none";
        }, time);
        AccountAdministration accounts = gateway.Get<AccountAdministration>();
        await accounts.AddSubscriptionAsync("acme", new SubscriptionChange(Contact: "owner@home.test"), CancellationToken.None);
        await accounts.AddDomainAsync("shop.test", new DomainChange("acme"), CancellationToken.None);
        await accounts.AddMailboxAsync("info@shop.test", "secret", CancellationToken.None);

        for (int i = 0; i < 2; i++)
        {
            await using TestClient client = await TestClient.GreetAsync(gateway.Local);
            Task<string> answer = client.CommandAsync(TestClient.AuthPlain("info@shop.test", "wrong"));
            while (!answer.IsCompleted)
            {
                time.Advance(TimeSpan.FromSeconds(1));
                await Task.Delay(10);
            }
            Assert.StartsWith("535 5.7.8", await answer, StringComparison.Ordinal);
        }

        ReceivedMessage mail = await hop.NextAsync();
        Assert.StartsWith("RCPT TO:<owner@home.test>", mail.Rcpts[0], StringComparison.Ordinal);
        Assert.Contains("password-guessing: mailbox info@shop.test, 2 wrong passwords", mail.Text, StringComparison.Ordinal);
        Assert.Contains("relaygate notice show 01", mail.Text, StringComparison.Ordinal);
        Assert.DoesNotContain("relaygate mailbox", mail.Text, StringComparison.Ordinal);
    }

    private static async Task SendAsync(TestGateway gateway, string login, int count)
    {
        await using TestClient client = await TestClient.LogInAsync(gateway.Local, login);
        for (int i = 0; i < count; i++)
            Assert.StartsWith("250", await client.OfferAsync($"From: {login}\r\nSubject: hi\r\n\r\nhello\r\n", login, "b@dest.test"), StringComparison.Ordinal);
    }

    private static async Task NoticesAsync(TestGateway gateway, int count)
    {
        for (int i = 0; i < 500; i++)
        {
            long stored = await gateway.Get<RelayGate.Storage.SqliteRelayStore>().ReadAsync(db =>
            {
                using System.Data.Common.DbCommand command = db.CreateCommand();
                command.CommandText = "select count(*) from notice";
                return Convert.ToInt64(command.ExecuteScalar());
            }, CancellationToken.None);
            if (stored == count)
                return;
            await Task.Delay(20);
        }
        Assert.Fail("The notices were not stored");
    }
}
