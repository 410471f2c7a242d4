using System.Net.Http.Json;
using System.Text.Json.Nodes;
using RelayGate.Accounts;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Tests.Fakes;

namespace RelayGate.Tests.Accounts;

/// <summary>Aliases and sender rules as they are kept and shown.</summary>
public sealed class AliasTests : IAsyncLifetime
{
    private TestGateway _gateway = null!;
    private AccountAdministration _accounts = null!;

    public async Task InitializeAsync()
    {
        _gateway = await TestGateway.StartAsync();
        _accounts = _gateway.Get<AccountAdministration>();
        Ok(await _accounts.AddSubscriptionAsync("acme", new(), default));
        Ok(await _accounts.AddSubscriptionAsync("rival", new(), default));
        foreach ((string domain, string subscription) in new[] { ("shop.test", "acme"), ("second.test", "acme"), ("rival.test", "rival"), ("b\u00fccher.test", "acme") })
            Ok(await _accounts.AddDomainAsync(domain, new(Subscription: subscription), default));
        Ok(await _accounts.AddMailboxAsync("info@shop.test", "secret", default));
        Ok(await _accounts.AddMailboxAsync("boss@shop.test", "secret", default));
    }

    public async Task DisposeAsync() => await _gateway.DisposeAsync();

    [Fact]
    public async Task Aliases_are_added_once_shown_and_taken_away()
    {
        MailboxView mailbox = Ok(await _accounts.SetMailboxAsync("info@shop.test", new(Aliases: ["Sales@Shop.Test", "sales@shop.test", "sales@B\u00dcCHER.test"]), default));
        Assert.Equal(["sales@shop.test", "sales@xn--bcher-kva.test"], mailbox.Aliases);
        Assert.Equal(mailbox.Aliases, Ok(await _accounts.ListMailboxesAsync("shop.test", null, 10, default)).Items.Single(m => m.Address == "info@shop.test").Aliases);

        Assert.Equal(["sales@shop.test"], Ok(await _accounts.SetMailboxAsync("info@shop.test", new(RemoveAliases: ["sales@xn--bcher-kva.test"]), default)).Aliases);
        Ok(await _accounts.RemoveMailboxAsync("info@shop.test", default));
        Ok(await _accounts.AddMailboxAsync("sales@shop.test", "secret", default)); // Nobody's alias any more.
    }

    [Theory]
    [InlineData("a@rival.test", AdminErrorKind.Conflict, "belongs to subscription rival")]
    [InlineData("a@nowhere.test", AdminErrorKind.NotFound, "There is no domain nowhere.test here")]
    [InlineData("boss@shop.test", AdminErrorKind.Conflict, "is a mailbox")]
    [InlineData("taken@shop.test", AdminErrorKind.Conflict, "is an alias of boss@shop.test; take it away there first: relaygate mailbox set boss@shop.test --remove-alias taken@shop.test")]
    [InlineData("root", AdminErrorKind.Invalid, "is no mailbox address")]
    public async Task An_alias_is_one_mailboxs_and_of_its_subscription(string alias, AdminErrorKind kind, string says)
    {
        Ok(await _accounts.SetMailboxAsync("boss@shop.test", new(Aliases: ["taken@shop.test"]), default));

        AdminError fault = Fault(await _accounts.SetMailboxAsync("info@shop.test", new(Password: "other", Aliases: ["fine@shop.test", alias]), default));

        Assert.Equal(kind, fault.Kind);
        Assert.Contains(says, fault.Message, StringComparison.Ordinal);
        Assert.Empty(Ok(await _accounts.ShowMailboxAsync("info@shop.test", default)).Aliases); // All or nothing.
        Assert.Equal(AdminErrorKind.Conflict, Fault(await _accounts.AddMailboxAsync("taken@shop.test", "secret", default)).Kind);
        Assert.Equal(AdminErrorKind.NotFound, Fault(await _accounts.SetMailboxAsync("info@shop.test", new(RemoveAliases: ["taken@shop.test"]), default)).Kind);
    }

    [Fact]
    public async Task A_mailbox_has_at_most_a_hundred_aliases() => Assert.Contains(
        "at most 100", Fault(await _accounts.SetMailboxAsync("info@shop.test", new(Aliases: [.. Enumerable.Range(0, 101).Select(i => $"a{i}@shop.test")]), default)).Message, StringComparison.Ordinal);

    [Fact]
    public async Task A_domain_with_an_alias_of_a_mailbox_elsewhere_stays_where_it_is()
    {
        Ok(await _accounts.SetMailboxAsync("info@shop.test", new(Aliases: ["sales@second.test"]), default));

        Assert.Equal(AdminErrorKind.InUse, Fault(await _accounts.RemoveDomainAsync("second.test", default)).Kind);
        Assert.Equal(AdminErrorKind.InUse, Fault(await _accounts.SetDomainAsync("second.test", new(Subscription: "rival"), default)).Kind);
        Assert.Equal(AdminErrorKind.InUse, Fault(await _accounts.SetDomainAsync("shop.test", new(Subscription: "rival"), default)).Kind);
        Ok(await _accounts.SetMailboxAsync("info@shop.test", new(RemoveAliases: ["sales@second.test"]), default));
        Ok(await _accounts.SetDomainAsync("second.test", new(Subscription: "rival"), default));
    }

    [Fact]
    public async Task A_rule_is_shown_with_where_it_was_set()
    {
        Ok(await _accounts.SetSubscriptionAsync("acme", new(SenderMode: "trust", HeaderFrom: "sender"), default));
        Ok(await _accounts.SetDomainAsync("shop.test", new(HeaderFrom: "rewrite"), default));
        Ok(await _accounts.SetSettingAsync("Sender:Owned", "Domain", default));

        SenderRulesView domain = Ok(await _accounts.ShowDomainAsync("shop.test", default)).InForce!;
        Assert.Equal(new Ruled<SenderMode>(SenderMode.Trust, "subscription acme"), domain.Login.Sender);
        Assert.Equal(new Ruled<HeaderFromMode>(HeaderFromMode.Rewrite, "own"), domain.Login.HeaderFrom);
        Assert.Equal(new Ruled<OwnedAddresses>(OwnedAddresses.Domain, "Sender:Owned"), domain.Login.Owned);
        SenderRulesView subscription = Ok(await _accounts.ShowSubscriptionAsync("acme", default)).InForce!;
        Assert.Equal(new Ruled<SenderMode>(SenderMode.Trust, "own"), subscription.Network);

        Ok(await _accounts.SetSubscriptionAsync("acme", new(SenderMode: "inherit"), default));
        domain = Ok(await _accounts.ShowDomainAsync("shop.test", default)).InForce!;
        Assert.Equal((new Ruled<SenderMode>(SenderMode.Correct, "Sender:Login"), new Ruled<SenderMode>(SenderMode.Trust, "Sender:Local")), (domain.Login.Sender, domain.Local));
    }

    [Theory]
    [InlineData("sender", "none", "'none' is no sender mode; use correct, reject, trust or inherit")]
    [InlineData("headerFrom", "replace", "'replace' is no header From mode; use off, sender, rewrite, refuse or inherit")]
    [InlineData("owned", "1", "'1' is no set of owned addresses; use mailbox, aliases, domain, subscription or inherit")]
    public async Task A_rule_that_is_none_says_what_would_be_right(string field, string value, string says)
    {
        using HttpClient control = _gateway.Control();
        using HttpResponseMessage answer = await control.PatchAsJsonAsync("domains/shop.test", new JsonObject { [field] = value });

        Assert.Equal(400, (int)answer.StatusCode);
        Assert.Contains(says, (await answer.Content.ReadFromJsonAsync<JsonNode>())!["title"]!.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_api_sets_shows_and_clears_rules_and_aliases()
    {
        using HttpClient control = _gateway.Control();
        await control.PatchAsJsonAsync("mailboxes/info@shop.test", new JsonObject { ["aliases"] = new JsonArray("sales@shop.test") });
        await control.PatchAsJsonAsync("domains/shop.test", new JsonObject { ["headerFrom"] = "rewrite", ["owned"] = "domain", ["sender"] = "reject" });

        Assert.Equal("""["sales@shop.test"]""", (await control.GetFromJsonAsync<JsonNode>("mailboxes/info@shop.test"))!["aliases"]!.ToJsonString());
        JsonNode domain = (await control.GetFromJsonAsync<JsonNode>("domains/shop.test"))!;
        Assert.Equal("rewrite domain reject own", $"{domain["headerFrom"]} {domain["owned"]} {domain["sender"]} {domain["inForce"]!["sender"]!["local"]!["origin"]}");

        await control.PatchAsJsonAsync("domains/shop.test", new JsonObject { ["headerFrom"] = null, ["owned"] = "inherit" });
        domain = (await control.GetFromJsonAsync<JsonNode>("domains/shop.test"))!;
        Assert.Equal("  reject Sender:HeaderFrom", $"{domain["headerFrom"]} {domain["owned"]} {domain["sender"]} {domain["inForce"]!["headerFrom"]!["origin"]}");
    }

    /// <summary>What is remembered of one address of a domain answers for another one of it, whoever asks first.</summary>
    [Fact]
    public async Task What_is_remembered_of_a_domain_tells_its_addresses_apart()
    {
        Ok(await _accounts.SetMailboxAsync("info@shop.test", new(Aliases: ["sales@second.test"]), default));
        AccountDirectory directory = _gateway.Get<AccountDirectory>();
        var identity = new SenderIdentity(IdentityKind.Login, "info@shop.test");
        foreach (string domain in (string[])["shop.test", "second.test", "b\u00fccher.test", "B\u00dcCHER.test", "rival.test", "elsewhere.example"])
        {
            foreach (string local in (string[])["x", "sales", "info", "Sales", "x"])
            {
                MailboxAddress address = MailboxAddress.Parse($"{local}@{domain}");
                SenderAccount account = (await directory.LookUpAsync(identity, new ReversePath(address), [address], default)).Account;
                Assert.Equal(address.Canonical is "info@shop.test" or "sales@second.test", account.Owns(address));
            }
        }
    }

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
