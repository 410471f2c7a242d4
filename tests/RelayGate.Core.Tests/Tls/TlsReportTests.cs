using System.Collections.Immutable;
using System.IO.Compression;
using System.Text;
using System.Text.Json;
using RelayGate.Core.Dsn;
using RelayGate.Core.Mail;
using RelayGate.Core.Tls;
using RelayGate.Core.Tls.Reports;

namespace RelayGate.Core.Tests.Tls;

public sealed class TlsReportTests
{
    private static readonly TlsReport Report = new(
        "relay.example.net", new DateOnly(2026, 11, 22), "example.org", "admin@example.net", "01JADE0000000000000000000A",
        [
            new TlsReportPolicy(
                new PublishedTlsPolicy(TlsPolicyType.Sts, "example.org", ["version: STSv1", "mode: enforce", "mx: *.example.org", "max_age: 86400"], ["*.example.org"]), 5326, 303,
                [new TlsFailure("certificate-expired", "mx1.example.org", "192.0.2.11", "203.0.113.5", "its certificate has expired", 100), new TlsFailure("starttls-not-supported", "", "", "", "it was not offered", 203)]),
            new TlsReportPolicy(PublishedTlsPolicy.NotFound("example.org"), 7, 0, ImmutableArray<TlsFailure>.Empty),
        ]);

    [Theory]
    [InlineData("v=TLSRPTv1; rua=mailto:reports@example.org", "mailto:reports@example.org")]
    [InlineData("v=TLSRPTv1;rua=https://reporting.example.org/v1/tlsrpt", "https://reporting.example.org/v1/tlsrpt")]
    [InlineData("v=TLSRPTv1 ; rua = mailto:a@example.org , https://x.test/r ;", "mailto:a@example.org https://x.test/r")]
    [InlineData("v=TLSRPTv1;ext=1;rua=mailto:a%2Bb@example.org?subject=x", "mailto:a%2Bb@example.org?subject=x")]
    [InlineData("v=TLSRPTv1; rua=http://x.test/r,ftp://x.test/,mailto:nobody,https://user@x.test/r", "")]
    [InlineData("v=TLSRPTv1; rua=https://\u202e.example/,https://\u00ad.example/,https://a..b/,https://-.test/,https://a_b.test/", "https://a_b.test/")] // No host names but the last.
    [InlineData("v=TLSRPTv1; rua=https://203.0.113.5/r,https://[2001:db8::1]/r,https://b\u00fccher.example/r", "https://203.0.113.5/r https://[2001:db8::1]/r https://b\u00fccher.example/r")]
    [InlineData("v=TLSRPTv1; rua=mailto:a@x.test,mailto:a@x.test", "mailto:a@x.test")]
    [InlineData("v=TLSRPTv1; rua=mailto:1@x.test,mailto:2@x.test,mailto:3@x.test,mailto:4@x.test,mailto:5@x.test", "mailto:1@x.test mailto:2@x.test mailto:3@x.test mailto:4@x.test")]
    [InlineData("v=TLSRPTv2; rua=mailto:a@x.test", "")]
    [InlineData("v=TLSRPTv10; rua=mailto:a@x.test", "")]
    [InlineData("v=TLSRPTv1", "")]
    [InlineData("v=spf1 -all|v=TLSRPTv1; rua=mailto:a@x.test", "mailto:a@x.test")]
    [InlineData("v=TLSRPTv1; rua=mailto:b@x.test|v=TLSRPTv1; rua=mailto:a@x.test", "")] // More than one is none.
    [InlineData("", "")]
    public void A_record_says_where_reports_go(string records, string targets) =>
        Assert.Equal(targets, string.Join(' ', TlsReportRecord.Read(records.Split('|')).Select(static u => u.OriginalString)));

    [Fact]
    public void An_address_is_decoded_and_loses_what_else_the_URI_says() =>
        Assert.Equal("a+b@example.org", TlsReportRecord.AddressOf(new Uri("mailto:a%2Bb@example.org?subject=x"))?.Text);

    [Fact]
    public void The_report_has_the_names_of_the_standard()
    {
        using JsonDocument json = JsonDocument.Parse(TlsReportJson.Write(Report));
        JsonElement root = json.RootElement, policy = root.GetProperty("policies")[0];

        Assert.Equal("relay.example.net", root.GetProperty("organization-name").GetString());
        Assert.Equal("2026-11-22T00:00:00Z", root.GetProperty("date-range").GetProperty("start-datetime").GetString());
        Assert.Equal("2026-11-22T23:59:59Z", root.GetProperty("date-range").GetProperty("end-datetime").GetString());
        Assert.Equal("admin@example.net", root.GetProperty("contact-info").GetString());
        Assert.Equal("01JADE0000000000000000000A", root.GetProperty("report-id").GetString());
        Assert.Equal("sts", policy.GetProperty("policy").GetProperty("policy-type").GetString());
        Assert.Equal(4, policy.GetProperty("policy").GetProperty("policy-string").GetArrayLength());
        Assert.Equal("*.example.org", policy.GetProperty("policy").GetProperty("mx-host")[0].GetString());
        Assert.Equal(5326, policy.GetProperty("summary").GetProperty("total-successful-session-count").GetInt64());
        Assert.Equal(303, policy.GetProperty("summary").GetProperty("total-failure-session-count").GetInt64());
        JsonElement detail = policy.GetProperty("failure-details")[0];
        Assert.Equal("certificate-expired", detail.GetProperty("result-type").GetString());
        Assert.Equal("192.0.2.11", detail.GetProperty("sending-mta-ip").GetString());
        Assert.Equal("203.0.113.5", detail.GetProperty("receiving-ip").GetString());
        Assert.Equal("mx1.example.org", detail.GetProperty("receiving-mx-hostname").GetString());
        Assert.Equal(100, detail.GetProperty("failed-session-count").GetInt64());
        Assert.Equal("its certificate has expired", detail.GetProperty("failure-reason-code").GetString());
        Assert.False(detail.TryGetProperty("additional-information", out _)); // A URI, and we have none.
        Assert.False(policy.GetProperty("failure-details")[1].TryGetProperty("receiving-ip", out _));
        Assert.Equal("no-policy-found", root.GetProperty("policies")[1].GetProperty("policy").GetProperty("policy-type").GetString());
        Assert.False(root.GetProperty("policies")[1].TryGetProperty("failure-details", out _));
    }

    [Fact]
    public void The_mail_carries_the_packed_report_under_the_name_of_the_standard()
    {
        QueueId id = QueueId.Create(new DateTimeOffset(2026, 11, 23, 1, 0, 0, TimeSpan.Zero), 1, 2);
        ComposedDsn mail = TlsReportMail.Compose(
            id, Report, MailboxAddress.Parse("relaygate@relay.example.net"), MailboxAddress.Parse("reports@example.org"), TlsReportJson.WriteGzip(Report), id.Timestamp);
        string header = Encoding.ASCII.GetString(mail.HeaderSection), body = Encoding.ASCII.GetString(mail.Body);

        Assert.Contains("\r\nSubject: Report Domain: example.org\r\n Submitter: relay.example.net\r\n Report-ID: <01JADE0000000000000000000A>\r\n", header, StringComparison.Ordinal);
        Assert.Contains("\r\nTLS-Report-Domain: example.org\r\nTLS-Report-Submitter: relay.example.net\r\nTLS-Required: No\r\n", header, StringComparison.Ordinal);
        Assert.Contains("\r\nContent-Type: multipart/report; report-type=\"tlsrpt\";\r\n boundary=", header, StringComparison.Ordinal);
        Assert.Contains("filename=\"relay.example.net!example.org!1795305600!1795391999!01JADE0000000000000000000A.json.gz\"\r\n\r\n", body, StringComparison.Ordinal);
        Assert.All(body.Split("\r\n"), static l => Assert.InRange(l.Length, 0, 100));
        string base64 = body[body.IndexOf(".json.gz\"\r\n\r\n", StringComparison.Ordinal)..].Split("\r\n\r\n")[1];
        base64 = base64[..base64.IndexOf("\r\n--", StringComparison.Ordinal)].Replace("\r\n", "", StringComparison.Ordinal);
        using var gzip = new GZipStream(new MemoryStream(Convert.FromBase64String(base64)), CompressionMode.Decompress);
        using var unpacked = new MemoryStream();
        gzip.CopyTo(unpacked);
        Assert.Equal(TlsReportJson.Write(Report), unpacked.ToArray());
    }
}
