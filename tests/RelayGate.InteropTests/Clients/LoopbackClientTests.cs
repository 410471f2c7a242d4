using System.Text;
using RelayGate.InteropTests.Infrastructure;

namespace RelayGate.InteropTests.Clients;

/// <summary>Usual client programs on a listener without TLS: how each logs in, what its messages become, what it shows of a refusal.</summary>
public sealed class LoopbackClientTests(LoopbackGateway host) : IClassFixture<LoopbackGateway>
{
    [InteropTheory("swaks")]
    [InlineData("PLAIN")]
    [InlineData("LOGIN")]
    public async Task Swaks_logs_in(string mechanism)
    {
        string subject = "swaks " + mechanism;
        ProgramResult result = await SwaksAsync("--auth", mechanism, "--to", "ann@example.com,bob@example.com", "--header", "Subject: " + subject);

        result.ShouldSucceed().ShouldSay("250 2.0.0").ShouldSay("; ref ");
        SinkMessage message = await host.Sink.ReceiveAsync($"Subject: {subject}\r\n");
        Assert.Equal(["<ann@example.com>", "<bob@example.com>"], message.Recipients.Select(static r => r.Split(' ')[0]).Order());
        Assert.Equal("<info@shop.test>", message.ReversePath);
    }

    [InteropFact("swaks")]
    public async Task The_EHLO_reply_offers_exactly_what_works()
    {
        ProgramResult result = await SwaksAsync("--quit-after", "EHLO");

        string[] offered = [.. result.ShouldSucceed().Output.Split('\n').Where(static l => l.StartsWith("<-  250", StringComparison.Ordinal))
            .Skip(1).Select(static l => l["<-  250-".Length..].TrimEnd()).Order(StringComparer.Ordinal)];
        Assert.Equal(["8BITMIME", "AUTH PLAIN LOGIN SCRAM-SHA-256", "CHUNKING", "DSN", "ENHANCEDSTATUSCODES", "PIPELINING", "SIZE 52428800", "SMTPUTF8"], offered);
    }

    [InteropFact("swaks")]
    public async Task A_wrong_password_is_refused()
    {
        ProgramResult result = await SwaksAsync("--auth", "PLAIN", "--auth-password", "wrong", "--to", "ann@example.com");

        result.ShouldFail().ShouldSay("535 5.7.8");
    }

    [InteropFact("swaks")]
    public async Task Without_a_login_nothing_is_relayed()
    {
        ProgramResult result = await new ProgramRun("swaks", "--server", host.Server, "--from", "info@shop.test", "--to", "ann@example.com").RunAsync();

        result.ShouldFail().ShouldSay("530 5.7.0");
    }

    [InteropFact("swaks")]
    public async Task A_foreign_sender_is_corrected_to_the_mailbox()
    {
        await SwaksAsync("--auth", "PLAIN", "--from", "president@elsewhere.test", "--to", "ann@example.com",
            "--header", "Subject: corrected", "--h-From", "info@shop.test");

        SinkMessage message = await host.Sink.ReceiveAsync("Subject: corrected\r\n");
        Assert.Equal("<info@shop.test>", message.ReversePath);
    }

    [InteropFact("curl")]
    public async Task Bare_line_feeds_of_curl_are_made_CRLF()
    {
        byte[] content = Encoding.UTF8.GetBytes("From: info@shop.test\nTo: ann@example.com\nSubject: bare LF\n\nfirst\n.second\n\n  third \n");
        ProgramResult result = await new ProgramRun("curl", "-sS", "--url", $"smtp://{host.Server}/client.test", "--user", "info@shop.test:" + GatewayProcess.Password,
            "--mail-from", "info@shop.test", "--mail-rcpt", "ann@example.com", "--upload-file", "-")
        { Input = content }.RunAsync();

        result.ShouldSucceed();
        SinkMessage message = await host.Sink.ReceiveAsync("Subject: bare LF\r\n");
        Assert.DoesNotContain('\n', message.Text.Replace("\r\n", "", StringComparison.Ordinal));
        // curl takes its bare LF for no line end and adds CRLF before the final dot: one empty line is its own.
        Assert.Equal("first\r\n.second\r\n\r\n  third \r\n\r\n", message.Body);
    }

    [InteropFact("php", Programs.PhpMailer)]
    public async Task PHPMailer_chooses_LOGIN_and_sends_8bit_content_and_an_attachment()
    {
        ProgramResult result = await new ProgramRun("php", "-r", $$"""
            require '/usr/share/php/libphp-phpmailer/autoload.php';
            $m = new PHPMailer\PHPMailer\PHPMailer(true);
            $m->SMTPDebug = 2; $m->Debugoutput = 'echo';
            $m->isSMTP(); $m->Host = '127.0.0.1'; $m->Port = {{host.Gateway.Port}}; $m->SMTPAuth = true;
            $m->Username = 'info@shop.test'; $m->Password = '{{GatewayProcess.Password}}';
            $m->CharSet = 'UTF-8'; $m->Encoding = '8bit';
            $m->setFrom('info@shop.test', 'Müller'); $m->addAddress('ann@example.com'); $m->addBCC('secret@example.com');
            $m->Subject = 'PHPMailer LOGIN'; $m->Body = "Grüße\n"; $m->addStringAttachment(str_repeat("\0\xff", 1000), 'a.bin');
            $m->send();
            """).RunAsync();

        result.ShouldSucceed().ShouldSay("AUTH LOGIN").ShouldSay("235 ");
        SinkMessage message = await host.Sink.ReceiveAsync("Subject: PHPMailer LOGIN\r\n");
        Assert.Equal(2, message.Recipients.Count);
        Assert.Null(message.Field("Bcc"));
        Assert.Contains("Grüße", Encoding.UTF8.GetString(message.Data), StringComparison.Ordinal);
    }

    [InteropFact]
    public async Task Smtplib_learns_which_recipient_was_refused()
    {
        ProgramResult result = await new ProgramRun(Programs.Python, "-c", $"""
            import smtplib
            s = smtplib.SMTP('127.0.0.1', {host.Gateway.Port})
            s.login('info@shop.test', '{GatewayProcess.Password}')
            refused = s.sendmail('info@shop.test', ['ann@example.com', 'not an address'], 'From: info@shop.test\r\nSubject: smtplib partly\r\n\r\nx\r\n')
            assert list(refused) == ['not an address'], refused
            assert 500 < refused['not an address'][0] < 560, refused
            print(s.quit())
            """).RunAsync();

        result.ShouldSucceed().ShouldSay("221");
        await host.Sink.ReceiveAsync("Subject: smtplib partly\r\n");
    }

    [InteropFact("msmtp")]
    public async Task Msmtp_ends_with_its_code_for_a_permanent_refusal_and_shows_the_text()
    {
        ProgramResult result = await new ProgramRun("msmtp", "--host=127.0.0.1", $"--port={host.Gateway.Port}", "--auth=off", "--tls=off",
            "--from=info@shop.test", "ann@example.com")
        { InputText = "Subject: x\n\nx\n" }.RunAsync();

        result.ShouldFail().ShouldSay("530 5.7.0");
    }

    [InteropFact("msmtp")]
    public async Task Msmtp_logs_in_by_SCRAM()
    {
        (await MsmtpAsync(GatewayProcess.Password, "msmtp scram")).ShouldSucceed();
        await host.Sink.ReceiveAsync("Subject: msmtp scram\r\n");
        (await MsmtpAsync("wrong", "msmtp wrong")).ShouldFail().ShouldSay("535 5.7.8");
    }

    [InteropFact("smtp-source", "smtp-sink")]
    public async Task Postfix_stands_before_and_behind_the_gateway()
    {
        const int Messages = 300;
        int port = FreePort.Next();
        await using BackgroundProgram sink = BackgroundProgram.Start(
            "smtp-sink", [.. Environment.IsPrivilegedProcess ? ["-u", "nobody"] : Array.Empty<string>(), "-c", $"127.0.0.1:{port}", "100"]);
        await using var gateway = new GatewayProcess($"smtp://127.0.0.1:{port}");
        await gateway.StartAsync();
        await gateway.AddShopAsync();
        await gateway.CliAsync("network", "add", "127.0.0.1/32");
        foreach (string level in (string[])["domain shop.test", "subscription acme"])
            await gateway.CliAsync(["limit", "set", .. level.Split(' '), "100000/h"]);

        (await new ProgramRun("smtp-source", "-d", "-s", "10", "-l", "4096", "-m", $"{Messages}", "-f", "info@shop.test", "-t", "ann@example.com",
            $"127.0.0.1:{gateway.Port}").RunAsync()).ShouldSucceed();

        await Eventually.TrueAsync(
            async () => (await gateway.CliJsonAsync("queue", "list"))["items"]!.AsArray().Count == 0, "an empty queue");
        await Eventually.TrueAsync(async () => (await gateway.CliJsonAsync("message", "list", "--limit", "1000"))["items"]!.AsArray().Count == Messages,
            "a record for each message");
        await Eventually.TrueAsync(() => sink.Said.Contains($"{Messages}", StringComparison.Ordinal), "smtp-sink counts each message once");
    }

    private Task<ProgramResult> MsmtpAsync(string password, string subject) => new ProgramRun(
        "msmtp", "--host=127.0.0.1", $"--port={host.Gateway.Port}", "--auth=scram-sha-256", "--user=info@shop.test", $"--passwordeval=echo {password}", "--tls=off",
        "--from=info@shop.test", "ann@example.com")
    { InputText = $"From: info@shop.test\nSubject: {subject}\n\nx\n" }.RunAsync();

    private Task<ProgramResult> SwaksAsync(params string[] arguments) => new ProgramRun(
        "swaks", ["--server", host.Server, "--from", "info@shop.test", "--auth-user", "info@shop.test", "--auth-password", GatewayProcess.Password, .. arguments]).RunAsync();
}
