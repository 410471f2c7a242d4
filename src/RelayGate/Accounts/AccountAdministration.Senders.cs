using System.Data.Common;
using System.Security.Cryptography;
using RelayGate.Core.Policy;
using RelayGate.Storage;

namespace RelayGate.Accounts;

/// <content>Credentials beside mailboxes: application passwords for a mailbox, a domain or a subscription.</content>
public sealed partial class AccountAdministration
{
    /// <summary>Longest time for which a replaced password stays valid.</summary>
    public static readonly TimeSpan LongestGrace = TimeSpan.FromDays(30);

    // 32 characters that are not mistaken for one another: 5 bits each, 125 in all.
    private const string PasswordAlphabet = "abcdefghijkmnpqrstuvwxyz23456789";
    private const int PasswordGroups = 5;
    private const int PasswordGroup = 5;
    private const int UsesOfOneWrite = 500;

    private long _lastPasswordAt; // On the writer's thread. Open sessions name passwords by it, and none outlives the process.

    /// <param name="of">Mailbox, domain or subscription.</param>
    /// <param name="password">Null: one is made, and told once.</param>
    public async Task<AdminResult<NewPassword>> CreateSenderAsync(string name, AccountKey of, string? password, CancellationToken cancellationToken, string by = AuditRows.Gateway)
    {
        string? generated = password is null ? GeneratePassword() : null;
        string record = "";
        if (Check(() => record = Hash(AccountNames.Credential(name), password ?? generated)!) is { } error)
            return new AdminResult<NewPassword>(null, error);
        return await WriteAsync(write =>
        {
            if (CredentialSql.Credential(write.Db, name) is { } known)
                throw AdminException.Conflict($"There is a sender {name} already, of {known.Of}; give it a new password with: relaygate sender rotate {name}");
            AccountKey stored = AccountNames.Key(of);
            string subscription = OwnerOf(write, stored);
            write.Db.Execute(
                "insert into credential (name, level, object, created_at, password, password_at) values ($1, $2, $3, $4, $5, $6)",
                name, (int)stored.Level, stored.Name, _time.GetUtcNow().ToUnixTimeMilliseconds(), record, NextPasswordAt(0));
            write.TouchCredential(name, subscription);
            SenderView view = View(write.Db, Sender(write.Db, name));
            write.Audit("create", $"sender {name}", subscription, "", AuditText.Of(view));
            return new NewPassword(view, generated);
        }, by, cancellationToken);
    }

    /// <summary>Gives a sender a new password.</summary>
    /// <param name="password">Null: one is made, and told once.</param>
    /// <param name="grace">How long the old one stays valid beside it: zero, or at most <see cref="LongestGrace"/>.</param>
    public async Task<AdminResult<NewPassword>> RotateSenderAsync(string name, string? password, TimeSpan grace, CancellationToken cancellationToken, string by = AuditRows.Gateway)
    {
        if (grace < TimeSpan.Zero || grace > LongestGrace)
            return new AdminResult<NewPassword>(null, new AdminError(AdminErrorKind.Invalid, $"The grace is at most {LongestGrace.TotalDays:0} days"));
        AdminResult<CredentialRecord> before = await ReadAsync(db => Sender(db, name), cancellationToken);
        if (!before.IsOk)
            return new AdminResult<NewPassword>(null, before.Error);
        CredentialRecord old = before.Value;
        string? generated = password is null ? GeneratePassword() : null;
        string record = "";
        if (Check(() => record = Hash(name, password ?? generated)!) is { } error)
            return new AdminResult<NewPassword>(null, error);
        return await WriteAsync(write =>
        {
            CredentialRecord credential = Sender(write.Db, name);
            if (credential.PasswordAt != old.PasswordAt)
                throw AdminException.Conflict($"Sender {name} has got another password meanwhile; see: relaygate sender show {name}");
            DateTimeOffset now = _time.GetUtcNow();
            bool keeps = grace > TimeSpan.Zero;
            write.Db.Execute(
                "update credential set password = $2, password_at = $3, previous = $4, previous_at = $5, previous_until = $6 where name = $1",
                name, record, NextPasswordAt(credential.PasswordAt), keeps ? credential.Password : null, keeps ? credential.PasswordAt : null,
                keeps ? (now + grace).ToUnixTimeMilliseconds() : null);
            SenderView view = View(write.Db, Sender(write.Db, name));
            write.TouchCredential(name, view.Subscription);
            write.Audit("rotate", $"sender {name}", view.Subscription, AuditText.Of(View(write.Db, credential)), "password=changed " + AuditText.Of(view));
            return new NewPassword(view, generated);
        }, by, cancellationToken);
    }

    public Task<AdminResult<SenderView>> ShowSenderAsync(string name, CancellationToken cancellationToken) =>
        ReadAsync(db => View(db, Sender(db, name)), cancellationToken);

    /// <param name="of">Only those of this mailbox or domain; of a subscription also those of its domains and mailboxes. Null: all.</param>
    /// <param name="onlySubscription">What its own user may see, so that no page and no cursor tells of another's; null: everything.</param>
    public Task<AdminResult<Page<SenderView>>> ListSendersAsync(AccountKey? of, string? onlySubscription, string? after, int count, CancellationToken cancellationToken) => ListAsync(
        count,
        (db, rows) =>
        {
            AccountKey? key = of is { } asked ? AccountNames.Key(asked) : null;
            string filter = key switch
            {
                null => "",
                { Level: Level.Subscription } => OwnedBy("$3") + " and ",
                _ => "level = $4 and object = $3 and ",
            };
            if (onlySubscription is not null)
                filter += OwnedBy("$5") + " and ";
            return db.All(
                    $"{CredentialSql.Select} where {filter}name > $1 order by name limit $2", CredentialSql.Read,
                    after ?? "", rows, key?.Name, (int?)key?.Level, onlySubscription)
                .ConvertAll(credential => View(db, credential));
        },
        static sender => sender.Name,
        cancellationToken);

    public Task<AdminResult<SenderView>> RevokeSenderAsync(string name, CancellationToken cancellationToken, string by = AuditRows.Gateway) => WriteAsync(write =>
    {
        CredentialRecord credential = Sender(write.Db, name);
        SenderView view = View(write.Db, credential);
        if (credential.IsSuspended)
            write.RequireNoMailOfCredential(name);
        write.Db.Execute("delete from credential where name = $1", name);
        write.Db.Execute("delete from identity_use where kind = $1 and name = $2", IdentityUses.Login, name);
        write.TouchCredential(name, view.Subscription);
        if (credential.IsSuspended)
            write.TouchSuspended();
        write.Audit("revoke", $"sender {name}", view.Subscription, AuditText.Of(view), "");
        return view;
    }, by, cancellationToken);

    /// <summary>Suspends a sender or lets it go on; effective with the commit, in open sessions too.</summary>
    public Task<AdminResult<SenderView>> SetSenderSuspendedAsync(string name, bool suspended, CancellationToken cancellationToken, string by = AuditRows.Gateway) => WriteAsync(write =>
    {
        CredentialRecord credential = Sender(write.Db, name);
        write.Db.Execute("update credential set suspended = $2 where name = $1", name, suspended ? 1 : 0);
        SenderView view = View(write.Db, credential with { IsSuspended = suspended });
        write.TouchCredential(name, view.Subscription);
        write.TouchSuspended();
        write.Suspension("sender", name, view.Subscription, credential.IsSuspended, suspended);
        return view;
    }, by, cancellationToken);

    /// <summary>Writes what identities waited with at the start; those used meanwhile are for the next time, so that this ends under any load.</summary>
    public async Task SaveUsesAsync(CancellationToken cancellationToken)
    {
        foreach ((string Kind, string Name)[] some in _directory.Uses.Waiting().Chunk(UsesOfOneWrite))
        {
            IdentityUse[] uses = [.. some.Select(_directory.Uses.Take)];
            await _writer.WriteAsync(
                db =>
                {
                    foreach (((string kind, string name), IdentityUse use) in some.Zip(uses))
                        IdentityUses.Write(db, kind, name, use);
                    return true;
                },
                _ => { },
                cancellationToken);
        }
    }

    /// <summary>Takes away what was replaced with a grace that has ended, so that open sessions end with it.</summary>
    internal async Task EndGracesAsync(CancellationToken cancellationToken)
    {
        long now = _time.GetUtcNow().ToUnixTimeMilliseconds();
        if (!await _store.ReadAsync(db => db.Exists("select 1 from credential where previous is not null and previous_until <= $1", now), cancellationToken))
            return;
        await WriteAsync<object>(write =>
        {
            List<CredentialRecord> ended = write.Db.All(
                CredentialSql.Select + " where previous is not null and previous_until <= $1 limit 500", CredentialSql.Read, now);
            foreach (CredentialRecord credential in ended)
            {
                write.Db.Execute("update credential set previous = null, previous_at = null, previous_until = null where name = $1", credential.Name);
                write.TouchCredential(credential.Name, OwnerOf(write, credential.Of));
            }
            return ended;
        }, AuditRows.Gateway, cancellationToken);
    }

    private static CredentialRecord Sender(DbConnection db, string name) => CredentialSql.Credential(db, name)
        ?? throw AdminException.NotFound($"There is no sender '{AccountNames.Printable(name)}'; see: relaygate sender list");

    /// <summary>An object that still has credentials stays: they would log in for nothing.</summary>
    private static void RequireNoSender(AccountWrite write, AccountKey key)
    {
        if (write.Db.First("select name from credential where level = $1 and object = $2 order by name limit 1", static row => row.GetString(0), (int)key.Level, key.Name) is { } name)
            throw AdminException.InUse($"{char.ToUpperInvariant(key.ToString()[0])}{key.ToString()[1..]} still has the sender {name}; revoke its senders first: relaygate sender revoke {name}");
    }

    /// <param name="parameter">Of the statement: the subscription.</param>
    private static string OwnedBy(string parameter) => $"""
        ((level = 2 and object = {parameter})
          or (level = 3 and object in (select d.name from domain d where d.subscription = {parameter}))
          or (level = 4 and exists (select 1 from mailbox m join domain d on d.name = m.domain where m.address = object and d.subscription = {parameter})))
        """;

    private static string OwnerOf(AccountWrite write, AccountKey of) => of.Level is Level.Mailbox or Level.Domain or Level.Subscription
        ? SubscriptionOf(write, of)!
        : throw AdminException.Invalid("A sender is of a mailbox, a domain or a subscription");

    private static string GeneratePassword() =>
        string.Join('-', Enumerable.Range(0, PasswordGroups).Select(static _ => RandomNumberGenerator.GetString(PasswordAlphabet, PasswordGroup)));

    /// <summary>A time for a new password that none before it has.</summary>
    private long NextPasswordAt(long before) =>
        _lastPasswordAt = Math.Max(Math.Max(_lastPasswordAt, before) + 1, _time.GetUtcNow().ToUnixTimeMilliseconds());

    private static SenderView View(DbConnection db, CredentialRecord c) => new(
        c.Name, c.Of, OwnerOf(new AccountWrite(db), c.Of), c.CreatedAt, DateTimeOffset.FromUnixTimeMilliseconds(c.PasswordAt), c.Previous?.Until, c.IsSuspended,
        CredentialSql.UseOf(db, IdentityUses.Login, c.Name));
}
