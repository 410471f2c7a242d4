using System.Globalization;
using System.Text.Json.Nodes;
using RelayGate.Accounts;
using RelayGate.Core.Policy;
using RelayGate.Core.Reports;
using RelayGate.Reports;

namespace RelayGate.Admin;

/// <summary>Reports that are sent by schedule.</summary>
internal sealed class ReportSchedulesApi(ReportBook book, AccountAdministration accounts, TimeProvider time)
{
    private static readonly TimeSpan DefaultAt = TimeSpan.FromHours(6);

    public void Map(AdminDispatcher api)
    {
        api.ReadAll("reports/schedules", async r => AdminJson.List(await book.ListAsync(r.Aborted), entry => Json(entry.Schedule, entry.LastSent)));
        api.Change("POST", "reports/schedules", AddAsync);
        api.Change("DELETE", "reports/schedules/{id}", async r =>
            long.TryParse(r.Route("id"), NumberStyles.None, CultureInfo.InvariantCulture, out long id) && await book.RemoveAsync(id, r.Caller.ToString(), r.Aborted)
                ? null
                : throw new ProblemException(Problem.NotFound($"there is no report schedule {AccountNames.Printable(r.Route("id"))}; see: relaygate report schedule list")));
    }

    private async Task<JsonNode?> AddAsync(AdminRequest request)
    {
        RequestBody body = await request.BodyAsync("period", "level", "name", "to", "toOwner", "at", "csv");
        ReportPeriod period = AdminJson.Choice<ReportPeriod>("period", body.RequiredText("period"));
        AccountKey? key = body.Text("level") is null && body.Text("name") is null ? null : AdminJson.Key(body.Text("level"), body.Text("name"));
        ReportTarget target = AdminJson.Value(await accounts.FindReportTargetAsync(key, null, request.Aborted));
        string? to = body.Text("to");
        if (to is null != body.Flag("toOwner"))
            throw AdminRequest.Bad("say to whom it is sent: either to with an address, or toOwner");
        if (to is not null && !ReportBook.IsReceiver(to))
            throw AdminRequest.Bad($"to is '{AccountNames.Printable(to)}': an address such as admin@example.net is expected");
        if (to is null && target.Key.Level < Level.Subscription)
            throw AdminRequest.Bad($"the {AdminJson.Word(target.Key.Level)} has no owner: toOwner is for a subscription, a domain or a mailbox; name an address");
        if (to is null && target.Contact is null)
            throw new ProblemException(Problem.Conflict($"the subscription of {target.Key} has no contact; set one: relaygate subscription set NAME --contact ADDRESS"));
        var schedule = new ReportSchedule(0, period, target.Key, to, At(body.Text("at")), body.Flag("csv"), default);
        return await book.AddAsync(schedule, request.Caller.ToString(), request.Aborted) is { } added ? Json(added, null)
            : throw new ProblemException(Problem.Conflict($"there are {ReportSchedules.MaxSchedules} schedules already; remove some: relaygate report schedule list"));
    }

    private static TimeSpan At(string? text) => text is null ? DefaultAt
        : TimeOnly.TryParseExact(text, "HH:mm", CultureInfo.InvariantCulture, DateTimeStyles.None, out TimeOnly at) ? at.ToTimeSpan()
        : throw AdminRequest.Bad($"at is '{AccountNames.Printable(text)}': a time of day in UTC such as 06:00 is expected");

    private JsonObject Json(ReportSchedule schedule, DateTimeOffset? lastSent) => new()
    {
        ["id"] = schedule.Id,
        ["period"] = schedule.Period.Word(),
        ["object"] = schedule.Object.ToString(),
        ["level"] = AdminJson.Word(schedule.Object.Level),
        ["name"] = schedule.Object.Name,
        ["to"] = schedule.Receiver,
        ["toOwner"] = schedule.Receiver is null,
        ["at"] = schedule.At.ToString("hh\\:mm", CultureInfo.InvariantCulture),
        ["csv"] = schedule.WithCsv,
        ["addedAt"] = AdminJson.Time(schedule.AddedAt),
        ["next"] = AdminJson.Time(ReportTimes.Next(schedule.Period, schedule.At, time.GetUtcNow())),
        ["lastSent"] = lastSent is { } sent ? AdminJson.Time(sent) : null,
    };
}
