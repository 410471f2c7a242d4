namespace RelayGate.Core.Policy;

/// <summary>The closed set of reasons of decisions: the same word in replies' records, logs, metrics and tests.</summary>
public static class Reasons
{
    public const string Accepted = "accepted";
    public const string AuthenticationRequired = "authentication-required";
    public const string UnknownUid = "unknown-uid";
    public const string NetworkSenderNotHosted = "network-sender-not-hosted";
    public const string Suspended = "suspended";
    public const string SenderOfOtherSubscription = "sender-of-other-subscription";
    public const string SenderNotOwned = "sender-not-owned";
    public const string FromNotOwned = "from-not-owned";
    public const string SendingForbidden = "sending-forbidden";
    public const string TooManyRecipientsForLimit = "too-many-recipients-for-limit";
    public const string TooManyRecipients = "too-many-recipients";
    public const string TooManySessions = "too-many-sessions";
    public const string NeedsSmtpUtf8 = "smtputf8-needed";
    public const string NoLocalContact = "no-local-contact";
    public const string LimitReached = "limit-reached";
    public const string HoldFull = "hold-full";
    public const string ScriptBlocked = "script-blocked";
    public const string SubscriptionChanged = "subscription-changed";
    public const string MessageTooLarge = "message-too-large";
    public const string MailLoop = "mail-loop";
    public const string TwoFromFields = "two-from-fields";
    public const string NoFromField = "no-from-field";
    public const string BadHeader = "bad-header";
    public const string BareLineEnd = "bare-line-end";
    public const string NulInData = "nul-in-data";
    public const string StoreFull = "store-full";
    public const string StoreFailed = "store-failed";
    public const string AccountChanged = "account-changed";

    /// <summary>Whether a refusal is one by a limit: the message had passed all rules before them.</summary>
    public static bool IsOfLimits(string reason) => reason is LimitReached or SendingForbidden or TooManyRecipientsForLimit;

    /// <summary>Every reason, for metrics that start at zero.</summary>
    public static IReadOnlyList<string> All { get; } =
    [
        Accepted, AuthenticationRequired, UnknownUid, NetworkSenderNotHosted, Suspended, SenderOfOtherSubscription, SenderNotOwned,
        FromNotOwned, SendingForbidden, TooManyRecipientsForLimit, TooManyRecipients, LimitReached, HoldFull, ScriptBlocked, SubscriptionChanged, MessageTooLarge, MailLoop, TwoFromFields, NoFromField,
        TooManySessions, NeedsSmtpUtf8, NoLocalContact, BadHeader, BareLineEnd, NulInData, StoreFull, StoreFailed, AccountChanged,
    ];
}
