using System.Globalization;
using System.Text.Json.Nodes;
using RelayGate.Core.Policy;

namespace RelayGate.Server.Cli;

/// <summary>Reads cells of tables from JSON.</summary>
internal static class Cell
{
    public static Func<JsonNode, string?> Of(string name) => item => Text(item[name]);

    /// <summary>A local address; what stands for the system's choice with what it is.</summary>
    public static string? Address(JsonNode item) => Text(item["address"]) is { } address ? SystemChoice.NameOf(address) : null;

    /// <summary>What mail waits for, as the API tells it, with the names of addresses.</summary>
    public static string? WaitsFor(JsonNode? cause) => Text(cause) is { } text ? string.Join(' ', text.Split(' ').Select(SystemChoice.NameOf)) : null;

    /// <summary>A word where the value is true, else nothing.</summary>
    public static Func<JsonNode, string?> Flag(string name, string word) => item => (bool?)item[name] == true ? word : "";

    public static string? Text(JsonNode? value) => value switch
    {
        null => null,
        JsonArray list => string.Join(", ", list.Select(Text)),
        _ => value.ToString(),
    };

    /// <summary>A time of the API in this host's zone, to the second.</summary>
    public static Func<JsonNode, string?> Time(string name) => item => Time(item[name]);

    public static string? Time(JsonNode? value) =>
        value is not null && DateTimeOffset.TryParse(value.ToString(), CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out DateTimeOffset at)
            ? at.UtcDateTime.ToString("yyyy-MM-dd HH:mm:ss", CultureInfo.InvariantCulture)
            : null;

    /// <summary>Only the time of day, for lines of one story.</summary>
    public static string Clock(JsonNode? value) => Time(value) is { } time ? time[11..] : "        ";
}
