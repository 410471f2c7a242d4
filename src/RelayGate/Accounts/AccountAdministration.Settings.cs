using System.Data.Common;
using System.Net;
using System.Net.Sockets;
using RelayGate.Configuration;
using RelayGate.Storage;

namespace RelayGate.Accounts;

public sealed partial class AccountAdministration
{
    /// <summary>All settings that can be set live, each with its origin.</summary>
    public Task<AdminResult<IReadOnlyList<Setting>>> ListSettingsAsync(CancellationToken cancellationToken) => ReadAsync<IReadOnlyList<Setting>>(db =>
    {
        Dictionary<string, string> stored = AccountSql.Settings(db);
        return [.. Setting.Names.Select(name => View(name, stored))];
    }, cancellationToken);

    public Task<AdminResult<Setting>> SetSettingAsync(string name, string value, CancellationToken cancellationToken, string by = AuditRows.Gateway) => WriteAsync(write =>
    {
        string known = SettingName(name);
        if (Setting.Fault(known, value) is { } expected)
            throw AdminException.Invalid($"'{AccountNames.Printable(value)}' is no value for {known}; it is {expected}");
        if (known is "Egress:IPv4" or "Egress:IPv6")
            value = ServerAddress(write, value, known == "Egress:IPv4" ? AddressFamily.InterNetwork : AddressFamily.InterNetworkV6);
        Setting before = View(known, AccountSql.Settings(write.Db));
        write.Db.Execute("insert into setting (name, value) values ($1, $2) on conflict (name) do update set value = excluded.value", known, value);
        return SettingChanged(write, before, "set");
    }, by, cancellationToken);

    /// <summary>Returns a setting to its value in the file.</summary>
    public Task<AdminResult<Setting>> UnsetSettingAsync(string name, CancellationToken cancellationToken, string by = AuditRows.Gateway) => WriteAsync(write =>
    {
        string known = SettingName(name);
        Setting before = View(known, AccountSql.Settings(write.Db));
        if (write.Db.Execute("delete from setting where name = $1", known) == 0)
            throw AdminException.NotFound($"{known} is not set here; its value is that of the file");
        return SettingChanged(write, before, "unset");
    }, by, cancellationToken);

    private static string ServerAddress(AccountWrite write, string value, AddressFamily family)
    {
        if (value.Equals(AccountNames.None, StringComparison.OrdinalIgnoreCase))
            return AccountNames.None;
        IPAddress address = AccountNames.Address(value, family);
        return AccountSql.Address(write.Db, address.ToString()) is { Owner: { } owner } && owner != AccountWrite.SystemSubscription
            ? throw AdminException.Conflict($"Address {address} is exclusive to subscription {owner}, so the server cannot send from it; use another, or share it: relaygate ip set {address} --shared")
            : address.ToString();
    }

    private static string SettingName(string name) => Setting.Names.FirstOrDefault(known => string.Equals(known, name, StringComparison.OrdinalIgnoreCase))
        ?? throw AdminException.NotFound($"'{AccountNames.Printable(name)}' cannot be set live; these can: {string.Join(", ", Setting.Names)}");

    private Setting SettingChanged(AccountWrite write, Setting before, string what)
    {
        if (Settings(write.Db) is { Mode: EgressMode.Explicit, IPv4: null, IPv6: null })
            throw AdminException.Invalid("Egress:Mode Explicit needs Egress:IPv4 or Egress:IPv6; set that first: relaygate setting set Egress:IPv4 ADDRESS");
        write.Change.Records.Add((RecordKind.Settings, ""));
        write.Change.IsShared = true;
        Setting view = View(before.Name, AccountSql.Settings(write.Db));
        write.Audit(what, $"setting {view.Name}", null, before.Value, view.Value);
        return view;
    }

    private Setting View(string name, Dictionary<string, string> stored)
    {
        if (stored.TryGetValue(name, out string? value))
            return new Setting(name, value, "stored");
        string configured = Setting.Configured(name, _directory.Cache.Options);
        return new Setting(name, configured, configured == Setting.Configured(name, new RelayGateOptions()) ? "default" : "configuration");
    }
}
