using RelayGate.Accounts;
using RelayGate.Core.Policy;
using RelayGate.Core.Reports;
using RelayGate.Notices;
using RelayGate.Queue;
using RelayGate.Reports;
using RelayGate.Storage;
using RelayGate.Tests.Fakes;
using RelayGate.Tests.Submission;

namespace RelayGate.Tests.Reports;

/// <summary>Reports by schedule through a whole gateway, to a real next hop.</summary>
public sealed class ReportScheduleTests
{
    private static readonly ReportSchedule Daily = new(0, ReportPeriod.Day, AccountKey.Server, "boss@ops.test", TimeSpan.FromHours(6), WithCsv: true, default);

    [Fact]
    public async Task A_report_is_sent_once_as_text_and_html_with_csv_from_the_null_sender_and_counts_for_nobody()
    {
        await using var hop = new FakeNextHop();
        var time = new ManualTimeProvider();
        await using TestGateway gateway = await TestGateway.StartAsync(hop.Url, time: time);
        await gateway.Get<ReportBook>().AddAsync(Daily, "uid 0 (root)", CancellationToken.None);
        await SendAsync(gateway, hop);

        AdvanceTo(time, ReportTimes.Next(ReportPeriod.Day, Daily.At, time.GetUtcNow()));
        ReceivedMessage mail = await ReportMailAsync(gateway, hop);

        Assert.StartsWith("MAIL FROM:<>", mail.Mail, StringComparison.Ordinal);
        Assert.StartsWith("RCPT TO:<boss@ops.test>", mail.Rcpts[0], StringComparison.Ordinal);
        Assert.Contains("\r\nAuto-Submitted: auto-generated\r\n", mail.Text, StringComparison.Ordinal);
        Assert.Contains("Content-Type: multipart/mixed;", mail.Text, StringComparison.Ordinal);
        Assert.Contains("Content-Type: text/plain; charset=utf-8", mail.Text, StringComparison.Ordinal);
        Assert.Contains("Content-Type: text/html; charset=utf-8", mail.Text, StringComparison.Ordinal);
        Assert.Contains("filename=\"relaygate-report.csv\"", mail.Text, StringComparison.Ordinal);
        Assert.Contains("the server, 1 sent", mail.Text, StringComparison.Ordinal);
        Report now = await ReportAsync(gateway, time);
        Assert.Equal(1, now.Totals.Rows[0].Messages); // The report itself is not in it.
        Assert.NotNull(Assert.Single(await gateway.Get<ReportBook>().ListAsync(CancellationToken.None)).LastSent);
    }

    [Fact]
    public async Task A_restart_and_a_clock_that_is_set_back_send_no_report_twice()
    {
        await using var hop = new FakeNextHop();
        var time = new ManualTimeProvider();
        using var folder = new TempFolder();
        DateTimeOffset due;
        await using (TestGateway gateway = await TestGateway.StartAsync(hop.Url, time: time, folder: folder))
        {
            await gateway.Get<ReportBook>().AddAsync(Daily, "uid 0 (root)", CancellationToken.None);
            await SendAsync(gateway, hop);
            due = ReportTimes.Next(ReportPeriod.Day, Daily.At, time.GetUtcNow());
            AdvanceTo(time, due);
            await ReportMailAsync(gateway, hop);
            time.StepWallClock(TimeSpan.FromHours(-3));
            time.Advance(TimeSpan.FromHours(4));
            Assert.Equal(0, await gateway.Get<ReportSender>().RunOnceAsync(CancellationToken.None));
            await gateway.StopAsync();
        }
        await using TestGateway again = await TestGateway.StartAsync(hop.Url, time: time, folder: folder);

        Assert.Equal(0, await again.Get<ReportSender>().RunOnceAsync(CancellationToken.None));
        Assert.Empty(hop.Messages);
    }

    [Fact]
    public async Task What_was_missed_while_the_gateway_was_down_is_sent_at_the_next_start()
    {
        await using var hop = new FakeNextHop();
        var time = new ManualTimeProvider();
        using var folder = new TempFolder();
        await using (TestGateway gateway = await TestGateway.StartAsync(hop.Url, time: time, folder: folder))
        {
            await gateway.Get<ReportBook>().AddAsync(Daily with { Period = ReportPeriod.Week }, "uid 0 (root)", CancellationToken.None);
            await SendAsync(gateway, hop);
            await gateway.StopAsync();
        }
        AdvanceTo(time, ReportTimes.Next(ReportPeriod.Week, Daily.At, time.GetUtcNow()) + TimeSpan.FromHours(5));

        await using TestGateway again = await TestGateway.StartAsync(hop.Url, time: time, folder: folder);

        Assert.Contains("report of one week", (await hop.NextAsync()).Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Nothing_is_sent_when_nothing_happened_nor_for_a_time_before_the_schedule_was_added()
    {
        await using var hop = new FakeNextHop();
        var time = new ManualTimeProvider();
        await using TestGateway gateway = await TestGateway.StartAsync(hop.Url, time: time);
        await SendAsync(gateway, hop);
        AdvanceTo(time, ReportTimes.Next(ReportPeriod.Day, Daily.At, time.GetUtcNow()) + TimeSpan.FromHours(1));
        await gateway.Get<ReportBook>().AddAsync(Daily, "uid 0 (root)", CancellationToken.None);

        Assert.Equal(0, await gateway.Get<ReportSender>().RunOnceAsync(CancellationToken.None));
        time.Advance(TimeSpan.FromDays(2));
        Assert.Equal(0, await gateway.Get<ReportSender>().RunOnceAsync(CancellationToken.None));
        Assert.Empty(hop.Messages);
    }

    [Fact]
    public async Task Adding_and_removing_a_schedule_stands_in_the_audit_list()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        ReportBook book = gateway.Get<ReportBook>();
        ReportSchedule added = (await book.AddAsync(Daily, "uid 0 (root)", CancellationToken.None))!;

        Assert.True(await book.RemoveAsync(added.Id, "uid 0 (root)", CancellationToken.None));
        Assert.False(await book.RemoveAsync(added.Id, "uid 0 (root)", CancellationToken.None));

        List<AuditEntry> audit = await gateway.Get<SqliteRelayStore>().ReadAsync(db => AuditRows.Read(db, null, null, default, null, 10), CancellationToken.None);
        Assert.Equal(["report schedule remove", "report schedule add"], audit.Select(static entry => entry.What));
        Assert.Equal("day at 06:00 UTC, server, to boss@ops.test, with CSV", audit[1].After);
    }

    [Fact]
    public async Task Who_is_told_of_an_object_goes_with_it_and_a_namesake_starts_anew()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        AccountAdministration accounts = gateway.Get<AccountAdministration>();
        ReportBook book = gateway.Get<ReportBook>();
        WebhookAdministration webhooks = gateway.Get<WebhookAdministration>();
        var added = new SubscriptionChange(Contact: "owner@acme.test");
        foreach (string name in new[] { "acme", "other" })
        {
            Assert.True((await accounts.AddSubscriptionAsync(name, added, default)).IsOk);
            Assert.True((await webhooks.AddAsync($"of-{name}", "https://hooks.example.net/", [], name, false, false, null, "uid 0", default)).IsOk);
        }
        Assert.True((await accounts.AddDomainAsync("shop.test", new DomainChange(Subscription: "acme"), default)).IsOk);
        Assert.True((await accounts.AddMailboxAsync("info@shop.test", "secret", default)).IsOk);
        AccountKey[] objects = [new(Level.Mailbox, "info@shop.test"), new(Level.Domain, "shop.test"), new(Level.Subscription, "acme"), new(Level.Subscription, "other")];
        foreach (AccountKey key in objects)
            await book.AddAsync(Daily with { Object = key }, "uid 0", CancellationToken.None);

        Assert.True((await accounts.RemoveMailboxAsync("info@shop.test", default, "uid 7")).IsOk);
        Assert.Equal(3, (await book.ListAsync(CancellationToken.None)).Count);
        Assert.True((await accounts.RemoveDomainAsync("shop.test", default, "uid 7")).IsOk);
        Assert.Equal(2, (await book.ListAsync(CancellationToken.None)).Count);
        Assert.True((await accounts.RemoveSubscriptionAsync("acme", default, "uid 7")).IsOk);

        Assert.Equal(objects[3], Assert.Single(await book.ListAsync(CancellationToken.None)).Schedule.Object);
        Assert.Equal("of-other", Assert.Single(await webhooks.ListAsync(CancellationToken.None)).Name);
        List<AuditEntry> audit = await gateway.Get<SqliteRelayStore>().ReadAsync(db => AuditRows.Read(db, null, null, default, null, 50), CancellationToken.None);
        Assert.Equal(3, audit.Count(static e => e is { What: "report schedule remove", By: "uid 7" }));
        Assert.Equal("host=hooks.example.net kinds=all subscription=acme", Assert.Single(audit, static e => e is { What: "remove", Target: "webhook of-acme" }).Before);
    }

    [Fact]
    public async Task A_schedule_with_a_receiver_of_its_own_shows_nothing_of_a_namesake_before()
    {
        await using var hop = new FakeNextHop();
        var time = new ManualTimeProvider();
        await using TestGateway gateway = await TestGateway.StartAsync(hop.Url, time: time);
        AccountAdministration accounts = gateway.Get<AccountAdministration>();
        await SendAsync(gateway, hop);
        Assert.True((await accounts.RemoveMailboxAsync("info@shop.test", default)).IsOk);
        Assert.True((await accounts.RemoveDomainAsync("shop.test", default)).IsOk);
        time.Advance(TimeSpan.FromHours(1));
        Assert.True((await accounts.RemoveSubscriptionAsync("acme", default)).IsOk);
        Assert.True((await accounts.AddSubscriptionAsync("acme", new SubscriptionChange(), default)).IsOk);
        await gateway.Get<ReportBook>().AddAsync(Daily with { Object = new AccountKey(Level.Subscription, "acme") }, "uid 0 (root)", CancellationToken.None);

        AdvanceTo(time, ReportTimes.Next(ReportPeriod.Day, Daily.At, time.GetUtcNow()));

        Assert.Equal(0, await gateway.Get<ReportSender>().RunOnceAsync(CancellationToken.None));
        Assert.Empty(hop.Messages);
    }

    [Theory]
    [InlineData(ReportPeriod.Day, "2026-03-04T06:00Z", "2026-03-04T06:00Z", "2026-03-05T06:00Z")]
    [InlineData(ReportPeriod.Day, "2026-03-04T05:59Z", "2026-03-03T06:00Z", "2026-03-04T06:00Z")]
    [InlineData(ReportPeriod.Week, "2026-03-04T12:00Z", "2026-03-02T06:00Z", "2026-03-09T06:00Z")]
    [InlineData(ReportPeriod.Week, "2026-03-01T12:00Z", "2026-02-23T06:00Z", "2026-03-02T06:00Z")]
    [InlineData(ReportPeriod.Month, "2026-03-01T05:00Z", "2026-02-01T06:00Z", "2026-03-01T06:00Z")]
    [InlineData(ReportPeriod.Month, "2026-12-31T23:00Z", "2026-12-01T06:00Z", "2027-01-01T06:00Z")]
    public void Times_are_every_day_each_Monday_or_the_first_of_a_month(ReportPeriod period, string now, string latest, string next)
    {
        DateTimeOffset at = DateTimeOffset.Parse(now, System.Globalization.CultureInfo.InvariantCulture);

        Assert.Equal(DateTimeOffset.Parse(latest, System.Globalization.CultureInfo.InvariantCulture), ReportTimes.Latest(period, Daily.At, at));
        Assert.Equal(DateTimeOffset.Parse(next, System.Globalization.CultureInfo.InvariantCulture), ReportTimes.Next(period, Daily.At, at));
    }

    private static async Task SendAsync(TestGateway gateway, FakeNextHop hop)
    {
        AccountAdministration accounts = gateway.Get<AccountAdministration>();
        Assert.True((await accounts.AddPlanAsync("basic", default)).IsOk);
        Assert.True((await accounts.AddSubscriptionAsync("acme", new SubscriptionChange(Plan: "basic", Contact: "owner@acme.test"), default)).IsOk);
        Assert.True((await accounts.AddDomainAsync("shop.test", new DomainChange(Subscription: "acme"), default)).IsOk);
        Assert.True((await accounts.AddMailboxAsync("info@shop.test", "secret", default)).IsOk);
        await using TestClient client = await TestClient.LogInAsync(gateway.Local);
        Assert.StartsWith("250", await client.OfferAsync("From: info@shop.test\r\nSubject: hello\r\n\r\nHello."), StringComparison.Ordinal);
        await hop.NextAsync();
        using var bound = new CancellationTokenSource(TimeSpan.FromSeconds(10)); // Its outcome is stored before a test moves the clock over all deadlines.
        while (await gateway.Get<SqliteRelayStore>().ReadRawAsync(static connection => connection.Scalar("select count(*) from message"), bound.Token) > 0)
            await Task.Yield();
    }

    /// <summary>The loop and the test may look at the same time: one of them sends it.</summary>
    private static async Task<ReceivedMessage> ReportMailAsync(TestGateway gateway, FakeNextHop hop)
    {
        await gateway.Get<ReportSender>().RunOnceAsync(CancellationToken.None);
        return await hop.NextAsync();
    }

    private static Task<Report> ReportAsync(TestGateway gateway, ManualTimeProvider time) => gateway.Get<ReportMaker>().MakeAsync(
        new ReportRequest(ReportPeriod.Week, ReportPeriods.EndOfHour(time.GetUtcNow()), AccountKey.Server, 10, true), CancellationToken.None);

    private static void AdvanceTo(ManualTimeProvider time, DateTimeOffset at) => time.Advance(at - time.GetUtcNow());
}
