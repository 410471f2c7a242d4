using System.Diagnostics;
using System.Text;

namespace RelayGate.InteropTests.Infrastructure;

/// <summary>What a program left behind.</summary>
public sealed record ProgramResult(string CommandLine, int ExitCode, string Output, string Error)
{
    /// <summary>Everything, for the message of a failed assertion.</summary>
    public override string ToString() => $"$ {CommandLine}\nexit code {ExitCode}\n--- stdout\n{Output}\n--- stderr\n{Error}";

    public ProgramResult ShouldSucceed() => ShouldExit(0);

    public ProgramResult ShouldExit(int code)
    {
        Assert.True(ExitCode == code, $"Expected exit code {code}.\n{this}");
        return this;
    }

    public ProgramResult ShouldFail()
    {
        Assert.True(ExitCode != 0, $"Expected a failure.\n{this}");
        return this;
    }

    /// <summary>Asserts that stdout or stderr holds <paramref name="text"/>.</summary>
    public ProgramResult ShouldSay(string text)
    {
        Assert.True((Output + Error).Contains(text, StringComparison.Ordinal), $"Expected the text «{text}».\n{this}");
        return this;
    }
}

/// <summary>One bounded run of a program: it ends within <see cref="Timeout"/> or is killed and the test fails.</summary>
public sealed class ProgramRun(string file, params string[] arguments)
{
    public ProgramRun(string[] command)
        : this(command[0], command[1..])
    {
    }

    public TimeSpan Timeout { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>Octets for stdin, which is closed afterwards.</summary>
    public byte[] Input { get; init; } = [];

    public string InputText { init => Input = Encoding.UTF8.GetBytes(value); }

    public IReadOnlyDictionary<string, string> Environment { get; init; } = new Dictionary<string, string>();

    public string WorkingDirectory { get; init; } = "/";

    public async Task<ProgramResult> RunAsync()
    {
        ProcessStartInfo start = StartInfo(file, arguments, Environment, WorkingDirectory);
        start.RedirectStandardInput = true;
        using var process = new Process { StartInfo = start };
        process.Start();
        Task<string> output = process.StandardOutput.ReadToEndAsync();
        Task<string> error = process.StandardError.ReadToEndAsync();
        Task input = FeedAsync(process, Input);
        using var bound = new CancellationTokenSource(Timeout);
        string commandLine = string.Join(' ', [file, .. arguments]);
        try
        {
            await process.WaitForExitAsync(bound.Token);
            await Task.WhenAll(input, output, error).WaitAsync(bound.Token);
        }
        catch (OperationCanceledException e)
        {
            process.Kill(entireProcessTree: true);
            string said = output.IsCompletedSuccessfully ? await output : "";
            throw new TimeoutException($"«{commandLine}» did not end within {Timeout}. {said}", e);
        }
        return new ProgramResult(commandLine, process.ExitCode, await output, await error);
    }

    internal static ProcessStartInfo StartInfo(
        string file, IEnumerable<string> arguments, IReadOnlyDictionary<string, string> environment, string workingDirectory)
    {
        var start = new ProcessStartInfo(Programs.Find(file) ?? file, arguments)
        {
            UseShellExecute = false,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = workingDirectory,
        };
        // What `dotnet test` sets for itself is nothing for the programs under test.
        foreach (string name in start.Environment.Keys.Where(n => n.StartsWith("MSBUILD", StringComparison.Ordinal)
            || n.StartsWith("VSTEST", StringComparison.Ordinal) || n is "RELAYGATE_SOCKET" or "RELAYGATE_SUBMIT").ToList())
            start.Environment.Remove(name);
        foreach ((string name, string value) in environment)
            start.Environment[name] = value;
        return start;
    }

    private static async Task FeedAsync(Process process, byte[] input)
    {
        try
        {
            await process.StandardInput.BaseStream.WriteAsync(input);
            process.StandardInput.Close();
        }
        catch (IOException)
        {
            // The program ended without reading all of it: its exit code says why.
        }
    }
}
