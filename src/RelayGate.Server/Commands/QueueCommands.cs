using System.CommandLine;
using System.Text.Json.Nodes;
using RelayGate.Server.Cli;

namespace RelayGate.Server.Commands;

/// <summary><c>relaygate queue …</c>: what waits, and how to stop or hasten it.</summary>
internal static class QueueCommands
{
    private static readonly Option<string?> Subscription = new("--subscription") { Description = "Everything of this subscription.", HelpName = "NAME" };
    private static readonly Option<string?> Domain = new("--domain") { Description = "Everything sent by this domain here and its mailboxes.", HelpName = "DOMAIN" };
    private static readonly Option<string?> Mailbox = new("--mailbox") { Description = "Everything sent by this mailbox.", HelpName = "ADDRESS" };
    private static readonly Option<string?> State = new("--state") { Description = "active, deferred or held.", HelpName = "STATE" };
    private static readonly Argument<string[]> Refs = new("REF") { Description = "One or more refs.", Arity = ArgumentArity.ZeroOrMore };

    public static Command Create()
    {
        var paging = new Paging();
        var one = new Argument<string>("REF") { Description = "The ref of a queued message." };
        return new Command("queue", "The queue: what waits to be delivered.").With(
            paging.AddTo(new Command("list", "List queued messages.").With(Subscription, State)).Does(async (parsed, client, output, cancellationToken) =>
            {
                string query = paging.Query(parsed, ("subscription", parsed.GetValue(Subscription)), ("state", parsed.GetValue(State)));
                return output.List(await client.GetAsync("queue" + query, cancellationToken), (parsed.GetValue(Subscription) ?? parsed.GetValue(State)) is null ? "the queue is empty" : "nothing in the queue matches",
                    ("REF", Cell.Of("ref")), ("ARRIVED (UTC)", Cell.Time("at")), ("STATE", Cell.Of("state")), ("SUBSCRIPTION", Cell.Of("subscription")), ("OCTETS", Cell.Of("octets")),
                    ("FROM", i => $"<{Cell.Text(i["sender"])}>"), ("RECIPIENTS", Cell.Of("recipientCount")), ("NEXT ATTEMPT (UTC)", Cell.Time("nextAttempt")), ("LAST REPLY", Cell.Of("lastReply")));
            }),
            new Command("show", "Show a queued message with its recipients.").With(one).Does(async (parsed, client, output, cancellationToken) =>
            {
                JsonNode m = await client.GetAsync($"queue/{Uri.EscapeDataString(parsed.GetRequiredValue(one))}", cancellationToken);
                return output.Show(m, () =>
                {
                    Output.Fields(
                        ("ref", Cell.Text(m["ref"])), ("arrived", Cell.Time(m["at"])), ("state", Cell.Text(m["state"])), ("subscription", Cell.Text(m["subscription"])),
                        ("from", $"<{Cell.Text(m["sender"])}>"), ("octets", Cell.Text(m["octets"])), ("held", Cell.Text(m["held"])), ("egress", Cell.Text(m["egress"])));
                    foreach (JsonNode? r in m["recipients"] as JsonArray ?? [])
                        Console.WriteLine(Output.Clean($"  <{Cell.Text(r!["recipient"])}> {Cell.Text(r["state"])}, {Cell.Text(r["attempts"])} attempts, next {Cell.Time(r["nextAttempt"])}  {Cell.Text(r["lastReply"])}"));
                });
            }),
            Action("retry", "Try now instead of later.", "to be tried now"),
            Action("hold", "Park: no attempt until release.", "held"),
            Action("release", "Let held messages go on; it is counted and audited.", "released"),
            Action("delete", "Delete without a DSN.", "deleted"),
            new Command("flush", "Try everything now.").With(Subscription).Does((parsed, client, output, cancellationToken) =>
                parsed.GetValue(Subscription) is null
                    ? FlushAsync(client, output, cancellationToken)
                    : ActAsync("retry", "to be tried now", [], parsed, client, output, cancellationToken)));
    }

    private static Command Action(string verb, string description, string done) =>
        new Command(verb, description + " Name refs, or --subscription, --domain or --mailbox.").With(Refs, Subscription, Domain, Mailbox).Does((parsed, client, output, cancellationToken) =>
            ActAsync(verb, done, parsed.GetValue(Refs) ?? [], parsed, client, output, cancellationToken));

    private static async Task<int> ActAsync(
        string verb, string done, string[] refs, ParseResult parsed, ControlClient client, Output output, CancellationToken cancellationToken)
    {
        string? subscription = parsed.GetValue(Subscription), domain = parsed.GetValue(Domain), mailbox = parsed.GetValue(Mailbox);
        if (refs.Length > 0 == (subscription ?? domain ?? mailbox) is not null)
            throw new CliException(ExitCode.Usage, $"name either refs or --subscription NAME, --domain DOMAIN or --mailbox ADDRESS (relaygate queue {verb} --help)");
        var body = new JsonObject();
        Fields.SetList(body, "refs", refs);
        Fields.Set(body, "subscription", subscription);
        Fields.Set(body, "domain", domain);
        Fields.Set(body, "mailbox", mailbox);
        JsonNode answer = await client.PostAsync($"queue/{verb}", body, cancellationToken);
        string line = Count(answer, done);
        if (refs.Length == 0 && (long?)answer["count"] == 0 && (long?)answer["unchanged"] == 0)
            line += ": nothing in the queue matches";
        (string Noun, string? Name) sender = subscription is not null ? ("subscription", subscription) : domain is not null ? ("domain", domain) : ("mailbox", mailbox);
        if (verb == "hold" && sender.Name is { } name && await IsOpenAsync(client, $"{sender.Noun}{(sender.Noun == "mailbox" ? "es" : "s")}/{Uri.EscapeDataString(name)}", cancellationToken))
            line += $"; new mail still goes: relaygate {sender.Noun} suspend {name}";
        return output.Done(answer, line);
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
