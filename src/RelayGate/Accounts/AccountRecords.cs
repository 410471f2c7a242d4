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
    HeaderFromMode? HeaderFrom = null, OwnedAddresses? Owned = null);

/// <summary>One hosted domain as it is stored.</summary>
internal sealed record DomainRecord(string Name, string Subscription, bool IsSuspended, SenderMode? SenderMode, string? IPv4, string? IPv6,
    HeaderFromMode? HeaderFrom = null, OwnedAddresses? Owned = null);

/// <summary>One mailbox as it is stored.</summary>
/// <param name="Password">SCRAM-SHA-256 record, or null.</param>
internal sealed record MailboxRecord(string Address, string Domain, bool IsSuspended, string? Password)
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
internal sealed record AddressRecord(IPAddress Address, string? Helo, bool IsShared, string? Owner);

/// <summary>One listed network as it is stored.</summary>
internal sealed record NetworkRecord(IPNetwork Network, string? Subscription, bool IsExempt, bool TrustsAll);

/// <summary>One row of limits.</summary>
/// <param name="Each">Null: the object's own cap; else the level below it that this is the default of.</param>
internal sealed record LimitRecord(Level? Each, LimitSet Limits, OverLimitAction Action);

/// <summary>All rows of limits of one object.</summary>
internal sealed record ObjectLimits(ImmutableArray<LimitRecord> Rows)
{
    public LimitRecord? Own => Find(null);

    public LimitRecord? Find(Level? each)
    {
        foreach (LimitRecord row in Rows)
        {
            if (row.Each == each)
                return row;
        }
        return null;
    }
}
