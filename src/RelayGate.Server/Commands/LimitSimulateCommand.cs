using System.CommandLine;
using System.Text.Json.Nodes;
using RelayGate.Server.Cli;
using Spectre.Console;

namespace RelayGate.Server.Commands;

/// <summary><c>relaygate limit simulate --set domain=100/h --since 7d</c>: whom other limits would have hit. Changes nothing.</summary>
internal static class LimitSimulateCommand
{
    private static readonly Option<string[]> Set = new("--set")
    {
        Description = "A limit to try: LEVEL=VALUE for all objects of a level that have no limit of their own, LEVEL:NAME=VALUE for one object. Several times for several.",
        HelpName = "LIMIT",
        Required = true,
    };

    private static readonly Option<string?> Over = new("--over") { Description = "What happens above these: refuse, reject or hold (default: what happens now).", HelpName = "ACTION" };
    private static readonly Option<string> Since = new("--since")
    {
        Description = "Replay the records since this time (2026-01-31T12:00Z) or this long ago (90m, 2h, 7d; default 7d).",
        HelpName = "TIME",
        DefaultValueFactory = _ => "7d",
    };

    public static Command Create() => new Command("simulate", "Say whom other limits would have hit, when first and how often. Changes nothing.").With(Set, Over, Since)
        .Does(async (parsed, client, output, cancellationToken) =>
        {
            string query = Paging.Build(
            [
                .. parsed.GetRequiredValue(Set).Select(s => ("set", (string?)s)), ("over", parsed.GetValue(Over)), ("since", Moment.Of(parsed.GetValue(Since))),
            ]);
            IAsyncEnumerable<JsonNode> lines = client.LinesAsync(HttpMethod.Get, "limits/simulate" + query, null, cancellationToken);
            JsonNode? report = null;
            if (output.IsJson || !Output.IsTerminal)
                report = await LastAsync(lines, _ => { });
            else
            {
                await AnsiConsole.Progress().AutoClear(true).StartAsync(async progress =>
                {
                    ProgressTask task = progress.AddTask("records", maxValue: 1);
                    report = await LastAsync(lines, step =>
                    {
                        task.Description = $"{(long)step["records"]!:N0} records";
                        task.Value = (double)step["share"]!;
                    });
                });
            }
            if (report is null)
                throw new CliException(ExitCode.Failed, "the gateway ended its answer in the middle");
            return output.Show(report, () => Print(report));
        });

    private static async Task<JsonNode?> LastAsync(IAsyncEnumerable<JsonNode> lines, Action<JsonNode> step)
    {
        JsonNode? report = null;
        await foreach (JsonNode line in lines)
        {
            if (line["items"] is not null)
                report = line;
            else
                step(line);
        }
        return report;
    }

    private static void Print(JsonNode report)
    {
        JsonArray items = report["items"]!.AsArray();
        Console.WriteLine($"{Number(report["offered"]!["messages"])} messages to {Number(report["offered"]!["recipients"])} recipients since {Cell.Time(report["since"])} UTC");
        foreach (JsonNode? level in report["levels"]!.AsArray())
        {
            string word = (string)level!["level"]!;
            if (word == "subscription" || (word != "server" && (int)level["hit"]! > 0))
                Console.WriteLine($"{Number(level["hit"])} of {Number(level["seen"])} {(word == "mailbox" ? "mailboxes" : word + "s")} would be hit{(word == "subscription" ? First(report) : "")}");
        }
        Console.WriteLine($"stopped: {Count(report["stopped"])}; new (really accepted then): {Count(report["newlyStopped"])}");
        if ((long)report["newlyPassed"]!["messages"]! > 0)
            Console.WriteLine($"really refused or held then, and would have passed: {Count(report["newlyPassed"])}");
        if (items.Count == 0)
            return;
        Console.WriteLine();
        Output.Table(["OBJECT", "LIMIT", "FIRST (UTC)", "MESSAGES", "RECIPIENTS", "NEW"], items.Select(i => new[]
        {
            Cell.Text(i!["object"])!, $"{i["limit"]}{((string?)i["origin"] == "proposed" ? "" : " (in force)")}", Cell.Time(i["first"]) ?? "", Number(i["stopped"]!["messages"]),
            Number(i["stopped"]!["recipients"]), Number(i["newlyStopped"]!["messages"]),
        }));
        if ((int)report["itemsOmitted"]! is > 0 and var omitted)
            Console.WriteLine($"and {omitted} more objects");
    }

    private static string First(JsonNode report) => Cell.Time(report["first"]) is { } first ? $", first at {first} UTC" : "";

    private static string Count(JsonNode? count) => $"{Number(count!["messages"])} messages to {Number(count["recipients"])} recipients";

    private static string Number(JsonNode? number) => ((long)number!).ToString(System.Globalization.CultureInfo.InvariantCulture);
}
