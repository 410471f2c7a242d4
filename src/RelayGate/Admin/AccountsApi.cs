using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text.Json.Nodes;
using RelayGate.Accounts;
using RelayGate.Core.Policy;

namespace RelayGate.Admin;

/// <summary>Plans, subscriptions, domains, mailboxes, networks and keys.</summary>
internal sealed class AccountsApi(AccountAdministration accounts)
{
    public void Map(AdminDispatcher api)
    {
        MapPlans(api);
        MapSubscriptions(api);
        MapDomains(api);
        MapMailboxes(api);
        MapNetworks(api);
        MapKeys(api);
        foreach ((string collection, Level level) in new[] { ("plans", Level.Plan), ("subscriptions", Level.Subscription), ("domains", Level.Domain), ("mailboxes", Level.Mailbox) })
        {
            api.Change("POST", $"{collection}/{{name}}/suspend", r => SuspendAsync(r, level, true));
            api.Change("POST", $"{collection}/{{name}}/resume", r => SuspendAsync(r, level, false));
        }
    }

    private async Task<JsonNode?> SuspendAsync(AdminRequest request, Level level, bool suspend)
    {
        var key = (AccountKey)AdminJson.Value(await accounts.SetSuspendedAsync(new AccountKey(level, request.Route("name")), suspend, request.Aborted, request.Caller.ToString()));
        return new JsonObject { ["name"] = key.Name, ["suspended"] = suspend };
    }

    private void MapPlans(AdminDispatcher api)
    {
        api.Change("POST", "plans", async r => Json(AdminJson.Value(await accounts.AddPlanAsync((await r.BodyAsync("name")).RequiredText("name"), r.Aborted, r.Caller.ToString()))));
        api.ReadAll("plans", async r => AdminJson.List(AdminJson.Value(await accounts.ListPlansAsync(r.Query("cursor"), r.Limit, r.Aborted)), Json));
        api.ReadAll("plans/{name}", async r => Json(AdminJson.Value(await accounts.ShowPlanAsync(r.Route("name"), r.Aborted))));
        api.Change("DELETE", "plans/{name}", async r => Json(AdminJson.Value(await accounts.RemovePlanAsync(r.Route("name"), r.Aborted, r.Caller.ToString()))));
    }

    private void MapSubscriptions(AdminDispatcher api)
    {
        string[] fields = ["plan", "contact", "ipv4", "ipv6", "sender", "headerFrom", "owned", "systemUsers", "sharedUid", "ipv6Egress"];
        api.Change("POST", "subscriptions", async r =>
        {
            RequestBody body = await r.BodyAsync(["name", .. fields]);
            return Json(AdminJson.Value(await accounts.AddSubscriptionAsync(body.RequiredText("name"), SubscriptionChangeOf(body), r.Aborted, r.Caller.ToString())));
        });
        api.Change("PATCH", "subscriptions/{name}", async r =>
        {
            RequestBody body = await r.BodyAsync([.. fields, "removeSystemUsers"]);
            return Json(AdminJson.Value(await accounts.SetSubscriptionAsync(r.Route("name"), SubscriptionChangeOf(body), r.Aborted, r.Caller.ToString())));
        });
        api.ReadAll("subscriptions", async r => AdminJson.List(AdminJson.Value(await accounts.ListSubscriptionsAsync(r.Query("plan"), r.Query("cursor"), r.Limit, r.Aborted)), Json));
        api.ReadAll("subscriptions/{name}", async r => Json(AdminJson.Value(await accounts.ShowSubscriptionAsync(r.Route("name"), r.Aborted))));
        api.Change("DELETE", "subscriptions/{name}", async r => Json(AdminJson.Value(await accounts.RemoveSubscriptionAsync(r.Route("name"), r.Aborted, r.Caller.ToString()))));
    }

    private void MapDomains(AdminDispatcher api)
    {
        string[] fields = ["subscription", "ipv4", "ipv6", "sender", "headerFrom", "owned"];
        api.Change("POST", "domains", async r =>
        {
            RequestBody body = await r.BodyAsync(["name", .. fields]);
            return Json(AdminJson.Value(await accounts.AddDomainAsync(body.RequiredText("name"), DomainChangeOf(body), r.Aborted, r.Caller.ToString())));
        });
        api.Change("PATCH", "domains/{name}", async r =>
            Json(AdminJson.Value(await accounts.SetDomainAsync(r.Route("name"), DomainChangeOf(await r.BodyAsync(fields)), r.Aborted, r.Caller.ToString()))));
        api.ReadAll("domains", async r => AdminJson.List(AdminJson.Value(await accounts.ListDomainsAsync(r.Query("subscription"), r.Query("cursor"), r.Limit, r.Aborted)), Json));
        api.ReadAll("domains/{name}", async r => Json(AdminJson.Value(await accounts.ShowDomainAsync(r.Route("name"), r.Aborted))));
        api.Change("DELETE", "domains/{name}", async r => Json(AdminJson.Value(await accounts.RemoveDomainAsync(r.Route("name"), r.Aborted, r.Caller.ToString()))));
    }

    private void MapMailboxes(AdminDispatcher api)
    {
        api.Change("POST", "mailboxes", async r =>
        {
            RequestBody body = await r.BodyAsync("name", "password", "aliases");
            return Json(AdminJson.Value(await accounts.AddMailboxAsync(
                body.RequiredText("name"), new MailboxChange(body.Text("password"), body.Texts("aliases")), r.Aborted, r.Caller.ToString())));
        });
        api.Change("PATCH", "mailboxes/{name}", async r =>
        {
            RequestBody body = await r.BodyAsync("password", "aliases", "removeAliases");
            var change = new MailboxChange(body.Has("password") ? body.RequiredText("password") : null, body.Texts("aliases"), body.Texts("removeAliases"));
            return Json(AdminJson.Value(await accounts.SetMailboxAsync(r.Route("name"), change, r.Aborted, r.Caller.ToString())));
        });
        api.ReadAll("mailboxes", async r => AdminJson.List(AdminJson.Value(await accounts.ListMailboxesAsync(r.Query("domain"), r.Query("cursor"), r.Limit, r.Aborted)), Json));
        api.ReadAll("mailboxes/{name}", async r => Json(AdminJson.Value(await accounts.ShowMailboxAsync(r.Route("name"), r.Aborted))));
        api.Change("DELETE", "mailboxes/{name}", async r => Json(AdminJson.Value(await accounts.RemoveMailboxAsync(r.Route("name"), r.Aborted, r.Caller.ToString()))));
    }

    private void MapNetworks(AdminDispatcher api)
    {
        api.Change("POST", "networks", async r =>
        {
            RequestBody body = await r.BodyAsync("cidr", "subscription", "exemptFromLimits", "trustAll");
            NetworkView added = AdminJson.Value(await accounts.AddNetworkAsync(
                body.RequiredText("cidr"), body.Text("subscription"), body.Flag("exemptFromLimits"), body.Flag("trustAll"), r.Aborted, r.Caller.ToString()));
            JsonObject json = Json(added);
            if (added.IsExemptFromLimits) // How much escapes: who may send, and what no limit held for until now.
            {
                json["hosts"] = Hosts(IPNetwork.Parse(added.Cidr));
                json["exempt"] = AdminJson.Value(await accounts.ShowLimitAsync(AccountKey.Server, r.Aborted)).Exempt;
            }
            return json;
        });
        api.ReadAll("networks", async r => AdminJson.List(AdminJson.Value(await accounts.ListNetworksAsync(r.Query("cursor"), r.Limit, r.Aborted)), Json));
        api.Change("DELETE", "networks/{name}", async r => Json(AdminJson.Value(await accounts.RemoveNetworkAsync(r.Route("name"), r.Aborted, r.Caller.ToString()))));
    }

    private void MapKeys(AdminDispatcher api)
    {
        api.Change("POST", "dkim", async r =>
        {
            RequestBody body = await r.BodyAsync("domain", "selector", "privateKey");
            return Json(AdminJson.Value(await accounts.CreateKeyAsync(body.RequiredText("domain"), body.Text("selector"), body.Text("privateKey"), r.Aborted, r.Caller.ToString())));
        });
        api.ReadAll("dkim", async r => AdminJson.List(AdminJson.Value(await accounts.ListKeysAsync(r.Query("domain"), r.Query("cursor"), r.Limit, r.Aborted)), Json));
        api.ReadAll("dkim/{name}", async r => AdminJson.List(AdminJson.Value(await accounts.ShowKeysAsync(r.Route("name"), r.Query("selector"), r.Aborted)), Json));
        api.Change("DELETE", "dkim/{name}", async r => Json(AdminJson.Value(await accounts.RemoveKeyAsync(r.Route("name"), r.Query("selector"), r.Aborted, r.Caller.ToString()))));
    }

    /// <summary>How many addresses a network has, in digits; above the exact, as a power of two.</summary>
    private static string Hosts(IPNetwork network)
    {
        int bits = (network.BaseAddress.AddressFamily == AddressFamily.InterNetwork ? 32 : 128) - network.PrefixLength;
        return bits <= 32 ? (1L << bits).ToString(CultureInfo.InvariantCulture) : $"2^{bits}";
    }

    private static SubscriptionChange SubscriptionChangeOf(RequestBody body) => new(
        body.Text("plan"), TextOrNone(body, "contact"), TextOrNone(body, "ipv4"), TextOrNone(body, "ipv6"), Rule(body, "sender"),
        body.Texts("systemUsers"), body.Has("removeSystemUsers") ? body.Texts("removeSystemUsers") : null, body.Flag("sharedUid"),
        Rule(body, "headerFrom"), Rule(body, "owned"))
    {
        IPv6Egress = body.Has("ipv6Egress") ? body.Text("ipv6Egress") ?? "default" : null,
    };

    private static DomainChange DomainChangeOf(RequestBody body) => new(
        body.Text("subscription"), TextOrNone(body, "ipv4"), TextOrNone(body, "ipv6"), Rule(body, "sender"), Rule(body, "headerFrom"), Rule(body, "owned"));

    /// <summary>A field that is null takes the value away; one that is missing leaves it.</summary>
    private static string? TextOrNone(RequestBody body, string name) => body.Has(name) ? body.Text(name) ?? "none" : null;

    /// <summary>A sender rule that is null, or "inherit", is what is in force above; one that is missing stays.</summary>
    private static string? Rule(RequestBody body, string name) => body.Has(name) ? body.Text(name) ?? AccountNames.Inherit : null;

    private static JsonObject Json(PlanView plan) => new() { ["name"] = plan.Name, ["suspended"] = plan.IsSuspended };

    private static JsonObject Json(SubscriptionView s) => new()
    {
        ["name"] = s.Name,
        ["plan"] = s.Plan,
        ["ipv4"] = s.IPv4,
        ["ipv6"] = s.IPv6,
        ["contact"] = s.Contact,
        ["sender"] = Word(s.SenderMode),
        ["headerFrom"] = Word(s.HeaderFrom),
        ["owned"] = Word(s.Owned),
        ["inForce"] = Json(s.InForce),
        ["firstDomain"] = s.FirstDomain,
        ["ipv6Egress"] = s.IPv6Egress is { } on ? on ? "on" : "off" : null,
        ["systemUsers"] = new JsonArray([.. s.SystemUsers.Select(u => (JsonNode)new JsonObject { ["uid"] = u.Uid, ["name"] = u.Name, ["shared"] = u.IsShared })]),
        ["suspended"] = s.IsSuspended,
    };

    private static JsonObject Json(DomainView d) => new()
    {
        ["name"] = d.Name,
        ["subscription"] = d.Subscription,
        ["ipv4"] = d.IPv4,
        ["ipv6"] = d.IPv6,
        ["sender"] = Word(d.SenderMode),
        ["headerFrom"] = Word(d.HeaderFrom),
        ["owned"] = Word(d.Owned),
        ["inForce"] = Json(d.InForce),
        ["suspended"] = d.IsSuspended,
    };

    private static JsonObject Json(MailboxView m)
    {
        var json = new JsonObject
        {
            ["name"] = m.Address,
            ["domain"] = m.Domain,
            ["subscription"] = m.Subscription,
            ["hasPassword"] = m.HasPassword,
            ["passwordSetAt"] = AdminJson.TimeOrNull(m.PasswordSetAt),
            ["aliases"] = new JsonArray([.. m.Aliases.Select(static alias => (JsonNode)alias)]),
            ["suspended"] = m.IsSuspended,
        };
        if (m.Use is { } use)
            AdminJson.Add(json, use);
        return json;
    }

    /// <summary>What applies to senders, with where it was set; told where one object is shown.</summary>
    private static JsonObject? Json(SenderRulesView? rules) => rules is null ? null : new JsonObject
    {
        ["sender"] = new JsonObject { ["login"] = Json(rules.Login.Sender), ["local"] = Json(rules.Local), ["network"] = Json(rules.Network) },
        ["headerFrom"] = Json(rules.Login.HeaderFrom),
        ["owned"] = Json(rules.Login.Owned),
    };

    private static JsonObject Json<T>(Ruled<T> rule)
        where T : struct, Enum => new() { ["value"] = AdminJson.Word(rule.Value), ["origin"] = rule.Origin };

    private static string? Word<T>(T? value)
        where T : struct, Enum => value is { } set ? AdminJson.Word(set) : null;

    private static JsonObject Json(NetworkView n) => new()
    {
        ["cidr"] = n.Cidr,
        ["subscription"] = n.Subscription,
        ["exemptFromLimits"] = n.IsExemptFromLimits,
        ["trustAll"] = n.TrustsAll,
    };

    private static JsonObject Json(DkimKeyView k) => new()
    {
        ["domain"] = k.Domain,
        ["selector"] = k.Selector,
        ["bits"] = k.Bits,
        ["createdAt"] = AdminJson.Time(k.CreatedAt),
        ["dnsName"] = k.DnsName,
        ["dnsValue"] = k.DnsText,
        ["zoneLine"] = k.ZoneLine,
    };
}
