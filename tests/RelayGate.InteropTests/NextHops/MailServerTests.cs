using System.Text;
using RelayGate.InteropTests.Infrastructure;

namespace RelayGate.InteropTests.NextHops;

/// <summary>Postfix, Exim and OpenSMTPD as next hops, each with its own quirks; behind each a sink that shows what arrived.</summary>
public sealed class MailServerTests
{
    [MailServerTheory]
    [InlineData(MailServer.Postfix, "")]
    [InlineData(MailServer.Postfix, "smtpd_discard_ehlo_keywords = chunking")]
    [InlineData(MailServer.Postfix, "smtpd_discard_ehlo_keywords = chunking, pipelining, dsn")]
    [InlineData(MailServer.Postfix, "smtpd_discard_ehlo_keywords = 8bitmime, smtputf8, size")]
    [InlineData(MailServer.Exim, "chunking_advertise_hosts = *")]
    [InlineData(MailServer.Exim, "chunking_advertise_hosts =")]
    [InlineData(MailServer.Exim, "chunking_advertise_hosts =\npipelining_advertise_hosts =")]
    [InlineData(MailServer.Exim, "dsn_advertise_hosts = *\nprdr_enable = true")]
    [InlineData(MailServer.OpenSmtpd, "")]
    public async Task Bodies_arrive_octet_for_octet(string server, string settings)
    {
        await using SinkServer sink = SinkServer.Start();
        await using MailServer next = await MailServer.StartAsync(server, sink, settings.Split('\n'));
        await using GatewayProcess gateway = await StartAsync(next);
        string body = NastyBody.Make(longest: server == MailServer.OpenSmtpd ? 998 : 20_000, eightBit: true);
        string large = string.Concat(Enumerable.Repeat(NastyBody.Make(998, eightBit: false), 60)); // Past what goes along with BDAT.

        foreach ((string subject, string sent) in new[] { ("first", body), ("nasty", body), ("large", large) }) // The first by DATA, the second by BDAT where that is offered.
        {
            Assert.StartsWith("250", await SendAsync(gateway, subject, sent, "ann@dest.test"), StringComparison.Ordinal);
            Assert.Equal(sent, (await ReceiveAsync(sink, next, $"Subject: {subject}\r\n")).Body);
        }
        Assert.StartsWith("5", await SendAsync(gateway, "nul", "a\0b\r\n", "ann@dest.test"), StringComparison.Ordinal);
        Assert.Equal(3, sink.Messages.Count);
    }

    [MailServerTheory]
    [InlineData(MailServer.Postfix, "smtpd_tls_security_level = may\nsmtpd_tls_cert_file = CERT\nsmtpd_tls_key_file = KEY")]
    [InlineData(MailServer.Exim, "tls_advertise_hosts = *\ntls_certificate = CERT\ntls_privatekey = KEY\nchunking_advertise_hosts = *")]
    public async Task STARTTLS_is_used_and_bodies_arrive_octet_for_octet(string server, string settings)
    {
        using var folder = new TestFolder();
        (string certificate, string key) = MailServer.MakeCertificate(folder);
        File.SetUnixFileMode(key, server == MailServer.Exim ? TestFolder.Traversable : UnixFileMode.UserRead | UnixFileMode.UserWrite);
        await using SinkServer sink = SinkServer.Start();
        await using MailServer next = await MailServer.StartAsync(server, sink, settings.Replace("CERT", certificate, StringComparison.Ordinal).Replace("KEY", key, StringComparison.Ordinal).Split('\n'));
        await using GatewayProcess gateway = await StartAsync(next);
        string body = string.Concat(Enumerable.Repeat(NastyBody.Make(998, eightBit: true), 60));

        string reference = (await SendAsync(gateway, "over TLS", body, "ann@dest.test"))!.Split("; ref ")[1];

        Assert.Equal(body, (await ReceiveAsync(sink, next, "Subject: over TLS\r\n")).Body);
        await Eventually.TrueAsync(async () => (await gateway.CliAsync("message", "explain", reference)).Contains("delivered", StringComparison.Ordinal), "the outcome");
        string explanation = await gateway.CliAsync("message", "explain", reference);
        Assert.True(explanation.Contains("TLS 1.", StringComparison.Ordinal), $"{explanation}\n{next.Said}");
    }

    /// <summary>OpenSMTPD as Debian 12 builds it fails every handshake, openssl's own client's too ("rsa routines::missing private key"): others have such hosts.</summary>
    [MailServerTheory]
    [InlineData("listen tls pki mx.dest.test")]
    public async Task Mail_arrives_also_where_the_handshake_fails(string listen)
    {
        using var folder = new TestFolder();
        (string certificate, string key) = MailServer.MakeCertificate(folder);
        File.SetUnixFileMode(key, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        await using SinkServer sink = SinkServer.Start();
        await using MailServer next = await MailServer.StartAsync(MailServer.OpenSmtpd, sink, $"pki mx.dest.test cert \"{certificate}\"", $"pki mx.dest.test key \"{key}\"", listen);
        await using GatewayProcess gateway = await StartAsync(next);

        await SendAsync(gateway, "after a handshake", "x\r\n", "ann@dest.test");

        Assert.Equal("x\r\n", (await ReceiveAsync(sink, next, "Subject: after a handshake\r\n")).Body);
    }

    [MailServerTheory]
    [InlineData(MailServer.Postfix, "")]
    [InlineData(MailServer.Exim, "chunking_advertise_hosts = *")]
    [InlineData(MailServer.OpenSmtpd, "")]
    public async Task A_refused_recipient_is_reported_alone(string server, string settings)
    {
        await using SinkServer sink = SinkServer.Start();
        await using MailServer next = await MailServer.StartAsync(server, sink, settings);
        await using GatewayProcess gateway = await StartAsync(next);

        await SendAsync(gateway, "two results", "x\r\n", "no@dest.test", "ann@dest.test");

        Assert.Equal(["<ann@dest.test>"], Paths(await ReceiveAsync(sink, next, "Subject: two results\r\n", "<info@shop.test>")));
        SinkMessage report = (await sink.ReceiveAsync(static m => m.ReversePath == "<>"))[0];
        Assert.Equal(["<info@shop.test>"], Paths(report));
        Assert.Contains("no@dest.test", report.Body, StringComparison.Ordinal);
        Assert.Contains("Action: failed", report.Body, StringComparison.Ordinal);
        Assert.DoesNotContain("Final-Recipient: rfc822; ann@dest.test", report.Body, StringComparison.OrdinalIgnoreCase);
        Assert.Equal(2, sink.Messages.Count);
    }

    [MailServerTheory]
    [InlineData(MailServer.Postfix, "smtpd_recipient_limit = 40")]
    [InlineData(MailServer.Postfix, "smtpd_recipient_limit = 40\nsmtpd_discard_ehlo_keywords = chunking")]
    [InlineData(MailServer.Exim, "recipients_max = 40")]
    [InlineData(MailServer.OpenSmtpd, "")]
    public async Task A_hundred_recipients_all_get_the_message_once(string server, string settings)
    {
        await using SinkServer sink = SinkServer.Start();
        await using MailServer next = await MailServer.StartAsync(server, sink, settings.Split('\n'));
        await using GatewayProcess gateway = await StartAsync(next);
        string[] recipients = [.. Enumerable.Range(0, 100).Select(i => $"r{i}@dest.test")];

        await SendAsync(gateway, "to a hundred", "x\r\n", recipients);

        await Eventually.TrueAsync(() => sink.Messages.Sum(m => m.Recipients.Count) >= 100, "a hundred recipients", TimeSpan.FromSeconds(60));
        await Eventually.TrueAsync(async () => (await gateway.CliJsonAsync("queue", "list"))["items"]!.AsArray().Count == 0, "an empty queue");
        Assert.Equal(recipients.Select(r => $"<{r}>").Order(StringComparer.Ordinal), sink.Messages.SelectMany(Paths).Order(StringComparer.Ordinal));
    }

    [MailServerTheory]
    [InlineData(MailServer.Postfix, "message_size_limit = 100000")]
    [InlineData(MailServer.Postfix, "message_size_limit = 100000\nsmtpd_discard_ehlo_keywords = size")]
    [InlineData(MailServer.Exim, "message_size_limit = 100000")]
    [InlineData(MailServer.OpenSmtpd, "smtp max-message-size 100000")]
    public async Task A_message_over_the_next_hops_size_comes_back_at_once(string server, string settings)
    {
        await using SinkServer sink = SinkServer.Start();
        await using MailServer next = await MailServer.StartAsync(server, sink, settings.Split('\n'));
        await using GatewayProcess gateway = await StartAsync(next);

        await SendAsync(gateway, "too large", string.Concat(Enumerable.Repeat(new string('x', 98) + "\r\n", 1500)), "ann@dest.test");

        SinkMessage report = (await sink.ReceiveAsync(static m => m.ReversePath == "<>"))[0];
        Assert.Contains("Status: 5.3.4", report.Body, StringComparison.Ordinal);
        Assert.Single(sink.Messages);
    }

    [MailServerTheory]
    [InlineData(MailServer.Exim, "")]
    public async Task Greylisting_passes_at_the_next_attempt(string server, string settings)
    {
        await using SinkServer sink = SinkServer.Start();
        await using MailServer next = await MailServer.StartAsync(server, sink, settings);
        await using GatewayProcess gateway = await StartAsync(next);

        await SendAsync(gateway, "greylisted", "x\r\n", "later@dest.test", "ann@dest.test");

        IReadOnlyList<SinkMessage> messages = await sink.ReceiveAsync(static m => m.Text.Contains("Subject: greylisted\r\n", StringComparison.Ordinal), 2);
        Assert.Equal(["<ann@dest.test>", "<later@dest.test>"], messages.SelectMany(Paths));
    }

    [MailServerTheory]
    [InlineData(MailServer.Postfix, "")]
    public async Task What_is_deferred_for_ever_stays_and_says_why(string server, string settings)
    {
        await using SinkServer sink = SinkServer.Start();
        await using MailServer next = await MailServer.StartAsync(server, sink, settings);
        await using GatewayProcess gateway = await StartAsync(next);

        string reference = (await SendAsync(gateway, "deferred", "x\r\n", "later@dest.test"))!.Split("; ref ")[1];

        await Eventually.TrueAsync(async () => (await gateway.CliAsync("message", "explain", reference)).Contains("4.7.1", StringComparison.Ordinal), "an attempt that says why");
        Assert.Contains(reference, await gateway.CliAsync("queue", "list", "--json"), StringComparison.Ordinal);
        Assert.Empty(sink.Messages);
    }

    [MailServerTheory]
    [InlineData(MailServer.Postfix, "smtputf8_enable = yes", true)]
    [InlineData(MailServer.Postfix, "smtputf8_enable = no", false)]
    [InlineData(MailServer.Exim, "smtputf8_advertise_hosts = *", true)]
    [InlineData(MailServer.Exim, "smtputf8_advertise_hosts =", false)]
    [InlineData(MailServer.OpenSmtpd, "", false)]
    public async Task An_address_that_needs_SMTPUTF8_goes_where_it_is_offered_and_comes_back_in_ASCII_elsewhere(string server, string settings, bool isOffered)
    {
        await using SinkServer sink = SinkServer.Start();
        await using MailServer next = await MailServer.StartAsync(server, sink, settings);
        await using GatewayProcess gateway = await StartAsync(next);

        using (SmtpDialog dialog = await SmtpDialog.ConnectAsync(gateway.Port))
        {
            await dialog.LogInAsync("info@shop.test", GatewayProcess.Password);
            await dialog.ExpectAsync("MAIL FROM:<info@shop.test> SMTPUTF8", "250");
            await dialog.ExpectAsync("RCPT TO:<j\u00c3\u00b6rg@dest.test>", "250"); // One character for each octet of its UTF-8.
            await dialog.ExpectAsync("DATA", "354");
            await dialog.ExpectAsync("From: info@shop.test\r\nSubject: utf8\r\n\r\nx\r\n.", "250");
        }

        if (isOffered)
        {
            SinkMessage message = await ReceiveAsync(sink, next, "Subject: utf8\r\n");
            Assert.Equal(["<j\u00f6rg@dest.test>"], Paths(message));
            return;
        }
        SinkMessage report = (await sink.ReceiveAsync(static m => m.ReversePath == "<>"))[0];
        Assert.Contains("Status: 5.6.7", report.Body, StringComparison.Ordinal);
        Assert.DoesNotContain(report.Data, static octet => octet >= 128);
    }

    [MailServerTheory]
    [InlineData(MailServer.Postfix, "")]
    [InlineData(MailServer.Exim, "dsn_advertise_hosts = *")]
    [InlineData(MailServer.OpenSmtpd, "")]
    public async Task NOTIFY_and_ORCPT_reach_the_host_behind_the_next_hop(string server, string settings)
    {
        await using SinkServer sink = SinkServer.Start();
        await using MailServer next = await MailServer.StartAsync(server, sink, settings);
        await using GatewayProcess gateway = await StartAsync(next);

        using (SmtpDialog dialog = await SmtpDialog.ConnectAsync(gateway.Port))
        {
            await dialog.LogInAsync("info@shop.test", GatewayProcess.Password);
            await dialog.ExpectAsync("MAIL FROM:<info@shop.test> RET=HDRS ENVID=a+2Bb", "250");
            await dialog.ExpectAsync("RCPT TO:<ann@dest.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Ann@dest.test", "250");
            await dialog.ExpectAsync("DATA", "354");
            await dialog.ExpectAsync("From: info@shop.test\r\nSubject: dsn\r\n\r\nx\r\n.", "250");
        }

        SinkMessage message = await ReceiveAsync(sink, next, "Subject: dsn\r\n", "<info@shop.test>");
        Assert.Contains("NOTIFY=SUCCESS,FAILURE", message.Recipients[0], StringComparison.Ordinal);
        Assert.Contains("ORCPT=rfc822;Ann@dest.test", message.Recipients[0], StringComparison.OrdinalIgnoreCase);
        Assert.Contains("RET=HDRS", message.Mail, StringComparison.Ordinal);
    }

    private static async Task<GatewayProcess> StartAsync(MailServer next)
    {
        GatewayProcess gateway = await new GatewayProcess(next.Url).StartAsync();
        await gateway.AddShopAsync();
        await gateway.CliAsync("limit", "set", "mailbox", "info@shop.test", "1000/h");
        return gateway;
    }

    /// <returns>The reply to the end of the mail data.</returns>
    private static async Task<string?> SendAsync(GatewayProcess gateway, string subject, string body, params string[] recipients)
    {
        using SmtpDialog dialog = await SmtpDialog.ConnectAsync(gateway.Port);
        await dialog.LogInAsync("info@shop.test", GatewayProcess.Password);
        await dialog.ExpectAsync("MAIL FROM:<info@shop.test>", "250");
        foreach (string recipient in recipients)
            await dialog.ExpectAsync($"RCPT TO:<{recipient}>", "250");
        await dialog.ExpectAsync("DATA", "354");
        string content = $"From: info@shop.test\r\nSubject: {subject}\r\n\r\n{body}";
        await dialog.WriteAsync(content.Replace("\n.", "\n..", StringComparison.Ordinal) + ".\r\n");
        return await dialog.ReplyAsync();
    }

    private static async Task<SinkMessage> ReceiveAsync(SinkServer sink, MailServer next, string text, string? reversePath = null)
    {
        try
        {
            return (await sink.ReceiveAsync(m => (reversePath ?? m.ReversePath) == m.ReversePath && m.Text.Contains(text, StringComparison.Ordinal)))[0];
        }
        catch (TimeoutException e)
        {
            throw new TimeoutException($"{e.Message}\n{next.Said}", e);
        }
    }

    private static IEnumerable<string> Paths(SinkMessage message) => message.Recipients.Select(r => r.Split(' ')[0]);
}
