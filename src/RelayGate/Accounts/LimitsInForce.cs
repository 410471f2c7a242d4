using System.Collections.Immutable;
using RelayGate.Core.Policy;

namespace RelayGate.Accounts;

/// <summary>
/// The limits of the levels a message counts at: an object's own, else the nearest ancestor's <c>--each</c>, else Limits:Defaults. A cap is never
/// inherited by another level. Enforcement, the share to warn at and the largest number of recipients are inherited in the same way, each by itself.
/// </summary>
internal static class LimitsInForce
{
    /// <summary>Origin of a limit that was set for the object itself.</summary>
    public const string Own = "own";

    /// <summary>The objects that a message counts at, server first.</summary>
    /// <param name="domain">Null: the message counts at no domain.</param>
    /// <param name="mailbox">Null: the message counts at no mailbox.</param>
    public static AccountKey[] Chain(SubscriptionRecord subscription, string? domain, string? mailbox)
    {
        var chain = new List<AccountKey>(5) { AccountKey.Server };
        if (subscription.Plan is { } plan)
            chain.Add(new AccountKey(Level.Plan, plan));
        chain.Add(new AccountKey(Level.Subscription, subscription.Name));
        if (domain is not null)
            chain.Add(new AccountKey(Level.Domain, domain));
        if (mailbox is not null)
            chain.Add(new AccountKey(Level.Mailbox, mailbox));
        return [.. chain];
    }

    /// <summary>The limits of each object of a chain, and behind them those of single classes.</summary>
    public static ImmutableArray<LevelLimit> OfAll(ref AccountReader reader, EffectiveSettings settings, ReadOnlySpan<AccountKey> chain)
    {
        var levels = ImmutableArray.CreateBuilder<LevelLimit>(chain.Length);
        for (int i = 0; i < chain.Length; i++)
        {
            LevelLimit level = Of(ref reader, settings, chain[..(i + 1)]);
            levels.Add(level);
            levels.AddRange(OfClasses(ref reader, settings, chain[..(i + 1)], level));
        }
        return levels.DrainToImmutable();
    }

    /// <param name="chain">The object and all above it, server first.</param>
    public static LevelLimit Of(ref AccountReader reader, EffectiveSettings settings, ReadOnlySpan<AccountKey> chain)
    {
        AccountKey key = chain[^1];
        (LimitRecord? row, string origin) = Find(ref reader, chain, null, static row => row.Limits is not null);
        LevelLimit level = row is { Limits: { } limits }
            ? new LevelLimit(key, limits, origin, row.Action)
            : new LevelLimit(key, settings.Defaults[(int)key.Level], $"Limits:Defaults:{key.Level}", settings.Over[(int)key.Level]);
        return Complete(ref reader, level with { WarnAt = WarnAt(ref reader, settings, chain, null).Percent, IsEnforced = Enforcement(ref reader, chain, null).IsOn });
    }

    /// <summary>The limits that an object has for single classes; most have none.</summary>
    public static List<LevelLimit> OfClasses(ref AccountReader reader, EffectiveSettings settings, ReadOnlySpan<AccountKey> chain, LevelLimit level)
    {
        var found = new List<LevelLimit>();
        bool any = false;
        foreach (AccountKey key in chain)
            any = any || reader.Limits(key) is { HasClasses: true };
        for (int i = 0; any && i < MessageClasses.Count; i++)
        {
            var of = (MessageClass)i;
            (LimitRecord? row, string origin) = Find(ref reader, chain, of, static row => row.Limits is not null);
            if (row is not { Limits: { } limits })
                continue;
            found.Add(Complete(ref reader, new LevelLimit(chain[^1] with { Class = of }, limits, origin, row.Action)
            {
                WarnAt = WarnAt(ref reader, settings, chain, of).Percent,
                IsEnforced = level.IsEnforced && Enforcement(ref reader, chain, of).IsOn,
            }));
        }
        return found;
    }

    /// <summary>The largest number of recipients of one message: parents win.</summary>
    /// <returns>And where it comes from.</returns>
    public static (int Count, string Origin) MaxRecipients(ref AccountReader reader, EffectiveSettings settings, ReadOnlySpan<AccountKey> chain)
    {
        (int Count, string Origin) least = (settings.MaxRecipients, "MaxRecipients");
        for (int i = 0; i < chain.Length; i++)
        {
            (LimitRecord? row, string origin) = Find(ref reader, chain[..(i + 1)], null, static row => row.MaxRecipients is not null);
            if (row?.MaxRecipients is { } count && count < least.Count)
                least = (count, i == chain.Length - 1 || origin != Own ? origin : chain[i].ToString());
        }
        return least;
    }

    /// <summary>The share of its limits at which an object is warned of; 0: never.</summary>
    public static (int Percent, string Origin) WarnAt(ref AccountReader reader, EffectiveSettings settings, ReadOnlySpan<AccountKey> chain, MessageClass? of)
    {
        (LimitRecord? row, string origin) = Find(ref reader, chain, of, static row => row.WarnAt is not null);
        if (row is null && of is not null)
            (row, origin) = Find(ref reader, chain, null, static row => row.WarnAt is not null);
        return row?.WarnAt is { } percent ? (percent, origin) : (settings.WarnAt, "Limits:WarnAt");
    }

    public static (bool IsOn, string? Origin) Enforcement(ref AccountReader reader, ReadOnlySpan<AccountKey> chain, MessageClass? of)
    {
        (LimitRecord? row, string origin) = Find(ref reader, chain, of, static row => row.IsEnforced is not null);
        return row?.IsEnforced is { } isOn ? (isOn, origin) : (true, null);
    }

    private static LevelLimit Complete(ref AccountReader reader, LevelLimit level) =>
        reader.Limits(level.Key.Object)?.BoostOf(level.Key.Class) is { } boost
            ? level with { Boost = new LimitBoost(boost.Amount, boost.Until, level.Limits.Plus(boost.Amount)) }
            : level;

    /// <summary>The nearest row that says something: the object's own, else that of the nearest ancestor for its level.</summary>
    private static (LimitRecord? Row, string Origin) Find(ref AccountReader reader, ReadOnlySpan<AccountKey> chain, MessageClass? of, Func<LimitRecord, bool> says)
    {
        AccountKey key = chain[^1];
        if (reader.Limits(key)?.Find(null, of) is { } own && says(own))
            return (own, Own);
        for (int i = chain.Length - 2; i >= 0; i--)
        {
            if (reader.Limits(chain[i])?.Find(key.Level, of) is { } each && says(each))
                return (each, $"{chain[i]} --each {key.Level.ToString().ToLowerInvariant()}");
        }
        return (null, "");
    }
}
