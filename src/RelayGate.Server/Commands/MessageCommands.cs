using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;
using RelayGate.Server.Cli;

namespace RelayGate.Server.Commands;

/// <summary><c>relaygate message …</c>: everything that was offered, and what became of it.</summary>
internal static class MessageCommands
{
    private static readonly TimeSpan TailInterval = TimeSpan.FromSeconds(1);

    private static readonly Argument<string> Ref = new("REF") { Description = "The ref of the reply, the log line or the list." };

    private static readonly (Option<string?> Option, string Parameter)[] Filters =
    [
        (new("--subscription") { Description = "Only this subscription's.", HelpName = "NAME" }, "subscription"),
        (new("--outcome") { Description = "queued, deferred, held, delivered, failed, partly-failed, deleted or refused.", HelpName = "OUTCOME" }, "outcome"),
        (new("--reason") { Description = "Only with this reason, for instance limit-reached.", HelpName = "REASON" }, "reason"),
        (new("--identity") { Description = "For instance \"login info@shop.test\".", HelpName = "IDENTITY" }, "identity"),
        (new("--from") { Description = "Reverse-path as given, or @domain.", HelpName = "ADDRESS" }, "from"),
        (new("--to") { Description = "A recipient.", HelpName = "ADDRESS" }, "to"),
        (new("--to-domain") { Description = "Domain of a recipient.", HelpName = "DOMAIN" }, "toDomain"),
        (new("--since") { Description = "Not before this time (2026-01-31T12:00Z) or this long ago (90s, 15m, 2h, 7d).", HelpName = "TIME" }, "since"),
        (new("--until") { Description = "Not after; as --since.", HelpName = "TIME" }, "until"),
    ];

    public static Command Create()
    {
        var paging = new Paging();
        var refusals = new RefusalList();
        var list = new Command("list", "List what was offered, newest first; with --class, --reply or --group-by what next hops refused.");
        var tail = new Command("tail", "Print what is offered as it comes.");
        foreach ((Option<string?> option, string parameter) in Filters)
        {
            list.Add(option);
            if (parameter is not ("since" or "until")) // Tail begins now.
                tail.Add(option);
        }
        refusals.AddTo(list);
        return new Command("message", "The decision record: everything offered, and why it ended as it did.").With(
            paging.AddTo(list).Does(async (parsed, client, output, cancellationToken) =>
                refusals.IsAsked(parsed) ? await refusals.RunAsync(parsed, client, output, paging, Query(parsed), cancellationToken) : output.List(
                    await client.GetAsync("messages" + paging.Query(parsed, Query(parsed)), cancellationToken),
                    Filters.Any(f => parsed.GetResult(f.Option) is not null) ? "nothing matches" : "nothing was offered", Columns())),
            new Command("show", "Show one record.").With(Ref).Does(ShowAsync),
            new Command("explain", "Tell the story of one record, in order.").With(Ref).Does(async (parsed, client, output, cancellationToken) =>
            {
                JsonNode record = await client.GetAsync($"messages/{Uri.EscapeDataString(parsed.GetRequiredValue(Ref))}", cancellationToken);
                return output.Show(record, () => PrintLines(Story.Of(record)));
            }),
            tail.Does(TailAsync));
    }

    private static (string, Func<JsonNode, string?>)[] Columns() =>
    [
        ("REF", Cell.Of("ref")), ("TIME (UTC)", Cell.Time("at")), ("OUTCOME", Cell.Of("outcome")), ("REASON", Cell.Of("reason")),
        ("IDENTITY", Cell.Of("identity")), ("FROM", i => $"<{Cell.Text(i["sender"])}>"), ("TO", FirstRecipient), ("TIMES", i => (long?)i["repeats"] is > 1 and var n ? $"{n}" : ""),
    ];

    private static string FirstRecipient(JsonNode item)
    {
        string first = Cell.Text((item["recipients"] as JsonArray)?.FirstOrDefault()) ?? "";
        long count = (long?)item["recipientCount"] ?? 0;
        return count > 1 ? $"<{first}> +{count - 1}" : first.Length == 0 ? "" : $"<{first}>";
    }

    private static async Task<int> ShowAsync(ParseResult parsed, ControlClient client, Output output, CancellationToken cancellationToken)
    {
        JsonNode record = await client.GetAsync($"messages/{Uri.EscapeDataString(parsed.GetRequiredValue(Ref))}", cancellationToken);
        return output.Show(record, () => Output.Fields(
        [
            ("ref", Cell.Text(record["ref"])), ("time", Cell.Time(record["at"])), ("outcome", Cell.Text(record["outcome"])), ("reason", Cell.Text(record["reason"])),
            ("reply", Cell.Text(record["reply"])), ("identity", Cell.Text(record["identity"])), ("subscription", Cell.Text(record["subscription"])),
            ("client", Cell.Text(record["client"])), ("from", $"<{Cell.Text(record["sender"])}>"), ("to", Cell.Text(record["recipients"])),
            ("octets", Cell.Text(record["octets"])), ("subject", Cell.Text(record["subject"])), ("message-id", Cell.Text(record["messageId"])),
            ("attempts", (record["attempts"] as JsonArray)?.Count.ToString(CultureInfo.InvariantCulture)), ("refused", LastRefusal(record)),
        ]));
    }

    /// <summary>What the newest refusal of a next hop is about, in one line; null: there was none.</summary>
    private static string? LastRefusal(JsonNode record) =>
        (record["attempts"] as JsonArray ?? []).Reverse().SelectMany(attempt => (attempt?["results"] as JsonArray ?? []).Select(result => Story.Refusal(result, attempt)))
            .FirstOrDefault(static refusal => refusal is not null);

    private static async Task<int> TailAsync(ParseResult parsed, ControlClient client, Output output, CancellationToken cancellationToken)
    {
        string? cursor = null;
        while (!cancellationToken.IsCancellationRequested)
        {
            JsonNode page = await client.GetAsync("messages/news" + Paging.Build([.. Query(parsed), ("cursor", cursor), ("limit", "500")]), cancellationToken);
            if (cursor is not null && (bool?)page["gap"] == true)
                await Console.Error.WriteLineAsync("relaygate: some records are missing here (the gateway was restarted, or too many came at once); see: relaygate message list");
            foreach (JsonNode? item in page["items"]!.AsArray())
            {
                Console.WriteLine(output.IsJson
                    ? item!.ToJsonString()
                    : Output.Clean($"{Cell.Clock(item!["lastAt"])}  {item["ref"]}  {item["outcome"],-9} {item["identity"]}  <{item["sender"]}> -> {FirstRecipient(item)}  {item["reply"]}"));
            }
            cursor = (string?)page["nextCursor"];
            await Task.Delay(TailInterval, TimeProvider.System, cancellationToken);
        }
        return ExitCode.Ok;
    }

    private static (string Name, string? Value)[] Query(ParseResult parsed) =>
        [.. Filters.Select(f => (f.Parameter, f.Parameter is "since" or "until" ? Moment.Of(parsed.GetResult(f.Option) is null ? null : parsed.GetValue(f.Option)) : parsed.GetValue(f.Option)))];

    internal static void PrintLines(IEnumerable<string> lines)
    {
        foreach (string line in lines)
            Console.WriteLine(line);
    }
}
