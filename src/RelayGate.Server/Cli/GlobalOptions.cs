using System.CommandLine;

namespace RelayGate.Server.Cli;

/// <summary>Options that every verb takes.</summary>
internal static class GlobalOptions
{
    public static Option<bool> Json { get; } = new("--json") { Description = "Print JSON (lists: {\"items\":[…]}).", Recursive = true };

    public static Option<string?> Socket { get; } = new("--socket")
    {
        Description = "Control socket of the gateway (default: RELAYGATE_SOCKET, else /run/relaygate/control.sock).",
        HelpName = "PATH",
        Recursive = true,
    };
}
