using System.Text.Json;
using RelayGate.Core.Policy;

namespace RelayGate.Queue;

/// <summary>What made a local message, and what its client said of itself, in the JSON of a decision record.</summary>
internal static class ScriptRecord
{
    public static void Write(Utf8JsonWriter json, SendingScript? script)
    {
        if (script is null)
            return;
        json.WriteStartObject("script"u8);
        json.WriteString("name"u8, script.Key.Script);
        json.WriteBoolean("proved"u8, script.IsProved);
        Text(json, "path", script.Path);
        Text(json, "original", script.Original);
        json.WriteEndObject();
    }

    public static void Write(Utf8JsonWriter json, SenderClaims? claims)
    {
        if (claims is null)
            return;
        json.WriteStartObject("claims"u8);
        Text(json, "script", claims.Script);
        Text(json, "directory", claims.Directory);
        Text(json, "phpScript", claims.PhpScript);
        Text(json, "pool", claims.Pool);
        Text(json, "site", claims.Site);
        Text(json, "visitor", claims.Visitor);
        json.WriteEndObject();
    }

    /// <param name="detail">The whole record.</param>
    public static RecordedScript? Read(JsonElement detail) => !detail.TryGetProperty("script", out JsonElement script) ? null
        : new RecordedScript(Text(script, "name") ?? ScriptKey.Unknown, script.GetProperty("proved").GetBoolean(), Text(script, "path"), Text(script, "original"));

    public static SenderClaims? ReadClaims(JsonElement detail) => !detail.TryGetProperty("claims", out JsonElement claims) ? null
        : new SenderClaims(
            Text(claims, "script"), Text(claims, "directory"), Text(claims, "phpScript"), Text(claims, "pool"), Text(claims, "site"), Text(claims, "visitor"));

    private static void Text(Utf8JsonWriter json, string name, string? value)
    {
        if (value is not null)
            json.WriteString(name, value);
    }

    private static string? Text(JsonElement element, string name) => element.TryGetProperty(name, out JsonElement value) ? value.GetString() : null;
}
