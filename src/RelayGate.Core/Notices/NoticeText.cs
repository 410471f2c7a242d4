using System.Globalization;
using System.Text;
using RelayGate.Core.Messages;

namespace RelayGate.Core.Notices;

/// <summary>Says a notice in words: one line, what is known of it, and the commands that show more and that stop it.</summary>
public static class NoticeText
{
    private const int MaxName = 200;

    /// <summary>One line for a subject, which begins with the word of its kind: <c>exceeded: domain shop.test, 200 of 200/h</c>.</summary>
    public static string Headline(Notice notice)
    {
        string what = notice.Kind switch
        {
            NoticeKind.Warning or NoticeKind.Exceeded or NoticeKind.Recovered => $"{Object(notice)}, {Use(notice)}",
            NoticeKind.ScriptBurst => $"{Object(notice)}, {Count(notice.Used, "message")}",
            NoticeKind.PasswordGuessing => $"{Object(notice)}, {Count(notice.Used, "wrong password")}",
            NoticeKind.EgressMissing => $"{Object(notice)} is not on this host",
            NoticeKind.EgressBack => $"{Object(notice)} is on this host again",
            NoticeKind.IpBlocked => $"{Object(notice)} is refused",
            NoticeKind.IpRecovered => $"{Object(notice)} is refused no more",
            NoticeKind.LoginRefused => $"{Object(notice)} {(notice.Sources.IsEmpty ? "wants a login" : "refuses our login")}",
            NoticeKind.Test => "notices reach you",
            _ => notice.By is { } by ? $"{Object(notice)} by {by}" : Object(notice),
        };
        return $"{NoticeKinds.Word(notice.Kind)}: {what}";
    }

    /// <summary>What happened, in one sentence.</summary>
    public static string Sentence(Notice notice) => notice.Kind switch
    {
        NoticeKind.Warning => $"{Capital(notice)} has used {Use(notice)}. Nothing is refused yet.",
        NoticeKind.Exceeded => $"{Capital(notice)} has reached its limit: {Use(notice)}. What it sends beyond that is refused or held, as the limit says.",
        NoticeKind.Recovered => $"{Capital(notice)} has room again: {Use(notice)}.",
        NoticeKind.ScriptBurst => $"{Capital(notice)} sends much more than usual: {Count(notice.Used, "message")}.",
        NoticeKind.PasswordGuessing => $"Somebody guesses passwords: {Count(notice.Used, "wrong password")} {(notice.Level == "client" ? "from" : "for")} {Object(notice)}. {(notice.Level == "client" ? "More from there are refused for a time" : "More are answered later and later")}.",
        NoticeKind.Suspended => $"{Capital(notice)} was suspended: new mail is refused, queued mail is held.",
        NoticeKind.EgressMissing => $"{Capital(notice)} is not on this host. Its mail waits, unless the next hop can be reached from the other address of the same pair; no other mail waits. It goes on by itself when the address is back.",
        NoticeKind.EgressBack => $"{Capital(notice)} is on this host again. The mail that waited for it goes on.",
        NoticeKind.IpBlocked => $"{Capital(notice)} is refused: what is said is about the address, not about a recipient. Its mail there waits, unless the next hop can be reached from the other address of the same pair, and never leaves from another subscription's; nothing fails because of it, and all other mail goes on. One message is tried when the pause ends.",
        NoticeKind.IpRecovered => $"{Capital(notice)} is refused no more. The mail that waited for it goes on.",
        NoticeKind.LoginRefused => $"{Capital(notice)} {(notice.Sources.IsEmpty ? "wants a login, and its route has none" : "refuses the login of its route")}. The mail that goes there waits and is tried again; nothing fails because of it.",
        NoticeKind.Resumed => $"{Capital(notice)} was resumed and may send again.",
        _ => "This is a test. If you read it, notices of this gateway reach you.",
    };

    /// <summary>What is known of it, name and value.</summary>
    public static IEnumerable<(string Name, string Value)> Facts(KeptNotice kept)
    {
        Notice notice = kept.Notice;
        yield return ("When", kept.Repeats > 1 ? $"{Time(kept.At)}; {kept.Repeats} times until {Time(kept.LastAt)}" : Time(kept.At));
        if (notice.Kind != NoticeKind.Test)
            yield return ("Object", Object(notice));
        if (notice.Subscription is { Length: > 0 } subscription && notice.Level != "subscription")
            yield return ("Subscription", Clean(subscription));
        if (notice.Limit is not null)
            yield return ("Used", Use(notice));
        if (notice.Refused is { } refused)
            yield return ("Refused", Count(refused, "attempt"));
        foreach (NoticeSource source in notice.Sources)
            yield return ("Source", $"{source.What} {Clean(source.Name)}{(source.Messages is { } messages ? $": {Count(messages, "message")}" : "")}");
        if (notice.NextPossible is { } next)
            yield return ("Next possible", Time(next));
        if (notice.By is { } by)
            yield return ("By", Clean(by));
        if (notice.Remark is { } remark)
            yield return ("Note", Clean(remark));
        if (notice.Ref is { } reference)
            yield return ("Sample", $"relaygate message explain {reference}");
    }

    /// <summary>The one command that shows more, or null.</summary>
    public static string? More(Notice notice) => notice.Kind switch
    {
        NoticeKind.Test => null,
        NoticeKind.EgressMissing or NoticeKind.EgressBack => $"relaygate ip show {Words(notice)}",
        NoticeKind.IpBlocked or NoticeKind.IpRecovered => $"relaygate ip show {notice.Name.Split(' ')[0]}",
        NoticeKind.LoginRefused => "relaygate route list",
        NoticeKind.ScriptBurst => $"relaygate script show {Words(notice)}",
        NoticeKind.PasswordGuessing => notice.Level is "mailbox" or "sender" ? $"relaygate {notice.Level} show {Words(notice)}" : "journalctl -u relaygate --grep guessing",
        NoticeKind.Suspended or NoticeKind.Resumed when notice.Level == "uid" => "relaygate uid list",
        NoticeKind.Suspended or NoticeKind.Resumed => Target(notice) is { } target ? $"relaygate {target.Noun} show {target.Name}" : null,
        _ => $"relaygate limit show {notice.Level}{(notice.Name.Length > 0 ? $" {Words(notice)}" : "")}",
    };

    /// <summary>The one command that shows more to the users of a subscription, who see only what is its own.</summary>
    public static string MoreForOwner(KeptNotice kept) =>
        kept.Notice.Level is "subscription" or "domain" or "mailbox" && kept.Notice.Kind is NoticeKind.PasswordGuessing or NoticeKind.Suspended or NoticeKind.Resumed
            ? $"relaygate notice show {kept.Id}"
            : More(kept.Notice) ?? $"relaygate notice show {kept.Id}";

    /// <summary>The one command that stops it, or null.</summary>
    public static string? Stop(Notice notice) => notice.Kind switch
    {
        NoticeKind.Warning or NoticeKind.Exceeded when notice.Level == "server" => "relaygate limit set server forbidden",
        NoticeKind.Warning or NoticeKind.Exceeded when Target(notice) is { } target => $"relaygate {target.Noun} suspend {target.Name}",
        NoticeKind.ScriptBurst => $"relaygate script block {Words(notice)}",
        NoticeKind.PasswordGuessing when notice.Level is "mailbox" or "sender" => $"relaygate {notice.Level} suspend {Words(notice)}",
        NoticeKind.Suspended when Target(notice) is { } target => $"relaygate {target.Noun} resume {target.Name}",
        _ => null,
    };

    /// <summary>For instance <c>domain shop.test</c>; <c>the server</c>.</summary>
    public static string Object(Notice notice) => notice.Level switch
    {
        "server" => "the server",
        "login" when notice.Name.Length == 0 => "logins that do not exist",
        "client" when notice.Name.Length == 0 => "many more addresses",
        _ => $"{notice.Level} {Clean(notice.Name)}",
    } + (notice.Class is { } ofClass ? $" (class {ofClass})" : "");

    /// <summary>As records show times: UTC, to the second.</summary>
    public static string Time(DateTimeOffset at) => at.UtcDateTime.ToString("yyyy-MM-dd HH:mm:ss 'UTC'", CultureInfo.InvariantCulture);

    private static (string Noun, string Name)? Target(Notice notice) => notice.Level switch
    {
        "plan" or "subscription" or "domain" or "mailbox" or "sender" or "uid" => (notice.Level, Words(notice)),
        _ => null,
    };

    private static string Use(Notice notice) =>
        notice.Used is { } used ? $"{used.ToString(CultureInfo.InvariantCulture)} of {notice.Limit}" : notice.Limit ?? "";

    private static string Count(long? count, string noun) => count switch
    {
        null => $"many {noun}s",
        1 => $"1 {noun}",
        _ => $"{count.Value.ToString(CultureInfo.InvariantCulture)} {noun}s",
    };

    private static string Capital(Notice notice)
    {
        string text = Object(notice);
        return char.ToUpperInvariant(text[0]) + text[1..];
    }

    /// <summary>The name as arguments of a shell: scripts and logins are other people's text.</summary>
    private static string Words(Notice notice)
    {
        var text = new StringBuilder();
        string[] words = notice.Level == "script" ? notice.Name.Split(' ', 2) : [notice.Name];
        foreach (string word in words)
        {
            string clean = Clean(word);
            bool isPlain = clean.Length > 0 && clean.All(static c => char.IsAsciiLetterOrDigit(c) || c is '.' or '-' or '_' or '@' or '/' or '+' or ':') && clean[0] != '-';
            text.Append(text.Length > 0 ? " " : "").Append(isPlain ? clean : $"'{clean.Replace("'", "'\\''", StringComparison.Ordinal)}'");
        }
        return text.ToString();
    }

    private static string Clean(string text) => HeaderText.Clean(text, MaxName);
}
