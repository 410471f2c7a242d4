using System.CommandLine;
using System.CommandLine.Invocation;
using System.CommandLine.Parsing;
using RelayGate.Server.Cli;
using RelayGate.Server.Commands;

namespace RelayGate.Server;

/// <summary>The tree of verbs, and what becomes of a wrong one.</summary>
internal static class CommandLine
{
    public static async Task<int> RunAsync(string[] args)
    {
        RootCommand root = CreateRoot();
        ParseResult parsed = root.Parse(args);
        if (parsed.Errors.Count > 0 && parsed.Action is ParseErrorAction)
        {
            // One line and a hint in place of the whole help on standard output.
            ParseError error = parsed.Errors.FirstOrDefault(e => e.Message.StartsWith("Unrecognized", StringComparison.Ordinal)) ?? parsed.Errors[0];
            await Console.Error.WriteLineAsync($"relaygate: {Output.Clean(error.Message)}");
            await Console.Error.WriteLineAsync($"Try: {PathOf(parsed.CommandResult)} --help");
            return ExitCode.Usage;
        }
        try
        {
            // Signals: serve and demo stop by themselves, and every other verb may simply end.
            return await parsed.InvokeAsync(new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null });
        }
        catch (CliException error)
        {
            await Console.Error.WriteLineAsync($"relaygate: {Output.Clean(error.Message)}");
            return error.ExitCode;
        }
    }

    private static RootCommand CreateRoot()
    {
        var root = new RootCommand("RelayGate, the outbound mail gateway.")
        {
            GlobalOptions.Json,
            GlobalOptions.Socket,
            ServeCommand.Create(),
            VersionCommand.Create(),
        };
        return root;
    }

    private static string PathOf(CommandResult command) =>
        command.Parent is CommandResult parent ? $"{PathOf(parent)} {command.Command.Name}" : "relaygate";
}
