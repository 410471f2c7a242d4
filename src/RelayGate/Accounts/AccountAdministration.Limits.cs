using System.Data.Common;
using RelayGate.Core.Policy;
using RelayGate.Storage;

namespace RelayGate.Accounts;

public sealed partial class AccountAdministration
{
    private const int RefusedHours = 24;

    /// <summary>Sets an object's own cap or, with <paramref name="each"/>, the default for the objects of a level below it.</summary>
    /// <param name="value"><c>N/h</c>, <c>N/d</c>, <c>N/h:rcpt</c>, <c>N/d:rcpt</c>, several with commas, <c>unlimited</c> or <c>forbidden</c>.</param>
    /// <param name="action">What happens to mail over it; null: as it was, at first Limits:Over of its level.</param>
    public Task<AdminResult<LimitView>> SetLimitAsync(AccountKey key, Level? each, string value, OverLimitAction? action, CancellationToken cancellationToken, string by = AuditRows.Gateway) =>
        ThenShowAsync(key, write =>
        {
            AccountKey stored = Existing(write, key);
            CheckEach(stored, each);
            if (!LimitSet.TryParse(value, out LimitSet? limits))
                throw AdminException.Invalid(BadLimit(value));
            if (limits.Limits.Select(static limit => (limit.Unit, limit.Window)).Distinct().Count() < limits.Limits.Length)
                throw AdminException.Invalid($"'{AccountNames.Printable(value)}' limits the same thing twice; give one number for each of N/h, N/d, N/h:rcpt and N/d:rcpt");
            LimitRecord? before = AccountSql.Limits(write.Db, stored).Find(each);
            OverLimitAction kept = action ?? before?.Action ?? Settings(write.Db).Over[(int)(each ?? stored.Level)];
            write.Db.Execute(
                """
                insert into object_limit (level, name, each, value, action) values ($1, $2, $3, $4, $5)
                on conflict (level, name, each) do update set value = excluded.value, action = excluded.action
                """,
                (int)stored.Level, stored.Name, Number(each), limits.ToString(), (int)kept);
            LimitChanged(write, stored, each, "limit set", before);
            return stored;
        }, by, cancellationToken);

    /// <summary>Takes a limit back, so that the next one in line is in force.</summary>
    public Task<AdminResult<LimitView>> UnsetLimitAsync(AccountKey key, Level? each, CancellationToken cancellationToken, string by = AuditRows.Gateway) => ThenShowAsync(key, write =>
    {
        AccountKey stored = Existing(write, key);
        CheckEach(stored, each);
        LimitRecord? before = AccountSql.Limits(write.Db, stored).Find(each);
        if (write.Db.Execute("delete from object_limit where level = $1 and name = $2 and each = $3", (int)stored.Level, stored.Name, Number(each)) == 0)
            throw AdminException.NotFound($"No {(each is null ? "limit of its own" : $"--each {Word(each.Value)} limit")} is set for {stored}; see: relaygate limit show {stored}");
        LimitChanged(write, stored, each, "limit unset", before);
        return stored;
    }, by, cancellationToken);

    /// <summary>The limits in force for one object, where they come from, and how far they are used.</summary>
    public async Task<AdminResult<LimitView>> ShowLimitAsync(AccountKey key, CancellationToken cancellationToken)
    {
        long hour = _time.GetUtcNow().ToUnixTimeSeconds() / 3600;
        AdminResult<Tuple<LevelLimit, ObjectLimits, long>> read = await ReadAsync(db =>
        {
            var objects = new AccountWrite(db);
            AccountKey[] chain = Chain(objects, AccountNames.Key(key));
            var reader = new AccountReader(_directory.Cache, db);
            LevelLimit limit = LimitsInForce.Of(ref reader, Settings(db), chain);
            return Tuple.Create(limit, AccountSql.Limits(db, chain[^1]), Refused(db, chain[^1], hour));
        }, cancellationToken);
        if (!read.IsOk)
            return new AdminResult<LimitView>(null, read.Error);
        (LevelLimit inForce, ObjectLimits own, long refused) = read.Value;
        UsageView view = await _usage.SnapshotAsync([inForce.Key], cancellationToken);
        UsageRing ring = view.Rings[0];
        List<LimitUse> uses = [.. inForce.Limits.Limits.Select(limit => Use(limit, view))];
        if (uses.Count == 0)
            uses.Add(new LimitUse(null, ring.Used(LimitUnit.Messages, LimitWindow.Hour, view.Now), null));
        EachLimitView[] each = [.. own.Rows.Where(static row => row.Each is not null).Select(static row => new EachLimitView(row.Each!.Value, row.Limits.ToString(), row.Action))];
        return new AdminResult<LimitView>(new LimitView(inForce.Key, inForce.Limits.ToString(), inForce.Origin, inForce.Action, uses, refused, each), null);
    }

    /// <summary>The objects directly below one, with their kind, for walking the tree of limits.</summary>
    /// <param name="after">Name after which to go on, or null.</param>
    public Task<AdminResult<Page<AccountKey>>> ListBelowAsync(AccountKey key, string? after, int count, CancellationToken cancellationToken) => ListAsync(
        count,
        (db, rows) =>
        {
            AccountKey stored = AccountNames.Key(key);
            (string sql, Level level) = stored.Level switch
            {
                Level.Server => ("select name from plan where name > $1 order by name limit $2", Level.Plan),
                Level.Plan => ("select name from subscription where plan = $3 and name > $1 order by name limit $2", Level.Subscription),
                Level.Subscription => ("select name from domain where subscription = $3 and name > $1 order by name limit $2", Level.Domain),
                Level.Domain => ("select address from mailbox where domain = $3 and address > $1 order by address limit $2", Level.Mailbox),
                _ => throw AdminException.Invalid("There is nothing below a mailbox"),
            };
            return db.All(sql, row => new AccountKey(level, row.GetString(0)), stored.Level == Level.Server ? [after ?? "", rows] : [after ?? "", rows, stored.Name]);
        },
        static below => below.Name,
        cancellationToken);

    private async Task<AdminResult<LimitView>> ThenShowAsync(AccountKey key, Func<AccountWrite, object> write, string by, CancellationToken cancellationToken)
    {
        AdminResult<object> written = await WriteAsync(write, by, cancellationToken);
        return written.IsOk ? await ShowLimitAsync(key, cancellationToken) : new AdminResult<LimitView>(null, written.Error);
    }

    private static AccountKey Existing(AccountWrite write, AccountKey key)
    {
        AccountKey stored = AccountNames.Key(key);
        return Chain(write, stored)[^1];
    }

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
        write.Audit(each is { } level ? $"{what} --each {Word(level)}" : what, key.ToString(), subscription, AuditText.Of(before), AuditText.Of(AccountSql.Limits(write.Db, key).Find(each)));
    }

    private static void CheckEach(AccountKey key, Level? each)
    {
        if (each is { } level && (level <= key.Level || level == Level.Plan))
            throw AdminException.Invalid($"--each {Word(level)} says nothing for {key}: it sets the default for objects below one, of kind subscription, domain or mailbox");
    }

    /// <summary>What is wrong with a limit, and what would be right.</summary>
    internal static string BadLimit(string value) => value.Trim() == "0"
        ? "0 means \"none\" to some and \"no limit\" to others; write forbidden or unlimited"
        : $"'{AccountNames.Printable(value)}' is no limit; write N/h or N/d (messages), N/h:rcpt or N/d:rcpt (recipients), several with commas, unlimited or forbidden";

    private static LimitUse Use(Limit limit, UsageView view)
    {
        UsageRing ring = view.Rings[0];
        DateTimeOffset next = ring.WhenAtMost(limit.Count - 1, limit.Unit, limit.Window, view.Now);
        return new LimitUse(limit.ToString(), ring.Used(limit.Unit, limit.Window, view.Now), next > view.Now ? view.ToWall(next) : null);
    }

    private static long Refused(DbConnection db, AccountKey key, long hour)
    {
        long refused = 0;
        for (long h = hour - RefusedHours; h <= hour; h++) // Each a look-up by key: the table has every object of an hour side by side.
        {
            string? count = db.First("select refused from usage_hour where hour = $1 and level = $2 and name = $3", static row => row.GetInt64(0).ToString(), h, (int)key.Level, key.Name);
            refused += count is null ? 0 : long.Parse(count);
        }
        return refused;
    }

    private static int Number(Level? each) => each is { } level ? (int)level : -1;

    private static string Word(Level level) => level.ToString().ToLowerInvariant();
}
