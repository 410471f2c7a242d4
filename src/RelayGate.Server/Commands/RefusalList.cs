using System.CommandLine;
using System.Text.Json.Nodes;
using RelayGate.Server.Cli;

namespace RelayGate.Server.Commands;

/// <summary><c>relaygate message list --class …</c>, <c>--reply …</c> and <c>--group-by …</c>: what next hops have refused.</summary>
internal sealed class RefusalList
{
    private readonly Option<string?> _groupBy = new("--group-by")
    {
        Description = "Count refusals of next hops by ip, provider, class, list, subscription, domain, code (with commas).",
        HelpName = "KEYS",
    };

    private readonly (Option<string?> Option, string Parameter)[] _filters =
    [
        (new("--class") { Description = "Refusals of next hops about this: ip-blocked, ip-deferred, rate, ptr, authentication, domain-reputation, content …", HelpName = "CLASS" }, "class"),
        (new("--reply") { Description = "Refusals of next hops that say one of these (with commas), for instance blocked,blacklist,denied.", HelpName = "WORDS" }, "reply"),
        (new("--provider") { Description = "Refusals of this provider.", HelpName = "NAME" }, "provider"),
        (new("--ip") { Description = "Refusals of this address of ours.", HelpName = "ADDRESS" }, "ip"),
        (new("--list") { Description = "Refusals that name this list, for instance zen.spamhaus.org.", HelpName = "NAME" }, "list"),
    ];

    public void AddTo(Command command)
    {
        foreach ((Option<string?> option, _) in _filters)
            command.Add(option);
        command.Add(_groupBy);
    }

    /// <summary>Whether refusals are asked for, rather than all that was offered.</summary>
    public bool IsAsked(ParseResult parsed) => parsed.GetResult(_groupBy) is not null || _filters.Any(f => parsed.GetResult(f.Option) is not null);

    /// <param name="shared">What else was asked for, by parameter.</param>
    public async Task<int> RunAsync(
        ParseResult parsed, ControlClient client, Output output, Paging paging, (string Name, string? Value)[] shared, CancellationToken cancellationToken)
    {
        if (shared.FirstOrDefault(s => s.Value is not null && s.Name is not ("subscription" or "toDomain" or "since" or "until")) is { Name: { } other })
            throw new CliException(ExitCode.Usage, $"--{other} is about what was offered; refusals are found by --class, --reply, --provider, --ip, --list, --subscription, --to-domain, --since, --until");
        (string Name, string? Value)[] query = [.. shared, .. _filters.Select(f => (f.Parameter, parsed.GetValue(f.Option)))];
        if (parsed.GetValue(_groupBy) is not { } keys)
            return output.List(await client.GetAsync("refusals" + paging.Query(parsed, query), cancellationToken), "no next hop refused so", Columns());
        JsonNode groups = await client.GetAsync("refusals/groups" + paging.Query(parsed, [.. query, ("by", keys)]), cancellationToken);
        output.List(groups, "no next hop refused so", [
            .. keys.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries).Select(key => (key.ToUpperInvariant(), (Func<JsonNode, string?>)(g => Cell.Text(g[key]) is { Length: > 0 } value ? value : "-"))),
            ("ATTEMPTS", Cell.Of("attempts")), ("RECIPIENTS", Cell.Of("recipients")), ("FIRST (UTC)", Cell.Time("firstAt")), ("LAST (UTC)", Cell.Time("lastAt")),
            ("REF", g => Cell.Text(g["sample"]?["ref"])), ("REPLY", g => Cell.Text(g["sample"]?["reply"])),
        ]);
        if (!output.IsJson && (bool?)groups["isComplete"] == false)
            await Console.Error.WriteLineAsync($"relaygate: there is more than is counted at once{(Cell.Time(groups["readSince"]) is { } since ? $": this is since {since} UTC" : "")}; narrow it with --since, --class, --provider or --ip");
        return ExitCode.Ok;
    }

    private static (string, Func<JsonNode, string?>)[] Columns() =>
    [
        ("REF", Cell.Of("ref")), ("TIME (UTC)", Cell.Time("at")), ("CLASS", Cell.Of("class")), ("PROVIDER", Cell.Of("provider")), ("IP", Cell.Of("ip")), ("STAGE", Cell.Of("stage")),
        ("TO", i => $"<{Cell.Text(i["recipient"])}>{((long?)i["recipients"] is > 1 and var n ? $" +{n - 1}" : "")}"), ("LIST", Cell.Of("list")), ("REPLY", Cell.Of("reply")),
    ];
}
