using System.CommandLine;
using RelayGate.Configuration;
using RelayGate.Hosting;
using RelayGate.Server.Cli;
using RelayGate.Telemetry;

namespace RelayGate.Server.Commands;

/// <summary><c>relaygate serve</c>: the gateway itself.</summary>
internal static class ServeCommand
{
    private static readonly Option<string?> Config = new("--config") { Description = "Configuration file (default: appsettings.json here, beside the program, or in /etc/relaygate).", HelpName = "F" };
    private static readonly Option<string?> Data = new("--data") { Description = "Data directory, in place of RelayGate:DataDirectory.", HelpName = "DIR" };

    public static Command Create()
    {
        Command command = new Command("serve", "Run the gateway.").With(Config, Data);
        command.SetAction((parsed, cancellationToken) => RunAsync(parsed.GetValue(Config), parsed.GetValue(Data), cancellationToken));
        return command;
    }

    private static async Task<int> RunAsync(string? config, string? data, CancellationToken cancellationToken)
    {
        RelayGateOptions options;
        try
        {
            var overrides = new Dictionary<string, string>();
            if (data is not null)
                overrides["RelayGate:DataDirectory"] = data;
            options = ConfigurationLoader.Load(config, overrides).Options;
        }
        catch (ConfigurationException error)
        {
            foreach (ConfigurationFault fault in error.Faults)
                await Console.Error.WriteLineAsync($"relaygate: {fault}");
            return ExitCode.Failed;
        }
        GatewayProcess.HearInterrupts();
        GatewayProcess.KeepFilesToOurselves();
        await using WebApplication app = GatewayApp.Build(options, LogLevel.Information);
        return await GatewayRun.RunAsync(app, () =>
        {
            foreach (string line in app.Services.GetRequiredService<GatewayState>().Listeners)
                Console.WriteLine(line);
            Console.WriteLine($"RelayGate {RelayGateMetrics.Version} ready in {GatewayRun.SinceStart.TotalSeconds:0.0} s");
            return Task.CompletedTask;
        }, cancellationToken);
    }
}
