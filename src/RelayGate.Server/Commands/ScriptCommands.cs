using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;
using RelayGate.Server.Cli;

namespace RelayGate.Server.Commands;

/// <summary><c>relaygate script …</c>: which script or program of this machine sends what, and stopping one of them.</summary>
internal static class ScriptCommands
{
    private static readonly Argument<string> Uid = new("UID") { Description = "The user: number or name." };
    private static readonly Argument<string> Script = new("SCRIPT") { Description = "The script as the list names it." };
    private static readonly Argument<string> ScriptOrAny = new("SCRIPT") { Description = "The script as the list names it, or '*' for all mail of the user." };
    private static readonly Option<string?> Since = new("--since") { Description = "Not before this time (2026-01-31T12:00Z) or this long ago (90m, 24h, 7d).", HelpName = "TIME" };
    private static readonly Option<string?> Subscription = new("--subscription") { Description = "Only what was sent for this subscription.", HelpName = "NAME" };
    private static readonly Option<string?> OfUid = new("--uid") { Description = "Only of this user: number or name.", HelpName = "UID" };

    public static Command Create()
    {
        var paging = new Paging();
        return new Command("script", "Local mail by the script or program that sent it.").With(
            paging.AddTo(new Command("list", "List scripts by what they sent in the last day, most first.").With(Since, Subscription, OfUid)).Does(async (parsed, client, output, cancellationToken) =>
                output.List(
                    await client.GetAsync(
                        "scripts" + paging.Query(parsed, ("since", Moment.Of(parsed.GetValue(Since))), ("subscription", parsed.GetValue(Subscription)), ("uid", parsed.GetValue(OfUid))),
                        cancellationToken),
                    "no script sent anything", Columns())),
            new Command("show", "Show one script: by hour, its process, its last messages.").With(Uid, Script, Since).Does(ShowAsync),
            new Command("block", "Hold a script's mail, queued mail too, while everything else goes on.").With(Uid, ScriptOrAny).Does((parsed, client, output, cancellationToken) =>
                OrderAsync("block", parsed, client, output, cancellationToken)),
            new Command("unblock", "Let a script's mail go on; what was held goes as the limits have room.").With(Uid, ScriptOrAny).Does((parsed, client, output, cancellationToken) =>
                OrderAsync("unblock", parsed, client, output, cancellationToken)));
    }

    private static (string, Func<JsonNode, string?>)[] Columns() =>
    [
        ("UID", Cell.Of("uid")), ("SCRIPT", Cell.Of("script")), ("MESSAGES", Cell.Of("messages")), ("RECIPIENTS", Cell.Of("recipients")), ("REFUSED", Cell.Of("refused")),
        ("HELD", Cell.Of("held")), ("NAMED BY", Proof), ("SUBSCRIPTION", Cell.Of("subscription")), ("FIRST (UTC)", Cell.Time("firstSeen")), ("LAST (UTC)", Cell.Time("lastSeen")),
        ("BLOCKED", Cell.Flag("isBlocked", "blocked")), ("PATH (CLAIMED)", Cell.Of("path")),
    ];

    /// <summary>Whether the script is named by the kernel and PHP, or by the client's word alone.</summary>
    private static string Proof(JsonNode item)
    {
        long claimed = (long?)item["claimed"] ?? 0;
        long all = ((long?)item["messages"] ?? 0) + ((long?)item["held"] ?? 0) + ((long?)item["refused"] ?? 0);
        return claimed == 0 ? "proved" : claimed >= all ? "claimed" : string.Create(CultureInfo.InvariantCulture, $"claimed {claimed} times");
    }

    private static async Task<int> ShowAsync(ParseResult parsed, ControlClient client, Output output, CancellationToken cancellationToken)
    {
        string path = $"scripts/{Uri.EscapeDataString(parsed.GetRequiredValue(Uid))}/{Uri.EscapeDataString(parsed.GetRequiredValue(Script))}";
        JsonNode view = await client.GetAsync(path + Paging.Build(("since", Moment.Of(parsed.GetValue(Since)))), cancellationToken);
        return output.Show(view, () =>
        {
            JsonNode? usage = view["usage"], process = view["process"], block = view["block"];
            Output.Fields(
            [
                ("uid", Cell.Text(view["uid"])), ("script", Cell.Text(view["script"])),
                ("blocked", block is null ? null : $"since {Cell.Time(block["at"])} UTC by {block["by"]}{((string?)block["script"] == "*" ? " (all mail of the uid)" : "")}"),
                ("path (claimed)", Cell.Text(usage?["path"])), ("named by", usage is null ? null : Proof(usage)), ("subscription", Cell.Text(usage?["subscription"])),
                ("messages", Cell.Text(usage?["messages"])), ("recipients", Cell.Text(usage?["recipients"])), ("refused", Cell.Text(usage?["refused"])), ("held", Cell.Text(usage?["held"])), ("waiting", Cell.Text(view["waiting"])),
                ("first seen", Cell.Time(usage?["firstSeen"])), ("last seen", Cell.Time(usage?["lastSeen"])),
                ("process", process is null ? null : Story.Process(process)), ("claims", Story.Claims(view["claims"])),
            ]);
            if (view["hours"] is JsonArray { Count: > 0 } hours)
            {
                Console.WriteLine();
                Output.Table(["HOUR (UTC)", "MESSAGES", "RECIPIENTS", "REFUSED", "HELD"],
                    hours.Select(h => new[] { Cell.Time(h!["at"])?[..16], Cell.Text(h["messages"]), Cell.Text(h["recipients"]), Cell.Text(h["refused"]), Cell.Text(h["held"]) }.Select(c => c ?? "").ToArray()));
            }
            if (view["messages"] is JsonArray { Count: > 0 } messages)
            {
                Console.WriteLine();
                Output.Table(["REF", "TIME (UTC)", "OUTCOME", "REASON", "FROM", "TO"],
                    messages.Select(m => new[] { Cell.Text(m!["ref"]), Cell.Time(m["at"]), Cell.Text(m["outcome"]), Cell.Text(m["reason"]), $"<{Cell.Text(m["sender"])}>", Cell.Text(m["recipients"]) }
                        .Select(c => c ?? "").ToArray()));
            }
        });
    }

    private static async Task<int> OrderAsync(string verb, ParseResult parsed, ControlClient client, Output output, CancellationToken cancellationToken)
    {
        JsonNode answer = await client.PostAsync(
            $"scripts/{verb}", new JsonObject { ["uid"] = parsed.GetRequiredValue(Uid), ["script"] = parsed.GetRequiredValue(ScriptOrAny) }, cancellationToken);
        string changed = (bool?)answer["isChanged"] == true ? $"{verb}ed" : $"was {verb}ed already";
        string queue = verb == "block" ? "its new mail is held, and its queued mail moves to hold" : "what was held goes on as the limits have room";
        return output.Done(answer, $"uid {answer["uid"]} {answer["script"]}: {changed}; {queue}");
    }
}
