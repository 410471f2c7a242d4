using System.Data.Common;
using RelayGate.Core.Dkim;
using RelayGate.Core.Mail;
using RelayGate.Storage;

namespace RelayGate.Accounts;

public sealed partial class AccountAdministration
{
    /// <summary>Selector of keys made without one.</summary>
    public const string DefaultSelector = "relaygate";

    private const int MaxKeys = 2; // Old and new while DNS changes; every message is signed with each.

    /// <summary>Makes or takes a DKIM key; mail of the domain is signed with it from now on.</summary>
    /// <param name="selector">Null: <see cref="DefaultSelector"/>.</param>
    /// <param name="pem">A private key in PEM, or null: one is made.</param>
    public async Task<AdminResult<DkimKeyView>> CreateKeyAsync(string domain, string? selector, string? pem, CancellationToken cancellationToken, string by = AuditRows.Gateway)
    {
        string s = (selector ?? DefaultSelector).ToLowerInvariant();
        DkimKey? key = null;
        AdminError? error = Check(() => key = NewKey(AccountNames.Domain(domain), s, pem)); // Slow, so not on the writer's thread.
        if (error is not null)
            return new AdminResult<DkimKeyView>(null, error);
        DateTimeOffset now = _time.GetUtcNow();
        return await WriteAsync(write =>
        {
            string name = key!.Domain.Value;
            DomainRecord record = write.Domain(name);
            List<string> selectors = write.Db.All("select selector from dkim_key where domain = $1", static row => row.GetString(0), name);
            if (selectors.Contains(s))
                throw AdminException.Conflict($"Domain {name} has a key with selector {s} already; choose another (--selector), or see: relaygate dkim dns {name}");
            if (selectors.Count >= MaxKeys)
                throw AdminException.Conflict($"Domain {name} has {MaxKeys} keys, and every message is signed with each; remove one first: relaygate dkim remove {name} --selector {selectors[0]}");
            write.Db.Execute(
                "insert into dkim_key (domain, selector, private_key, created_at) values ($1, $2, $3, $4)", name, s, key.ToPem(), now.ToUnixTimeMilliseconds());
            KeysChanged(write, record);
            DkimKeyView view = View(key, now);
            write.Audit("dkim create", $"domain {name}", record.Subscription, "", AuditText.Of(view));
            return view;
        }, by, cancellationToken);
    }

    /// <param name="domain">Null: of all domains.</param>
    /// <param name="after">Domain and selector with a blank between them, or null.</param>
    public Task<AdminResult<Page<DkimKeyView>>> ListKeysAsync(string? domain, string? after, int count, CancellationToken cancellationToken)
    {
        string[] cursor = (after ?? " ").Split(' ', 2);
        return ListAsync(
            Math.Min(count, 100), // Each key is parsed.
            (db, rows) => domain is null
                ? Keys(db, "where (domain, selector) > ($1, $2) order by domain, selector limit $3", cursor[0], cursor.ElementAtOrDefault(1) ?? "", rows)
                : Keys(db, "where domain = $4 and (domain, selector) > ($1, $2) order by domain, selector limit $3", cursor[0], cursor.ElementAtOrDefault(1) ?? "", rows, AccountNames.Domain(domain)),
            static key => $"{key.Domain} {key.Selector}",
            cancellationToken);
    }

    /// <summary>The keys of one domain with what to publish in DNS.</summary>
    /// <param name="selector">Null: all of them.</param>
    public Task<AdminResult<IReadOnlyList<DkimKeyView>>> ShowKeysAsync(string domain, string? selector, CancellationToken cancellationToken) => ReadAsync<IReadOnlyList<DkimKeyView>>(db =>
    {
        string name = new AccountWrite(db).Domain(AccountNames.Domain(domain)).Name;
        List<DkimKeyView> keys = Keys(db, "where domain = $1 order by selector", name);
        if (selector is not null)
            keys.RemoveAll(key => !string.Equals(key.Selector, selector, StringComparison.OrdinalIgnoreCase));
        return keys.Count > 0 ? keys
            : throw AdminException.NotFound($"Domain {name} has no DKIM key{(selector is null ? "" : $" with selector {AccountNames.Printable(selector)}")}; make one: relaygate dkim create {name}");
    }, cancellationToken);

    /// <param name="selector">Null: the only key.</param>
    public Task<AdminResult<DkimKeyView>> RemoveKeyAsync(string domain, string? selector, CancellationToken cancellationToken, string by = AuditRows.Gateway) => WriteAsync(write =>
    {
        DomainRecord record = write.Domain(AccountNames.Domain(domain));
        List<DkimKeyView> keys = Keys(write.Db, "where domain = $1 order by selector", record.Name);
        if (selector is null && keys.Count > 1)
            throw AdminException.Conflict($"Domain {record.Name} has several keys; say which: --selector {keys[0].Selector}");
        DkimKeyView key = keys.Find(known => selector is null || string.Equals(known.Selector, selector, StringComparison.OrdinalIgnoreCase))
            ?? throw AdminException.NotFound($"Domain {record.Name} has no such DKIM key; see: relaygate dkim list {record.Name}");
        write.Db.Execute("delete from dkim_key where domain = $1 and selector = $2", record.Name, key.Selector);
        KeysChanged(write, record);
        write.Audit("dkim remove", $"domain {record.Name}", record.Subscription, AuditText.Of(key), "");
        return key;
    }, by, cancellationToken);

    private static DkimKey NewKey(string domain, string selector, string? pem)
    {
        if (!DkimKey.IsSelector(selector))
            throw AdminException.Invalid($"'{AccountNames.Printable(selector)}' is no selector; use letters, digits and -, like s2026");
        Domain name = Domain.Parse(domain);
        if (pem is null)
            return DkimKey.Generate(name, selector);
        return DkimKey.TryReadPem(name, selector, pem, out DkimKey? key, out string? error) ? key! : throw AdminException.Invalid(error!);
    }

    private static void KeysChanged(AccountWrite write, DomainRecord domain)
    {
        write.Change.Records.Add((RecordKind.Keys, domain.Name));
        write.Change.Subscriptions.Add(domain.Subscription);
    }

    private static List<DkimKeyView> Keys(DbConnection db, string where, params ReadOnlySpan<object?> values) => [.. db.All(
        "select domain, selector, private_key, created_at from dkim_key " + where,
        static row =>
        {
            if (!DkimKey.TryReadPem(Domain.Parse(row.GetString(0)), row.GetString(1), row.GetString(2), out DkimKey? key, out _))
                return null;
            using (key!.Rsa)
                return View(key, DateTimeOffset.FromUnixTimeMilliseconds(row.GetInt64(3)));
        },
        values).OfType<DkimKeyView>()];

    private static DkimKeyView View(DkimKey key, DateTimeOffset createdAt) =>
        new(key.Domain.Value, key.Selector, key.Rsa.KeySize, createdAt, key.DnsName, key.DnsText, key.ToZoneLine());
}
