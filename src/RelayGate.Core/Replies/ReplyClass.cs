namespace RelayGate.Core.Replies;

/// <summary>What a refusal of a next hop is about. The numbers are stored.</summary>
public enum ReplyClass
{
    /// <summary>No refusal, or none that came from a next hop.</summary>
    None = 0,

    /// <summary>The mailbox or domain does not exist, or takes no mail any more.</summary>
    InvalidRecipient = 1,

    MailboxFull = 2,

    /// <summary>Too many messages, recipients or connections at a time.</summary>
    Rate = 3,

    /// <summary>Our address is on a list or blocked by the provider itself.</summary>
    IpBlocked = 4,

    /// <summary>Our address is put off for its reputation or for complaints.</summary>
    IpDeferred = 5,

    /// <summary>The reputation of a domain in the message, not of our address.</summary>
    DomainReputation = 6,

    /// <summary>SPF, DKIM or DMARC of the sender's domain.</summary>
    Authentication = 7,

    /// <summary>Reverse DNS of our address, or the HELO name.</summary>
    Ptr = 8,

    /// <summary>A rule of the receiver that is none of the others.</summary>
    Policy = 9,

    /// <summary>The content of this message.</summary>
    Content = 10,

    /// <summary>TLS is demanded, or does not work.</summary>
    Tls = 11,

    /// <summary>Refused for now because we are not known yet.</summary>
    Greylisted = 12,

    /// <summary>Any other temporary refusal: load, a fault, maintenance.</summary>
    Transient = 13,

    /// <summary>Any other permanent refusal.</summary>
    Refused = 14,
}
