using System.Diagnostics;
using System.Globalization;
using System.Net;

namespace RelayGate.Benchmarks;

/// <summary>A published gateway that runs beside a measurement, until it is disposed of.</summary>
internal sealed class GatewayRun : IAsyncDisposable
{
    private readonly Process _process;

    private GatewayRun(Process process) => _process = process;

    public int Id => _process.Id;

    public IPEndPoint Listener { get; private set; } = null!;

    /// <exception cref="InvalidOperationException">It ended, or named no listener.</exception>
    public static async Task<GatewayRun> StartAsync(string program, string config, TimeSpan patience)
    {
        var process = Process.Start(new ProcessStartInfo(program) { ArgumentList = { "serve", "--config", config }, UseShellExecute = false, RedirectStandardOutput = true, RedirectStandardError = true })!;
        _ = process.StandardError.ReadToEndAsync(); // The mail log.
        var run = new GatewayRun(process);
        using var bound = new CancellationTokenSource(patience);
        string? line;
        while ((line = await process.StandardOutput.ReadLineAsync(bound.Token)) is not null && !line.Contains("ready", StringComparison.Ordinal))
        {
            if (line.StartsWith("SMTP ", StringComparison.Ordinal))
                run.Listener = IPEndPoint.Parse(line.Split(' ')[1]);
        }
        if (line is not null && run.Listener is not null)
            return run;
        await run.DisposeAsync();
        throw new InvalidOperationException("The gateway did not start");
    }

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
        {
            using Process kill = Process.Start("kill", ["-TERM", _process.Id.ToString(CultureInfo.InvariantCulture)])!;
            await kill.WaitForExitAsync();
            await _process.WaitForExitAsync();
        }
        _process.Dispose();
    }
}
