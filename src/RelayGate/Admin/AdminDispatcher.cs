using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.Logging;
using RelayGate.Telemetry;

namespace RelayGate.Admin;

/// <summary>Who may use a route of the API; docs/api.md is checked against it.</summary>
/// <param name="IsForAdministrators">Else for everybody whom the control socket knows, each for his own.</param>
internal sealed record AdminAccess(bool IsForAdministrators);

/// <summary>Runs the handlers of the API: recognises the caller, turns problems into answers and writes JSON.</summary>
internal sealed class AdminDispatcher(IEndpointRouteBuilder routes, AdminAuthority authority, ILogger logger)
{
    public const string Prefix = "/api/v1/";

    /// <summary>For everybody whom the control socket knows; the handler keeps to the caller's own.</summary>
    public void Read(string path, Func<AdminRequest, Task<JsonNode?>> handler) => Map(HttpMethods.Get, path, forAdministrators: false, handler);

    /// <summary>For administrators.</summary>
    public void ReadAll(string path, Func<AdminRequest, Task<JsonNode?>> handler) => Map(HttpMethods.Get, path, forAdministrators: true, handler);

    /// <summary>For administrators; what was done is logged with who did it.</summary>
    public void Change(string method, string path, Func<AdminRequest, Task<JsonNode?>> handler) => Map(method, path, forAdministrators: true, handler);

    /// <summary>For everybody whom the control socket knows; the handler says who may, and keeps to the caller's own.</summary>
    public void ChangeOwn(string method, string path, Func<AdminRequest, Task<JsonNode?>> handler) => Map(method, path, forAdministrators: false, handler);

    /// <summary>As <see cref="ChangeOwn"/>, with an answer as <see cref="Stream"/> gives it.</summary>
    public void StreamOwn(string path, Func<AdminRequest, IAsyncEnumerable<JsonNode>> handler) => MapLines(HttpMethods.Post, path, forAdministrators: false, handler);

    /// <summary>For administrators: an answer that takes a while, as one line of JSON for each thing there is to say (NDJSON). A problem on the way is the last line.</summary>
    public void Stream(string path, Func<AdminRequest, IAsyncEnumerable<JsonNode>> handler) => MapLines(HttpMethods.Get, path, forAdministrators: true, handler);

    /// <summary>Answers for everything under /api that is not there.</summary>
    public void Fallback() => routes.Map("/api/{**rest}", (RequestDelegate)(context =>
        RunAsync(context, false, _ => throw new ProblemException(Problem.NotFound($"there is nothing at {context.Request.Method} {context.Request.Path}")))));

    private void MapLines(string method, string path, bool forAdministrators, Func<AdminRequest, IAsyncEnumerable<JsonNode>> handler) => routes.MapMethods(
        Prefix + path, [method], (RequestDelegate)(context => RunAsync(context, forAdministrators, async request =>
        {
            await WriteLinesAsync(context, handler(request));
            return null;
        }))).WithMetadata(new AdminAccess(forAdministrators));

    private void Map(string method, string path, bool forAdministrators, Func<AdminRequest, Task<JsonNode?>> handler) =>
        routes.MapMethods(Prefix + path, [method], (RequestDelegate)(context => RunAsync(context, forAdministrators, handler))).WithMetadata(new AdminAccess(forAdministrators));

    private async Task RunAsync(HttpContext context, bool forAdministrators, Func<AdminRequest, Task<JsonNode?>> handler)
    {
        try
        {
            ControlPeer peer = ControlPeer.Of(context.Features)
                ?? throw new ProblemException(Problem.Unauthorized("the API answers on the control socket only: there are no API tokens yet"));
            AdminCaller caller = await authority.RecogniseAsync(peer, context.RequestAborted);
            if (forAdministrators && !caller.IsAdministrator)
                throw new ProblemException(Problem.Forbidden($"uid {peer.Uid} may only read what belongs to subscription {caller.Subscription}"));
            var request = new AdminRequest(context, caller);
            JsonNode? answer = await handler(request);
            if (!HttpMethods.IsGet(context.Request.Method))
                Log.AdministrationDone(logger, peer.Uid, context.Request.Method, context.Request.Path.ToUriComponent(), context.Request.QueryString.Value ?? "", request.LoggedFields);
            if (!context.Response.HasStarted)
                await WriteAsync(context, answer);
        }
        catch (ProblemException error) when (context.Response.HasStarted)
        {
            await WriteLineAsync(context, new JsonObject { ["problem"] = error.Problem.Title });
        }
        catch (ProblemException error)
        {
            await error.Problem.WriteAsync(context);
        }
        catch (OperationCanceledException) when (context.RequestAborted.IsCancellationRequested)
        {
            // Nobody waits for an answer any more.
        }
        catch (Exception error) when (!context.Response.HasStarted)
        {
            Log.AdministrationFailed(logger, error, context.Request.Method, context.Request.Path.ToUriComponent());
            await new Problem(StatusCodes.Status500InternalServerError, "internal", "an error inside the gateway; its log has the details").WriteAsync(context);
        }
    }

    private static async Task WriteLinesAsync(HttpContext context, IAsyncEnumerable<JsonNode> lines)
    {
        context.Response.ContentType = "application/x-ndjson";
        context.Response.Headers.CacheControl = "no-store";
        await foreach (JsonNode line in lines.WithCancellation(context.RequestAborted))
            await WriteLineAsync(context, line);
    }

    private static async Task WriteLineAsync(HttpContext context, JsonNode line)
    {
        await context.Response.WriteAsync(line.ToJsonString() + "\n", context.RequestAborted);
        await context.Response.Body.FlushAsync(context.RequestAborted);
    }

    private static async Task WriteAsync(HttpContext context, JsonNode? answer)
    {
        if (answer is null)
        {
            context.Response.StatusCode = StatusCodes.Status204NoContent;
            return;
        }
        context.Response.ContentType = "application/json";
        context.Response.Headers.CacheControl = "no-store";
        await using var json = new Utf8JsonWriter(context.Response.BodyWriter);
        answer.WriteTo(json);
    }
}
