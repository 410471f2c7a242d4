using System.CommandLine;
using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using RelayGate.Core.Messages;
using RelayGate.Server.Cli;

namespace RelayGate.Server.Commands;

/// <summary><c>relaygate queue show REF</c>: its envelope and how each recipient stands, or its content.</summary>
internal static class QueueShowCommand
{
    private static readonly Argument<string> Ref = new("REF") { Description = "The ref of a queued message." };
    private static readonly Option<bool> Headers = new("--headers") { Description = "Print the header section." };
    private static readonly Option<bool> Body = new("--body") { Description = "Print the body." };
    private static readonly Option<bool> Raw = new("--raw") { Description = "Print the whole message; in a pipe, octet by octet as it leaves." };
    private static readonly Option<int?> MaxOctets = new("--max-octets") { Description = "Print at most this much (default 1048576).", HelpName = "N" };

    public static Command Create() => new Command("show", "Show a queued message with its recipients, or its content.").With(Ref, Headers, Body, Raw, MaxOctets)
        .Does(async (parsed, client, output, cancellationToken) =>
        {
            string path = $"queue/{Uri.EscapeDataString(parsed.GetRequiredValue(Ref))}";
            string[] parts = [.. new[] { (Headers, "headers"), (Body, "body"), (Raw, "raw") }.Where(p => parsed.GetValue(p.Item1)).Select(p => p.Item2)];
            if (parts.Length > 1)
                throw new CliException(ExitCode.Usage, "name one of --headers, --body and --raw");
            if (parts.Length == 0)
                return Show(await client.GetAsync(path, cancellationToken), output);
            string query = Paging.Build(("part", parts[0]), ("max", parsed.GetValue(MaxOctets)?.ToString(CultureInfo.InvariantCulture)));
            (byte[] octets, long of) = await client.OctetsAsync($"{path}/content{query}", cancellationToken);
            if (output.IsJson)
            {
                return output.Show(
                    new JsonObject { ["ref"] = parsed.GetRequiredValue(Ref), ["part"] = parts[0], ["text"] = Encoding.UTF8.GetString(octets), ["octets"] = of, ["isCut"] = octets.Length < of },
                    static () => { });
            }
            if (Output.IsTerminal)
            {
                Console.Write(ForTerminal(octets));
            }
            else
            {
                await using Stream standard = Console.OpenStandardOutput();
                await standard.WriteAsync(octets, cancellationToken);
            }
            if (octets.Length < of)
                await Console.Error.WriteLineAsync($"relaygate: {octets.Length} of {of} octets; more: --max-octets {of}");
            return ExitCode.Ok;
        });

    /// <summary>Text whose line ends are kept, and whatever could steer a terminal written as it is numbered.</summary>
    internal static string ForTerminal(ReadOnlySpan<byte> octets)
    {
        string text = Encoding.UTF8.GetString(octets);
        var shown = new StringBuilder(text.Length + 2);
        for (int i = 0; i < text.Length; i++)
        {
            char c = text[i];
            if (c == '\r' && i + 1 < text.Length && text[i + 1] == '\n')
                continue;
            if (c is not ('\n' or '\t') && PrintableText.IsUnsafe(c))
                shown.Append(CultureInfo.InvariantCulture, $"\\u{(int)c:x4}");
            else
                shown.Append(c);
        }
        if (shown.Length > 0 && shown[^1] != '\n')
            shown.Append('\n');
        return shown.ToString();
    }

    private static int Show(JsonNode m, Output output) => output.Show(m, () =>
    {
        Output.Fields(
            ("ref", Cell.Text(m["ref"])), ("arrived", Cell.Time(m["at"])), ("state", Cell.Text(m["state"])), ("subscription", Cell.Text(m["subscription"])),
            ("from", $"<{Cell.Text(m["sender"])}>"), ("octets", Cell.Text(m["octets"])), ("held", QueueCommands.Held(m["hold"])), ("egress", Cell.Text(m["egress"])),
            ("put back", Cell.Time(m["requeuedAt"])), ("kept until", Cell.Time(m["keptUntil"])));
        foreach (JsonNode? r in m["recipients"] as JsonArray ?? [])
        {
            string cause = Cell.Text(r!["waitsFor"]) is { } waitsFor ? $"waits for {Story.Cause(waitsFor)}, " : "";
            string next = Cell.Time(r["nextAttempt"]) is { } at ? $"next {at}  " : cause.Length > 0 && Cell.Text(m["held"]) is null ? "next when that ends  " : "";
            Console.WriteLine(Output.Clean($"  <{Cell.Text(r["recipient"])}> {Cell.Text(r["state"])}, {Cell.Text(r["attempts"])} attempts, {cause}{next}{Cell.Text(r["lastReply"])}"));
        }
    });
}
