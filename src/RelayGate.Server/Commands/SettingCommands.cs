using System.CommandLine;
using System.Text.Json.Nodes;
using RelayGate.Server.Cli;

namespace RelayGate.Server.Commands;

/// <summary><c>relaygate setting …</c>: values of the file that may be changed while the gateway runs.</summary>
internal static class SettingCommands
{
    private static readonly Argument<string> Name = new("NAME") { Description = "As in the file, for instance Egress:Mode." };
    private static readonly Argument<string> Value = new("VALUE") { Description = "The value; it wins over the file until unset." };

    public static Command Create() => new Command("setting", "Settings that can be changed while the gateway runs.").With(
        new Command("list", "List all, with their origin.").Does(async (_, client, output, cancellationToken) =>
            output.List(await client.GetAsync("settings", cancellationToken), "none", ("SETTING", Cell.Of("name")), ("VALUE", Cell.Of("value")), ("ORIGIN", Cell.Of("origin")))),
        new Command("set", "Set one.").With(Name, Value).Does(async (parsed, client, output, cancellationToken) =>
        {
            var body = new JsonObject { ["value"] = parsed.GetRequiredValue(Value) };
            return output.Done(await client.PutAsync(PathTo(parsed), body, cancellationToken), $"{parsed.GetRequiredValue(Name)}: {parsed.GetRequiredValue(Value)}");
        }),
        new Command("unset", "Return one to its value in the file.").With(Name).Does(async (parsed, client, output, cancellationToken) =>
        {
            JsonNode answer = await client.DeleteAsync(PathTo(parsed), cancellationToken);
            return output.Done(answer, $"{Cell.Text(answer["name"])}: {Cell.Text(answer["value"])} ({Cell.Text(answer["origin"])})");
        }));

    private static string PathTo(ParseResult parsed) => $"settings/{Uri.EscapeDataString(parsed.GetRequiredValue(Name))}";
}
