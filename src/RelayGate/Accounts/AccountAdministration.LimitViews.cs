using System.Data.Common;
using System.Globalization;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Queue;

namespace RelayGate.Accounts;

public sealed partial class AccountAdministration
{
    private const int Hours = 24;

    /// <summary>The limits in force for one object, where they come from, how far they are used, and when its next message is possible.</summary>
    public async Task<AdminResult<LimitView>> ShowLimitAsync(AccountKey key, CancellationToken cancellationToken)
    {
        AdminResult<List<LimitFacts>> read = await ReadAsync(db => ReadFacts(db, [AccountNames.Key(key)]), cancellationToken);
        if (!read.IsOk)
            return new AdminResult<LimitView>(null, read.Error);
        LimitFacts facts = read.Value[0];
        UsageView usage = await _usage.SnapshotAsync([.. facts.Chain.Select(static level => level.Key)], cancellationToken);
        LimitView view = View(facts, usage);
        if (key.Class is { } of)
            view = view.Classes.FirstOrDefault(c => c.Key.Class == of) ?? NoClassLimit(facts, of);
        return new AdminResult<LimitView>(view, null);
    }

    /// <summary>An object and all below it, each before what is below it, a page at a time.</summary>
    /// <param name="depth">Levels below <paramref name="root"/> that are shown; 0: itself alone.</param>
    /// <param name="after">The object with which the last page ended, or null.</param>
    public async Task<AdminResult<Page<LimitNode>>> LimitTreeAsync(AccountKey root, int depth, AccountKey? after, int count, CancellationToken cancellationToken)
    {
        int size = Math.Clamp(count, 1, MaxPage);
        AdminResult<List<(AccountKey Key, int Depth)>> walked = await ReadAsync(
            db => new LimitWalk(db, AccountNames.Key(root).Object, depth).Next(after is { } known ? AccountNames.Key(known) : null, size + 1), cancellationToken);
        if (!walked.IsOk)
            return new AdminResult<Page<LimitNode>>(null, walked.Error);
        List<(AccountKey Key, int Depth)> nodes = walked.Value;
        bool isLast = nodes.Count <= size;
        if (!isLast)
            nodes.RemoveAt(size);
        AdminResult<List<LimitFacts>> read = await ReadAsync(db => ReadFacts(db, [.. nodes.Select(static node => node.Key)]), cancellationToken);
        if (!read.IsOk)
            return new AdminResult<Page<LimitNode>>(null, read.Error);
        var items = new List<LimitNode>(nodes.Count);
        for (int i = 0; i < nodes.Count; i++)
        {
            UsageView usage = await _usage.SnapshotAsync([.. read.Value[i].Chain.Select(static level => level.Key)], cancellationToken);
            items.Add(new LimitNode(View(read.Value[i], usage), nodes[i].Depth));
        }
        return new AdminResult<Page<LimitNode>>(new Page<LimitNode>(items, isLast ? null : nodes[^1].Key.ToString()), null);
    }

    /// <param name="Chain">Limits of the object and all above it, server first, those of classes behind their object's.</param>
    private sealed record LimitFacts(
        AccountKey Key, IReadOnlyList<LevelLimit> Chain, ObjectLimits Own, (int Percent, string Origin) WarnAt, (bool IsOn, string? Origin) Enforcement,
        (int Count, string Origin) MaxRecipients, bool EnforcesAny, HourTotals Day, HourTotals ThisHour);

    private readonly record struct HourTotals(long Messages, long Refused, long Exempt);

    private List<LimitFacts> ReadFacts(DbConnection db, IReadOnlyList<AccountKey> keys)
    {
        var objects = new AccountWrite(db);
        var reader = new AccountReader(_directory.Cache, db);
        EffectiveSettings settings = Settings(db);
        var facts = new List<LimitFacts>(keys.Count);
        foreach (AccountKey key in keys)
        {
            AccountKey[] chain = Chain(objects, key.Object);
            facts.Add(new LimitFacts(
                chain[^1], LimitsInForce.OfAll(ref reader, settings, chain), AccountSql.Limits(db, chain[^1]), LimitsInForce.WarnAt(ref reader, settings, chain, null),
                LimitsInForce.Enforcement(ref reader, chain, null), LimitsInForce.MaxRecipients(ref reader, settings, chain), settings.EnforceLimits,
                Totals(db, chain[^1], Hours), Totals(db, chain[^1], 0)));
        }
        return facts;
    }

    private LimitView View(LimitFacts facts, UsageView usage)
    {
        (DateTimeOffset? next, AccountKey? stopped) = Next(facts, usage);
        LimitView[] views = [.. facts.Chain.Select((level, i) => (level, i)).Where(l => l.level.Key.Object == facts.Key).Select(l => View(l.level, usage.Rings[l.i], usage))];
        EachLimitView[] each =
        [
            .. facts.Own.Rows.Where(static row => row.Each is not null).Select(static row => new EachLimitView(
                row.Each!.Value, row.Class, row.Limits?.ToString(), row.Action, row.MaxRecipients, row.WarnAt, row.IsEnforced)),
        ];
        return views[0] with
        {
            Refused = facts.Day.Refused,
            RefusedThisHour = facts.ThisHour.Refused,
            Messages = facts.Day.Messages,
            Exempt = facts.Day.Exempt,
            Each = each,
            EnforcementOrigin = facts.EnforcesAny ? facts.Enforcement.Origin : "Limits:Enforce",
            IsEnforced = views[0].IsEnforced && facts.EnforcesAny,
            WarnAtOrigin = facts.WarnAt.Origin,
            MaxRecipients = facts.MaxRecipients.Count,
            MaxRecipientsOrigin = facts.MaxRecipients.Origin,
            NextPossible = next,
            StoppedBy = stopped,
            Classes = [.. views[1..].Select(of => of with { IsEnforced = of.IsEnforced && facts.EnforcesAny })],
            EnforcesAny = facts.EnforcesAny,
        };
    }

    private LimitView View(LevelLimit level, UsageRing ring, UsageView usage)
    {
        List<LimitUse> uses = [.. level.At(usage.Now).Limits.Select(limit => Use(limit, ring, usage))];
        if (uses.Count == 0)
            uses.Add(new LimitUse(null, ring.Used(LimitUnit.Messages, LimitWindow.Hour, usage.Now), null, null));
        return new LimitView(level.Key, level.Limits.ToString(), level.Origin, level.Action, uses, 0, [])
        {
            Boost = level.Boost is { } boost && usage.Now < boost.Until ? new BoostView(boost.Amount, usage.ToWall(boost.Until)) : null,
            IsEnforced = level.IsEnforced,
            WarnAt = level.WarnAt,
            Held = _usage.Holds.WaitingAt(level.Key),
        };
    }

    /// <summary>What the policy says of a message now, whatever its class.</summary>
    private static (DateTimeOffset? Next, AccountKey? StoppedBy) Next(LimitFacts facts, UsageView usage)
    {
        var account = new SenderAccount
        {
            Identity = new SenderIdentity(IdentityKind.Login, facts.Key.Name),
            Subscription = facts.Key.Name,
            Levels = [.. facts.Chain],
            SenderMode = SenderMode.Trust,
            MaxMessageOctets = long.MaxValue,
            MaxRecipients = int.MaxValue,
            IsExemptFromLimits = !facts.EnforcesAny,
        };
        Decision decision = RelayPolicy.Decide(account, usage, Envelope.Begin(new ReversePath(MailboxAddress.Parse("anybody@invalid.invalid"))), null);
        return (decision.NextPossible, decision.Stopped?.Key);
    }

    private static LimitView NoClassLimit(LimitFacts facts, MessageClass of) =>
        new(facts.Key with { Class = of }, "unlimited", "no limit for this class", OverLimitAction.Refuse, [new LimitUse(null, 0, null, null)], 0, []);

    private static LimitUse Use(Limit limit, UsageRing ring, UsageView usage)
    {
        DateTimeOffset next = ring.WhenAtMost(limit.Count - 1, limit.Unit, limit.Window, usage.Now);
        long used = ring.Used(limit.Unit, limit.Window, usage.Now);
        return new LimitUse(limit.ToString(), used, (int)Math.Min(int.MaxValue, used * 100.0 / limit.Count), next > usage.Now ? usage.ToWall(next) : null);
    }

    /// <summary>Hourly totals of an object over the running hour and some before it.</summary>
    private HourTotals Totals(DbConnection db, AccountKey key, int before)
    {
        long hour = _time.GetUtcNow().ToUnixTimeSeconds() / 3600;
        var totals = default(HourTotals);
        for (long h = hour - before; h <= hour; h++) // Each a look-up by key: the table has every object of an hour side by side.
        {
            foreach (HourTotals row in db.All(
                "select messages, refused, exempt from usage_hour where hour = $1 and level = $2 and name = $3",
                static row => new HourTotals(row.GetInt64(0), row.GetInt64(1), row.GetInt64(2)), h, (int)key.Level, key.Name))
                totals = new HourTotals(totals.Messages + row.Messages, totals.Refused + row.Refused, totals.Exempt + row.Exempt);
        }
        return totals;
    }
}

/// <summary>One object of a tree of limits.</summary>
/// <param name="Depth">Levels below the root of the tree.</param>
public sealed record LimitNode(LimitView Limit, int Depth);
