using System.Net.Sockets;
using RelayGate.Core.Policy;
using RelayGate.Storage;

namespace RelayGate.Accounts;

public sealed partial class AccountAdministration
{
    public Task<AdminResult<DomainView>> AddDomainAsync(string name, DomainChange change, CancellationToken cancellationToken, string by = AuditRows.Gateway) => WriteAsync(write =>
    {
        string domain = AccountNames.Domain(name);
        if (AccountSql.Domain(write.Db, domain) is { } known)
        {
            throw AdminException.Conflict($"Domain {domain} is here already, in subscription {known.Subscription}" + (known.Subscription == change.Subscription
                ? $"; see: relaygate domain show {domain}"
                : $"; to move it, remove it there and add it again: relaygate domain remove {domain}"));
        }
        if (change.Subscription is not { } subscription)
            throw AdminException.Invalid($"Say whose domain {domain} is: --subscription NAME");
        write.Db.Execute("insert into domain (name, subscription) values ($1, $2)", domain, write.Subscription(subscription).Name);
        write.Change.IsOfDomains = true;
        write.Touch(new AccountKey(Level.Subscription, subscription)); // Its first domain may be this one.
        DomainView view = Set(write, domain, change);
        write.Audit("add", $"domain {domain}", view.Subscription, "", AuditText.Of(view));
        return view;
    }, by, cancellationToken);

    public Task<AdminResult<DomainView>> SetDomainAsync(string name, DomainChange change, CancellationToken cancellationToken, string by = AuditRows.Gateway) =>
        WriteAsync(write =>
        {
            DomainView before = View(write.Domain(AccountNames.Domain(name)));
            DomainView view = Set(write, before.Name, change);
            write.Audit("set", $"domain {view.Name}", view.Subscription, AuditText.Of(before), AuditText.Of(view));
            return view;
        }, by, cancellationToken);

    public Task<AdminResult<DomainView>> ShowDomainAsync(string name, CancellationToken cancellationToken) =>
        ReadAsync(
            db =>
            {
                var read = new AccountWrite(db);
                DomainRecord domain = read.Domain(AccountNames.Domain(name));
                return View(domain) with { InForce = RulesInForce(db, read.Subscription(domain.Subscription), domain) };
            },
            cancellationToken);

    /// <param name="subscription">Null: of every subscription.</param>
    public Task<AdminResult<Page<DomainView>>> ListDomainsAsync(string? subscription, string? after, int count, CancellationToken cancellationToken) => ListAsync(
        count,
        (db, rows) => db.All(
            AccountSql.SelectDomain + (subscription is null ? " where name > $1 order by name limit $2" : " where subscription = $3 and name > $1 order by name limit $2"),
            static row => View(AccountSql.ReadDomain(row)), subscription is null ? [after ?? "", rows] : [after ?? "", rows, subscription]),
        static domain => domain.Name,
        cancellationToken);

    public Task<AdminResult<DomainView>> RemoveDomainAsync(string name, CancellationToken cancellationToken, string by = AuditRows.Gateway) => WriteAsync(write =>
    {
        DomainRecord domain = write.Domain(AccountNames.Domain(name));
        if (write.Db.First("select address from mailbox where domain = $1 limit 1", static row => row.GetString(0), domain.Name) is { } mailbox)
            throw AdminException.InUse($"Domain {domain.Name} still has the mailbox {mailbox}; remove its mailboxes first: relaygate mailbox remove {mailbox}");
        if (write.Db.First("select mailbox, address from alias where domain = $1 limit 1", AccountSql.ReadAlias, domain.Name) is { } alias)
            throw AdminException.InUse($"Mailbox {alias.Mailbox} has the alias {alias.Address}; remove that first: relaygate mailbox set {alias.Mailbox} --remove-alias {alias.Address}");
        var key = new AccountKey(Level.Domain, domain.Name);
        RequireNoSender(write, key);
        if (domain.IsSuspended)
            write.RequireNothingWaits(key);
        write.RemoveRules(key, domain.Subscription);
        write.Db.Execute("delete from dkim_key where domain = $1", domain.Name);
        write.Db.Execute("delete from domain where name = $1", domain.Name);
        write.ReleaseAddress(domain.IPv4, domain.Subscription);
        write.ReleaseAddress(domain.IPv6, domain.Subscription);
        if (domain.IsSuspended)
            write.TouchSuspended();
        write.Change.Records.Add((RecordKind.Keys, domain.Name));
        write.Change.IsOfDomains = true;
        write.Touch(key);
        write.Touch(new AccountKey(Level.Subscription, domain.Subscription));
        write.Audit("remove", key.ToString(), domain.Subscription, AuditText.Of(View(domain)), "");
        return View(domain);
    }, by, cancellationToken);

    private DomainView Set(AccountWrite write, string name, DomainChange change)
    {
        DomainRecord old = write.Domain(name);
        EffectiveSettings settings = Settings(write.Db);
        string owner = change.Subscription is { } subscription ? write.Subscription(subscription).Name : old.Subscription;
        if (owner != old.Subscription)
            RequireNoForeignAlias(write, name);
        SenderMode? mode = AccountNames.Rule(change.SenderMode, old.SenderMode, "sender mode");
        HeaderFromMode? headerFrom = AccountNames.Rule(change.HeaderFrom, old.HeaderFrom, "header From mode");
        OwnedAddresses? owned = AccountNames.Rule(change.Owned, old.Owned, "set of owned addresses");
        // A pinned address that stays must be the new owner's to use as well.
        string? v4 = (change.IPv4 ?? old.IPv4) is { } four && four != AccountNames.None ? write.GiveAddress(four, AddressFamily.InterNetwork, owner, settings.IPv4) : null;
        string? v6 = (change.IPv6 ?? old.IPv6) is { } six && six != AccountNames.None ? write.GiveAddress(six, AddressFamily.InterNetworkV6, owner, settings.IPv6) : null;
        write.Db.Execute(
            "update domain set subscription = $2, sender_mode = $3, ipv4 = $4, ipv6 = $5, header_from = $6, owned = $7 where name = $1",
            name, owner, (int?)mode, v4, v6, (int?)headerFrom, (int?)owned);
        if (v4 != old.IPv4)
            write.ReleaseAddress(old.IPv4, old.Subscription);
        if (v6 != old.IPv6)
            write.ReleaseAddress(old.IPv6, old.Subscription);
        if (owner != old.Subscription)
        {
            write.Change.IsOfDomains = true;
            write.Touch(new AccountKey(Level.Subscription, old.Subscription));
        }
        write.Touch(new AccountKey(Level.Domain, name));
        write.Touch(new AccountKey(Level.Subscription, owner));
        return View(write.Domain(name));
    }

    private static DomainView View(DomainRecord d) => new(d.Name, d.Subscription, d.IsSuspended, d.SenderMode, d.IPv4, d.IPv6) { HeaderFrom = d.HeaderFrom, Owned = d.Owned };

    /// <summary>A mailbox and its aliases are of one subscription.</summary>
    private static void RequireNoForeignAlias(AccountWrite write, string domain)
    {
        const string Crossing = """
            select a.mailbox, a.address from alias a join mailbox m on m.address = a.mailbox
            where (a.domain = $1 and m.domain <> $1) or (m.domain = $1 and a.domain <> $1) limit 1
            """;
        if (write.Db.First(Crossing, AccountSql.ReadAlias, domain) is { } alias)
            throw AdminException.InUse($"Mailbox {alias.Mailbox} has the alias {alias.Address}, and only one of them would move; remove it first: relaygate mailbox set {alias.Mailbox} --remove-alias {alias.Address}");
    }
}
