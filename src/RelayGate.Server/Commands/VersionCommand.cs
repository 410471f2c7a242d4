using System.CommandLine;
using System.Runtime.InteropServices;
using System.Text.Json.Nodes;
using RelayGate.Server.Cli;
using RelayGate.Telemetry;

namespace RelayGate.Server.Commands;

/// <summary><c>relaygate version</c>.</summary>
internal static class VersionCommand
{
    public static Command Create()
    {
        var command = new Command("version", "Print the version.");
        command.SetAction(parsed => new Output(parsed.GetValue(GlobalOptions.Json)).Done(
            new JsonObject { ["version"] = RelayGateMetrics.Version, ["runtime"] = RuntimeInformation.FrameworkDescription },
            $"RelayGate {RelayGateMetrics.Version} ({RuntimeInformation.FrameworkDescription})"));
        return command;
    }
}
