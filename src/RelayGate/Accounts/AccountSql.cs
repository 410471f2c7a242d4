using System.Collections.Frozen;
using System.Collections.Immutable;
using System.Data.Common;
using System.Net;
using RelayGate.Core.Dkim;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Queue;

namespace RelayGate.Accounts;

/// <summary>Reads one record of the store by its key.</summary>
internal static class AccountSql
{
    public const string SelectSubscription = """
        select name, plan, contact, suspended, sender_mode, ipv4, ipv6,
          (select d.name from domain d where d.subscription = s.name order by d.seq limit 1), since, header_from, owned, ipv6_egress
        from subscription s
        """;

    public const string SelectDomain = "select name, subscription, suspended, sender_mode, ipv4, ipv6, header_from, owned from domain";

    public const string SelectMailbox = "select address, domain, suspended, password, password_at from mailbox";

    public const string SelectAddress = "select address, helo, shared, owner, draining from ip_address";

    public const string SelectSystemUser = "select uid, name, subscription, shared, suspended from system_user";

    public const string SelectNetwork = "select cidr, subscription, exempt, trust_all from network";

    public static PlanRecord? Plan(DbConnection db, string name) =>
        db.First("select name, suspended from plan where name = $1", ReadPlan, name);

    public static SubscriptionRecord? Subscription(DbConnection db, string name) => db.First(SelectSubscription + " where name = $1", ReadSubscription, name);

    public static DomainRecord? Domain(DbConnection db, string name) => db.First(SelectDomain + " where name = $1", ReadDomain, name);

    public static MailboxRecord? Mailbox(DbConnection db, string address) => db.First(SelectMailbox + " where address = $1", ReadMailbox, address) is { } mailbox
        ? mailbox with { Aliases = Aliases(db, mailbox.Address) }
        : null;

    public static ImmutableArray<string> Aliases(DbConnection db, string mailbox) =>
        [.. db.All("select address from alias where mailbox = $1 order by address", static row => row.GetString(0), mailbox)];

    public static AddressRecord? Address(DbConnection db, string address) => db.First(SelectAddress + " where address = $1", ReadAddress, address);

    public static string? ContactOfUser(DbConnection db, string user) => db.First(
        "select s.contact from system_user u join subscription s on s.name = u.subscription where u.name = $1 and s.contact is not null", static row => row.GetString(0), user);

    public static SystemUserRecord? SystemUser(DbConnection db, string uid) =>
        db.First(SelectSystemUser + " where uid = $1", ReadSystemUser, int.Parse(uid));

    public static ObjectLimits Limits(DbConnection db, AccountKey key) =>
        new(
            [.. db.All("select each, class, value, action, max_recipients, warn_at, enforce from object_limit where level = $1 and name = $2", ReadLimit, (int)key.Level, key.Name)],
            [.. db.All("select class, amount, until from limit_boost where level = $1 and name = $2", ReadBoost, (int)key.Level, key.Name)]);

    public static NetworkTable Networks(DbConnection db) => new(db.All(SelectNetwork, ReadNetwork));

    public static DkimKeys Keys(DbConnection db, string domain) => new([.. db.All(
        "select domain, selector, private_key from dkim_key where domain = $1 order by created_at desc, selector", ReadKey, domain).OfType<DkimKey>()]);

    /// <summary>Whose queued mail is passed over.</summary>
    public static Suspensions Suspensions(DbConnection db) => new(
        Names(db, """
            select name from subscription where suspended <> 0
            union select s.name from plan p join subscription s on s.plan = p.name where p.suspended <> 0
            """),
        Names(db, "select name from domain where suspended <> 0 union all select address from mailbox where suspended <> 0"))
    {
        Uids = db.All("select uid from system_user where suspended <> 0", static row => row.GetInt32(0)).ToFrozenSet(),
        Credentials = Names(db, "select name from credential where suspended <> 0"),
        Scripts = db.All("select uid, script from script_block", static row => (row.GetInt32(0), row.GetString(1))).ToFrozenSet(),
    };

    public static Dictionary<string, string> Settings(DbConnection db) =>
        db.All("select name, value from setting", static row => (Name: row.GetString(0), Value: row.GetString(1))).ToDictionary(row => row.Name, row => row.Value);

    public static PlanRecord ReadPlan(DbDataReader row) => new(row.GetString(0), row.Flag(1));

    public static SubscriptionRecord ReadSubscription(DbDataReader row) => new(
        row.GetString(0), row.TextOrNull(1), row.TextOrNull(2), row.Flag(3), row.ChoiceOrNull<SenderMode>(4), row.TextOrNull(5), row.TextOrNull(6), row.TextOrNull(7),
        DateTimeOffset.FromUnixTimeMilliseconds(row.GetInt64(8)), row.ChoiceOrNull<HeaderFromMode>(9), row.ChoiceOrNull<OwnedAddresses>(10))
    {
        IPv6Egress = row.IsDBNull(11) ? null : row.Flag(11),
    };

    public static DomainRecord ReadDomain(DbDataReader row) =>
        new(row.GetString(0), row.GetString(1), row.Flag(2), row.ChoiceOrNull<SenderMode>(3), row.TextOrNull(4), row.TextOrNull(5),
        row.ChoiceOrNull<HeaderFromMode>(6), row.ChoiceOrNull<OwnedAddresses>(7));

    public static MailboxRecord ReadMailbox(DbDataReader row) => new(row.GetString(0), row.GetString(1), row.Flag(2), row.TextOrNull(3), row.GetInt64(4));

    public static AliasRecord ReadAlias(DbDataReader row) => new(row.GetString(0), row.GetString(1));

    public static AddressRecord ReadAddress(DbDataReader row) => new(
        IPAddress.Parse(row.GetString(0)), row.TextOrNull(1), row.Flag(2), row.TextOrNull(3), row.IsDBNull(4) ? null : DateTimeOffset.FromUnixTimeMilliseconds(row.GetInt64(4)));

    public static SystemUserRecord ReadSystemUser(DbDataReader row) => new(row.GetInt32(0), row.GetString(1), row.GetString(2), row.Flag(3), row.Flag(4));

    public static NetworkRecord ReadNetwork(DbDataReader row) => new(IPNetwork.Parse(row.GetString(0)), row.TextOrNull(1), row.Flag(2), row.Flag(3));

    private static FrozenSet<string> Names(DbConnection db, string sql) => db.All(sql, static row => row.GetString(0)).ToFrozenSet(StringComparer.Ordinal);

    private static LimitRecord ReadLimit(DbDataReader row)
    {
        int each = row.GetInt32(0);
        LimitSet? limits = null;
        if (row.TextOrNull(2) is { } value && !LimitSet.TryParse(value, out limits))
            limits = LimitSet.Forbidden; // Written by something else: no mail is the safe reading.
        return new LimitRecord(
            each < 0 ? null : (Level)each, ReadClass(row, 1), limits, (OverLimitAction)row.GetInt32(3), row.IsDBNull(4) ? null : row.GetInt32(4),
            row.IsDBNull(5) ? null : row.GetInt32(5), row.IsDBNull(6) ? null : row.Flag(6));
    }

    private static BoostRecord ReadBoost(DbDataReader row) => new(ReadClass(row, 0), row.GetInt64(1), DateTimeOffset.FromUnixTimeMilliseconds(row.GetInt64(2)));

    private static MessageClass? ReadClass(DbDataReader row, int column) => row.GetInt32(column) is var number and >= 0 ? (MessageClass)number : null;

    private static DkimKey? ReadKey(DbDataReader row) =>
        DkimKey.TryReadPem(Core.Mail.Domain.Parse(row.GetString(0)), row.GetString(1), row.GetString(2), out DkimKey? key, out _) ? key : null;
}

/// <summary>The keys that sign for one domain, newest first.</summary>
internal sealed record DkimKeys(ImmutableArray<DkimKey> Keys);
