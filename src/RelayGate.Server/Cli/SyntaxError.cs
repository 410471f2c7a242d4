using System.CommandLine;
using System.CommandLine.Parsing;
using RelayGate.Core.Messages;

namespace RelayGate.Server.Cli;

/// <summary>Says in one line what is wrong with a command line, where, and what would be right.</summary>
internal static class SyntaxError
{
    public static string Of(ParseResult parsed)
    {
        CommandResult command = parsed.CommandResult;
        string path = PathOf(command);
        if (parsed.UnmatchedTokens is [var word, ..])
            return Unknown(command, path, word);
        ParseError error = parsed.Errors[0];
        if (BadValue(error) is { } bad)
            return $"{bad}; see: {path} --help";
        // Without one of its commands a command does nothing.
        return command.Command.Subcommands.Count > 0
            ? $"{path} needs a command: {string.Join(", ", CommandsOf(command))}"
            : $"{error.Message.TrimEnd('.')}; see: {path} --help";
    }

    private static string Unknown(CommandResult command, string path, string word)
    {
        bool isOption = word.StartsWith('-');
        string[] known = isOption ? [.. OptionsOf(command)] : [.. CommandsOf(command)];
        string what = isOption ? $"unknown option '{word}' of {path}"
            : known.Length > 0 ? $"{path} has no command '{word}'"
            : $"'{word}' is one word too many for {path}";
        return NearName.Of(word, known) is { } near ? $"{what}; did you mean {near}?" : $"{what}; see: {path} --help";
    }

    /// <summary>What cannot be read is named with its option and what is expected in its place.</summary>
    private static string? BadValue(ParseError error)
    {
        if (error.SymbolResult is not (ArgumentResult or OptionResult))
            return null;
        OptionResult? option = error.SymbolResult as OptionResult ?? error.SymbolResult?.Parent as OptionResult;
        if (option is not { Tokens: [{ Value: var value }, ..] } || !IsNumber(option.Option.ValueType))
            return null;
        return $"{option.Option.Name} is '{value}': a whole number is expected";
    }

    private static bool IsNumber(Type type) => (Nullable.GetUnderlyingType(type) ?? type) == typeof(int);

    private static IEnumerable<string> CommandsOf(CommandResult command) => command.Command.Subcommands.Where(c => !c.Hidden).Select(c => c.Name);

    /// <summary>The command's own, and those of the commands above it that hold for all below.</summary>
    private static IEnumerable<string> OptionsOf(CommandResult command)
    {
        for (CommandResult? at = command; at is not null; at = at.Parent as CommandResult)
        {
            foreach (Option option in at.Command.Options.Where(o => at == command || o.Recursive))
            {
                yield return option.Name;
                foreach (string alias in option.Aliases)
                    yield return alias;
            }
        }
    }

    private static string PathOf(CommandResult command) =>
        command.Parent is CommandResult parent ? $"{PathOf(parent)} {command.Command.Name}" : "relaygate";
}
