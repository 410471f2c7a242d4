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

    private static readonly Option<string> Each = new("--period") { Description = "day, week (each Monday) or month (the first).", HelpName = "PERIOD", Required = true };
    private static readonly Option<string?> To = new("--to") { Description = "Who gets it.", HelpName = "ADDRESS" };
    private static readonly Option<bool> ToOwner = new("--to-owner") { Description = "The contact of the object's subscription gets it." };
    private static readonly Option<string?> At = new("--at") { Description = "Time of day in UTC (default 06:00).", HelpName = "HH:MM" };
    private static readonly Option<bool> Csv = new("--csv") { Description = "Attach it as CSV as well." };
    private static readonly Argument<string> Id = new("ID") { Description = "As the list shows it." };

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
        }),
        new Command("schedule", "Reports that are sent by mail: every day, each Monday, or the first of each month.").With(
            new Command("add", "Have a report sent.").With(Each, Level, Object, To, ToOwner, At, Csv).Does(async (parsed, client, output, cancellationToken) =>
            {
                var body = new JsonObject();
                Fields.Set(body, "period", parsed.GetValue(Each));
                Fields.Set(body, "level", LevelOf(parsed));
                Fields.Set(body, "name", parsed.GetValue(Object));
                Fields.Set(body, "to", parsed.GetValue(To));
                Fields.Set(body, "at", parsed.GetValue(At));
                body["toOwner"] = parsed.GetValue(ToOwner);
                body["csv"] = parsed.GetValue(Csv);
                JsonNode added = await client.PostAsync("reports/schedules", body, cancellationToken);
                return output.Done(added, $"{Cell.Text(added["id"])}: one {Cell.Text(added["period"])} of {Cell.Text(added["object"])} to {Receiver(added)}, first at {Cell.Time(added["next"])} UTC");
            }),
            new Command("list", "List what is sent, when and to whom.").Does(async (_, client, output, cancellationToken) => output.List(
                await client.GetAsync("reports/schedules", cancellationToken), "no reports are sent",
                ("ID", Cell.Of("id")), ("PERIOD", Cell.Of("period")), ("OBJECT", Cell.Of("object")), ("TO", Receiver), ("AT (UTC)", Cell.Of("at")), ("CSV", Cell.Flag("csv", "yes")),
                ("NEXT (UTC)", Cell.Time("next")), ("LAST SENT (UTC)", Cell.Time("lastSent")))),
            new Command("remove", "Send it no more.").With(Id).Does(async (parsed, client, output, cancellationToken) =>
            {
                string id = parsed.GetRequiredValue(Id);
                return output.Done(await client.DeleteAsync($"reports/schedules/{Uri.EscapeDataString(id)}", cancellationToken), $"{id}: removed");
            })));

    private static string? Receiver(JsonNode schedule) => Cell.Text(schedule["to"]) ?? "the owner";

    private static string? LevelOf(ParseResult parsed)
    {
        string? level = parsed.GetValue(Level), name = parsed.GetValue(Object);
        if (level is null && name is not null)
            throw new CliException(ExitCode.Usage, $"--object {name}: say of which level it is, for instance --level domain");
        return level;
    }
}
