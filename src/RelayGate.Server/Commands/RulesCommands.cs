using System.CommandLine;
using System.Text.Json.Nodes;
using RelayGate.Core.Replies;
using RelayGate.Replies;
using RelayGate.Server.Cli;

namespace RelayGate.Server.Commands;

/// <summary><c>relaygate rules …</c>: what refusals of next hops are taken to mean.</summary>
internal static class RulesCommands
{
    private static readonly Argument<string> File = new("FILE") { Description = "A file of rules, one JSON object a line." };
    private static readonly Argument<string> Reply = new("REPLY") { Description = "The refusal, for instance \"550 5.7.1 Blocked\"; several lines with \\n between them; - reads standard input." };
    private static readonly Option<string?> Provider = new("--provider") { Description = "Who refused: a name of the rules, for instance google.", HelpName = "NAME" };
    private static readonly Option<string?> Host = new("--host") { Description = "The MX host that refused, instead of --provider.", HelpName = "HOST" };
    private static readonly Option<string?> Stage = new("--stage") { Description = "Where: greeting, ehlo, starttls, auth, mail, rcpt (default), data, end-of-data.", HelpName = "STAGE" };

    public static Command Create() => new Command("rules", "What refusals of next hops are taken to mean.").With(
        new Command("list", "List the rules in force, in the order in which they are asked.").Does(async (_, client, output, cancellationToken) =>
            output.List(await client.GetAsync("rules", cancellationToken), "there are no rules",
                ("RULE", Cell.Of("rule")), ("CLASS", Cell.Of("class")), ("PROVIDERS", Cell.Of("providers")), ("FILE", Cell.Of("file")), ("LINE", Cell.Of("line")))),
        new Command("test", "Say what the rules in force make of a reply.").With(Reply, Provider, Host, Stage).Does(TestAsync),
        Check(),
        new Command("reload", "Read the file of Delivery:ReplyRules anew; a bad one changes nothing.").Does(async (_, client, output, cancellationToken) =>
        {
            JsonNode answer = await client.PostAsync("rules/reload", new JsonObject(), cancellationToken);
            string file = Cell.Text(answer["file"]) is { } path ? $"those of {path} before those of this build" : "those of this build; Delivery:ReplyRules names no file";
            return output.Done(answer, $"{answer["rules"]} rules are in force: {file}");
        }));

    /// <summary>Needs no gateway: the file is read here, and tested with the rules of this build behind it.</summary>
    private static Command Check()
    {
        var command = new Command("check", "Check a file of rules with its own samples, without a gateway.");
        command.Add(File);
        command.SetAction(parsed =>
        {
            string path = parsed.GetRequiredValue(File);
            ReplyRuleReading reading = ReplyRuleBook.TryRead(path, out string text) is { } unreadable
                ? new ReplyRuleReading(null, [unreadable])
                : ReplyRuleReader.Read(new ReplyRuleSource(path, text), ReplyRuleReader.BuiltIn);
            ReplyRule[] own = [.. reading.Rules?.Rules.Where(rule => rule.File == path) ?? []];
            var answer = new JsonObject
            {
                ["file"] = path,
                ["rules"] = own.Length,
                ["samples"] = own.Sum(static rule => rule.Samples.Length),
                ["faults"] = new JsonArray([.. reading.Faults.Select(static fault => (JsonNode)new JsonObject { ["line"] = fault.Line, ["text"] = fault.Text })]),
            };
            new Output(parsed.GetValue(GlobalOptions.Json)).Show(answer, () =>
            {
                if (reading.Faults.IsEmpty)
                    Console.WriteLine(Output.Clean($"{path}: {own.Length} rules, and each of their {answer["samples"]} samples is matched"));
                foreach (ReplyRuleFault fault in reading.Faults)
                    Console.Error.WriteLine(Output.Clean($"relaygate: {fault}"));
            });
            return reading.Faults.IsEmpty ? ExitCode.Ok : ExitCode.Failed;
        });
        return command;
    }

    private static async Task<int> TestAsync(ParseResult parsed, ControlClient client, Output output, CancellationToken cancellationToken)
    {
        string given = parsed.GetRequiredValue(Reply);
        string reply = given == "-" ? await Console.In.ReadToEndAsync(cancellationToken) : given.Replace("\\n", "\n", StringComparison.Ordinal);
        JsonNode answer = await client.GetAsync(
            "rules/test" + Paging.Build(("reply", reply), ("provider", parsed.GetValue(Provider)), ("host", parsed.GetValue(Host)), ("stage", parsed.GetValue(Stage))), cancellationToken);
        return output.Show(answer, () => Output.Fields(
            ("class", Cell.Text(answer["class"])), ("provider", Cell.Text(answer["provider"])), ("code", Cell.Text(answer["code"])), ("list", Cell.Text(answer["list"])),
            ("url", Cell.Text(answer["url"])), ("rule", Cell.Text(answer["rule"]) ?? "none: the first digit of the code"), ("recipient", Cell.Text(answer["recipient"]))));
    }
}
