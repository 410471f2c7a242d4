using System.Collections.Immutable;
using RelayGate.Core.Dkim;
using RelayGate.Core.Mail;
using RelayGate.Core.Smtp;

namespace RelayGate.Core.Policy;

public enum Verdict
{
    /// <summary>250: into the queue.</summary>
    Accept,

    /// <summary>5yz.</summary>
    Refuse,

    /// <summary>4yz: may succeed later.</summary>
    Defer,

    /// <summary>250: into the queue, where it is held and counts nothing until it is released.</summary>
    Hold,
}

/// <summary>Why a message is held. The numbers are stored; 0 is not held.</summary>
public enum HoldReason
{
    None = 0,

    /// <summary>The administrator parked it.</summary>
    Administrator = 2,

    /// <summary>The outcome of an attempt could not be recorded; it waits for a look by a human.</summary>
    Fault = 3,

    /// <summary>It is over a limit, or behind mail that is: it goes on by itself when there is room.</summary>
    Limit = 4,

    /// <summary>The script that made it is blocked.</summary>
    Script = 5,

    /// <summary>Its sender is suspended.</summary>
    Suspended = 6,

    /// <summary>When its turn came the policy would have refused it; it is tried again when accounts change.</summary>
    Refused = 7,
}

/// <summary>Usage of one limit at one level, before this message and with it.</summary>
/// <param name="Used">Messages or recipients in the window before this message.</param>
/// <param name="Cost">What this message adds.</param>
public sealed record LevelUsage(AccountKey Key, Limit? Limit, string Origin, long Used, long Cost)
{
    public long After => Used + Cost;
}

/// <summary>A change to the sender that the policy made.</summary>
/// <param name="What">reverse-path, From or Sender.</param>
/// <param name="Original">Empty for a Sender field that was not there.</param>
public sealed record Correction(string What, string Original, string Replacement, string Why);

/// <summary>What the policy says of one message, and why, in order.</summary>
public sealed record Decision
{
    public required Verdict Verdict { get; init; }

    /// <summary>A slug of the closed set <see cref="Reasons"/>, shared by replies, logs, metrics and tests.</summary>
    public required string Reason { get; init; }

    /// <summary>The reply without its ref.</summary>
    public required SmtpReply Reply { get; init; }

    /// <summary>Of the message, as far as it was known; null where the policy was not asked.</summary>
    public MessageClass? Class { get; init; }

    /// <summary>No limit held for it: it is counted only.</summary>
    public bool IsExempt { get; init; }

    /// <summary>The reverse-path the message leaves with.</summary>
    public required ReversePath ReversePath { get; init; }

    public ImmutableArray<Correction> Corrections { get; init; } = [];

    /// <summary>What becomes of a header From that does not belong to the identity; null: it stays.</summary>
    public HeaderFromTreatment? HeaderFrom { get; init; }

    public EgressChoice Egress { get; init; } = EgressChoice.SystemDefault;

    public ImmutableArray<DkimKey> SigningKeys { get; init; } = [];

    /// <summary>Each level and limit that was looked at, server first; ends with the one that refused or holds.</summary>
    public ImmutableArray<LevelUsage> Levels { get; init; } = [];

    /// <summary>The level that refused or holds, or null.</summary>
    public LevelUsage? Stopped { get; init; }

    /// <summary>When the next message is possible after a limit refused, or about when a held one is released; null where time does not help.</summary>
    public DateTimeOffset? NextPossible { get; init; }

    /// <summary>When every level has room for one such message, by the usage clock; not before now. Null unless a limit stopped it.</summary>
    public DateTimeOffset? RoomAt { get; init; }

    /// <summary>Why it is held; None unless <see cref="Verdict"/> is Hold.</summary>
    public HoldReason Held { get; init; }

    /// <summary>Accepted without being held: it counts, and goes on to delivery at once.</summary>
    public bool IsAccepted => Verdict == Verdict.Accept;

    /// <summary>250: taken into the queue, held or not.</summary>
    public bool IsTaken => Verdict is Verdict.Accept or Verdict.Hold;
}
