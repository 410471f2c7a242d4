using RelayGate.Core.Mail;

namespace RelayGate.Core.Policy;

/// <summary>What is done when the reverse-path does not belong to the identity.</summary>
public enum SenderMode
{
    /// <summary>The reverse-path is replaced by one that belongs to the identity.</summary>
    Correct,

    /// <summary>553 5.7.1.</summary>
    Reject,

    /// <summary>It is let through unchanged (never a domain of another subscription).</summary>
    Trust,
}

/// <summary>What is done when the header From names an address that does not belong to the identity.</summary>
public enum HeaderFromMode
{
    /// <summary>Nothing.</summary>
    Off,

    /// <summary>A Sender field names an address that does (RFC 5322 §3.6.2).</summary>
    Sender,

    /// <summary>Such an address takes its place; the original goes to Reply-To unless there is one.</summary>
    Rewrite,

    /// <summary>550 5.7.1.</summary>
    Refuse,
}

/// <summary>Which addresses belong to a mailbox that logs in. Each holds all before it.</summary>
public enum OwnedAddresses
{
    /// <summary>Its own.</summary>
    Mailbox,

    /// <summary>Its aliases.</summary>
    Aliases,

    /// <summary>All of its domain.</summary>
    Domain,

    /// <summary>All of every domain of its subscription.</summary>
    Subscription,
}

/// <summary>What is done to a header From that does not belong to the identity.</summary>
/// <param name="Mode"><see cref="HeaderFromMode.Sender"/> or <see cref="HeaderFromMode.Rewrite"/>.</param>
/// <param name="Address">The one that is put in; its domain is written as A-labels.</param>
public sealed record HeaderFromTreatment(HeaderFromMode Mode, MailboxAddress Address);
