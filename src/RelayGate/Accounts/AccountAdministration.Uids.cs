using System.Data.Common;
using System.Globalization;
using RelayGate.Core.Policy;
using RelayGate.Storage;

namespace RelayGate.Accounts;

/// <content>System users as senders: who they are, and stopping one of them.</content>
public sealed partial class AccountAdministration
{
    /// <param name="subscription">Null: of every subscription.</param>
    /// <param name="after">The uid after which to go on.</param>
    public Task<AdminResult<Page<UidView>>> ListUidsAsync(string? subscription, string? after, int count, CancellationToken cancellationToken) => ListAsync(
        count,
        (db, rows) => db.All(
                AccountSql.SelectSystemUser + " where uid > $1" + (subscription is null ? "" : " and subscription = $3") + " order by uid limit $2", AccountSql.ReadSystemUser,
                subscription is null ? [LastUid(after), rows] : [LastUid(after), rows, subscription])
            .ConvertAll(user => View(db, user)),
        static user => user.Uid.ToString(CultureInfo.InvariantCulture),
        cancellationToken);

    /// <summary>Suspends a system user or lets it go on; effective with the commit, in open sessions too.</summary>
    /// <param name="user">Name, number or <c>#number</c>.</param>
    public Task<AdminResult<UidView>> SetUidSuspendedAsync(string user, bool suspended, CancellationToken cancellationToken, string by = AuditRows.Gateway) => WriteAsync(write =>
    {
        SystemUserRecord record = write.Db.First(AccountSql.SelectSystemUser + " where name = $1 or uid = $2", AccountSql.ReadSystemUser, user, UidOf(user))
            ?? throw AdminException.NotFound($"No subscription has a system user '{AccountNames.Printable(user)}'; see: relaygate uid list");
        write.Db.Execute("update system_user set suspended = $2 where uid = $1", record.Uid, suspended ? 1 : 0);
        write.Change.Records.Add((RecordKind.SystemUser, record.Uid.ToString(CultureInfo.InvariantCulture)));
        write.Touch(new AccountKey(Level.Subscription, record.Subscription));
        write.Change.IsShared = true; // Its mail may be any subscription's: by its sender's domain, or by a login.
        write.TouchSuspended();
        write.Suspension("uid", record.Name, record.Subscription, record.IsSuspended, suspended);
        return View(write.Db, record with { IsSuspended = suspended });
    }, by, cancellationToken);

    private static int UidOf(string text) => int.TryParse(text.AsSpan(text.StartsWith('#') ? 1 : 0), NumberStyles.None, CultureInfo.InvariantCulture, out int uid) ? uid : -1;

    private static int LastUid(string? cursor) => cursor is null ? -1 : int.TryParse(cursor, NumberStyles.None, CultureInfo.InvariantCulture, out int uid) ? uid
        : throw AdminException.Invalid("The cursor is not one of this list");

    private static UidView View(DbConnection db, SystemUserRecord u) => new(u.Uid, u.Name, u.Subscription, u.IsShared, u.IsSuspended, CredentialSql.UseOf(db, IdentityUses.Uid, u.Name));
}
