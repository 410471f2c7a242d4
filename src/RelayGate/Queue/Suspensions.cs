using System.Collections.Frozen;

namespace RelayGate.Queue;

/// <summary>Whose queued mail is passed over now: one state of the accounts, swapped whole.</summary>
/// <param name="Subscriptions">Suspended by themselves or with their plan.</param>
/// <param name="Senders">Suspended domains and mailboxes.</param>
public sealed record Suspensions(FrozenSet<string> Subscriptions, FrozenSet<string> Senders)
{
    /// <summary>Nobody is suspended.</summary>
    public static Suspensions None { get; } = new([], []);

    /// <param name="countedAt">Mailbox, else domain that the message was counted at; null: neither.</param>
    public bool Has(string subscription, string? countedAt) => Subscriptions.Contains(subscription) || (Senders.Count > 0 && countedAt is not null && HasSender(countedAt));

    private bool HasSender(string countedAt)
    {
        int at = countedAt.LastIndexOf('@');
        return Senders.Contains(countedAt) || (at >= 0 && Senders.GetAlternateLookup<ReadOnlySpan<char>>().Contains(countedAt.AsSpan(at + 1)));
    }
}
