using System.Text.Json;
using System.Text.Json.Nodes;

namespace RelayGate.Server.Demo;

/// <summary>Where and as whom <c>relaygate send</c> sends when nothing is said: left by the demo beside its control socket, readable by its user alone.</summary>
internal sealed record SendDefaults(string Server, string Login, string Password)
{
    private const string FileName = "send.json";

    public void Write(string folder)
    {
        string path = Path.Combine(folder, FileName);
        File.Delete(path);
        using var file = new FileStream(path, new FileStreamOptions
        {
            Mode = FileMode.CreateNew,
            Access = FileAccess.Write,
            UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite,
        });
        using var json = new Utf8JsonWriter(file);
        new JsonObject { ["server"] = Server, ["login"] = Login, ["password"] = Password }.WriteTo(json);
    }

    /// <summary>Null when there is none beside the control socket in use.</summary>
    public static SendDefaults? Beside(string? controlSocket)
    {
        string? folder = Path.GetDirectoryName(controlSocket ?? Environment.GetEnvironmentVariable("RELAYGATE_SOCKET"));
        if (string.IsNullOrEmpty(folder))
            return null;
        try
        {
            JsonNode? json = JsonNode.Parse(File.ReadAllText(Path.Combine(folder, FileName)));
            return (string?)json?["server"] is { } server && (string?)json["login"] is { } login && (string?)json["password"] is { } password
                ? new SendDefaults(server, login, password)
                : null;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or JsonException)
        {
            return null;
        }
    }
}
