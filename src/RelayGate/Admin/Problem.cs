using System.Text.Json;
using Microsoft.AspNetCore.Http;

namespace RelayGate.Admin;

/// <summary>A request that cannot be done as asked. Becomes problem+json (RFC 9457); the title is the one line the command line prints.</summary>
/// <param name="Slug">Last part of the type, <c>urn:relaygate:problem:…</c>.</param>
public sealed record Problem(int Status, string Slug, string Title)
{
    public static Problem BadRequest(string title, string slug = "bad-request") => new(StatusCodes.Status400BadRequest, slug, title);

    public static Problem Unauthorized(string title) => new(StatusCodes.Status401Unauthorized, "unauthorized", title);

    public static Problem Forbidden(string title) => new(StatusCodes.Status403Forbidden, "forbidden", title);

    public static Problem NotFound(string title) => new(StatusCodes.Status404NotFound, "not-found", title);

    public static Problem Conflict(string title) => new(StatusCodes.Status409Conflict, "conflict", title);

    public async Task WriteAsync(HttpContext context)
    {
        context.Response.StatusCode = Status;
        context.Response.ContentType = "application/problem+json";
        await using var json = new Utf8JsonWriter(context.Response.BodyWriter);
        json.WriteStartObject();
        json.WriteString("type", $"urn:relaygate:problem:{Slug}");
        json.WriteString("title", Title);
        json.WriteNumber("status", Status);
        json.WriteEndObject();
    }
}

/// <summary>Ends a request with a <see cref="Problem"/>; caught where the request is dispatched.</summary>
public sealed class ProblemException(Problem problem) : Exception(problem.Title)
{
    public Problem Problem { get; } = problem;
}
