using System.Collections.Immutable;
using System.Net;
using RelayGate.Core.Policy;

namespace RelayGate.Accounts;

/// <summary>One plan as it is stored.</summary>
internal sealed record PlanRecord(string Name, bool IsSuspended);

/// <summary>One subscription as it is stored, with its first domain.</summary>
/// <param name="Since">When it was added.</param>
internal sealed record SubscriptionRecord(
    string Name, string? Plan, string? Contact, bool IsSuspended, SenderMode? SenderMode, string? IPv4, string? IPv6, string? FirstDomain, DateTimeOffset Since,
    HeaderFromMode? HeaderFrom = null, OwnedAddresses? Owned = null)
{
    /// <summary>Whether its mail leaves by IPv6; null: as the server's.</summary>
    public bool? IPv6Egress { get; init; }
}

/// <summary>One hosted domain as it is stored.</summary>
internal sealed record DomainRecord(string Name, string Subscription, bool IsSuspended, SenderMode? SenderMode, string? IPv4, string? IPv6,
    HeaderFromMode? HeaderFrom = null, OwnedAddresses? Owned = null);

/// <summary>One mailbox as it is stored.</summary>
/// <param name="Password">SCRAM-SHA-256 record, or null.</param>
/// <param name="PasswordAt">When it was set, in milliseconds: names this password among all that the mailbox had. 0: there is none.</param>
internal sealed record MailboxRecord(string Address, string Domain, bool IsSuspended, string? Password, long PasswordAt)
{
    /// <summary>Canonical, in order.</summary>
    public ImmutableArray<string> Aliases { get; init; } = [];
}

/// <summary>One alias as it is stored.</summary>
internal sealed record AliasRecord(string Mailbox, string Address);

/// <summary>One system user as it is stored.</summary>
internal sealed record SystemUserRecord(int Uid, string Name, string Subscription, bool IsShared, bool IsSuspended);

/// <summary>One local address as it is stored.</summary>
/// <param name="Helo">Null: Hostname.</param>
internal sealed record AddressRecord(IPAddress Address, string? Helo, bool IsShared, string? Owner, DateTimeOffset? DrainingSince);

/// <summary>One listed network as it is stored.</summary>
internal sealed record NetworkRecord(IPNetwork Network, string? Subscription, bool IsExempt, bool TrustsAll);

/// <summary>What is set at one object for itself, or for the objects of a level below it; null: nothing, so that what is inherited holds.</summary>
/// <param name="Each">Null: the object's own; else the level below it that this is the default of.</param>
/// <param name="Class">Mail of this class alone; null: all.</param>
/// <param name="Action">Goes with the limits.</param>
/// <param name="MaxRecipients">Of one message.</param>
/// <param name="WarnAt">Percent; 0: never.</param>
internal sealed record LimitRecord(Level? Each, MessageClass? Class, LimitSet? Limits, OverLimitAction Action, int? MaxRecipients, int? WarnAt, bool? IsEnforced);

/// <summary>More for a time.</summary>
/// <param name="Until">Of the usage clock.</param>
internal sealed record BoostRecord(MessageClass? Class, long Amount, DateTimeOffset Until);

/// <summary>All rows of limits of one object.</summary>
internal sealed record ObjectLimits(ImmutableArray<LimitRecord> Rows, ImmutableArray<BoostRecord> Boosts)
{
    /// <summary>Whether some of them are for one class alone.</summary>
    public bool HasClasses { get; } = Rows.Any(static row => row.Class is not null);

    public LimitRecord? Find(Level? each, MessageClass? of)
    {
        foreach (LimitRecord row in Rows)
        {
            if (row.Each == each && row.Class == of)
                return row;
        }
        return null;
    }

    /// <summary>The boost that was given last, which may have ended.</summary>
    public BoostRecord? BoostOf(MessageClass? of)
    {
        foreach (BoostRecord boost in Boosts)
        {
            if (boost.Class == of)
                return boost;
        }
        return null;
    }
}
