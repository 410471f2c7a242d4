using System.Text.Json.Nodes;

namespace RelayGate.Server.Cli;

/// <summary>Shows limits: those of one object with all that bears on them, or a tree.</summary>
internal static class LimitScreen
{
    private const int BarWidth = 10;

    /// <summary>Columns of a tree: with bars on a terminal, in percent in a pipe.</summary>
    public static (string, Func<JsonNode, string?>)[] Tree =>
    [
        ("OBJECT", i => new string(' ', 2 * ((int?)i["depth"] ?? 0)) + Cell.Text(i["object"])),
        ("LIMIT", Limit), ("USED", Cell.Of("used")), ("SHARE", Output.IsTerminal ? Bar : Percent), ("REFUSED", Cell.Of("refused")), ("HELD", i => Some(i["held"])),
        ("ORIGIN", Cell.Of("origin")),
    ];

    /// <summary>One object, as <c>limit show</c> answers.</summary>
    public static void Print(JsonNode answer)
    {
        WarnWhenOff(answer);
        Output.Table(
            ["OBJECT", "LIMIT", "USED", "SHARE", "OVER", "ORIGIN", "ROOM FOR ONE MORE (UTC)"],
            answer["items"]!.AsArray().Select(static i => new[]
            {
                Cell.Text(i!["object"]) ?? "", Limit(i) ?? "", Cell.Text(i["used"]) ?? "", (Output.IsTerminal ? Bar(i) : Percent(i)) ?? "", Cell.Text(i["over"]) ?? "",
                Cell.Text(i["origin"]) ?? "", Cell.Time(i["nextPossible"]) ?? "",
            }));
        Console.WriteLine();
        if ((bool?)answer["enforced"] is not { } enforced || answer["maxRecipientsOrigin"]?.ToString() is not { Length: > 0 } recipientsOrigin)
            return; // Of one class alone.
        string stopped = Cell.Text(answer["stoppedBy"]) is { } by ? $" ({by})" : "";
        Output.Fields(
            ("next message", answer["nextPossible"] is { } next ? $"{Cell.Time(next)} UTC{stopped}" : stopped.Length > 0 ? $"not possible{stopped}" : "possible now"),
            ("enforced", enforced ? "yes" : $"no: counted, never refused or held ({Cell.Text(answer["enforcedOrigin"])})"),
            ("boost", answer["boost"] is { } boost ? $"+{boost["amount"]} until {Cell.Time(boost["until"])} UTC" : null),
            ("messages", $"{answer["messages"]} in the last 24 h"),
            ("refused", $"{answer["refused"]} in the last 24 h, {answer["refusedThisHour"]} since this hour began"),
            ("held", Some(answer["held"]) is { Length: > 0 } held ? $"{held} wait for room here" : null),
            ("max recipients", $"{answer["maxRecipients"]} of one message ({recipientsOrigin})"),
            ("warning", (int?)answer["warnAt"] is > 0 and var percent ? $"at {percent} % ({answer["warnAtOrigin"]})" : $"never ({answer["warnAtOrigin"]})"),
            ("exempt", (long?)answer["exempt"] is > 0 and var exempt ? $"WARNING: no limit held for {exempt} of the messages of the last 24 h; see: relaygate network list, relaygate setting list" : null));
    }

    /// <summary>Says above everything else that nothing of what is shown stops mail.</summary>
    public static void WarnWhenOff(JsonNode answer)
    {
        if ((bool?)answer["limitsOn"] == false)
            Console.WriteLine($"WARNING: {Off}");
    }

    /// <summary>The master switch is off.</summary>
    public const string Off = "limits are off: mail is counted, and nothing is refused or held. Switch them on: relaygate setting set Limits:Enforce true";

    private static string? Limit(JsonNode row)
    {
        string boost = row["boost"] is { } more ? $" (boost +{more})" : "";
        string off = (bool?)row["enforced"] == false ? " not enforced" : "";
        string recipients = row["maxRecipients"] is { } most ? $" max-recipients {most}" : "";
        string warn = row["each"] is not null && row["warnAt"] is { } percent ? $" warn-at {percent}" : "";
        return $"{Cell.Text(row["limit"])}{boost}{off}{recipients}{warn}".Trim();
    }

    private static string? Percent(JsonNode row) => row["percent"] is { } percent ? $"{percent}%" : "";

    private static string? Bar(JsonNode row)
    {
        if ((int?)row["percent"] is not { } percent)
            return "";
        int filled = Math.Clamp((percent * BarWidth + 99) / 100, 0, BarWidth);
        return $"{new string('█', filled)}{new string('░', BarWidth - filled)} {percent}%";
    }

    private static string Some(JsonNode? count) => (long?)count is > 0 and var some ? some.ToString()! : "";
}
