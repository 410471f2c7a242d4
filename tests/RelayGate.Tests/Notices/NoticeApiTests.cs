using System.Net;
using System.Net.Http.Json;
using System.Text.Json.Nodes;
using RelayGate.Core.Notices;
using RelayGate.Notices;
using RelayGate.Tests.Fakes;

namespace RelayGate.Tests.Notices;

/// <summary>Notices and webhooks over the control socket, as the command line uses them.</summary>
public sealed class NoticeApiTests
{
    [Fact]
    public async Task The_self_test_goes_to_the_administrator_at_once_also_within_a_period_and_tells_its_ref()
    {
        await using var hop = new FakeNextHop();
        await using TestGateway gateway = await TestGateway.StartAsync(hop.Url);
        using HttpClient control = gateway.Control();

        for (int i = 0; i < 2; i++)
        {
            JsonNode answer = (await (await control.PostAsync("notices/test", null)).Content.ReadFromJsonAsync<JsonNode>())!;
            ReceivedMessage mail = await hop.NextAsync();

            Assert.Equal("postmaster@relay.test", (string?)answer["to"]);
            Assert.Contains($"Message-ID: <{(string?)answer["ref"]}@relay.test>", mail.Text, StringComparison.Ordinal);
            Assert.Contains("Subject: [RelayGate relay.test] test: notices reach you\r\n", mail.Text, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task The_self_test_says_when_there_is_nobody_to_tell_and_so_does_the_doctor()
    {
        await using TestGateway gateway = await TestGateway.StartAsync(configure: static o => o.Notices.Administrator = "");
        using HttpClient control = gateway.Control();

        HttpResponseMessage answer = await control.PostAsync("notices/test", null);

        Assert.Equal(HttpStatusCode.Conflict, answer.StatusCode);
        Assert.Contains("nobody is told", (string?)(await answer.Content.ReadFromJsonAsync<JsonNode>())!["title"], StringComparison.Ordinal);
        JsonArray findings = (await control.GetFromJsonAsync<JsonNode>("doctor"))!["items"]!.AsArray();
        Assert.Equal("warning", (string?)Assert.Single(findings, static f => (string?)f!["check"] == "notices")!["result"]);
    }

    [Fact]
    public async Task The_list_is_in_pages_by_kind_and_subscription_and_shows_who_was_told()
    {
        await using var hop = new FakeNextHop();
        await using TestGateway gateway = await TestGateway.StartAsync(hop.Url);
        using HttpClient control = gateway.Control();
        for (int i = 0; i < 3; i++)
            gateway.Get<NoticeBoard>().Raise(new Notice { Kind = NoticeKind.Warning, Level = "domain", Name = $"d{i}.test", Subscription = i == 0 ? "acme" : "other", Limit = "5/h", Used = 4 });
        await hop.NextAsync();
        int stored = 0;
        for (int i = 0; i < 500 && stored < 3; i++)
        {
            stored = (await control.GetFromJsonAsync<JsonNode>("notices"))!["items"]!.AsArray().Count;
            await Task.Delay(20);
        }

        JsonNode first = (await control.GetFromJsonAsync<JsonNode>("notices?limit=2"))!;
        JsonNode second = (await control.GetFromJsonAsync<JsonNode>($"notices?limit=2&cursor={(string?)first["nextCursor"]}"))!;
        JsonNode acme = (await control.GetFromJsonAsync<JsonNode>("notices?event=warning&subscription=acme"))!;

        Assert.Equal(2, first["items"]!.AsArray().Count);
        Assert.Single(second["items"]!.AsArray());
        Assert.Null(second["nextCursor"]);
        JsonNode notice = Assert.Single(acme["items"]!.AsArray())!;
        Assert.Equal("warning: domain d0.test, 4 of 5/h", (string?)notice["summary"]);
        Assert.Equal("postmaster@relay.test", (string?)notice["mails"]![0]!["to"]);
        Assert.Equal("relaygate domain suspend d0.test", (string?)(await control.GetFromJsonAsync<JsonNode>($"notices/{(string?)notice["notice"]}"))!["stop"]);
        Assert.Equal(HttpStatusCode.BadRequest, (await control.GetAsync("notices?event=nonsense")).StatusCode);
        Assert.Equal(HttpStatusCode.NotFound, (await control.GetAsync("notices/01JADE0000000000000000000A")).StatusCode);
    }

    [Fact]
    public async Task The_contact_of_one_subscription_is_told_less_and_then_as_the_settings_say_again()
    {
        await using var hop = new FakeNextHop();
        await using TestGateway gateway = await TestGateway.StartAsync(hop.Url, static o => o.Notices.AdministratorKinds = "none");
        using HttpClient control = gateway.Control();
        await control.PostAsJsonAsync("subscriptions", new { name = "acme", contact = "owner@home.test" });
        NoticeBoard board = gateway.Get<NoticeBoard>();
        var warning = new Notice { Kind = NoticeKind.Warning, Level = "domain", Name = "a.test", Subscription = "acme", Limit = "5/h", Used = 4 };

        Assert.Equal(HttpStatusCode.OK, (await control.PutAsJsonAsync("notices/owners/acme", new { events = new[] { "suspended", "exceeded" } })).StatusCode);
        board.Raise(warning);
        board.Raise(warning with { Kind = NoticeKind.Exceeded });
        string first = (await hop.NextAsync()).Text;
        Assert.Equal(HttpStatusCode.OK, (await control.PutAsJsonAsync("notices/owners/acme", new { })).StatusCode);
        board.Raise(warning with { Name = "b.test" });
        string second = (await hop.NextAsync()).Text;

        Assert.Contains("X-RelayGate-Notice: exceeded\r\n", first, StringComparison.Ordinal);
        Assert.Contains("warning: domain b.test", second, StringComparison.Ordinal);
        Assert.Equal(HttpStatusCode.NotFound, (await control.PutAsJsonAsync("notices/owners/nobody", new { })).StatusCode);
        Assert.Equal(HttpStatusCode.BadRequest, (await control.PutAsJsonAsync("notices/owners/acme", new { events = new[] { "nonsense" } })).StatusCode);
    }

    [Fact]
    public async Task A_secret_is_shown_when_it_is_made_and_never_again_nor_audited()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        using HttpClient control = gateway.Control();

        JsonNode added = (await (await control.PostAsJsonAsync("webhooks", new { name = "ops", url = "https://hooks.example.net/token-7", events = new[] { "exceeded" } })).Content.ReadFromJsonAsync<JsonNode>())!;
        string secret = (string)added["secret"]!;
        await control.PostAsJsonAsync("webhooks/ops/rotate", new { secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" });

        Assert.NotNull(WebhookSecret.Parse(secret));
        foreach (string path in new[] { "webhooks", "webhooks/ops", "audit" })
        {
            string answer = await control.GetStringAsync(path);
            Assert.DoesNotContain(secret, answer, StringComparison.Ordinal);
            Assert.DoesNotContain("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", answer, StringComparison.Ordinal);
            Assert.Equal(path == "webhooks/ops", answer.Contains("token-7", StringComparison.Ordinal)); // A part of a URL may be a secret too.
        }
        Assert.Equal(HttpStatusCode.Conflict, (await control.PostAsJsonAsync("webhooks", new { name = "ops", url = "https://hooks.example.net/" })).StatusCode);
        Assert.Equal(HttpStatusCode.OK, (await control.DeleteAsync("webhooks/ops")).StatusCode);
        Assert.Equal(HttpStatusCode.NotFound, (await control.GetAsync("webhooks/ops")).StatusCode);
    }
}
