using System.CommandLine;
using System.CommandLine.Invocation;
using System.Runtime.InteropServices;
using System.Text.Json.Nodes;
using RelayGate.Server.Cli;
using RelayGate.Telemetry;

namespace RelayGate.Server.Commands;

/// <summary><c>relaygate version</c>, also as <c>--version</c>.</summary>
internal static class VersionCommand
{
    private const string Description = "Print the version.";

    public static Command Create()
    {
        var command = new Command("version", Description);
        command.SetAction(Print);
        return command;
    }

    public static Option<bool> CreateOption() => new("--version") { Description = Description, Arity = ArgumentArity.Zero, Action = new PrintAction() };

    private static int Print(ParseResult parsed) => new Output(parsed.GetValue(GlobalOptions.Json)).Done(
        new JsonObject { ["version"] = RelayGateMetrics.Version, ["runtime"] = RuntimeInformation.FrameworkDescription },
        $"RelayGate {RelayGateMetrics.Version} ({RuntimeInformation.FrameworkDescription})");

    /// <summary>An option stands for itself: no command has to follow.</summary>
    private sealed class PrintAction : SynchronousCommandLineAction
    {
        public override bool ClearsParseErrors => true;

        public override int Invoke(ParseResult parseResult) => Print(parseResult);
    }
}
