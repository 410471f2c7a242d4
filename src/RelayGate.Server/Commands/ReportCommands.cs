using System.CommandLine;
using System.Text.Json.Nodes;
using RelayGate.Server.Cli;

namespace RelayGate.Server.Commands;

/// <summary><c>relaygate report …</c>: what was sent, by whom and from where.</summary>
internal static class ReportCommands
{
    private static readonly Option<string?> Period = new("--period") { Description = "day (24 hours), week or month (default: Reports:Period).", HelpName = "PERIOD" };
    private static readonly Option<string?> Level = new("--level") { Description = "server, plan, subscription, domain or mailbox (default: server).", HelpName = "LEVEL" };
    private static readonly Option<string?> Object = new("--object") { Description = "The object of that level.", HelpName = "NAME" };
    private static readonly Option<string?> Format = new("--format") { Description = "text (default), html, csv or json.", HelpName = "FORMAT" };
    private static readonly Option<string?> End = new("--end") { Description = "Last day (2026-01-31), or end (2026-01-31T06:00Z), in UTC (default: now).", HelpName = "DATE" };
    private static readonly Option<int?> Top = new("--top") { Description = "Rows of each table (1 to 1000, default 10).", HelpName = "N" };

    public static Command Create() => new Command("report", "Reports: what was sent, refused, held and bounced, by whom and from where.").With(
        new Command("run", "Print a report.").With(Period, Level, Object, Format, End, Top).Does(async (parsed, client, output, cancellationToken) =>
        {
            string format = output.IsJson ? "json" : parsed.GetValue(Format) ?? "text";
            string query = Paging.Build(
                ("period", parsed.GetValue(Period)), ("level", LevelOf(parsed)), ("name", parsed.GetValue(Object)), ("format", format), ("end", parsed.GetValue(End)),
                ("top", parsed.GetValue(Top)?.ToString()));
            JsonNode answer = await client.GetAsync("reports" + query, cancellationToken);
            if (format == "json")
                return new Output(json: true).Show(answer, static () => { });
            Console.Write((string?)answer["content"]);
            return ExitCode.Ok;
        }));

    private static string? LevelOf(ParseResult parsed)
    {
        string? level = parsed.GetValue(Level), name = parsed.GetValue(Object);
        if (level is null && name is not null)
            throw new CliException(ExitCode.Usage, $"--object {name}: say of which level it is, for instance --level domain");
        return level;
    }
}
