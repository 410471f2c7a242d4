using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using RelayGate.Telemetry;

namespace RelayGate.Admin;

/// <summary>The HTTP API under /api/v1 on the control socket, health checks and /metrics.</summary>
/// <remarks>Handlers are plain request delegates: nothing is generated or reflected at start.</remarks>
public static class AdminApi
{
    public static void Map(IEndpointRouteBuilder routes)
    {
        MetricsExposition metrics = routes.ServiceProvider.GetRequiredService<MetricsExposition>();
        routes.MapGet("/metrics", (RequestDelegate)(context => WriteTextAsync(context, MetricsExposition.ContentType, metrics.Write())));
        IServiceProvider services = routes.ServiceProvider;
        var api = new AdminDispatcher(routes, services.GetRequiredService<AdminAuthority>(), services.GetRequiredService<ILogger<AdminDispatcher>>());
        ActivatorUtilities.CreateInstance<StatusApi>(services).Map(api);
        ActivatorUtilities.CreateInstance<AccountsApi>(services).Map(api);
        ActivatorUtilities.CreateInstance<AddressesApi>(services).Map(api);
        ActivatorUtilities.CreateInstance<RoutesApi>(services).Map(api);
        ActivatorUtilities.CreateInstance<EgressApi>(services).Map(api);
        ActivatorUtilities.CreateInstance<SendersApi>(services).Map(api);
        ActivatorUtilities.CreateInstance<LimitsApi>(services).Map(api);
        ActivatorUtilities.CreateInstance<AuditApi>(services).Map(api);
        ActivatorUtilities.CreateInstance<ReportsApi>(services).Map(api);
        ActivatorUtilities.CreateInstance<ReportSchedulesApi>(services).Map(api);
        ActivatorUtilities.CreateInstance<SimulationApi>(services).Map(api);
        ActivatorUtilities.CreateInstance<MessagesApi>(services).Map(api);
        ActivatorUtilities.CreateInstance<RefusalsApi>(services).Map(api);
        ActivatorUtilities.CreateInstance<ReplyRulesApi>(services).Map(api);
        ActivatorUtilities.CreateInstance<QueueApi>(services).Map(api);
        ActivatorUtilities.CreateInstance<DestinationsApi>(services).Map(api);
        ActivatorUtilities.CreateInstance<ScriptsApi>(services).Map(api);
        ActivatorUtilities.CreateInstance<ExplainApi>(services).Map(api);
        ActivatorUtilities.CreateInstance<DoctorApi>(services).Map(api);
        ActivatorUtilities.CreateInstance<NoticesApi>(services).Map(api);
        ActivatorUtilities.CreateInstance<WebhooksApi>(services).Map(api);
        ActivatorUtilities.CreateInstance<TlsReportsApi>(services).Map(api);
        api.Fallback();
    }

    internal static Task WriteTextAsync(HttpContext context, string contentType, string text)
    {
        context.Response.ContentType = contentType;
        context.Response.Headers.CacheControl = "no-store";
        return context.Response.Body.WriteAsync(Encoding.UTF8.GetBytes(text), context.RequestAborted).AsTask();
    }
}
