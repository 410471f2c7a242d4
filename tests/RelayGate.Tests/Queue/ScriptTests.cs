using System.Net;
using System.Net.Http.Json;
using System.Net.Sockets;
using System.Text.Json.Nodes;
using RelayGate.Accounts;
using RelayGate.Core.Policy;
using RelayGate.Queue;
using RelayGate.Tests.Delivery;
using RelayGate.Tests.Fakes;
using RelayGate.Tests.Submission;

namespace RelayGate.Tests.Queue;

/// <summary>Local mail by script: counted, listed, held by block and let go again, through a whole gateway.</summary>
public sealed class ScriptTests : IAsyncLifetime
{
    private static readonly string Uid = SubmissionHost.Uid.ToString(System.Globalization.CultureInfo.InvariantCulture);

    private TestGateway _gateway = null!;
    private HttpClient _api = null!;

    public async Task InitializeAsync()
    {
        _gateway = await TestGateway.StartAsync(configure: options => options.Scripts.BurstMessages = 5);
        _api = _gateway.Control();
        AccountAdministration accounts = _gateway.Get<AccountAdministration>();
        await _gateway.Get<QueueWriter>().WriteAsync(db => db.Execute("delete from system_user"));
        Assert.True((await accounts.AddSubscriptionAsync("acme", new SubscriptionChange(SystemUsers: [$"#{Uid}"]), default)).IsOk);
        Assert.True((await accounts.AddDomainAsync("shop.test", new DomainChange(Subscription: "acme"), default)).IsOk);
    }

    public async Task DisposeAsync()
    {
        _api.Dispose();
        await _gateway.DisposeAsync();
    }

    [Fact]
    public async Task Messages_recipients_and_refusals_are_counted_by_script()
    {
        await SendAsync("contact.php", "ann@example.net", "bob@example.net");
        await SendAsync("contact.php", "ann@example.net");
        await SendAsync("news.php", "ann@example.net");
        Assert.True((await _gateway.Get<AccountAdministration>().SetLimitAsync(new AccountKey(Level.Subscription, "acme"), null, "1/h", null, default)).IsOk);
        await using (TestClient client = await ConnectAsync())
        {
            await client.CommandAsync($"XCLAIM PHP={Uid}:contact.php SCRIPT=/var/www/contact.php", "250");
            for (int i = 0; i < 25; i++) // The last of them are merged into one record.
                await client.CommandAsync("MAIL FROM:<info@shop.test>", "451");
        }

        JsonArray items = await ListAsync();
        Assert.Equal(["contact.php", "news.php"], items.Select(i => (string?)i!["script"]));
        Assert.Equal((2, 3, 25, 0, "/var/www/contact.php", "acme"), (
            (int)items[0]!["messages"]!, (int)items[0]!["recipients"]!, (int)items[0]!["refused"]!, (int)items[0]!["claimed"]!, (string?)items[0]!["path"], (string?)items[0]!["subscription"]));
        Assert.Empty(await ListAsync("?subscription=system"));
        Assert.Empty(await ListAsync("?uid=64999"));
    }

    [Fact]
    public async Task Pages_of_scripts_are_in_order_and_without_gaps()
    {
        for (int i = 0; i < 5; i++)
        {
            for (int n = 0; n <= i % 3; n++)
                await SendAsync($"s{i}.php", "ann@example.net");
        }
        var seen = new List<string>();
        string query = "?limit=2";
        while (query.Length > 0)
        {
            JsonNode page = (await _api.GetFromJsonAsync<JsonNode>("scripts" + query))!;
            seen.AddRange(page["items"]!.AsArray().Select(i => (string)i!["script"]!));
            query = (string?)page["nextCursor"] is { } cursor ? $"?limit=2&cursor={Uri.EscapeDataString(cursor)}" : "";
        }
        Assert.Equal(["s2.php", "s1.php", "s4.php", "s0.php", "s3.php"], seen);
    }

    [Fact]
    public async Task Scripts_beyond_a_bound_are_counted_together()
    {
        await using TestClient client = await ConnectAsync();
        for (int i = 0; i < ScriptBatch.MaxPerUid + 5; i++)
            Assert.StartsWith("250", await client.OfferAsync($"X-PHP-Originating-Script: {Uid}:s{i}.php\r\nFrom: info@shop.test\r\n\r\nx"), StringComparison.Ordinal);

        JsonArray items = await ListAsync("?limit=1000");
        Assert.Equal(ScriptBatch.MaxPerUid + 1, items.Count);
        Assert.Equal((ScriptKey.Others, 5), ((string?)items[0]!["script"], (int)items[0]!["messages"]!));
    }

    [Fact]
    public async Task Names_that_are_only_claimed_or_refused_crowd_nobody_out()
    {
        AccountAdministration accounts = _gateway.Get<AccountAdministration>();
        var acme = new AccountKey(Level.Subscription, "acme");
        await using (TestClient client = await ConnectAsync())
        {
            for (int i = 0; i < ScriptBatch.MaxPerUid; i++)
            {
                await client.CommandAsync($"XCLAIM SCRIPT=/x/made-up-{i}.php", "250");
                Assert.StartsWith("250", await client.OfferAsync("From: info@shop.test\r\n\r\nx"), StringComparison.Ordinal);
            }
            Assert.True((await accounts.SetLimitAsync(acme, null, "1/h", null, default)).IsOk);
            for (int i = 0; i < 5; i++)
            {
                await client.CommandAsync($"XCLAIM PHP={Uid}:refused-{i}.php", "250");
                await client.CommandAsync("MAIL FROM:<info@shop.test>", "451");
            }
        }
        Assert.True((await accounts.SetLimitAsync(acme, null, "unlimited", null, default)).IsOk);
        await SendAsync("contact.php", "ann@example.net");

        JsonArray items = await ListAsync("?limit=1000");
        Assert.Equal(ScriptBatch.MaxWeakPerUid, items.Count(i => ((string)i!["script"]!).StartsWith("made-up", StringComparison.Ordinal)));
        Assert.Equal((ScriptKey.Others, ScriptBatch.MaxPerUid - ScriptBatch.MaxWeakPerUid, 5), ((string?)items[0]!["script"], (int)items[0]!["messages"]!, (int)items[0]!["refused"]!));
        Assert.Contains(items, i => (string?)i!["script"] == "contact.php");
    }

    [Fact]
    public async Task A_blocked_script_is_held_while_the_rest_of_the_site_goes_on()
    {
        await SendAsync("contact.php", "before@example.net");
        await OrderAsync("block", "contact.php");

        Assert.StartsWith("250 2.0.0 Held: mail of contact.php is held", await SendAsync("contact.php", "ann@example.net"), StringComparison.Ordinal);
        Assert.StartsWith("250 2.0.0 Held", await SendAsync("contact.php(3) : eval()'d code", "ann@example.net"), StringComparison.Ordinal);
        Assert.StartsWith("250 2.0.0 Queued", await SendAsync("shop.php", "ann@example.net"), StringComparison.Ordinal);
        Assert.StartsWith("250 2.0.0 Queued", await SendAsync(null, "ann@example.net"), StringComparison.Ordinal); // A program that is not PHP.
        Assert.StartsWith("250 2.0.0 Held", await SendAsAsync("64999", "contact.php", "ann@example.net"), StringComparison.Ordinal); // A forged uid is no way out.
        await DeliveryGateway.UntilAsync(async () => await HeldAsync() == 4); // The one from before as well.
        JsonNode view = (await _api.GetFromJsonAsync<JsonNode>($"scripts/{Uid}/contact.php"))!;
        Assert.Equal((4, 3, 1), ((int)view["waiting"]!, (int)view["usage"]!["held"]!, (int)view["usage"]!["messages"]!));
        Assert.Equal(3, await UsedAsync()); // What went on: before, shop.php, the program.

        await OrderAsync("unblock", "contact.php");

        await DeliveryGateway.UntilAsync(async () => await HeldAsync() == 0);
        await DeliveryGateway.UntilAsync(async () => await UsedAsync() == 6); // What was held when it came counts now, and what had counted does not again.
        JsonNode contact = (await ListAsync()).Single(i => (string?)i!["script"] == "contact.php")!;
        Assert.Equal((4, 4, 3), ((int)contact["messages"]!, (int)contact["recipients"]!, (int)contact["held"]!));
        Assert.StartsWith("250 2.0.0 Queued", await SendAsync("contact.php", "ann@example.net"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_claimed_name_is_no_way_out_of_a_block()
    {
        await SendClaimedAsync("other.php"); // Queued; its commit says that the name is only claimed.
        await OrderAsync("block", "contact.php");

        Assert.StartsWith("250 2.0.0 Held", await SendClaimedAsync("other.php"), StringComparison.Ordinal);
        await DeliveryGateway.UntilAsync(async () => await HeldAsync() == 2);

        await OrderAsync("unblock", "contact.php");
        await DeliveryGateway.UntilAsync(async () => await HeldAsync() == 0);
    }

    [Fact]
    public async Task All_mail_of_a_uid_can_be_held()
    {
        await OrderAsync("block", "*");
        Assert.StartsWith("250 2.0.0 Held", await SendAsync("a.php", "ann@example.net"), StringComparison.Ordinal);
        Assert.StartsWith("250 2.0.0 Held", await SendAsync(null, "ann@example.net"), StringComparison.Ordinal);

        await OrderAsync("block", "a.php");
        await OrderAsync("unblock", "*");

        await DeliveryGateway.UntilAsync(async () => await HeldAsync() == 1); // The block of a.php alone is left.
        Assert.Contains(await ListAsync(), i => (string?)i!["script"] == "a.php" && (bool)i["isBlocked"]!);
    }

    [Fact]
    public async Task Blocks_are_in_the_audit_list_and_bad_ones_are_refused()
    {
        await OrderAsync("block", "/var/www/shop/contact.php"); // By its path: PHP names the file alone.
        JsonArray audit = (await _api.GetFromJsonAsync<JsonNode>("audit"))!["items"]!.AsArray();
        Assert.Equal(("script block", $"script {Uid} contact.php", "acme"), ((string?)audit[0]!["what"], (string?)audit[0]!["object"], (string?)audit[0]!["subscription"]));

        Assert.Equal(HttpStatusCode.BadRequest, (await _api.PostAsJsonAsync("scripts/block", new { uid = Uid, script = "(others)" })).StatusCode);
        Assert.Equal(HttpStatusCode.NotFound, (await _api.PostAsJsonAsync("scripts/block", new { uid = "no such user", script = "x.php" })).StatusCode);
        Assert.Equal(HttpStatusCode.NotFound, (await _api.GetAsync($"scripts/{Uid}/never.php")).StatusCode);
    }

    [Fact]
    public async Task All_is_read_in_short_reads_and_a_subscription_reads_its_own_uids_alone()
    {
        DateTimeOffset now = TimeProvider.System.GetUtcNow();
        long hour = UsageHistory.HourOf(now);
        await _gateway.Get<QueueWriter>().WriteAsync(db =>
        {
            for (int i = 0; i < 300; i++)
            {
                db.Execute(
                    "insert into script_hour values ($1, $2, $3, $4, 1, 1, 0, 0, 0, null, $5, $5, 0)",
                    hour - (i % 7), i % 5 == 0 ? SubmissionHost.Uid : 70_000 + i, $"{i % 50}.php", i % 2 == 0 ? "acme" : "beta", now.ToUnixTimeMilliseconds());
            }
            return true;
        });
        var log = new ScriptLog(_gateway.Get<RelayGate.Storage.SqliteRelayStore>(), TimeProvider.System) { MaxRead = TimeSpan.Zero };

        async Task<(long, int)> SumAsync(string? subscription, bool isTenant)
        {
            ScriptPage page = (await log.ListAsync(DateTimeOffset.MinValue, subscription, null, 1000, null, default, isTenant))!;
            return (page.Items.Sum(static s => s.Messages), page.Items.Select(static s => s.Uid).Distinct().Count());
        }

        Assert.Equal((300, 241), await SumAsync(null, false));
        Assert.Equal((150, 121), await SumAsync("acme", false));
        Assert.Equal((30, 1), await SumAsync("acme", true));
        ScriptView view = (await log.ShowAsync(new ScriptKey(SubmissionHost.Uid, "0.php"), DateTimeOffset.MinValue, "acme", default))!;
        Assert.Equal(6, view.Usage!.Messages);
    }

    [Fact]
    public async Task A_time_before_1970_means_everything()
    {
        await SendAsync("contact.php", "ann@example.net");
        await ListAsync();

        JsonNode view = (await _api.GetFromJsonAsync<JsonNode>($"scripts/{Uid}/contact.php?since=0001-01-01T00:00:00Z"))!;
        Assert.Equal((1, 1), ((int)view["usage"]!["messages"]!, view["messages"]!.AsArray().Count));
        Assert.Single((await _api.GetFromJsonAsync<JsonNode>("messages?since=1752-03-01T00:00:00Z"))!["items"]!.AsArray());
    }

    [Fact]
    public async Task A_burst_is_told_once()
    {
        var bursts = new List<ScriptBurst>();
        _gateway.Get<QueueWriter>().ScriptBurst += burst =>
        {
            lock (bursts)
                bursts.Add(burst);
        };
        for (int i = 0; i < 12; i++)
            await SendAsync("spam.php", "ann@example.net");
        for (int i = 0; i < 4; i++)
            await SendAsync("shop.php", "ann@example.net");
        await _gateway.Get<QueueWriter>().WriteAsync(_ => true);

        lock (bursts)
        {
            ScriptBurst burst = Assert.Single(bursts);
            Assert.Equal((new ScriptKey(SubmissionHost.Uid, "spam.php"), "acme", 6, 0), (burst.Key, burst.Subscription, burst.Messages, burst.Usual));
        }
        JsonArray notices = [];
        await DeliveryGateway.UntilAsync(async () => (notices = (await _api.GetFromJsonAsync<JsonNode>("notices?event=script-burst"))!["items"]!.AsArray()).Count > 0);
        JsonNode notice = Assert.Single(notices)!;
        Assert.Equal(($"{Uid} spam.php", "acme", 6), ((string?)notice["name"], (string?)notice["subscription"], (int?)notice["used"]));
        Assert.NotNull(notice["mails"]![0]!["ref"]); // Its mail is in the queue.
    }

    [Fact]
    public async Task What_is_sent_under_ever_new_names_is_a_burst_of_the_uid()
    {
        var bursts = new System.Collections.Concurrent.ConcurrentQueue<ScriptBurst>();
        _gateway.Get<QueueWriter>().ScriptBurst += bursts.Enqueue;
        for (int i = 0; i < 8; i++)
            await SendAsync($"{i}.php", "ann@example.net");
        await _gateway.Get<QueueWriter>().WriteAsync(_ => true);

        ScriptBurst burst = Assert.Single(bursts);
        Assert.Equal((new ScriptKey(SubmissionHost.Uid, ScriptKey.Any), "acme", 6), (burst.Key, burst.Subscription, burst.Messages));
    }

    private async Task<TestClient> ConnectAsync() => await TestClient.GreetAsync(new UnixDomainSocketEndPoint(_gateway.SubmitSocket));

    private Task<string> SendAsync(string? script, params string[] recipients) => SendAsAsync(Uid, script, recipients);

    private async Task<string> SendAsAsync(string uid, string? script, params string[] recipients)
    {
        await using TestClient client = await ConnectAsync();
        string field = script is null ? "" : $"X-PHP-Originating-Script: {uid}:{script}\r\n";
        return await client.OfferAsync($"{field}From: info@shop.test\r\nSubject: x\r\n\r\nx", "info@shop.test", recipients);
    }

    /// <summary>Mail without a field of PHP's, whose client claims a script.</summary>
    private async Task<string> SendClaimedAsync(string script)
    {
        await using TestClient client = await ConnectAsync();
        await client.CommandAsync($"XCLAIM SCRIPT=/var/www/{script}", "250");
        return await client.OfferAsync("From: info@shop.test\r\n\r\nx", "info@shop.test", "ann@example.net");
    }

    private async Task<JsonArray> ListAsync(string query = "")
    {
        await _gateway.Get<QueueWriter>().WriteAsync(_ => true);
        return (await _api.GetFromJsonAsync<JsonNode>("scripts" + query))!["items"]!.AsArray();
    }

    private async Task OrderAsync(string verb, string script)
    {
        HttpResponseMessage answer = await _api.PostAsJsonAsync($"scripts/{verb}", new { uid = Uid, script });
        Assert.True(answer.IsSuccessStatusCode, await answer.Content.ReadAsStringAsync());
    }

    private async Task<int> HeldAsync() => (await _api.GetFromJsonAsync<JsonNode>("queue?state=held"))!["items"]!.AsArray().Count;

    /// <summary>What has counted at the subscription within the hour.</summary>
    private async Task<long> UsedAsync() => (await _api.GetFromJsonAsync<JsonNode>("limits?level=subscription&name=acme"))!["items"]!.AsArray()
        .Where(static i => (string?)i!["object"] == "subscription acme").Max(static i => (long?)i!["used"] ?? 0);
}
