using RelayGate.Core.Mail;
using RelayGate.Core.Messages;

namespace RelayGate.Core.Policy;

/// <summary>About when a held message is released: from the messages before it and the pace of the limit. Others may come between, or give up.</summary>
public static class HoldEstimate
{
    /// <summary>As the wall clock will show it. Null: time does not help.</summary>
    /// <param name="usage">Usage of the account's levels.</param>
    /// <param name="at">Where it waits.</param>
    /// <param name="ahead">Messages that go before it.</param>
    public static DateTimeOffset? Of(SenderAccount account, UsageView usage, Envelope envelope, MessageFacts message, AccountKey at, long ahead)
    {
        var offer = new Offer(account, usage, envelope, message);
        if (offer.IsExempt)
            return usage.ToWall(usage.Now);
        int index = account.Levels.Length - 1;
        while (index >= 0 && account.Levels[index].Key != at)
            index--;
        DateTimeOffset one = LimitCheck.NextPossible(offer);
        DateTimeOffset release = index < 0 ? one : Of(offer, index, one, ahead);
        return release == DateTimeOffset.MaxValue ? null : usage.ToWall(release);
    }

    /// <summary>Whether the object at which a message waits has no room for it, whatever the others have.</summary>
    public static bool IsFull(SenderAccount account, UsageView usage, Envelope envelope, MessageFacts message, AccountKey at)
    {
        var offer = new Offer(account, usage, envelope, message);
        for (int i = 0; i < account.Levels.Length; i++)
        {
            if (account.Levels[i].Key == at)
                return !offer.IsExempt && offer.Counts(at) && LimitCheck.IsFull(offer, i);
        }
        return false;
    }

    /// <param name="index">The level at which it waits.</param>
    /// <param name="roomForOne">When every level has room for one such message.</param>
    internal static DateTimeOffset Of(Offer offer, int index, DateTimeOffset roomForOne, long ahead)
    {
        DateTimeOffset release = roomForOne;
        foreach (Limit limit in offer.Account.Levels[index].EnforcedAt(offer.Usage.Now).Limits)
        {
            long cost = LimitCheck.Cost(offer, limit);
            DateTimeOffset turn = Of(offer.Usage.Rings[index], limit, ahead * cost, cost, offer.Usage.Now);
            release = turn > release ? turn : release;
        }
        return release;
    }

    /// <summary>When there is room for a message behind others, if each of them goes as soon as it can.</summary>
    /// <param name="ahead">What those before it add.</param>
    /// <param name="cost">What it adds itself.</param>
    /// <returns>The end of time where it never fits.</returns>
    public static DateTimeOffset Of(UsageRing ring, Limit limit, long ahead, long cost, DateTimeOffset now)
    {
        if (cost > limit.Count)
            return DateTimeOffset.MaxValue;
        // Whole windows go by while those that fill them go; what is left of them goes as the window empties of what is in it now.
        (long windows, long rest) = Math.DivRem(ahead + cost - 1, limit.Count);
        DateTimeOffset turn = ring.WhenAtMost(limit.Count - rest - 1, limit.Unit, limit.Window, now);
        TimeSpan window = limit.Window == LimitWindow.Hour ? TimeSpan.FromMinutes(61) : TimeSpan.FromHours(25); // Room comes back a bucket late.
        return windows > (DateTimeOffset.MaxValue - turn) / window ? DateTimeOffset.MaxValue : turn + windows * window;
    }
}
