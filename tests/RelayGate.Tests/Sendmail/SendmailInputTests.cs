using System.Text;

namespace RelayGate.Tests.Sendmail;

/// <summary>What becomes of the message on standard input.</summary>
public sealed class SendmailInputTests
{
    [Theory]
    [InlineData("LF", "Subject: x\n\nHello\nworld\n", "Subject: x\r\n\r\nHello\r\nworld\r\n")]
    [InlineData("CRLF", "Subject: x\r\n\r\nHello\r\n", "Subject: x\r\n\r\nHello\r\n")]
    [InlineData("CR", "Subject: x\r\rHello\r", "Subject: x\r\n\r\nHello\r\n")]
    [InlineData("mixed", "Subject: x\r\nTo: a\n\r\nHello\rworld\n", "Subject: x\r\nTo: a\r\n\r\nHello\r\nworld\r\n")]
    [InlineData("doubled CR", "Subject: x\r\r\n\r\r\nHello\r\r\n", "Subject: x\r\n\r\nHello\r\n")]
    [InlineData("no final line end", "Subject: x\n\nHello", "Subject: x\r\n\r\nHello\r\n")]
    [InlineData("final CR", "Subject: x\n\nHello\r", "Subject: x\r\n\r\nHello\r\n")]
    [InlineData("no body", "Subject: x\n", "Subject: x\r\n\r\n")]
    [InlineData("no header section", "Hello world\n", "\r\nHello world\r\n")]
    [InlineData("header section ends without an empty line", "Subject: x\nHello world\nTo: y\n", "Subject: x\r\n\r\nHello world\r\nTo: y\r\n")]
    [InlineData("first line is a continuation", " x\nTo: y\n", "\r\n x\r\nTo: y\r\n")]
    [InlineData("empty line first", "\nHello\n", "\r\nHello\r\n")]
    [InlineData("nothing", "", "\r\n")]
    [InlineData("mbox separator", "From ann Sat Nov 21 09:05:07 2026\nSubject: x\n\nFrom me\n", "Subject: x\r\n\r\nFrom me\r\n")]
    [InlineData("dots", "Subject: x\n\n..\n.a\n. \n", "Subject: x\r\n\r\n...\r\n..a\r\n.. \r\n")]
    [InlineData("eight bits", "Subject: \xfc\n\n\xe4\xff\n", "Subject: \xfc\r\n\r\n\xe4\xff\r\n")]
    [InlineData("lone dot", "Subject: x\n\nHello\n.\nmore\n", "Subject: x\r\n\r\nHello\r\n")]
    [InlineData("lone dot at the end", "Subject: x\n\nHello\n.", "Subject: x\r\n\r\nHello\r\n")]
    [InlineData("lone dot with CRLF", "Subject: x\r\n\r\nHello\r\n.\r\nmore\r\n", "Subject: x\r\n\r\nHello\r\n")]
    [InlineData("lone dot with -i", "Subject: x\n\nHello\n.\nmore\n", "Subject: x\r\n\r\nHello\r\n..\r\nmore\r\n", "-i")]
    [InlineData("lone dot with -oi", "Subject: x\n\nHello\n.\nmore\n", "Subject: x\r\n\r\nHello\r\n..\r\nmore\r\n", "-oi")]
    [InlineData("Bcc is left to the gateway", "Bcc: b@x.test\n\nHello\n", "Bcc: b@x.test\r\n\r\nHello\r\n")]
    public async Task Input_reaches_the_gateway_with_CRLF_and_otherwise_unchanged(string name, string input, string data, params string[] flags)
    {
        await using var gateway = new ScriptedGateway();
        SendmailResult result = await SendmailRun.RunAsync(gateway.Path, input, [.. flags, "bob@example.org"]);

        Assert.True(result.ExitCode == 0, $"{name}: {result.Error}");
        Assert.Equal("", result.Error);
        Assert.Equal([data], gateway.Messages);
    }

    [Theory]
    [InlineData("-Fann smith", "", "From: \"ann smith\" <info@shop.test>\r\n\r\nx\r\n")]
    [InlineData("-Fann \"smith\" \\", "", "From: \"ann \\\"smith\\\" \\\\\" <info@shop.test>\r\n\r\nx\r\n")]
    [InlineData("-Fj\u00fcrgen\r\nBcc: x", "", "From: =?utf-8?B?asO8cmdlbkJjYzogeA==?= <info@shop.test>\r\n\r\nx\r\n")]
    [InlineData("-oi", "Env Name", "From: \"Env Name\" <info@shop.test>\r\n\r\nx\r\n")]
    [InlineData("-Fann", "Env Name", "From: \"ann\" <info@shop.test>\r\n\r\nx\r\n")]
    [InlineData("-oi", "", "\r\nx\r\n")]
    public async Task A_name_makes_a_missing_From(string flag, string name, string data)
    {
        await using var gateway = new ScriptedGateway();
        await SendmailRun.RunAsync(SendmailRun.Executable, gateway.Path, "\nx\n"u8.ToArray(), [("NAME", name)], flag, "-f", "info@shop.test", "bob@example.org");

        Assert.Equal([data], gateway.Messages);
    }

    [Fact]
    public async Task A_name_does_not_touch_a_From_that_is_there()
    {
        await using var gateway = new ScriptedGateway();
        await SendmailRun.RunAsync(gateway.Path, "from: a@b.test\n\nx\n", "-F", "ann", "bob@example.org");

        Assert.Equal(["from: a@b.test\r\n\r\nx\r\n"], gateway.Messages);
    }

    [Theory]
    [InlineData("To: a@x.test, B <b@x.test>\nCc: c@x.test (C)\nBcc: d@x.test,\n  a@x.test\n\nx\n", "a@x.test b@x.test c@x.test d@x.test", "To: a@x.test, B <b@x.test>\r\nCc: c@x.test (C)\r\n\r\nx\r\n")]
    [InlineData("To: a@x.test\n\nx\n", "e@x.test a@x.test", "To: a@x.test\r\n\r\nx\r\n", "e@x.test")]
    [InlineData("To: a@x.test\nResent-To: r@x.test\nResent-Bcc: s@x.test\nBcc: b@x.test\n\nx\n", "r@x.test s@x.test", "To: a@x.test\r\nResent-To: r@x.test\r\n\r\nx\r\n")]
    [InlineData("To: root\n\nTo: b@x.test\n", "root", "To: root\r\n\r\nTo: b@x.test\r\n")]
    [InlineData("To: undisclosed-recipients:;\nBcc: -oQ@x.test\n\n", "-oQ@x.test", "To: undisclosed-recipients:;\r\n\r\n")]
    public async Task With_t_recipients_come_from_the_header_section_and_Bcc_goes(string input, string recipients, string data, params string[] arguments)
    {
        await using var gateway = new ScriptedGateway();
        SendmailResult result = await SendmailRun.RunAsync(gateway.Path, input, ["-t", "-i", .. arguments]);

        Assert.Equal((0, ""), (result.ExitCode, result.Error));
        Assert.Equal(recipients.Split(' '), gateway.Commands.Where(static c => c.StartsWith("RCPT", StringComparison.Ordinal)).Select(static c => c[9..^1]));
        Assert.Equal([data], gateway.Messages);
    }

    [Fact]
    public async Task A_large_message_arrives_whole()
    {
        string line = new string('x', 70) + "\n.\n";
        string body = string.Concat(Enumerable.Repeat(line, 60_000));
        await using var gateway = new ScriptedGateway();
        SendmailResult result = await SendmailRun.RunAsync(gateway.Path, "Subject: x\n\n" + body, "-i", "bob@example.org");

        Assert.Equal((0, ""), (result.ExitCode, result.Error));
        string expected = "Subject: x\r\n\r\n" + body.Replace("\n.", "\n..", StringComparison.Ordinal).Replace("\n", "\r\n", StringComparison.Ordinal);
        Assert.True(expected == gateway.Messages.Single());
    }

    [Fact]
    public async Task Line_ends_and_lone_dots_are_found_wherever_reads_end()
    {
        // Reads are 64 KiB: each shift moves the interesting octets over their end.
        for (int shift = 0; shift < 6; shift++)
        {
            string filler = new string('x', 64 * 1024 - 12 - 3 + shift);
            await using var gateway = new ScriptedGateway();
            await SendmailRun.RunAsync(gateway.Path, "Subject: x\n\n" + filler + "\r\r\n.\r\nmore\r\n", "bob@example.org");

            Assert.True("Subject: x\r\n\r\n" + filler + "\r\n" == gateway.Messages.Single(), $"shift {shift}");
        }
    }

    [Fact]
    public async Task It_runs_under_a_small_limit_of_address_space()
    {
        await using var gateway = new ScriptedGateway();
        byte[] large = Encoding.ASCII.GetBytes("Subject: x\n\n" + string.Concat(Enumerable.Repeat(new string('y', 75) + "\n", 200_000)));
        foreach (byte[] input in new[] { "Subject: x\n\nx\n"u8.ToArray(), large })
        {
            SendmailResult result = await SendmailRun.RunAsync(
                "/bin/sh", gateway.Path, input, [], "-c", "ulimit -v 700000; exec \"$0\" -i bob@example.org", SendmailRun.Executable);

            Assert.Equal((0, ""), (result.ExitCode, result.Error));
        }
        Assert.Equal(2, gateway.Messages.Count);
    }
}
