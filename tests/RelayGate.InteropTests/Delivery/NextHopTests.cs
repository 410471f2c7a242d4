using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using RelayGate.InteropTests.Clients;
using RelayGate.InteropTests.Infrastructure;

namespace RelayGate.InteropTests.Delivery;

/// <summary>What the next hop offers decides how a message is sent there; what it lacks is never hidden from the sender.</summary>
public sealed class NextHopTests(LoopbackGateway host) : IClassFixture<LoopbackGateway>
{
    [Fact]
    public async Task STARTTLS_is_used_where_it_is_offered()
    {
        using X509Certificate2 certificate = SelfSigned();
        await using SinkServer sink = SinkServer.Start();
        sink.Certificate = certificate;
        await using GatewayProcess gateway = await GatewayProcess.StartAsync(sink);
        await gateway.AddShopAsync();

        await SendAsync(gateway, "over TLS", "MAIL FROM:<info@shop.test>", "RCPT TO:<ann@example.com>");

        Assert.True((await sink.ReceiveAsync("Subject: over TLS\r\n")).Tls);
    }

    [Fact]
    public async Task Parameters_of_the_DSN_extension_are_passed_on()
    {
        await SendAsync(host.Gateway, "with DSN parameters", "MAIL FROM:<info@shop.test> RET=HDRS ENVID=a+2Bb",
            "RCPT TO:<ann@example.com> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;Ann@example.com");

        SinkMessage message = await host.Sink.ReceiveAsync("Subject: with DSN parameters\r\n");
        Assert.Contains("RET=HDRS", message.Mail, StringComparison.Ordinal);
        Assert.Contains("ENVID=a+2Bb", message.Mail, StringComparison.Ordinal);
        Assert.Contains("NOTIFY=SUCCESS,DELAY", message.Recipients[0], StringComparison.Ordinal);
        Assert.Contains("ORCPT=rfc822;Ann@example.com", message.Recipients[0], StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_next_hop_without_SMTPUTF8_fails_a_non_ASCII_address_with_a_report_in_ASCII()
    {
        await using SinkServer sink = SinkServer.Start();
        sink.Extensions = ["PIPELINING", "8BITMIME"];
        await using GatewayProcess gateway = await GatewayProcess.StartAsync(sink);
        await gateway.AddShopAsync();

        await SendAsync(gateway, "to a non-ASCII address", "MAIL FROM:<info@shop.test> SMTPUTF8", RcptUtf8);

        SinkMessage report = (await sink.ReceiveAsync(static m => m.ReversePath == "<>"))[0];
        Assert.Equal("<info@shop.test>", report.Recipients[0].Split(' ')[0]);
        Assert.Contains("Status: 5.6.7", report.Body, StringComparison.Ordinal);
        Assert.DoesNotContain(report.Data, static octet => octet >= 128);
        Assert.Single(sink.Messages);
    }

    [Fact]
    public async Task SMTPUTF8_is_asked_for_only_where_an_address_needs_it()
    {
        await SendAsync(host.Gateway, "plain with SMTPUTF8", "MAIL FROM:<info@shop.test> SMTPUTF8", "RCPT TO:<ann@example.com>");
        await SendAsync(host.Gateway, "needs SMTPUTF8", "MAIL FROM:<info@shop.test> SMTPUTF8", RcptUtf8);

        Assert.DoesNotContain("SMTPUTF8", (await host.Sink.ReceiveAsync("Subject: plain with SMTPUTF8\r\n")).Mail, StringComparison.Ordinal);
        SinkMessage message = await host.Sink.ReceiveAsync("Subject: needs SMTPUTF8\r\n");
        Assert.Contains("SMTPUTF8", message.Mail, StringComparison.Ordinal);
        Assert.StartsWith("<j\u00f6rg@example.com>", message.Recipients[0], StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_permanent_failure_is_reported_once_and_a_report_never()
    {
        await using SinkServer sink = SinkServer.Start();
        sink.Reply = static line => line.StartsWith("RCPT", StringComparison.Ordinal) ? "550 5.1.1 No such user" : null;
        await using GatewayProcess gateway = await GatewayProcess.StartAsync(sink);
        await gateway.AddShopAsync();

        await SendAsync(gateway, "fails", "MAIL FROM:<info@shop.test>", "RCPT TO:<ann@example.com>");

        // The report to info@shop.test is refused by the same next hop; that must be the end of it.
        await Eventually.TrueAsync(async () => (await gateway.CliJsonAsync("queue", "list"))["items"]!.AsArray().Count == 0
            && (await gateway.CliJsonAsync("message", "list"))["items"]!.AsArray().Count == 2, "two records, and nothing queued");
        Assert.Empty(sink.Messages);
    }

    /// <summary>RCPT TO:&lt;jörg@example.com&gt;, one character for each octet of its UTF-8.</summary>
    private const string RcptUtf8 = "RCPT TO:<j\u00c3\u00b6rg@example.com>";

    private static async Task SendAsync(GatewayProcess gateway, string subject, string mail, string rcpt)
    {
        using SmtpDialog dialog = await SmtpDialog.ConnectAsync(gateway.Port);
        await dialog.LogInAsync("info@shop.test", GatewayProcess.Password);
        await dialog.ExpectAsync(mail, "250");
        await dialog.ExpectAsync(rcpt, "250");
        await dialog.ExpectAsync("DATA", "354");
        await dialog.ExpectAsync($"From: info@shop.test\r\nSubject: {subject}\r\n\r\nx\r\n.", "250 2.0.0");
    }

    private static X509Certificate2 SelfSigned()
    {
        using RSA key = RSA.Create(2048);
        var request = new CertificateRequest("CN=sink.test", key, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1);
        using X509Certificate2 made = request.CreateSelfSigned(TimeProvider.System.GetUtcNow().AddDays(-1), TimeProvider.System.GetUtcNow().AddDays(1));
        return X509CertificateLoader.LoadPkcs12(made.Export(X509ContentType.Pkcs12), null);
    }
}
