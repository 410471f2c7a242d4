using System.Net.Http.Json;
using System.Text.Json.Nodes;
using RelayGate.Accounts;
using RelayGate.Core.Policy;
using RelayGate.Queue;
using RelayGate.Storage;
using RelayGate.Tests.Fakes;

namespace RelayGate.Tests.Admin;

/// <summary>The audit list: every change by hand leaves a row with who, what, before and after, and never a secret.</summary>
public sealed class AuditTests
{
    [Fact]
    public async Task Every_change_over_the_api_leaves_one_row_with_before_and_after()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        using HttpClient control = gateway.Control();

        await ChangeAsync(HttpMethod.Post, "plans", new { name = "basic" });
        await ChangeAsync(HttpMethod.Post, "subscriptions", new { name = "acme", plan = "basic" });
        await ChangeAsync(HttpMethod.Patch, "subscriptions/acme", new { ipv4 = "192.0.2.11" });
        await ChangeAsync(HttpMethod.Post, "domains", new { name = "shop.test", subscription = "acme" });
        await ChangeAsync(HttpMethod.Patch, "domains/shop.test", new { sender = "reject" });
        await ChangeAsync(HttpMethod.Post, "mailboxes", new { name = "info@shop.test", password = "secret-7" });
        await ChangeAsync(HttpMethod.Patch, "mailboxes/info@shop.test", new { password = "secret-8" });
        await ChangeAsync(HttpMethod.Post, "mailboxes/info@shop.test/suspend", null);
        await ChangeAsync(HttpMethod.Post, "mailboxes/info@shop.test/resume", null);
        await ChangeAsync(HttpMethod.Put, "limits", new { level = "mailbox", name = "info@shop.test", value = "25/h" });
        await ChangeAsync(HttpMethod.Put, "limits", new { level = "plan", name = "basic", each = "mailbox", value = "50/h", over = "reject" });
        await ChangeAsync(HttpMethod.Delete, "limits?level=mailbox&name=info%40shop.test", null);
        await ChangeAsync(HttpMethod.Put, "settings/Limits:Enforce", new { value = "false" });
        await ChangeAsync(HttpMethod.Delete, "settings/Limits:Enforce", null);
        await ChangeAsync(HttpMethod.Post, "networks", new { cidr = "192.0.2.0/24", subscription = "acme", exemptFromLimits = true });
        await ChangeAsync(HttpMethod.Delete, "networks/192.0.2.0%2F24", null);
        await ChangeAsync(HttpMethod.Post, "addresses", new { address = "192.0.2.12" });
        await ChangeAsync(HttpMethod.Patch, "addresses/192.0.2.12", new { shared = true });
        await ChangeAsync(HttpMethod.Delete, "addresses/192.0.2.12", null);
        await ChangeAsync(HttpMethod.Post, "dkim", new { domain = "shop.test", selector = "s1" });
        await ChangeAsync(HttpMethod.Delete, "dkim/shop.test?selector=s1", null);
        await ChangeAsync(HttpMethod.Delete, "mailboxes/info@shop.test", null);
        await ChangeAsync(HttpMethod.Delete, "domains/shop.test", null);
        await ChangeAsync(HttpMethod.Delete, "subscriptions/acme", null);
        await ChangeAsync(HttpMethod.Delete, "plans/basic", null);

        JsonObject[] rows = await RowsAsync("audit");
        Assert.Equal(
            [
                "add plan basic:  -> plain",
                "add subscription acme:  -> plan=basic",
                "set subscription acme: plan=basic -> plan=basic ipv4=192.0.2.11",
                "add domain shop.test:  -> subscription=acme",
                "set domain shop.test: subscription=acme -> subscription=acme sender=reject",
                "add mailbox info@shop.test:  -> password=set",
                "set mailbox info@shop.test: password=set -> password=changed",
                "suspend mailbox info@shop.test: active -> suspended",
                "resume mailbox info@shop.test: suspended -> active",
                "limit set mailbox info@shop.test:  -> 25/h over=refuse",
                "limit set --each mailbox plan basic:  -> 50/h over=reject",
                "limit unset mailbox info@shop.test: 25/h over=refuse -> ",
                "set setting Limits:Enforce: true -> false",
                "unset setting Limits:Enforce: false -> true",
                "add network 192.0.2.0/24:  -> subscription=acme exempt-from-limits",
                "remove network 192.0.2.0/24: subscription=acme exempt-from-limits -> ",
                "add ip 192.0.2.12:  -> helo=relay.test",
                "set ip 192.0.2.12: helo=relay.test -> helo=relay.test shared",
                "remove ip 192.0.2.12: helo=relay.test shared -> ",
                "dkim create domain shop.test:  -> selector=s1 bits=2048",
                "dkim remove domain shop.test: selector=s1 bits=2048 -> ",
                "remove mailbox info@shop.test: password=set -> ",
                "remove domain shop.test: subscription=acme sender=reject -> ",
                "remove subscription acme: plan=basic ipv4=192.0.2.11 -> ",
                "remove plan basic: plain -> ",
            ],
            rows.Reverse().Select(static r => $"{r["what"]} {r["object"]}: {r["before"]} -> {r["after"]}"));
        Assert.All(rows, static r => Assert.StartsWith("uid ", (string)r["by"]!, StringComparison.Ordinal));
        Assert.DoesNotContain(rows, static r => r.ToJsonString().Contains("secret", StringComparison.Ordinal) || r.ToJsonString().Contains("PRIVATE", StringComparison.Ordinal));
        Assert.Equal(6, (await RowsAsync("audit?object=mailbox%20info%40shop.test")).Count(static r => (string)r["what"]! is "add" or "set" or "suspend" or "resume" or "limit set" or "remove"));

        async Task ChangeAsync(HttpMethod method, string path, object? body)
        {
            using var request = new HttpRequestMessage(method, path);
            request.Content = body is null ? null : JsonContent.Create(body);
            using HttpResponseMessage response = await control.SendAsync(request);
            Assert.True(response.IsSuccessStatusCode, $"{method} {path}: {await response.Content.ReadAsStringAsync()}");
        }

        async Task<JsonObject[]> RowsAsync(string path) =>
            [.. JsonNode.Parse(await control.GetStringAsync(path))!["items"]!.AsArray().Select(static i => i!.AsObject())];
    }

    [Fact]
    public async Task Pages_follow_each_other_and_a_change_that_failed_leaves_no_row()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        AccountAdministration accounts = gateway.Get<AccountAdministration>();
        for (int i = 0; i < 5; i++)
            Assert.True((await accounts.AddPlanAsync($"p{i}", default, "uid 7")).IsOk);
        Assert.False((await accounts.AddPlanAsync("p0", default, "uid 7")).IsOk);

        var seen = new List<string>();
        string? after = null;
        do
        {
            Page<AuditEntry> page = (await accounts.ListAuditAsync(null, null, default, after, 2, default)).Value!;
            seen.AddRange(page.Items.Select(static e => e.Target));
            after = page.Next;
        }
        while (after is not null);

        Assert.Equal(["plan p4", "plan p3", "plan p2", "plan p1", "plan p0"], seen);
        Assert.Equal(AdminErrorKind.Invalid, (await accounts.ListAuditAsync(null, null, default, "x", 2, default)).Error?.Kind);
    }

    [Fact]
    public async Task A_subscriptions_user_sees_only_what_was_changed_of_it()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        AccountAdministration accounts = gateway.Get<AccountAdministration>();
        await accounts.AddSubscriptionAsync("acme", new SubscriptionChange(), default);
        await accounts.AddSubscriptionAsync("rival", new SubscriptionChange(), default);
        await accounts.AddDomainAsync("shop.test", new DomainChange(Subscription: "acme"), default);
        await accounts.SetLimitAsync(AccountKey.Server, null, "1000/h", null, default);

        Page<AuditEntry> page = (await accounts.ListAuditAsync(null, "acme", default, null, 100, default)).Value!;

        Assert.Equal(["domain shop.test", "subscription acme"], page.Items.Select(static e => e.Target));
    }

    [Fact]
    public async Task Old_rows_go_with_the_retention()
    {
        var time = new ManualTimeProvider();
        await using TestGateway gateway = await TestGateway.StartAsync(time: time);
        AccountAdministration accounts = gateway.Get<AccountAdministration>();
        await accounts.AddPlanAsync("old", default);
        time.Advance(TimeSpan.FromDays(32));
        await accounts.AddPlanAsync("new", default);

        Task<MaintenanceResult> round = gateway.Get<Maintenance>().RunOnceAsync(default);
        while (!round.IsCompleted)
        {
            time.Advance(TimeSpan.FromSeconds(1)); // Its pauses.
            await Task.Yield();
        }

        await round; // The gateway's own may have been first.
        Assert.Equal(["plan new"], (await accounts.ListAuditAsync(null, null, default, null, 100, default)).Value!.Items.Select(static e => e.Target));
    }

    [Fact]
    public async Task A_long_text_is_cut()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        AccountAdministration accounts = gateway.Get<AccountAdministration>();
        await accounts.AddPlanAsync("basic", default, new string('x', 2000));

        string by = (await accounts.ListAuditAsync(null, null, default, null, 1, default)).Value!.Items[0].By;

        Assert.Equal((AuditRows.MaxText, '…'), (by.Length, by[^1]));
    }
}
