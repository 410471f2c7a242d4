using System.Text.Json.Nodes;
using RelayGate.Accounts;
using RelayGate.Configuration;
using RelayGate.Core.Policy;
using RelayGate.Core.Reports;
using RelayGate.Egress;
using RelayGate.Queue;
using RelayGate.Reports;
using RelayGate.Telemetry;

namespace RelayGate.Admin;

/// <summary><c>status</c>: how the gateway is, in one answer.</summary>
internal sealed class StatusApi(
    GatewayState state, RelayGateOptions options, RelayGateMetrics metrics, QueueGauge gauge, AccountAdministration accounts, ReportMaker reports, SuspendedDestinations suspended,
    EgressStates states, TimeProvider time)
{
    public void Map(AdminDispatcher api) => api.ReadAll("status", StatusAsync);

    private async Task<JsonNode?> StatusAsync(AdminRequest request)
    {
        QueueFigures figures = await gauge.RefreshAsync(request.Aborted);
        TimeSpan uptime = time.GetUtcNow() - state.StartedAt;
        LimitView server = AdminJson.Value(await accounts.ShowLimitAsync(AccountKey.Server, request.Aborted));
        long held = metrics.Held;
        EgressCondition[] conditions = [.. states.All().Select(static s => s.Condition)];
        long accepted = metrics.Messages.Value("accepted", Reasons.Accepted);
        return new JsonObject
        {
            ["version"] = RelayGateMetrics.Version,
            ["hostname"] = options.Hostname,
            ["phase"] = state.Phase.ToString().ToLowerInvariant(),
            ["pid"] = Environment.ProcessId,
            ["startedAt"] = state.StartedAt.ToString("O"),
            ["uptime"] = $"{(int)uptime.TotalDays}.{uptime:hh\\:mm\\:ss}",
            ["sessions"] = metrics.OpenSessions,
            ["sessionsTotal"] = metrics.SessionsTotal.Total,
            ["accepted"] = accepted,
            ["held"] = held,
            ["refused"] = metrics.Messages.Total - accepted - held,
            ["unrecorded"] = metrics.DroppedRefusals.Total,
            ["delivered"] = metrics.Deliveries.Value("delivered"),
            ["deferred"] = metrics.Deliveries.Value("deferred"),
            ["failed"] = metrics.Deliveries.Value("failed"),
            ["dsns"] = metrics.Dsns.Total,
            ["queue"] = new JsonObject { ["waiting"] = figures.Waiting, ["active"] = figures.Active, ["deferred"] = figures.Deferred, ["held"] = figures.Held, ["inFlight"] = figures.InFlight },
            ["connections"] = Connections(),
            ["memory"] = new JsonObject { ["used"] = metrics.QueueMemory, ["limit"] = metrics.QueueMemoryLimit },
            ["limits"] = new JsonObject { ["limitsOn"] = server.EnforcesAny, ["enforced"] = server.IsEnforced, ["messages"] = server.Messages, ["refused"] = server.Refused, ["exempt"] = server.Exempt },
            ["period"] = await PeriodAsync(request),
            ["suspendedDestinations"] = new JsonArray([.. suspended.All.Select(static d => (JsonNode)DestinationsApi.Json(d))]),
            ["addresses"] = new JsonObject
            {
                ["resting"] = conditions.Count(static c => c == EgressCondition.Resting),
                ["paused"] = conditions.Count(static c => c == EgressCondition.Paused),
                ["slowed"] = conditions.Count(static c => c == EgressCondition.Slowed),
                ["draining"] = await accounts.CountDrainingAsync(request.Aborted),
            },
            ["oldestAt"] = figures.OldestAt is { } oldest ? AdminJson.Time(oldest) : null,
            ["nextHop"] = options.Delivery.NextHop,
            ["listeners"] = new JsonArray([.. state.Listeners.Select(l => (JsonNode)l)]),
        };
    }

    private JsonObject Connections()
    {
        ConnectionFigures figures = metrics.Connections?.Invoke() ?? default;
        return new JsonObject
        {
            ["open"] = figures.Open,
            ["idle"] = figures.Idle,
            ["waiting"] = figures.Waiting,
            ["limit"] = figures.Limit,
            ["address"] = Use(figures.Address),
            ["nextHop"] = Use(figures.NextHop),
        };
    }

    private static JsonObject? Use(BoundUse? use) => use is not { } some ? null : new() { ["name"] = some.Name, ["open"] = some.Open, ["limit"] = some.Limit };

    /// <summary>The period that the settings have for reports.</summary>
    private async Task<JsonNode> PeriodAsync(AdminRequest request)
    {
        ReportPeriod period = AdminJson.Value(await accounts.FindReportTargetAsync(null, null, request.Aborted)).Period;
        DateTimeOffset end = ReportPeriods.EndOfHour(time.GetUtcNow());
        ReportOverview overview = await reports.OverviewAsync(period, end, request.Aborted);
        return new JsonObject
        {
            ["period"] = period.Word(),
            ["begin"] = AdminJson.Time(period.Begin(end)),
            ["end"] = AdminJson.Time(end),
            ["messages"] = overview.Server.Messages,
            ["recipients"] = overview.Server.Recipients,
            ["refused"] = overview.Server.Refused,
            ["held"] = overview.Server.Held,
            ["bounced"] = overview.Server.Bounced,
            ["objectsOver"] = overview.Over,
            ["objectsOverNow"] = overview.OverNow,
        };
    }
}
