using System.Text;
using RelayGate.Tests.Fakes;

namespace RelayGate.Tests.Sendmail;

/// <summary>Flags, the dialog with the gateway, and exit codes.</summary>
public sealed class SendmailCommandTests
{
    private const string Message = "Subject: x\n\nx\n";

    /// <summary>A uid may have no name, in a container for example.</summary>
    private static string Login => Environment.UserName is { Length: > 0 } name ? name : "nobody";

    [Theory]
    [InlineData("", "{login}")]
    [InlineData("-f info@shop.test", "info@shop.test")]
    [InlineData("-finfo@shop.test", "info@shop.test")]
    [InlineData("-r info@shop.test", "info@shop.test")]
    [InlineData("-f <info@shop.test>", "info@shop.test")]
    [InlineData("-f Shop_<info@shop.test>", "info@shop.test")]
    [InlineData("-f www-data", "www-data")]
    [InlineData("-f <>", "")]
    [InlineData("-f ", "")]
    [InlineData("-f a@b@c", "{login}")] // Junk never fails the mail.
    [InlineData("-f x>\r\nRCPT_TO:<y@z.test", "y@z.test")] // Nor adds commands.
    [InlineData("-f not_an_address", "{login}")]
    [InlineData("-ti -finfo@shop.test", "info@shop.test")]
    [InlineData("-tifinfo@shop.test", "info@shop.test")]
    public async Task The_reverse_path_is_that_of_f_or_the_login_name(string flags, string reversePath)
    {
        await using var gateway = new ScriptedGateway();
        string[] arguments = flags.Length == 0 ? [] : [.. flags.Split(' ').Select(static f => f.Replace('_', ' '))];
        SendmailResult result = await SendmailRun.RunAsync(gateway.Path, Message, [.. arguments, "bob@example.org"]);

        Assert.Equal((0, ""), (result.ExitCode, result.Error));
        string mail = gateway.Commands.Single(static c => c.StartsWith("MAIL", StringComparison.Ordinal));
        Assert.StartsWith($"MAIL FROM:<{reversePath.Replace("{login}", Login, StringComparison.Ordinal)}>", mail, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("-bm -oi -oem -oee -odb -odi -odq -om -o7 -o8 -oA/x -Ac -Am -G -U -n -m")]
    [InlineData("-L tag -h 5 -p smtp -X /dev/null -C /etc/passwd -O DeliveryMode=b -B 8BITMIME -d0-99.1 -MrX")]
    [InlineData("-Ltag -Oopt=val -B7BIT -e m -XV -ba")]
    public async Task Flags_that_mean_nothing_here_are_taken(string flags)
    {
        await using var gateway = new ScriptedGateway();
        SendmailResult result = await SendmailRun.RunAsync(gateway.Path, Message, [.. flags.Split(' '), "bob@example.org"]);

        Assert.Equal((0, ""), (result.ExitCode, result.Error));
        Assert.Single(gateway.Messages);
    }

    [Fact]
    public async Task After_two_hyphens_everything_is_a_recipient()
    {
        await using var gateway = new ScriptedGateway();
        await SendmailRun.RunAsync(gateway.Path, Message, "a@x.test", "-i", "--", "-f", "-oQ@x.test", "b@x.test,c@x.test", "D <d@x.test>");

        Assert.Equal(
            ["a@x.test", "-f", "-oQ@x.test", "b@x.test", "c@x.test", "d@x.test"],
            gateway.Commands.Where(static c => c.StartsWith("RCPT", StringComparison.Ordinal)).Select(static c => c[9..^1]));
    }

    [Fact]
    public async Task DSN_flags_become_parameters()
    {
        await using var gateway = new ScriptedGateway();
        await SendmailRun.RunAsync(gateway.Path, "Subject: \xfc\n\n", "-N", "failure,delay", "-R", "hdrs", "-V", "a+b=c", "-f", "info@shop.test", "bob@example.org");

        Assert.Contains("MAIL FROM:<info@shop.test> SIZE=14 BODY=8BITMIME RET=HDRS ENVID=a+2Bb+3Dc", gateway.Commands);
        Assert.Contains("RCPT TO:<bob@example.org> NOTIFY=FAILURE,DELAY", gateway.Commands);
    }

    [Fact]
    public async Task Extensions_that_are_not_offered_are_not_used()
    {
        await using var gateway = new ScriptedGateway(("EHLO", "502 5.5.1 What?"), ("HELO", "250 relay.example.net"));
        SendmailResult result = await SendmailRun.RunAsync(gateway.Path, "Subject: \xfc\n\n", "-N", "never", "-R", "full", "-f", "info@shop.test", "bob@example.org");

        Assert.Equal((0, ""), (result.ExitCode, result.Error));
        Assert.Contains("MAIL FROM:<info@shop.test>", gateway.Commands);
        Assert.Contains("RCPT TO:<bob@example.org>", gateway.Commands);
    }

    [Fact]
    public async Task An_address_beyond_ASCII_asks_for_SMTPUTF8()
    {
        await using var gateway = new ScriptedGateway();
        await SendmailRun.RunAsync(gateway.Path, Message, "-f", "info@shop.test", "j\u00fcrgen@example.org");

        Assert.Contains("MAIL FROM:<info@shop.test> SIZE=17 SMTPUTF8", gateway.Commands);
    }

    [Theory]
    [InlineData(75, "", "421 4.3.2 Too many connections", "421 4.3.2 Too many connections")]
    [InlineData(77, "", "554 5.7.1 Go away", "554 5.7.1 Go away")]
    [InlineData(75, "", "close", "closed the connection")]
    [InlineData(75, "", "hello", "does not speak SMTP")]
    [InlineData(75, "MAIL", "451 4.7.1 subscription acme hourly limit 400 reached; ref 01A", "limit 400 reached; ref 01A")]
    [InlineData(75, "MAIL", "452 4.3.1 No room", "452 4.3.1 No room")]
    [InlineData(77, "MAIL", "530 5.7.0 Who are you?", "530 5.7.0 Who are you?")]
    [InlineData(77, "MAIL", "550-5.7.1 Not\r\n550 5.7.1 allowed", "550-5.7.1 Not 550 5.7.1 allowed")]
    [InlineData(77, "MAIL", "553 5.7.1 Not yours", "553 5.7.1 Not yours")]
    [InlineData(65, "MAIL", "552 5.3.4 Too large", "552 5.3.4 Too large")]
    [InlineData(75, "MAIL", "close", "closed the connection")]
    [InlineData(67, "RCPT", "550 5.1.1 No such user", "bob@example.org: 550 5.1.1 No such user")]
    [InlineData(75, "RCPT", "451 4.7.1 Later", "bob@example.org: 451 4.7.1 Later")]
    [InlineData(77, "RCPT", "550 5.7.1 More recipients than the limit", "550 5.7.1 More recipients")]
    [InlineData(75, "DATA", "451 4.7.1 Later", "451 4.7.1 Later")]
    [InlineData(77, "DATA", "554 5.7.1 No", "554 5.7.1 No")]
    [InlineData(75, ".", "451 4.3.0 Later", "451 4.3.0 Later")]
    [InlineData(75, ".", "close", "closed the connection")]
    [InlineData(77, ".", "550 5.7.1 Not your domain", "550 5.7.1 Not your domain")]
    [InlineData(65, ".", "550 5.6.0 Two From fields", "550 5.6.0 Two From fields")]
    public async Task Refusals_become_exit_codes_and_one_line(int exitCode, string command, string reply, string line)
    {
        await using var gateway = new ScriptedGateway((command, reply));
        SendmailResult result = await SendmailRun.RunAsync(gateway.Path, Message, "bob@example.org");

        Assert.Equal(exitCode, result.ExitCode);
        Assert.StartsWith("relaygate-sendmail: ", result.Error, StringComparison.Ordinal);
        Assert.Contains(line, result.Error, StringComparison.Ordinal);
        Assert.Equal(1, result.Error.Count(static c => c == '\n'));
        Assert.Equal("", result.Output);
    }

    [Theory]
    [InlineData(64, "Subject: x\n\n")] // No recipient.
    [InlineData(64, "", "-k", "a@x.test")]
    [InlineData(64, "", "a@x.test", "-f")]
    [InlineData(64, "", "-N", "sometimes", "a@x.test")]
    [InlineData(64, "", "-R", "half", "a@x.test")]
    [InlineData(64, "", "-bz")]
    [InlineData(64, "", "-bd")]
    [InlineData(64, "", "-bd", "-q30m")]
    [InlineData(64, "", "-q15m")]
    [InlineData(64, "", "-bl")]
    [InlineData(0, "", "-bi")]
    [InlineData(0, "", "-I")]
    [InlineData(64, "", "-qRexample.org")]
    [InlineData(64, "", "-qI")]
    [InlineData(64, "Subject: x\n\n", "-V", "+++++++++++++++++++++++++++++++++++", "a@x.test")] // 105 octets as xtext.
    [InlineData(65, "Subject: x\n\n", "-t")] // Names no recipient.
    [InlineData(65, "To: a@x.test\n\na\0b\n", "-t")]
    [InlineData(65, "X-Long:\n LARGE\n\n", "-t", "a@x.test")]
    public async Task What_needs_no_gateway_is_answered_without_one(int exitCode, string input, params string[] arguments)
    {
        string large = string.Concat(Enumerable.Repeat(new string('y', 100) + "\n ", 12_000));
        SendmailResult result = await SendmailRun.RunAsync("/nonexistent/submit.sock", input.Replace("LARGE", large, StringComparison.Ordinal), arguments);

        Assert.Equal(exitCode, result.ExitCode);
        Assert.Equal(1, result.Error.Count(static c => c == '\n'));
    }

    [Theory]
    [InlineData("sendmail", "-bp", "queue list")]
    [InlineData("mailq", "", "queue list")]
    [InlineData("sendmail", "-q", "queue flush")]
    [InlineData("sendmail", "-qI01ARZ3NDEKTSV4RRFFQ69G5FAV", "queue retry 01ARZ3NDEKTSV4RRFFQ69G5FAV")]
    public async Task The_queue_is_the_business_of_relaygate(string name, string flag, string arguments)
    {
        using var folder = new TempFolder();
        File.CreateSymbolicLink(folder.File(name), SendmailRun.Executable);
        foreach ((int code, int expected) in new[] { (0, 0), (1, 69), (2, 64), (4, 77), (7, 75) })
        {
            Script(folder.File("relaygate"), $"echo \"$@\"; exit {code}");
            SendmailResult result = await SendmailRun.RunAsync(
                folder.File(name), "/nonexistent", [], [("PATH", $"{folder.Path}:/usr/bin:/bin")], flag.Length == 0 ? [] : [flag]);

            Assert.Equal((expected, arguments + "\n", ""), (result.ExitCode, result.Output, result.Error));
        }
    }

    [Fact]
    public async Task Without_relaygate_the_queue_is_not_called_empty()
    {
        using var folder = new TempFolder();
        SendmailResult result = await SendmailRun.RunAsync(SendmailRun.Executable, "/nonexistent", [], [("PATH", folder.Path)], "-bp");

        Assert.Equal((69, ""), (result.ExitCode, result.Output));
        Assert.StartsWith("relaygate-sendmail: the command relaygate, which knows the queue, is neither beside this program nor in PATH", result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Newaliases_has_nothing_to_do()
    {
        using var folder = new TempFolder();
        File.CreateSymbolicLink(folder.File("newaliases"), SendmailRun.Executable);

        Assert.Equal(0, (await SendmailRun.RunAsync(folder.File("newaliases"), "/nonexistent", [], [])).ExitCode);
    }

    [Fact]
    public async Task A_large_message_that_cannot_be_kept_is_read_to_its_end_and_tried_again()
    {
        byte[] input = Encoding.ASCII.GetBytes("Subject: x\n\n" + string.Concat(Enumerable.Repeat(new string('y', 1000) + "\n", 5000)));
        SendmailResult result = await SendmailRun.RunAsync(SendmailRun.Executable, "/nonexistent", input, [("TMPDIR", "/proc/")], "bob@example.org");

        Assert.Equal(75, result.ExitCode);
        Assert.StartsWith("relaygate-sendmail: cannot keep the message in /proc/: ", result.Error, StringComparison.Ordinal);
        Assert.EndsWith("; set TMPDIR to a folder with room\n", result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_second_transaction_that_is_refused_stops_the_first()
    {
        string[] recipients = [.. Enumerable.Range(0, 250).Select(static i => $"r{i}@x.test")];
        await using var gateway = new ScriptedGateway(("RCPT TO:<r249@", "451 4.7.1 Hourly limit reached")) { MaxRecipients = 200 };
        SendmailResult result = await SendmailRun.RunAsync(gateway.Path, Message, recipients);

        Assert.Equal(75, result.ExitCode);
        Assert.Empty(gateway.Messages);
    }

    [Fact]
    public async Task With_bs_a_client_of_Unix_text_is_understood()
    {
        await using var gateway = new ScriptedGateway();
        SendmailResult result = await SendmailRun.RunAsync(
            gateway.Path, "HELO x\nMAIL FROM:<a@x.test>\nRCPT TO:<b@x.test>\nDATA\nSubject: x\n\nmixed\r\nends\n.\nQUIT\n", "-bs");

        Assert.Equal((0, ""), (result.ExitCode, result.Error));
        Assert.Equal(["Subject: x\r\n\r\nmixed\r\nends\r\n"], gateway.Messages);
    }

    [Fact]
    public async Task Without_a_gateway_it_reads_everything_and_says_try_again()
    {
        SendmailResult result = await SendmailRun.RunAsync("/nonexistent/submit.sock", Message + new string('x', 500_000), "bob@example.org");

        Assert.Equal(75, result.ExitCode);
        Assert.Equal("relaygate-sendmail: cannot reach the gateway at /nonexistent/submit.sock (RELAYGATE_SUBMIT): there is no such socket; is relaygate running?\n", result.Error);
    }

    [Fact]
    public async Task A_message_over_64_MiB_is_bad_data()
    {
        byte[] input = Encoding.ASCII.GetBytes(string.Concat(Enumerable.Repeat(new string('y', 1000) + "\n", 68_000)));
        SendmailResult result = await SendmailRun.RunAsync(SendmailRun.Executable, "/nonexistent", input, [], "bob@example.org");

        Assert.Equal((65, "relaygate-sendmail: the message is larger than 64 MiB\n"), (result.ExitCode, result.Error));
    }

    [Fact]
    public async Task A_gateway_that_says_nothing_costs_its_time_limit()
    {
        await using var gateway = new ScriptedGateway((".", "silence"));
        SendmailResult result = await SendmailRun.RunAsync(
            SendmailRun.Executable, gateway.Path, Encoding.ASCII.GetBytes(Message), [("RELAYGATE_SUBMIT_TIMEOUT", "1")], "bob@example.org");

        Assert.Equal((75, "relaygate-sendmail: the gateway did not answer in time\n"), (result.ExitCode, result.Error));
    }

    [Fact]
    public async Task Recipients_refused_for_good_are_named_and_the_others_get_the_message()
    {
        await using var gateway = new ScriptedGateway(("RCPT TO:<bad@", "550 5.1.1 No such user"));
        SendmailResult result = await SendmailRun.RunAsync(gateway.Path, Message, "good@x.test", "bad@x.test", "no address");

        Assert.Equal(0, result.ExitCode);
        Assert.Equal(
            "relaygate-sendmail: not sent to bad@x.test: 550 5.1.1 No such user\nrelaygate-sendmail: not sent to no address: 501 5.1.3 not a mail address\n",
            result.Error);
        Assert.Single(gateway.Messages);
    }

    [Fact]
    public async Task A_recipient_refused_for_a_while_stops_all_before_the_data()
    {
        await using var gateway = new ScriptedGateway(("RCPT TO:<later@", "451 4.7.1 Later"));
        SendmailResult result = await SendmailRun.RunAsync(gateway.Path, Message, "good@x.test", "later@x.test");

        Assert.Equal(75, result.ExitCode);
        Assert.DoesNotContain("DATA", gateway.Commands);
    }

    [Theory]
    [InlineData(250, 200, 2)]
    [InlineData(2500, 200, 13)] // In two groups.
    public async Task Recipients_over_the_gateways_bound_get_a_transaction_of_their_own(int count, int bound, int messages)
    {
        string[] recipients = [.. Enumerable.Range(0, count).Select(static i => $"r{i}@x.test")];
        await using var gateway = new ScriptedGateway { MaxRecipients = bound };
        SendmailResult result = await SendmailRun.RunAsync(gateway.Path, Message, recipients);

        Assert.Equal((0, ""), (result.ExitCode, result.Error));
        Assert.Equal(messages, gateway.Messages.Count);
        string[] offered = [.. gateway.Commands.Where(static c => c.StartsWith("RCPT", StringComparison.Ordinal)).Select(static c => c[9..^1])];
        Assert.Equal(recipients, offered.Distinct());
        Assert.InRange(offered.Length, count, count + messages * 100); // It stops offering soon after the bound.
    }

    [Fact]
    public async Task Verifying_prints_what_the_gateway_says_and_sends_nothing()
    {
        await using var gateway = new ScriptedGateway(("RCPT TO:<bad@", "550 5.1.1 No such user"));
        SendmailResult result = await SendmailRun.RunAsync(gateway.Path, "", "-bv", "good@x.test", "bad@x.test");

        Assert.Equal(67, result.ExitCode);
        Assert.Equal("good@x.test: 250 2.1.5 Recipient ok\nbad@x.test: 550 5.1.1 No such user\n", result.Output);
        Assert.DoesNotContain("DATA", gateway.Commands);
    }

    [Fact]
    public async Task With_bs_standard_input_and_output_are_the_session()
    {
        await using var gateway = new ScriptedGateway();
        SendmailResult result = await SendmailRun.RunAsync(
            gateway.Path, "HELO x\r\nMAIL FROM:<a@x.test>\r\nRCPT TO:<b@x.test>\r\nDATA\r\nSubject: x\r\n\r\n..\r\n.\r\nQUIT\r\n", "-bs");

        Assert.Equal((0, ""), (result.ExitCode, result.Error));
        Assert.StartsWith("220 relay.example.net ESMTP\r\n502 ", result.Output, StringComparison.Ordinal);
        Assert.EndsWith("250 2.0.0 Queued; ref 01ARZ3NDEKTSV4RRFFQ69G5FAV\r\n221 2.0.0 Bye\r\n", result.Output, StringComparison.Ordinal);
        Assert.Equal(["Subject: x\r\n\r\n..\r\n"], gateway.Messages);
    }

    [Fact]
    public async Task With_bs_and_no_gateway_the_client_gets_a_421()
    {
        SendmailResult result = await SendmailRun.RunAsync("/nonexistent/submit.sock", "QUIT\r\n", "-bs");

        Assert.Equal(75, result.ExitCode);
        Assert.StartsWith("421 4.3.2 ", result.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Verbose_shows_the_dialog()
    {
        await using var gateway = new ScriptedGateway();
        SendmailResult result = await SendmailRun.RunAsync(gateway.Path, Message, "-v", "bob@example.org");

        Assert.Contains(">>> RCPT TO:<bob@example.org>\n", result.Error, StringComparison.Ordinal);
        Assert.Contains("<<< 250 2.0.0 Queued; ref 01ARZ3NDEKTSV4RRFFQ69G5FAV\n", result.Error, StringComparison.Ordinal);
    }

    private static void Script(string path, string text)
    {
        File.WriteAllText(path, $"#!/bin/sh\n{text}\n");
        File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
    }
}
