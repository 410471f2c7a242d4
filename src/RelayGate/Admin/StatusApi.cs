using System.Text.Json.Nodes;
using RelayGate.Accounts;
using RelayGate.Configuration;
using RelayGate.Core.Policy;
using RelayGate.Queue;
using RelayGate.Telemetry;

namespace RelayGate.Admin;

/// <summary><c>status</c>: how the gateway is, in one answer.</summary>
internal sealed class StatusApi(
    GatewayState state, RelayGateOptions options, RelayGateMetrics metrics, QueueGauge gauge, AccountAdministration accounts, TimeProvider time)
{
    public void Map(AdminDispatcher api) => api.ReadAll("status", StatusAsync);

    private async Task<JsonNode?> StatusAsync(AdminRequest request)
    {
        QueueFigures figures = await gauge.RefreshAsync(request.Aborted);
        TimeSpan uptime = time.GetUtcNow() - state.StartedAt;
        LimitView server = AdminJson.Value(await accounts.ShowLimitAsync(AccountKey.Server, request.Aborted));
        long held = metrics.Held;
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
            ["limits"] = new JsonObject { ["enforced"] = server.IsEnforced, ["messages"] = server.Messages, ["refused"] = server.Refused, ["exempt"] = server.Exempt },
            ["oldestAt"] = figures.OldestAt is { } oldest ? AdminJson.Time(oldest) : null,
            ["nextHop"] = options.Delivery.NextHop,
            ["listeners"] = new JsonArray([.. state.Listeners.Select(l => (JsonNode)l)]),
        };
    }
}
