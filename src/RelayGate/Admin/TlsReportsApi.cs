using System.Globalization;
using System.Text.Json.Nodes;
using RelayGate.Accounts;
using RelayGate.Core.Mail;
using RelayGate.Core.Tls.Reports;
using RelayGate.TlsReports;

namespace RelayGate.Admin;

/// <summary>TLS reports to other domains (RFC 8460): what was sent, what would be, and sending by hand. For administrators: they are the server's.</summary>
internal sealed class TlsReportsApi(TlsReporter reporter)
{
    public void Map(AdminDispatcher api)
    {
        api.ReadAll("tls/reports", ListAsync);
        api.ReadAll("tls/reports/{domain}", async r =>
        {
            (DateOnly day, string domain) = Which(r);
            TlsReport report = await reporter.FindAsync(day, domain, r.Aborted) ?? throw Nothing(day, domain);
            return new JsonObject
            {
                ["day"] = Text(day),
                ["domain"] = domain,
                ["successes"] = report.Successes,
                ["failures"] = report.Failures,
                ["targets"] = Targets(await reporter.TargetsOfAsync(day, domain, r.Aborted)),
                ["report"] = JsonNode.Parse(TlsReportJson.Write(report)),
            };
        });
        api.Change("POST", "tls/reports/{domain}/send", async r =>
        {
            (DateOnly day, string domain) = Which(r);
            if (day >= reporter.Today)
                throw AdminRequest.Bad($"day is {Text(day)}, which has not ended yet (UTC): a report is about a whole day");
            IReadOnlyList<TlsReportTarget> targets = await reporter.SendNowAsync(day, domain, r.Caller.ToString(), r.Aborted) ?? throw Nothing(day, domain);
            return targets.Count > 0 ? new JsonObject { ["day"] = Text(day), ["domain"] = domain, ["targets"] = Targets(targets) }
                : throw new ProblemException(Problem.Conflict($"{domain} asks for no reports, or its DNS does not answer: {TlsReportRecord.NameOf(domain)} TXT names no address"));
        });
    }

    private async Task<JsonNode?> ListAsync(AdminRequest request)
    {
        string? domain = request.Query("domain") is { } text ? Name(text) : null;
        (DateOnly, string)? before = null;
        if (request.Query("cursor") is { } cursor)
        {
            string[] parts = cursor.Split('/', 2);
            before = parts.Length == 2 && TryDay(parts[0], out DateOnly last) ? (last, parts[1]) : throw AdminRequest.Bad("cursor is not one that was given out");
        }
        int count = request.Limit;
        List<TlsReportEntry> page = await reporter.ListAsync(domain, before, count, request.Aborted);
        var items = new List<JsonNode>(page.Count);
        foreach (TlsReportEntry entry in page)
        {
            items.Add(new JsonObject
            {
                ["day"] = Text(entry.Day),
                ["domain"] = entry.Domain,
                ["id"] = entry.Id,
                ["state"] = AdminJson.Word(entry.State),
                ["successes"] = entry.Successes,
                ["failures"] = entry.Failures,
                ["targets"] = Targets(await reporter.TargetsOfAsync(entry.Day, entry.Domain, request.Aborted)),
            });
        }
        return AdminJson.List(items, static i => i, page.Count == count ? $"{Text(page[^1].Day)}/{page[^1].Domain}" : null);
    }

    private (DateOnly Day, string Domain) Which(AdminRequest request)
    {
        DateOnly day = reporter.Today.AddDays(-1);
        if (request.Query("day") is { } text && !TryDay(text, out day))
            throw AdminRequest.Bad($"day is '{AccountNames.Printable(text)}': a day in UTC such as 2026-01-31 is expected");
        return (day, Name(request.Route("domain")));
    }

    private static string Name(string text) =>
        Domain.TryParse(text, out Domain? domain) ? domain.Value : throw AdminRequest.Bad($"'{AccountNames.Printable(text)}' is no domain such as example.org");

    private static ProblemException Nothing(DateOnly day, string domain) =>
        new(Problem.NotFound($"nothing is known of TLS with the mail servers of {domain} on {Text(day)}; see: relaygate tls report list"));

    private static JsonArray Targets(IEnumerable<TlsReportTarget> targets) => new([.. targets.Select(static t => (JsonNode)new JsonObject
    {
        ["uri"] = t.Uri,
        ["state"] = AdminJson.Word(t.State),
        ["attempts"] = t.Attempts,
        ["next"] = t.Next is { } next ? AdminJson.Time(DateTimeOffset.FromUnixTimeMilliseconds(next)) : null,
        ["mail"] = t.Mail,
        ["error"] = t.Error.Length > 0 ? t.Error : null,
    })]);

    private static bool TryDay(string text, out DateOnly day) => DateOnly.TryParseExact(text, "yyyy-MM-dd", CultureInfo.InvariantCulture, DateTimeStyles.None, out day);

    private static string Text(DateOnly day) => day.ToString("yyyy-MM-dd", CultureInfo.InvariantCulture);
}
