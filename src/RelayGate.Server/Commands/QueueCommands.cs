using System.CommandLine;
using System.Globalization;
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
        (new("--script") { Description = "Made by this script, as 'script list' names it.", HelpName = "SCRIPT" }, "script"),
        (new("--ip") { Description = "That leave from this address.", HelpName = "ADDRESS" }, "ip"),
        (new("--reason") { Description = "Whose last reply has this text in it, or is of this class (ip-blocked, mailbox-full, rate …).", HelpName = "TEXT" }, "reason"),
        (new("--state") { Description = "active, deferred, held, or failed (whose content is kept).", HelpName = "STATE" }, "state"),
        (new("--held") { Description = "Held for this reason: limit, suspended, script, refused, administrator or fault.", HelpName = "REASON" }, "held"),
        (new("--older-than") { Description = "Came before this time (2026-01-31T12:00Z) or this long ago (90s, 15m, 2h, 7d).", HelpName = "TIME" }, "before"),
    ];

    private static readonly Option<bool> DryRun = new("--dry-run") { Description = "Only count what it would be done to." };
    private static readonly Option<bool> Yes = new("--yes", "-y") { Description = $"Do not count first and ask; in a pipe, needed for more than {QueueOrderVerb.MostUnasked} messages." };
    private static readonly Option<string?> Text = new("--text") { Description = "What the sender is told.", HelpName = "TEXT" };
    private static readonly Option<string[]> ToIp = new("--to-ip") { Description = "An own or shared address of whose mail it is; one of each family at most.", HelpName = "ADDRESS" };
    private static readonly Argument<string[]> Refs = new("REF") { Description = "One or more refs.", Arity = ArgumentArity.ZeroOrMore };

    public static Command Create()
    {
        var paging = new Paging();
        return new Command("queue", "The queue: what waits to be delivered.").With(
            paging.AddTo(WithFilters(new Command("list", "List queued messages."))).Does(async (parsed, client, output, cancellationToken) =>
            {
                (string Name, string? Value)[] filter = [("subscription", parsed.GetValue(Subscription)), .. Filters.Select(f => (f.Field, Value(parsed, f.Option, f.Field)))];
                return output.List(await client.GetAsync("queue" + paging.Query(parsed, filter), cancellationToken), filter.All(static f => f.Value is null) ? "the queue is empty" : "nothing in the queue matches",
                    ("REF", Cell.Of("ref")), ("ARRIVED (UTC)", Cell.Time("at")), ("AGE", Age), ("STATE", i => State(i)), ("SUBSCRIPTION", Cell.Of("subscription")), ("OCTETS", Cell.Of("octets")),
                    ("FROM", i => $"<{Cell.Text(i["sender"])}>"), ("RECIPIENTS", Cell.Of("recipientCount")), ("EGRESS", Cell.Of("egress")), ("ATTEMPTS", Cell.Of("attempts")), ("NEXT ATTEMPT (UTC)", i => Cell.Time(i["nextAttempt"]) ?? (Cell.Text(i["waitsFor"]) is not null && Cell.Text(i["held"]) is null ? "when that ends" : null)),
                    ("RELEASE ABOUT (UTC)", i => Cell.Time(i["hold"]?["releaseAbout"])), ("WAITS FOR", i => Cell.WaitsFor(i["waitsFor"])), ("LAST REPLY OR WHY HELD", i => Cell.Text(i["hold"]?["for"]) ?? Cell.Text(i["lastReply"])));
            }),
            QueueShowCommand.Create(),
            Action("retry", "Try now instead of later.", "to be tried now"),
            Action("hold", "Park: no attempt until release.", "held"),
            Action("release", "Let held messages go on, also over a limit; it is counted and recorded.", "released"),
            Action("delete", "Delete without a DSN.", "deleted"),
            Action("bounce", "Give up now; the sender gets a DSN.", "returned", Text),
            Action("rebind", "Leave from where mail of its sender leaves now, or from --to-ip, and try now. Without this a message keeps its address.", "rebound", ToIp),
            Action("requeue", "Put back what failed, while its content is kept (Retention:FailedContent).", "put back"),
            Destination("suspend", "Put off all mail to a recipient domain, or a provider, until resume; it keeps its age.", "suspended: its mail is put off"),
            Destination("resume", "Let mail to a suspended destination go on.", "resumed"),
            new Command("suspended", "List suspended destinations.").Does(async (_, client, output, cancellationToken) =>
                output.List(await client.GetAsync("queue/suspended", cancellationToken), "no destination is suspended",
                    ("DESTINATION", Cell.Of("destination")), ("KIND", Cell.Of("kind")), ("SINCE (UTC)", Cell.Time("since")), ("BY", Cell.Of("by")), ("RECIPIENTS", Cell.Of("recipients")))),
            WithFilters(new Command("flush", "Try everything that waits for later, 100 messages a second, or what to look for.")).With(DryRun, Yes).Does((parsed, client, output, cancellationToken) =>
                ActAsync("flush", "to be tried", [], parsed, client, output, cancellationToken)));
    }

    private static Command Action(string verb, string description, string done, params ReadOnlySpan<Symbol> more) =>
        WithFilters(new Command(verb, description + " Name refs, or what to look for.").With(Refs)).With(DryRun, Yes).With(more).Does((parsed, client, output, cancellationToken) =>
            ActAsync(verb, done, parsed.GetValue(Refs) ?? [], parsed, client, output, cancellationToken));

    private static Command Destination(string verb, string description, string done)
    {
        var destination = new Argument<string>("DESTINATION") { Description = "A recipient domain; a name without a dot is a provider's, such as google (see rules list)." };
        var isProvider = new Option<bool>("--provider") { Description = "It is the name of a provider also where it has a dot." };
        return new Command(verb, description).With(destination, isProvider).Does(async (parsed, client, output, cancellationToken) =>
        {
            string name = parsed.GetRequiredValue(destination);
            string kind = parsed.GetValue(isProvider) || !name.Contains('.', StringComparison.Ordinal) ? "provider" : "domain";
            JsonNode answer = await client.PostAsync($"queue/{verb}", new JsonObject { [kind] = name }, cancellationToken);
            string waits = (long?)answer["recipients"] is { } recipients ? $", {recipients} recipients that waited go on" : "";
            return output.Done(answer, $"{kind} {Cell.Text(answer["destination"])} {((bool?)answer["changed"] == true ? "" : "was already ")}{done}{waits}");
        });
    }

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
        bool isFiltered = body.Count > 0 || verb == "flush";
        if (refs.Length > 0 == isFiltered)
            throw new CliException(ExitCode.Usage, $"name either refs or what to look for, such as --subscription NAME or --mailbox ADDRESS (relaygate queue {verb} --help)");
        Fields.SetList(body, "refs", refs);
        if (verb == "bounce")
            Fields.Set(body, "text", parsed.GetValue(Text));
        if (verb == "rebind")
            Fields.SetList(body, "toIp", parsed.GetValue(ToIp));
        return await new QueueOrderVerb(verb, done, body, client, output).RunAsync(
            isFiltered, parsed.GetValue(DryRun), parsed.GetValue(Yes), verb == "hold" ? () => StillOpenAsync(body, client, cancellationToken) : null, cancellationToken);
    }

    /// <summary>After a hold: that new mail of the sender still goes.</summary>
    private static async Task<string?> StillOpenAsync(JsonObject body, ControlClient client, CancellationToken cancellationToken) =>
        Noun(body) is ({ } noun, { } name) && await IsOpenAsync(client, $"{noun}{(noun == "mailbox" ? "es" : "s")}/{Uri.EscapeDataString(name)}", cancellationToken)
            ? $"; new mail still goes: relaygate {noun} suspend {name}" : null;

    private static (string Noun, string Name)? Noun(JsonObject body)
    {
        foreach (string noun in new[] { "subscription", "domain", "mailbox" })
        {
            if ((string?)body[noun] is { } name)
                return (noun, name);
        }
        return null;
    }

    /// <summary>From which its end is reckoned: since it came, or was put back.</summary>
    private static string? Age(JsonNode item)
    {
        if (!DateTimeOffset.TryParse((string?)item["requeuedAt"] ?? (string?)item["at"], CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out DateTimeOffset from))
            return null;
        TimeSpan age = TimeProvider.System.GetUtcNow() - from;
        return age.TotalMinutes < 2 ? $"{Math.Max(0, (long)age.TotalSeconds)}s" : age.TotalHours < 2 ? $"{(long)age.TotalMinutes}m" : age.TotalDays < 2 ? $"{(long)age.TotalHours}h" : $"{(long)age.TotalDays}d";
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
}
