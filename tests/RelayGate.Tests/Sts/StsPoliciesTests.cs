using System.Collections.Concurrent;
using System.Net;
using Microsoft.Extensions.Logging;
using RelayGate.Core.Dns;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Core.Tls;
using RelayGate.Delivery;
using RelayGate.Dns;
using RelayGate.Queue;
using RelayGate.Sts;
using RelayGate.Tests.Delivery;
using RelayGate.Tests.Fakes;
using RelayGate.Tests.Queue;
using RelayGate.Tls;

namespace RelayGate.Tests.Sts;

/// <summary>From the TXT record of a domain to its policy, kept, and what mail does with it (RFC 8461).</summary>
public sealed class StsPoliciesTests : IAsyncLifetime, IDisposable
{
    private readonly QueueFixture _queue = new();
    private readonly TestAuthority _authority = new();
    private readonly FakeDns _dns = new() { Ttl = 60 };
    private readonly FakePolicyHost _host = new();
    private readonly FakeNextHop _hop = new(IPAddress.Parse("127.0.0.41"));
    private readonly LineLogger _log = new();
    private StsPolicies _policies = null!;

    public Task InitializeAsync()
    {
        _host.Certificate = _authority.Serve(_authority.Issue(["mta-sts.dest.test"]));
        _hop.Certificate = _authority.Serve(_authority.Issue(["mx1.dest.test"]));
        _hop.Extensions.Add("STARTTLS");
        _dns.Mx("dest.test", 10, "mx1.dest.test").A("mx1.dest.test", "127.0.0.41").A("mta-sts.dest.test", "127.0.0.1").Txt("_mta-sts.dest.test", "v=STSv1; id=1;");
        _queue.Options.Delivery.AllowLoopback = true;
        _queue.Options.Delivery.Resolver = _dns.EndPoint.ToString();
        _queue.Options.Delivery.MxPort = _hop.EndPoint.Port;
        _queue.Options.Delivery.Tls.MtaStsPort = _host.Port;
        _queue.Options.Delivery.Tls.AuthoritiesPath = _authority.WriteRoot(_queue.Folder);
        _policies = Start();
        return Task.CompletedTask;
    }

    public async Task DisposeAsync()
    {
        await _hop.DisposeAsync();
        await _host.DisposeAsync();
        await _dns.DisposeAsync();
    }

    public void Dispose()
    {
        _policies.Dispose();
        _queue.Dispose();
        _authority.Dispose();
    }

    [Fact]
    public async Task A_policy_is_fetched_once_and_kept_over_a_restart()
    {
        StsFinding[] found = await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => FindAsync()));

        Assert.All(found, f => Assert.Equal("version: STSv1|mode: enforce|mx: *.dest.test|max_age: 604800", string.Join('|', f.Policy!.Lines)));
        _queue.Reopen();
        _policies.Dispose();
        _policies = Start();
        Assert.Equal(StsMode.Enforce, (await FindAsync()).Policy!.Mode);
        Assert.Equal(1, _host.Requests);
    }

    [Fact]
    public async Task A_new_id_fetches_anew_and_a_failure_keeps_what_is_there_until_its_age_is_over()
    {
        await FindAsync();
        await SetIdAsync("2");
        _host.Status = "500 Oops";

        Assert.Equal((StsMode.Enforce, TlsResult.StsPolicyFetchError), ((await FindAsync()).Policy!.Mode, (await FindAsync()).Result));
        Assert.Equal(2, _host.Requests); // Asked again after five minutes, not at once.
        _dns.Remove("_mta-sts.dest.test", DnsType.Txt);
        await AdvanceAsync(TimeSpan.FromDays(6));
        Assert.Equal(StsMode.Enforce, (await FindAsync()).Policy!.Mode);
        await AdvanceAsync(TimeSpan.FromDays(2));
        Assert.Null((await FindAsync()).Policy);
    }

    [Fact]
    public async Task A_policy_in_use_is_refreshed_before_it_expires()
    {
        for (int day = 0; day < 20; day++)
        {
            Assert.Equal(StsMode.Enforce, (await FindAsync()).Policy!.Mode);
            await AdvanceAsync(TimeSpan.FromDays(1.1));
            await _policies.RefreshAsync(CancellationToken.None);
        }
        Assert.InRange(_host.Requests, 15, 25);
    }

    [Fact]
    public async Task A_stuck_policy_host_costs_one_delivery_its_patience_and_no_more()
    {
        var gate = new TaskCompletionSource();
        _host.Gate = gate.Task;
        Task<StsFinding> waiting = FindAsync();
        await DeliveryGateway.UntilAsync(() => Task.FromResult(_host.Requests == 1));
        for (int i = 0; i < 500 && !waiting.IsCompleted; i++)
        {
            _queue.Time.Advance(TimeSpan.FromSeconds(1));
            await Task.WhenAny(waiting, Task.Delay(20));
        }

        Assert.Equal((null, TlsResult.StsPolicyFetchError), ((await waiting).Policy, (await waiting).Result));
        gate.SetResult();
    }

    [Theory]
    [InlineData("301 Moved", "Location: https://mta-sts.dest.test/\r\nContent-Type: text/plain\r\n", null, TlsResult.StsPolicyFetchError)]
    [InlineData("404 Not Found", "Content-Type: text/plain\r\n", null, TlsResult.StsPolicyFetchError)]
    [InlineData("200 OK", "Content-Type: text/html\r\n", null, TlsResult.StsPolicyInvalid)]
    [InlineData("200 OK", "Content-Type: text/plain; charset=utf-8\r\n", "version: STSv1\nmode: enforce\nmax_age: 1\n", TlsResult.StsPolicyInvalid)]
    [InlineData("200 OK", "Content-Type: text/plain\r\n", "large", TlsResult.StsPolicyInvalid)]
    public async Task What_is_no_policy_is_none_and_is_told_of(string status, string fields, string? policy, TlsResult expected)
    {
        (_host.Status, _host.Fields) = (status, fields);
        _host.Policy = policy == "large" ? _host.Policy + new string('x', StsPolicy.MaxOctets) : policy ?? _host.Policy;

        StsFinding found = await FindAsync();

        Assert.Equal((null, expected), (found.Policy, found.Result));
        Assert.Equal(1, _host.Requests);
        using DeliveryHarness harness = Harness();
        AttemptResult[] results = [await harness.AttemptAsync(), await harness.AttemptAsync()]; // In one session.
        Assert.All(results, r => Assert.Equal((OutcomeKind.Delivered, $"may {expected.Word()}"), (r.Outcomes[0]!.Kind, r.TlsOutcome!.ToString())));
        TlsObservation told = Assert.Single(harness.Observations);
        Assert.Equal((expected, "sts", found.Reason, null, null, null), (told.Result, told.Policy.TypeWord, told.Reason, told.MxHost, told.Local, told.Remote));
        Assert.Equal($"Warning {found.Reason}; mail to the domain goes out as if it had none", Assert.Single(_log.Lines));
    }

    [Fact]
    public async Task What_is_wrong_with_a_policy_is_logged_once_a_day_until_it_can_be_had()
    {
        async Task<int> LinesAsync(TimeSpan later)
        {
            await AdvanceAsync(later);
            await FindAsync();
            return _log.Lines.Count;
        }
        _host.Status = "404 Not Found";

        Assert.Equal(1, await LinesAsync(TimeSpan.Zero));
        Assert.Equal(1, await LinesAsync(TimeSpan.FromMinutes(6)));
        Assert.Equal(1, await LinesAsync(TimeSpan.FromHours(23)));
        Assert.Equal(3, _host.Requests);
        Assert.Equal(2, await LinesAsync(TimeSpan.FromHours(1)));
        _host.Fields = "Content-Type: text/html\r\n";
        _host.Status = "200 OK";
        Assert.Equal(3, await LinesAsync(TimeSpan.FromMinutes(6))); // It is another fault.
        _host.Fields = "Content-Type: text/plain\r\n";
        Assert.Equal(3, await LinesAsync(TimeSpan.FromMinutes(6)));
        _host.Status = "404 Not Found";
        await AdvanceAsync(TimeSpan.FromDays(1.1));
        await _policies.RefreshAsync(CancellationToken.None);
        Assert.Equal(4, _log.Lines.Count);
        Assert.EndsWith("; the one fetched before counts until 2026-03-09 12:18:00Z", _log.Lines.Last(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_policy_host_must_prove_its_name_and_lie_outside()
    {
        _host.Certificate = _authority.Serve(_authority.Issue(["dest.test"]));
        Assert.Equal(TlsResult.StsWebPkiInvalid, (await FindAsync()).Result);
        _queue.Options.Delivery.AllowLoopback = false;
        await SetIdAsync("2");
        await AdvanceAsync(TimeSpan.FromMinutes(6));

        StsFinding inside = await FindAsync();

        Assert.Equal((TlsResult.StsPolicyFetchError, 0), (inside.Result, _host.Requests));
        Assert.Contains("loopback", inside.Reason, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_fetch_never_leaves_from_an_address_that_is_not_ours_alone()
    {
        _policies.Dispose();
        _policies = Start(mayLeave: false);

        Assert.Equal(TlsResult.StsPolicyFetchError, (await FindAsync()).Result);
        Assert.Equal(0, _host.Requests);
    }

    [Fact]
    public async Task Enforced_mail_goes_to_a_verified_host_of_the_policy_alone()
    {
        AttemptResult good = await AttemptAsync();
        _hop.Certificate = _authority.Serve(_authority.Issue(["elsewhere.test"]));
        AttemptResult wrongName = await AttemptAsync();
        _hop.Certificate = _authority.Serve(_authority.Issue(["mx1.dest.test"], DateTimeOffset.UnixEpoch.AddDays(9)));
        AttemptResult expired = await AttemptAsync();
        _hop.Certificate = null; // Self-signed.
        AttemptResult selfSigned = await AttemptAsync();
        _hop.Extensions.Remove("STARTTLS");
        AttemptResult plain = await AttemptAsync();
        _host.Policy = "version: STSv1\nmode: enforce\nmx: other.dest.test\nmax_age: 604800\n";
        await SetIdAsync("2");
        AttemptResult wrongMx = await AttemptAsync();

        Assert.Equal("sts ok", good.TlsOutcome!.ToString());
        Assert.Equal(
            ["certificate-host-mismatch", "certificate-expired", "certificate-not-trusted", "starttls-not-supported", "validation-failure"],
            new[] { wrongName, expired, selfSigned, plain, wrongMx }.Select(r => r.TlsOutcome!.Result.Word()));
        Assert.All(new[] { wrongName, expired, selfSigned, plain, wrongMx }, r => Assert.Equal((OutcomeKind.Deferred, "4.7.5"), (r.Outcomes[0]!.Kind, r.Outcomes[0]!.Status)));
        Assert.Single(_hop.Messages);
    }

    [Fact]
    public async Task Testing_lets_mail_go_and_tells_of_what_is_wrong()
    {
        _host.Policy = _host.Policy.Replace("enforce", "testing", StringComparison.Ordinal);
        _hop.Certificate = null;
        var told = new List<TlsObservation>();

        AttemptResult selfSigned = await AttemptAsync(told);
        _hop.Extensions.Remove("STARTTLS");
        AttemptResult plain = await AttemptAsync(told);

        Assert.All(new[] { selfSigned, plain }, r => Assert.Equal(OutcomeKind.Delivered, r.Outcomes[0]!.Kind));
        Assert.Equal([TlsResult.CertificateNotTrusted, TlsResult.StartTlsNotSupported], told.Select(o => o.Result));
        Assert.All(told, o => Assert.Equal(("sts", "*.dest.test"), (o.Policy.TypeWord, o.Policy.MxHosts.Single())));
    }

    [Fact]
    public async Task DANE_wins_where_both_are_there()
    {
        _dns.Authentic = true;
        _queue.Options.Delivery.ResolverTrusted = true;
        _dns.Tlsa($"_{_hop.EndPoint.Port}._tcp.mx1.dest.test", 3, 1, 1, new byte[32]);

        AttemptResult result = await AttemptAsync();

        Assert.Equal((OutcomeKind.Deferred, "dane certificate-not-trusted"), (result.Outcomes[0]!.Kind, result.TlsOutcome!.ToString()));
        Assert.Equal(0, _host.Requests);
    }

    [Fact]
    public async Task A_policy_counts_beside_TLSA_records_of_which_none_is_usable()
    {
        _dns.Authentic = true;
        _queue.Options.Delivery.ResolverTrusted = true;
        _dns.Tlsa($"_{_hop.EndPoint.Port}._tcp.mx1.dest.test", 1, 1, 1, new byte[32]);
        var told = new List<TlsObservation>();

        AttemptResult good = await AttemptAsync(told);
        _hop.Certificate = null;
        AttemptResult selfSigned = await AttemptAsync(told);

        Assert.Equal("sts ok", good.TlsOutcome!.ToString());
        Assert.Equal((OutcomeKind.Deferred, "sts certificate-not-trusted"), (selfSigned.Outcomes[0]!.Kind, selfSigned.TlsOutcome!.ToString()));
        Assert.Equal([("sts", TlsResult.Ok), ("sts", TlsResult.CertificateNotTrusted)], told.Select(o => (o.Policy.TypeWord, o.Result)));
        _host.Policy = _host.Policy.Replace("enforce", "testing", StringComparison.Ordinal);
        await SetIdAsync("2");
        Assert.Equal("encrypt ok", (await AttemptAsync()).TlsOutcome!.ToString());
    }

    [Fact]
    public async Task REQUIRETLS_waits_where_a_policy_cannot_be_had_for_now()
    {
        DeliveryJob job = DeliveryHarness.Job(DeliveryHarness.Job().Message with { RequiresTls = true });
        using DeliveryHarness harness = Harness();
        _dns.Broken["_mta-sts.dest.test"] = true;

        AttemptResult unanswered = await harness.AttemptAsync(job);
        _dns.Broken.Clear();
        await AdvanceAsync(TimeSpan.FromSeconds(11)); // So long a failure is kept.
        _host.Status = "500 Oops";
        AttemptResult unfetched = await harness.AttemptAsync(job);

        Assert.All(new[] { unanswered, unfetched }, r => Assert.Equal((OutcomeKind.Deferred, "4.7.5"), (r.Outcomes[0]!.Kind, r.Outcomes[0]!.Status)));
        Assert.Equal((TlsResult.StsPolicyFetchError, "sts"), (Assert.Single(harness.Observations).Result, harness.Observations[0].Policy.TypeWord)); // Not of our DNS.
    }

    [Fact]
    public async Task The_senders_own_TLS_Required_No_overrides_the_policy()
    {
        _hop.Certificate = null;
        DeliveryJob job = DeliveryHarness.Job(DeliveryHarness.Job().Message with { IgnoresTlsPolicies = true });
        using DeliveryHarness harness = Harness();

        Assert.Equal(OutcomeKind.Delivered, (await harness.AttemptAsync(job)).Outcomes[0]!.Kind);
        Assert.Equal(0, _host.Requests);
    }

    [Fact]
    public async Task REQUIRETLS_goes_to_a_verified_host_that_offers_it_and_else_fails()
    {
        DeliveryJob job = DeliveryHarness.Job(DeliveryHarness.Job().Message with { RequiresTls = true });
        using DeliveryHarness harness = Harness();

        AttemptResult lacks = await harness.AttemptAsync(job);
        Assert.Equal((OutcomeKind.Failed, "5.7.30"), (lacks.Outcomes[0]!.Kind, lacks.Outcomes[0]!.Status));
        harness.Pool.CloseIdle();
        _hop.Extensions.Add("REQUIRETLS");
        Assert.Equal(OutcomeKind.Delivered, (await harness.AttemptAsync(job)).Outcomes[0]!.Kind);
        Assert.Contains(_hop.Commands, c => c.StartsWith("MAIL ", StringComparison.Ordinal) && c.EndsWith(" REQUIRETLS", StringComparison.Ordinal));
        harness.Pool.CloseIdle();
        _hop.Certificate = null;
        AttemptResult unverified = await harness.AttemptAsync(job);
        Assert.Equal((OutcomeKind.Failed, "5.7.10"), (unverified.Outcomes[0]!.Kind, unverified.Outcomes[0]!.Status));
        DeliveryJob report = DeliveryHarness.Job(job.Message with { ReversePath = ReversePath.Null, IsDsn = true });
        AttemptResult waits = await harness.AttemptAsync(report); // Nobody would hear of a report that fails.
        Assert.Equal((OutcomeKind.Deferred, "4.7.5"), (waits.Outcomes[0]!.Kind, waits.Outcomes[0]!.Status));
        Assert.Single(_hop.Messages);

        _dns.Mx("open.test", 10, "mx1.dest.test");
        DeliveryJob open = DeliveryHarness.Job(job.Message, "a@open.test");
        int told = harness.Observations.Count;
        AttemptResult unsafeHosts = await harness.AttemptAsync(open);
        Assert.Equal((OutcomeKind.Failed, "5.7.10"), (unsafeHosts.Outcomes[0]!.Kind, unsafeHosts.Outcomes[0]!.Status));
        Assert.Equal(told, harness.Observations.Count); // The domain has published nothing that would be wrong.
    }

    private StsPolicies Start(bool mayLeave = true)
    {
        var dns = new DnsResolver(new DnsServers(_dns.EndPoint.ToString(), _queue.Time), _queue.Time);
        var authorities = new TrustedAuthorities(_queue.Options.Delivery.Tls.AuthoritiesPath);
        var dialer = new OutwardDialer(dns, (_, _) => new((IPAddress?)null), (_, _) => new(mayLeave));
        var fetcher = new StsFetcher(_queue.Options.Delivery, dialer, authorities, _queue.Time);
        return new StsPolicies(_queue.Store, _queue.Writer, dns, fetcher, _queue.Time, _log);
    }

    private Task<StsFinding> FindAsync() => _policies.FindAsync("dest.test", CancellationToken.None).AsTask().WaitAsync(TimeSpan.FromSeconds(10));

    private async Task SetIdAsync(string id)
    {
        _dns.Remove("_mta-sts.dest.test", DnsType.Txt);
        _dns.Txt("_mta-sts.dest.test", $"v=STSv1; id={id};");
        await AdvanceAsync(TimeSpan.FromSeconds(61)); // The record's time to live.
    }

    private Task AdvanceAsync(TimeSpan by)
    {
        _queue.Time.Advance(by);
        return Task.CompletedTask;
    }

    private DeliveryHarness Harness() => new("mx", change: o =>
    {
        o.Delivery.AllowLoopback = true;
        o.Delivery.MxPort = _hop.EndPoint.Port;
        o.Delivery.Resolver = _dns.EndPoint.ToString();
        o.Delivery.ResolverTrusted = _queue.Options.Delivery.ResolverTrusted;
        o.Delivery.Tls.AuthoritiesPath = _queue.Options.Delivery.Tls.AuthoritiesPath;
    }, sts: _policies.FindAsync);

    private async Task<AttemptResult> AttemptAsync(List<TlsObservation>? told = null)
    {
        using DeliveryHarness harness = Harness();
        AttemptResult result = await harness.AttemptAsync();
        told?.AddRange(harness.Observations);
        return result;
    }

    private sealed class LineLogger : ILogger<StsPolicies>
    {
        public ConcurrentQueue<string> Lines { get; } = new();

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            Lines.Enqueue($"{logLevel} {formatter(state, exception)}");
    }
}
