using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using RelayGate.Core.Dns;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Core.Tls;
using RelayGate.Delivery;
using RelayGate.Tls;
using RelayGate.Tests.Fakes;

namespace RelayGate.Tests.Delivery;

/// <summary>TLSA records and what mail does with them (RFC 7672).</summary>
public sealed class DaneTests : IAsyncLifetime, IDisposable
{
    private readonly TestAuthority _authority = new();
    private readonly FakeDns _dns = new() { Authentic = true };
    private readonly FakeNextHop _hop = new(IPAddress.Parse("127.0.0.31"));
    private X509Certificate2 _certificate = null!;

    private string TlsaName => $"_{_hop.EndPoint.Port}._tcp.mx.dest.test";

    public Task InitializeAsync()
    {
        _hop.Extensions.Add("STARTTLS");
        Show(_authority.Issue(["mx.dest.test"]));
        _dns.Mx("dest.test", 10, "mx.dest.test").A("mx.dest.test", "127.0.0.31");
        return Task.CompletedTask;
    }

    public async Task DisposeAsync()
    {
        await _hop.DisposeAsync();
        await _dns.DisposeAsync();
    }

    public void Dispose() => _authority.Dispose();

    [Theory]
    [InlineData(3, 0, 0)]
    [InlineData(3, 0, 1)]
    [InlineData(3, 0, 2)]
    [InlineData(3, 1, 0)]
    [InlineData(3, 1, 1)]
    [InlineData(3, 1, 2)]
    [InlineData(2, 0, 0)]
    [InlineData(2, 0, 1)]
    [InlineData(2, 1, 1)]
    [InlineData(2, 1, 2)]
    public async Task A_certificate_that_fits_is_delivered_to_verified(byte usage, byte selector, byte matching)
    {
        Tlsa(usage, selector, matching, usage == 3 ? _certificate : _authority.Intermediate);

        (AttemptResult result, DeliveryHarness harness) = await AttemptAsync();

        Assert.Equal(OutcomeKind.Delivered, result.Outcomes[0]!.Kind);
        Assert.Equal("dane ok", result.TlsOutcome!.ToString());
        Assert.True(result.TlsOutcome.IsVerified);
        Assert.Equal(["mx.dest.test"], _hop.ServerNames);
        TlsObservation observed = Assert.Single(harness.Observations);
        Assert.Equal((TlsResult.Ok, "tlsa", "mx.dest.test", "dest.test"), (observed.Result, observed.Policy.TypeWord, observed.Policy.Domain, observed.RecipientDomain));
        Assert.Equal(1, harness.Metrics.TlsPolicies.Value("dane", "ok"));
    }

    [Fact]
    public async Task An_authority_may_be_the_record_itself_which_the_host_does_not_send()
    {
        Tlsa(2, 0, 0, _authority.Root);

        Assert.Equal("dane ok", (await AttemptAsync()).Result.TlsOutcome!.ToString());
    }

    [Fact]
    public void An_authority_may_be_the_root_that_the_host_sends()
    {
        using var sent = new X509Chain();
        sent.ChainPolicy.ExtraStore.AddRange(new[] { _authority.Intermediate, _authority.Root });
        var policy = new TlsPolicy(TlsMode.Dane)
        {
            Names = ["mx.dest.test"],
            Tlsa = [new TlsaRecord("", 1, 2, 0, 1, [.. SHA256.HashData(_authority.Root.RawData)])],
        };

        Assert.Equal((TlsResult.Ok, null), PeerCertificate.Check(policy, _certificate, sent));
    }

    [Fact]
    public async Task A_certificate_that_its_record_speaks_of_may_be_expired_and_for_another_name()
    {
        Show(_authority.Issue(["elsewhere.test"], DateTimeOffset.UnixEpoch.AddDays(30)));
        Tlsa(3, 1, 1, _certificate);

        Assert.Equal("dane ok", (await AttemptAsync()).Result.TlsOutcome!.ToString());
    }

    [Fact]
    public async Task Under_an_authority_name_and_date_count()
    {
        Tlsa(2, 0, 1, _authority.Intermediate);
        Show(_authority.Issue(["elsewhere.test"]));
        await AssertDeferredAsync(TlsResult.CertificateHostMismatch);
        Show(_authority.Issue(["mx.dest.test"], DateTimeOffset.UnixEpoch.AddDays(30)));
        await AssertDeferredAsync(TlsResult.CertificateExpired);
        Show(_authority.Issue(["dest.test"])); // The recipients' domain is a name too (RFC 7672 §3.2.2).
        Assert.Equal("dane ok", (await AttemptAsync()).Result.TlsOutcome!.ToString());
        using var other = new TestAuthority("other.test");
        _certificate = other.Issue(["mx.dest.test"]);
        _hop.Certificate = other.Serve(_certificate);
        await AssertDeferredAsync(TlsResult.CertificateNotTrusted);
    }

    [Fact]
    public async Task An_impostor_who_sends_the_authority_along_but_is_not_certified_by_it_is_not_believed()
    {
        Tlsa(2, 0, 1, _authority.Intermediate);
        using var impostor = new TestAuthority();
        X509Certificate2 forged = impostor.Issue(["mx.dest.test"]);
        _hop.Certificate = System.Net.Security.SslStreamCertificateContext.Create(forged, [_authority.Intermediate, _authority.Root], offline: true);

        await AssertDeferredAsync(TlsResult.CertificateNotTrusted);
    }

    [Fact]
    public async Task No_certificate_of_another_key_no_plain_text_and_no_failed_handshake_gets_mail()
    {
        using X509Certificate2 other = _authority.Issue(["mx.dest.test"]);
        Tlsa(3, 1, 1, other);
        await AssertDeferredAsync(TlsResult.CertificateNotTrusted);
        _hop.Extensions.Remove("STARTTLS");
        await AssertDeferredAsync(TlsResult.StartTlsNotSupported);
        _hop.Extensions.Add("STARTTLS");
        _hop.Script = e => e.Verb == "STARTTLS" ? new HopAction.Raw("454 4.7.0 not now\r\n") : null;
        await AssertDeferredAsync(TlsResult.StartTlsNotSupported);
        _hop.Script = e => e.Verb == "STARTTLS" ? new HopAction.FailHandshake() : null;
        await AssertDeferredAsync(TlsResult.ValidationFailure);
    }

    [Fact]
    public async Task A_host_that_fails_is_passed_over_for_one_that_does_not()
    {
        await using var second = new FakeNextHop(IPAddress.Parse("127.0.0.32"), _hop.EndPoint.Port) { Certificate = _hop.Certificate };
        second.Extensions.Add("STARTTLS");
        _dns.Mx("dest.test", 20, "mx2.dest.test").A("mx2.dest.test", "127.0.0.32").Tlsa($"_{_hop.EndPoint.Port}._tcp.mx2.dest.test", 3, 1, 1, KeyHash(_certificate));
        _dns.Broken[TlsaName] = true;

        (AttemptResult result, DeliveryHarness harness) = await AttemptAsync();

        Assert.Equal((OutcomeKind.Delivered, "mx2.dest.test"), (result.Outcomes[0]!.Kind, result.NextHop!.Host));
        Assert.Equal(0, _hop.Connections);
        Assert.Equal([TlsResult.DnssecInvalid, TlsResult.Ok], harness.Observations.Select(o => o.Result));
    }

    [Fact]
    public async Task A_lookup_that_fails_waits_and_never_falls_back()
    {
        _dns.Broken[TlsaName] = true;

        (AttemptResult result, _) = await AttemptAsync();

        Assert.Equal((OutcomeKind.Deferred, "4.7.5"), (result.Outcomes[0]!.Kind, result.Outcomes[0]!.Status));
        Assert.Equal(0, _hop.Connections);
    }

    [Fact]
    public async Task An_address_lookup_that_fails_takes_nothing_of_what_the_other_proves()
    {
        using X509Certificate2 other = _authority.Issue(["mx.dest.test"]);
        Tlsa(3, 1, 1, other);
        _dns.BrokenQuestions[new DnsQuestion("mx.dest.test", DnsType.Aaaa)] = true;
        await AssertDeferredAsync(TlsResult.CertificateNotTrusted);

        _dns.Mx("other.test", 10, "mx.other.test").Cname("mx.other.test", "host.provider.test").Aaaa("host.provider.test", "2001:db8::1");
        _dns.BrokenQuestions[new DnsQuestion("mx.other.test", DnsType.A)] = true;
        using DeliveryHarness harness = Harness(trusted: true);
        NextHopPlan plan = await harness.Resolver.ResolveAsync("acme", new ForwardPath(MailboxAddress.Parse("b@other.test")), CancellationToken.None);
        Assert.Equal((true, "host.provider.test"), (Assert.Single(plan.Addresses).IsSecure, plan.Addresses[0].AliasedTo));
    }

    [Fact]
    public async Task An_alias_that_cannot_be_looked_up_by_itself_is_passed_over()
    {
        _dns.Clear();
        using X509Certificate2 other = _authority.Issue(["mx.dest.test"]);
        _dns.Mx("dest.test", 10, "mx.dest.test").Cname("mx.dest.test", "host.provider.test").A("host.provider.test", "127.0.0.31");
        Tlsa(3, 1, 1, other);
        _dns.Insecure["host.provider.test"] = true;
        _dns.BrokenQuestions[new DnsQuestion("mx.dest.test", DnsType.Cname)] = true;

        await AssertDeferredAsync(TlsResult.DnssecInvalid);
        Assert.Equal(0, _hop.Connections);
    }

    [Theory]
    [InlineData(TlsMode.Verify, "verify certificate-not-trusted")]
    [InlineData(TlsMode.Dane, "encrypt tlsa-invalid")]
    public async Task Records_of_which_none_is_usable_lower_nothing_that_is_configured(TlsMode mode, string expected)
    {
        _dns.Tlsa(TlsaName, 1, 1, 1, new byte[32]);

        (AttemptResult result, _) = await AttemptAsync(mode: mode);

        Assert.Equal((OutcomeKind.Deferred, "4.7.5", expected), (result.Outcomes[0]!.Kind, result.Outcomes[0]!.Status, result.TlsOutcome!.ToString()));
        Assert.Empty(_hop.Messages);
    }

    [Fact]
    public async Task Records_of_which_none_is_usable_demand_TLS_without_more()
    {
        _dns.Tlsa(TlsaName, 1, 1, 1, new byte[32]).Tlsa(TlsaName, 3, 1, 1, [1, 2]).Tlsa(TlsaName, 3, 7, 1, new byte[32]);
        Show(_authority.Issue(["elsewhere.test"]));

        (AttemptResult result, DeliveryHarness harness) = await AttemptAsync();

        Assert.Equal((OutcomeKind.Delivered, "encrypt tlsa-invalid"), (result.Outcomes[0]!.Kind, result.TlsOutcome!.ToString()));
        Assert.Equal(TlsResult.TlsaInvalid, Assert.Single(harness.Observations).Result);
        _hop.Extensions.Remove("STARTTLS");
        await AssertDeferredAsync(TlsResult.StartTlsNotSupported);
    }

    [Theory]
    [InlineData("dest.test")] // The MX answer.
    [InlineData("mx.dest.test")] // The addresses.
    [InlineData("tlsa")]
    public async Task What_DNSSEC_does_not_protect_is_no_DANE(string insecure)
    {
        using X509Certificate2 other = _authority.Issue(["mx.dest.test"]);
        Tlsa(3, 1, 1, other);
        _dns.Insecure[insecure == "tlsa" ? TlsaName : insecure] = true;

        (AttemptResult result, _) = await AttemptAsync();

        Assert.Equal((OutcomeKind.Delivered, "may ok"), (result.Outcomes[0]!.Kind, result.TlsOutcome!.ToString()));
        Assert.Equal(insecure == "tlsa", _dns.Questions.Any(q => q.Question.Name == TlsaName)); // §2.1.3: not even asked for.
    }

    [Fact]
    public async Task A_resolver_that_nobody_trusts_gives_no_DANE()
    {
        using X509Certificate2 other = _authority.Issue(["mx.dest.test"]);
        Tlsa(3, 1, 1, other);

        (AttemptResult result, _) = await AttemptAsync(trusted: null);

        Assert.Equal("may ok", result.TlsOutcome!.ToString());
    }

    [Fact]
    public async Task An_alias_is_looked_up_at_its_end_first_and_at_its_own_name_when_the_end_is_insecure()
    {
        _dns.Clear();
        string end = $"_{_hop.EndPoint.Port}._tcp.host.provider.test";
        _dns.Mx("dest.test", 10, "mx.dest.test").Cname("mx.dest.test", "host.provider.test").A("host.provider.test", "127.0.0.31").Tlsa(end, 3, 1, 1, KeyHash(_certificate));

        Assert.Equal("dane ok", (await AttemptAsync()).Result.TlsOutcome!.ToString());
        Assert.Equal("host.provider.test", Assert.Single(_hop.ServerNames)); // SNI is the base domain of the records.

        using X509Certificate2 other = _authority.Issue(["mx.dest.test"]);
        _dns.Remove(end, DnsType.Tlsa);
        Tlsa(3, 1, 1, other);
        await AssertDeferredAsync(TlsResult.CertificateNotTrusted);
        _dns.Insecure["host.provider.test"] = true;
        await AssertDeferredAsync(TlsResult.CertificateNotTrusted);
        _dns.Insecure["mx.dest.test"] = true;
        Assert.Equal("may ok", (await AttemptAsync()).Result.TlsOutcome!.ToString());
    }

    [Fact]
    public async Task A_session_that_was_opened_without_verification_never_serves_mail_that_needs_it()
    {
        _dns.Mx("other.test", 10, "mx.dest.test");
        _dns.Insecure["other.test"] = true;
        Tlsa(3, 1, 1, _certificate);
        using DeliveryHarness harness = Harness(trusted: true);

        AttemptResult open = await harness.AttemptAsync("x\r\n", "a@other.test");
        AttemptResult verified = await harness.AttemptAsync("x\r\n", "a@dest.test");
        AttemptResult again = await harness.AttemptAsync("x\r\n", "b@dest.test");

        Assert.Equal(["may ok", "dane ok", "dane ok"], new[] { open, verified, again }.Select(r => r.TlsOutcome!.ToString()));
        Assert.Equal(2, _hop.Connections);
    }

    [Fact]
    public async Task DANE_that_is_configured_is_demanded_of_those_who_have_none()
    {
        (AttemptResult result, DeliveryHarness harness) = await AttemptAsync(mode: TlsMode.Dane);

        Assert.Equal((OutcomeKind.Deferred, "4.7.5"), (result.Outcomes[0]!.Kind, result.Outcomes[0]!.Status));
        Assert.Equal(TlsResult.DaneRequired, Assert.Single(harness.Observations).Result);
        Assert.Equal(0, _hop.Connections);
    }

    private void Show(X509Certificate2 certificate)
    {
        _certificate = certificate;
        _hop.Certificate = _authority.Serve(certificate);
    }

    private void Tlsa(byte usage, byte selector, byte matching, X509Certificate2 certificate)
    {
        byte[] selected = selector == 0 ? certificate.RawData : certificate.PublicKey.ExportSubjectPublicKeyInfo();
        _dns.Tlsa(TlsaName, usage, selector, matching, matching switch { 1 => SHA256.HashData(selected), 2 => SHA512.HashData(selected), _ => selected });
    }

    private static byte[] KeyHash(X509Certificate2 certificate) => SHA256.HashData(certificate.PublicKey.ExportSubjectPublicKeyInfo());

    private async Task AssertDeferredAsync(TlsResult expected)
    {
        (AttemptResult result, DeliveryHarness harness) = await AttemptAsync();
        Assert.Equal((OutcomeKind.Deferred, "4.7.5", expected), (result.Outcomes[0]!.Kind, result.Outcomes[0]!.Status, result.TlsOutcome!.Result));
        Assert.Equal(expected, harness.Observations[^1].Result);
        Assert.Empty(_hop.Messages);
    }

    private async Task<(AttemptResult Result, DeliveryHarness Harness)> AttemptAsync(bool? trusted = true, TlsMode mode = TlsMode.May)
    {
        _hop.Messages.Clear();
        _hop.ServerNames.Clear();
        using DeliveryHarness harness = Harness(trusted, mode);
        return (await harness.AttemptAsync("Hello\r\n", "b@dest.test"), harness);
    }

    private DeliveryHarness Harness(bool? trusted, TlsMode mode = TlsMode.May) => new("mx", change: o =>
    {
        o.Delivery.AllowLoopback = true;
        o.Delivery.MxPort = _hop.EndPoint.Port;
        o.Delivery.Resolver = _dns.EndPoint.ToString();
        o.Delivery.ResolverTrusted = trusted;
        o.Delivery.Tls.Policy = mode;
    });
}
