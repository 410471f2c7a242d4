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

    /// <summary>"none" takes the value away.</summary>
    public static void SetOrNone(JsonObject body, string name, string? value)
    {
        if (value is not null)
            body[name] = value == "none" ? null : value;
    }

    public static void SetList(JsonObject body, string name, string[]? values)
    {
        if (values is { Length: > 0 })
            body[name] = new JsonArray([.. values.Select(v => (JsonNode)v)]);
    }
}
