using System.CommandLine;
using System.CommandLine.Invocation;
using System.CommandLine.Parsing;
using RelayGate.Core.Messages;

namespace RelayGate.Server.Cli;

/// <summary>Says in one line what is wrong with a command line, where, and what would be right.</summary>
internal static class SyntaxError
{
    /// <summary>Fields of the API whose options have another name than theirs with hyphens.</summary>
    private static readonly Dictionary<string, string> OptionNames = new(StringComparer.Ordinal) { ["recipientDomain"] = "--to-domain", ["before"] = "--older-than", ["by"] = "--group-by" };

    /// <returns>Null: nothing is wrong.</returns>
    public static string? Of(ParseResult parsed)
    {
        bool isBad = parsed.Errors.Count > 0 && parsed.Action is ParseErrorAction;
        if (!isBad && parsed.Action != parsed.CommandResult.Command.Action)
            return null; // Help, or the version.
        CommandResult command = parsed.CommandResult;
        string path = PathOf(command);
        if (LikeOption(parsed) is { } like)
            return Unknown(command, path, like);
        if (!isBad)
            return null;
        if (parsed.UnmatchedTokens is [var word, ..])
            return Unknown(command, path, word);
        ParseError error = parsed.Errors[0];
        if (Missing(parsed) is { } missing)
            return $"{path} needs {missing}; see: {path} --help";
        if (BadValue(error) is { } bad)
            return $"{bad}; see: {path} --help";
        // Without one of its commands a command does nothing.
        return command.Command.Subcommands.Count > 0
            ? $"{path} needs a command: {string.Join(", ", CommandsOf(command))}"
            : $"{error.Message.TrimEnd('.')}; see: {path} --help";
    }

    /// <summary>Puts the option in the place of the API's field at the beginning of a refusal, where the command has one for it.</summary>
    public static string Named(ParseResult parsed, string refusal)
    {
        int end = refusal.IndexOfAny([' ', ':']);
        if (end <= 0 || !(refusal[end..].StartsWith(": ", StringComparison.Ordinal) || refusal[end..].StartsWith(" is ", StringComparison.Ordinal) || refusal[end..].StartsWith(" has ", StringComparison.Ordinal)))
            return refusal;
        string field = refusal[..end];
        string option = OptionNames.GetValueOrDefault(field) ?? "--" + string.Concat(field.Select(static c => char.IsAsciiLetterUpper(c) ? $"-{char.ToLowerInvariant(c)}" : $"{c}"));
        return OptionsOf(parsed.CommandResult).Contains(option) ? option + refusal[end..] : refusal;
    }

    /// <summary>A word that was taken for an argument and begins as an option does; after <c>--</c> it may.</summary>
    private static string? LikeOption(ParseResult parsed) => parsed.Tokens.Any(static t => t.Type == TokenType.DoubleDash)
        ? null
        : parsed.CommandResult.Children.OfType<ArgumentResult>().SelectMany(static a => a.Tokens).Select(static t => t.Value).FirstOrDefault(static v => v.Length > 1 && v[0] == '-');

    /// <summary>Which argument was left out, and what it is.</summary>
    private static string? Missing(ParseResult parsed)
    {
        CommandResult command = parsed.CommandResult;
        Argument? missing = command.Command.Arguments.FirstOrDefault(a => a.Arity.MinimumNumberOfValues > (parsed.GetResult(a)?.Tokens.Count ?? 0));
        return missing is null ? null : $"{missing.Name}{(missing.Description is { Length: > 0 } what ? $" ({what.TrimEnd('.')})" : "")}";
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
