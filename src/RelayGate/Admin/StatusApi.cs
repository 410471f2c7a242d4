using System.Text.Json.Nodes;
using RelayGate.Configuration;
using RelayGate.Core.Policy;
using RelayGate.Telemetry;

namespace RelayGate.Admin;

/// <summary><c>status</c>: how the gateway is, in one answer.</summary>
internal sealed class StatusApi(GatewayState state, RelayGateOptions options, RelayGateMetrics metrics, TimeProvider time)
{
    public void Map(AdminDispatcher api) => api.ReadAll("status", _ => Task.FromResult<JsonNode?>(Status()));

    private JsonObject Status()
    {
        TimeSpan uptime = time.GetUtcNow() - state.StartedAt;
        long accepted = metrics.Messages.Value("accepted", Reasons.Accepted) + metrics.Messages.Value("held", Reasons.LimitReached);
        var queue = new JsonObject();
        foreach ((string name, long count) in metrics.QueueMessages())
            queue[name] = count;
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
            ["refused"] = metrics.Messages.Total - accepted,
            ["delivered"] = metrics.Deliveries.Value("delivered"),
            ["deferred"] = metrics.Deliveries.Value("deferred"),
            ["failed"] = metrics.Deliveries.Value("failed"),
            ["dsns"] = metrics.Dsns.Total,
            ["queue"] = queue,
            ["nextHop"] = options.Delivery.NextHop,
            ["listeners"] = new JsonArray([.. state.Listeners.Select(l => (JsonNode)l)]),
        };
    }
}
