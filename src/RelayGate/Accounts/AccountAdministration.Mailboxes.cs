using System.Text;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Core.Smtp;
using RelayGate.Storage;

namespace RelayGate.Accounts;

public sealed partial class AccountAdministration
{
    private const int MaxPasswordOctets = 1024;

    /// <param name="password">Null: nobody can log in until one is set.</param>
    public async Task<AdminResult<MailboxView>> AddMailboxAsync(string address, string? password, CancellationToken cancellationToken, string by = AuditRows.Gateway)
    {
        string? record = null;
        if (Check(() => record = Hash(AccountNames.Mailbox(address).Canonical, password)) is { } error)
            return new AdminResult<MailboxView>(null, error);
        return await WriteAsync(write =>
        {
            MailboxAddress mailbox = AccountNames.Mailbox(address);
            DomainRecord domain = write.Domain(mailbox.Domain!.Value);
            if (AccountSql.Mailbox(write.Db, mailbox.Canonical) is not null)
                throw AdminException.Conflict($"There is a mailbox {mailbox.Canonical} already; change its password with: relaygate mailbox set {mailbox.Canonical} --password-stdin");
            write.Db.Execute("insert into mailbox (address, domain, password) values ($1, $2, $3)", mailbox.Canonical, domain.Name, record);
            write.Touch(new AccountKey(Level.Mailbox, mailbox.Canonical), domain.Subscription);
            MailboxView view = View(write.Mailbox(mailbox.Canonical), domain);
            write.Audit("add", $"mailbox {view.Address}", view.Subscription, "", AuditText.Of(view));
            return view;
        }, by, cancellationToken);
    }

    /// <summary>Sets a new password.</summary>
    public async Task<AdminResult<MailboxView>> SetMailboxPasswordAsync(string address, string password, CancellationToken cancellationToken, string by = AuditRows.Gateway)
    {
        string? record = null;
        if (Check(() => record = Hash(AccountNames.Mailbox(address).Canonical, password)) is { } error)
            return new AdminResult<MailboxView>(null, error);
        return await WriteAsync(write =>
        {
            MailboxRecord mailbox = write.Mailbox(AccountNames.Mailbox(address).Canonical);
            DomainRecord domain = write.Domain(mailbox.Domain);
            write.Db.Execute("update mailbox set password = $2 where address = $1", mailbox.Address, record);
            write.Touch(new AccountKey(Level.Mailbox, mailbox.Address), domain.Subscription);
            write.Audit("set", $"mailbox {mailbox.Address}", domain.Subscription, AuditText.Of(View(mailbox, domain)), "password=changed");
            return View(mailbox with { Password = record }, domain);
        }, by, cancellationToken);
    }

    public Task<AdminResult<MailboxView>> ShowMailboxAsync(string address, CancellationToken cancellationToken) => ReadAsync(db =>
    {
        var read = new AccountWrite(db);
        MailboxRecord mailbox = read.Mailbox(AccountNames.Mailbox(address).Canonical);
        return View(mailbox, read.Domain(mailbox.Domain));
    }, cancellationToken);

    /// <param name="domain">Null: of every domain.</param>
    public Task<AdminResult<Page<MailboxView>>> ListMailboxesAsync(string? domain, string? after, int count, CancellationToken cancellationToken)
    {
        const string Select = "select m.address, m.domain, m.suspended, m.password, d.subscription from mailbox m join domain d on d.name = m.domain";
        return ListAsync(
            count,
            (db, rows) => db.All(
                Select + (domain is null ? " where m.address > $1 order by m.address limit $2" : " where m.domain = $3 and m.address > $1 order by m.address limit $2"),
                static row => new MailboxView(row.GetString(0), row.GetString(1), row.GetString(4), row.Flag(2), !row.IsDBNull(3)),
                domain is null ? [after ?? "", rows] : [after ?? "", rows, AccountNames.Domain(domain)]),
            static mailbox => mailbox.Address,
            cancellationToken);
    }

    public Task<AdminResult<MailboxView>> RemoveMailboxAsync(string address, CancellationToken cancellationToken, string by = AuditRows.Gateway) => WriteAsync(write =>
    {
        MailboxRecord mailbox = write.Mailbox(AccountNames.Mailbox(address).Canonical);
        DomainRecord domain = write.Domain(mailbox.Domain);
        var key = new AccountKey(Level.Mailbox, mailbox.Address);
        if (mailbox.IsSuspended)
            write.RequireNothingWaits(domain.Subscription, key);
        RequireNoSender(write, key);
        write.RemoveLimits(key);
        write.Db.Execute("delete from identity_use where kind = $1 and name = $2", IdentityUses.Login, mailbox.Address);
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

    private static MailboxView View(MailboxRecord m, DomainRecord d) => new(m.Address, m.Domain, d.Subscription, m.IsSuspended, m.Password is not null);
}
