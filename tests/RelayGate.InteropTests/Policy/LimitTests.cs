using RelayGate.InteropTests.Infrastructure;

namespace RelayGate.InteropTests.Policy;

/// <summary>What a customer's program and the administrator see of a limit and of a suspension.</summary>
public sealed class LimitTests
{
    [InteropFact("swaks")]
    public async Task The_client_sees_the_refusal_and_explain_names_its_reason()
    {
        await using SinkServer sink = SinkServer.Start();
        await using GatewayProcess gateway = await GatewayProcess.StartAsync(sink);
        await gateway.AddShopAsync();
        await gateway.CliAsync("limit", "set", "mailbox", "info@shop.test", "2/h");
        (await SwaksAsync(gateway)).ShouldSucceed();
        (await SwaksAsync(gateway)).ShouldSucceed();

        ProgramResult refused = await SwaksAsync(gateway);

        refused.ShouldFail().ShouldSay("451 4.7.1 ").ShouldSay("info@shop.test").ShouldSay("2/2").ShouldSay("; ref ");
        string line = refused.Output.Split('\n').First(static l => l.Contains("451 4.7.1 ", StringComparison.Ordinal));
        Assert.Contains("MAIL FROM", refused.Output[..refused.Output.IndexOf(line, StringComparison.Ordinal)].TrimEnd().Split('\n')[^1], StringComparison.Ordinal);
        Assert.True(line[(line.IndexOf("451", StringComparison.Ordinal))..].Length < 200, line);
        string reference = line.Split("; ref ")[1].Trim();
        string explanation = await gateway.CliAsync("message", "explain", reference);
        Assert.Contains(explanation.Split('\n'), static l =>
            l.Contains("mailbox info@shop.test", StringComparison.Ordinal) && l.Contains("2 of 2/h", StringComparison.Ordinal) && l.Contains("STOP", StringComparison.Ordinal));
        Assert.Contains("451 4.7.1", explanation, StringComparison.Ordinal);
        Assert.Equal(2, sink.Messages.Count);
    }

    [InteropFact("swaks")]
    public async Task More_room_lets_the_next_message_through_and_a_restart_forgets_nothing()
    {
        await using SinkServer sink = SinkServer.Start();
        await using GatewayProcess gateway = await GatewayProcess.StartAsync(sink);
        await gateway.AddShopAsync();
        await gateway.CliAsync("limit", "set", "domain", "shop.test", "1/h");
        (await SwaksAsync(gateway)).ShouldSucceed();
        Assert.Equal(0, await gateway.StopAsync());
        await gateway.StartAsync();

        (await SwaksAsync(gateway)).ShouldFail().ShouldSay("451 4.7.1 ").ShouldSay("shop.test").ShouldSay("1/1");
        await gateway.CliAsync("limit", "set", "domain", "shop.test", "2/h");
        (await SwaksAsync(gateway)).ShouldSucceed();
        (await SwaksAsync(gateway)).ShouldFail();
    }

    [InteropFact("swaks")]
    public async Task A_suspended_subscription_is_refused_at_MAIL_and_its_mail_waits()
    {
        await using SinkServer sink = SinkServer.Start();
        bool isOpen = false;
        sink.Reply = line => Volatile.Read(ref isOpen) || !line.StartsWith("MAIL", StringComparison.Ordinal) ? null : "451 4.3.0 Not now";
        await using GatewayProcess gateway = await GatewayProcess.StartAsync(sink);
        await gateway.AddShopAsync();
        await gateway.CliAsync("subscription", "add", "beta", "--plan", "basic");
        await gateway.CliAsync("domain", "add", "blog.test", "--subscription", "beta");
        await gateway.AddMailboxAsync("info@blog.test", GatewayProcess.Password);
        (await SwaksAsync(gateway)).ShouldSucceed();
        using SmtpDialog open = await SmtpDialog.ConnectAsync(gateway.Port);
        await open.LogInAsync("info@shop.test", GatewayProcess.Password);

        await gateway.CliAsync("subscription", "suspend", "acme");

        Assert.StartsWith("550 5.7.1", await open.CommandAsync("MAIL FROM:<info@shop.test>"), StringComparison.Ordinal);
        (await SwaksAsync(gateway)).ShouldFail().ShouldSay("235 ").ShouldSay("550 5.7.1").ShouldSay("suspended");
        (await SwaksAsync(gateway, "info@blog.test")).ShouldSucceed();
        Volatile.Write(ref isOpen, true);
        await sink.ReceiveAsync(static m => m.ReversePath == "<info@blog.test>"); // It was deferred after the other, and went on meanwhile.
        Assert.DoesNotContain(sink.Messages, static m => m.ReversePath == "<info@shop.test>");
        await gateway.CliAsync("subscription", "resume", "acme");
        await sink.ReceiveAsync(static m => m.ReversePath == "<info@shop.test>");
        (await SwaksAsync(gateway)).ShouldSucceed();
    }

    [Fact]
    public async Task The_dry_run_says_what_would_happen_and_sends_nothing()
    {
        await using SinkServer sink = SinkServer.Start();
        await using GatewayProcess gateway = await GatewayProcess.StartAsync(sink);
        await gateway.AddShopAsync();
        await gateway.CliAsync("limit", "set", "mailbox", "info@shop.test", "forbidden");

        string answer = await gateway.CliAsync("explain", "--as", "info@shop.test", "--from", "info@shop.test", "--to", "ann@example.com");

        Assert.Contains("550 5.7.1", answer, StringComparison.Ordinal);
        Assert.Empty((await gateway.CliJsonAsync("message", "list"))["items"]!.AsArray());
        Assert.Empty(sink.Messages);
    }

    private static Task<ProgramResult> SwaksAsync(GatewayProcess gateway, string login = "info@shop.test") => new ProgramRun(
        "swaks", "--server", $"127.0.0.1:{gateway.Port}", "--auth", "PLAIN", "--auth-user", login, "--auth-password", GatewayProcess.Password,
        "--from", login, "--to", "ann@example.com").RunAsync();
}
