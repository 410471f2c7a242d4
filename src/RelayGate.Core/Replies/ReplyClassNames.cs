namespace RelayGate.Core.Replies;

/// <summary>The classes of refusals as they are written: in settings, filters, records and metrics.</summary>
public static class ReplyClassNames
{
    private static readonly string[] Names =
    [
        "none", "invalid-recipient", "mailbox-full", "rate", "ip-blocked", "ip-deferred", "domain-reputation", "authentication", "ptr", "policy", "content", "tls",
        "greylisted", "transient", "refused",
    ];

    /// <summary>All names, in the order of their numbers.</summary>
    public static IReadOnlyList<string> All => Names;

    public static string NameOf(ReplyClass replyClass) => Names[(int)replyClass];

    /// <param name="text">Upper or lower case.</param>
    public static bool TryParse(string text, out ReplyClass replyClass)
    {
        int number = Array.FindIndex(Names, name => name.Equals(text, StringComparison.OrdinalIgnoreCase));
        replyClass = (ReplyClass)Math.Max(0, number);
        return number >= 0;
    }
}
