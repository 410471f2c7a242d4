using System.Data.Common;
using RelayGate.Core.Policy;
using RelayGate.Queue;
using RelayGate.Storage;

namespace RelayGate.Accounts;

public sealed partial class AccountAdministration
{
    private static readonly TimeSpan MaxBoost = TimeSpan.FromDays(31);

    private static readonly (LimitParts Part, string Column)[] PartColumns =
        [(LimitParts.Limits, "value"), (LimitParts.MaxRecipients, "max_recipients"), (LimitParts.WarnAt, "warn_at"), (LimitParts.Enforcement, "enforce")];

    /// <summary>Sets an object's own limits or, with <paramref name="each"/>, the default for the objects of a level below it.</summary>
    /// <param name="key">With a class: for mail of that class alone.</param>
    /// <param name="value"><c>N/h</c>, <c>N/d</c>, <c>N/h:rcpt</c>, <c>N/d:rcpt</c>, several with commas, <c>unlimited</c> or <c>forbidden</c>.</param>
    /// <param name="action">What happens to mail over it; null: as it was, at first Limits:Over of its level.</param>
    public Task<AdminResult<LimitView>> SetLimitAsync(AccountKey key, Level? each, string value, OverLimitAction? action, CancellationToken cancellationToken, string by = AuditRows.Gateway) =>
        SetLimitAsync(key, each, new LimitChange(value, action), cancellationToken, by);

    /// <summary>Sets what is given of an object's limits; the rest stays.</summary>
    public Task<AdminResult<LimitView>> SetLimitAsync(AccountKey key, Level? each, LimitChange change, CancellationToken cancellationToken, string by = AuditRows.Gateway) =>
        ThenShowAsync(key, write =>
        {
            AccountKey stored = Existing(write, key);
            CheckEach(stored, each);
            LimitRecord? before = AccountSql.Limits(write.Db, stored).Find(each, stored.Class);
            CheckChange(stored, each, change, before, Settings(write.Db));
            OverLimitAction action = change.Over ?? before?.Action ?? Settings(write.Db).Over[(int)(each ?? stored.Level)];
            bool? enforce = change.Enforce ?? before?.IsEnforced;
            write.Db.Execute(
                """
                insert into object_limit (level, name, each, class, value, action, max_recipients, warn_at, enforce) values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
                on conflict (level, name, each, class) do update set value = excluded.value, action = excluded.action,
                  max_recipients = excluded.max_recipients, warn_at = excluded.warn_at, enforce = excluded.enforce
                """,
                (int)stored.Level, stored.Name, Number(each), UsageTable.Number(stored.Class), (change.Value is { } value ? Parse(value) : before?.Limits)?.ToString(), (int)action,
                change.MaxRecipients ?? before?.MaxRecipients, change.WarnAt ?? before?.WarnAt, enforce is { } isOn ? (isOn ? 1 : 0) : null);
            LimitChanged(write, stored, each, "limit set", before);
            return stored;
        }, by, cancellationToken);

    /// <summary>Takes limits back, so that the next ones in line are in force.</summary>
    /// <param name="parts">Which of what is set there.</param>
    public Task<AdminResult<LimitView>> UnsetLimitAsync(
        AccountKey key, Level? each, CancellationToken cancellationToken, string by = AuditRows.Gateway, LimitParts parts = LimitParts.All) => ThenShowAsync(key, write =>
    {
        AccountKey stored = Existing(write, key);
        CheckEach(stored, each);
        LimitRecord? before = AccountSql.Limits(write.Db, stored).Find(each, stored.Class);
        LimitParts set = before is null ? LimitParts.None
            : (before.Limits is null ? LimitParts.None : LimitParts.Limits) | (before.MaxRecipients is null ? LimitParts.None : LimitParts.MaxRecipients)
                | (before.WarnAt is null ? LimitParts.None : LimitParts.WarnAt) | (before.IsEnforced is null ? LimitParts.None : LimitParts.Enforcement);
        if ((set & parts) == LimitParts.None)
            throw AdminException.NotFound($"{(parts == LimitParts.All ? $"No {(each is null ? "limit of its own" : $"--each {Word(each.Value)} limit")}" : "Nothing of that")} is set for {stored}; see: relaygate limit show {Command(stored)}");
        object[] row = [(int)stored.Level, stored.Name, Number(each), UsageTable.Number(stored.Class)];
        if ((set & ~parts) == LimitParts.None)
        {
            write.Db.Execute("delete from object_limit where level = $1 and name = $2 and each = $3 and class = $4", row);
        }
        else
        {
            string[] columns = [.. PartColumns.Where(p => parts.HasFlag(p.Part)).Select(static p => $"{p.Column} = null")];
            write.Db.Execute($"update object_limit set {string.Join(", ", columns)} where level = $1 and name = $2 and each = $3 and class = $4", row);
        }
        LimitChanged(write, stored, each, "limit unset", before);
        return stored;
    }, by, cancellationToken);

    /// <summary>
    /// Gives an object more room for a time: each of its own limits, of the hour and of the day, of messages and of recipients, is so much higher.
    /// It ends by itself, by the usage clock, also over a restart; another one takes its place. Limits of the objects above it still hold.
    /// </summary>
    /// <param name="amount">1 to <see cref="LimitSet.MaxCount"/>.</param>
    /// <param name="time">A minute to 31 days.</param>
    public async Task<AdminResult<LimitView>> BoostLimitAsync(AccountKey key, long amount, TimeSpan time, CancellationToken cancellationToken, string by = AuditRows.Gateway)
    {
        AdminResult<LimitView> now = await ShowLimitAsync(key, cancellationToken);
        if (!now.IsOk)
            return now;
        return await ThenShowAsync(key, write =>
        {
            AccountKey stored = Existing(write, key);
            if (amount is < 1 or > LimitSet.MaxCount)
                throw AdminException.Invalid($"A boost adds from 1 to {LimitSet.MaxCount}; write it like +500");
            if (time < TimeSpan.FromMinutes(1) || time > MaxBoost)
                throw AdminException.Invalid($"A boost lasts from a minute to {MaxBoost.TotalDays:0} days; write --for 2h");
            if (now.Value.Value is "unlimited" or "forbidden")
                throw AdminException.Conflict($"{stored} is {now.Value.Value}, so that there is no limit to boost; set one: relaygate limit set {Command(stored)} N/h");
            DateTimeOffset until = _usage.Now + time;
            string before = BoostText(AccountSql.Limits(write.Db, stored).BoostOf(stored.Class));
            write.Db.Execute(
                """
                insert into limit_boost (level, name, class, amount, until) values ($1, $2, $3, $4, $5)
                on conflict (level, name, class) do update set amount = excluded.amount, until = excluded.until
                """,
                (int)stored.Level, stored.Name, UsageTable.Number(stored.Class), amount, until.ToUnixTimeMilliseconds());
            BoostChanged(write, stored, "limit boost", before);
            return stored;
        }, by, cancellationToken);
    }

    /// <summary>Ends a boost before its time.</summary>
    public Task<AdminResult<LimitView>> EndBoostAsync(AccountKey key, CancellationToken cancellationToken, string by = AuditRows.Gateway) => ThenShowAsync(key, write =>
    {
        AccountKey stored = Existing(write, key);
        string before = BoostText(AccountSql.Limits(write.Db, stored).BoostOf(stored.Class));
        if (before.Length == 0)
            throw AdminException.NotFound($"{stored} has no boost; see: relaygate limit show {Command(stored)}");
        write.Db.Execute("delete from limit_boost where level = $1 and name = $2 and class = $3", (int)stored.Level, stored.Name, UsageTable.Number(stored.Class));
        BoostChanged(write, stored, "limit boost", before);
        return stored;
    }, by, cancellationToken);

    /// <summary>Makes the use of an object's limits, and of those for its classes, zero from now on. Other objects and the history stay as they are.</summary>
    public async Task<AdminResult<LimitView>> ResetLimitAsync(AccountKey key, CancellationToken cancellationToken, string by = AuditRows.Gateway)
    {
        AdminResult<object> done = await WriteAsync<object>((write, context) =>
        {
            AccountKey stored = Existing(write, key);
            UsageRing ring = context.Usage.RingOf(stored, context.Connection);
            string before = $"{ring.Used(LimitUnit.Messages, LimitWindow.Hour, _usage.Now)} messages in the hour, {ring.Used(LimitUnit.Messages, LimitWindow.Day, _usage.Now)} in the day";
            context.Usage.Reset(stored, context.Connection);
            if (stored.Class is null)
            {
                foreach (MessageClass of in Enum.GetValues<MessageClass>())
                    context.Usage.Reset(stored with { Class = of }, context.Connection);
            }
            string? subscription = Touch(write, stored);
            write.Audit(ClassVerb("limit reset", stored), stored.Object.ToString(), subscription, before, "0");
            return stored;
        }, by, cancellationToken);
        return done.IsOk ? await ShowLimitAsync(key, cancellationToken) : new AdminResult<LimitView>(null, done.Error);
    }

    private async Task<AdminResult<LimitView>> ThenShowAsync(AccountKey key, Func<AccountWrite, object> write, string by, CancellationToken cancellationToken)
    {
        AdminResult<object> written = await WriteAsync(write, by, cancellationToken);
        return written.IsOk ? await ShowLimitAsync(key, cancellationToken) : new AdminResult<LimitView>(null, written.Error);
    }

    private static AccountKey Existing(AccountWrite write, AccountKey key)
    {
        AccountKey stored = AccountNames.Key(key);
        return Chain(write, stored.Object)[^1] with { Class = stored.Class };
    }

    /// <summary>An existing object and all above it, server first.</summary>
    /// <exception cref="AdminException">There is no such object.</exception>
    internal static AccountKey[] PathOf(DbConnection db, AccountKey key) => Chain(new AccountWrite(db), key);

    /// <summary>An existing object and all above it, server first.</summary>
    private static AccountKey[] Chain(AccountWrite objects, AccountKey key)
    {
        var chain = new List<AccountKey> { key };
        while (chain[0].Level != Level.Server)
        {
            chain.Insert(0, chain[0].Level switch
            {
                Level.Mailbox => new AccountKey(Level.Domain, objects.Mailbox(chain[0].Name).Domain),
                Level.Domain => new AccountKey(Level.Subscription, objects.Domain(chain[0].Name).Subscription),
                Level.Subscription => objects.Subscription(chain[0].Name).Plan is { } plan ? new AccountKey(Level.Plan, plan) : AccountKey.Server,
                _ => objects.Plan(chain[0].Name) is null ? default : AccountKey.Server,
            });
        }
        return [.. chain];
    }

    private static void LimitChanged(AccountWrite write, AccountKey key, Level? each, string what, LimitRecord? before)
    {
        write.Change.Records.Add((RecordKind.ServerLimits + (int)key.Level, key.Name));
        string? subscription = Touch(write, key);
        string verb = ClassVerb(each is { } level ? $"{what} --each {Word(level)}" : what, key);
        write.Audit(verb, key.Object.ToString(), subscription, AuditText.Of(before), AuditText.Of(AccountSql.Limits(write.Db, key).Find(each, key.Class)));
    }

    private void BoostChanged(AccountWrite write, AccountKey key, string what, string before)
    {
        write.Change.Records.Add((RecordKind.ServerLimits + (int)key.Level, key.Name));
        string? subscription = Touch(write, key);
        write.Audit(ClassVerb(what, key), key.Object.ToString(), subscription, before, BoostText(AccountSql.Limits(write.Db, key).BoostOf(key.Class)));
    }

    /// <returns>"" for none, and for one that has ended.</returns>
    private string BoostText(BoostRecord? boost) => boost is null || boost.Until <= _usage.Now ? ""
        : $"+{boost.Amount} until {_usage.ViewOf([], [], _usage.Now).ToWall(boost.Until).UtcDateTime:yyyy-MM-dd HH:mm} UTC";

    private static string ClassVerb(string what, AccountKey key) => key.Class is { } of ? $"{what} --class {of.Word()}" : what;

    /// <summary>An object as it is named on the command line.</summary>
    private static string Command(AccountKey key) => key.Class is { } of ? $"{key.Object} --class {of.Word()}" : key.ToString();

    private static LimitSet Parse(string value)
    {
        if (!LimitSet.TryParse(value, out LimitSet? limits))
            throw AdminException.Invalid(BadLimit(value));
        return limits.Limits.Select(static limit => (limit.Unit, limit.Window)).Distinct().Count() == limits.Limits.Length ? limits
            : throw AdminException.Invalid($"'{AccountNames.Printable(value)}' limits the same thing twice; give one number for each of N/h, N/d, N/h:rcpt and N/d:rcpt");
    }

    private static void CheckChange(AccountKey key, Level? each, LimitChange change, LimitRecord? before, EffectiveSettings settings)
    {
        if (change == new LimitChange())
            throw AdminException.Invalid("Say what to set: a limit (N/h, N/d, N/h:rcpt, N/d:rcpt, unlimited, forbidden), --max-recipients, --warn-at or --enforce");
        if (change.Over is not null && change.Value is null && before?.Limits is null)
            throw AdminException.Invalid($"--over goes with a limit that is set at the same place, and {(each is { } below ? $"none is set for each {Word(below)} there" : $"{key} has none of its own")}; "
                + $"give both: relaygate limit set {Command(key)}{(each is { } level ? $" --each {Word(level)}" : "")} N/h --over {Word(change.Over.Value)}");
        if (change.MaxRecipients is not null && key.Class is not null)
            throw AdminException.Invalid("--max-recipients is for all mail of an object: the class of a message is not known before its data");
        if (change.MaxRecipients is { } count && (count < 1 || count > settings.MaxRecipients))
            throw AdminException.Invalid($"--max-recipients is {count}: a number from 1 to {settings.MaxRecipients} (MaxRecipients) is expected");
        if (change.WarnAt is < 0 or > 100)
            throw AdminException.Invalid($"--warn-at is {change.WarnAt}: a percentage from 0 (never) to 100 is expected");
    }

    private static void CheckEach(AccountKey key, Level? each)
    {
        if (each is { } level && (level <= key.Level || level == Level.Plan))
            throw AdminException.Invalid($"--each {Word(level)} says nothing for {key.Object}: it sets the default for objects below one, of kind subscription, domain or mailbox");
    }

    /// <summary>What is wrong with a limit, and what would be right.</summary>
    internal static string BadLimit(string value) => value.Trim() == "0"
        ? "0 means \"none\" to some and \"no limit\" to others; write forbidden or unlimited"
        : $"'{AccountNames.Printable(value)}' is no limit; write N/h or N/d (messages), N/h:rcpt or N/d:rcpt (recipients), several with commas, unlimited or forbidden";

    private static int Number(Level? each) => each is { } level ? (int)level : -1;

    private static string Word<T>(T value)
        where T : struct, Enum => value.ToString().ToLowerInvariant();
}
