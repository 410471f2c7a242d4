using System.Collections.Immutable;
using System.Text.Json;

namespace RelayGate.Core.Notices;

/// <summary>What a notice tells of: the closed set. The numbers are stored.</summary>
public enum NoticeKind
{
    /// <summary>A share of a limit is used.</summary>
    Warning = 2,

    /// <summary>A limit is reached: mail is refused or held.</summary>
    Exceeded = 3,

    /// <summary>There is room again below a limit that was reached.</summary>
    Recovered = 4,

    /// <summary>One script sends far more than it did.</summary>
    ScriptBurst = 5,

    /// <summary>Many wrong passwords for one login, or from one address.</summary>
    PasswordGuessing = 6,

    /// <summary>Somebody may no longer send.</summary>
    Suspended = 7,

    /// <summary>Somebody may send again.</summary>
    Resumed = 8,

    /// <summary>Asked for by hand, to see whether notices arrive.</summary>
    Test = 9,

    /// <summary>An address that mail leaves from is not on this host: its mail waits.</summary>
    EgressMissing = 20,

    /// <summary>It is back, and its mail goes on.</summary>
    EgressBack = 21,

    /// <summary>A smarthost refuses the login that its route has: mail waits.</summary>
    LoginRefused = 22,

    /// <summary>A provider refuses an address that mail leaves from: its mail there waits.</summary>
    IpBlocked = 23,

    /// <summary>The provider takes mail of the address again, or may be asked again.</summary>
    IpRecovered = 24,
}

/// <summary>The words for kinds of notices, as they stand in subjects, payloads, settings and answers.</summary>
public static class NoticeKinds
{
    /// <summary>All that happen by themselves, in the order of their weight in a digest.</summary>
    public static ImmutableArray<NoticeKind> All { get; } =
    [
        NoticeKind.EgressMissing, NoticeKind.IpBlocked, NoticeKind.LoginRefused, NoticeKind.PasswordGuessing, NoticeKind.ScriptBurst, NoticeKind.Exceeded, NoticeKind.Suspended, NoticeKind.Warning, NoticeKind.Recovered, NoticeKind.Resumed, NoticeKind.EgressBack, NoticeKind.IpRecovered,
    ];

    /// <summary>The words for <see cref="All"/>, with commas.</summary>
    public static string Words { get; } = string.Join(", ", All.Select(Word));

    /// <summary>For instance <c>script-burst</c>.</summary>
    public static string Word(NoticeKind kind) => JsonNamingPolicy.KebabCaseLower.ConvertName(kind.ToString());

    public static NoticeKind? Parse(string word)
    {
        foreach (NoticeKind kind in All)
        {
            if (Word(kind).Equals(word, StringComparison.OrdinalIgnoreCase))
                return kind;
        }
        return null;
    }

    /// <summary>Reads <c>all</c>, <c>none</c> or words with commas; null when it is neither.</summary>
    public static ImmutableArray<NoticeKind>? ParseList(string text)
    {
        if (text.Equals("all", StringComparison.OrdinalIgnoreCase))
            return All;
        if (text.Equals("none", StringComparison.OrdinalIgnoreCase))
            return [];
        var kinds = ImmutableArray.CreateBuilder<NoticeKind>();
        foreach (string word in text.Split(',', StringSplitOptions.TrimEntries))
        {
            if (Parse(word) is not { } kind)
                return null;
            if (!kinds.Contains(kind))
                kinds.Add(kind);
        }
        return kinds.ToImmutable();
    }

    /// <summary>Whether somebody may have to act: such a notice does not wait for the digest the first time.</summary>
    public static bool IsAlarm(NoticeKind kind) => kind is not (NoticeKind.Recovered or NoticeKind.Resumed or NoticeKind.EgressBack or NoticeKind.IpRecovered);
}
