using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using RelayGate.Accounts;
using RelayGate.Core.Policy;
using RelayGate.Core.Reports;
using RelayGate.Reports;

namespace RelayGate.Admin;

/// <summary>Reports from the hourly history. A subscription's own user has them of what is the subscription's.</summary>
internal sealed class ReportsApi(ReportMaker maker, AccountAdministration accounts, TenantTurns turns, TimeProvider time)
{
    public void Map(AdminDispatcher api) => api.Read("reports", RunAsync);

    private async Task<JsonNode?> RunAsync(AdminRequest request)
    {
        AccountKey? key = request.Query("level") is null && request.Query("name") is null ? null : AdminJson.Key(request.Query("level"), request.Query("name"));
        request.Caller.RequireMayRead(key);
        ReportTarget target = AdminJson.Value(await accounts.FindReportTargetAsync(key, request.Caller.Subscription, request.Aborted));
        ReportPeriod period = request.Query("period") is { } word ? AdminJson.Choice<ReportPeriod>("period", word) : target.Period;
        var wanted = new ReportRequest(period, End(request), target.Key, Top(request), target.LimitsEnforced, request.Caller.IsAdministrator ? default : target.Since);
        Func<Report, JsonNode> format = Format(request.Query("format") ?? "json");
        return await turns.RunAsync(request, async () => format(await maker.MakeAsync(wanted, request.Aborted)));
    }

    private static Func<Report, JsonNode> Format(string name) => name switch
    {
        "json" => Json,
        "text" => report => Content(name, ReportText.Write(report)),
        "html" => report => Content(name, ReportHtml.Write(report)),
        "csv" => report => Content(name, ReportCsv.Write(report)),
        _ => throw AdminRequest.Bad($"format is '{AccountNames.Printable(name)}': one of text, html, csv, json is expected"),
    };

    private static JsonObject Content(string format, string content) => new() { ["format"] = format, ["content"] = content };

    private static JsonNode Json(Report report)
    {
        using var octets = new MemoryStream();
        using (var json = new Utf8JsonWriter(octets))
            ReportJson.Write(json, report);
        return JsonNode.Parse(octets.ToArray())!;
    }

    /// <summary>A date: the end of that day. A time: the whole hour before it. Nothing: the end of the running hour.</summary>
    private DateTimeOffset End(AdminRequest request)
    {
        if (request.Query("end") is not { } text)
            return ReportPeriods.EndOfHour(time.GetUtcNow());
        if (DateOnly.TryParseExact(text, "yyyy-MM-dd", CultureInfo.InvariantCulture, DateTimeStyles.None, out DateOnly date) && date is { Year: > 1970 and < 9999 })
            return new DateTimeOffset(date.AddDays(1).ToDateTime(TimeOnly.MinValue), TimeSpan.Zero);
        if (DateTimeOffset.TryParse(text, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out DateTimeOffset at) && at is { Year: > 1970 and < 9999 })
            return ReportPeriods.EndOfHour(at.AddHours(-1));
        throw AdminRequest.Bad($"end is '{AccountNames.Printable(text)}': a day such as 2026-01-31, or a time such as 2026-01-31T06:00Z, is expected");
    }

    private static int Top(AdminRequest request) => request.Query("top") is not { } text ? ReportMaker.DefaultTop
        : int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int top) && top is >= 1 and <= ReportMaker.MaxTop ? top
        : throw AdminRequest.Bad($"top is '{AccountNames.Printable(text)}': a number from 1 to {ReportMaker.MaxTop} is expected");
}
