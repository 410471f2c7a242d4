using System.Data.Common;
using System.Globalization;
using System.Net.Sockets;
using RelayGate.Core.Policy;
using RelayGate.Storage;

namespace RelayGate.Accounts;

public sealed partial class AccountAdministration
{
    public Task<AdminResult<SubscriptionView>> AddSubscriptionAsync(string name, SubscriptionChange change, CancellationToken cancellationToken, string by = AuditRows.Gateway) => WriteAsync(write =>
    {
        AccountNames.Name(name, "subscription");
        if (AccountSql.Subscription(write.Db, name) is not null)
            throw AdminException.Conflict($"There is a subscription '{name}' already; change it with: relaygate subscription set {name}");
        write.Db.Execute("insert into subscription (name, since) values ($1, $2)", name, _time.GetUtcNow().ToUnixTimeMilliseconds());
        SubscriptionView view = Set(write, name, change);
        write.Audit("add", $"subscription {name}", name, "", AuditText.Of(view));
        return view;
    }, by, cancellationToken);

    public Task<AdminResult<SubscriptionView>> SetSubscriptionAsync(string name, SubscriptionChange change, CancellationToken cancellationToken, string by = AuditRows.Gateway) =>
        WriteAsync(write =>
        {
            string before = AuditText.Of(View(write.Db, write.Subscription(name)));
            SubscriptionView view = Set(write, name, change);
            write.Audit("set", $"subscription {name}", name, before, AuditText.Of(view));
            return view;
        }, by, cancellationToken);

    public Task<AdminResult<SubscriptionView>> ShowSubscriptionAsync(string name, CancellationToken cancellationToken) =>
        ReadAsync(
            db =>
            {
                SubscriptionRecord subscription = new AccountWrite(db).Subscription(name);
                return View(db, subscription) with { InForce = RulesInForce(db, subscription, null) };
            },
            cancellationToken);

    /// <param name="plan">Null: of every plan.</param>
    public Task<AdminResult<Page<SubscriptionView>>> ListSubscriptionsAsync(string? plan, string? after, int count, CancellationToken cancellationToken) => ListAsync(
        count,
        (db, rows) => db.All(
                AccountSql.SelectSubscription + (plan is null ? " where name > $1 order by name limit $2" : " where plan = $3 and name > $1 order by name limit $2"),
                AccountSql.ReadSubscription, plan is null ? [after ?? "", rows] : [after ?? "", rows, plan])
            .ConvertAll(subscription => View(db, subscription)),
        static subscription => subscription.Name,
        cancellationToken);

    public Task<AdminResult<SubscriptionView>> RemoveSubscriptionAsync(string name, CancellationToken cancellationToken, string by = AuditRows.Gateway) => WriteAsync(write =>
    {
        SubscriptionRecord subscription = write.Subscription(name);
        if (name == AccountWrite.SystemSubscription)
            throw AdminException.InUse("Subscription system sends the mail of root and cron and is always there; to stop that mail: relaygate subscription suspend system");
        if (subscription.FirstDomain is { } domain)
            throw AdminException.InUse($"Subscription {name} still has the domain {domain}; remove its domains first: relaygate domain remove {domain}");
        if (write.Db.First("select cidr from network where subscription = $1 limit 1", static row => row.GetString(0), name) is { } cidr)
            throw AdminException.InUse($"Subscription {name} is named by network {cidr}; remove that first: relaygate network remove {cidr}");
        if (write.Db.Exists("select 1 from recipient where subscription = $1 and next_attempt is not null limit 1", name)
            || write.Db.Exists("select 1 from message where subscription = $1 and held <> 0 limit 1", name))
            throw AdminException.InUse($"Subscription {name} has mail in the queue; wait for it, or delete it: relaygate queue delete --subscription {name}");
        var key = new AccountKey(Level.Subscription, name);
        RequireNoSender(write, key);
        SubscriptionView view = View(write.Db, subscription);
        foreach (SystemUserView user in view.SystemUsers)
            RemoveUser(write, name, user);
        write.Db.Execute("update subscription set ipv4 = null, ipv6 = null where name = $1", name);
        foreach (string address in write.Db.All("select address from ip_address where owner = $1", static row => row.GetString(0), name))
            write.ReleaseAddress(address, name);
        write.RemoveRules(key, name);
        if (RouteSql.RemoveOf(write.Db, name) > 0)
            write.Change.Routes = RouteSql.Table(write.Db, _directory.Cache.Options.Delivery.ConfiguredNextHop);
        write.Db.Execute("delete from subscription where name = $1", name);
        write.Touch(key);
        write.TouchSuspended();
        write.Audit("remove", key.ToString(), name, AuditText.Of(view), "");
        return view;
    }, by, cancellationToken);

    private SubscriptionView Set(AccountWrite write, string name, SubscriptionChange change)
    {
        SubscriptionRecord old = write.Subscription(name);
        EffectiveSettings settings = Settings(write.Db);
        string? plan = change.Plan is null ? old.Plan : change.Plan == AccountNames.None ? null : write.Plan(change.Plan).Name;
        string? contact = change.Contact is null ? old.Contact : change.Contact == AccountNames.None ? null : AccountNames.Contact(change.Contact);
        SenderMode? mode = AccountNames.Rule(change.SenderMode, old.SenderMode, "sender mode");
        HeaderFromMode? headerFrom = AccountNames.Rule(change.HeaderFrom, old.HeaderFrom, "header From mode");
        OwnedAddresses? owned = AccountNames.Rule(change.Owned, old.Owned, "set of owned addresses");
        string? v4 = change.IPv4 is null ? old.IPv4 : change.IPv4 == AccountNames.None ? null : write.GiveAddress(change.IPv4, AddressFamily.InterNetwork, name, settings.IPv4);
        string? v6 = change.IPv6 is null ? old.IPv6 : change.IPv6 == AccountNames.None ? null : write.GiveAddress(change.IPv6, AddressFamily.InterNetworkV6, name, settings.IPv6);
        write.Db.Execute(
            "update subscription set plan = $2, contact = $3, sender_mode = $4, ipv4 = $5, ipv6 = $6, header_from = $7, owned = $8, ipv6_egress = $9 where name = $1",
            name, plan, contact, (int?)mode, v4, v6, (int?)headerFrom, (int?)owned, AccountNames.Switch(change.IPv6Egress, old.IPv6Egress, "IPv6 egress") is { } on ? on ? 1 : 0 : null);
        if (v4 != old.IPv4)
            write.ReleaseAddress(old.IPv4, name);
        if (v6 != old.IPv6)
            write.ReleaseAddress(old.IPv6, name);
        foreach (string user in change.RemoveSystemUsers ?? [])
            RemoveUser(write, name, FindUser(write, name, user));
        if (change.SharedUid && (change.SystemUsers ?? []).Count == 0)
            throw AdminException.Invalid("--shared-uid says that many sites share a system user; name it as well: --system-user NAME");
        foreach (string user in change.SystemUsers ?? [])
            AddUser(write, name, user, change.SharedUid);
        write.Touch(new AccountKey(Level.Subscription, name));
        if (plan != old.Plan)
            write.TouchSuspended();
        return View(write.Db, write.Subscription(name));
    }

    private static void AddUser(AccountWrite write, string subscription, string text, bool isShared)
    {
        (int uid, string name) = Resolve(text);
        SystemUserRecord? known = AccountSql.SystemUser(write.Db, uid.ToString(CultureInfo.InvariantCulture));
        if (known is not null && known.Subscription != subscription)
            throw AdminException.Conflict(
                $"System user {known.Name} (uid {uid}) belongs to subscription {known.Subscription}; remove it there first: relaygate subscription set {known.Subscription} --remove-system-user #{uid}");
        if (write.Db.First(AccountSql.SelectSystemUser + " where name = $1 and uid <> $2", AccountSql.ReadSystemUser, name, uid) is { } other)
            throw AdminException.Conflict(
                $"System user {name} is known with uid {other.Uid} (now {uid}) in subscription {other.Subscription}; remove that first: relaygate subscription set {other.Subscription} --remove-system-user #{other.Uid}");
        write.Db.Execute(
            "insert into system_user (uid, name, subscription, shared) values ($1, $2, $3, $4) on conflict (uid) do update set name = excluded.name, shared = excluded.shared",
            uid, name, subscription, isShared ? 1 : 0);
        TouchUser(write, uid, isShared || known is { IsShared: true });
    }

    private static void RemoveUser(AccountWrite write, string subscription, SystemUserView user)
    {
        if (user.Uid == 0)
            throw AdminException.InUse("Uid 0 always belongs to subscription system");
        if (write.Db.Exists("select 1 from system_user where uid = $1 and suspended <> 0", user.Uid))
            write.RequireNoMailOfUser(user.Uid, user.Name);
        write.Db.Execute("delete from system_user where uid = $1 and subscription = $2", user.Uid, subscription);
        write.Db.Execute("delete from identity_use where kind = $1 and name = $2", IdentityUses.Uid, user.Name);
        write.TouchSuspended();
        TouchUser(write, user.Uid, user.IsShared);
    }

    /// <param name="isShared">It is, or was until now: its mail may be any subscription's, by its sender's domain.</param>
    private static void TouchUser(AccountWrite write, int uid, bool isShared)
    {
        write.Change.Records.Add((RecordKind.SystemUser, uid.ToString(CultureInfo.InvariantCulture)));
        write.Change.IsShared |= isShared;
    }

    /// <summary>Finds a user of a subscription by what is stored, so that one that left the system can be removed as well.</summary>
    private static SystemUserView FindUser(AccountWrite write, string subscription, string text)
    {
        List<SystemUserView> users = Users(write.Db, subscription);
        return users.FirstOrDefault(user => user.Name == text || text == $"#{user.Uid}")
            ?? throw AdminException.NotFound($"Subscription {subscription} has no system user '{AccountNames.Printable(text)}'; it has: {(users.Count == 0 ? "none" : string.Join(", ", users.Select(static user => user.Name)))}");
    }

    private static (int Uid, string Name) Resolve(string text)
    {
        if (text.StartsWith('#'))
        {
            if (!int.TryParse(text.AsSpan(1), NumberStyles.None, CultureInfo.InvariantCulture, out int uid))
                throw AdminException.Invalid($"'{AccountNames.Printable(text)}' is no uid; write it like #1001");
            return (uid, SystemUserDatabase.TryFind(uid, out SystemUserEntry? byUid) ? byUid.Name : $"#{uid}");
        }
        return SystemUserDatabase.TryFind(text, out SystemUserEntry? byName)
            ? (byName.Uid, byName.Name)
            : throw AdminException.Invalid($"There is no system user '{AccountNames.Printable(text)}' on this machine; name one that exists, or a number like #1001");
    }

    private static List<SystemUserView> Users(DbConnection db, string subscription) => db.All(
        AccountSql.SelectSystemUser + " where subscription = $1 order by uid limit 1000",
        static row => new SystemUserView(row.GetInt32(0), row.GetString(1), row.Flag(3)), subscription);

    private static SubscriptionView View(DbConnection db, SubscriptionRecord s) =>
        new(s.Name, s.Plan, s.Contact, s.IsSuspended, s.SenderMode, s.IPv4, s.IPv6, s.FirstDomain, Users(db, s.Name)) { HeaderFrom = s.HeaderFrom, Owned = s.Owned, IPv6Egress = s.IPv6Egress };

    private SenderRulesView RulesInForce(DbConnection db, SubscriptionRecord subscription, DomainRecord? domain)
    {
        EffectiveSettings settings = Settings(db);
        return new SenderRulesView(
            SenderRules.Of(settings, IdentityKind.Login, subscription, domain),
            SenderRules.Of(settings, IdentityKind.Uid, subscription, domain).Sender,
            SenderRules.Of(settings, IdentityKind.Network, subscription, domain).Sender);
    }
}
