using System.Data.Common;
using System.Net;
using System.Net.Sockets;
using RelayGate.Core.Policy;
using RelayGate.Storage;

namespace RelayGate.Accounts;

/// <summary>One change under way, on the writer's thread inside its transaction: looks objects up, and notes what becomes stale.</summary>
/// <param name="by">Who gave the order, for the audit list.</param>
/// <param name="now">When.</param>
internal sealed class AccountWrite(DbConnection db, string by = AuditRows.Gateway, DateTimeOffset now = default)
{
    /// <summary>Owns uid 0 and what belongs to nobody else; always there.</summary>
    public const string SystemSubscription = "system";

    public DbConnection Db => db;

    public AccountChange Change { get; } = new();

    /// <summary>Adds the change to the audit list.</summary>
    /// <param name="what">The verb: <c>add</c>, <c>limit set</c>.</param>
    /// <param name="target">What was changed: <c>mailbox info@shop.test</c>, <c>setting Limits:Enforce</c>.</param>
    /// <param name="subscription">Whose user may see it; null: administrators alone.</param>
    /// <param name="before">How it stood; "" for what is new.</param>
    /// <param name="after">How it stands; "" for what was removed.</param>
    public void Audit(string what, string target, string? subscription, string before, string after) =>
        AuditRows.Add(db, now, by, what, target, subscription, before, after);

    /// <summary>Adds a suspension or its end to the audit list, and to what is told after the commit where it changes anything.</summary>
    /// <param name="kind">plan, subscription, domain, mailbox, sender or uid.</param>
    public void Suspension(string kind, string name, string? subscription, bool was, bool suspended)
    {
        Audit(suspended ? "suspend" : "resume", $"{kind} {name}", subscription, was ? "suspended" : "active", suspended ? "suspended" : "active");
        if (was != suspended)
            Change.Suspension = new SuspensionNews(kind, name, subscription, suspended, by);
    }

    public PlanRecord Plan(string name) => AccountSql.Plan(db, name)
        ?? throw AdminException.NotFound($"There is no plan '{AccountNames.Printable(name)}'; see: relaygate plan list");

    public SubscriptionRecord Subscription(string name) => AccountSql.Subscription(db, name)
        ?? throw AdminException.NotFound($"There is no subscription '{AccountNames.Printable(name)}'; see: relaygate subscription list");

    public DomainRecord Domain(string name) => AccountSql.Domain(db, name)
        ?? throw AdminException.NotFound($"There is no domain {AccountNames.Printable(name)} here; add it first: relaygate domain add {AccountNames.Printable(name)} --subscription NAME");

    public MailboxRecord Mailbox(string address) => AccountSql.Mailbox(db, address)
        ?? throw AdminException.NotFound($"There is no mailbox {AccountNames.Printable(address)}; see: relaygate mailbox list");

    public AddressRecord Address(string address) => AccountSql.Address(db, address)
        ?? throw AdminException.NotFound($"There is no address {AccountNames.Printable(address)}; see: relaygate ip list");

    /// <summary>Notes that an object itself has changed, and whose mail that concerns.</summary>
    public void Touch(AccountKey key)
    {
        switch (key.Level)
        {
            case Level.Server:
                Change.IsShared = true;
                break;
            case Level.Plan:
                Change.Records.Add((RecordKind.Plan, key.Name));
                Change.IsShared = true;
                break;
            case Level.Subscription:
                Change.Records.Add((RecordKind.Subscription, key.Name));
                Change.Subscriptions.Add(key.Name);
                break;
            case Level.Domain:
                Change.Records.Add((RecordKind.Domain, key.Name));
                break;
            default:
                Change.Records.Add((RecordKind.Mailbox, key.Name));
                break;
        }
    }

    /// <summary>Notes that others may be suspended now. After the change has been written.</summary>
    public void TouchSuspended() => Change.Suspended = AccountSql.Suspensions(db);

    /// <summary>Mail that waits or is held because its domain or mailbox is suspended would leave if that were removed. Found by index.</summary>
    /// <param name="key">The domain or mailbox.</param>
    public void RequireNothingWaits(AccountKey key)
    {
        const string Held = "select 1 from message where held = 6 and held_at = 'sender ' || $1 limit 1";
        const string Waits = """
            select 1 from recipient join message on seq = message
            where position = 0 and counted_at is not null and substr(counted_at, instr(counted_at, '@') + 1) = $1 and $2 in (counted_at, $1) and expires_at is null limit 1
            """;
        if (db.Exists(Held, key.Name) || db.Exists(Waits, key.Name[(key.Name.LastIndexOf('@') + 1)..], key.Name))
            throw AdminException.InUse($"{key} is suspended and has mail in the queue, which would leave; delete that first: relaygate queue delete --{key}");
    }

    /// <summary>Mail that is held because the system user that wrote it is suspended would leave if that were removed, as would what is about to be held.</summary>
    public void RequireNoMailOfUser(int uid, string name)
    {
        if (db.Exists("select 1 from message where uid is not null and expires_at is null and uid = $1 limit 1", uid))
            throw StillSuspended($"uid {name}");
    }

    /// <summary>As <see cref="RequireNoMailOfUser"/>, for a credential.</summary>
    public void RequireNoMailOfCredential(string name)
    {
        if (db.Exists("select 1 from message where credential is not null and expires_at is null and credential = $1 limit 1", name))
            throw StillSuspended($"sender {name}");
    }

    private static AdminException StillSuspended(string whom) =>
        AdminException.InUse($"{whom} is suspended and has mail in the queue, which would leave; delete that first: relaygate queue list --state held");

    /// <summary>Notes a change of a credential of a subscription, or of what that owns.</summary>
    public void TouchCredential(string name, string subscription)
    {
        Change.Records.Add((RecordKind.Credential, name));
        Change.Subscriptions.Add(subscription);
    }

    /// <summary>Notes a change of an object below a subscription.</summary>
    public void Touch(AccountKey key, string subscription)
    {
        Touch(key);
        Change.Subscriptions.Add(subscription);
    }

    /// <summary>Removes an object's limits with it, and who is told of it.</summary>
    /// <param name="subscription">That it is or belongs to; null for a plan.</param>
    public void RemoveRules(AccountKey key, string? subscription)
    {
        FollowerRows.Remove(db, key, subscription, now, by);
        db.Execute("delete from object_limit where level = $1 and name = $2", (int)key.Level, key.Name);
        db.Execute("delete from limit_boost where level = $1 and name = $2", (int)key.Level, key.Name);
        Change.Records.Add((RecordKind.ServerLimits + (int)key.Level, key.Name));
    }

    /// <summary>Gives a subscription the use of an address. One that is not known yet becomes its own; exclusive ones have one owner.</summary>
    /// <param name="server">The server's own address of this family, or null.</param>
    /// <returns>The address in its stored form.</returns>
    public string GiveAddress(string text, AddressFamily family, string subscription, IPAddress? server)
    {
        IPAddress address = AccountNames.Address(text, family);
        string name = address.ToString();
        AddressRecord? known = AccountSql.Address(db, name);
        if (known is { IsShared: true } || known?.Owner == subscription)
            return name;
        if (known?.Owner is { } owner)
            throw AdminException.Conflict($"Address {name} is exclusive to subscription {owner}; use another, or share it: relaygate ip set {name} --shared");
        if (address.Equals(server) && subscription != SystemSubscription)
            throw AdminException.Conflict($"Address {name} is the server's own (Egress:{(family == AddressFamily.InterNetwork ? "IPv4" : "IPv6")}); use another, or share it: relaygate ip add {name} --shared");
        db.Execute("insert into ip_address (address, shared, owner) values ($1, 0, $2) on conflict (address) do update set owner = excluded.owner", name, subscription);
        Change.Records.Add((RecordKind.Address, name));
        return name;
    }

    /// <summary>Frees an exclusive address when its owner uses it no more; it stays known.</summary>
    public void ReleaseAddress(string? address, string subscription)
    {
        if (address is null || UsersOf(address).Contains(subscription))
            return;
        db.Execute("update ip_address set owner = null where address = $1 and owner = $2", address, subscription);
        Change.Records.Add((RecordKind.Address, address));
    }

    /// <summary>Some of the subscriptions that use an address, by themselves or for a domain: enough to tell none, one and several.</summary>
    public IReadOnlyList<string> UsersOf(string address) => db.All(
        """
        select name from subscription where ipv4 = $1 or ipv6 = $1
        union select subscription from domain where ipv4 = $1 or ipv6 = $1 limit 100
        """,
        static row => row.GetString(0), address);
}
