using RelayGate.InteropTests.Infrastructure;

namespace RelayGate.InteropTests.Clients;

/// <summary>The client settings that README.md shows, run as written: port, paths and passwords are those of the text.</summary>
public sealed class SnippetTests(HostedServer host) : IClassFixture<HostedServer>
{
    [HostedFact("php", Programs.PhpMailer)]
    public Task PHPMailer_sends() => SendsAsync("Hello from PHPMailer", HostedServer.AcmeIPv4, "php", Snippet("phpmailer.php"));

    [HostedFact]
    public Task Smtplib_sends() => SendsAsync("Hello from smtplib", HostedServer.AcmeIPv4, Programs.Python, Snippet("send.py"));

    [HostedFact("swaks")]
    public Task Swaks_sends() => SendsAsync("Hello from swaks", HostedServer.AcmeIPv4, "sh", "-e", Snippet("swaks.sh"));

    [HostedFact("curl")]
    public Task Curl_sends() => SendsAsync("Hello from curl", HostedServer.AcmeIPv4, "sh", "-e", Snippet("curl.sh"));

    [HostedFact]
    public Task The_sendmail_command_sends() =>
        SendsAsync("Hello from sendmail", HostedServer.AcmeIPv4, [.. HostedServer.As(HostedServer.AcmeUser), "sh", "-e", Snippet("sendmail.sh")]);

    [HostedFact("php")]
    public Task PHP_mail_sends() => SendsAsync(
        "Hello from mail()",
        HostedServer.AcmeIPv4,
        [.. HostedServer.As(HostedServer.AcmeUser), "php", "-c", Snippet("php.ini"), "-r",
            "exit(mail('ann@example.com', 'Hello from mail()', 'It works.') ? 0 : 1);"]);

    [HostedFact("msmtp")]
    public async Task Msmtp_sends()
    {
        // msmtp insists that a file with a password belongs to the caller and is closed to others.
        string file = host.Gateway.Folder.Write("own.msmtprc", await File.ReadAllTextAsync(Snippet("msmtprc")));
        File.SetUnixFileMode(file, UnixFileMode.UserRead | UnixFileMode.UserWrite);

        await SendsAsync("Hello from msmtp", HostedServer.AcmeIPv4, "sh", "-c",
            $"printf 'To: ann@example.com\\nSubject: Hello from msmtp\\n\\nIt works.\\n' | msmtp -C {file} ann@example.com");
    }

    private string Snippet(string name) => host.Readable(Repository.TestFile("Snippets/" + name));

    private async Task SendsAsync(string subject, string egress, params string[] command)
    {
        (await host.RunAsync(command)).ShouldSucceed();

        SinkMessage message = await host.Mx1.ReceiveAsync($"Subject: {subject}\r\n");
        Assert.Equal(egress, message.Client.ToString());
        Assert.EndsWith("@shop.test>", message.ReversePath, StringComparison.Ordinal);
        Assert.Equal(["<ann@example.com>"], message.Recipients.Select(r => r.Split(' ')[0]));
        Assert.Contains("It works.", message.Body, StringComparison.Ordinal);
    }
}
