using RelayGate.Core.Policy;

namespace RelayGate.Accounts;

public sealed record PlanView(string Name, bool IsSuspended);

/// <summary>One subscription. Of the sender rules its own are told, null where it has none, and where asked for those in force.</summary>
public sealed record SubscriptionView(
    string Name, string? Plan, string? Contact, bool IsSuspended, SenderMode? SenderMode, string? IPv4, string? IPv6, string? FirstDomain, IReadOnlyList<SystemUserView> SystemUsers)
{
    public HeaderFromMode? HeaderFrom { get; init; }

    public OwnedAddresses? Owned { get; init; }

    /// <summary>Whether its mail leaves by IPv6; null: as the server's.</summary>
    public bool? IPv6Egress { get; init; }

    public SenderRulesView? InForce { get; init; }
}

/// <summary>The sender rules in force for one object. The sender mode of the settings differs by how a client proved who it is.</summary>
public sealed record SenderRulesView(SenderRules Login, Ruled<SenderMode> Local, Ruled<SenderMode> Network);

/// <param name="IsShared">Many sites share this uid: the sender's domain chooses the subscription.</param>
public sealed record SystemUserView(int Uid, string Name, bool IsShared);

/// <summary>One domain; sender rules as in <see cref="SubscriptionView"/>.</summary>
/// <param name="IPv4">Pinned address, or null.</param>
public sealed record DomainView(string Name, string Subscription, bool IsSuspended, SenderMode? SenderMode, string? IPv4, string? IPv6)
{
    public HeaderFromMode? HeaderFrom { get; init; }

    public OwnedAddresses? Owned { get; init; }

    public SenderRulesView? InForce { get; init; }
}

/// <param name="HasPassword">Without one nobody can log in.</param>
/// <param name="Aliases">Further addresses that it may send as; nobody logs in with one.</param>
public sealed record MailboxView(string Address, string Domain, string Subscription, bool IsSuspended, bool HasPassword, IReadOnlyList<string> Aliases)
{
    public DateTimeOffset? PasswordSetAt { get; init; }

    /// <summary>Where one mailbox is shown; else null.</summary>
    public IdentityUse? Use { get; init; }
}

/// <summary>A system user as a sender.</summary>
/// <param name="IsShared">Many sites share this uid: the sender's domain chooses the subscription.</param>
public sealed record UidView(int Uid, string Name, string Subscription, bool IsShared, bool IsSuspended, IdentityUse Use);

/// <summary>A credential beside mailboxes: an application password.</summary>
/// <param name="Of">The mailbox, domain or subscription it sends for.</param>
/// <param name="PreviousUntil">Until when the password before this one is valid; null: it is not.</param>
public sealed record SenderView(
    string Name, AccountKey Of, string Subscription, DateTimeOffset CreatedAt, DateTimeOffset PasswordSetAt, DateTimeOffset? PreviousUntil, bool IsSuspended, IdentityUse Use);

/// <param name="Password">In the clear, when it was made here: shown this once and stored nowhere.</param>
public sealed record NewPassword(SenderView Sender, string? Password);

/// <param name="HeloOrigin"><c>own</c> or <c>Hostname</c>.</param>
/// <param name="Subscription">The one subscription that has an exclusive address; null when it is shared or free.</param>
/// <param name="Users">Subscriptions that leave from it, by themselves or for a domain; enough to tell none, one and several.</param>
public sealed record AddressView(string Address, string Helo, string HeloOrigin, bool IsShared, string? Subscription, IReadOnlyList<string> Users)
{
    /// <summary>A subscription or a domain leaves from it.</summary>
    public bool IsUsed => Users.Count > 0;

    /// <summary>It is the server's own (Egress:IPv4, Egress:IPv6).</summary>
    public bool IsServer { get; init; }

    /// <summary>Since when no new message leaves from it; null: it is not draining.</summary>
    public DateTimeOffset? DrainingSince { get; init; }
}

public sealed record NetworkView(string Cidr, string? Subscription, bool IsExemptFromLimits, bool TrustsAll);

/// <summary>The public side of a DKIM key.</summary>
public sealed record DkimKeyView(string Domain, string Selector, int Bits, DateTimeOffset CreatedAt, string DnsName, string DnsText, string ZoneLine);

/// <summary>A default for objects below one object; null: not set here.</summary>
public sealed record EachLimitView(Level Each, MessageClass? Class, string? Value, OverLimitAction Action, int? MaxRecipients, int? WarnAt, bool? IsEnforced);

/// <summary>What is set of an object's limits; null leaves a part as it is.</summary>
/// <param name="Value"><c>5/h,20/d:rcpt</c>, <c>unlimited</c>, <c>forbidden</c>.</param>
/// <param name="MaxRecipients">Of one message.</param>
/// <param name="WarnAt">Percent; 0: never.</param>
/// <param name="Enforce">False: counted, never refused or held.</param>
public sealed record LimitChange(string? Value = null, OverLimitAction? Over = null, int? MaxRecipients = null, int? WarnAt = null, bool? Enforce = null);

/// <summary>The parts of what is set at one object.</summary>
[Flags]
public enum LimitParts
{
    None = 0,

    /// <summary>With what happens above them.</summary>
    Limits = 1,
    MaxRecipients = 2,
    WarnAt = 4,
    Enforcement = 8,
    All = Limits | MaxRecipients | WarnAt | Enforcement,
}

/// <summary>One limit in force, and how far it is used.</summary>
/// <param name="Limit">As <c>200/h</c>, with its boost; null for unlimited and forbidden.</param>
/// <param name="Used">In the window; for no limit, messages in the last hour.</param>
/// <param name="Percent">Of the limit; null for no limit.</param>
/// <param name="NextPossible">When one more message fits into this limit; null: now, or never.</param>
public sealed record LimitUse(string? Limit, long Used, int? Percent, DateTimeOffset? NextPossible);

/// <summary>More for a time.</summary>
/// <param name="Until">By the wall clock.</param>
public sealed record BoostView(long Amount, DateTimeOffset Until);

/// <summary>The limits of one object, or of one class of its mail.</summary>
/// <param name="Value">In force, without a boost: <c>5/h,20/d:rcpt</c>, <c>unlimited</c>, <c>forbidden</c>.</param>
/// <param name="Origin">own, <c>plan basic --each mailbox</c>, <c>Limits:Defaults:Mailbox</c>.</param>
/// <param name="Refused">Messages of this object that were refused, for whatever reason, in the last 24 hours.</param>
/// <param name="Each">What this object sets for objects below it.</param>
public sealed record LimitView(
    AccountKey Key, string Value, string Origin, OverLimitAction Action, IReadOnlyList<LimitUse> Uses, long Refused, IReadOnlyList<EachLimitView> Each)
{
    /// <summary>Of them, those since the hour began.</summary>
    public long RefusedThisHour { get; init; }

    /// <summary>Messages in the last 24 hours, and those of them that no limit held for.</summary>
    public long Messages { get; init; }

    public long Exempt { get; init; }

    /// <summary>Messages that wait here for room.</summary>
    public long Held { get; init; }

    public BoostView? Boost { get; init; }

    /// <summary>False: counted, never refused or held.</summary>
    public bool IsEnforced { get; init; } = true;

    /// <summary>Limits:Enforce: false is so for everything.</summary>
    public bool EnforcesAny { get; init; } = true;

    /// <summary>Where that comes from; null where nobody has set it.</summary>
    public string? EnforcementOrigin { get; init; }

    /// <summary>Percent; 0: never.</summary>
    public int WarnAt { get; init; }

    public string WarnAtOrigin { get; init; } = "";

    /// <summary>Of one message, with what the objects above allow.</summary>
    public int MaxRecipients { get; init; }

    public string MaxRecipientsOrigin { get; init; } = "";

    /// <summary>When the object may send its next message, with all that hold above it; null: now.</summary>
    public DateTimeOffset? NextPossible { get; init; }

    /// <summary>What stops it until then, or for ever; null: nothing.</summary>
    public AccountKey? StoppedBy { get; init; }

    /// <summary>Limits for single classes.</summary>
    public IReadOnlyList<LimitView> Classes { get; init; } = [];
}

/// <summary>What a subscription is given; null leaves a value as it is, <c>none</c> clears it, and <c>inherit</c> a sender rule.</summary>
/// <param name="SystemUsers">Names or <c>#UID</c>, added to those it has.</param>
/// <param name="SharedUid">Marks the system users named here as shared by many sites.</param>
public sealed record SubscriptionChange(
    string? Plan = null,
    string? Contact = null,
    string? IPv4 = null,
    string? IPv6 = null,
    string? SenderMode = null,
    IReadOnlyList<string>? SystemUsers = null,
    IReadOnlyList<string>? RemoveSystemUsers = null,
    bool SharedUid = false,
    string? HeaderFrom = null,
    string? Owned = null)
{
    /// <summary>on, off, or default: as the server's.</summary>
    public string? IPv6Egress { get; init; }
}

/// <summary>What a domain is given; null leaves a value as it is, <c>none</c> clears it, and <c>inherit</c> a sender rule.</summary>
public sealed record DomainChange(
    string? Subscription = null, string? IPv4 = null, string? IPv6 = null, string? SenderMode = null, string? HeaderFrom = null, string? Owned = null);

/// <summary>What a mailbox is given; null leaves the password as it is.</summary>
/// <param name="Aliases">Addresses, added to those it has.</param>
public sealed record MailboxChange(string? Password = null, IReadOnlyList<string>? Aliases = null, IReadOnlyList<string>? RemoveAliases = null);
