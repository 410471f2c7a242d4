using System.Net;
using System.Text;
using System.Text.Json.Nodes;
using RelayGate.Accounts;
using RelayGate.Tests.Fakes;
using RelayGate.Tests.Submission;

namespace RelayGate.Tests.Reports;

/// <summary>The verbs' API over the control socket.</summary>
public sealed class ReportApiTests
{
    [Fact]
    public async Task Reports_have_the_period_of_the_settings_and_the_formats_that_are_asked_for()
    {
        await using TestGateway gateway = await StartAsync();
        using HttpClient api = gateway.Control();

        Assert.Equal("day", (string?)(await GetAsync(api, "reports"))["period"]);
        await PutAsync(api, "settings/Reports:Period", new JsonObject { ["value"] = "week" });
        JsonNode week = await GetAsync(api, "reports?level=domain&name=shop.test");

        Assert.Equal(("week", "domain shop.test"), ((string?)week["period"], (string?)week["object"]));
        Assert.Equal(1, (int)week["sections"]!["totals"]!["rows"]![0]!["messages"]!);
        Assert.StartsWith("RelayGate relay.test: the server, one week", (string?)(await GetAsync(api, "reports?format=text"))["content"], StringComparison.Ordinal);
        Assert.StartsWith("<!DOCTYPE html>", (string?)(await GetAsync(api, "reports?format=html"))["content"], StringComparison.Ordinal);
        Assert.StartsWith("begin,end,object,section,", (string?)(await GetAsync(api, "reports?format=csv"))["content"], StringComparison.Ordinal);
        JsonNode yesterday = await GetAsync(api, "reports?period=day&end=2020-02-29");
        Assert.Equal("2020-03-01T00:00:00Z", (string?)yesterday["end"]);
        JsonNode status = await GetAsync(api, "status");
        Assert.Equal((1, "week"), ((int)status["period"]!["messages"]!, (string?)status["period"]!["period"]));
    }

    [Theory]
    [InlineData("reports?format=pdf", 400, "one of text, html, csv, json is expected")]
    [InlineData("reports?end=soon", 400, "a day such as 2026-01-31")]
    [InlineData("reports?top=1001", 400, "a number from 1 to 1000 is expected")]
    [InlineData("reports?level=domain&name=nowhere.test", 404, "There is no domain nowhere.test here")]
    public async Task What_is_wrong_is_said(string path, int status, string says)
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        using HttpClient api = gateway.Control();

        using HttpResponseMessage response = await api.GetAsync(new Uri(path, UriKind.Relative));

        Assert.Equal(status, (int)response.StatusCode);
        Assert.Contains(says, await response.Content.ReadAsStringAsync(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Others_than_administrators_are_given_what_is_their_subscriptions_alone()
    {
        await using TestGateway gateway = await StartAsync();
        AccountAdministration accounts = gateway.Get<AccountAdministration>();

        ReportTarget own = (await accounts.FindReportTargetAsync(null, "acme", default)).Value!;
        Assert.Equal("subscription acme", own.Key.ToString());
        Assert.True((await accounts.FindReportTargetAsync(new(Core.Policy.Level.Mailbox, "info@shop.test"), "acme", default)).IsOk);
        foreach ((Core.Policy.Level level, string name) in new[]
        {
            (Core.Policy.Level.Subscription, "globex"), (Core.Policy.Level.Domain, "news.test"), (Core.Policy.Level.Domain, "nowhere.test"), (Core.Policy.Level.Plan, "basic"),
            (Core.Policy.Level.Server, ""),
        })
        {
            AdminResult<ReportTarget> other = await accounts.FindReportTargetAsync(new(level, name), "acme", default);
            Assert.Equal(AdminErrorKind.NotFound, other.Error?.Kind);
            Assert.EndsWith("in subscription acme", other.Error!.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task A_schedule_wants_a_receiver_and_an_owner_only_where_there_is_one()
    {
        await using TestGateway gateway = await StartAsync();
        using HttpClient api = gateway.Control();

        await RefusedAsync(api, new JsonObject { ["period"] = "day" }, HttpStatusCode.BadRequest, "say to whom it is sent");
        await RefusedAsync(api, new JsonObject { ["period"] = "day", ["to"] = "nobody" }, HttpStatusCode.BadRequest, "an address such as");
        await RefusedAsync(api, new JsonObject { ["period"] = "day", ["toOwner"] = true }, HttpStatusCode.BadRequest, "the server has no owner");
        await RefusedAsync(api, new JsonObject { ["period"] = "day", ["to"] = "a@b.test", ["at"] = "25:00" }, HttpStatusCode.BadRequest, "a time of day in UTC");
        await RefusedAsync(api, new JsonObject { ["period"] = "day", ["toOwner"] = true, ["level"] = "subscription", ["name"] = "globex" }, HttpStatusCode.Conflict, "has no contact");
        using HttpResponseMessage added = await api.PostAsync(
            new Uri("reports/schedules", UriKind.Relative), Content(new JsonObject { ["period"] = "month", ["toOwner"] = true, ["level"] = "domain", ["name"] = "shop.test", ["at"] = "23:59" }));
        Assert.True(added.IsSuccessStatusCode);

        JsonNode schedule = Assert.Single((await GetAsync(api, "reports/schedules"))["items"]!.AsArray())!;
        Assert.Equal(("domain shop.test", "23:59", true), ((string?)schedule["object"], (string?)schedule["at"], (bool)schedule["toOwner"]!));
        using HttpResponseMessage removed = await api.DeleteAsync(new Uri($"reports/schedules/{schedule["id"]}", UriKind.Relative));
        Assert.Equal(HttpStatusCode.NoContent, removed.StatusCode);
        using HttpResponseMessage again = await api.DeleteAsync(new Uri($"reports/schedules/{schedule["id"]}", UriKind.Relative));
        Assert.Equal(HttpStatusCode.NotFound, again.StatusCode);
    }

    private static async Task<TestGateway> StartAsync()
    {
        TestGateway gateway = await TestGateway.StartAsync();
        AccountAdministration accounts = gateway.Get<AccountAdministration>();
        Assert.True((await accounts.AddPlanAsync("basic", default)).IsOk);
        Assert.True((await accounts.AddSubscriptionAsync("acme", new SubscriptionChange(Plan: "basic", Contact: "owner@acme.test"), default)).IsOk);
        Assert.True((await accounts.AddSubscriptionAsync("globex", new SubscriptionChange(Plan: "basic"), default)).IsOk);
        Assert.True((await accounts.AddDomainAsync("shop.test", new DomainChange(Subscription: "acme"), default)).IsOk);
        Assert.True((await accounts.AddDomainAsync("news.test", new DomainChange(Subscription: "globex"), default)).IsOk);
        Assert.True((await accounts.AddMailboxAsync("info@shop.test", "secret", default)).IsOk);
        await using TestClient client = await TestClient.LogInAsync(gateway.Local);
        Assert.StartsWith("250", await client.OfferAsync("From: info@shop.test\r\nSubject: hello\r\n\r\nHello."), StringComparison.Ordinal);
        return gateway;
    }

    private static async Task RefusedAsync(HttpClient api, JsonObject body, HttpStatusCode status, string says)
    {
        using HttpResponseMessage response = await api.PostAsync(new Uri("reports/schedules", UriKind.Relative), Content(body));
        Assert.Equal(status, response.StatusCode);
        Assert.Contains(says, await response.Content.ReadAsStringAsync(), StringComparison.Ordinal);
    }

    private static async Task<JsonNode> GetAsync(HttpClient api, string path) => JsonNode.Parse(await api.GetStringAsync(new Uri(path, UriKind.Relative)))!;

    private static async Task PutAsync(HttpClient api, string path, JsonObject body)
    {
        using HttpResponseMessage response = await api.PutAsync(new Uri(path, UriKind.Relative), Content(body));
        Assert.True(response.IsSuccessStatusCode);
    }

    private static StringContent Content(JsonObject body) => new(body.ToJsonString(), Encoding.UTF8, "application/json");
}
