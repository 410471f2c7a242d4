using System.CommandLine;

namespace RelayGate.Server.Cli;

/// <summary>Options of lists: how many and from where (keyset paging).</summary>
internal sealed class Paging
{
    private readonly Option<int?> _limit = new("--limit") { Description = "At most this many (1 to 1000).", HelpName = "N" };
    private readonly Option<string?> _cursor = new("--cursor") { Description = "Go on where a page ended.", HelpName = "CURSOR" };

    public Command AddTo(Command command)
    {
        command.Add(_limit);
        command.Add(_cursor);
        return command;
    }

    /// <summary>The query string with these parameters; those without a value are left out.</summary>
    public string Query(ParseResult parsed, params ReadOnlySpan<(string Name, string? Value)> parameters) =>
        Build([.. parameters, ("limit", parsed.GetValue(_limit)?.ToString()), ("cursor", parsed.GetValue(_cursor))]);

    public static string Build(params ReadOnlySpan<(string Name, string? Value)> parameters)
    {
        var query = new System.Text.StringBuilder();
        foreach ((string name, string? value) in parameters)
        {
            if (!string.IsNullOrEmpty(value))
                query.Append(query.Length == 0 ? '?' : '&').Append(name).Append('=').Append(Uri.EscapeDataString(value));
        }
        return query.ToString();
    }
}
