using System.CommandLine;
using System.Text.Json.Nodes;
using RelayGate.Server.Cli;

namespace RelayGate.Server.Commands;

/// <summary><c>relaygate limit …</c>.</summary>
/// <remarks><c>limit set server 100000/h</c>, <c>limit set plan basic --each mailbox 100/h</c>: a level, a name (not for the server), a value.</remarks>
internal static class LimitCommands
{
    private static readonly string[] Levels = ["server", "plan", "subscription", "domain", "mailbox"];

    private static readonly Argument<string[]> Words = new("OBJECT") { Description = "server, or plan|subscription|domain|mailbox and a name.", Arity = ArgumentArity.OneOrMore };
    private static readonly Argument<string[]> WordsAndValue = new("OBJECT VALUE")
    {
        Description = "The object, then N/h, N/d, N/h:rcpt, N/d:rcpt, several with commas, unlimited or forbidden.",
        Arity = ArgumentArity.OneOrMore,
    };

    private static readonly Option<string?> Each = new("--each") { Description = "The default of the objects of this level below it, in place of its own cap.", HelpName = "mailbox|domain|subscription" };
    private static readonly Option<string?> Over = new("--over") { Description = "What happens above it: refuse (451), reject (550) or hold (250, released as there is room). Default: Limits:Over.", HelpName = "ACTION" };

    public static Command Create() => new Command("limit", "Limits: how much each object may send.").With(
        new Command("set", "Set a limit.").With(WordsAndValue, Each, Over).Does(async (parsed, client, output, cancellationToken) =>
        {
            string[] words = parsed.GetRequiredValue(WordsAndValue);
            JsonObject body = Object(words[..^1], "limit set OBJECT VALUE");
            body["value"] = words[^1];
            Fields.Set(body, "each", parsed.GetValue(Each));
            Fields.Set(body, "over", parsed.GetValue(Over));
            JsonNode answer = await client.PutAsync("limits", body, cancellationToken);
            string each = parsed.GetValue(Each) is { } level ? $" for each {level}" : "";
            return output.Done(answer, $"{string.Join(' ', words[..^1])}{each}: {words[^1]}");
        }),
        new Command("unset", "Take a limit away: the inherited or configured one holds again.").With(Words, Each).Does(async (parsed, client, output, cancellationToken) =>
        {
            JsonObject body = Object(parsed.GetRequiredValue(Words), "limit unset OBJECT");
            string query = Paging.Build(("level", (string?)body["level"]), ("name", (string?)body["name"]), ("each", parsed.GetValue(Each)));
            return output.Done(await client.DeleteAsync("limits" + query, cancellationToken), $"{string.Join(' ', parsed.GetRequiredValue(Words))}: unset");
        }),
        new Command("show", "Show the limits in force for an object, where they come from and what is used.").With(Words).Does(async (parsed, client, output, cancellationToken) =>
        {
            JsonObject body = Object(parsed.GetRequiredValue(Words), "limit show OBJECT");
            JsonNode answer = await client.GetAsync("limits" + Paging.Build(("level", (string?)body["level"]), ("name", (string?)body["name"])), cancellationToken);
            return output.List(answer, "no limits", Columns());
        }),
        new Command("tree", "Show an object and all that is below it.").With(new Argument<string[]>("OBJECT") { Arity = ArgumentArity.ZeroOrMore, Description = "Default: server." })
            .Does(async (parsed, client, output, cancellationToken) =>
        {
            string[] words = parsed.GetValue<string[]>("OBJECT") is { Length: > 0 } given ? given : ["server"];
            JsonObject body = Object(words, "limit tree OBJECT");
            JsonNode answer = await client.GetAsync("limits/tree" + Paging.Build(("level", (string?)body["level"]), ("name", (string?)body["name"])), cancellationToken);
            return output.List(answer, "no limits", Columns());
        }),
        LimitSimulateCommand.Create());

    private static (string, Func<JsonNode, string?>)[] Columns() =>
    [
        ("OBJECT", i => new string(' ', 2 * ((int?)i["depth"] ?? 0)) + Cell.Text(i["object"])),
        ("LIMIT", Cell.Of("limit")), ("ORIGIN", Cell.Of("origin")), ("USED", Cell.Of("used")), ("REFUSED", Cell.Of("refused")), ("NEXT POSSIBLE", Cell.Time("nextPossible")),
    ];

    private static JsonObject Object(string[] words, string usage)
    {
        if (words.Length == 0 || !Levels.Contains(words[0]) || words.Length != (words[0] == "server" ? 1 : 2))
            throw new CliException(ExitCode.Usage, $"name the object as: server, plan NAME, subscription NAME, domain NAME or mailbox ADDRESS (relaygate {usage})");
        return new JsonObject { ["level"] = words[0], ["name"] = words.Length > 1 ? words[1] : "" };
    }
}
