using System.CommandLine;

namespace RelayGate.Server.Cli;

/// <summary>Ties a command to what it does against a running gateway.</summary>
internal static class Verb
{
    /// <param name="run">Gets the parsed command line, a client and the output; returns the exit code.</param>
    public static Command Does(this Command command, Func<ParseResult, ControlClient, Output, CancellationToken, Task<int>> run)
    {
        command.SetAction(async (parsed, cancellationToken) =>
        {
            using var client = new ControlClient(parsed.GetValue(GlobalOptions.Socket));
            return await run(parsed, client, new Output(parsed.GetValue(GlobalOptions.Json)), cancellationToken);
        });
        return command;
    }

    /// <summary>Adds arguments, options and sub-commands in one expression.</summary>
    public static Command With(this Command command, params ReadOnlySpan<Symbol> parts)
    {
        foreach (Symbol part in parts)
        {
            switch (part)
            {
                case Argument argument:
                    command.Add(argument);
                    break;
                case Option option:
                    command.Add(option);
                    break;
                case Command child:
                    command.Add(child);
                    break;
            }
        }
        return command;
    }
}
