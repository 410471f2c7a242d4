using System.CommandLine;
using System.Text.Json.Nodes;
using RelayGate.Server.Cli;

namespace RelayGate.Server.Commands;

/// <summary><c>relaygate queue …</c>: what waits, and how to stop or hasten it.</summary>
internal static class QueueCommands
{
    private static readonly Option<string?> Subscription = new("--subscription") { Description = "Everything of this subscription.", HelpName = "NAME" };

    /// <summary>What to look for, with the name of the API's field.</summary>
    private static readonly (Option<string?> Option, string Field)[] Filters =
    [
        (new("--domain") { Description = "Sent by this domain here and its mailboxes.", HelpName = "DOMAIN" }, "domain"),
        (new("--mailbox") { Description = "Sent by this mailbox.", HelpName = "ADDRESS" }, "mailbox"),
        (new("--from") { Description = "Reverse-path, or @domain.", HelpName = "ADDRESS" }, "from"),
        (new("--to-domain") { Description = "With a recipient at this domain.", HelpName = "DOMAIN" }, "recipientDomain"),
        (new("--state") { Description = "active, deferred or held.", HelpName = "STATE" }, "state"),
        (new("--held") { Description = "Held for this reason: limit, suspended, script, refused, administrator or fault.", HelpName = "REASON" }, "held"),
        (new("--older-than") { Description = "Came before this time (2026-01-31T12:00Z) or this long ago (90s, 15m, 2h, 7d).", HelpName = "TIME" }, "before"),
    ];

    private static readonly Option<bool> DryRun = new("--dry-run") { Description = "Only count what it would be done to." };
    private static readonly Option<bool> Yes = new("--yes", "-y") { Description = "Do not ask on a terminal before many messages are released or deleted." };
    private static readonly Argument<string[]> Refs = new("REF") { Description = "One or more refs.", Arity = ArgumentArity.ZeroOrMore };

    public static Command Create()
    {
        var paging = new Paging();
        var one = new Argument<string>("REF") { Description = "The ref of a queued message." };
        return new Command("queue", "The queue: what waits to be delivered.").With(
            paging.AddTo(WithFilters(new Command("list", "List queued messages."))).Does(async (parsed, client, output, cancellationToken) =>
            {
                (string Name, string? Value)[] filter = [("subscription", parsed.GetValue(Subscription)), .. Filters.Select(f => (f.Field, Value(parsed, f.Option, f.Field)))];
                return output.List(await client.GetAsync("queue" + paging.Query(parsed, filter), cancellationToken), filter.All(static f => f.Value is null) ? "the queue is empty" : "nothing in the queue matches",
                    ("REF", Cell.Of("ref")), ("ARRIVED (UTC)", Cell.Time("at")), ("STATE", i => State(i)), ("SUBSCRIPTION", Cell.Of("subscription")), ("OCTETS", Cell.Of("octets")),
                    ("FROM", i => $"<{Cell.Text(i["sender"])}>"), ("RECIPIENTS", Cell.Of("recipientCount")), ("NEXT ATTEMPT (UTC)", Cell.Time("nextAttempt")),
                    ("RELEASE ABOUT (UTC)", i => Cell.Time(i["hold"]?["releaseAbout"])), ("WAITS FOR", Cell.Of("waitsFor")), ("LAST REPLY OR WHY HELD", i => Cell.Text(i["hold"]?["for"]) ?? Cell.Text(i["lastReply"])));
            }),
            new Command("show", "Show a queued message with its recipients.").With(one).Does(async (parsed, client, output, cancellationToken) =>
            {
                JsonNode m = await client.GetAsync($"queue/{Uri.EscapeDataString(parsed.GetRequiredValue(one))}", cancellationToken);
                return output.Show(m, () =>
                {
                    Output.Fields(
                        ("ref", Cell.Text(m["ref"])), ("arrived", Cell.Time(m["at"])), ("state", Cell.Text(m["state"])), ("subscription", Cell.Text(m["subscription"])),
                        ("from", $"<{Cell.Text(m["sender"])}>"), ("octets", Cell.Text(m["octets"])), ("held", Held(m["hold"])), ("egress", Cell.Text(m["egress"])));
                    foreach (JsonNode? r in m["recipients"] as JsonArray ?? [])
                        Console.WriteLine(Output.Clean($"  <{Cell.Text(r!["recipient"])}> {Cell.Text(r["state"])}, {Cell.Text(r["attempts"])} attempts, {(Cell.Text(r["waitsFor"]) is { } cause ? $"waits for {cause}, " : "")}next {Cell.Time(r["nextAttempt"])}  {Cell.Text(r["lastReply"])}"));
                });
            }),
            Action("retry", "Try now instead of later.", "to be tried now"),
            Action("hold", "Park: no attempt until release.", "held"),
            Action("release", "Let held messages go on, also over a limit; it is counted and recorded.", "released"),
            Action("delete", "Delete without a DSN.", "deleted"),
            new Command("flush", "Try everything now.").With(Subscription).Does((parsed, client, output, cancellationToken) =>
                parsed.GetValue(Subscription) is null
                    ? FlushAsync(client, output, cancellationToken)
                    : ActAsync("retry", "to be tried now", [], parsed, client, output, cancellationToken)));
    }

    private static Command Action(string verb, string description, string done) =>
        WithFilters(new Command(verb, description + " Name refs, or what to look for.").With(Refs)).With(DryRun, Yes).Does((parsed, client, output, cancellationToken) =>
            ActAsync(verb, done, parsed.GetValue(Refs) ?? [], parsed, client, output, cancellationToken));

    private static Command WithFilters(Command command)
    {
        command.Add(Subscription);
        foreach ((Option<string?> option, _) in Filters)
            command.Add(option);
        return command;
    }

    private static string? Value(ParseResult parsed, Option<string?> option, string field) =>
        parsed.GetResult(option) is null ? null : field == "before" ? Moment.Of(parsed.GetValue(option)) : parsed.GetValue(option);

    private static async Task<int> ActAsync(
        string verb, string done, string[] refs, ParseResult parsed, ControlClient client, Output output, CancellationToken cancellationToken)
    {
        var body = new JsonObject();
        Fields.Set(body, "subscription", parsed.GetValue(Subscription));
        foreach ((Option<string?> option, string field) in Filters)
            Fields.Set(body, field, Value(parsed, option, field));
        bool isFiltered = body.Count > 0;
        if (refs.Length > 0 == isFiltered)
            throw new CliException(ExitCode.Usage, $"name either refs or what to look for, such as --subscription NAME or --mailbox ADDRESS (relaygate queue {verb} --help)");
        Fields.SetList(body, "refs", refs);
        bool isDryRun = parsed.GetResult(DryRun) is not null && parsed.GetValue(DryRun);
        if (isDryRun || (isFiltered && MustAsk(verb, parsed, output)))
        {
            JsonNode preview = await client.PostAsync($"queue/{verb}", With(body, "dryRun", true), cancellationToken);
            if (isDryRun)
                return output.Done(preview, Count(preview, "would be " + done));
            Console.Write($"{Count(preview, "would be " + done)}. Go on? [y/N] ");
            if (Console.ReadLine() is not ("y" or "Y" or "yes"))
                return output.Done(preview, "nothing was done");
        }
        JsonNode answer = await client.PostAsync($"queue/{verb}", body, cancellationToken);
        string line = Count(answer, done);
        if (isFiltered && (long?)answer["count"] == 0 && (long?)answer["unchanged"] == 0)
            line += ": nothing in the queue matches";
        if (verb == "hold" && Noun(body) is ({ } noun, { } name) && await IsOpenAsync(client, $"{noun}{(noun == "mailbox" ? "es" : "s")}/{Uri.EscapeDataString(name)}", cancellationToken))
            line += $"; new mail still goes: relaygate {noun} suspend {name}";
        return output.Done(answer, line);
    }

    /// <summary>On a terminal, before many messages are let go or lost.</summary>
    private static bool MustAsk(string verb, ParseResult parsed, Output output) =>
        verb is "release" or "delete" && !parsed.GetValue(Yes) && !output.IsJson && Output.IsTerminal && !Console.IsInputRedirected;

    private static JsonObject With(JsonObject body, string name, bool value)
    {
        var copy = (JsonObject)body.DeepClone();
        copy[name] = value;
        return copy;
    }

    private static (string Noun, string Name)? Noun(JsonObject body)
    {
        foreach (string noun in new[] { "subscription", "domain", "mailbox" })
        {
            if ((string?)body[noun] is { } name)
                return (noun, name);
        }
        return null;
    }

    private static string State(JsonNode item) => Cell.Text(item["held"]) is { } reason ? $"held ({reason})" : Cell.Text(item["state"]) ?? "";

    /// <summary>Why a message is held, since when, and about until when; null: it is not.</summary>
    internal static string? Held(JsonNode? hold)
    {
        if (hold is null)
            return null;
        string ahead = (long?)hold["ahead"] is > 0 and var before ? $", {before} before it" : "";
        string since = Cell.Time(hold["since"]) is { } at ? $", since {at} UTC" : "";
        string release = Cell.Time(hold["releaseAbout"]) is { } about ? $", released about {about} UTC" : "";
        string expires = Cell.Time(hold["expiresAt"]) is { } end ? $", given up {end} UTC" : "";
        return $"{Cell.Text(hold["reason"])}: {Cell.Text(hold["for"])}{ahead}{since}{release}{expires}";
    }

    /// <summary>Whether new mail of a sender goes: not when it is suspended, or was removed and left mail behind.</summary>
    private static async Task<bool> IsOpenAsync(ControlClient client, string path, CancellationToken cancellationToken)
    {
        try
        {
            return (bool?)(await client.GetAsync(path, cancellationToken))["suspended"] != true;
        }
        catch (CliException gone) when (gone.ExitCode == ExitCode.NotFound)
        {
            return false;
        }
    }

    private static async Task<int> FlushAsync(ControlClient client, Output output, CancellationToken cancellationToken)
    {
        JsonNode answer = await client.PostAsync("queue/flush", null, cancellationToken);
        return output.Done(answer, Count(answer, "to be tried now"));
    }

    private static string Count(JsonNode answer, string done)
    {
        string line = $"{answer["count"]} {((long?)answer["count"] == 1 ? "message" : "messages")} {done}";
        if ((long?)answer["unchanged"] is > 0 and var unchanged)
        {
            line += $", {unchanged} unchanged";
            if ((long?)answer["unchangedHeld"] is > 0 and var held)
                line += held == unchanged ? " (held: release it first)" : $" ({held} held: release those first)";
        }
        if ((long?)answer["inFlight"] is > 0 and var inFlight)
            line += $"; {inFlight} in an attempt that may still finish";
        return (answer["notFound"] as JsonArray) is { Count: > 0 } missing ? $"{line}; not in the queue: {Cell.Text(missing)}" : line;
    }
}
