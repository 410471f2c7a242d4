using System.IO.Compression;
using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Http;
using RelayGate.Accounts;
using RelayGate.Configuration;
using RelayGate.Core.Tls;
using RelayGate.Queue;
using RelayGate.Storage;
using RelayGate.Tests.Delivery;
using RelayGate.Tests.Fakes;
using RelayGate.TlsReports;

namespace RelayGate.Tests.TlsReports;

/// <summary>TLS reports through a whole gateway: counted over a restart, sent once after the day, by signed mail and by HTTPS.</summary>
public sealed class TlsReporterTests
{
    // The wall clock alone is moved: the reporter's own loop would else look in the middle of a move, where time limits end at once.
    private readonly ManualTimeProvider _time = new(new DateTimeOffset(2026, 11, 22, 10, 0, 0, TimeSpan.Zero));

    [Fact]
    public async Task A_day_is_reported_once_by_mail_and_https_and_what_nobody_wants_is_forgotten()
    {
        await using var hop = new FakeNextHop();
        await using var dns = new FakeDns();
        await using WebhookReceiver receiver = await WebhookReceiver.StartAsync(withTls: true);
        dns.Txt("_smtp._tls.example.org", $"v=TLSRPTv1; rua=mailto:tls@reports.test,{receiver.Url}");
        using var folder = new TempFolder();
        await using (TestGateway before = await StartAsync(hop, dns, folder))
        {
            await AddKeyAsync(before);
            Observe(before, "example.org", TlsResult.Ok, 5);
            Observe(before, "Example.org", TlsResult.CertificateExpired, 2);
            Observe(before, "silent.test", TlsResult.Ok, 1);
            await before.StopAsync();
        }
        await using TestGateway gateway = await StartAsync(hop, dns, folder);
        Observe(gateway, "example.org", TlsResult.CertificateExpired, 1);
        _time.StepWallClock(TimeSpan.FromHours(13)); // The day has not ended.
        await gateway.Get<TlsReporter>().RunOnceAsync(default);
        Assert.Empty(hop.Messages);

        _time.StepWallClock(TimeSpan.FromHours(6));
        await gateway.Get<TlsReporter>().RunOnceAsync(default);
        ReceivedMessage mail = await hop.NextAsync();
        HookRequest post = await receiver.NextAsync();
        await gateway.Get<TlsReporter>().RunOnceAsync(default);

        Assert.Empty(hop.Messages);
        Assert.Empty(receiver.Requests);
        Assert.StartsWith("MAIL FROM:<>", mail.Mail, StringComparison.Ordinal);
        Assert.StartsWith("RCPT TO:<tls@reports.test>", mail.Rcpts[0], StringComparison.Ordinal);
        Assert.StartsWith("DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;\r\n\td=relay.test;", mail.Text, StringComparison.Ordinal);
        Assert.Contains("\r\nTLS-Report-Domain: example.org\r\n", mail.Text, StringComparison.Ordinal);
        Assert.Equal("application/tlsrpt+gzip", post.ContentType);
        JsonNode report = Unpack(post.Payload);
        JsonNode policy = Assert.Single(report["policies"]!.AsArray())!;
        Assert.Equal("sts", (string?)policy["policy"]!["policy-type"]);
        Assert.Equal(5, (int?)policy["summary"]!["total-successful-session-count"]);
        Assert.Equal(3, (int?)policy["summary"]!["total-failure-session-count"]);
        JsonNode detail = Assert.Single(policy["failure-details"]!.AsArray())!;
        Assert.Equal(("certificate-expired", 3, "192.0.2.1"), ((string?)detail["result-type"], (int?)detail["failed-session-count"], (string?)detail["sending-mta-ip"]));
        Assert.Equal(0, await CountAsync(gateway, "tls_day where domain = 'silent.test'"));
        Assert.Equal("sent", (string?)(await ListAsync(gateway))[0]!["state"]);
    }

    [Fact]
    public async Task A_receiver_by_https_that_fails_is_tried_for_a_day_and_then_given_up()
    {
        await using var dns = new FakeDns();
        await using WebhookReceiver receiver = await WebhookReceiver.StartAsync(withTls: true);
        receiver.Answer = context =>
        {
            context.Response.StatusCode = StatusCodes.Status503ServiceUnavailable;
            return Task.CompletedTask;
        };
        dns.Txt("_smtp._tls.example.org", $"v=TLSRPTv1; rua={receiver.Url}");
        await using TestGateway gateway = await StartAsync(null, dns);
        Observe(gateway, "example.org", TlsResult.Ok, 1);
        _time.StepWallClock(TimeSpan.FromHours(19));

        string? state = "";
        for (int i = 0; i < 40 && state != "failed"; i++)
        {
            await gateway.Get<TlsReporter>().RunOnceAsync(default);
            JsonArray reports = await ListAsync(gateway);
            state = (string?)reports[0]!["state"];
            if (state == "waiting")
                Assert.Equal("answered 503", (string?)reports[0]!["targets"]![0]!["error"]);
            _time.StepWallClock(TimeSpan.FromHours(1));
        }

        Assert.Equal("failed", state);
        Assert.Equal(7, (int?)(await ListAsync(gateway))[0]!["targets"]![0]!["attempts"]);
    }

    [Fact]
    public async Task Without_a_key_of_the_server_no_mail_is_sent_and_the_list_says_what_is_missing()
    {
        await using var hop = new FakeNextHop();
        await using var dns = new FakeDns();
        dns.Txt("_smtp._tls.example.org", "v=TLSRPTv1; rua=mailto:tls@reports.test");
        await using TestGateway gateway = await StartAsync(hop, dns);
        Observe(gateway, "example.org", TlsResult.Ok, 1);
        _time.StepWallClock(TimeSpan.FromHours(19));
        await gateway.Get<TlsReporter>().RunOnceAsync(default);

        JsonNode entry = (await ListAsync(gateway))[0]!;
        Assert.Equal("failed", (string?)entry["state"]);
        Assert.Contains("relaygate dkim create relay.test", (string?)entry["targets"]![0]!["error"], StringComparison.Ordinal);
        Assert.Empty(hop.Messages);

        await AddKeyAsync(gateway); // What was missing is there: the administrator sends it again.
        using HttpClient control = gateway.Control();
        using HttpResponseMessage sent = await control.PostAsync("tls/reports/example.org/send", null);
        Assert.Equal(HttpStatusCode.OK, sent.StatusCode);
        await hop.NextAsync();
        Assert.Equal("sent", (string?)(await ListAsync(gateway))[0]!["state"]);
    }

    [Fact]
    public async Task A_report_by_hand_wants_a_day_that_has_ended_and_a_domain_that_is_known_and_asks_for_it()
    {
        await using var dns = new FakeDns();
        await using TestGateway gateway = await StartAsync(null, dns);
        using HttpClient control = gateway.Control();
        Observe(gateway, "example.org", TlsResult.Ok, 1);

        Assert.Equal(1, (int?)(await control.GetFromJsonAsync<JsonNode>("tls/reports/example.org?day=2026-11-22"))!["successes"]);
        Assert.Equal(HttpStatusCode.BadRequest, (await control.PostAsync("tls/reports/example.org/send?day=2026-11-22", null)).StatusCode);
        Assert.Equal(HttpStatusCode.NotFound, (await control.PostAsync("tls/reports/example.org/send?day=2026-11-20", null)).StatusCode);
        Assert.Equal(HttpStatusCode.BadRequest, (await control.GetAsync("tls/reports/example.org?day=yesterday")).StatusCode);
        _time.StepWallClock(TimeSpan.FromHours(14));
        Assert.Equal(HttpStatusCode.Conflict, (await control.PostAsync("tls/reports/example.org/send?day=2026-11-22", null)).StatusCode);
    }

    [Fact]
    public async Task Receivers_that_hang_hold_up_neither_the_others_nor_an_order_by_hand()
    {
        await using var dns = new FakeDns();
        await using WebhookReceiver hanging = await WebhookReceiver.StartAsync(withTls: true);
        await using WebhookReceiver good = await WebhookReceiver.StartAsync(withTls: true);
        var gate = new TaskCompletionSource();
        hanging.Answer = _ => gate.Task;
        await using TestGateway gateway = await StartAsync(null, dns);
        TlsReporter reporter = gateway.Get<TlsReporter>();
        for (int i = 0; i < 4; i++)
        {
            dns.Txt($"_smtp._tls.hang{i}.test", $"v=TLSRPTv1; rua={hanging.Url}");
            Observe(gateway, $"hang{i}.test", TlsResult.Ok, 1);
        }
        dns.Txt("_smtp._tls.example.org", $"v=TLSRPTv1; rua={good.Url}");
        Observe(gateway, "example.org", TlsResult.Ok, 1);
        _time.StepWallClock(TimeSpan.FromHours(19));

        Task round = reporter.RunOnceAsync(default);
        await good.NextAsync();
        await DeliveryGateway.UntilAsync(() => Task.FromResult(hanging.Requests.Count == 4));
        await DeliveryGateway.UntilAsync(async () => await CountAsync(gateway, "tls_report_target where domain = 'example.org' and next_attempt is null") == 1);
        Task<IReadOnlyList<TlsReportTarget>?> known = reporter.SendNowAsync(new DateOnly(2026, 11, 22), "hang0.test", "uid 0", default); // Already under way.
        IReadOnlyList<TlsReportTarget>? byHand = await reporter.SendNowAsync(new DateOnly(2026, 11, 22), "example.org", "uid 0", default).WaitAsync(TimeSpan.FromSeconds(10));
        await good.NextAsync();
        await DeliveryGateway.UntilAsync(async () => await CountAsync(gateway, "audit where what = 'tls report send'") == 2);
        gate.SetResult();
        await round.WaitAsync(TimeSpan.FromSeconds(10));

        Assert.Equal(TlsReportState.Sent, Assert.Single(byHand!).State);
        await known.WaitAsync(TimeSpan.FromSeconds(10));
        Assert.Equal(4, hanging.Requests.Count);
    }

    [Fact]
    public async Task Receivers_that_cannot_be_asked_at_all_hold_up_nobody()
    {
        await using var dns = new FakeDns();
        await using WebhookReceiver good = await WebhookReceiver.StartAsync(withTls: true);
        await using TestGateway gateway = await StartAsync(null, dns);
        TlsReporter reporter = gateway.Get<TlsReporter>();
        const int More = 10; // Than are sent at once.
        for (int i = 0; i < More; i++)
        {
            dns.Txt($"_smtp._tls.odd{i}.test", $"v=TLSRPTv1; rua=https://127.0.0.1:9/{i}");
            Observe(gateway, $"odd{i}.test", TlsResult.Ok, 1);
        }
        dns.Txt("_smtp._tls.example.org", $"v=TLSRPTv1; rua={good.Url}");
        Observe(gateway, "example.org", TlsResult.Ok, 1);
        dns.Txt("_smtp._tls.nowhere.test", "v=TLSRPTv1; rua=https://\u202e.example/");
        Observe(gateway, "nowhere.test", TlsResult.Ok, 1);
        using HttpClient control = gateway.Control();
        _time.StepWallClock(TimeSpan.FromHours(19));
        await reporter.RunOnceAsync(default);
        await good.NextAsync();
        Assert.Equal(0, await CountAsync(gateway, "tls_report_target where domain = 'nowhere.test'"));
        Assert.Equal(HttpStatusCode.NotFound, (await control.PostAsync("tls/reports/nowhere.test/send", null)).StatusCode);

        // As no record makes them any more: what is tried must survive what nobody thought of.
        await gateway.Get<QueueWriter>().WriteAsync(static db => db.Execute("update tls_report_target set uri = 'https://\u202e.example/' || domain, next_attempt = 0 where domain like 'odd%'")
            + db.Execute("update tls_report_target set next_attempt = 1 where domain = 'example.org'"));
        await reporter.RunOnceAsync(default);
        await good.NextAsync();
        Assert.Equal(HttpStatusCode.OK, (await control.PostAsync("tls/reports/odd0.test/send", null)).StatusCode);

        Assert.Equal(More, await CountAsync(gateway, "tls_report_target where uri like 'https://\u202e%' and attempts = 2 and error like 'an error inside%' and next_attempt is not null"));
    }

    [Fact]
    public async Task Addresses_inside_are_not_dialled()
    {
        await using var dns = new FakeDns();
        await using WebhookReceiver receiver = await WebhookReceiver.StartAsync(withTls: true);
        dns.Txt("_smtp._tls.example.org", $"v=TLSRPTv1; rua={receiver.Url}");
        await using TestGateway gateway = await StartAsync(null, dns, change: static o => o.Delivery.AllowLoopback = false);
        Observe(gateway, "example.org", TlsResult.Ok, 1);
        _time.StepWallClock(TimeSpan.FromHours(19));
        await gateway.Get<TlsReporter>().RunOnceAsync(default);

        Assert.Contains("loopback", (string?)(await ListAsync(gateway))[0]!["targets"]![0]!["error"], StringComparison.Ordinal);
        Assert.Empty(receiver.Requests);
    }

    [Fact]
    public async Task By_HTTPS_a_report_leaves_from_the_address_that_is_set_now_and_never_from_a_subscriptions_own()
    {
        await using var dns = new FakeDns();
        await using WebhookReceiver receiver = await WebhookReceiver.StartAsync(withTls: true);
        var from = new List<IPAddress?>();
        receiver.Answer = context =>
        {
            from.Add(context.Connection.RemoteIpAddress);
            return Task.CompletedTask;
        };
        dns.Txt("_smtp._tls.example.org", $"v=TLSRPTv1; rua={receiver.Url}");
        await using TestGateway gateway = await StartAsync(null, dns);
        AccountAdministration accounts = gateway.Get<AccountAdministration>();
        Assert.True((await accounts.AddAddressAsync("127.0.0.1", null, isShared: false, default)).IsOk); // What the system would choose.
        Assert.True((await accounts.AddSubscriptionAsync("acme", new SubscriptionChange { IPv4 = "127.0.0.1" }, default)).IsOk);
        Observe(gateway, "example.org", TlsResult.Ok, 1);
        _time.StepWallClock(TimeSpan.FromHours(19));

        await gateway.Get<TlsReporter>().RunOnceAsync(default);
        Assert.Empty(receiver.Requests);
        Assert.Contains("no address of its own", (string?)(await ListAsync(gateway))[0]!["targets"]![0]!["error"], StringComparison.Ordinal);
        Assert.True((await accounts.SetSettingAsync("Egress:IPv4", "127.0.0.9", default)).IsOk);
        _time.StepWallClock(TimeSpan.FromHours(1));
        await gateway.Get<TlsReporter>().RunOnceAsync(default);

        Assert.Equal([IPAddress.Parse("127.0.0.9")], from);
    }

    [Fact]
    public async Task However_many_kinds_of_failure_there_are_few_rows_are_kept_and_all_are_counted()
    {
        await using var dns = new FakeDns();
        await using TestGateway gateway = await StartAsync(null, dns);
        TlsReporter reporter = gateway.Get<TlsReporter>();
        for (int i = 0; i < 300; i++)
        {
            reporter.Observe(Observation("example.org", TlsResult.ValidationFailure) with { MxHost = $"mx{i}.example.org" });
            if (i % 15 == 0)
                await reporter.RunOnceAsync(default);
        }

        Core.Tls.Reports.TlsReport report = (await reporter.FindAsync(reporter.Today, "example.org", default))!;
        Assert.Equal(300, report.Failures);
        Assert.Equal(300, report.Policies[0].Details.Sum(static d => d.Count));
        Assert.InRange(report.Policies[0].Details.Length, 2, TlsReportRows.MaxDetails + 1);
    }

    [Fact]
    public async Task Switched_off_nothing_is_counted()
    {
        await using var dns = new FakeDns();
        await using TestGateway gateway = await StartAsync(null, dns, change: static o => o.Delivery.Tls.Reports = false);
        Observe(gateway, "example.org", TlsResult.Ok, 1);

        Assert.Null(await gateway.Get<TlsReporter>().FindAsync(new DateOnly(2026, 11, 22), "example.org", default));
    }

    private Task<TestGateway> StartAsync(FakeNextHop? hop, FakeDns dns, TempFolder? folder = null, Action<RelayGateOptions>? change = null) => TestGateway.StartAsync(
        hop?.Url ?? "smtp://127.0.0.1:9",
        o =>
        {
            o.Delivery.Resolver = dns.EndPoint.ToString();
            o.Delivery.AllowLoopback = true;
            change?.Invoke(o);
        },
        _time, folder);

    private static async Task AddKeyAsync(TestGateway gateway)
    {
        AccountAdministration accounts = gateway.Get<AccountAdministration>();
        Assert.True((await accounts.AddDomainAsync("relay.test", new DomainChange(Subscription: "system"), default)).IsOk);
        Assert.True((await accounts.CreateKeyAsync("relay.test", "k", null, default)).IsOk);
    }

    private void Observe(TestGateway gateway, string domain, TlsResult result, int times)
    {
        for (int i = 0; i < times; i++)
            gateway.Get<TlsReporter>().Observe(Observation(domain, result));
    }

    private TlsObservation Observation(string domain, TlsResult result) => new(
        _time.GetUtcNow(), domain, new PublishedTlsPolicy(TlsPolicyType.Sts, "example.org", ["version: STSv1", "mode: testing"], ["*.example.org"]), result,
        result == TlsResult.Ok ? null : "its certificate has expired", "mx.example.org", IPAddress.Parse("192.0.2.1"), IPAddress.Parse("203.0.113.5"));

    private static JsonNode Unpack(byte[] packed)
    {
        using var gzip = new GZipStream(new MemoryStream(packed), CompressionMode.Decompress);
        return JsonNode.Parse(gzip)!;
    }

    private static async Task<JsonArray> ListAsync(TestGateway gateway)
    {
        using HttpClient control = gateway.Control();
        return (await control.GetFromJsonAsync<JsonNode>("tls/reports"))!["items"]!.AsArray();
    }

    private static Task<long> CountAsync(TestGateway gateway, string what) =>
        gateway.Get<SqliteRelayStore>().ReadRawAsync(connection => connection.Scalar($"select count(*) from {what}"), default);
}
