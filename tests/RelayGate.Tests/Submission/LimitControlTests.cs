using RelayGate.Accounts;
using RelayGate.Core.Policy;
using RelayGate.Storage;
using RelayGate.Tests.Fakes;

namespace RelayGate.Tests.Submission;

/// <summary>What an administrator does to limits, seen from a session that was open before.</summary>
public sealed class LimitControlTests : IAsyncLifetime
{
    private const string Message = "From: info@shop.test\r\n\r\nhello\r\n";
    private static readonly AccountKey Info = new(Level.Mailbox, "info@shop.test");
    private static readonly AccountKey Domain = new(Level.Domain, "shop.test");
    private static readonly AccountKey Acme = new(Level.Subscription, "acme");
    private static readonly AccountKey Basic = new(Level.Plan, "basic");

    private SubmissionHost _host = null!;
    private TestClient _client = null!;

    private AccountAdministration Accounts => _host.Administration;

    public async Task InitializeAsync()
    {
        _host = await SubmissionHost.StartAsync(static o => o.Sessions.Idle = TimeSpan.FromHours(12));
        _client = await TestClient.LogInAsync(_host.Local);
    }

    public async Task DisposeAsync()
    {
        await _client.DisposeAsync();
        await _host.DisposeAsync();
    }

    [Fact]
    public async Task A_boost_gives_room_at_once_and_ends_by_itself()
    {
        Ok(await Accounts.SetLimitAsync(Info, null, "1/h,1/d:rcpt", null, default));
        await AcceptAsync();
        await RefuseAsync("mailbox info@shop.test");

        LimitView boosted = Ok(await Accounts.BoostLimitAsync(Info, 1, TimeSpan.FromHours(2), default, "uid 0 (root)"));
        Assert.Equal(1, boosted.Boost!.Amount);
        Assert.Equal(_host.Time.GetUtcNow() + TimeSpan.FromHours(2), boosted.Boost.Until, TimeSpan.FromSeconds(1));
        Assert.Equal(("1/h,1/d:rcpt", "2/h", "2/d:rcpt"), (boosted.Value, boosted.Uses[0].Limit, boosted.Uses[1].Limit));
        await AcceptAsync();
        await RefuseAsync("2/2");

        LimitView again = Ok(await Accounts.BoostLimitAsync(Info, 5, TimeSpan.FromMinutes(90), default)); // Takes the place of the first.
        Assert.Equal(("6/h", 5L), (again.Uses[0].Limit, again.Boost!.Amount));
        await AcceptAsync();
        _host.Time.Advance(TimeSpan.FromMinutes(89));
        await AcceptAsync();
        _host.Time.Advance(TimeSpan.FromMinutes(1));
        await RefuseAsync("1/1");
        Assert.Null(Ok(await Accounts.ShowLimitAsync(Info, default)).Boost);

        AuditEntry[] audit = await AuditAsync("mailbox info@shop.test");
        Assert.StartsWith("+1 until 2", audit[0].Before, StringComparison.Ordinal);
        Assert.StartsWith("+5 until 2", audit[0].After, StringComparison.Ordinal);
        Assert.Equal(("limit boost", "", "uid 0 (root)"), (audit[1].What, audit[1].Before, audit[1].By));
    }

    [Fact]
    public async Task A_boost_is_taken_back_and_parents_still_win()
    {
        Ok(await Accounts.SetLimitAsync(Info, null, "1/h", null, default));
        Ok(await Accounts.SetLimitAsync(Acme, null, "2/h", null, default));
        Ok(await Accounts.BoostLimitAsync(Info, 10, TimeSpan.FromHours(1), default));
        await AcceptAsync();
        await AcceptAsync();
        await RefuseAsync("subscription acme hourly limit reached: 2/2");

        Ok(await Accounts.SetLimitAsync(Acme, null, "10/h", null, default));
        Ok(await Accounts.EndBoostAsync(Info, default));
        await RefuseAsync("mailbox info@shop.test hourly limit reached: 2/1");
        Assert.Equal(AdminErrorKind.NotFound, (await Accounts.EndBoostAsync(Info, default)).Error?.Kind);
    }

    [Fact]
    public async Task A_boost_says_what_it_cannot_do()
    {
        Assert.Equal(AdminErrorKind.Invalid, (await Accounts.BoostLimitAsync(Info, 0, TimeSpan.FromHours(1), default)).Error?.Kind);
        Assert.Equal(AdminErrorKind.Invalid, (await Accounts.BoostLimitAsync(Info, 5, TimeSpan.FromDays(32), default)).Error?.Kind);
        Assert.Equal(AdminErrorKind.Conflict, (await Accounts.BoostLimitAsync(AccountKey.Server, 5, TimeSpan.FromHours(1), default)).Error?.Kind);
        Assert.Equal(AdminErrorKind.NotFound, (await Accounts.BoostLimitAsync(new AccountKey(Level.Mailbox, "x@shop.test"), 5, TimeSpan.FromHours(1), default)).Error?.Kind);
    }

    [Fact]
    public async Task A_reset_makes_room_at_that_object_alone_and_keeps_the_history()
    {
        Ok(await Accounts.SetLimitAsync(Info, null, "1/h", null, default));
        await AcceptAsync();
        await RefuseAsync("1/1");

        LimitView reset = Ok(await Accounts.ResetLimitAsync(Info, default, "uid 0 (root)"));

        Assert.Equal((0L, 1L, 1L), (reset.Uses[0].Used, reset.Refused, reset.Messages));
        Assert.Equal(1, Ok(await Accounts.ShowLimitAsync(Domain, default)).Uses[0].Used);
        await AcceptAsync();
        await RefuseAsync("1/1");
        Assert.Equal(2, Ok(await Accounts.ShowLimitAsync(Domain, default)).Uses[0].Used);
        AuditEntry entry = (await AuditAsync("mailbox info@shop.test"))[0];
        Assert.Equal(("limit reset", "1 messages in the hour, 1 in the day", "0", "uid 0 (root)"), (entry.What, entry.Before, entry.After, entry.By));
    }

    [Fact]
    public async Task An_object_that_is_not_enforced_counts_and_refuses_nothing()
    {
        Ok(await Accounts.SetLimitAsync(Info, null, "1/h", null, default));
        await AcceptAsync();
        await RefuseAsync("1/1");

        LimitView off = Ok(await Accounts.SetLimitAsync(Info, null, new LimitChange(Enforce: false), default));
        Assert.Equal((false, "own", "1/h"), (off.IsEnforced, off.EnforcementOrigin, off.Value));
        await AcceptAsync();
        LimitUse use = Ok(await Accounts.ShowLimitAsync(Info, default)).Uses[0];
        Assert.Equal((2L, 200), (use.Used, use.Percent));

        Ok(await Accounts.SetLimitAsync(Info, null, new LimitChange(Enforce: true), default));
        await RefuseAsync("2/1");

        Ok(await Accounts.SetLimitAsync(Info, null, new LimitChange(Enforce: false), default));
        Ok(await Accounts.SetLimitAsync(Domain, null, "2/h", null, default)); // Off at one object: those above still hold.
        await RefuseAsync("domain shop.test");
        Assert.Equal("1/h over=refuse enforce=on -> 1/h over=refuse enforce=off", Of((await AuditAsync("mailbox info@shop.test"))[0]));
    }

    [Fact]
    public async Task The_master_switch_stops_refusing_and_goes_on_counting()
    {
        Ok(await Accounts.SetLimitAsync(Info, null, "1/h", null, default));
        await AcceptAsync();
        Assert.True((await Accounts.SetSettingAsync("Limits:Enforce", "false", default, "uid 0 (root)")).IsOk);
        await AcceptAsync();
        LimitView off = Ok(await Accounts.ShowLimitAsync(Info, default));
        Assert.Equal((false, "Limits:Enforce", 2L, 1L), (off.IsEnforced, off.EnforcementOrigin, off.Uses[0].Used, off.Exempt));

        Assert.True((await Accounts.SetSettingAsync("Limits:Enforce", "true", default)).IsOk);
        await RefuseAsync("2/1");
        Assert.Equal(["false -> true", "true -> false"], (await AuditAsync("setting Limits:Enforce")).Select(Of));
    }

    [Fact]
    public async Task Too_many_recipients_of_one_message_are_refused_alone_and_the_smallest_number_above_wins()
    {
        Ok(await Accounts.SetLimitAsync(Basic, Level.Mailbox, new LimitChange(MaxRecipients: 3), default));
        Assert.Equal((3, "plan basic --each mailbox"), Recipients(Ok(await Accounts.ShowLimitAsync(Info, default))));
        await OfferToAsync(3);

        Ok(await Accounts.SetLimitAsync(Info, null, new LimitChange(MaxRecipients: 5), default)); // Its own, in place of the inherited one.
        Assert.Equal((5, "own"), Recipients(Ok(await Accounts.ShowLimitAsync(Info, default))));
        await OfferToAsync(5);

        Ok(await Accounts.SetLimitAsync(Acme, null, new LimitChange(MaxRecipients: 2), default)); // Parents win.
        Assert.Equal((2, "subscription acme"), Recipients(Ok(await Accounts.ShowLimitAsync(Info, default))));
        await OfferToAsync(2);

        Ok(await Accounts.UnsetLimitAsync(Acme, null, default, parts: LimitParts.MaxRecipients));
        await OfferToAsync(5);
        Assert.Equal(AdminErrorKind.Invalid, (await Accounts.SetLimitAsync(Info, null, new LimitChange(MaxRecipients: 1001), default)).Error?.Kind);
    }

    [Fact]
    public async Task Each_part_is_taken_back_alone()
    {
        Ok(await Accounts.SetLimitAsync(Info, null, new LimitChange("5/h", OverLimitAction.Reject, 7, 90, false), default));
        LimitView all = Ok(await Accounts.ShowLimitAsync(Info, default));
        Assert.Equal(("5/h", OverLimitAction.Reject, 7, 90, false), (all.Value, all.Action, all.MaxRecipients, all.WarnAt, all.IsEnforced));

        LimitView without = Ok(await Accounts.UnsetLimitAsync(Info, null, default, parts: LimitParts.WarnAt | LimitParts.Enforcement));
        Assert.Equal(("5/h", 7, 80, "Limits:WarnAt", true), (without.Value, without.MaxRecipients, without.WarnAt, without.WarnAtOrigin, without.IsEnforced));

        without = Ok(await Accounts.UnsetLimitAsync(Info, null, default, parts: LimitParts.Limits));
        Assert.Equal(("100/h", 7), (without.Value, without.MaxRecipients));

        without = Ok(await Accounts.UnsetLimitAsync(Info, null, default));
        Assert.Equal(1000, without.MaxRecipients);
        Assert.Equal(AdminErrorKind.NotFound, (await Accounts.UnsetLimitAsync(Info, null, default)).Error?.Kind);
        Assert.Equal(AdminErrorKind.Invalid, (await Accounts.SetLimitAsync(Info, null, new LimitChange(Over: OverLimitAction.Hold), default)).Error?.Kind);
        Assert.Equal(AdminErrorKind.Invalid, (await Accounts.SetLimitAsync(Info, null, new LimitChange(), default)).Error?.Kind);
    }

    [Fact]
    public async Task A_plans_change_reaches_its_subscriptions_at_once_and_its_own_limit_caps_their_sum()
    {
        Ok(await Accounts.SetLimitAsync(Basic, Level.Mailbox, "1/h", null, default));
        await AcceptAsync();
        await RefuseAsync("mailbox info@shop.test hourly limit reached: 1/1");

        Ok(await Accounts.SetLimitAsync(Basic, Level.Mailbox, "9/h", null, default));
        await AcceptAsync();

        Ok(await Accounts.SetLimitAsync(Basic, null, "3/h", null, default));
        await using TestClient other = await TestClient.GreetAsync(_host.Unix); // Of the plan as well, by another way.
        Assert.StartsWith("250 ", await other.OfferAsync(Message, "few@shop.test"), StringComparison.Ordinal);
        await RefuseAsync("plan basic hourly limit reached: 3/3");
        Assert.StartsWith("451 4.7.1 plan basic", await other.CommandAsync("MAIL FROM:<few@shop.test>"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_was_refused_before_or_at_the_end_of_data_was_never_sent()
    {
        Ok(await Accounts.SetLimitAsync(Info, null, "2/h", null, default));
        Assert.StartsWith("550 5.6.0", await _client.OfferAsync("From: a@shop.test\r\nFrom: b@shop.test\r\n\r\nx\r\n"), StringComparison.Ordinal);
        _host.AccountChanges = 3;
        Assert.StartsWith("451 4.3.0", await _client.OfferAsync(Message), StringComparison.Ordinal);
        Assert.StartsWith("552 ", await _client.OfferAsync(Message + new string('x', 1_100_000)), StringComparison.Ordinal);
        TestClient cut = await TestClient.LogInAsync(_host.Local);
        await cut.CommandAsync("MAIL FROM:<info@shop.test>", "250");
        await cut.CommandAsync("RCPT TO:<ann@example.net>", "250");
        await cut.CommandAsync("DATA", "354");
        await cut.SendAsync("From: info@shop.test\r\n\r\nhalf");
        cut.Cut(reset: true);

        await _host.ExecuteAsync("select 1"); // Behind the records that nobody waits for.
        LimitView after = Ok(await Accounts.ShowLimitAsync(Info, default));
        Assert.Equal((0L, 0L, 3L), (after.Uses[0].Used, after.Messages, after.Refused));
        await AcceptAsync();
        await AcceptAsync();
        await RefuseAsync("2/2");
    }

    [Fact]
    public async Task A_boost_lasts_over_a_restart()
    {
        using var folder = new TempFolder();
        var time = new ManualTimeProvider();
        await using (TestGateway gateway = await TestGateway.StartAsync(time: time, folder: folder))
        {
            AccountAdministration accounts = gateway.Get<AccountAdministration>();
            await accounts.AddSubscriptionAsync("acme", new SubscriptionChange(), default);
            await accounts.AddDomainAsync("shop.test", new DomainChange(Subscription: "acme"), default);
            await accounts.AddMailboxAsync("info@shop.test", "secret", default);
            Ok(await accounts.SetLimitAsync(Info, null, "1/h", null, default));
            Ok(await accounts.BoostLimitAsync(Info, 1, TimeSpan.FromHours(2), default));
            await using TestClient client = await TestClient.LogInAsync(gateway.Local);
            Assert.StartsWith("250 ", await client.OfferAsync(Message), StringComparison.Ordinal); // Notes the clocks.
            await gateway.StopAsync();
        }
        time.Advance(TimeSpan.FromMinutes(59));
        await using TestGateway again = await TestGateway.StartAsync(time: time, folder: folder);
        AccountAdministration administration = again.Get<AccountAdministration>();
        Assert.Equal(1, Ok(await administration.ShowLimitAsync(Info, default)).Boost?.Amount);
        await using (TestClient client = await TestClient.LogInAsync(again.Local))
        {
            Assert.StartsWith("250 ", await client.OfferAsync(Message), StringComparison.Ordinal);
            Assert.StartsWith("451 4.7.1", await client.CommandAsync("MAIL FROM:<info@shop.test>"), StringComparison.Ordinal);
        }
        time.Advance(TimeSpan.FromMinutes(62));
        Assert.Null(Ok(await administration.ShowLimitAsync(Info, default)).Boost);
    }

    private async Task AcceptAsync() => Assert.StartsWith("250 2.0.0", await _client.OfferAsync(Message), StringComparison.Ordinal);

    private async Task RefuseAsync(string says)
    {
        string reply = await _client.CommandAsync("MAIL FROM:<info@shop.test>");
        Assert.StartsWith("451 4.7.1 ", reply, StringComparison.Ordinal);
        Assert.Contains(says, reply, StringComparison.Ordinal);
    }

    /// <summary>One recipient more than is allowed: that one is refused, and the message goes to the others.</summary>
    private async Task OfferToAsync(int most)
    {
        await _client.CommandAsync("MAIL FROM:<info@shop.test>", "250");
        for (int i = 0; i < most; i++)
            await _client.CommandAsync($"RCPT TO:<to{i}@example.net>", "250");
        Assert.Contains($"{most}", await _client.CommandAsync("RCPT TO:<over@example.net>", "452 4.5.3"), StringComparison.Ordinal);
        await _client.CommandAsync("DATA", "354");
        await _client.CommandAsync(Message + ".", "250 2.0.0");
    }

    private async Task<AuditEntry[]> AuditAsync(string target) => [.. Ok(await Accounts.ListAuditAsync(target, null, default, null, 100, default)).Items];

    private static string Of(AuditEntry entry) => $"{entry.Before} -> {entry.After}";

    private static (int, string) Recipients(LimitView view) => (view.MaxRecipients, view.MaxRecipientsOrigin);

    private static T Ok<T>(AdminResult<T> result)
        where T : class
    {
        Assert.True(result.IsOk, result.Error?.Message);
        return result.Value;
    }
}
