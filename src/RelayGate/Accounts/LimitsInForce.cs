using System.Collections.Immutable;
using RelayGate.Core.Policy;

namespace RelayGate.Accounts;

/// <summary>
/// The limits of the levels a message counts at: an object's own, else the nearest ancestor's <c>--each</c>, else Limits:Defaults. A cap is never
/// inherited by another level.
/// </summary>
internal static class LimitsInForce
{
    /// <summary>Origin of a limit that was set for the object itself.</summary>
    public const string Own = "own";

    /// <param name="domain">Null: the message counts at no domain.</param>
    /// <param name="mailbox">Null: the message counts at no mailbox.</param>
    public static ImmutableArray<LevelLimit> Of(
        ref AccountReader reader, EffectiveSettings settings, SubscriptionRecord subscription, string? domain, string? mailbox)
    {
        Span<AccountKey> chain = new AccountKey[5];
        int count = 0;
        chain[count++] = AccountKey.Server;
        if (subscription.Plan is { } plan)
            chain[count++] = new AccountKey(Level.Plan, plan);
        chain[count++] = new AccountKey(Level.Subscription, subscription.Name);
        if (domain is not null)
            chain[count++] = new AccountKey(Level.Domain, domain);
        if (mailbox is not null)
            chain[count++] = new AccountKey(Level.Mailbox, mailbox);
        var levels = ImmutableArray.CreateBuilder<LevelLimit>(count);
        for (int i = 0; i < count; i++)
            levels.Add(Of(ref reader, settings, chain[..(i + 1)]));
        return levels.MoveToImmutable();
    }

    /// <param name="chain">The object and all above it, server first.</param>
    public static LevelLimit Of(ref AccountReader reader, EffectiveSettings settings, ReadOnlySpan<AccountKey> chain)
    {
        AccountKey key = chain[^1];
        if (reader.Limits(key)?.Own is { } own)
            return new LevelLimit(key, own.Limits, Own, own.Action);
        for (int i = chain.Length - 2; i >= 0; i--)
        {
            if (reader.Limits(chain[i])?.Find(key.Level) is { } each)
                return new LevelLimit(key, each.Limits, $"{chain[i]} --each {key.Level.ToString().ToLowerInvariant()}", each.Action);
        }
        return new LevelLimit(key, settings.Defaults[(int)key.Level], $"Limits:Defaults:{key.Level}", settings.Over[(int)key.Level]);
    }
}
