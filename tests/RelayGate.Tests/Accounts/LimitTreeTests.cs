using RelayGate.Accounts;
using RelayGate.Core.Policy;
using RelayGate.Tests.Fakes;
using RelayGate.Tests.Submission;

namespace RelayGate.Tests.Accounts;

/// <summary>The tree of limits in pages, and what releases held mail.</summary>
public sealed class LimitTreeTests : IAsyncLifetime
{
    private TestGateway _gateway = null!;
    private AccountAdministration _accounts = null!;

    public async Task InitializeAsync()
    {
        _gateway = await TestGateway.StartAsync();
        _accounts = _gateway.Get<AccountAdministration>();
        foreach (string plan in new[] { "basic", "empty", "gold" })
            await _accounts.AddPlanAsync(plan, default);
        foreach ((string name, string? plan) in new[] { ("acme", "basic"), ("beta", "basic"), ("chi", "gold"), ("loose", null) })
        {
            await _accounts.AddSubscriptionAsync(name, new SubscriptionChange(Plan: plan), default);
            foreach (string domain in new[] { $"a.{name}.test", $"b.{name}.test" })
            {
                await _accounts.AddDomainAsync(domain, new DomainChange(Subscription: name), default);
                await _accounts.AddMailboxAsync($"one@{domain}", "secret", default);
                await _accounts.AddMailboxAsync($"two@{domain}", "secret", default);
            }
        }
    }

    public async Task DisposeAsync() => await _gateway.DisposeAsync();

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(7)]
    [InlineData(1000)]
    public async Task Pages_of_any_size_make_the_same_tree(int size)
    {
        string[] all = await WalkAsync(AccountKey.Server, 4, size);

        Assert.Equal(1 + 3 + 5 + 4 * 2 + 4 * 2 * 2, all.Length); // The built-in subscription has no domain.
        Assert.Equal(["0 server", "1 plan basic", "2 subscription acme", "3 domain a.acme.test", "4 mailbox one@a.acme.test", "4 mailbox two@a.acme.test", "3 domain b.acme.test"], all[..7]);
        Assert.Equal("1 plan empty", all[Array.IndexOf(all, "1 plan gold") - 1]);
        Assert.Equal("1 subscription system", all[^1]);
        Assert.Equal(all.Length, all.Distinct().Count());
    }

    [Theory]
    [InlineData(0, 1)]
    [InlineData(1, 3)]
    [InlineData(2, 7)]
    public async Task A_tree_goes_so_deep_below_any_object(int depth, int count)
    {
        Assert.Equal(count, (await WalkAsync(new AccountKey(Level.Subscription, "acme"), depth, 2)).Length);
        Assert.Equal(AdminErrorKind.NotFound, (await _accounts.LimitTreeAsync(new AccountKey(Level.Plan, "nix"), depth, null, 10, default)).Error?.Kind);
        Assert.Equal(AdminErrorKind.Invalid, (await _accounts.LimitTreeAsync(new AccountKey(Level.Subscription, "acme"), depth, new AccountKey(Level.Subscription, "beta"), 10, default)).Error?.Kind);
    }

    [Theory]
    [InlineData("boost")]
    [InlineData("reset")]
    [InlineData("enforce")]
    [InlineData("set")]
    [InlineData("unset")]
    [InlineData("switch")]
    public async Task What_gives_room_releases_what_was_held(string verb)
    {
        var mailbox = new AccountKey(Level.Mailbox, "one@a.acme.test");
        Assert.True((await _accounts.SetLimitAsync(mailbox, null, "1/h", OverLimitAction.Hold, default)).IsOk);
        await using TestClient client = await TestClient.LogInAsync(_gateway.Local, mailbox.Name);
        for (int i = 0; i < 3; i++)
            Assert.StartsWith("250 ", await client.OfferAsync($"From: {mailbox.Name}\r\n\r\nhello\r\n", mailbox.Name), StringComparison.Ordinal);
        LimitView held = Show();
        Assert.Equal((1L, 2L), (held.Uses[0].Used, held.Held));

        switch (verb)
        {
            case "boost":
                await _accounts.BoostLimitAsync(mailbox, 2, TimeSpan.FromHours(1), default);
                break;
            case "reset":
                await _accounts.ResetLimitAsync(mailbox, default);
                break;
            case "enforce":
                await _accounts.SetLimitAsync(mailbox, null, new LimitChange(Enforce: false), default);
                break;
            case "set":
                await _accounts.SetLimitAsync(mailbox, null, "5/h", null, default);
                break;
            case "unset":
                await _accounts.UnsetLimitAsync(mailbox, null, default);
                break;
            default:
                await _accounts.SetSettingAsync("Limits:Enforce", "false", default);
                break;
        }

        await SubmissionHost.UntilAsync(() => Show().Held == (verb == "reset" ? 1 : 0));
        Assert.Equal(verb == "reset" ? 1 : 3, Show().Uses[0].Used);

        LimitView Show() => _accounts.ShowLimitAsync(mailbox, default).GetAwaiter().GetResult().Value!;
    }

    private async Task<string[]> WalkAsync(AccountKey root, int depth, int size)
    {
        var seen = new List<string>();
        AccountKey? after = null;
        do
        {
            AdminResult<Page<LimitNode>> page = await _accounts.LimitTreeAsync(root, depth, after, size, default);
            Assert.True(page.IsOk, page.Error?.Message);
            seen.AddRange(page.Value.Items.Select(static n => $"{n.Depth} {n.Limit.Key}"));
            after = page.Value.Next is null ? null : page.Value.Items[^1].Limit.Key;
        }
        while (after is not null);
        return [.. seen];
    }
}
