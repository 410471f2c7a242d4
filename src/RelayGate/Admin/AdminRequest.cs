using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Http;
using RelayGate.Accounts;
using RelayGate.Queue;

namespace RelayGate.Admin;

/// <summary>One request of the API with what its handler needs; wrong input ends it with a <see cref="ProblemException"/>.</summary>
internal sealed class AdminRequest(HttpContext http, AdminCaller caller)
{
    public const int MaxPage = MessageLog.MaxPage;

    private const int DefaultPage = 100;

    private static readonly JsonDocumentOptions Strict = new() { MaxDepth = 8, AllowDuplicateProperties = false };

    /// <summary>Fields of bodies that say what is changed; no other is logged, so that a secret never is.</summary>
    private static readonly string[] Logged = ["level", "name", "address", "cidr", "domain", "selector", "subscription", "value", "uid", "script"];

    /// <summary>What is changed, for the log: <c> name=info@shop.test</c>; "" while no body was read.</summary>
    public string LoggedFields { get; private set; } = "";

    public AdminCaller Caller { get; } = caller;

    public CancellationToken Aborted => http.RequestAborted;

    /// <summary>A part of the path; a slash in it comes escaped.</summary>
    public string Route(string name) => ((string)http.Request.RouteValues[name]!).Replace("%2F", "/", StringComparison.OrdinalIgnoreCase);

    public string? Query(string name) => http.Request.Query[name] is [{ Length: > 0 } value, ..] ? value : null;

    /// <summary>Every value of a parameter that may be given several times.</summary>
    public IReadOnlyList<string> Queries(string name) => [.. http.Request.Query[name].Where(value => !string.IsNullOrEmpty(value)).Select(value => value!)];

    public int Limit => Query("limit") is not { } text ? DefaultPage
        : int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int limit) && limit is >= 1 and <= MaxPage ? limit
        : throw Bad($"limit is '{text}': a number from 1 to {MaxPage} is expected");

    /// <summary>For an answer that is not JSON.</summary>
    public HttpResponse Response => http.Response;

    public DateTimeOffset? Time(string name) => Query(name) is { } text ? Time(name, text) : null;

    public static DateTimeOffset Time(string name, string text) =>
        DateTimeOffset.TryParse(text, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out DateTimeOffset time) ? time
        : throw Bad($"{name} is '{text}': a time such as 2026-01-31T12:00:00Z is expected");

    /// <summary>The body: one JSON object with no other fields than these; a missing body is an empty object.</summary>
    public async Task<RequestBody> BodyAsync(params string[] known)
    {
        JsonNode? node;
        try
        {
            node = http.Request.ContentLength is null or 0 && http.Request.Headers.TransferEncoding.Count == 0
                ? new JsonObject()
                : await JsonNode.ParseAsync(http.Request.Body, documentOptions: Strict, cancellationToken: Aborted);
        }
        catch (JsonException)
        {
            throw Bad("the body is not valid JSON");
        }
        if (node is not JsonObject body)
            throw Bad("the body must be one JSON object");
        foreach ((string name, JsonNode? _) in body)
        {
            if (!known.Contains(name))
                throw Bad($"unknown field {name}; known here: {string.Join(", ", known)}");
        }
        LoggedFields = string.Concat(Logged.Where(body.ContainsKey).Select(field => $" {field}={AccountNames.Printable(body[field]?.ToString() ?? "")}"));
        return new RequestBody(body);
    }

    public static ProblemException Bad(string title) => new(Problem.BadRequest(title));
}

/// <summary>Typed reading of a request body.</summary>
internal sealed class RequestBody(JsonObject body)
{
    public bool Has(string name) => body.ContainsKey(name);

    /// <summary>Null when the field is missing or null.</summary>
    public string? Text(string name) => body[name] switch
    {
        null => null,
        JsonValue value when value.TryGetValue(out string? text) => text,
        _ => throw AdminRequest.Bad($"{name}: a text is expected"),
    };

    public string RequiredText(string name) => Text(name) is { Length: > 0 } text ? text : throw AdminRequest.Bad($"{name} is missing");

    public bool Flag(string name) => body[name] switch
    {
        null => false,
        JsonValue value when value.TryGetValue(out bool flag) => flag,
        _ => throw AdminRequest.Bad($"{name}: true or false is expected"),
    };

    public int? Number(string name) => body[name] switch
    {
        null => null,
        JsonValue value when value.TryGetValue(out int number) => number,
        _ => throw AdminRequest.Bad($"{name}: a whole number is expected"),
    };

    public IReadOnlyList<string> Texts(string name) => body[name] switch
    {
        null => [],
        JsonArray list => [.. list.Select(v => v is JsonValue value && value.TryGetValue(out string? text) ? text : throw AdminRequest.Bad($"{name}: a list of texts is expected"))],
        _ => throw AdminRequest.Bad($"{name}: a list of texts is expected"),
    };
}
