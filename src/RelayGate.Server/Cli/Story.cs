using System.Text.Json.Nodes;
using RelayGate.Core.Policy;

namespace RelayGate.Server.Cli;

/// <summary>Prints a decision record as the ordered story of one mail transaction: what happened, what was decided, and why.</summary>
internal static class Story
{
    public static IEnumerable<string> Of(JsonNode record)
    {
        string at = Cell.Clock(record["at"]);
        bool isOurs = Text(record, "kind") is "dsn" or "notice";
        if (Text(record, "kind") == "dsn")
            yield return Line(at, "dsn", $"reports on {Text(record, "original")} to {Recipients(record)}");
        else if (isOurs)
            yield return Line(at, "notice", $"tells {Recipients(record)} of what happened; it counts for nobody");
        else if (Text(record, "kind") != "dry-run")
            yield return Line(at, "connect", Connect(record));
        if (record["process"] is { } process)
            yield return Line(at, "process", Process(process));
        if (record["script"] is { } script)
            yield return Line(at, "script", Script(script, record["claims"]));
        if (Identity(record) is { } identity)
            yield return Line(at, "identity", identity);
        if (!isOurs)
            yield return Line(at, "envelope", $"<{Text(record, "sender")}> to {Recipients(record)}");
        if (Content(record) is { Length: > 0 } content)
            yield return Line(at, "message", content);
        foreach (JsonNode? correction in List(record, "corrections"))
            yield return Line(at, "correct", $"{Text(correction, "what")} {(Text(correction, "original") is { Length: > 0 } original ? original : "none")} -> {Text(correction, "replacement")} ({Text(correction, "why")})");
        foreach (JsonNode? level in List(record, "levels"))
            yield return Line(at, "limit", Level(level!, Text(record, "verdict") == "hold"));
        if (List(record, "headerChanges") is { Count: > 0 } changes)
            yield return Line(at, "header", string.Join(", ", changes.Select(Cell.Text)));
        if (List(record, "signatures") is { Count: > 0 } signatures)
            yield return Line(at, "sign", $"DKIM {string.Join(", ", signatures.Select(Cell.Text))}");
        else if (record["unsigned"] is { } unsigned)
            yield return Line(at, "sign", $"none: {Unsigned(unsigned, record)}");
        if (record["egress"] is { } egress)
            yield return Line(at, "egress", Egress(egress));
        yield return Line(at, "answer", Answer(record));
        foreach (JsonNode? step in List(record, "attempts").Concat(List(record, "orders")).OrderBy(static s => (DateTimeOffset?)s?["at"]))
        {
            foreach (string line in step?["what"] is null ? Attempt(step!) : [Line(Cell.Clock(step["at"]), Text(step, "what")!, $"by {Text(step, "by")}")])
                yield return line;
        }
        if (Commands.QueueCommands.Held(record["hold"]) is { } held)
            yield return Line("", "held", held);
        foreach (JsonNode? waiting in List(record, "pending"))
            yield return Line("", "waiting", $"{Text(waiting, "recipient")}: {(Text(waiting, "held") is { } why ? $"held ({why})" : $"{PutOff(waiting)}next attempt {(Cell.Time(waiting?["nextAttempt"]) is { } next ? $"{next} UTC" : "when that ends")}")}");
        yield return Line(Cell.Clock(record["lastAt"]), "now", Text(record, "outcome") ?? "?");
    }

    private static string PutOff(JsonNode? waiting) =>
        Text(waiting, "waitsFor") is { } cause ? $"waits for {Cause(cause)} ({Text(waiting, "lastReply")}), " : "";

    /// <summary>What mail waits for, in words.</summary>
    public static string Cause(string waitsFor) => waitsFor.Split(' ') switch
    {
        ["ip", var address, var provider] => $"address {SystemChoice.NameOf(address)} at {provider}",
        ["ip", var address] => $"address {SystemChoice.NameOf(address)}",
        ["to", var domain] => $"domain {domain}, suspended by hand",
        ["connection", var host] => $"a free connection to {host}",
        ["egress", ..] => "an address to leave from",
        ["provider", var name] => $"provider {name}, suspended by hand",
        _ => waitsFor,
    };

    private static string Connect(JsonNode record)
    {
        string from = Text(record, "client") ?? (Text(record, "uid") is { } uid ? $"unix socket, uid {uid}{(Text(record, "pid") is { } pid ? $", pid {pid}" : "")}" : "unix socket");
        string tls = Text(record, "tls") is { } version ? $", {version}" : "";
        string helo = Text(record, "helo") is { Length: > 0 } name ? $", EHLO {name}" : "";
        return $"{from}, listener {Text(record, "listener")}, {Text(record, "protocol")}{tls}{helo}";
    }

    /// <summary>What the kernel told of the process that connected; "unknown" where nothing was proved.</summary>
    public static string Process(JsonNode process)
    {
        string program = Text(process, "executable") ?? Text(process, "command") ?? "unknown";
        string folder = Text(process, "workingDirectory") is { } directory ? $" in {directory}" : "";
        string group = Text(process, "controlGroup") is { } name ? $", control group {name}" : "";
        string parents = string.Concat(List(process, "parents").Select(p =>
            $", called by {Text(p!, "executable") ?? Text(p!, "command")} (pid {Text(p!, "pid")}, uid {Text(p!, "uid")})"));
        return $"{program}{folder}{parents}{group}";
    }

    private static string Script(JsonNode script, JsonNode? claims)
    {
        string original = Text(script, "original") is { } header ? $", X-PHP-Originating-Script: {header}" : "";
        return $"{Text(script, "name")} ({((bool?)script["isProved"] == true ? "proved" : "claimed")}){original}{(Claims(claims) is { Length: > 0 } said ? $"; the client says: {said}" : "")}";
    }

    /// <summary>What the client said of itself, in one line.</summary>
    public static string Claims(JsonNode? claims) =>
        string.Join(", ", (claims as JsonObject ?? []).Where(c => c.Value is not null && c.Key != "phpScript").Select(c => $"{c.Key} {c.Value}"));

    private static string? Identity(JsonNode record)
    {
        string identity = Text(record, "identity") is { Length: > 0 } known ? known : "none proved";
        string credential = Text(record, "credential") is { } ? " (application password)" : "";
        string claimed = (bool?)record["claimed"] == true ? " (claimed by the sender's domain)" : "";
        string subscription = Text(record, "subscription") is { Length: > 0 } name ? $" -> subscription {name}{(Text(record, "plan") is { } plan ? $", plan {plan}" : "")}" : "";
        return Text(record, "kind") is "dsn" or "notice" ? null : identity + credential + subscription + claimed;
    }

    private static string Content(JsonNode record)
    {
        List<string> parts = [];
        if (record["octets"] is { } octets && (long)octets > 0)
            parts.Add($"{octets} octets");
        foreach ((string name, string label) in new[] { ("from", "From"), ("subject", "Subject"), ("messageId", "Message-ID"), ("phpScript", "PHP script") })
        {
            if (Text(record, name) is { Length: > 0 } value)
                parts.Add($"{label} {value}");
        }
        if (Text(record, "class") is { } of)
            parts.Add($"class {of}{((bool?)record["exempt"] == true ? ", exempt from limits" : "")}");
        return string.Join(", ", parts);
    }

    private static string Level(JsonNode level, bool held)
    {
        string name = Text(level, "name") is { Length: > 0 } given ? $" {given}" : "";
        string limit = Text(level, "limit") ?? "unlimited";
        bool stopped = (bool?)level["stopped"] == true;
        string only = Text(level, "class") is { } of ? $" class {of}" : "";
        return $"{Text(level, "level")}{name}{only} {Text(level, "used")} of {limit}{(stopped ? held ? "  HOLD" : "  STOP" : " ok")}  (set by: {Text(level, "origin")})";
    }

    private static string Unsigned(JsonNode unsigned, JsonNode record)
    {
        string? domain = Text(unsigned, "domain");
        return Text(unsigned, "why") switch
        {
            "domain-not-owned" => $"{domain} is not a domain of {Text(record, "subscription")}",
            "domain-without-key" => $"{domain} has no key; relaygate dkim create {domain}",
            _ => "the From field names no domain",
        };
    }

    private static string Egress(JsonNode egress)
    {
        string addresses = string.Join(", ", new[] { Text(egress, "ipv4"), Text(egress, "ipv6") }.Where(a => a is not null));
        if (addresses.Length == 0 && egress["system"] is null)
            return $"none: its mail waits until there is one ({Text(egress, "why")})";
        return $"{(addresses.Length == 0 ? "the system's choice" : addresses)} as {Text(egress, "helo")} ({Text(egress, "why")}{(Text(egress, "ipv6OffBy") is { } by ? $"; IPv6 is off by the {by}" : "")})";
    }

    private static string Answer(JsonNode record)
    {
        string stage = Text(record, "stage") is { } at ? $" at {at}" : "";
        string reason = Text(record, "reason") is { } slug && slug != "accepted" ? $"  reason {slug}" : "";
        string repeats = (long?)record["repeats"] is > 1 and var times ? $"  ({times} times until {Cell.Time(record["lastAt"])})" : "";
        string next = Cell.Time(record["nextPossible"]) is { } possible ? $"  {(Text(record, "verdict") == "hold" ? "released about" : "next possible")} {possible} UTC" : "";
        return $"{Text(record, "reply")}{stage}{reason}{next}{repeats}";
    }

    private static IEnumerable<string> Attempt(JsonNode attempt)
    {
        string at = Cell.Clock(attempt["at"]);
        string via = Text(attempt, "nextHop") is { Length: > 0 } hop ? $", next hop {hop}{(Text(attempt, "remote") is { Length: > 0 } remote ? $" ({remote})" : "")}" : "";
        string local = Text(attempt, "local") is { Length: > 0 } from ? $", from {from}" : "";
        string tls = Text(attempt, "tls") is { Length: > 0 } version ? $", {version}" : "";
        if (Text(attempt, "tlsPolicy") is { Length: > 0 } policy && policy is not ("may ok" or "none ok"))
            tls += $", TLS policy {policy}";
        bool isPutOff = Text(attempt, "stage") == "put-off";
        yield return isPutOff ? Line(at, "put off", $"nothing was tried: waited for {Cause(Text(attempt, "waitsFor") ?? "")}") : Line(at, "attempt", $"ended at {Text(attempt, "stage")}{via}{local}{tls} in {Text(attempt, "seconds")} s");
        foreach (JsonNode? passed in List(attempt, "refusals"))
        {
            string host = Text(passed, "remote") is { Length: > 0 } address ? $"{Text(passed, "nextHop")} ({address})" : Text(passed, "nextHop") ?? "";
            string left = Text(passed, "local") is { Length: > 0 } source ? $", from {source}" : "";
            int more = (int?)passed?["recipients"] - 1 ?? 0;
            yield return Line("", "passed", $"{host}{left} at {Text(passed, "stage")}: {Text(passed, "reply")} (to {Text(passed, "recipient")}{(more > 0 ? $" and {more} more" : "")})");
            if (Refusal(passed, attempt) is { } why)
                yield return Line("", "because", why);
        }
        foreach (JsonNode? result in List(attempt, "results"))
        {
            string next = Cell.Time(result?["nextAttempt"]) is { } again ? $", again {again} UTC" : "";
            string by = Text(result, "nextHop") is { } other ? $" (by {other})" : "";
            yield return Line("", Text(result, "result") ?? "?", $"{Text(result, "recipient")}{by}: {(isPutOff ? $"{Text(result, "status")} " : "")}{Text(result, "reply")}{(isPutOff ? next.Replace(", again ", ", until ", StringComparison.Ordinal) : next)}");
            if (Refusal(result, attempt) is { } refusal)
                yield return Line("", "because", refusal);
        }
        if (Text(attempt, "report") is { } report)
            yield return Line("", "report", Report(report));
    }

    /// <summary>What a next hop's refusal is about: <c>ip-blocked by microsoft-consumer (S3140), list …, see … [rule …]</c>; null for anything else.</summary>
    public static string? Refusal(JsonNode? result, JsonNode? attempt)
    {
        if (Text(result, "class") is not { } about)
            return null;
        string by = (Text(result, "provider") ?? Text(attempt, "provider")) is { Length: > 0 } provider ? $" by {provider}" : "";
        string code = Text(result, "code") is { } known ? $" ({known})" : "";
        string list = Text(result, "list") is { } named ? $", list {named}" : "";
        string see = Text(result, "url") is { } url ? $", see {url}" : "";
        return $"{about}{by}{code}{list}{see}{(Text(result, "rule") is { } rule ? $" [rule {rule}]" : "")}";
    }

    private static string Report(string report) => report switch
    {
        "per-sender" => "the sender was not told: this address had as many reports within an hour as Dsn:PerSender allows",
        "backscatter" => "the sender was not told: its address is not hosted here, and the subscription had as many such reports within an hour as Dsn:Backscatter allows",
        _ => $"the sender was told by {report}",
    };

    private static string Recipients(JsonNode record)
    {
        JsonArray listed = List(record, "recipients");
        long count = (long?)record["recipientCount"] ?? listed.Count;
        string shown = string.Join(", ", listed.Take(5).Select(r => $"<{Cell.Text(r)}>"));
        return count == 0 ? "no recipient yet" : count > Math.Min(5, listed.Count) ? $"{shown} and {count - Math.Min(5, listed.Count)} more" : shown;
    }

    private static string Line(string at, string what, string text) => Output.Clean($"{at,8}  {what,-9} {text}");

    private static JsonArray List(JsonNode node, string name) => node[name] as JsonArray ?? [];

    private static string? Text(JsonNode? node, string name) => Cell.Text(node?[name]);
}
