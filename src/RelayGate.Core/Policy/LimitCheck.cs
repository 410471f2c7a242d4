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

    /// <summary>The refusal by the outermost level without room for the whole message, or null.</summary>
    public static Decision? FirstFull(Offer offer)
    {
        for (int i = 0; i < offer.Account.Levels.Length; i++)
        {
            UsageRing ring = offer.Usage.Rings[i];
            foreach (Limit limit in offer.Account.Levels[i].Limits.Limits)
            {
                if (ring.Used(limit.Unit, limit.Window, offer.Usage.Now) + Cost(offer, limit) > limit.Count)
                    return Refuse(offer);
            }
        }
        return null;
    }

    private static Decision Refuse(Offer offer)
    {
        var levels = ImmutableArray.CreateBuilder<LevelUsage>(offer.Account.Levels.Length);
        LevelUsage? stopped = null;
        OverLimitAction action = OverLimitAction.Refuse;
        for (int i = 0; stopped is null && i < offer.Account.Levels.Length; i++)
        {
            AddLevel(offer, i, levels, stopAtFull: true, out stopped);
            action = offer.Account.Levels[i].Action;
        }
        DateTimeOffset next = offer.Usage.ToWall(NextPossible(offer));
        string code = action == OverLimitAction.Reject ? "550 5.7.1" : "451 4.7.1";
        Decision refusal = offer.Refuse(Reasons.LimitReached, ReplyText.LimitReached(code, stopped!, next, offer.Usage.ToWall(offer.Usage.Now)));
        return refusal with { Levels = levels.DrainToImmutable(), Stopped = stopped, NextPossible = next };
    }

    /// <summary>When every level has room, not only the one that refused.</summary>
    private static DateTimeOffset NextPossible(Offer offer)
    {
        DateTimeOffset next = offer.Usage.Now;
        for (int i = 0; i < offer.Account.Levels.Length; i++)
        {
            foreach (Limit limit in offer.Account.Levels[i].Limits.Limits)
            {
                DateTimeOffset room = offer.Usage.Rings[i].WhenAtMost(limit.Count - Cost(offer, limit), limit.Unit, limit.Window, offer.Usage.Now);
                next = room > next ? room : next;
            }
        }
        return next;
    }

    private static void AddLevel(Offer offer, int index, ImmutableArray<LevelUsage>.Builder levels, bool stopAtFull, out LevelUsage? full)
    {
        LevelLimit level = offer.Account.Levels[index];
        UsageRing ring = offer.Usage.Rings[index];
        full = null;
        if (level.Limits.Limits.IsEmpty)
            levels.Add(new LevelUsage(level.Key, null, level.Origin, ring.Used(LimitUnit.Messages, LimitWindow.Hour, offer.Usage.Now), 1));
        foreach (Limit limit in level.Limits.Limits)
        {
            var usage = new LevelUsage(level.Key, limit, level.Origin, ring.Used(limit.Unit, limit.Window, offer.Usage.Now), Cost(offer, limit));
            levels.Add(usage);
            if (!stopAtFull || usage.After <= limit.Count)
                continue;
            full = usage;
            return;
        }
    }

    private static long Cost(Offer offer, Limit limit) => limit.Unit == LimitUnit.Messages ? 1 : offer.Recipients;
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
        DateTimeOffset utc = next.ToUniversalTime();
        string time = utc.Date == now.UtcDateTime.Date ? $"{utc:HH:mm}" : $"{utc:yyyy-MM-dd HH:mm}";
        string rest = $" {(limit.Window == LimitWindow.Hour ? "hourly" : "daily")} limit reached: {stopped.Used}/{limit.Count} {unit}{adds}, next possible {time} UTC";
        return $"{code} {Object(stopped.Key, MaxLine - RefLength - code.Length - 1 - rest.Length)}{rest}";
    }

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
