using System.Text.Json;
using Microsoft.AspNetCore.Http;
using RelayGate.Accounts;
using RelayGate.Core.Notices;
using RelayGate.Notices;
using RelayGate.Tests.Fakes;
using RelayGate.Tests.Submission;

namespace RelayGate.Tests.Notices;

/// <summary>Webhooks to a real HTTP server, through a whole gateway.</summary>
public sealed class WebhookTests
{
    private static readonly Notice Exceeded = new()
    {
        Kind = NoticeKind.Exceeded,
        Level = "domain",
        Name = "shop.test",
        Subscription = "acme",
        Limit = "200/h",
        Used = 200,
    };

    [Fact]
    public async Task An_event_arrives_at_once_with_a_signature_that_verifies()
    {
        await using WebhookReceiver receiver = await WebhookReceiver.StartAsync();
        await using TestGateway gateway = await TestGateway.StartAsync();
        string secret = await AddAsync(gateway, receiver.Url);

        gateway.Get<NoticeBoard>().Raise(Exceeded);
        HookRequest request = await receiver.NextAsync();

        Assert.True(request.IsSignedWith(secret));
        Assert.Equal("application/json", request.ContentType);
        using JsonDocument payload = JsonDocument.Parse(request.Payload);
        Assert.Equal("notice.exceeded", payload.RootElement.GetProperty("type").GetString());
        JsonElement data = payload.RootElement.GetProperty("data");
        Assert.Equal("shop.test", data.GetProperty("name").GetString());
        Assert.Equal(200, data.GetProperty("used").GetInt64());
        Assert.Equal("relay.test", data.GetProperty("gateway").GetString());
    }

    [Fact]
    public async Task No_webhook_is_called_from_an_address_that_is_a_subscriptions_own()
    {
        await using WebhookReceiver receiver = await WebhookReceiver.StartAsync();
        await using TestGateway gateway = await TestGateway.StartAsync();
        await AddAsync(gateway, receiver.Url);
        AccountAdministration accounts = gateway.Get<AccountAdministration>();
        Assert.True((await accounts.AddAddressAsync("127.0.0.1", null, isShared: false, default)).IsOk);
        Assert.True((await accounts.AddSubscriptionAsync("acme", new SubscriptionChange { IPv4 = "127.0.0.1" }, default)).IsOk);

        gateway.Get<NoticeBoard>().Raise(Exceeded);

        Assert.Contains("no address of its own", (await AttemptsAsync(gateway, 1)).Attempts[0].Error, StringComparison.Ordinal);
        Assert.Empty(receiver.Requests);
    }

    [Fact]
    public async Task Only_the_events_and_the_subscription_that_were_asked_for_are_sent()
    {
        await using WebhookReceiver receiver = await WebhookReceiver.StartAsync();
        await using TestGateway gateway = await TestGateway.StartAsync();
        await gateway.Get<AccountAdministration>().AddSubscriptionAsync("acme", new SubscriptionChange(), CancellationToken.None);
        await AddAsync(gateway, receiver.Url, kinds: ["suspended", "exceeded"], subscription: "acme");
        NoticeBoard board = gateway.Get<NoticeBoard>();

        board.Raise(Exceeded with { Kind = NoticeKind.Warning });
        board.Raise(Exceeded with { Subscription = "other", Name = "other.test" });
        board.Raise(Exceeded with { Kind = NoticeKind.Suspended });

        Assert.Contains("notice.suspended", System.Text.Encoding.UTF8.GetString((await receiver.NextAsync()).Payload), StringComparison.Ordinal);
        Assert.Empty(receiver.Requests);
    }

    [Fact]
    public async Task A_program_hears_of_each_change_but_not_of_repetitions()
    {
        await using WebhookReceiver receiver = await WebhookReceiver.StartAsync();
        await using TestGateway gateway = await TestGateway.StartAsync();
        await AddAsync(gateway, receiver.Url);
        NoticeKind[] history = [NoticeKind.Exceeded, NoticeKind.Exceeded, NoticeKind.Recovered, NoticeKind.Exceeded, NoticeKind.Exceeded];
        var heard = new List<string>();
        foreach (NoticeKind kind in history)
            gateway.Get<NoticeBoard>().Raise(Exceeded with { Kind = kind });

        for (int i = 0; i < 3; i++)
        {
            using JsonDocument payload = JsonDocument.Parse((await receiver.NextAsync()).Payload);
            heard.Add(payload.RootElement.GetProperty("type").GetString()!);
        }

        Assert.Equal(["notice.exceeded", "notice.recovered", "notice.exceeded"], heard);
        Assert.Empty(receiver.Requests);
    }

    [Fact]
    public async Task A_failed_delivery_is_tried_again_later_with_the_same_id_and_in_the_end_given_up()
    {
        await using WebhookReceiver receiver = await WebhookReceiver.StartAsync();
        var time = new ManualTimeProvider();
        await using TestGateway gateway = await TestGateway.StartAsync(time: time);
        await AddAsync(gateway, receiver.Url);
        receiver.Answer = context => { context.Response.StatusCode = 500; return Task.CompletedTask; };

        gateway.Get<NoticeBoard>().Raise(Exceeded);
        string id = (await receiver.NextAsync()).Id;
        for (int attempt = 2; attempt <= WebhookSchedule.MaxAttempts; attempt++)
        {
            DateTimeOffset next = (await AttemptsAsync(gateway, attempt - 1)).NextAttempt!.Value;
            await SubmissionHost.UntilAsync(() => time.HasTimer(next));
            time.Advance(next - time.GetUtcNow());
            Assert.Equal(id, (await receiver.NextAsync()).Id);
        }
        WebhookDelivery delivery = await AttemptsAsync(gateway, WebhookSchedule.MaxAttempts);
        time.Advance(TimeSpan.FromDays(3));

        Assert.Equal(WebhookState.Failed, delivery.State);
        Assert.Null(delivery.NextAttempt);
        Assert.All(delivery.Attempts, a => Assert.Equal(500, a.Status));
        Assert.Empty(receiver.Requests);

        receiver.Answer = context => { context.Response.StatusCode = 200; return Task.CompletedTask; };
        Assert.True((await gateway.Get<WebhookAdministration>().RedeliverAsync(id, "uid 0", CancellationToken.None)).IsOk);
        Assert.Equal(id, (await receiver.NextAsync()).Id);
        Assert.Equal(WebhookState.Delivered, (await AttemptsAsync(gateway, WebhookSchedule.MaxAttempts + 1)).State);
    }

    [Fact]
    public async Task A_redelivery_that_is_asked_for_during_an_attempt_is_made_after_it()
    {
        await using WebhookReceiver receiver = await WebhookReceiver.StartAsync();
        await using TestGateway gateway = await TestGateway.StartAsync();
        WebhookAdministration webhooks = gateway.Get<WebhookAdministration>();
        await AddAsync(gateway, receiver.Url);
        var mayEnd = new TaskCompletionSource();
        receiver.Answer = async context => { await mayEnd.Task; context.Response.StatusCode = 200; };
        gateway.Get<NoticeBoard>().Raise(Exceeded);
        await SubmissionHost.UntilAsync(() => !receiver.Requests.IsEmpty);
        Assert.True(receiver.Requests.TryPeek(out HookRequest? running));

        Assert.True((await webhooks.RedeliverAsync(running.Id, "uid 0", CancellationToken.None)).IsOk);
        mayEnd.SetResult();

        Assert.Equal(running.Id, (await receiver.NextAsync()).Id);
        Assert.Equal(running.Id, (await receiver.NextAsync()).Id);
        WebhookDelivery delivery = await AttemptsAsync(gateway, 2);
        Assert.Equal(WebhookState.Delivered, delivery.State);
        Assert.Null(delivery.NextAttempt);
    }

    [Fact]
    public async Task What_waits_for_a_webhook_survives_a_restart()
    {
        await using WebhookReceiver receiver = await WebhookReceiver.StartAsync();
        using var folder = new TempFolder();
        receiver.Answer = context => { context.Response.StatusCode = 503; return Task.CompletedTask; };
        string id, secret;
        await using (TestGateway gateway = await TestGateway.StartAsync(folder: folder))
        {
            secret = await AddAsync(gateway, receiver.Url);
            gateway.Get<NoticeBoard>().Raise(Exceeded);
            id = (await receiver.NextAsync()).Id;
            await AttemptsAsync(gateway, 1);
            await gateway.StopAsync();
        }
        receiver.Answer = _ => Task.CompletedTask;

        var later = new ManualTimeProvider(TimeProvider.System.GetUtcNow() + TimeSpan.FromHours(1));
        await using TestGateway again = await TestGateway.StartAsync(folder: folder, time: later);

        HookRequest request = await receiver.NextAsync();
        Assert.Equal(id, request.Id);
        Assert.True(request.IsSignedWith(secret));
    }

    [Fact]
    public async Task During_a_rotation_both_secrets_sign_and_afterwards_only_the_new_one()
    {
        await using WebhookReceiver receiver = await WebhookReceiver.StartAsync();
        var time = new ManualTimeProvider();
        await using TestGateway gateway = await TestGateway.StartAsync(time: time);
        WebhookAdministration webhooks = gateway.Get<WebhookAdministration>();
        string old = await AddAsync(gateway, receiver.Url);

        string fresh = (await webhooks.RotateAsync("ops", null, TimeSpan.FromHours(1), "uid 0", CancellationToken.None)).Value!.Secret!;
        await webhooks.TestAsync("ops", CancellationToken.None);
        HookRequest both = await receiver.NextAsync();
        time.Advance(TimeSpan.FromHours(1));
        await webhooks.TestAsync("ops", CancellationToken.None);
        HookRequest one = await receiver.NextAsync();

        Assert.True(both.IsSignedWith(old));
        Assert.True(both.IsSignedWith(fresh));
        Assert.False(one.IsSignedWith(old));
        Assert.True(one.IsSignedWith(fresh));
    }

    [Fact]
    public async Task A_redirect_is_not_followed()
    {
        await using WebhookReceiver inside = await WebhookReceiver.StartAsync();
        await using WebhookReceiver receiver = await WebhookReceiver.StartAsync();
        await using TestGateway gateway = await TestGateway.StartAsync();
        await AddAsync(gateway, receiver.Url);
        receiver.Answer = context => { context.Response.Redirect(inside.Url, permanent: false, preserveMethod: true); return Task.CompletedTask; };

        WebhookDelivery delivery = (await gateway.Get<WebhookAdministration>().TestAsync("ops", CancellationToken.None)).Value!;

        Assert.Equal(WebhookState.Failed, delivery.State);
        Assert.Equal(307, Assert.Single(delivery.Attempts).Status);
        Assert.Empty(inside.Requests);
    }

    [Fact]
    public async Task An_endless_answer_and_one_that_never_comes_do_not_hold_up_the_sender()
    {
        await using WebhookReceiver receiver = await WebhookReceiver.StartAsync();
        await using TestGateway gateway = await TestGateway.StartAsync();
        await AddAsync(gateway, receiver.Url);
        receiver.Answer = async context =>
        {
            byte[] much = new byte[65536];
            while (!context.RequestAborted.IsCancellationRequested)
                await context.Response.Body.WriteAsync(much, context.RequestAborted);
        };

        Task<AdminResult<WebhookDelivery>> test = gateway.Get<WebhookAdministration>().TestAsync("ops", CancellationToken.None);

        Assert.Equal(WebhookState.Delivered, (await test.WaitAsync(TimeSpan.FromSeconds(10))).Value!.State);
    }

    [Fact]
    public async Task A_receiver_that_is_gone_gets_nothing_more_until_it_is_enabled()
    {
        await using WebhookReceiver receiver = await WebhookReceiver.StartAsync();
        await using TestGateway gateway = await TestGateway.StartAsync();
        WebhookAdministration webhooks = gateway.Get<WebhookAdministration>();
        await AddAsync(gateway, receiver.Url);
        receiver.Answer = context => { context.Response.StatusCode = 410; return Task.CompletedTask; };

        await webhooks.TestAsync("ops", CancellationToken.None);
        await receiver.NextAsync();
        gateway.Get<NoticeBoard>().Raise(Exceeded);

        Assert.Contains("410", (await webhooks.ShowAsync("ops", CancellationToken.None)).Value!.Disabled, StringComparison.Ordinal);
        Assert.Null((await webhooks.EnableAsync("ops", "uid 0", CancellationToken.None)).Value!.Disabled);
    }

    [Fact]
    public async Task A_name_that_dns_leads_inside_is_refused_when_the_connection_is_made()
    {
        await using WebhookReceiver inside = await WebhookReceiver.StartAsync();
        await using var dns = new FakeDns();
        dns.A("hooks.example.net", "127.0.0.1");
        await using TestGateway gateway = await TestGateway.StartAsync(configure: o => o.Delivery.Resolver = dns.EndPoint.ToString());
        WebhookAdministration webhooks = gateway.Get<WebhookAdministration>();
        int port = new Uri(inside.Url).Port;
        Assert.True((await webhooks.AddAsync("ops", $"http://hooks.example.net:{port}/", [], null, allowsHttp: true, allowsPrivate: false, null, "uid 0", CancellationToken.None)).IsOk);

        WebhookDelivery refused = (await webhooks.TestAsync("ops", CancellationToken.None)).Value!;

        Assert.Null(Assert.Single(refused.Attempts).Status);
        Assert.Contains("127.0.0.1, which is loopback", refused.Attempts[0].Error, StringComparison.Ordinal);
        Assert.Empty(inside.Requests);
    }

    [Fact]
    public async Task A_certificate_that_nobody_vouches_for_is_refused()
    {
        await using WebhookReceiver receiver = await WebhookReceiver.StartAsync(withTls: true);
        await using TestGateway gateway = await TestGateway.StartAsync();
        await AddAsync(gateway, receiver.Url);

        WebhookDelivery delivery = (await gateway.Get<WebhookAdministration>().TestAsync("ops", CancellationToken.None)).Value!;

        Assert.Contains("certificate", Assert.Single(delivery.Attempts).Error, StringComparison.Ordinal);
        Assert.Empty(receiver.Requests);
    }

    [Theory]
    [InlineData("http://hooks.example.net/", "https")]
    [InlineData("ftp://hooks.example.net/", "no URL")]
    [InlineData("hooks.example.net", "no URL")]
    [InlineData("https://user:secret@hooks.example.net/", "user and password")]
    [InlineData("https://127.0.0.1/", "loopback")]
    [InlineData("https://127.1/", "loopback")]
    [InlineData("https://2130706433/", "loopback")]
    [InlineData("https://[::ffff:10.0.0.1]/", "private")]
    [InlineData("https://[fe80::1]/", "link-local")]
    [InlineData("https://169.254.169.254/latest/meta-data", "link-local")]
    public async Task A_url_that_leads_nowhere_that_may_be_dialled_is_not_taken(string url, string why)
    {
        await using TestGateway gateway = await TestGateway.StartAsync();

        AdminResult<WebhookWithSecret> result = await gateway.Get<WebhookAdministration>().AddAsync("ops", url, [], null, false, false, null, "uid 0", CancellationToken.None);

        Assert.False(result.IsOk);
        Assert.Contains(why, result.Error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("secret@", result.Error.Message, StringComparison.Ordinal);
    }

    /// <returns>The secret.</returns>
    private static async Task<string> AddAsync(TestGateway gateway, string url, IReadOnlyList<string>? kinds = null, string? subscription = null) =>
        (await gateway.Get<WebhookAdministration>().AddAsync("ops", url, kinds ?? [], subscription, false, true, null, "uid 0", CancellationToken.None)).Value!.Secret!;

    /// <summary>Waits until the newest delivery has so many attempts.</summary>
    private static async Task<WebhookDelivery> AttemptsAsync(TestGateway gateway, int count)
    {
        for (int i = 0; i < 500; i++)
        {
            Page<WebhookDelivery> page = (await gateway.Get<WebhookAdministration>().HistoryAsync("ops", null, 10, CancellationToken.None)).Value!;
            if (page.Items is [var newest, ..] && newest.Attempts.Count == count)
                return newest;
            await Task.Delay(20);
        }
        Assert.Fail($"There were no {count} attempts");
        return null!;
    }
}
