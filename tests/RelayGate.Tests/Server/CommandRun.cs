using System.Diagnostics;

namespace RelayGate.Tests.Server;

/// <summary>Runs the built command against a gateway.</summary>
internal sealed class CommandRun(string socket)
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    /// <summary>Runs a command that must succeed, and returns its output.</summary>
    public async Task<string> OkAsync(string arguments, string input = "")
    {
        Run run = await RunAsync(arguments, input);
        Assert.True(run.ExitCode == 0, $"{arguments}: {run.ExitCode} {run.Error}{run.Output}");
        return run.Output;
    }

    public async Task<Run> RunAsync(string arguments, string input = "")
    {
        string program = Path.Combine(AppContext.BaseDirectory, "RelayGate.Server.dll");
        var start = new ProcessStartInfo("dotnet", [program, .. arguments.Split(' '), "--socket", socket])
        {
            UseShellExecute = false,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        using Process process = Process.Start(start)!;
        Task<string> output = process.StandardOutput.ReadToEndAsync(), error = process.StandardError.ReadToEndAsync();
        await process.StandardInput.WriteAsync(input);
        process.StandardInput.Close();
        await process.WaitForExitAsync().WaitAsync(Patience);
        return new Run(process.ExitCode, await output, await error);
    }
}

internal sealed record Run(int ExitCode, string Output, string Error);
