using System.Globalization;
using System.Net;
using RelayGate.Storage;

namespace RelayGate.Accounts;

public sealed partial class AccountAdministration
{
    private const int MaxNetworks = 10_000; // All are in memory.

    /// <param name="subscription">Whose mail it is when the domain of MAIL FROM is not hosted here; null: refused.</param>
    public Task<AdminResult<NetworkView>> AddNetworkAsync(
        string cidr, string? subscription, bool isExemptFromLimits, bool trustsAll, CancellationToken cancellationToken, string by = AuditRows.Gateway) => WriteAsync(write =>
    {
        IPNetwork network = AccountNames.Network(cidr);
        string name = network.ToString();
        if (write.Db.Exists("select 1 from network where cidr = $1", name))
            throw AdminException.Conflict($"Network {name} is listed already; remove it first: relaygate network remove {name}");
        if (subscription is not null)
            write.Subscription(subscription);
        string? count = write.Db.First("select count(*) from network", static row => row.GetInt64(0).ToString(CultureInfo.InvariantCulture));
        if (int.Parse(count!, CultureInfo.InvariantCulture) >= MaxNetworks)
            throw AdminException.Conflict($"{MaxNetworks} networks are listed, and more are not possible; list wider ones");
        write.Db.Execute(
            "insert into network (cidr, subscription, exempt, trust_all) values ($1, $2, $3, $4)", name, subscription, isExemptFromLimits ? 1 : 0, trustsAll ? 1 : 0);
        NetworksChanged(write);
        var view = new NetworkView(name, subscription, isExemptFromLimits, trustsAll);
        write.Audit("add", $"network {name}", subscription, "", AuditText.Of(view));
        return view;
    }, by, cancellationToken);

    public Task<AdminResult<Page<NetworkView>>> ListNetworksAsync(string? after, int count, CancellationToken cancellationToken) => ListAsync(
        count,
        (db, rows) => db.All(
            AccountSql.SelectNetwork + " where cidr > $1 order by cidr limit $2", static row => View(AccountSql.ReadNetwork(row)), after ?? "", rows),
        static network => network.Cidr,
        cancellationToken);

    public Task<AdminResult<NetworkView>> RemoveNetworkAsync(string cidr, CancellationToken cancellationToken, string by = AuditRows.Gateway) => WriteAsync(write =>
    {
        string name = AccountNames.Network(cidr).ToString();
        NetworkView view = View(write.Db.First(AccountSql.SelectNetwork + " where cidr = $1", AccountSql.ReadNetwork, name)
            ?? throw AdminException.NotFound($"Network {name} is not listed; see: relaygate network list"));
        write.Db.Execute("delete from network where cidr = $1", name);
        NetworksChanged(write);
        write.Audit("remove", $"network {name}", view.Subscription, AuditText.Of(view), "");
        return view;
    }, by, cancellationToken);

    private static void NetworksChanged(AccountWrite write)
    {
        write.Change.Records.Add((RecordKind.Networks, ""));
        write.Change.IsShared = true;
    }

    private static NetworkView View(NetworkRecord n) => new(n.Network.ToString(), n.Subscription, n.IsExempt, n.TrustsAll);
}
