using System.CommandLine;
using System.Text.Json.Nodes;
using RelayGate.Server.Cli;

namespace RelayGate.Server.Commands;

/// <summary><c>relaygate tls …</c>: TLS with the mail servers of others.</summary>
internal static class TlsCommands
{
    private static readonly Argument<string> Name = new("DOMAIN") { Description = "The recipients' domain." };
    private static readonly Option<string?> Only = new("--domain") { Description = "Only of this domain.", HelpName = "DOMAIN" };
    private static readonly Option<string?> Day = new("--day") { Description = "Day in UTC, for instance 2026-01-31 (default: yesterday).", HelpName = "DAY" };

    public static Command Create()
    {
        var paging = new Paging();
        return new Command("tls", "TLS with the mail servers of other domains.").With(
            new Command("report", "Daily reports to domains that ask for them (TLS-RPT, RFC 8460).").With(
                paging.AddTo(new Command("list", "List the reports of the last two weeks, newest first.").With(Only)).Does(async (parsed, client, output, cancellationToken) => output.List(
                    await client.GetAsync("tls/reports" + paging.Query(parsed, ("domain", parsed.GetValue(Only))), cancellationToken), "no reports were sent",
                    ("DAY", Cell.Of("day")), ("DOMAIN", Cell.Of("domain")), ("STATE", Cell.Of("state")), ("SESSIONS", Cell.Of("successes")), ("FAILED", Cell.Of("failures")), ("TO", Receivers))),
                new Command("show", "Show the report of a day, as it is or would be sent.").With(Name, Day).Does(async (parsed, client, output, cancellationToken) =>
                {
                    JsonNode found = await client.GetAsync(PathTo(parsed) + Paging.Build(("day", parsed.GetValue(Day))), cancellationToken);
                    return output.Show(found, () =>
                    {
                        Output.Fields(
                            ("domain", Cell.Text(found["domain"])), ("day", Cell.Text(found["day"])), ("sessions", Cell.Text(found["successes"])),
                            ("failed sessions", Cell.Text(found["failures"])), ("to", Receivers(found)));
                        new Output(json: true).Show(found["report"]!, static () => { });
                    });
                }),
                new Command("send", "Send the report of a day that has ended now, also again.").With(Name, Day).Does(async (parsed, client, output, cancellationToken) =>
                {
                    JsonNode sent = await client.PostAsync($"{PathTo(parsed)}/send" + Paging.Build(("day", parsed.GetValue(Day))), null, cancellationToken);
                    return output.Done(sent, $"{Cell.Text(sent["domain"])}, {Cell.Text(sent["day"])}: {Receivers(sent)}");
                })));
    }

    private static string PathTo(ParseResult parsed) => $"tls/reports/{Uri.EscapeDataString(parsed.GetRequiredValue(Name))}";

    private static string Receivers(JsonNode report) => string.Join(", ", (report["targets"] as JsonArray ?? []).Select(static t =>
        $"{Cell.Text(t?["uri"])} ({Cell.Text(t?["state"])}{(Cell.Text(t?["error"]) is { } why ? $": {why}" : "")})"));
}
