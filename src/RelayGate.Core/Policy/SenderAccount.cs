using System.Collections.Immutable;
using RelayGate.Core.Dkim;
using RelayGate.Core.Mail;

namespace RelayGate.Core.Policy;

/// <summary>To whom a domain belongs, seen from the identity's subscription.</summary>
public enum DomainOwner
{
    /// <summary>Not hosted here (or no domain at all: null reverse-path, address literal).</summary>
    NotHosted,

    /// <summary>A domain of the identity's own subscription.</summary>
    Own,

    /// <summary>A domain of another subscription hosted here.</summary>
    Other,
}

/// <summary>Changes when anything that <see cref="SenderAccount"/> was made from may have changed.</summary>
/// <param name="Shared">Counts changes to server, plans, addresses and networks.</param>
/// <param name="Subscription">Counts changes to the subscription and what it owns.</param>
public readonly record struct AccountVersion(long Shared, long Subscription);

/// <summary>Everything the policy must know of one sender, looked up beforehand for one reverse-path and one header From. Immutable.</summary>
public sealed record SenderAccount
{
    public required SenderIdentity Identity { get; init; }

    public AccountVersion Version { get; init; }

    /// <summary>When the password of the login ends, which was replaced with a grace: the account is to be looked up again then. Null: it does not.</summary>
    public DateTimeOffset? Until { get; init; }

    /// <summary>Name of the subscription that sends; null when the identity has none (no identity, unknown uid, unlisted domain).</summary>
    public string? Subscription { get; init; }

    /// <summary>Name of its plan.</summary>
    public string? Plan { get; init; }

    /// <summary>The levels this message counts at, server first; those of one class behind that of their object.</summary>
    public ImmutableArray<LevelLimit> Levels { get; init; } = [];

    /// <summary>The outermost object that is suspended, or null.</summary>
    public SuspendedObject? Suspended { get; init; }

    public SenderMode SenderMode { get; init; }

    public HeaderFromMode HeaderFromMode { get; init; }

    /// <summary>The login's own mailbox address; null for uid, network and the credential of a domain or subscription.</summary>
    public MailboxAddress? Mailbox { get; init; }

    /// <summary>Domains of the subscription that reverse-path and header From name, other than the one the message counts at; at most two.</summary>
    public ImmutableArray<string> NamedDomains { get; init; } = [];

    /// <summary>Aliases of the mailbox that are its own to use, canonical.</summary>
    public ImmutableArray<string> Aliases { get; init; } = [];

    /// <summary>Those of the domains looked up (as A-labels) of which every address belongs to the identity.</summary>
    public ImmutableArray<string> OwnedDomains { get; init; } = [];

    /// <summary>What replaces a reverse-path that is missing or not owned, when the header From cannot: the mailbox, else user@first-domain, else user@Hostname.</summary>
    public MailboxAddress? DefaultSender { get; init; }

    public DomainOwner ReversePathOwner { get; init; }

    /// <summary>Owner of the domain of the (first) header From; <see cref="DomainOwner.NotHosted"/> while it is not known.</summary>
    public DomainOwner HeaderFromOwner { get; init; }

    /// <summary>The sender's domain chose the subscription because the uid is shared by many sites; the record says "claimed".</summary>
    public bool IsClaimed { get; init; }

    /// <summary>Scripts of the peer's uid whose mail is held (<see cref="ScriptKey.IsBlockedBy"/>).</summary>
    public ImmutableArray<string> BlockedScripts { get; init; } = [];

    /// <summary>A listed network that may send in the name of any domain hosted here (<c>--trust-all</c>).</summary>
    public bool TrustsAnySender { get; init; }

    /// <summary>Limits are counted but not enforced (<c>--exempt-from-limits</c>, or <c>Limits:Enforce</c> is off).</summary>
    public bool IsExemptFromLimits { get; init; }

    /// <summary>Classes whose mail is counted and never limited (<c>Classes:…</c> Exempt).</summary>
    public ImmutableArray<MessageClass> ExemptClasses { get; init; } = [];

    public EgressChoice Egress { get; init; } = EgressChoice.SystemDefault;

    /// <summary>The hosted domain whose keys sign: the header From's or the one above it, when the subscription owns it; else null.</summary>
    public string? SigningDomain { get; init; }

    /// <summary>Active keys of the header From's domain, when the subscription owns it; made at the end of data.</summary>
    public ImmutableArray<DkimKey> SigningKeys { get; init; } = [];

    /// <summary>Largest message in octets.</summary>
    public long MaxMessageOctets { get; init; }

    /// <summary>Largest number of recipients of one message.</summary>
    public int MaxRecipients { get; init; }

    /// <summary>Whether an address belongs to the identity, for envelope and header alike. Its domain must be one that the account was looked up for.</summary>
    public bool Owns(MailboxAddress address) =>
        address.Canonical == Mailbox?.Canonical
        || address.Canonical == DefaultSender?.Canonical
        || Aliases.Contains(address.Canonical)
        || (address.Domain is { } domain && OwnedDomains.Contains(domain.Value));

    /// <summary>Whether there are addresses, and all of them belong to the identity.</summary>
    public bool OwnsAll(ImmutableArray<MailboxAddress> addresses)
    {
        foreach (MailboxAddress address in addresses)
        {
            if (!Owns(address))
                return false;
        }
        return !addresses.IsEmpty;
    }
}
