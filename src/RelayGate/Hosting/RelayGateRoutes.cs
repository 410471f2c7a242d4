using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using RelayGate.Admin;
using RelayGate.Telemetry;

namespace RelayGate.Hosting;

/// <summary>Maps the gateway's HTTP endpoints: /healthz/live, /healthz/ready, /metrics, and /api/v1 (control socket only).</summary>
public static class RelayGateRoutes
{
    public static void MapRelayGate(this IEndpointRouteBuilder routes)
    {
        GatewayState state = routes.ServiceProvider.GetRequiredService<GatewayState>();
        routes.MapGet("/healthz/live", (RequestDelegate)(context => AdminApi.WriteTextAsync(context, "text/plain", "live\n")));
        routes.MapGet("/healthz/ready", (RequestDelegate)(context =>
        {
            bool ready = state.Phase == GatewayPhase.Ready;
            if (!ready)
                context.Response.StatusCode = StatusCodes.Status503ServiceUnavailable;
            return AdminApi.WriteTextAsync(context, "text/plain", ready ? "ready\n" : $"not ready: {state.Phase.ToString().ToLowerInvariant()}\n");
        }));
        AdminApi.Map(routes);
    }
}
