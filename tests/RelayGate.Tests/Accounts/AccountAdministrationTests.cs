using System.Net;
using RelayGate.Accounts;
using RelayGate.Configuration;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Tests.Fakes;

namespace RelayGate.Tests.Accounts;

/// <summary>The accounts of a whole gateway: what is refused, and what the directory says right after a change.</summary>
public sealed class AccountAdministrationTests : IAsyncLifetime
{
    private TestGateway _gateway = null!;
    private AccountAdministration _accounts = null!;
    private AccountDirectory _directory = null!;

    public async Task InitializeAsync()
    {
        _gateway = await TestGateway.StartAsync();
        _accounts = _gateway.Get<AccountAdministration>();
        _directory = _gateway.Get<AccountDirectory>();
        Ok(await _accounts.AddPlanAsync("basic", default));
        Ok(await _accounts.AddSubscriptionAsync("acme", new SubscriptionChange(Plan: "basic", IPv4: "192.0.2.11"), default));
        Ok(await _accounts.AddSubscriptionAsync("rival", new SubscriptionChange(Plan: "basic"), default));
        Ok(await _accounts.AddDomainAsync("shop.test", new DomainChange(Subscription: "acme"), default));
        Ok(await _accounts.AddDomainAsync("rival.test", new DomainChange(Subscription: "rival"), default));
        Ok(await _accounts.AddMailboxAsync("info@shop.test", "secret", default));
    }

    public async Task DisposeAsync() => await _gateway.DisposeAsync();

    [Theory]
    [InlineData("")]
    [InlineData("Acme")]
    [InlineData("a b")]
    [InlineData("a/b")]
    [InlineData("a\r\nb")]
    public async Task Names_are_checked(string name) =>
        Assert.Equal(AdminErrorKind.Invalid, Fault(await _accounts.AddPlanAsync(name, default)).Kind);

    [Fact]
    public async Task An_exclusive_address_is_not_given_twice()
    {
        AdminError fault = Fault(await _accounts.SetSubscriptionAsync("rival", new SubscriptionChange(IPv4: "192.0.2.11"), default));

        Assert.Equal(AdminErrorKind.Conflict, fault.Kind);
        Assert.Contains("192.0.2.11", fault.Message, StringComparison.Ordinal);
        Assert.Contains("acme", fault.Message, StringComparison.Ordinal);
        Assert.Null(Ok(await _accounts.ShowSubscriptionAsync("rival", default)).IPv4);
    }

    [Fact]
    public async Task A_released_address_may_be_given_again()
    {
        Ok(await _accounts.SetSubscriptionAsync("acme", new SubscriptionChange(IPv4: "none"), default));

        Assert.Equal("192.0.2.11", Ok(await _accounts.SetSubscriptionAsync("rival", new SubscriptionChange(IPv4: "192.0.2.11"), default)).IPv4);
    }

    [Fact]
    public async Task What_is_in_use_is_not_removed()
    {
        Assert.Equal(AdminErrorKind.InUse, Fault(await _accounts.RemovePlanAsync("basic", default)).Kind);
        Assert.Equal(AdminErrorKind.InUse, Fault(await _accounts.RemoveSubscriptionAsync("acme", default)).Kind);
        Assert.Equal(AdminErrorKind.InUse, Fault(await _accounts.RemoveDomainAsync("shop.test", default)).Kind);
        Assert.Equal(AdminErrorKind.InUse, Fault(await _accounts.RemoveAddressAsync("192.0.2.11", default)).Kind);
        Assert.Equal(AdminErrorKind.InUse, Fault(await _accounts.RemoveSubscriptionAsync("system", default)).Kind);
    }

    [Fact]
    public async Task What_is_not_there_is_not_found()
    {
        Assert.Equal(AdminErrorKind.NotFound, Fault(await _accounts.ShowPlanAsync("gold", default)).Kind);
        Assert.Equal(AdminErrorKind.NotFound, Fault(await _accounts.AddMailboxAsync("a@nowhere.test", "secret", default)).Kind);
        Assert.Equal(AdminErrorKind.NotFound, Fault(await _accounts.AddDomainAsync("x.test", new DomainChange(Subscription: "nobody"), default)).Kind);
    }

    [Fact]
    public async Task A_uid_belongs_to_one_subscription() =>
        Assert.Equal(AdminErrorKind.Conflict, Fault(await _accounts.SetSubscriptionAsync("acme", new SubscriptionChange(SystemUsers: ["root"]), default)).Kind);

    [Theory]
    [InlineData(true, null)]
    [InlineData(false, "acme")]
    public async Task A_shared_uid_that_is_removed_or_shared_no_more_sends_for_no_other_subscription_from_then_on(bool isRemoved, string? sendsFor)
    {
        Ok(await _accounts.SetSubscriptionAsync("acme", new SubscriptionChange(SystemUsers: ["#4242"], SharedUid: true), default));
        Assert.Equal("rival", await OfUidAsync()); // And is remembered.

        Ok(await _accounts.SetSubscriptionAsync("acme", isRemoved ? new SubscriptionChange(RemoveSystemUsers: ["#4242"]) : new SubscriptionChange(SystemUsers: ["#4242"]), default));

        Assert.Equal(sendsFor, await OfUidAsync());

        async Task<string?> OfUidAsync() =>
            (await _directory.LookUpAsync(new SenderIdentity(IdentityKind.Uid, "#4242", Process: new PeerProcess(4242)), new ReversePath(MailboxAddress.Parse("x@rival.test")), default, default))
                .Account.Subscription;
    }

    [Theory]
    [InlineData("0")]
    [InlineData("5")]
    [InlineData("0/h")]
    [InlineData("5/m")]
    [InlineData("-1/h")]
    [InlineData("lots")]
    public async Task A_limit_that_says_nothing_clear_is_refused(string value) =>
        Assert.Equal(AdminErrorKind.Invalid, Fault(await _accounts.SetLimitAsync(new AccountKey(Level.Mailbox, "info@shop.test"), null, value, null, default)).Kind);

    [Fact]
    public async Task The_nearest_default_is_in_force_and_an_own_limit_beats_it()
    {
        var mailbox = new AccountKey(Level.Mailbox, "info@shop.test");
        Assert.Equal("100/h", Ok(await _accounts.ShowLimitAsync(mailbox, default)).Value);

        Ok(await _accounts.SetLimitAsync(new AccountKey(Level.Plan, "basic"), Level.Mailbox, "50/h", null, default));
        Assert.Equal("50/h", Ok(await _accounts.ShowLimitAsync(mailbox, default)).Value);

        Ok(await _accounts.SetLimitAsync(new AccountKey(Level.Domain, "shop.test"), Level.Mailbox, "20/h", null, default));
        Assert.Equal("20/h", Ok(await _accounts.ShowLimitAsync(mailbox, default)).Value);

        Ok(await _accounts.SetLimitAsync(mailbox, null, "5/h", null, default));
        LimitView own = Ok(await _accounts.ShowLimitAsync(mailbox, default));
        Assert.Equal(("5/h", "own"), (own.Value, own.Origin));

        Ok(await _accounts.SetLimitAsync(new AccountKey(Level.Domain, "shop.test"), null, "1/h", null, default)); // A cap is inherited by nobody.
        Assert.Equal("5/h", Ok(await _accounts.ShowLimitAsync(mailbox, default)).Value);
    }

    [Fact]
    public async Task Login_and_wrong_password_and_unknown_login()
    {
        AuthenticationResult right = await _directory.AuthenticateAsync("INFO@Shop.Test", "secret", default);
        Assert.Equal(new SenderIdentity(IdentityKind.Login, "info@shop.test"), right.Identity! with { PasswordSetAt = 0 });
        Assert.Equal(AuthenticationOutcome.Rejected, (await _directory.AuthenticateAsync("info@shop.test", "Secret", default)).Outcome);
        Assert.Equal(AuthenticationOutcome.Rejected, (await _directory.AuthenticateAsync("nobody@shop.test", "secret", default)).Outcome);

        Ok(await _accounts.SetMailboxAsync("info@shop.test", new("changed"), default));
        Assert.Equal(AuthenticationOutcome.Rejected, (await _directory.AuthenticateAsync("info@shop.test", "secret", default)).Outcome);
        Assert.Equal(AuthenticationOutcome.Accepted, (await _directory.AuthenticateAsync("info@shop.test", "changed", default)).Outcome);
    }

    [Fact]
    public async Task A_login_counts_at_all_five_levels_and_leaves_from_its_subscription()
    {
        SenderAccount account = await LookUpAsync("info@shop.test");

        Assert.Equal([Level.Server, Level.Plan, Level.Subscription, Level.Domain, Level.Mailbox], account.Levels.Select(l => l.Key.Level));
        Assert.Equal(IPAddress.Parse("192.0.2.11"), account.Egress.IPv4!.Address);
        Assert.Equal("relay.test", account.Egress.IPv4.Helo);
        Assert.Equal(DomainOwner.Own, account.ReversePathOwner);
        Assert.Equal(DomainOwner.Other, (await LookUpAsync("ceo@rival.test")).ReversePathOwner);
        Assert.Equal(DomainOwner.NotHosted, (await LookUpAsync("ceo@bank.example")).ReversePathOwner);
    }

    [Fact]
    public async Task Another_subscriptions_address_anywhere_in_the_From_field_is_seen()
    {
        AccountLookup lookup = await _directory.LookUpAsync(
            Login, new ReversePath(MailboxAddress.Parse("info@shop.test")), [MailboxAddress.Parse("info@shop.test"), MailboxAddress.Parse("ceo@rival.test")], default);

        Assert.Equal(DomainOwner.Other, lookup.Account.HeaderFromOwner);
    }

    [Theory]
    [InlineData(Level.Plan, "basic")]
    [InlineData(Level.Subscription, "acme")]
    [InlineData(Level.Domain, "shop.test")]
    [InlineData(Level.Mailbox, "info@shop.test")]
    public async Task Suspension_and_resumption_are_seen_at_once(Level level, string name)
    {
        var key = new AccountKey(level, name);
        SenderAccount before = await LookUpAsync("info@shop.test");
        Assert.Null(before.Suspended);

        Ok(await _accounts.SetSuspendedAsync(key, true, default));
        Assert.Equal(SuspendedObject.Of(key), (await LookUpAsync("info@shop.test")).Suspended);
        Assert.NotEqual(before.Version, _directory.VersionOf("acme"));
        Assert.Equal(AuthenticationOutcome.Accepted, (await _directory.AuthenticateAsync("info@shop.test", "secret", default)).Outcome);

        Ok(await _accounts.SetSuspendedAsync(key, false, default));
        Assert.Null((await LookUpAsync("info@shop.test")).Suspended);
    }

    [Fact]
    public async Task A_change_of_one_subscription_leaves_the_version_of_another()
    {
        AccountVersion rival = _directory.VersionOf("rival");

        Ok(await _accounts.AddMailboxAsync("new@shop.test", "secret", default));

        Assert.Equal(rival, _directory.VersionOf("rival"));
    }

    /// <summary>As the file, where the same is a bad value.</summary>
    [Fact]
    public async Task The_mode_explicit_is_not_set_without_an_address_nor_the_last_address_unset_under_it()
    {
        Assert.Contains("Egress:IPv4 or Egress:IPv6", Fault(await _accounts.SetSettingAsync("Egress:Mode", "Explicit", default)).Message, StringComparison.Ordinal);
        Assert.Equal("Exclusive", Ok(await _accounts.ListSettingsAsync(default)).First(s => s.Name == "Egress:Mode").Value);

        Ok(await _accounts.SetSettingAsync("Egress:IPv4", "192.0.2.1", default));
        Ok(await _accounts.SetSettingAsync("Egress:Mode", "Explicit", default));
        Assert.Contains("Egress:IPv4 or Egress:IPv6", Fault(await _accounts.UnsetSettingAsync("Egress:IPv4", default)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_setting_says_where_its_value_comes_from()
    {
        await using TestGateway gateway = await TestGateway.StartAsync(configure: o => o.Sender.Login = SenderMode.Reject);
        AccountAdministration accounts = gateway.Get<AccountAdministration>();
        Ok(await accounts.SetSettingAsync("Sender:Local", "Reject", default));

        Assert.Equal(
            [("Sender:Login", "Reject", "configuration"), ("Sender:Local", "Reject", "stored"), ("Sender:Network", "Trust", "default"),
                ("Sender:HeaderFrom", "Off", "default"), ("Sender:Owned", "Aliases", "default")],
            Ok(await accounts.ListSettingsAsync(default)).Where(s => s.Name.StartsWith("Sender:", StringComparison.Ordinal)).Select(s => (s.Name, s.Value, s.Origin)));
    }

    [Fact]
    public async Task Loopback_is_no_identity_until_it_is_listed()
    {
        Assert.Equal(IdentityKind.None, (await _directory.IdentifyAsync(IPAddress.Loopback, null, default)).Kind);

        Ok(await _accounts.AddNetworkAsync("127.0.0.1/32", null, false, false, default));

        Assert.Equal(IdentityKind.Network, (await _directory.IdentifyAsync(IPAddress.Loopback, null, default)).Kind);
    }

    [Fact]
    public async Task The_remedy_that_the_refusal_of_an_unknown_uid_names_works_at_once()
    {
        var script = new SenderIdentity(IdentityKind.Uid, "#61008", Process: new PeerProcess(61008));
        Assert.Null((await LookUpAsync("info@shop.test", script)).Subscription);

        Ok(await _accounts.SetSubscriptionAsync("acme", new SubscriptionChange(SystemUsers: ["#61008"]), default));
        Assert.Equal("acme", (await LookUpAsync("info@shop.test", script)).Subscription);

        Ok(await _accounts.SetSubscriptionAsync("acme", new SubscriptionChange(RemoveSystemUsers: ["#61008"]), default));
        Assert.Null((await LookUpAsync("info@shop.test", script)).Subscription);
        Ok(await _accounts.SetSubscriptionAsync("rival", new SubscriptionChange(SystemUsers: ["#61008"]), default));
        Assert.Equal("rival", (await LookUpAsync("info@rival.test", script)).Subscription);
    }

    [Fact]
    public async Task A_suspended_sender_stays_while_mail_names_it_also_in_another_subscription()
    {
        Ok(await _accounts.SetSubscriptionAsync("acme", new SubscriptionChange(SystemUsers: ["#61008"]), default));
        Ok(await _accounts.CreateSenderAsync("app", new AccountKey(Level.Domain, "shop.test"), null, default));
        Ok(await _accounts.SetUidSuspendedAsync("#61008", true, default));
        Ok(await _accounts.SetSenderSuspendedAsync("app", true, default));
        await WriteAsync("""
            insert into message (seq, id, subscription, reverse_path, flags, dsn_return, egress, octets, held, uid, credential, header)
            values (1000000, x'00', 'rival', '', 0, 0, '', 1, 2, 61008, 'app', x'')
            """);

        Assert.Contains("which would leave", Fault(await _accounts.SetSubscriptionAsync("acme", new SubscriptionChange(RemoveSystemUsers: ["#61008"]), default)).Message, StringComparison.Ordinal);
        Assert.Contains("which would leave", Fault(await _accounts.RevokeSenderAsync("app", default)).Message, StringComparison.Ordinal);
        await WriteAsync("delete from message");

        Ok(await _accounts.SetSubscriptionAsync("acme", new SubscriptionChange(RemoveSystemUsers: ["#61008"]), default));
        Ok(await _accounts.RevokeSenderAsync("app", default));
    }

    private Task<int> WriteAsync(string sql) => _gateway.Get<RelayGate.Queue.QueueWriter>().WriteAsync(db => Storage.SqliteRelayStoreTests.Execute(db, sql));

    [Fact]
    public async Task Mail_to_a_local_user_goes_to_whom_the_user_belongs_to()
    {
        string? postmaster = _gateway.Get<RelayGateOptions>().Postmaster;
        Ok(await _accounts.SetSubscriptionAsync("acme", new SubscriptionChange(SystemUsers: ["#61008"], Contact: "owner@shop.test"), default));

        Assert.Equal("owner@shop.test", (await _directory.LocalContactAsync("#61008", default))?.Text);
        Assert.Equal(postmaster, (await _directory.LocalContactAsync("root", default))?.Text); // Subscription system has no contact.
        Assert.Equal(postmaster, (await _directory.LocalContactAsync("no-such-user", default))?.Text);

        Ok(await _accounts.SetSubscriptionAsync("system", new SubscriptionChange(Contact: "admin@host.test"), default));
        Assert.Equal("admin@host.test", (await _directory.LocalContactAsync("root", default))?.Text);
    }

    [Fact]
    public async Task A_mailbox_that_was_removed_and_added_again_sends_again()
    {
        Assert.Equal("acme", (await LookUpAsync("info@shop.test")).Subscription);

        Ok(await _accounts.RemoveMailboxAsync("info@shop.test", default));
        Assert.Null((await LookUpAsync("info@shop.test")).Subscription);

        Ok(await _accounts.AddMailboxAsync("info@shop.test", "other", default));
        Assert.Equal("acme", (await LookUpAsync("info@shop.test")).Subscription);
    }

    [Fact]
    public async Task A_login_that_is_no_address_costs_a_hash_and_no_memory()
    {
        string login = new('x', 9000);
        long hashes = _directory.PasswordHashes;

        Assert.Equal(AuthenticationOutcome.Rejected, (await _directory.AuthenticateAsync(login, "secret", default)).Outcome);

        Assert.Equal(hashes + 1, _directory.PasswordHashes);
        Assert.False(_directory.Cache.TryGet<MailboxRecord>(null, RecordKind.Mailbox, login, (_, _) => null, out _));
    }

    private static SenderIdentity Login => new(IdentityKind.Login, "info@shop.test");

    private async Task<SenderAccount> LookUpAsync(string reversePath, SenderIdentity? identity = null) =>
        (await _directory.LookUpAsync(identity ?? Login, new ReversePath(MailboxAddress.Parse(reversePath)), default, default)).Account;

    private static T Ok<T>(AdminResult<T> result)
        where T : class
    {
        Assert.True(result.IsOk, result.Error?.Message);
        return result.Value!;
    }

    private static AdminError Fault<T>(AdminResult<T> result)
        where T : class
    {
        Assert.False(result.IsOk);
        Assert.DoesNotContain('\n', result.Error!.Message);
        return result.Error;
    }
}
