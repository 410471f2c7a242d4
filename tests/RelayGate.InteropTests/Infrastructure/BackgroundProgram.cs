using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text;

namespace RelayGate.InteropTests.Infrastructure;

/// <summary>A program that runs beside a test. Its output is kept; it is killed at the end if it still runs.</summary>
public sealed class BackgroundProgram : IAsyncDisposable
{
    private readonly Process _process;
    private readonly StringBuilder _said = new();

    private BackgroundProgram(Process process)
    {
        _process = process;
        process.OutputDataReceived += (_, line) => Keep(line.Data);
        process.ErrorDataReceived += (_, line) => Keep(line.Data);
    }

    public int Id => _process.Id;

    public bool HasExited => _process.HasExited;

    /// <summary>stdout and stderr so far.</summary>
    public string Said
    {
        get
        {
            lock (_said)
                return _said.ToString();
        }
    }

    public static BackgroundProgram Start(
        string file, IEnumerable<string> arguments, string workingDirectory = "/", IReadOnlyDictionary<string, string>? environment = null)
    {
        var process = new Process { StartInfo = ProgramRun.StartInfo(file, arguments, environment ?? new Dictionary<string, string>(), workingDirectory) };
        var program = new BackgroundProgram(process);
        process.Start();
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        return program;
    }

    /// <summary>Waits until the output holds <paramref name="text"/>; fails at once when the program ends before.</summary>
    public Task SaysAsync(string text, TimeSpan bound) => Eventually.TrueAsync(
        () =>
        {
            if (Said.Contains(text, StringComparison.Ordinal))
                return true;
            Assert.False(_process.HasExited, $"It ended (exit code {(_process.HasExited ? _process.ExitCode : 0)}) without saying «{text}»:\n{Said}");
            return false;
        },
        $"the text «{text}» in:\n{Said}",
        bound);

    public void Signal(int signal) => _ = NativeKill(_process.Id, signal);

    /// <summary>Waits for the end and all output.</summary>
    /// <returns>The exit code.</returns>
    public async Task<int> ExitAsync(TimeSpan bound)
    {
        try
        {
            using var source = new CancellationTokenSource(bound);
            await _process.WaitForExitAsync(source.Token);
        }
        catch (OperationCanceledException e)
        {
            throw new TimeoutException($"It still runs after {bound}:\n{Said}", e);
        }
        return _process.ExitCode;
    }

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
        {
            _process.Kill(entireProcessTree: true);
            await _process.WaitForExitAsync();
        }
        _process.Dispose();
    }

    private void Keep(string? line)
    {
        if (line is null)
            return;
        lock (_said)
            _said.AppendLine(line);
    }

    [DllImport("libc", EntryPoint = "kill")]
    private static extern int NativeKill(int processId, int signal);
}

/// <summary>Signal numbers of Linux.</summary>
public static class Signals
{
    public const int Interrupt = 2;
    public const int Kill = 9;
    public const int Terminate = 15;
}
