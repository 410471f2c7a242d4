using System.CommandLine;
using System.Text.Json.Nodes;
using RelayGate.Server.Cli;

namespace RelayGate.Server.Commands;

/// <summary><c>relaygate ip …</c>: local addresses that mail leaves from.</summary>
internal static class IpCommands
{
    private static readonly Argument<string> Address = new("ADDRESS") { Description = "An IPv4 or IPv6 address of this host; 0.0.0.0 or :: where the system chooses it." };
    private static readonly Option<string?> Helo = new("--helo") { Description = "The name it greets with; \"none\": Hostname.", HelpName = "NAME" };
    private static readonly Option<bool> Shared = new("--shared") { Description = "Several subscriptions may use it (--shared false: one only)." };
    private static readonly Option<string?> For = new("--for") { Description = "How long: 30m, 2h, 1d. Without it, until ip resume.", HelpName = "TIME" };
    private static readonly Option<string?> Reason = new("--reason") { Description = "Why, for those who look at the address.", HelpName = "TEXT" };
    private static readonly Option<string?> Provider = new("--provider") { Description = "Only what is known at this provider.", HelpName = "NAME" };

    private static readonly Option<string?> To = new("--to") { Description = "smtp://host:port, or stun://host:port; else the one in Egress:Probe.", HelpName = "SERVER" };
    private static readonly Paging Paged = new();

    public static Command Create() => new Command("ip", "Addresses that mail leaves from.").With(
        new Command("add", "Make an address known.").With(Address, Helo, Shared).Does(async (parsed, client, output, cancellationToken) =>
        {
            var body = new JsonObject { ["address"] = parsed.GetRequiredValue(Address), ["shared"] = parsed.GetValue(Shared) };
            Fields.SetOrNone(body, "helo", parsed.GetValue(Helo));
            JsonNode added = await client.PostAsync("addresses", body, cancellationToken);
            return output.Done(added, $"address {parsed.GetRequiredValue(Address)} added{Warning(added)}");
        }),
        new Command("set", "Change an address.").With(Address, Helo, Shared).Does(async (parsed, client, output, cancellationToken) =>
        {
            var body = new JsonObject();
            Fields.SetOrNone(body, "helo", parsed.GetValue(Helo));
            if (parsed.GetResult(Shared) is { Implicit: false })
                body["shared"] = parsed.GetValue(Shared);
            if (body.Count == 0)
                throw new CliException(ExitCode.Usage, "nothing to change: name --helo or --shared");
            JsonNode changed = await client.PatchAsync(PathTo(parsed), body, cancellationToken);
            return output.Done(changed, $"address {parsed.GetRequiredValue(Address)} changed{Warning(changed)}");
        }),
        Paged.AddTo(new Command("list", "List all addresses.")).Does(async (parsed, client, output, cancellationToken) =>
            output.List(await client.GetAsync("addresses" + Paged.Query(parsed), cancellationToken), "no address yet",
                ("ADDRESS", Cell.Address), ("HELO", Cell.Of("helo")), ("USE", Use), ("USERS", Users), ("HERE", Here), ("STATE", Cell.Of("state")), ("AT PROVIDERS", AtProviders),
                ("LAST USE (UTC)", Cell.Time("lastUse")), ("WAITING", Cell.Of("waiting")), ("SEEN AS", Cell.Of("public")))),
        new Command("show", "Show an address.").With(Address).Does(async (parsed, client, output, cancellationToken) =>
        {
            JsonNode a = await client.GetAsync(PathTo(parsed), cancellationToken);
            return output.Show(a, () =>
            {
                Output.Fields(
                    ("address", Cell.Address(a)), ("helo", Cell.Text(a["helo"])), ("use", Use(a)), ("subscription", Cell.Text(a["subscription"])), ("users", Users(a)),
                    ("state", Cell.Text(a["state"])), ("draining since", Cell.Time(a["draining"])), ("on this host", Here(a)), ("last use", Cell.Time(a["lastUse"])), ("waiting for it", (long?)a["waiting"] is > 0 and var count ? $"{count} recipients" : null),
                    ("seen as", Cell.Text(a["public"]) is { } seen ? $"{seen} by {Cell.Text(a["probedBy"])}, {Cell.Time(a["probedAt"])} UTC"
                        : Cell.Text(a["probedBy"]) is { } by ? $"not told by {by}" : "not asked: relaygate ip probe"));
                foreach (JsonNode? state in a["states"] as JsonArray ?? [])
                    Console.WriteLine(Output.Clean($"  {StateLine(state!)}"));
                foreach (JsonNode? pace in a["paces"] as JsonArray ?? [])
                    Console.WriteLine(Output.Clean($"  {PaceLine(pace!)}"));
            });
        }),
        new Command("probe", "Ask a server outside, from this address, as which address it sees us. No mail is sent.").With(Address, To).Does(async (parsed, client, output, cancellationToken) =>
        {
            var body = new JsonObject();
            Fields.Set(body, "to", parsed.GetValue(To));
            JsonNode p = await client.PostAsync(PathTo(parsed) + "/probe", body, cancellationToken);
            int code = output.Show(p, () => Output.Fields(
                ("asked", Cell.Text(p["asked"])), ("connected from", Cell.Text(p["local"])),
                ("seen as", Cell.Text(p["seenAs"]) is { } seen ? seen + ((bool?)p["isBehindNat"] == true ? " (an address in between is translated)" : "") : p["fault"] is null ? "it does not tell" : null),
                ("it said", Cell.Text(p["said"])), ("failed", Cell.Text(p["fault"]))));
            return p["fault"] is null ? code : ExitCode.Failed;
        }),
        new Command("rest", "Let no mail leave from an address until it is resumed, or for a time; what needs it waits.").With(Address, For, Reason).Does(async (parsed, client, output, cancellationToken) =>
        {
            var body = new JsonObject();
            PaceCommands.SetSeconds(body, parsed.GetValue(For));
            Fields.Set(body, "reason", parsed.GetValue(Reason));
            JsonNode answer = await client.PostAsync($"{PathTo(parsed)}/rest", body, cancellationToken);
            JsonNode? rest = (answer["states"] as JsonArray ?? []).FirstOrDefault(static s => s?["provider"] is null);
            return output.Done(answer, $"address {Cell.Address(answer)} rests until {(Cell.Time(rest?["until"]) is { } until ? $"{until} UTC" : "it is resumed")}: no mail leaves from it");
        }),
        new Command("drain", "Have new messages choose another address where they have one; what has it already leaves from it.").With(Address).Does(async (parsed, client, output, cancellationToken) =>
        {
            JsonNode answer = await client.PostAsync($"{PathTo(parsed)}/drain", null, cancellationToken);
            string[] choosers = [.. (answer["stillChosenBy"] as JsonArray ?? []).Select(static who => Cell.Text(who)!)];
            string still = choosers.Length == 0 ? "new mail does not choose it"
                : $"but it is the only one of its family for {string.Join(", ", choosers.Take(3))}{(choosers.Length > 3 ? " and others" : "")}, whose new mail leaves from it until there is another";
            return output.Done(answer, $"address {parsed.GetRequiredValue(Address)} drains: {still}");
        }),
        new Command("resume", "End what keeps mail of an address back: rest, drain and pauses, or one provider's pause.").With(Address, Provider).Does(async (parsed, client, output, cancellationToken) =>
        {
            var body = new JsonObject();
            Fields.Set(body, "provider", parsed.GetValue(Provider));
            JsonNode answer = await client.PostAsync($"{PathTo(parsed)}/resume", body, cancellationToken);
            return output.Done(answer, (long?)answer["ended"] == 0 ? $"nothing kept mail of {Cell.Address(answer)} back" : $"address {Cell.Address(answer)} resumed: its mail goes on");
        }),
        new Command("remove", "Forget an address that nothing uses.").With(Address).Does(async (parsed, client, output, cancellationToken) =>
            output.Done(await client.DeleteAsync(PathTo(parsed), cancellationToken), $"address {parsed.GetRequiredValue(Address)} removed")));

    private static string? AtProviders(JsonNode address) => string.Join(", ", (address["states"] as JsonArray ?? [])
        .Where(static s => s?["provider"] is not null).Select(static s => $"{Cell.Text(s!["state"])} at {Cell.Text(s["provider"])} ({Cell.Text(s["waiting"])} waiting)")
        .Concat((address["paces"] as JsonArray ?? []).Select(static p => $"{Cell.Text(p!["pace"])} at {AtEach(p)} ({Cell.Text(p["waiting"])} waiting)")));

    private static string AtEach(JsonNode pace) => Cell.Text(pace["provider"]) is { } provider and not "*" ? provider : "each provider";

    private static string PaceLine(JsonNode pace)
    {
        string connections = Cell.Text(pace["connections"]) is { } bound ? $", {bound} connections" : "";
        string until = Cell.Time(pace["until"]) is { } end ? $" until {end} UTC" : "";
        string each = Cell.Text(pace["address"]) == "*" ? ", set for each address" : "";
        return $"{Cell.Text(pace["pace"])}{connections} at {AtEach(pace)} since {Cell.Time(pace["since"])} UTC{until}{each}, by {Cell.Text(pace["by"])}, {Cell.Text(pace["waiting"])} waiting  {Cell.Text(pace["reason"])}";
    }

    private static string StateLine(JsonNode state)
    {
        string where = Cell.Text(state["provider"]) is { } provider ? $"at {provider}" : "everywhere";
        string pace = Cell.Text(state["perMinute"]) is { } perMinute ? $", {perMinute}/min, {Cell.Text(state["connections"])} connections" : "";
        string about = Cell.Text(state["class"]) is { } what ? $", {what}{(Cell.Text(state["list"]) is { } list ? $" by {list}" : "")}" : "";
        string until = Cell.Time(state["until"]) is { } end ? $" until {end} UTC" : "";
        string by = Cell.Text(state["by"]) is { } whom ? $", by {whom}" : "";
        return $"{Cell.Text(state["state"])} {where} since {Cell.Time(state["since"])} UTC{until}{pace}{about}{by}, {Cell.Text(state["waiting"])} waiting  {Cell.Text(state["why"])}";
    }

    private static string PathTo(ParseResult parsed) => $"addresses/{Uri.EscapeDataString(parsed.GetRequiredValue(Address))}";

    private static string Use(JsonNode a) => (bool?)a["shared"] == true ? "shared" : (bool?)a["server"] == true && a["subscription"] is null ? "server" : "exclusive";

    private static string Users(JsonNode a) => string.Join(", ", ((bool?)a["server"] == true ? (string[])["the server"] : []).Concat(Subscriptions(a["users"] as JsonArray ?? [])));

    private static IEnumerable<string> Subscriptions(JsonArray users) => users.Count <= 3
        ? users.Select(static user => Cell.Text(user)!)
        : [.. users.Take(3).Select(static user => Cell.Text(user)!).SkipLast(1), $"{Cell.Text(users[2])} and {(users.Count >= 100 ? "100 or more" : users.Count - 3)} more"];

    private static string? Here(JsonNode a) => (bool?)a["present"] switch
    {
        true => "yes",
        false => $"no, since {Cell.Time(a["missingSince"])} UTC",
        null => null, // The system chooses.
    };

    private static string Warning(JsonNode a) =>
        (bool?)a["present"] == false ? "; it is not on this host now: mail that leaves from it waits until it is (ip -brief address)" : "";
}
