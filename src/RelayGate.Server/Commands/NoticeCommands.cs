using System.CommandLine;
using System.Text.Json.Nodes;
using RelayGate.Core.Notices;
using RelayGate.Server.Cli;

namespace RelayGate.Server.Commands;

/// <summary><c>relaygate notice …</c>: what people are told.</summary>
internal static class NoticeCommands
{
    private const int TestSeconds = 20;

    private static readonly Argument<string> Owner = new("SUBSCRIPTION") { Description = "Whose contact." };
    private static readonly Option<string[]> Events = new("--event") { Description = "Only these, given several times; all or none; without it what the settings say, again.", HelpName = "EVENT" };
    private static readonly Argument<string> Id = new("ID") { Description = "Of the list." };
    private static readonly Option<string?> Kind = new("--event") { Description = $"Only this: {NoticeKinds.Words}.", HelpName = "EVENT" };
    private static readonly Option<string?> Subscription = new("--subscription") { Description = "Only about what is this subscription's.", HelpName = "NAME" };
    private static readonly Option<string?> Since = new("--since") { Description = "Not before this time (2026-01-31T12:00Z) or this long ago (90s, 15m, 2h, 7d).", HelpName = "TIME" };

    public static Command Create()
    {
        var paging = new Paging();
        return new Command("notice", "Notices: limits reached, scripts that burst, guessed passwords, suspensions.").With(
            paging.AddTo(new Command("list", "List notices, newest first.").With(Kind, Subscription, Since)).Does(async (parsed, client, output, cancellationToken) =>
                output.List(
                    await client.GetAsync(
                        "notices" + paging.Query(parsed, ("event", parsed.GetValue(Kind)), ("subscription", parsed.GetValue(Subscription)), ("since", Moment.Of(parsed.GetValue(Since)))),
                        cancellationToken),
                    "nothing happened", ("TIME (UTC)", Cell.Time("at")), ("NOTICE", Cell.Of("summary")), ("TIMES", Cell.Of("repeats")), ("TOLD", Told), ("ID", Cell.Of("notice")))),
            new Command("show", "Show what is known of one notice.").With(Id).Does(async (parsed, client, output, cancellationToken) =>
            {
                JsonNode notice = await client.GetAsync($"notices/{Uri.EscapeDataString(parsed.GetRequiredValue(Id))}", cancellationToken);
                return output.Show(notice, () => Print(notice));
            }),
            new Command("owner", "Say which notices the contact of a subscription is told of.").With(Owner, Events).Does(async (parsed, client, output, cancellationToken) =>
            {
                string name = parsed.GetRequiredValue(Owner);
                var body = new JsonObject();
                Fields.SetList(body, "events", parsed.GetValue(Events));
                JsonNode answer = await client.PutAsync($"notices/owners/{Uri.EscapeDataString(name)}", body, cancellationToken);
                return output.Done(answer, $"the contact of {name} is told of: {Cell.Text(answer["events"])}");
            }),
            new Command("test", "Send a test mail to the administrator and a test event to each webhook, and say what came of it.").Does(TestAsync));
    }

    private static string? Told(JsonNode notice) => notice["mails"] is not JsonArray mails ? null
        : string.Join(", ", mails.Select(static m => $"{Cell.Text(m!["to"])}{(m["ref"] is null ? " (waits)" : "")}"));

    private static void Print(JsonNode notice)
    {
        Console.WriteLine(Output.Clean(Cell.Text(notice["sentence"]) ?? ""));
        Output.Fields(
            ("at", Cell.Time(notice["at"])), ("last", (long?)notice["repeats"] > 1 ? $"{Cell.Time(notice["lastAt"])} ({notice["repeats"]} times)" : null),
            ("object", $"{Cell.Text(notice["level"])} {Cell.Text(notice["name"])}".TrimEnd()), ("class", Cell.Text(notice["class"])), ("subscription", Cell.Text(notice["subscription"])),
            ("limit", Cell.Text(notice["limit"])), ("used", Cell.Text(notice["used"])), ("refused", Cell.Text(notice["refused"])),
            ("next possible", Cell.Time(notice["nextPossible"])), ("by", Cell.Text(notice["by"])), ("note", Cell.Text(notice["remark"])), ("sample", Cell.Text(notice["ref"])),
            ("more", Cell.Text(notice["more"])), (Cell.Text(notice["kind"]) == "suspended" ? "undo" : "stop", Cell.Text(notice["stop"])), ("told", Told(notice)));
        foreach (JsonNode? source in notice["sources"] as JsonArray ?? [])
            Console.WriteLine(Output.Clean($"  {Cell.Text(source!["what"])} {Cell.Text(source["name"])}{(source["messages"] is { } messages ? $": {messages} messages" : "")}"));
    }

    private static async Task<int> TestAsync(ParseResult parsed, ControlClient client, Output output, CancellationToken cancellationToken)
    {
        var results = new JsonArray();
        bool isOk = await MailAsync(client, results, cancellationToken);
        foreach (JsonNode? hook in (await client.GetAsync("webhooks", cancellationToken))["items"]!.AsArray())
        {
            string name = Cell.Text(hook!["name"])!;
            JsonNode delivery = await client.PostAsync($"webhooks/{Uri.EscapeDataString(name)}/test", null, cancellationToken);
            isOk &= Cell.Text(delivery["state"]) == "delivered";
            results.Add(new JsonObject { ["by"] = $"webhook {name}", ["result"] = Cell.Text(delivery["state"]), ["text"] = WebhookCommands.Outcome(delivery) });
        }
        output.List(new JsonObject { ["items"] = results }, "", ("BY", Cell.Of("by")), ("RESULT", Cell.Of("result")), ("", Cell.Of("text")));
        return isOk ? ExitCode.Ok : ExitCode.Failed;
    }

    /// <summary>Sends the mail and follows it for a while, to the next hop's last word.</summary>
    private static async Task<bool> MailAsync(ControlClient client, JsonArray results, CancellationToken cancellationToken)
    {
        JsonNode sent;
        try
        {
            sent = await client.PostAsync("notices/test", null, cancellationToken);
        }
        catch (CliException error) when (error.ExitCode == ExitCode.Conflict)
        {
            results.Add(new JsonObject { ["by"] = "mail", ["result"] = "not sent", ["text"] = error.Message });
            return false;
        }
        string reference = Cell.Text(sent["ref"]) ?? "";
        string outcome = "queued";
        string? reply = null;
        for (int i = 0; i < TestSeconds * 4 && outcome == "queued"; i++)
        {
            JsonNode record = await client.GetAsync($"messages/{reference}", cancellationToken);
            outcome = Cell.Text(record["outcome"]) ?? outcome;
            reply = Cell.Text((record["attempts"] as JsonArray)?.LastOrDefault()?["results"]?[0]?["reply"]);
            if (outcome == "queued")
                await Task.Delay(TimeSpan.FromMilliseconds(250), cancellationToken);
        }
        results.Add(new JsonObject
        {
            ["by"] = $"mail to {Cell.Text(sent["to"])}",
            ["result"] = outcome,
            ["ref"] = reference,
            ["text"] = $"{reply ?? $"still under way after {TestSeconds} s"} (relaygate message explain {reference})",
        });
        return outcome == "delivered";
    }
}
