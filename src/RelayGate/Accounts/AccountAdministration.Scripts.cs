using System.Data.Common;
using System.Globalization;
using RelayGate.Core.Policy;
using RelayGate.Storage;

namespace RelayGate.Accounts;

/// <content>Scripts whose mail is held.</content>
public sealed partial class AccountAdministration
{
    /// <summary>Scripts of one uid that may be blocked; beyond that, all its mail may be (<see cref="ScriptKey.Any"/>).</summary>
    public const int MaxBlockedScripts = 1000;

    /// <summary>Holds the mail of a script from now on, or no more; effective with the commit, in open sessions too. Its queued mail moves to hold, and back.</summary>
    /// <returns>The key in its stored form, and whether anything was changed.</returns>
    public Task<AdminResult<ScriptChange>> SetScriptBlockedAsync(ScriptKey key, bool blocked, CancellationToken cancellationToken, string by = AuditRows.Gateway) => WriteAsync(write =>
    {
        ScriptKey stored = ScriptName(key);
        bool was = write.Db.Exists("select 1 from script_block where uid = $1 and script = $2", stored.Uid, stored.Script);
        if (was == blocked)
            return new ScriptChange(stored, false);
        if (blocked)
        {
            if (write.Db.First("select count(*) from script_block where uid = $1", static row => row.GetInt64(0).ToString(CultureInfo.InvariantCulture), stored.Uid) is { } count
                && long.Parse(count, CultureInfo.InvariantCulture) >= MaxBlockedScripts)
                throw AdminException.Conflict($"Uid {stored.Uid} has {MaxBlockedScripts} blocked scripts; hold all its mail instead: relaygate script block {stored.Uid} '*'");
            write.Db.Execute("insert into script_block (uid, script, at, whom) values ($1, $2, $3, $4)", stored.Uid, stored.Script, _time.GetUtcNow().ToUnixTimeMilliseconds(), by);
        }
        else
            write.Db.Execute("delete from script_block where uid = $1 and script = $2", stored.Uid, stored.Script);
        write.Change.Records.Add((RecordKind.ScriptBlocks, stored.Uid.ToString(CultureInfo.InvariantCulture)));
        write.Change.IsShared = true; // Of a shared uid, and of a login over the unix socket, it may be any subscription's mail.
        SystemUserRecord? user = AccountSql.SystemUser(write.Db, stored.Uid.ToString(CultureInfo.InvariantCulture));
        string? owner = user is { IsShared: false } ? user.Subscription : null;
        if (user is not null)
            write.Touch(new AccountKey(Level.Subscription, user.Subscription));
        write.TouchSuspended();
        write.Audit(blocked ? "script block" : "script unblock", $"script {stored.Uid} {stored.Script}", owner, was ? "blocked" : "free", blocked ? "blocked" : "free");
        return new ScriptChange(stored, true);
    }, by, cancellationToken);

    /// <summary>A path of a PHP script stands for its file: that is all that PHP tells.</summary>
    private static ScriptKey ScriptName(ScriptKey key)
    {
        string script = key.Script.Trim();
        if (script.Length is 0 or > ScriptKey.MaxLength || script.Any(char.IsControl))
            throw AdminException.Invalid($"'{AccountNames.Printable(key.Script)}' is no script; name one as the list does (relaygate script list), or '*' for all mail of the uid");
        if (script == ScriptKey.Others)
            throw AdminException.Invalid($"{ScriptKey.Others} stands for many scripts; hold all mail of the uid instead: relaygate script block {key.Uid} '*'");
        bool isPhpPath = script[0] == '/' && script.EndsWith(".php", StringComparison.OrdinalIgnoreCase);
        return key with { Script = isPhpPath ? script[(script.LastIndexOf('/') + 1)..] : script };
    }
}

/// <param name="IsChanged">False: it was so already.</param>
public sealed record ScriptChange(ScriptKey Key, bool IsChanged);

/// <summary>The scripts of one uid whose mail is held.</summary>
internal sealed record ScriptBlocks(System.Collections.Immutable.ImmutableArray<string> Scripts)
{
    public static ScriptBlocks Read(DbConnection db, string uid) =>
        new([.. db.All("select script from script_block where uid = $1", static row => row.GetString(0), int.Parse(uid, CultureInfo.InvariantCulture))]);
}
