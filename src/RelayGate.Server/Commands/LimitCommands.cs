using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;
using RelayGate.Server.Cli;

namespace RelayGate.Server.Commands;

/// <summary><c>relaygate limit …</c>.</summary>
/// <remarks><c>limit set server 100000/h</c>, <c>limit set plan basic --each mailbox 100/h</c>: a level, a name (not for the server), a value.</remarks>
internal static class LimitCommands
{
    private static readonly string[] Levels = ["server", "plan", "subscription", "domain", "mailbox"];

    private static readonly Argument<string[]> Words = new("OBJECT") { Description = "server, or plan|subscription|domain|mailbox and a name.", Arity = ArgumentArity.OneOrMore };
    private static readonly Argument<string[]> WordsOrServer = new("OBJECT") { Description = "Default: the server; to the user of a subscription, that.", Arity = ArgumentArity.ZeroOrMore };
    private static readonly Argument<string[]> WordsAndValue = new("OBJECT [VALUE]")
    {
        Description = "The object, then N/h, N/d, N/h:rcpt, N/d:rcpt, several with commas, unlimited or forbidden.",
        Arity = ArgumentArity.OneOrMore,
    };

    private static readonly Argument<string[]> WordsAndMore = new("OBJECT +N") { Description = "The object, then how much more: +500; or off, to end it.", Arity = ArgumentArity.OneOrMore };
    private static readonly Option<string?> Each = new("--each") { Description = "The default of the objects of this level below it, in place of its own cap.", HelpName = "mailbox|domain|subscription" };
    private static readonly Option<string?> Class = new("--class") { Description = "Only for mail of this class: login, local, script, network, forward or automatic.", HelpName = "CLASS" };
    private static readonly Option<string?> Over = new("--over") { Description = "What happens above it: refuse (451), reject (550) or hold (250, released as there is room). Default: Limits:Over.", HelpName = "ACTION" };
    private static readonly Option<int?> MaxRecipients = new("--max-recipients") { Description = "Largest number of recipients of one message.", HelpName = "N" };
    private static readonly Option<int?> WarnAt = new("--warn-at") { Description = "Percent of a limit from which on it is warned of; 0: never.", HelpName = "PERCENT" };
    private static readonly Option<string?> Enforce = new("--enforce") { Description = "on, or off: counted, never refused or held.", HelpName = "on|off" };
    private static readonly Option<string?> For = new("--for") { Description = "How long: 30m, 2h, 1d.", HelpName = "TIME" };
    private static readonly Option<int?> Depth = new("--depth") { Description = "So many levels below the object.", HelpName = "N" };

    private static readonly (Option<bool> Option, string Part)[] Parts =
    [
        (new("--value") { Description = "Only the limits." }, "value"),
        (new("--max-recipients") { Description = "Only the largest number of recipients." }, "maxRecipients"),
        (new("--warn-at") { Description = "Only the share to warn at." }, "warnAt"),
        (new("--enforce") { Description = "Only whether they are enforced." }, "enforce"),
    ];

    public static Command Create()
    {
        var paging = new Paging();
        var unset = new Command("unset", "Take limits away: what is inherited or configured holds again.").With(Words, Each, Class);
        foreach ((Option<bool> option, _) in Parts)
            unset.Add(option);
        return new Command("limit", "Limits: how much each object may send.").With(
            new Command("set", "Set a limit, or what belongs to it.").With(WordsAndValue, Each, Class, Over, MaxRecipients, WarnAt, Enforce).Does(SetAsync),
            unset.Does(UnsetAsync),
            new Command("boost", "Give an object more for a time: all its own limits are N higher. It ends by itself; another one takes its place.").With(WordsAndMore, For, Class).Does(BoostAsync),
            new Command("reset", "Make the use of an object's limits zero from now on; counts of others and the history stay.").With(Words, Class).Does(async (parsed, client, output, cancellationToken) =>
            {
                string[] words = parsed.GetRequiredValue(Words);
                return output.Done(await client.PostAsync("limits/reset", Object(words, parsed, "limit reset OBJECT"), cancellationToken), $"{string.Join(' ', words)}: use is zero from now on");
            }),
            new Command("show", "Show the limits in force for an object, where they come from and what is used.").With(Words, Class).Does(async (parsed, client, output, cancellationToken) =>
            {
                JsonObject body = Object(parsed.GetRequiredValue(Words), parsed, "limit show OBJECT");
                JsonNode answer = await client.GetAsync("limits" + Query(body), cancellationToken);
                return output.Show(answer, () => LimitScreen.Print(answer));
            }),
            paging.AddTo(new Command("tree", "Show an object and all that is below it.").With(WordsOrServer, Depth)).Does(async (parsed, client, output, cancellationToken) =>
            {
                JsonObject body = parsed.GetValue(WordsOrServer) is { Length: > 0 } words ? Object(words, null, "limit tree OBJECT") : []; // Nothing: all that may be read.
                string query = paging.Query(parsed, ("level", (string?)body["level"]), ("name", (string?)body["name"]), ("depth", parsed.GetValue(Depth)?.ToString(CultureInfo.InvariantCulture)));
                JsonNode answer = await client.GetAsync("limits/tree" + query, cancellationToken);
                if (!output.IsJson)
                    LimitScreen.WarnWhenOff(answer);
                return output.List(answer, "no limits", LimitScreen.Tree);
            }),
            LimitSimulateCommand.Create());
    }

    private static async Task<int> SetAsync(ParseResult parsed, ControlClient client, Output output, CancellationToken cancellationToken)
    {
        string[] words = parsed.GetRequiredValue(WordsAndValue);
        int length = words[0] == "server" ? 1 : 2;
        string[] value = words.Length > length ? words[length..] : [];
        if (value.Length > 1)
            throw new CliException(ExitCode.Usage, $"'{value[1]}' is one word too many: a limit is one word, several limits are joined with commas (100/h,500/d)");
        JsonObject body = Object(words.Length > length ? words[..length] : words, parsed, "limit set OBJECT VALUE");
        Fields.Set(body, "value", value.FirstOrDefault());
        Fields.Set(body, "each", parsed.GetValue(Each));
        Fields.Set(body, "over", parsed.GetValue(Over));
        if (parsed.GetValue(MaxRecipients) is { } most)
            body["maxRecipients"] = most;
        if (parsed.GetValue(WarnAt) is { } percent)
            body["warnAt"] = percent;
        if (parsed.GetValue(Enforce) is { } enforce)
            body["enforce"] = enforce is "on" or "off" ? enforce == "on" : throw new CliException(ExitCode.Usage, $"--enforce is '{enforce}': on or off is expected");
        JsonNode answer = await client.PutAsync("limits", body, cancellationToken);
        string each = parsed.GetValue(Each) is { } level ? $" for each {level}" : "";
        string[] said =
        [
            .. value, .. Said("over", parsed.GetValue(Over)), .. Said("max-recipients", parsed.GetValue(MaxRecipients)?.ToString(CultureInfo.InvariantCulture)),
            .. Said("warn-at", parsed.GetValue(WarnAt)?.ToString(CultureInfo.InvariantCulture)), .. Said("enforce", parsed.GetValue(Enforce)),
        ];
        return output.Done(answer, $"{string.Join(' ', words[..Math.Min(length, words.Length)])}{OfClass(parsed)}{each}: {string.Join(", ", said)}");
    }

    private static async Task<int> UnsetAsync(ParseResult parsed, ControlClient client, Output output, CancellationToken cancellationToken)
    {
        string[] words = parsed.GetRequiredValue(Words);
        JsonObject body = Object(words, parsed, "limit unset OBJECT");
        string parts = string.Join(',', Parts.Where(p => parsed.GetValue(p.Option)).Select(static p => p.Part));
        string query = Paging.Build(("level", (string?)body["level"]), ("name", (string?)body["name"]), ("class", (string?)body["class"]), ("each", parsed.GetValue(Each)), ("parts", parts));
        return output.Done(await client.DeleteAsync("limits" + query, cancellationToken), $"{string.Join(' ', words)}{OfClass(parsed)}: unset");
    }

    private static async Task<int> BoostAsync(ParseResult parsed, ControlClient client, Output output, CancellationToken cancellationToken)
    {
        const string Usage = "limit boost OBJECT +N --for 2h";
        string[] words = parsed.GetRequiredValue(WordsAndMore);
        JsonObject body = Object(words[..^1], parsed, Usage);
        string target = string.Join(' ', words[..^1]) + OfClass(parsed);
        if (words[^1] == "off")
            return output.Done(await client.DeleteAsync("limits/boost" + Query(body), cancellationToken), $"{target}: no boost");
        if (!words[^1].StartsWith('+') || words[^1].Length < 2 || !words[^1].AsSpan(1).ContainsAnyInRange('0', '9') || words[^1].AsSpan(1).ContainsAnyExceptInRange('0', '9'))
            throw new CliException(ExitCode.Usage, $"'{words[^1]}' does not say how much more: write +500, or off (relaygate {Usage})");
        string time = parsed.GetValue(For) ?? throw new CliException(ExitCode.Usage, $"say how long: --for 2h (relaygate {Usage})");
        if (Moment.Span(time) is not { } span || span.TotalSeconds > int.MaxValue)
            throw new CliException(ExitCode.Usage, $"'{time}' is no time: write 30m, 2h or 1d");
        body["amount"] = words[^1][1..];
        body["seconds"] = (int)span.TotalSeconds;
        JsonNode answer = await client.PostAsync("limits/boost", body, cancellationToken);
        return output.Done(answer, $"{target}: {words[^1]} until {Cell.Time(answer["boost"]?["until"] ?? answer["items"]?[0]?["boostUntil"])} UTC");
    }

    private static IEnumerable<string> Said(string name, string? value) => value is null ? [] : [$"{name} {value}"];

    private static string OfClass(ParseResult parsed) => parsed.GetValue(Class) is { } of ? $" class {of}" : "";

    private static string Query(JsonObject body) => Paging.Build(("level", (string?)body["level"]), ("name", (string?)body["name"]), ("class", (string?)body["class"]));

    /// <param name="parsed">Null: without a class.</param>
    private static JsonObject Object(string[] words, ParseResult? parsed, string usage)
    {
        if (words.Length == 0 || !Levels.Contains(words[0]) || words.Length != (words[0] == "server" ? 1 : 2))
            throw new CliException(ExitCode.Usage, $"name the object as: server, plan NAME, subscription NAME, domain NAME or mailbox ADDRESS (relaygate {usage})");
        var body = new JsonObject { ["level"] = words[0], ["name"] = words.Length > 1 ? words[1] : "" };
        if (parsed is not null)
            Fields.Set(body, "class", parsed.GetValue(Class));
        return body;
    }
}
