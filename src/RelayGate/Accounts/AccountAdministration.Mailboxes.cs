using System.Data.Common;
using System.Text;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Core.Smtp;
using RelayGate.Storage;

namespace RelayGate.Accounts;

public sealed partial class AccountAdministration
{
    private const int MaxPasswordOctets = 1024;

    private const int MaxAliases = 100; // Of one mailbox: they are kept with it in memory.

    /// <param name="password">Null: nobody can log in until one is set.</param>
    public Task<AdminResult<MailboxView>> AddMailboxAsync(string address, string? password, CancellationToken cancellationToken, string by = AuditRows.Gateway) =>
        AddMailboxAsync(address, new MailboxChange(password), cancellationToken, by);

    public async Task<AdminResult<MailboxView>> AddMailboxAsync(string address, MailboxChange change, CancellationToken cancellationToken, string by = AuditRows.Gateway)
    {
        string? record = null;
        if (Check(() => record = Hash(AccountNames.Mailbox(address).Canonical, change.Password)) is { } error)
            return new AdminResult<MailboxView>(null, error);
        return await WriteAsync(write =>
        {
            MailboxAddress mailbox = AccountNames.Mailbox(address);
            DomainRecord domain = write.Domain(mailbox.Domain!.Value);
            if (AccountSql.Mailbox(write.Db, mailbox.Canonical) is not null)
                throw AdminException.Conflict($"There is a mailbox {mailbox.Canonical} already; change its password with: relaygate mailbox set {mailbox.Canonical} --password-stdin");
            if (AliasOwner(write.Db, mailbox.Canonical) is { } owner)
                throw AdminException.Conflict($"{mailbox.Canonical} is an alias of {owner}; take it away first: relaygate mailbox set {owner} --remove-alias {mailbox.Canonical}");
            write.Db.Execute("insert into mailbox (address, domain, password, password_at) values ($1, $2, $3, $4)", mailbox.Canonical, domain.Name, record, record is null ? 0 : NextPasswordAt(0));
            SetAliases(write, mailbox.Canonical, domain.Subscription, change);
            write.Touch(new AccountKey(Level.Mailbox, mailbox.Canonical), domain.Subscription);
            MailboxView view = View(write.Mailbox(mailbox.Canonical), domain);
            write.Audit("add", $"mailbox {view.Address}", view.Subscription, "", AuditText.Of(view));
            return view;
        }, by, cancellationToken);
    }

    /// <summary>Sets a new password, adds and takes away aliases. Sessions of the old password send no more.</summary>
    public async Task<AdminResult<MailboxView>> SetMailboxAsync(string address, MailboxChange change, CancellationToken cancellationToken, string by = AuditRows.Gateway)
    {
        string? record = null;
        if (Check(() => record = Hash(AccountNames.Mailbox(address).Canonical, change.Password)) is { } error)
            return new AdminResult<MailboxView>(null, error);
        return await WriteAsync(write =>
        {
            MailboxRecord old = write.Mailbox(AccountNames.Mailbox(address).Canonical);
            DomainRecord domain = write.Domain(old.Domain);
            if (record is not null)
                write.Db.Execute("update mailbox set password = $2, password_at = $3 where address = $1", old.Address, record, NextPasswordAt(old.PasswordAt));
            SetAliases(write, old.Address, domain.Subscription, change);
            write.Touch(new AccountKey(Level.Mailbox, old.Address), domain.Subscription);
            MailboxView view = View(write.Mailbox(old.Address), domain);
            write.Audit("set", $"mailbox {view.Address}", domain.Subscription, AuditText.Of(View(old, domain)), record is null ? AuditText.Of(view) : AuditText.OfNewPassword(view));
            return view;
        }, by, cancellationToken);
    }

    public Task<AdminResult<MailboxView>> ShowMailboxAsync(string address, CancellationToken cancellationToken) => ReadAsync(db =>
    {
        var read = new AccountWrite(db);
        MailboxRecord mailbox = read.Mailbox(AccountNames.Mailbox(address).Canonical);
        return View(mailbox, read.Domain(mailbox.Domain)) with { Use = CredentialSql.UseOf(db, IdentityUses.Login, mailbox.Address) };
    }, cancellationToken);

    /// <param name="domain">Null: of every domain.</param>
    public Task<AdminResult<Page<MailboxView>>> ListMailboxesAsync(string? domain, string? after, int count, CancellationToken cancellationToken)
    {
        const string Select = "select m.address, m.domain, m.suspended, m.password, m.password_at, d.subscription from mailbox m join domain d on d.name = m.domain";
        return ListAsync(
            count,
            (db, rows) => db.All(
                    Select + (domain is null ? " where m.address > $1 order by m.address limit $2" : " where m.domain = $3 and m.address > $1 order by m.address limit $2"),
                    static row => View(AccountSql.ReadMailbox(row), row.GetString(5)),
                    domain is null ? [after ?? "", rows] : [after ?? "", rows, AccountNames.Domain(domain)])
                .ConvertAll(mailbox => mailbox with { Aliases = AccountSql.Aliases(db, mailbox.Address) }),
            static mailbox => mailbox.Address,
            cancellationToken);
    }

    public Task<AdminResult<MailboxView>> RemoveMailboxAsync(string address, CancellationToken cancellationToken, string by = AuditRows.Gateway) => WriteAsync(write =>
    {
        MailboxRecord mailbox = write.Mailbox(AccountNames.Mailbox(address).Canonical);
        DomainRecord domain = write.Domain(mailbox.Domain);
        var key = new AccountKey(Level.Mailbox, mailbox.Address);
        if (mailbox.IsSuspended)
            write.RequireNothingWaits(key);
        RequireNoSender(write, key);
        write.RemoveRules(key, domain.Subscription);
        write.Db.Execute("delete from identity_use where kind = $1 and name = $2", IdentityUses.Login, mailbox.Address);
        write.Db.Execute("delete from alias where mailbox = $1", mailbox.Address);
        write.Db.Execute("delete from mailbox where address = $1", mailbox.Address);
        if (mailbox.IsSuspended)
            write.TouchSuspended();
        write.Touch(key, domain.Subscription);
        write.Audit("remove", key.ToString(), domain.Subscription, AuditText.Of(View(mailbox, domain)), "");
        return View(mailbox, domain);
    }, by, cancellationToken);

    /// <summary>Makes the stored record, on the caller's thread: the writer has no time for it.</summary>
    private string? Hash(string login, string? password)
    {
        if (password is null)
            return null;
        if (password.Length == 0 || Encoding.UTF8.GetByteCount(password) > MaxPasswordOctets || !SaslPrep.TryPrepare(password, out string? prepared) || prepared.Length == 0)
            throw AdminException.Invalid($"A password has 1 to {MaxPasswordOctets} octets and no control characters");
        return ScramRecord.Create(password, _directory.SaltOf(login), ScramRecord.DefaultIterations).ToString();
    }

    /// <summary>Takes aliases away and adds others: each is one mailbox's alone, of a domain of its subscription, and no mailbox itself.</summary>
    private static void SetAliases(AccountWrite write, string mailbox, string subscription, MailboxChange change)
    {
        foreach (string text in change.RemoveAliases ?? [])
        {
            string alias = AccountNames.Mailbox(text).Canonical;
            if (write.Db.Execute("delete from alias where address = $1 and mailbox = $2", alias, mailbox) == 0)
                throw AdminException.NotFound($"Mailbox {mailbox} has no alias {alias}; see: relaygate mailbox show {mailbox}");
        }
        foreach (string text in change.Aliases ?? [])
        {
            MailboxAddress address = AccountNames.Mailbox(text);
            string alias = address.Canonical;
            DomainRecord domain = write.Domain(address.Domain!.Value);
            if (domain.Subscription != subscription)
                throw AdminException.Conflict($"Domain {domain.Name} belongs to subscription {domain.Subscription}; an alias of {mailbox} is of a domain of subscription {subscription}");
            if (AccountSql.Mailbox(write.Db, alias) is not null)
                throw AdminException.Conflict($"{alias} is a mailbox; an alias is an address that is none");
            if (AliasOwner(write.Db, alias) is { } owner && owner != mailbox)
                throw AdminException.Conflict($"{alias} is an alias of {owner}; take it away there first: relaygate mailbox set {owner} --remove-alias {alias}");
            write.Db.Execute("insert into alias (address, mailbox, domain) values ($1, $2, $3) on conflict (address) do nothing", alias, mailbox, domain.Name);
        }
        if (AccountSql.Aliases(write.Db, mailbox).Length is > MaxAliases and var count)
            throw AdminException.Invalid($"Mailbox {mailbox} would have {count} aliases; at most {MaxAliases} are kept. For more let it use its whole domain: relaygate domain set DOMAIN --owned domain");
    }

    private static string? AliasOwner(DbConnection db, string address) => db.First("select mailbox from alias where address = $1", static row => row.GetString(0), address);

    private static MailboxView View(MailboxRecord m, DomainRecord d) => View(m, d.Subscription);

    private static MailboxView View(MailboxRecord m, string subscription) => new(m.Address, m.Domain, subscription, m.IsSuspended, m.Password is not null, m.Aliases)
    {
        PasswordSetAt = m.PasswordAt == 0 ? null : DateTimeOffset.FromUnixTimeMilliseconds(m.PasswordAt),
    };
}
