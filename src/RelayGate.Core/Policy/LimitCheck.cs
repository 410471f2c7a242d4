using System.Collections.Immutable;
using RelayGate.Core.Smtp;

namespace RelayGate.Core.Policy;

/// <summary>Compares what one message adds with every limit in force, server first (DESIGN §5).</summary>
internal static class LimitCheck
{
    /// <summary>Usage of each level and limit, for the record. A level without limits shows its messages of the last hour.</summary>
    public static ImmutableArray<LevelUsage> Usage(Offer offer)
    {
        var levels = ImmutableArray.CreateBuilder<LevelUsage>(offer.Account.Levels.Length);
        for (int i = 0; i < offer.Account.Levels.Length; i++)
            AddLevel(offer, i, levels, stopAtFull: false, out _);
        return levels.DrainToImmutable();
    }

    /// <summary>
    /// What becomes of a message that some level has no room for, or that others wait before; null: nothing stops it. Where several levels stop it,
    /// the strictest of their actions wins, so that holding at one never takes mail past another that refuses.
    /// </summary>
    public static Decision? Stop(Offer offer)
    {
        int stopped = -1;
        OverLimitAction action = OverLimitAction.Hold;
        for (int i = 0; i < offer.Account.Levels.Length; i++)
        {
            if (!offer.Counts(offer.Account.Levels[i].Key))
                continue;
            OverLimitAction here = offer.Account.Levels[i].Action;
            if (!IsFull(offer, i))
            {
                if (offer.Usage.Held.AheadAt(i) == 0)
                    continue;
                here = OverLimitAction.Hold; // There is room, but it belongs to those that wait for it.
            }
            if (stopped >= 0 && Strictness(here) <= Strictness(action))
                continue;
            stopped = i;
            action = here;
        }
        return stopped < 0 ? null : Stop(offer, stopped, action);
    }

    internal static bool IsFull(Offer offer, int index)
    {
        UsageRing ring = offer.Usage.Rings[index];
        foreach (Limit limit in offer.Account.Levels[index].EnforcedAt(offer.Usage.Now).Limits)
        {
            if (ring.Used(limit.Unit, limit.Window, offer.Usage.Now) + Cost(offer, limit) > limit.Count)
                return true;
        }
        return false;
    }

    private static int Strictness(OverLimitAction action) => action switch
    {
        OverLimitAction.Reject => 2,
        OverLimitAction.Refuse => 1,
        _ => 0,
    };

    private static Decision Stop(Offer offer, int index, OverLimitAction action)
    {
        var levels = ImmutableArray.CreateBuilder<LevelUsage>(offer.Account.Levels.Length);
        LevelUsage? stopped = null;
        for (int i = 0; i <= index; i++)
            AddLevel(offer, i, levels, stopAtFull: i == index, out stopped);
        stopped ??= levels[^1]; // It has room, and others wait for it.
        DateTimeOffset now = offer.Usage.Now, next = NextPossible(offer);
        if (next == DateTimeOffset.MaxValue && stopped.Limit is not null) // There is no room for so many recipients before a boost ends, nor without it ever.
        {
            Decision never = offer.Refuse(Reasons.LimitReached, ReplyText.LimitReached("550 5.7.1", stopped, next, now));
            return never with { Levels = levels.DrainToImmutable(), Stopped = stopped };
        }
        if (action == OverLimitAction.Hold)
        {
            if (!offer.Usage.Held.HasRoomFor(offer.Message?.Octets ?? offer.Envelope.DeclaredOctets ?? 0))
            {
                Decision full = offer.Refuse(Reasons.HoldFull, ReplyText.HoldFull(offer.Account.Subscription!, $"{ReplyText.Object(stopped.Key, 40)} is over its limit"));
                return full with { Levels = levels.DrainToImmutable(), Stopped = stopped, NextPossible = offer.Usage.ToWall(next) };
            }
            DateTimeOffset release = HoldEstimate.Of(offer, index, next, offer.Usage.Held.AheadAt(index));
            return offer.Take(
                Verdict.Hold, Reasons.LimitReached, ReplyText.Held(stopped, offer.Usage.Held.AheadAt(index), offer.Usage.ToWall(release), offer.Usage.ToWall(now))) with
            {
                Held = HoldReason.Limit,
                Levels = levels.DrainToImmutable(),
                Stopped = stopped,
                NextPossible = offer.Usage.ToWall(release),
                RoomAt = next,
            };
        }
        string code = action == OverLimitAction.Reject ? "550 5.7.1" : "451 4.7.1";
        Decision refusal = offer.Refuse(Reasons.LimitReached, ReplyText.LimitReached(code, stopped, offer.Usage.ToWall(next), offer.Usage.ToWall(now)));
        return refusal with { Levels = levels.DrainToImmutable(), Stopped = stopped, NextPossible = offer.Usage.ToWall(next), RoomAt = next };
    }

    /// <summary>When every level has room, not only the one that refused.</summary>
    internal static DateTimeOffset NextPossible(Offer offer)
    {
        DateTimeOffset next = offer.Usage.Now, from;
        do
        {
            from = next;
            for (int i = 0; i < offer.Account.Levels.Length; i++)
            {
                if (!offer.Counts(offer.Account.Levels[i].Key))
                    continue;
                foreach (Limit limit in offer.Account.Levels[i].EnforcedAt(from).Limits)
                {
                    DateTimeOffset room = offer.Usage.Rings[i].WhenAtMost(limit.Count - Cost(offer, limit), limit.Unit, limit.Window, offer.Usage.Now);
                    next = room > next ? room : next;
                }
            }
        }
        while (next > from && next < DateTimeOffset.MaxValue); // A boost that ends meanwhile leaves less room.
        return next;
    }

    private static void AddLevel(Offer offer, int index, ImmutableArray<LevelUsage>.Builder levels, bool stopAtFull, out LevelUsage? full)
    {
        LevelLimit level = offer.Account.Levels[index];
        UsageRing ring = offer.Usage.Rings[index];
        full = null;
        if (!offer.Counts(level.Key))
            return;
        LimitSet limits = level.At(offer.Usage.Now);
        if (limits.Limits.IsEmpty)
            levels.Add(new LevelUsage(level.Key, null, level.Origin, ring.Used(LimitUnit.Messages, LimitWindow.Hour, offer.Usage.Now), 1));
        foreach (Limit limit in limits.Limits)
        {
            var usage = new LevelUsage(level.Key, limit, level.Origin, ring.Used(limit.Unit, limit.Window, offer.Usage.Now), Cost(offer, limit));
            levels.Add(usage);
            if (!stopAtFull || !level.IsEnforced || usage.After <= limit.Count)
                continue;
            full = usage;
            return;
        }
    }

    internal static long Cost(Offer offer, Limit limit) => limit.Unit == LimitUnit.Messages ? 1 : offer.Recipients;
}

/// <summary>Texts of refusals: one line, ASCII, under 200 characters with code and ref.</summary>
internal static class ReplyText
{
    private const int MaxLine = 199;
    private const int RefLength = 32; // "; ref " and a ULID.

    public static string LimitReached(string code, LevelUsage stopped, DateTimeOffset next, DateTimeOffset now)
    {
        Limit limit = stopped.Limit!.Value;
        string unit = limit.Unit == LimitUnit.Messages ? "messages" : "recipients";
        string adds = stopped.Cost > 1 ? $", this message adds {stopped.Cost}" : "";
        string rest = $" {(limit.Window == LimitWindow.Hour ? "hourly" : "daily")} limit reached: {stopped.Used}/{limit.Count} {unit}{adds}, next possible {Time(next, now)}";
        return $"{code} {Object(stopped.Key, MaxLine - RefLength - code.Length - 1 - rest.Length)}{rest}";
    }

    /// <summary>A 250 that says that the message waits here, for what, and about how long.</summary>
    /// <param name="ahead">Messages that wait before it.</param>
    public static string Held(LevelUsage stopped, long ahead, DateTimeOffset release, DateTimeOffset now)
    {
        const string Code = "250 2.0.0 Held: ";
        string used = stopped.Limit is { } limit
            ? $" {(limit.Window == LimitWindow.Hour ? "hourly" : "daily")} limit {stopped.Used}/{limit.Count} {(limit.Unit == LimitUnit.Messages ? "messages" : "recipients")}"
            : "";
        string rest = $"{used}{(ahead > 0 ? $", {ahead} before it" : "")}, released about {Time(release, now)}";
        return $"{Code}{Object(stopped.Key, MaxLine - RefLength - Code.Length - rest.Length)}{rest}";
    }

    /// <param name="why">Why a message would be held.</param>
    public static string HoldFull(string subscription, string why) =>
        $"451 4.7.1 Hold is full: subscription {Clean(subscription, 40)} has {HeldView.MaxMessages} messages or {HeldView.MaxOctets >> 20} MiB waiting ({why}); try again later";

    private static string Time(DateTimeOffset time, DateTimeOffset now) => time == DateTimeOffset.MaxValue ? "never"
        : time.UtcDateTime.Date == now.UtcDateTime.Date ? $"{time.UtcDateTime:HH:mm} UTC" : $"{time.UtcDateTime:yyyy-MM-dd HH:mm} UTC";

    public static string Window(Limit limit) => limit.Window == LimitWindow.Hour ? "an hour" : "a day";

    /// <summary>Level and name, cut in the middle where it is too long.</summary>
    public static string Object(AccountKey key, int maxLength) => Clean(key.ToString(), maxLength);

    /// <summary>Printable ASCII only: replies may hold UTF-8 only under SMTPUTF8 (RFC 6531 §3.7.4.2).</summary>
    public static string Clean(string text, int maxLength)
    {
        if (text.Length > maxLength)
        {
            int half = (maxLength - 3) / 2;
            text = $"{text[..half]}...{text[^half..]}";
        }
        return string.Create(text.Length, text, static (span, source) =>
        {
            for (int i = 0; i < span.Length; i++)
                span[i] = source[i] is >= ' ' and <= '~' ? source[i] : '?';
        });
    }
}
