using System.Collections.Immutable;

namespace RelayGate.Core.Replies;

/// <summary>What follows from the class of a refusal.</summary>
public static class ReplyClasses
{
    /// <summary>Every class of a refusal, the gravest for us first: an attempt whose recipients were refused for several reasons is found by the first.</summary>
    private static ReadOnlySpan<ReplyClass> ByGravity =>
    [
        ReplyClass.IpBlocked, ReplyClass.IpDeferred, ReplyClass.Ptr, ReplyClass.Rate, ReplyClass.Authentication, ReplyClass.DomainReputation, ReplyClass.Tls,
        ReplyClass.Content, ReplyClass.Policy, ReplyClass.Refused, ReplyClass.MailboxFull, ReplyClass.InvalidRecipient, ReplyClass.Greylisted, ReplyClass.Transient,
    ];

    /// <summary>The finding of the gravest class among items; null where none has one.</summary>
    public static ReplyFinding? Gravest<T>(ImmutableArray<T> items, Func<T, ReplyFinding?> findingOf)
    {
        ReplyFinding? gravest = null;
        foreach (T item in items)
            gravest = Graver(gravest, findingOf(item));
        return gravest;
    }

    /// <summary>The finding of the graver class; null where there is none.</summary>
    public static ReplyFinding? Graver(ReplyFinding? first, ReplyFinding? second) =>
        first is null || (second is not null && ByGravity.IndexOf(second.Class) < ByGravity.IndexOf(first.Class)) ? second : first;

    /// <summary>Our address or our rate is the problem: neither the recipient nor the message, so that another host of the same provider would say the same.</summary>
    public static bool ConcernsEgress(this ReplyClass replyClass) =>
        replyClass is ReplyClass.IpBlocked or ReplyClass.IpDeferred or ReplyClass.Ptr or ReplyClass.Rate;

    /// <summary>Passes by itself or by our own doing, so that even a 5yz does not fail a recipient.</summary>
    public static bool IsNeverFinal(this ReplyClass replyClass) =>
        replyClass.ConcernsEgress() || replyClass is ReplyClass.Greylisted or ReplyClass.Transient;
}
