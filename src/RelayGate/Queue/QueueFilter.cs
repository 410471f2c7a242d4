using RelayGate.Core.Mail;
using RelayGate.Core.Policy;

namespace RelayGate.Queue;

/// <summary>Which messages of the queue are looked for, beside their subscription. Null: whatever it is.</summary>
public sealed record QueueFilter
{
    /// <summary>Messages with a recipient at this domain that has not ended.</summary>
    public string? RecipientDomain { get; init; }

    /// <summary>Messages that were counted at this domain (with all its mailboxes) or mailbox.</summary>
    public string? CountedAt { get; init; }

    /// <summary>The reverse-path it leaves with, or <c>@domain</c> for all of a domain.</summary>
    public string? Sender { get; init; }

    public QueueState? State { get; init; }

    /// <summary>Why it is held.</summary>
    public HoldReason? Held { get; init; }

    /// <summary>What came before this time.</summary>
    public DateTimeOffset? Before { get; init; }

    /// <summary>Only held messages match.</summary>
    internal bool IsOfHeld => State == QueueState.Held || Held is not null;

    /// <summary>What can be told without the recipients.</summary>
    internal bool Matches(QueueId id, HoldReason held, string sender) =>
        (Held is not { } reason || held == reason)
        && (Before is not { } before || id.Timestamp < before)
        && (State is not { } state || (held != HoldReason.None) == (state == QueueState.Held))
        && (Sender is not { } from || (from.StartsWith('@') ? sender.EndsWith(from, StringComparison.OrdinalIgnoreCase) : sender.Equals(from, StringComparison.OrdinalIgnoreCase)));

    /// <summary>What only the recipients that have not ended tell: whether one is at the domain, whether it was counted there, and how it stands.</summary>
    internal bool Matches(IReadOnlyList<(string Address, string? CountedAt, int Attempts)> pending, HoldReason held) =>
        (RecipientDomain is not { } domain || pending.Any(p => QueueLookup.IsAt(p.Address, domain)))
        && (CountedAt is not { } sender || pending.Any(p => p.CountedAt is { } countedAt && (countedAt == sender || QueueLookup.IsAt(countedAt, sender))))
        && (State is not { } state || held != HoldReason.None || (state == QueueState.Deferred) == pending.Any(static p => p.Attempts > 0));
}
