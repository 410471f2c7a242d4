using System.Diagnostics;
using System.Text;

namespace RelayGate.Tests.Sendmail;

internal sealed record SendmailResult(int ExitCode, string Output, string Error);

/// <summary>One run of the built relaygate-sendmail.</summary>
internal static class SendmailRun
{
    /// <summary>The executable of the same configuration as these tests.</summary>
    public static string Executable { get; } = FindExecutable();

    public static Task<SendmailResult> RunAsync(string socket, string input, params string[] arguments) =>
        RunAsync(Executable, socket, Encoding.Latin1.GetBytes(input), [], arguments);

    public static async Task<SendmailResult> RunAsync(
        string program, string socket, byte[] input, (string Name, string Value)[] environment, params string[] arguments)
    {
        var start = new ProcessStartInfo(program, arguments)
        {
            UseShellExecute = false,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.Environment["RELAYGATE_SUBMIT"] = socket;
        start.Environment.Remove("NAME");
        foreach ((string name, string value) in environment)
            start.Environment[name] = value;
        using var process = Process.Start(start)!;
        using var bound = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        try
        {
            Task<string> output = process.StandardOutput.ReadToEndAsync(bound.Token);
            Task<string> error = process.StandardError.ReadToEndAsync(bound.Token);
            await process.StandardInput.BaseStream.WriteAsync(input, bound.Token); // Fails with a broken pipe if not all is read.
            process.StandardInput.Close();
            await process.WaitForExitAsync(bound.Token);
            return new SendmailResult(process.ExitCode, await output, await error);
        }
        catch (OperationCanceledException)
        {
            process.Kill(entireProcessTree: true);
            throw;
        }
    }

    private static string FindExecutable()
    {
        string output = AppContext.BaseDirectory.TrimEnd('/');
        string configuration = Path.GetFileName(Path.GetDirectoryName(output)!);
        for (string? folder = output; folder is not null; folder = Path.GetDirectoryName(folder))
        {
            string candidate = Path.Combine(folder, "src", "RelayGate.Sendmail", "bin", configuration, "net10.0", "relaygate-sendmail");
            if (File.Exists(candidate))
                return candidate;
        }
        throw new FileNotFoundException("relaygate-sendmail is not built");
    }
}
