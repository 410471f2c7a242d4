using System.Diagnostics;
using System.Text.RegularExpressions;
using RelayGate.InteropTests.Infrastructure;

namespace RelayGate.InteropTests.Hosting;

/// <summary>The demo as the README has it run: it says what to try, what it says works, and it ends with a summary.</summary>
public sealed partial class DemoTests
{
    [Fact]
    public async Task Every_command_that_the_demo_prints_does_what_it_says_and_Ctrl_C_ends_it_with_a_summary()
    {
        using var folder = new TestFolder();
        var watch = Stopwatch.StartNew();
        await using BackgroundProgram demo = BackgroundProgram.Start(Repository.Gateway, ["demo", "--port", $"{FreePort.Next()}"], folder.FullName);
        await demo.SaysAsync("demo ready in", TimeSpan.FromSeconds(30));
        string[] printed = demo.Said.Split('\n');
        string[] commands = [.. printed.SkipWhile(static l => !l.StartsWith("In a second terminal", StringComparison.Ordinal)).Skip(1)
            .TakeWhile(static l => l.StartsWith("  ", StringComparison.Ordinal)).Select(static l => l.Trim())];
        Assert.StartsWith("export PATH=", commands[0], StringComparison.Ordinal);
        Assert.True(commands.Length > 5, demo.Said);

        string? reference = null;
        foreach (string command in commands[1..])
        {
            ProgramResult result = await InTerminalAsync(commands[0], command);
            if (command.Contains("is refused", StringComparison.Ordinal))
            {
                result.ShouldExit(1).ShouldSay("451 4.7.1").ShouldSay("; ref ");
                reference = Reference().Match(result.Output).Groups[1].Value;
            }
            else
            {
                result.ShouldSucceed();
            }
        }
        Assert.NotNull(reference);
        (await InTerminalAsync(commands[0], "relaygate message explain " + reference)).ShouldSucceed().ShouldSay("info@shop.test").ShouldSay("STOP").ShouldSay("451 4.7.1");
        (await InTerminalAsync(commands[0], "relaygate dkim dns shop.test")).ShouldSucceed().ShouldSay("rg1._domainkey.shop.test");
        await demo.SaysAsync("received <info@shop.test> -> <ann@example.net> from 127.0.0.11", TimeSpan.FromSeconds(10));

        (await InTerminalAsync(commands[0], "relaygate send -q --to a@example.net --to b@example.net --to c@example.net --to d@example.net")).ShouldSucceed();
        await demo.SaysAsync("-> <a@example.net>, <b@example.net>, <c@example.net> +1 from 127.0.0.11", TimeSpan.FromSeconds(10));

        demo.Signal(Signals.Interrupt);
        Assert.Equal(0, await demo.ExitAsync(TimeSpan.FromSeconds(15)));
        Assert.Matches("stopped cleanly in .* messages: .* accepted, .* refused, .* left in the queue; recipients: .* delivered", demo.Said);
        Assert.DoesNotContain("   at ", demo.Said, StringComparison.Ordinal);
        Assert.True(watch.Elapsed < TimeSpan.FromMinutes(2));
    }

    [Fact]
    public async Task A_folder_that_is_not_a_demos_is_left_alone()
    {
        using var folder = new TestFolder();
        Directory.CreateDirectory(folder[".relaygate-demo"]);
        string file = folder.Write(".relaygate-demo/precious", "x");

        ProgramResult result = await new ProgramRun(Repository.Gateway, "demo") { WorkingDirectory = folder.FullName }.RunAsync();

        result.ShouldExit(1).ShouldSay("--data");
        Assert.True(File.Exists(file));
    }

    [Fact]
    public async Task Run_from_the_source_it_works_in_the_callers_folder()
    {
        using var folder = new TestFolder();
        Directory.CreateDirectory(folder[".relaygate-demo"]);
        folder.Write(".relaygate-demo/precious", "x");

        ProgramResult result = await new ProgramRun(
            "dotnet", "run", "--no-build", "-c", Repository.Configuration, "--project", Path.Combine(Repository.Root, "src/RelayGate.Server"), "--", "demo")
        { WorkingDirectory = folder.FullName }.RunAsync();

        result.ShouldExit(1).ShouldSay(folder[".relaygate-demo"] + " is there");
    }

    private static Task<ProgramResult> InTerminalAsync(string export, string command) =>
        new ProgramRun("bash", "-c", $"{export}\n{command}") { Timeout = TimeSpan.FromSeconds(60) }.RunAsync();

    [GeneratedRegex("; ref ([0-9A-Z]+)")]
    private static partial Regex Reference();
}
