using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;
using RelayGate.Server.Cli;

namespace RelayGate.Server.Commands;

/// <summary><c>relaygate status</c>.</summary>
internal static class StatusCommand
{
    public static Command Create() => new Command("status", "Say how the gateway is.").Does(async (_, client, output, cancellationToken) =>
    {
        JsonNode s = await client.GetAsync("status", cancellationToken);
        return output.Show(s, () =>
        {
            Output.Fields(
                ("RelayGate", $"{Cell.Text(s["version"])} on {Cell.Text(s["hostname"])}, {Cell.Text(s["phase"])}, process {Cell.Text(s["pid"])}, up {Cell.Text(s["uptime"])}"),
                ("sessions", $"{Cell.Text(s["sessions"])} open, {Cell.Text(s["sessionsTotal"])} since start"),
                ("offered", $"{Cell.Text(s["accepted"])} accepted, {Cell.Text(s["held"])} held, {Cell.Text(s["refused"])} refused since start"),
                ("attempts", $"{Cell.Text(s["delivered"])} delivered, {Cell.Text(s["deferred"])} deferred, {Cell.Text(s["failed"])} failed since start"),
                ("queue", string.Join(", ", (s["queue"] as JsonObject ?? []).Select(q => $"{q.Value} {q.Key}"))),
                ("connections", Connections(s["connections"]!)),
                ("memory", Memory(s["memory"]!)),
                ("suspended", string.Join(", ", (s["suspendedDestinations"] as JsonArray ?? []).Select(d => $"{Cell.Text(d!["kind"])} {Cell.Text(d["destination"])}")) is { Length: > 0 } stopped ? $"nothing is delivered to {stopped}: relaygate queue suspended" : null),
                ("addresses", string.Join(", ", (s["addresses"] as JsonObject ?? []).Where(static a => (long?)a.Value > 0).Select(static a => $"{a.Value} {a.Key}")) is { Length: > 0 } kept ? $"{kept}: relaygate ip list" : null),
                ("limits", Limits(s["limits"]!)),
                ("period", Period(s["period"]!)),
                ("over limit", $"{Cell.Text(s["period"]!["objectsOverNow"])} objects now (not sending), {Cell.Text(s["period"]!["objectsOver"])} in the period; who: relaygate report run"),
                ("store", Cell.Text(s["store"])));
            foreach (JsonNode? listener in s["listeners"] as JsonArray ?? [])
                Console.WriteLine(Output.Clean($"listens   {Cell.Text(listener)}"));
        });
    });

    private static string Connections(JsonNode c)
    {
        static string Most(JsonNode? use, string preposition) => use is null ? "" : $"; most {preposition} {Cell.Text(use["name"])}: {use["open"]} of {use["limit"]}";
        return $"{c["open"]} of {c["limit"]} to next hops, {c["idle"]} idle, {c["waiting"]} deliveries wait for one{Most(c["address"], "from")}{Most(c["nextHop"], "to")}";
    }

    private static string Memory(JsonNode m) => $"{Mebi(m["used"])} of {Mebi(m["limit"])} MiB for queued messages";

    private static string Mebi(JsonNode? octets) => ((double)octets! / (1024 * 1024)).ToString("0.#", CultureInfo.InvariantCulture);

    private static string Period(JsonNode p) =>
        $"one {p["period"]}: {p["messages"]} messages to {p["recipients"]} recipients, {p["refused"]} refused, {p["held"]} held, {p["bounced"]} bounced";

    private static string Limits(JsonNode limits)
    {
        string exempt = (long?)limits["exempt"] is > 0 and var some ? $"; WARNING: no limit held for {some} of them" : "";
        return $"{((bool?)limits["limitsOn"] == false ? $"WARNING: {LimitScreen.Off}; " : (bool?)limits["enforced"] == true ? "" : "not enforced at the server (limit set server --enforce on), ")}{limits["messages"]} messages and {limits["refused"]} refusals in the last 24 h{exempt}";
    }
}
