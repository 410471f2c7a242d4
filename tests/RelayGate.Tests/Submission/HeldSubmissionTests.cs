using System.Diagnostics;
using System.Net.Http.Json;
using System.Text.Json.Nodes;
using RelayGate.Accounts;
using RelayGate.Configuration;
using RelayGate.Core.Policy;
using RelayGate.Queue;
using RelayGate.Tests.Fakes;

namespace RelayGate.Tests.Submission;

/// <summary>Held mail from the client's session to the next hop, over a whole gateway.</summary>
public sealed class HeldSubmissionTests : IAsyncLifetime, IAsyncDisposable
{
    private readonly FakeNextHop _hop = new();
    private readonly ManualTimeProvider _time = new();
    private TestGateway _gateway = null!;

    public async Task InitializeAsync()
    {
        _gateway = await TestGateway.StartAsync(_hop.Url, Configure, _time);
        AccountAdministration accounts = _gateway.Get<AccountAdministration>();
        Assert.True((await accounts.AddSubscriptionAsync("acme", new SubscriptionChange(), default)).IsOk);
        Assert.True((await accounts.AddDomainAsync("shop.test", new DomainChange(Subscription: "acme"), default)).IsOk);
        Assert.True((await accounts.AddMailboxAsync("info@shop.test", "secret", default)).IsOk);
        LimitView limit = (await accounts.SetLimitAsync(new(Level.Mailbox, "info@shop.test"), null, "1/h", null, default)).Value!;
        Assert.Equal(OverLimitAction.Hold, limit.Action); // Limits:Over.
    }

    public async ValueTask DisposeAsync()
    {
        await _gateway.DisposeAsync();
        await _hop.DisposeAsync();
    }

    Task IAsyncLifetime.DisposeAsync() => DisposeAsync().AsTask(); // The one that this version of the runner calls.

    [Fact]
    public async Task A_client_over_a_limit_that_holds_hears_250_and_its_mail_goes_out_later()
    {
        await using TestClient client = await TestClient.LogInAsync(_gateway.Local);
        await OfferAsync(client, "first");
        Assert.Contains("first", (await _hop.NextAsync()).Text, StringComparison.Ordinal);

        string reply = await OfferAsync(client, "second");
        string reference = TestClient.RefOf(reply);
        _time.Advance(TimeSpan.FromSeconds(2)); // Figures are counted once a second.
        using HttpClient http = _gateway.Control();
        JsonNode shown = (await http.GetFromJsonAsync<JsonNode>($"queue/{reference}"))!, record = (await http.GetFromJsonAsync<JsonNode>($"messages/{reference}"))!;
        JsonNode status = (await http.GetFromJsonAsync<JsonNode>("status"))!;

        Assert.StartsWith("250 2.0.0 Held: mailbox info@shop.test hourly limit 1/1 messages, released about 13:01 UTC; ref ", reply, StringComparison.Ordinal);
        Assert.Equal(("held", "limit", "mailbox info@shop.test"), ((string?)shown["state"], (string?)shown["held"], (string?)shown["hold"]!["at"]));
        Assert.Equal(("hold", "held", "2026-03-01T13:01:00+00:00"), ((string?)record["verdict"], (string?)record["outcome"], (string?)record["hold"]!["releaseAbout"]));
        Assert.Equal((1, 1, 0), ((int)status["accepted"]!, (int)status["held"]!, (int)status["refused"]!));
        Assert.Equal(1, (int)status["queue"]!["held"]!);
        Assert.Equal(67_108_864, (long)status["memory"]!["limit"]!);
        _time.Advance(TimeSpan.FromMinutes(61));
        Assert.Contains("second", (await _hop.NextAsync()).Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_forward_whose_From_was_rewritten_counts_as_one_when_it_is_released()
    {
        var accounts = _gateway.Get<AccountAdministration>();
        var forwards = new AccountKey(Level.Mailbox, "info@shop.test", MessageClass.Forward);
        Assert.True((await accounts.SetSubscriptionAsync("acme", new SubscriptionChange(HeaderFrom: "rewrite"), default)).IsOk);
        Assert.True((await accounts.SetLimitAsync(forwards, null, "9/h", null, default)).IsOk);
        await using TestClient client = await TestClient.LogInAsync(_gateway.Local);
        await OfferAsync(client, "first");
        await _hop.NextAsync();
        Assert.StartsWith("250 2.0.0 Held", await client.OfferAsync("From: ann@example.org\r\nReceived: from x by y; 1\r\n\r\nsecond\r\n", "ann@example.org"), StringComparison.Ordinal);
        Assert.Equal(0, (await accounts.ShowLimitAsync(forwards, default)).Value!.Uses[0].Used);

        _time.Advance(TimeSpan.FromMinutes(61));

        Assert.Contains("second", (await _hop.NextAsync()).Text, StringComparison.Ordinal);
        Assert.Equal(1, (await accounts.ShowLimitAsync(forwards, default)).Value!.Uses[0].Used);
    }

    [Fact]
    public async Task Switching_a_limit_off_lets_what_it_held_go_at_once()
    {
        await using TestClient client = await TestClient.LogInAsync(_gateway.Local);
        await OfferAsync(client, "first");
        await _hop.NextAsync();
        await OfferAsync(client, "second");

        await _gateway.Get<AccountAdministration>().SetLimitAsync(new(Level.Mailbox, "info@shop.test"), null, "unlimited", null, default);

        Assert.Contains("second", (await _hop.NextAsync()).Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Held_mail_that_is_too_old_comes_back_to_its_sender_once()
    {
        await using TestClient client = await TestClient.LogInAsync(_gateway.Local);
        await OfferAsync(client, "first");
        await _hop.NextAsync();
        string reference = TestClient.RefOf(await OfferAsync(client, "second"));
        await _gateway.Get<AccountAdministration>().SetLimitAsync(new(Level.Mailbox, "info@shop.test"), null, "forbidden", null, default);

        MessageLog log = _gateway.Get<MessageLog>();
        await UntilFailedAsync(log, reference);
        for (int i = 1; i <= 400 && _hop.Messages.IsEmpty; i++)
        {
            await Task.Delay(20);
            if (i % 50 == 0)
                _time.Advance(TimeSpan.FromMinutes(10)); // A move of the clock may have ended its first attempt.
        }
        ReceivedMessage report = await _hop.NextAsync();

        Assert.Equal("MAIL FROM:<>", report.Mail.Split(' ')[0] + " " + report.Mail.Split(' ')[1]);
        Assert.Contains("info@shop.test", Assert.Single(report.Rcpts), StringComparison.Ordinal);
        Assert.Contains("Status: 5.4.7", report.Text, StringComparison.Ordinal);
        Assert.Contains("Given up after", report.Text, StringComparison.Ordinal);
        Assert.Single((await log.ListAsync(new MessageQuery(), null, default))!.Items.Where(static i => i.Kind == RelayGate.Queue.RecordKind.Dsn));
        Assert.Equal(0, _gateway.Get<UsageTable>().Holds.Total);
    }

    [Fact]
    public async Task Held_mail_with_the_null_reverse_path_that_is_too_old_is_reported_to_nobody()
    {
        await using TestClient client = await TestClient.LogInAsync(_gateway.Local);
        await OfferAsync(client, "first");
        await _hop.NextAsync();
        string reference = TestClient.RefOf(await client.OfferAsync("From: info@shop.test\r\n\r\nsecond\r\n", "", "bob@example.org"));
        await _gateway.Get<AccountAdministration>().SetLimitAsync(new(Level.Mailbox, "info@shop.test"), null, "forbidden", null, default);

        MessageLog log = _gateway.Get<MessageLog>();
        await UntilFailedAsync(log, reference);

        Assert.Empty((await log.ListAsync(new MessageQuery(), null, default))!.Items.Where(static i => i.Kind == RelayGate.Queue.RecordKind.Dsn));
    }

    private static void Configure(RelayGateOptions options)
    {
        options.Limits.Over.Mailbox = OverLimitAction.Hold;
        options.Postmaster = ""; // Nobody is sent notices: what reaches the next hop is what was held.
    }

    /// <summary>Four days go by, and then as much as it takes.</summary>
    private async Task UntilFailedAsync(MessageLog log, string reference)
    {
        _time.Advance(TimeSpan.FromDays(4));
        long started = Stopwatch.GetTimestamp();
        while ((await log.ShowAsync(IdOf(reference), null, default))!.Outcome != RecordOutcome.Failed)
        {
            Assert.True(Stopwatch.GetElapsedTime(started) < TimeSpan.FromSeconds(10), "it is not given up");
            _time.Advance(TimeSpan.FromMinutes(1));
        }
    }

    private static Core.Mail.QueueId IdOf(string reference) => Core.Mail.QueueId.TryParse(reference, out Core.Mail.QueueId id) ? id : throw new FormatException(reference);

    private static async Task<string> OfferAsync(TestClient client, string text) =>
        await client.OfferAsync($"From: info@shop.test\r\n\r\n{text}\r\n", "info@shop.test", "bob@example.org");
}
