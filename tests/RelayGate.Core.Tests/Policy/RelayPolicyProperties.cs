using System.Collections.Immutable;
using FsCheck;
using FsCheck.Fluent;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using static RelayGate.Core.Tests.Policy.PolicySamples;

namespace RelayGate.Core.Tests.Policy;

public class RelayPolicyProperties
{
    [Fact]
    public void More_usage_never_turns_a_refusal_into_acceptance() =>
        Prop.ForAll(Offers().ToArbitrary(), Uses().ToArbitrary(), (offer, more) =>
        {
            Decision before = offer.Decide();
            Decision after = (offer with { Usage = Add(offer.Usage, more) }).Decide();
            return before.IsAccepted || !after.IsAccepted;
        }).QuickCheckThrowOnFailure();

    [Fact]
    public void A_tighter_limit_never_turns_a_refusal_into_acceptance() =>
        Prop.ForAll(Offers().ToArbitrary(), Gen.Choose(0, 4).ToArbitrary(), (offer, level) =>
        {
            LevelLimit old = offer.Account.Levels[level];
            LimitSet tighter = old.Limits.IsUnlimited ? Parse("3/h") : old.Limits.IsForbidden ? old.Limits : Parse(string.Join(',', old.Limits.Limits.Select(l => l with { Count = Math.Max(1, l.Count - 1) })));
            SenderAccount account = offer.Account with { Levels = offer.Account.Levels.SetItem(level, old with { Limits = tighter }) };
            return offer.Decide().IsAccepted || !(offer with { Account = account }).Decide().IsAccepted;
        }).QuickCheckThrowOnFailure();

    /// <summary>The promise itself: whatever is offered, accepted mail never exceeds a limit of any level.</summary>
    [Fact]
    public void What_is_accepted_fits_into_every_limit_of_every_level() =>
        Prop.ForAll(Offers().ToArbitrary(), offer =>
        {
            if (!offer.Decide().IsAccepted)
                return true;
            UsageView after = Add(offer.Usage, [offer.Recipients, offer.Recipients, offer.Recipients, offer.Recipients, offer.Recipients]);
            for (int i = 0; i < after.Rings.Count; i++)
            {
                LimitSet limits = offer.Account.Levels[i].Limits;
                if (limits.IsForbidden || limits.Limits.Any(limit => after.Rings[i].Used(limit.Unit, limit.Window, Now) > limit.Count))
                    return false;
            }
            return true;
        }).QuickCheckThrowOnFailure();

    [Fact]
    public void At_the_time_the_refusal_names_the_message_is_accepted() =>
        Prop.ForAll(Offers().ToArbitrary(), offer =>
        {
            Decision refused = offer.Decide();
            return refused.NextPossible is not { } next || (offer with { Usage = offer.Usage with { Now = next } }).Decide().IsAccepted;
        }).QuickCheckThrowOnFailure();

    /// <summary>The end of a boost may leave less room than there was before the time that was named.</summary>
    [Fact]
    public void So_it_is_where_boosts_end_and_levels_are_not_enforced() =>
        Prop.ForAll(Offers().ToArbitrary(), Gen.Choose(0, 200).ArrayOf(10).ToArbitrary(), (offer, numbers) =>
        {
            ImmutableArray<LevelLimit> levels = [.. offer.Account.Levels.Select((level, i) => level with
            {
                Boost = numbers[i] % 3 == 0 ? null : new LimitBoost(1 + numbers[i] % 9, Now.AddMinutes(numbers[i + 5] - 60), level.Limits.Plus(1 + numbers[i] % 9)),
                IsEnforced = numbers[i] % 5 != 0,
            })];
            Sample boosted = offer with { Account = offer.Account with { Levels = levels } };
            Decision decision = boosted.Decide();
            if (decision.NextPossible is { } next)
                return (boosted with { Usage = boosted.Usage with { Now = next } }).Decide().IsAccepted;
            UsageView after = Add(offer.Usage, [offer.Recipients, offer.Recipients, offer.Recipients, offer.Recipients, offer.Recipients]);
            return !decision.IsAccepted || levels.Select((level, i) => (Limits: level.EnforcedAt(Now), Ring: after.Rings[i]))
                .All(l => l.Limits.Limits.All(limit => l.Ring.Used(limit.Unit, limit.Window, Now) <= limit.Count));
        }).QuickCheckThrowOnFailure();

    [Fact]
    public void The_policy_changes_nothing_and_answers_the_same_again() =>
        Prop.ForAll(Offers().ToArbitrary(), offer =>
        {
            ImmutableArray<string> rings = [.. offer.Usage.Rings.Select(ring => Convert.ToHexString(ring.ToBytes()))];
            Decision first = offer.Decide();
            Decision second = offer.Decide();
            return first.Reply.Equals(second.Reply) && first.Levels.SequenceEqual(second.Levels)
                && rings.SequenceEqual(offer.Usage.Rings.Select(ring => Convert.ToHexString(ring.ToBytes())));
        }).QuickCheckThrowOnFailure();

    private sealed record Sample(SenderAccount Account, UsageView Usage, int Recipients)
    {
        public Decision Decide() => RelayPolicy.Decide(Account, Usage, PolicySamples.From("info@shop.test", Recipients), Facts);
    }

    private static Gen<Sample> Offers()
    {
        Gen<string> limit = from count in Gen.Choose(1, 12) from form in Gen.Elements("/h", "/d", "/h:rcpt", "/d:rcpt") select $"{count}{form}";
        Gen<LimitSet> limits = Gen.Frequency(
            (2, Gen.Constant(LimitSet.Unlimited)),
            (8, limit.Select(Parse)),
            (4, limit.Two().Select(pair => Parse($"{pair.Item1},{pair.Item2}"))));
        return from sets in limits.ArrayOf(5)
               from uses in Uses()
               from later in Gen.Choose(0, 40)
               from more in Uses()
               from recipients in Gen.Choose(1, 6)
               select new Sample(
                   Login with { Levels = [.. Login.Levels.Select((level, i) => level with { Limits = sets[i] })] },
                   Add(Add(new UsageView([.. Enumerable.Range(0, 5).Select(_ => new UsageRing())], Now.AddMinutes(-later)), uses) with { Now = Now }, more),
                   recipients);
    }

    /// <summary>Recipients of a message for each level; none is none.</summary>
    private static Gen<int[]> Uses() => Gen.Choose(0, 4).ArrayOf(5);

    private static UsageView Add(UsageView view, int[] recipients)
    {
        ImmutableArray<UsageRing> rings = [.. view.Rings.Select(ring => ring.Copy())];
        for (int i = 0; i < rings.Length; i++)
        {
            if (recipients[i] > 0)
                rings[i].Add(recipients[i], view.Now);
        }
        return view with { Rings = rings };
    }

    private static LimitSet Parse(string text) => LimitSet.TryParse(text, out LimitSet? limits) ? limits : throw new FormatException(text);
}
