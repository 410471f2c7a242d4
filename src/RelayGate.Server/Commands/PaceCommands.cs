using System.CommandLine;
using System.Text.Json.Nodes;
using RelayGate.Server.Cli;

namespace RelayGate.Server.Commands;

/// <summary><c>relaygate pace …</c>: how fast mail goes from an address to a provider, by hand.</summary>
internal static class PaceCommands
{
    private static readonly Argument<string> Address = new("ADDRESS") { Description = "A local address, or * for each." };
    private static readonly Argument<string> Provider = new("PROVIDER") { Description = "A provider (as ip show and the attempts name it), or * for each." };
    private static readonly Argument<string> Pace = new("PACE") { Description = "Messages a minute: 10/min." };
    private static readonly Option<int?> Connections = new("--connections") { Description = "Connections at once at most.", HelpName = "N" };
    private static readonly Option<string?> For = new("--for") { Description = "How long: 30m, 2h, 1d. Without it, until pace cancel.", HelpName = "TIME" };
    private static readonly Option<string?> Reason = new("--reason") { Description = "Why, for the audit list.", HelpName = "TEXT" };

    public static Command Create() => new Command("pace", "How fast mail goes from an address to a provider; it wins over what was learned from replies.").With(
        new Command("set", "Set a pace: lower the volume while an address is listed.").With(Address, Provider, Pace, Connections, For, Reason).Does(async (parsed, client, output, cancellationToken) =>
        {
            (string address, string provider) = (parsed.GetRequiredValue(Address), parsed.GetRequiredValue(Provider));
            var body = new JsonObject { ["address"] = address, ["provider"] = provider, ["pace"] = parsed.GetRequiredValue(Pace), ["connections"] = parsed.GetValue(Connections) };
            SetSeconds(body, parsed.GetValue(For));
            Fields.Set(body, "reason", parsed.GetValue(Reason));
            JsonNode answer = await client.PostAsync("paces", body, cancellationToken);
            return output.Done(answer, $"{Cell.Address(answer)} goes to {provider} at {Cell.Text(answer["pace"])}{(Cell.Time(answer["until"]) is { } until ? $" until {until} UTC" : "")}");
        }),
        new Command("list", "List the paces that were set.").Does(async (_, client, output, cancellationToken) =>
            output.List(await client.GetAsync("paces", cancellationToken), "no pace is set",
                ("ADDRESS", Cell.Address), ("PROVIDER", Cell.Of("provider")), ("PACE", Cell.Of("pace")), ("CONNECTIONS", Cell.Of("connections")),
                ("SINCE (UTC)", Cell.Time("since")), ("UNTIL (UTC)", Cell.Time("until")), ("BY", Cell.Of("by")), ("REASON", Cell.Of("reason")))),
        new Command("cancel", "End a pace: what was learned holds again.").With(Address, Provider).Does(async (parsed, client, output, cancellationToken) =>
        {
            var body = new JsonObject { ["address"] = parsed.GetRequiredValue(Address), ["provider"] = parsed.GetRequiredValue(Provider) };
            JsonNode answer = await client.PostAsync("paces/cancel", body, cancellationToken);
            return output.Done(answer, $"no pace any more for {Cell.Address(answer)} at {parsed.GetRequiredValue(Provider)}");
        }));

    /// <summary>A length of time of the command line, as the API takes it.</summary>
    internal static void SetSeconds(JsonObject body, string? time)
    {
        if (time is null)
            return;
        if (Moment.Span(time) is not { } span || span <= TimeSpan.Zero || span.TotalSeconds > int.MaxValue)
            throw new CliException(ExitCode.Usage, $"'{time}' is no time: write --for 30m, 2h or 1d");
        body["seconds"] = (int)span.TotalSeconds;
    }
}
