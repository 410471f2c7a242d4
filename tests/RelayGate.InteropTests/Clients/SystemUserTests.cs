using System.Text.Json.Nodes;
using RelayGate.InteropTests.Infrastructure;

namespace RelayGate.InteropTests.Clients;

/// <summary>Mail of system users over the unix socket: the kernel's word decides whose it is, and so which address it leaves from.</summary>
public sealed class SystemUserTests(HostedServer host) : IClassFixture<HostedServer>
{
    [HostedFact("php")]
    public async Task PHP_mail_of_two_users_leaves_from_the_address_of_each_ones_subscription()
    {
        await Task.WhenAll(
            MailAsync(HostedServer.AcmeUser, "PHP of acme", "From: info@shop.test"),
            MailAsync(HostedServer.BetaUser, "PHP of beta", "From: info@blog.test"));

        SinkMessage acme = await host.Mx1.ReceiveAsync("Subject: PHP of acme\r\n");
        SinkMessage beta = await host.Mx1.ReceiveAsync("Subject: PHP of beta\r\n");
        Assert.Equal((HostedServer.AcmeIPv4, "<info@shop.test>", "mail.shop.test"), (acme.Client.ToString(), acme.ReversePath, acme.Helo));
        Assert.Equal((HostedServer.BetaIPv4, "<info@blog.test>", "relay.example.net"), (beta.Client.ToString(), beta.ReversePath, beta.Helo));
    }

    [HostedFact("php")]
    public async Task A_user_cannot_borrow_the_domain_of_another_subscription()
    {
        ProgramResult result = await PhpAsync(HostedServer.BetaUser, "forged", "From: info@shop.test", "");

        result.ShouldExit(1).ShouldSay("another subscription");
        ProgramResult envelope = await PhpAsync(HostedServer.BetaUser, "forged envelope", "From: info@blog.test", "-finfo@shop.test");
        envelope.ShouldExit(1);
        Assert.DoesNotContain(host.Mx1.Messages, static m => m.Text.Contains("Subject: forged", StringComparison.Ordinal));
    }

    [HostedFact("php")]
    public async Task A_user_of_no_subscription_is_refused_and_recorded()
    {
        ProgramResult result = await PhpAsync("#64299", "nobody's", "From: info@shop.test", "");

        result.ShouldExit(1);
        JsonNode records = await host.Gateway.CliJsonAsync("message", "list");
        Assert.Contains(records["items"]!.AsArray(), static item => item!.ToJsonString().Contains("64299", StringComparison.Ordinal));
    }

    [HostedFact("php")]
    public async Task The_fifth_argument_of_mail_sets_the_reverse_path()
    {
        (await PhpAsync(HostedServer.AcmeUser, "PHP -f", "From: info@shop.test", "-fbounces@shop.test")).ShouldSucceed();

        SinkMessage message = await host.Mx1.ReceiveAsync("Subject: PHP -f\r\n");
        Assert.Equal("<bounces@shop.test>", message.ReversePath);
    }

    [HostedFact]
    public async Task Cron_mail_of_root_goes_to_the_postmaster_from_the_servers_address()
    {
        // As cron calls it: command-line recipient without a domain.
        (await host.RunAsync(
            "From: root (Cron Daemon)\nTo: root\nSubject: Cron <root@host> backup\n\ndisk is full\n",
            ["/usr/local/bin/relaygate-sendmail", "-FCronDaemon", "-i", "-B8BITMIME", "-oem", "root"])).ShouldSucceed();

        SinkMessage message = await host.Mx2.ReceiveAsync("Subject: Cron <root@host> backup\r\n");
        Assert.Equal(["<postmaster@second.example>"], message.Recipients.Select(static r => r.Split(' ')[0]));
        Assert.Equal(HostedServer.ServerIPv4, message.Client.ToString());
        Assert.Contains("disk is full", message.Body, StringComparison.Ordinal);
    }

    [HostedFact]
    public async Task Mail_of_a_system_user_to_a_name_without_a_domain_goes_to_the_contact_of_its_subscription()
    {
        (await host.RunAsync("Subject: for www-data\n\nx\n", [.. HostedServer.As(HostedServer.AcmeUser), "/usr/local/bin/relaygate-sendmail", "-i", "www-data"])).ShouldSucceed();

        SinkMessage message = await host.Mx1.ReceiveAsync("Subject: for www-data\r\n");
        Assert.Equal(["<owner@example.com>"], message.Recipients.Select(static r => r.Split(' ')[0]));
    }

    [HostedFact]
    public async Task Sendmail_works_in_a_small_address_space()
    {
        (await host.RunAsync("To: ann@example.com\nSubject: small\n\nx\n",
            [.. HostedServer.As(HostedServer.AcmeUser), "sh", "-c", "ulimit -v 700000; exec /usr/local/bin/relaygate-sendmail -t -i"])).ShouldSucceed();

        await host.Mx1.ReceiveAsync("Subject: small\r\n");
    }

    [HostedFact]
    public async Task Sendmail_speaks_SMTP_on_stdin_with_bs()
    {
        ProgramResult result = await host.RunAsync(
            "EHLO app\r\nMAIL FROM:<info@shop.test>\r\nRCPT TO:<ann@example.com>\r\nDATA\r\nSubject: by -bs\r\n\r\nx\r\n.\r\nQUIT\r\n",
            [.. HostedServer.As(HostedServer.AcmeUser), "/usr/local/bin/relaygate-sendmail", "-bs"]);

        result.ShouldSucceed().ShouldSay("250 2.0.0").ShouldSay("221 ");
        SinkMessage message = await host.Mx1.ReceiveAsync("Subject: by -bs\r\n");
        Assert.Equal(HostedServer.AcmeIPv4, message.Client.ToString());
    }

    [HostedFact("php")]
    public async Task A_php_script_is_listed_with_its_path_and_is_held_alone_when_it_is_blocked()
    {
        const string User = "#64218"; // Its own, so that no other test is held.
        await host.Gateway.CliAsync("subscription", "add", "gamma", "--plan", "basic", "--system-user", User);
        await host.Gateway.CliAsync("domain", "add", "gamma.test", "--subscription", "gamma");
        string contact = Script("contact.php"), news = Script("news.php");
        (await SendAsync(contact, "before")).ShouldSucceed();
        await host.Mx1.ReceiveAsync("Subject: before\r\n");

        JsonNode? listed = await FindAsync("contact.php");
        Assert.Equal((64218, 1, 0, contact), ((int)listed!["uid"]!, (int)listed["messages"]!, (int)listed["claimed"]!, (string?)listed["path"]));

        await host.Gateway.CliAsync("script", "block", "64218", "contact.php");
        (await SendAsync(contact, "held")).ShouldSucceed();
        (await SendAsync(news, "goes on")).ShouldSucceed();
        await host.Mx1.ReceiveAsync("Subject: goes on\r\n");

        listed = await FindAsync("contact.php");
        Assert.Equal((1, 1, true), ((int)listed!["messages"]!, (int)listed["held"]!, (bool)listed["isBlocked"]!));
        Assert.Equal(news, (string?)(await FindAsync("news.php"))!["path"]);
        Assert.DoesNotContain(host.Mx1.Messages, static m => m.Text.Contains("Subject: held\r\n", StringComparison.Ordinal));

        await host.Gateway.CliAsync("script", "unblock", "64218", "contact.php");
        await host.Mx1.ReceiveAsync("Subject: held\r\n");
        Assert.Equal(2, (int)(await FindAsync("contact.php"))!["messages"]!);

        string Script(string name)
        {
            string file = host.Gateway.Folder.Write(name, "<?php exit(mail('ann@example.com', $argv[1], \"text\\n\", 'From: info@gamma.test') ? 0 : 1);\n");
            File.SetUnixFileMode(file, TestFolder.Traversable);
            // PHP names the owner of the file.
            System.Diagnostics.Process.Start("chown", ["64218", file]).WaitForExit();
            return file;
        }

        Task<ProgramResult> SendAsync(string script, string subject) => host.RunAsync(
            [.. HostedServer.As(User), "env", $"SCRIPT_FILENAME={script}", "php", "-d", "mail.add_x_header=1", "-d", "sendmail_path=/usr/local/bin/relaygate-sendmail -t -i", script, subject]);

        async Task<JsonNode?> FindAsync(string name) =>
            (await host.Gateway.CliJsonAsync("script", "list", "--uid", "64218"))["items"]!.AsArray().SingleOrDefault(i => (string?)i!["script"] == name);
    }

    private async Task MailAsync(string user, string subject, string header) => (await PhpAsync(user, subject, header, "")).ShouldSucceed();

    private Task<ProgramResult> PhpAsync(string user, string subject, string header, string parameters) => host.RunAsync(
        [.. HostedServer.As(user), "php", "-d", "sendmail_path=/usr/local/bin/relaygate-sendmail -t -i", "-r",
            $"exit(mail('ann@example.com', \"{subject}\", \"text\\n\", '{header}', '{parameters}') ? 0 : 1);"]);
}
