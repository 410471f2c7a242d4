using System.Text.Json;
using RelayGate.Core.Policy;

namespace RelayGate.Queue;

/// <summary>A <see cref="PeerProcess"/> in the JSON of a decision record.</summary>
internal static class ProcessRecord
{
    public static void Write(Utf8JsonWriter json, PeerProcess process)
    {
        json.WriteStartObject("process"u8);
        json.WriteNumber("uid"u8, process.Uid);
        Number(json, "gid", process.Gid);
        Number(json, "pid", process.Pid);
        Text(json, "command", process.Command);
        Text(json, "executable", process.Executable);
        Text(json, "workingDirectory", process.WorkingDirectory);
        Text(json, "controlGroup", process.ControlGroup);
        if (!process.Parents.IsEmpty)
        {
            json.WriteStartArray("parents"u8);
            foreach (ParentProcess parent in process.Parents)
            {
                json.WriteStartObject();
                json.WriteNumber("pid"u8, parent.Pid);
                json.WriteNumber("uid"u8, parent.Uid);
                Text(json, "command", parent.Command);
                Text(json, "executable", parent.Executable);
                json.WriteEndObject();
            }
            json.WriteEndArray();
        }
        json.WriteEndObject();
    }

    /// <param name="detail">The whole record; the process is one member.</param>
    public static PeerProcess? Read(JsonElement detail) => !detail.TryGetProperty("process", out JsonElement process) ? null
        : new PeerProcess(Number(process, "uid") ?? 0, Number(process, "gid"), Number(process, "pid"))
        {
            Command = Text(process, "command"),
            Executable = Text(process, "executable"),
            WorkingDirectory = Text(process, "workingDirectory"),
            ControlGroup = Text(process, "controlGroup"),
            Parents = process.TryGetProperty("parents", out JsonElement parents)
                ? [.. parents.EnumerateArray().Select(p => new ParentProcess(Number(p, "pid") ?? 0, Number(p, "uid") ?? 0, Text(p, "command"), Text(p, "executable")))]
                : [],
        };

    private static void Number(Utf8JsonWriter json, string name, int? value)
    {
        if (value is { } known)
            json.WriteNumber(name, known);
    }

    private static void Text(Utf8JsonWriter json, string name, string? value)
    {
        if (value is not null)
            json.WriteString(name, value);
    }

    private static int? Number(JsonElement element, string name) => element.TryGetProperty(name, out JsonElement value) ? value.GetInt32() : null;

    private static string? Text(JsonElement element, string name) => element.TryGetProperty(name, out JsonElement value) ? value.GetString() : null;
}
