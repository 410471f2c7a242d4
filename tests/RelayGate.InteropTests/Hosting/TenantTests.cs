using System.Text.Json.Nodes;
using RelayGate.InteropTests.Infrastructure;

namespace RelayGate.InteropTests.Hosting;

/// <summary>The system user of a subscription at the control socket: it reads what is its own, page by page, and learns of nobody else.</summary>
public sealed class TenantTests
{
    private const string User = "www-data";
    private const string OtherUser = "64217";

    /// <summary>Everything that a user may read. What is added to the API belongs here, or below.</summary>
    private static readonly string[] OwnRoutes =
        ["senders", "senders?domain=shop.test", "senders?subscription=acme", "uids", "audit", "notices", "scripts", "messages", "queue", "limits/tree", "limits?level=domain&name=shop.test", "reports"];

    private static readonly string[] ForAdministrators =
    [
        "status", "doctor", "plans", "subscriptions", "subscriptions/acme", "domains", "mailboxes", "addresses", "networks", "dkim", "settings", "webhooks", "reports/schedules",
        "queue/suspended", "routes", "paces", "egress-states", "rules", "limits?level=server", "limits?level=plan&name=basic", "limits/tree?level=server", "limits/tree?level=plan&name=basic", "reports?level=server",
    ];

    private static readonly string[] OfAnother =
    [
        "senders?subscription=beta", "senders/b-cron", "messages?subscription=beta", "queue?subscription=beta", "scripts?subscription=beta", "limits?level=subscription&name=beta",
        "limits?level=domain&name=blog.test", "limits?level=mailbox&name=info@blog.test", "limits/tree?level=subscription&name=beta", "limits?level=domain&name=nobody.test",
        "reports?level=subscription&name=beta",
    ];

    [InteropFact(Programs.Root, "setpriv", "curl")]
    public async Task A_subscriptions_user_reads_its_own_to_the_last_page_and_nothing_of_another()
    {
        await using GatewayProcess gateway = new("smtp://127.0.0.1:9"); // Nobody is there: what is sent stays in the queue.
        await gateway.StartAsync();
        await gateway.AddShopAsync("--system-user", User);
        await gateway.CliAsync("subscription", "add", "beta", "--plan", "basic", "--system-user", "#" + OtherUser, "--contact", "owner@blog.test");
        await gateway.CliAsync("domain", "add", "blog.test", "--subscription", "beta");
        await gateway.AddMailboxAsync("info@blog.test", GatewayProcess.Password);
        foreach ((string name, string domain) in new[] { ("a-cron", "shop.test"), ("b-cron", "blog.test"), ("c-cron", "blog.test"), ("d-cron", "shop.test"), ("e-cron", "blog.test") })
            await gateway.CliAsync("sender", "create", name, "--domain", domain);
        string news = (string)(await GetAsync(gateway, "messages/news"))["nextCursor"]!;
        foreach (string subscription in new[] { "beta", "acme", "beta" })
        {
            await gateway.CliAsync("subscription", "suspend", subscription);
            await gateway.CliAsync("subscription", "resume", subscription);
            await SendmailAsync(gateway, subscription);
        }

        foreach (string route in OwnRoutes)
        {
            string told = await AllPagesAsync(gateway, route);
            Assert.True(told.Contains("acme", StringComparison.Ordinal) || told.Contains("shop.test", StringComparison.Ordinal), $"{route}: nothing of its own\n{told}");
            foreach (string foreign in new[] { "beta", "blog.test", "b-cron", "c-cron", "e-cron", OtherUser })
                Assert.False(told.Contains($"\"{foreign}", StringComparison.Ordinal) || told.Contains(foreign + '"', StringComparison.Ordinal), $"{route} names {foreign}\n{told}");
        }
        Assert.Single((await GetAsync(gateway, $"messages/news?cursor={news}"))["items"]!.AsArray());
        foreach (string route in ForAdministrators)
            Assert.Equal(403, (int?)(await GetAsync(gateway, route))["status"]);
        JsonNode refused = await GetAsync(gateway, "limits", "--request", "PUT", "--data", """{"level":"domain","name":"shop.test","value":"9999/h"}""");
        Assert.Equal(403, (int?)refused["status"]);
        foreach (string route in OfAnother)
        {
            JsonNode answer = await GetAsync(gateway, route);
            Assert.True((int?)answer["status"] == 404 || answer["items"] is JsonArray { Count: 0 }, $"{route}: {answer.ToJsonString()}");
        }
    }

    [InteropFact(Programs.Root, "setpriv")]
    public async Task A_user_reads_its_own_limits_by_command_and_that_a_plan_stops_it_without_the_plans_figures()
    {
        await using GatewayProcess gateway = new("smtp://127.0.0.1:9");
        await gateway.StartAsync();
        await gateway.AddShopAsync("--system-user", User);
        await gateway.CliAsync("limit", "set", "plan", "basic", "1/h");
        await SendmailAsync(gateway, "acme");

        string shown = (await AsUserAsync(gateway, "limit", "show", "subscription", "acme")).ShouldSucceed().Output;
        string tree = (await AsUserAsync(gateway, "limit", "tree")).ShouldSucceed().Output;

        Assert.Contains("(plan basic)", shown, StringComparison.Ordinal);
        Assert.DoesNotContain("1/h", shown, StringComparison.Ordinal);
        Assert.Contains("mailbox info@shop.test", tree, StringComparison.Ordinal);
        Assert.DoesNotContain("server", tree, StringComparison.Ordinal);
        (await AsUserAsync(gateway, "limit", "set", "subscription", "acme", "9/h")).ShouldExit(4);
    }

    /// <summary>Of the orders for queued mail a subscription's user may give two, and they reach what is its own alone, whatever is looked for.</summary>
    [InteropFact(Programs.Root, "setpriv", "curl")]
    public async Task A_subscriptions_user_sees_retries_and_deletes_its_own_queued_mail_and_orders_nothing_else()
    {
        await using GatewayProcess gateway = new("smtp://127.0.0.1:9");
        gateway.Settings["Delivery"]!["Retry"] = new JsonObject { ["First"] = "00:30:00" }; // What is due by itself is not there to be retried.
        await gateway.StartAsync();
        await gateway.AddShopAsync("--system-user", User);
        await gateway.CliAsync("subscription", "add", "beta", "--plan", "basic", "--system-user", "#" + OtherUser);
        await gateway.CliAsync("domain", "add", "blog.test", "--subscription", "beta");
        foreach (string subscription in new[] { "acme", "beta", "acme", "beta" })
            await SendmailAsync(gateway, subscription);
        await UntilAttemptedAsync(4);
        string[] own = await RefsAsync("acme"), foreign = await RefsAsync("beta");
        Assert.Equal((2, 2), (own.Length, foreign.Length));

        Assert.Equal(own.Order(), (await GetAsync(gateway, "queue"))["items"]!.AsArray().Select(static i => (string)i!["ref"]!).Order());
        Assert.Equal(own[0], (string?)(await GetAsync(gateway, $"queue/{own[0]}"))["ref"]);
        Assert.Equal(404, (int?)(await GetAsync(gateway, $"queue/{foreign[0]}"))["status"]);
        Assert.Equal(404, (int?)(await GetAsync(gateway, $"queue/{foreign[0]}/content"))["status"]);
        foreach (string order in new[] { "hold", "release", "bounce", "rebind", "requeue", "flush" })
            Assert.Equal(403, (int?)(await PostAsync($"queue/{order}", $$"""{"refs":["{{own[0]}}"]}"""))["status"]);
        foreach (string order in new[] { "suspend", "resume" })
            Assert.Equal(403, (int?)(await PostAsync($"queue/{order}", """{"domain":"example.net"}"""))["status"]);
        foreach (string order in new[] { "retry", "delete" })
        {
            Assert.Equal(404, (int?)(await PostAsync($"queue/{order}", $$"""{"refs":["{{foreign[0]}}"]}"""))["status"]);
            Assert.Equal(404, (int?)(await PostAsync($"queue/{order}", """{"subscription":"beta"}"""))["status"]);
            Assert.Equal(0, (int?)(await PostAsync($"queue/{order}", """{"domain":"blog.test","dryRun":true}"""))["count"]);
            JsonNode counted = await PostAsync($"queue/{order}", """{"recipientDomain":"example.net","dryRun":true}""");
            Assert.True((int?)counted["count"] == 2, $"{order}: {counted.ToJsonString()} {await gateway.CliAsync("queue", "list")}");
        }
        Assert.Equal(1, (int?)(await PostAsync("queue/retry", $$"""{"refs":["{{own[0]}}"]}"""))["count"]);
        await UntilAttemptedAsync(5);

        JsonNode deleted = await PostAsync("queue/delete", """{"recipientDomain":"example.net"}""");
        Assert.True((int?)deleted["count"] == 2, deleted.ToJsonString());
        Assert.Empty(await RefsAsync("acme"));
        Assert.Equal(foreign.Order(), (await RefsAsync("beta")).Order());

        async Task UntilAttemptedAsync(int times) // What is in an attempt is left alone by some orders.
        {
            for (int i = 0; i < 50 && (await gateway.CliJsonAsync("queue", "list"))["items"]!.AsArray().Sum(static item => (int)item!["attempts"]!) < times; i++)
                await Task.Delay(100);
        }

        async Task<string[]> RefsAsync(string subscription) =>
            [.. (await gateway.CliJsonAsync("queue", "list", "--subscription", subscription))["items"]!.AsArray().Select(static i => (string)i!["ref"]!)];

        Task<JsonNode> PostAsync(string route, string body) => GetAsync(gateway, route, "--request", "POST", "--header", "Content-Type: application/json", "--data", body);
    }

    private static Task<ProgramResult> AsUserAsync(GatewayProcess gateway, params string[] arguments) =>
        new ProgramRun([.. HostedServer.As(User), Repository.ReadableGateway, .. arguments, "--socket", gateway.ControlSocket]).RunAsync();

    private static async Task SendmailAsync(GatewayProcess gateway, string subscription) =>
        await new ProgramRun([.. HostedServer.As(subscription == "acme" ? User : "#" + OtherUser), Repository.Sendmail, "-i", "ann@example.net"])
        {
            InputText = "Subject: hello\n\nhello\n",
            Environment = gateway.SendmailEnvironment,
        }.RunAsync();

    /// <summary>Every page of one item, as one text.</summary>
    private static async Task<string> AllPagesAsync(GatewayProcess gateway, string route)
    {
        string all = "", and = route.Contains('?', StringComparison.Ordinal) ? "&" : "?";
        JsonNode page = await GetAsync(gateway, $"{route}{and}limit=1");
        for (int pages = 0; pages < 50; pages++)
        {
            all += page.ToJsonString() + '\n';
            if ((string?)page["nextCursor"] is not { } cursor)
                return all;
            page = await GetAsync(gateway, $"{route}{and}limit=1&cursor={Uri.EscapeDataString(cursor)}");
        }
        throw new InvalidOperationException($"{route} does not end:\n{all}");
    }

    private static async Task<JsonNode> GetAsync(GatewayProcess gateway, string route, params string[] more)
    {
        ProgramResult result = await new ProgramRun(
            [.. HostedServer.As(User), "curl", "--silent", "--show-error", "--unix-socket", gateway.ControlSocket, .. more, "http://relaygate/api/v1/" + route]).RunAsync();
        return JsonNode.Parse(result.ShouldSucceed().Output)!;
    }
}
