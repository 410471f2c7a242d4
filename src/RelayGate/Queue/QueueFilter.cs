using System.Globalization;
using System.Net;
using System.Text.Json;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Core.Replies;

namespace RelayGate.Queue;

/// <summary>Which messages of the queue are looked for, beside their subscription. Null: whatever it is.</summary>
/// <remarks>What is asked of recipients holds for those that have not ended; of messages that failed, for those that failed.</remarks>
public sealed record QueueFilter
{
    /// <summary>Messages with such a recipient at this domain.</summary>
    public string? RecipientDomain { get; init; }

    /// <summary>Messages that were counted at this domain (with all its mailboxes) or mailbox.</summary>
    public string? CountedAt { get; init; }

    /// <summary>The reverse-path it leaves with, or <c>@domain</c> for all of a domain.</summary>
    public string? Sender { get; init; }

    /// <summary>The script that made it, as <c>script list</c> names it.</summary>
    public string? Script { get; init; }

    /// <summary>It leaves from this address when the next hop is of its family.</summary>
    public IPAddress? EgressAddress { get; init; }

    /// <summary>Messages with a recipient whose last reply has this text in it, in any case, or is of the class of this name (<c>ip-blocked</c>).</summary>
    public string? Reason
    {
        get;
        init
        {
            field = value;
            Class = Enum.GetValues<ReplyClass>().FirstOrDefault(c => c != ReplyClass.None && SlugOf(c) == value);
        }
    }

    public QueueState? State { get; init; }

    /// <summary>Why it is held.</summary>
    public HoldReason? Held { get; init; }

    /// <summary>What came before this time.</summary>
    public DateTimeOffset? Before { get; init; }

    /// <summary>What came at this time or later: what is older belongs to another subscription of the same name.</summary>
    internal DateTimeOffset? Since { get; init; }

    /// <summary>Only held messages match.</summary>
    internal bool IsOfHeld => State == QueueState.Held || Held is not null;

    /// <summary>Only messages match that failed and whose content is kept.</summary>
    internal bool IsOfFailed => State == QueueState.Failed;

    /// <summary>State of the recipients that are asked.</summary>
    internal RecipientState Asked => IsOfFailed ? RecipientState.Failed : RecipientState.Pending;

    /// <summary>Of <see cref="Reason"/>; none where that is no name of a class.</summary>
    private ReplyClass Class { get; init; }

    /// <summary>How a class of replies is written.</summary>
    public static string SlugOf(ReplyClass replyClass) => JsonNamingPolicy.KebabCaseLower.ConvertName(replyClass.ToString());

    /// <summary>For people: what is looked for; "" when nothing is.</summary>
    public override string ToString() => string.Join(", ", Parts());

    /// <summary>What can be told without the recipients.</summary>
    internal bool Matches(in FilteredMessage message) =>
        (Held is not { } reason || message.Held == reason)
        && (Before is not { } before || message.Id.Timestamp < before)
        && (Since is not { } since || message.Id.Timestamp >= since)
        && (Script is not { } script || message.Script == script)
        && (State is not { } state || (state == QueueState.Failed) == message.HasFailed)
        && (State is null or QueueState.Failed || (message.Held != HoldReason.None) == (State == QueueState.Held))
        && (EgressAddress is not { } address || LeavesFrom(message.Egress, address))
        && (Sender is not { } from
            || (from.StartsWith('@') ? message.Sender.EndsWith(from, StringComparison.OrdinalIgnoreCase) : message.Sender.Equals(from, StringComparison.OrdinalIgnoreCase)));

    /// <summary>What only the recipients tell: whether one is at the domain, whether it was counted there, what it was answered, and how it stands.</summary>
    internal bool Matches(IReadOnlyList<FilteredRecipient> recipients, HoldReason held) =>
        MatchesAny(recipients)
        && (State is not (QueueState.Active or QueueState.Deferred) || held != HoldReason.None || (State == QueueState.Deferred) == recipients.Any(static r => r.Attempts > 0));

    /// <summary>The part of it that needs nothing of the message.</summary>
    internal bool MatchesAny(IReadOnlyList<FilteredRecipient> recipients) =>
        (RecipientDomain is not { } domain || recipients.Any(r => QueueLookup.IsAt(r.Address, domain)))
        && (CountedAt is not { } sender || recipients.Any(r => r.CountedAt is { } countedAt && (countedAt == sender || QueueLookup.IsAt(countedAt, sender))))
        && (Reason is not { } reason || recipients.Any(r => (Class != ReplyClass.None && r.LastClass == Class) || r.LastReply?.Contains(reason, StringComparison.OrdinalIgnoreCase) == true));

    private static bool LeavesFrom(string egress, IPAddress address)
    {
        if (!egress.Contains(address.ToString(), StringComparison.Ordinal))
            return false;
        EgressChoice choice = EgressText.Parse(egress);
        return address.Equals(choice.IPv4?.Address) || address.Equals(choice.IPv6?.Address);
    }

    private IEnumerable<string> Parts()
    {
        if (CountedAt is { } sender)
            yield return $"sent by {sender}";
        if (Sender is { } from)
            yield return $"from {from}";
        if (RecipientDomain is { } to)
            yield return $"to {to}";
        if (Script is { } script)
            yield return $"script {script}";
        if (EgressAddress is { } address)
            yield return $"ip {address}";
        if (Reason is { } reason)
            yield return $"reason '{reason}'";
        if (State is { } state)
            yield return Word(state);
        if (Held is { } held)
            yield return $"held ({Word(held)})";
        if (Before is { } before)
            yield return string.Create(CultureInfo.InvariantCulture, $"before {before.UtcDateTime:yyyy-MM-dd HH:mm:ss} UTC");
    }

    private static string Word<T>(T value) where T : struct, Enum => JsonNamingPolicy.KebabCaseLower.ConvertName(value.ToString());
}

/// <summary>What a filter looks at of a message.</summary>
/// <param name="Egress">As it is stored.</param>
internal readonly record struct FilteredMessage(QueueId Id, HoldReason Held, string Sender, string? Script, string Egress, bool HasFailed);

/// <summary>What a filter looks at of a recipient.</summary>
internal readonly record struct FilteredRecipient(string Address, string? CountedAt, int Attempts, string? LastReply, ReplyClass LastClass);
