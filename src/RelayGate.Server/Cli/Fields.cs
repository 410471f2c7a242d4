using System.Text.Json.Nodes;

namespace RelayGate.Server.Cli;

/// <summary>Fills a request body from options: what was not given is left out, and a word stands for null.</summary>
internal static class Fields
{
    public static void Set(JsonObject body, string name, string? value)
    {
        if (value is not null)
            body[name] = value;
    }

    public static void SetOrNone(JsonObject body, string name, string? value) => SetOr(body, name, value, "none");

    /// <param name="wordForNull">Takes the value away.</param>
    public static void SetOr(JsonObject body, string name, string? value, string wordForNull)
    {
        if (value is not null)
            body[name] = value == wordForNull ? null : value;
    }

    public static void SetList(JsonObject body, string name, string[]? values)
    {
        if (values is { Length: > 0 })
            body[name] = new JsonArray([.. values.Select(v => (JsonNode)v)]);
    }
}
