using System.Data.Common;
using System.Net;
using RelayGate.Core.Policy;
using RelayGate.Storage;

namespace RelayGate.Accounts;

public sealed partial class AccountAdministration
{
    /// <param name="helo">EHLO name; null: Hostname.</param>
    /// <param name="isShared">Many subscriptions may leave from it; else one.</param>
    public Task<AdminResult<AddressView>> AddAddressAsync(string address, string? helo, bool isShared, CancellationToken cancellationToken, string by = AuditRows.Gateway) => WriteAsync(write =>
    {
        string name = AccountNames.Address(address, null).ToString();
        if (AccountSql.Address(write.Db, name) is not null)
            throw AdminException.Conflict($"Address {name} is known already; change it with: relaygate ip set {name}");
        write.Db.Execute("insert into ip_address (address, helo, shared) values ($1, $2, $3)", name, helo is null ? null : AccountNames.Helo(helo), isShared ? 1 : 0);
        return Changed(write, name, "add", "");
    }, by, cancellationToken);

    /// <param name="helo">Null: as it is; <c>none</c>: Hostname.</param>
    /// <param name="isShared">Null: as it is.</param>
    public Task<AdminResult<AddressView>> SetAddressAsync(string address, string? helo, bool? isShared, CancellationToken cancellationToken, string by = AuditRows.Gateway) => WriteAsync(write =>
    {
        string name = AccountNames.Address(address, null).ToString();
        AddressRecord old = Kept(write, name);
        AddressView before = View(write.Db, old);
        bool shared = isShared ?? old.IsShared;
        string? owner = shared ? null : old.Owner;
        if (!shared && old.IsShared)
        {
            IReadOnlyList<string> users = write.UsersOf(name);
            EffectiveSettings settings = Settings(write.Db);
            if (users.Count > 1)
                throw AdminException.Conflict($"Address {name} is in use by {users.Count} subscriptions ({users[0]}, {users[1]}, …), so it cannot be exclusive to one");
            if (users.Count == 1 && (old.Address.Equals(settings.IPv4) || old.Address.Equals(settings.IPv6)))
                throw AdminException.Conflict($"Address {name} is the server's own (Egress), so it cannot be exclusive to subscription {users[0]}");
            owner = users.Count == 1 ? users[0] : null;
        }
        string? greeting = helo is null ? old.Helo : helo == AccountNames.None ? null : AccountNames.Helo(helo);
        write.Db.Execute("update ip_address set helo = $2, shared = $3, owner = $4 where address = $1", name, greeting, shared ? 1 : 0, owner);
        return Changed(write, name, "set", AuditText.Of(before));
    }, by, cancellationToken);

    /// <param name="others">Addresses that are known whether they were added or not: something is known against them.</param>
    public Task<AdminResult<AddressView>> ShowAddressAsync(string address, IReadOnlyCollection<IPAddress> others, CancellationToken cancellationToken) => ReadAsync(
        db =>
        {
            IPAddress named = AccountNames.AnyAddress(address);
            var write = new AccountWrite(db);
            return View(db, TryKnown(write, named.ToString()) ?? (others.Contains(named) ? Unlisted(named.ToString()) : write.Address(named.ToString())));
        },
        cancellationToken);

    /// <param name="others">As of <see cref="ShowAddressAsync"/>.</param>
    public Task<AdminResult<Page<AddressView>>> ListAddressesAsync(string? after, int count, IReadOnlyCollection<IPAddress> others, CancellationToken cancellationToken) => ListAsync<AddressView>(
        count,
        (db, rows) =>
        {
            string start = after is null ? "" : CursorOf(after);
            List<AddressRecord> found = db.All(AccountSql.SelectAddress + " where address > $1 order by address limit $2", AccountSql.ReadAddress, start, rows);
            IEnumerable<AddressRecord> unlisted = Settings(db).ServerAddresses.Concat(others).Select(static address => address.ToString()).Distinct()
                .Where(name => string.CompareOrdinal(name, start) > 0).Order(StringComparer.Ordinal).Take(rows).Select(name => AccountSql.Address(db, name) ?? Unlisted(name));
            return found.UnionBy(unlisted, static a => a.Address).OrderBy(static a => a.Address.ToString(), StringComparer.Ordinal).Take(rows).Select(a => View(db, a)).ToList();
        },
        static address => address.Address,
        cancellationToken);

    public Task<AdminResult<AddressView>> RemoveAddressAsync(string address, CancellationToken cancellationToken, string by = AuditRows.Gateway) => WriteAsync(write =>
    {
        AddressRecord record = write.Address(AccountNames.Address(address, null).ToString());
        AddressView view = View(write.Db, record);
        if (write.UsersOf(view.Address) is [{ } user, ..])
            throw AdminException.InUse($"Address {view.Address} is in use by subscription {user}; give that another first: relaygate subscription set {user} --ipv{(view.Address.Contains(':') ? 6 : 4)} ADDRESS");
        write.Db.Execute("delete from ip_address where address = $1", view.Address);
        write.Change.Records.Add((RecordKind.Address, view.Address));
        write.Change.IsShared = true;
        write.Audit("remove", $"ip {view.Address}", view.Subscription, AuditText.Of(view), "");
        return view;
    }, by, cancellationToken);

    /// <summary>Has no new message choose an address, or has them choose it again. What has it already leaves from it.</summary>
    public Task<AdminResult<AddressView>> DrainAddressAsync(string address, bool isDraining, CancellationToken cancellationToken, string by = AuditRows.Gateway) => WriteAsync((write, _) =>
    {
        AddressRecord old = Kept(write, AccountNames.Address(address, null).ToString());
        AddressView before = View(write.Db, old);
        if (old.DrainingSince is not null == isDraining)
            return before;
        write.Db.Execute("update ip_address set draining = $2 where address = $1", before.Address, isDraining ? _time.GetUtcNow().ToUnixTimeMilliseconds() : null);
        return Changed(write, before.Address, isDraining ? "drain" : "resume", AuditText.Of(before));
    }, by, cancellationToken);

    /// <summary>Addresses of which <see cref="InUseAsync"/> tells. 10,000.</summary>
    private const int MaxInUse = 10_000;

    /// <summary>The addresses that mail leaves from, with who does, for people: the server's own, and those of subscriptions and domains.</summary>
    public async Task<IReadOnlyList<(IPAddress Address, string Whose)>> InUseAsync(CancellationToken cancellationToken) => await _store.ReadAsync(
        db =>
        {
            const string Used = """
                select a.address, a.owner from ip_address a
                where a.address in (select ipv4 from subscription) or a.address in (select ipv6 from subscription)
                  or a.address in (select ipv4 from domain) or a.address in (select ipv6 from domain)
                order by a.address limit $1
                """;
            var found = new Dictionary<IPAddress, string>();
            EffectiveSettings settings = Settings(db);
            foreach (IPAddress? address in new[] { settings.IPv4, settings.IPv6 })
            {
                if (address is not null)
                    found[address] = "the server";
            }
            foreach ((string address, string? owner) in db.All(Used, static row => (row.GetString(0), row.TextOrNull(1)), MaxInUse))
                found.TryAdd(IPAddress.Parse(address), owner is null ? "those who share it" : $"subscription {owner}");
            return found.Select(static a => (a.Key, a.Value)).ToArray();
        },
        cancellationToken);

    /// <summary>How many addresses are drained.</summary>
    public Task<long> CountDrainingAsync(CancellationToken cancellationToken) =>
        _store.ReadAsync(static db => db.All("select count(*) from ip_address where draining is not null", static row => row.GetInt64(0))[0], cancellationToken);

    /// <summary>An address that was added, or is the server's own by its settings.</summary>
    private AddressRecord Known(AccountWrite write, string address) => TryKnown(write, address) ?? write.Address(address);

    private AddressRecord? TryKnown(AccountWrite write, string address) =>
        AccountSql.Address(write.Db, address) ?? (Settings(write.Db).ServerAddresses.Any(own => own.ToString() == address) ? Unlisted(address) : null);

    /// <summary>As <see cref="Known"/>, and it has a row from now on.</summary>
    private AddressRecord Kept(AccountWrite write, string address)
    {
        AddressRecord known = Known(write, address);
        write.Db.Execute("insert or ignore into ip_address (address, shared) values ($1, 0)", address);
        return known;
    }

    /// <summary>One that was never added, perhaps.</summary>
    private static AddressRecord Unlisted(string address) => new(IPAddress.Parse(address), null, false, null, null);

    private static string CursorOf(string text) => IPAddress.TryParse(text, out IPAddress? address) && address.ToString() == text
        ? text
        : throw AdminException.Invalid("the cursor is not one that a page gave");

    private AddressView Changed(AccountWrite write, string address, string what, string before)
    {
        write.Change.Records.Add((RecordKind.Address, address));
        write.Change.IsShared = true;
        AddressView view = View(write.Db, write.Address(address));
        write.Audit(what, $"ip {address}", view.Subscription, before, AuditText.Of(view));
        return view;
    }

    private AddressView View(DbConnection db, AddressRecord a) => View(db, a, Settings(db));

    private static AddressView View(DbConnection db, AddressRecord a, EffectiveSettings settings) =>
        new(a.Address.ToString(), a.Helo ?? settings.Hostname, a.Helo is null ? "Hostname" : "own", a.IsShared, a.Owner,
            new AccountWrite(db).UsersOf(a.Address.ToString()))
        {
            DrainingSince = a.DrainingSince,
            IsServer = SystemChoice.Is(a.Address) || a.Address.Equals(settings.IPv4) || a.Address.Equals(settings.IPv6),
        };
}
