using System.Data.Common;
using RelayGate.Core.Policy;
using RelayGate.Core.Tls;
using RelayGate.Storage;

namespace RelayGate.Accounts;

public sealed partial class AccountAdministration
{
    /// <summary>The word that takes a TLS policy away.</summary>
    private const string DefaultTls = "default";

    /// <summary>Octets of a login or its password at a smarthost, at most.</summary>
    private const int MaxLoginOctets = 255;

    /// <summary>Sets where mail goes next; the next attempt goes there.</summary>
    /// <param name="subscription">Null: of everybody.</param>
    /// <param name="domain">Recipient domain; null: to everywhere.</param>
    public Task<AdminResult<RouteView>> SetRouteAsync(
        string? subscription, string? domain, RouteChange change, CancellationToken cancellationToken, string by = AuditRows.Gateway) => WriteAsync(write =>
    {
        RouteKey key = KeyOf(write, subscription, domain);
        Route? old = RouteSql.Find(write.Db, key);
        string text = change.NextHop ?? old?.NextHop ?? throw AdminException.Invalid($"Say where mail goes next: --next-hop; {NextHopText.Remedy}");
        if (!NextHopText.TryParse(text, out var smarthosts))
            throw AdminException.Invalid($"'{AccountNames.Printable(text)}' is no next hop; {NextHopText.Remedy}");
        SmarthostLogin? login = change.Login is null ? old?.Login : change.Login == AccountNames.None ? null
            : new SmarthostLogin(Checked(change.Login, "login"), Checked(change.Password ?? throw AdminException.Invalid("A login needs its password: --password-stdin"), "password"));
        if (change.Login is null && change.Password is { } password)
            login = old?.Login is { } known ? known with { Password = Checked(password, "password") } : throw AdminException.Invalid("A password needs its login: --login NAME");
        TlsMode? tls = change.Tls is null ? old?.Tls : change.Tls == DefaultTls ? null : Mode(change.Tls);
        var route = new Route(key, smarthosts.Value) { Login = login, Tls = tls };
        if (route.IsMx && route.Login is not null)
            throw AdminException.Invalid("A login is for smarthosts: MX hosts know none of ours");
        if (change is { Login: null, Password: null } && old?.Login is { } kept && HostsOf(route).Except(HostsOf(old)).FirstOrDefault() is { } stranger)
            throw AdminException.Invalid($"{stranger} would be given the password of {kept.User} that is stored for other hosts: say who logs in there, --login NAME with --password-stdin, or --login {AccountNames.None}");
        if (old is null && RouteSql.Count(write.Db) >= RouteSql.MaxRoutes)
            throw AdminException.Conflict($"There are {RouteSql.MaxRoutes} routes already, which is the most; remove one first: relaygate route list");
        RouteSql.Put(write.Db, route);
        write.Change.Routes = RouteSql.Table(write.Db, _directory.Cache.Options.Delivery.ConfiguredNextHop);
        write.Audit("route set", $"route {key}", NullIfEmpty(key.Subscription), old is null ? "" : Text(old), Text(route));
        return RouteView.Of(route, isStored: true);
    }, by, cancellationToken);

    /// <summary>Lets mail go by the next route that is for it.</summary>
    public Task<AdminResult<RouteView>> RemoveRouteAsync(
        string? subscription, string? domain, CancellationToken cancellationToken, string by = AuditRows.Gateway) => WriteAsync(write =>
    {
        RouteKey key = KeyOf(write, subscription, domain);
        Route old = RouteSql.Find(write.Db, key) ?? throw NoRoute(key);
        RouteSql.Remove(write.Db, key);
        write.Change.Routes = RouteSql.Table(write.Db, _directory.Cache.Options.Delivery.ConfiguredNextHop);
        write.Audit("route remove", $"route {key}", NullIfEmpty(key.Subscription), Text(old), "");
        return RouteView.Of(old, isStored: true);
    }, by, cancellationToken);

    /// <summary>One route as it was set; the server's also as it was configured.</summary>
    public Task<AdminResult<RouteView>> ShowRouteAsync(string? subscription, string? domain, CancellationToken cancellationToken) => ReadAsync(db =>
    {
        RouteKey key = KeyOf(new AccountWrite(db), subscription, domain);
        return RouteSql.Find(db, key) is { } route ? RouteView.Of(route, isStored: true) : key == RouteKey.Server ? Configured() : throw NoRoute(key);
    }, cancellationToken);

    /// <summary>All routes, the server's first.</summary>
    public async Task<AdminResult<Page<RouteView>>> ListRoutesAsync(string? after, int count, CancellationToken cancellationToken)
    {
        string[] parts = (after ?? "").Split(' ', 2);
        var from = new RouteKey(parts[0], parts.Length > 1 ? parts[1] : "");
        return await ListAsync(
            count,
            (db, rows) =>
            {
                List<RouteView> views = RouteSql.Page(db, from, after is null, rows).ConvertAll(static route => RouteView.Of(route, isStored: true));
                if (after is null && (views.Count == 0 || views[0].Key != RouteKey.Server))
                    views.Insert(0, Configured());
                return views;
            },
            static route => $"{route.Key.Subscription} {route.Key.Domain}",
            cancellationToken);
    }

    private RouteView Configured() => RouteView.Of(new Route(RouteKey.Server, _directory.Cache.Options.Delivery.ConfiguredNextHop), isStored: false);

    private static IEnumerable<string> HostsOf(Route route) => route.Smarthosts.SelectMany(static equals => equals).Select(static smarthost => smarthost.Host);

    private static RouteKey KeyOf(AccountWrite write, string? subscription, string? domain) => new(
        subscription is null ? "" : write.Subscription(subscription).Name,
        domain is null ? "" : AccountNames.Domain(domain));

    private static AdminException NoRoute(RouteKey key) => AdminException.NotFound($"There is no route {key}; see: relaygate route list");

    private static TlsMode Mode(string word) => TlsModes.TryParse(word, out TlsMode mode)
        ? mode
        : throw AdminException.Invalid($"'{AccountNames.Printable(word)}' is no TLS policy of a route: none, may, encrypt, verify, dane or default");

    /// <summary>Printable, and without NUL, which ends a field of SASL PLAIN (RFC 4616).</summary>
    private static string Checked(string text, string what) =>
        text.Length > 0 && System.Text.Encoding.UTF8.GetByteCount(text) <= MaxLoginOctets && !text.Any(char.IsControl)
            ? text
            : throw AdminException.Invalid($"The {what} at a smarthost is 1 to {MaxLoginOctets} octets of UTF-8 without control characters");

    private static string Text(Route route) => $"{route.NextHop}{(route.Login is { } login ? $" login={login.User}" : "")}{(route.Tls is { } tls ? $" tls={tls.Word()}" : "")}";

    private static string? NullIfEmpty(string text) => text.Length == 0 ? null : text;
}

/// <summary>One route, without its password.</summary>
/// <param name="Origin"><c>stored</c>, <c>configuration</c> or <c>default</c>.</param>
public sealed record RouteView(RouteKey Key, string NextHop, string? Login, TlsMode? Tls, string Origin)
{
    /// <param name="isStored">It was set by hand, and is not what the configuration says or leaves out.</param>
    internal static RouteView Of(Route route, bool isStored) =>
        new(route.Key, route.NextHop, route.Login?.User, route.Tls, isStored ? "stored" : route.IsMx ? "default" : "configuration");
}

/// <summary>What a route is given; null leaves a value as it is, <c>none</c> clears the login and <c>default</c> the TLS policy.</summary>
/// <param name="Password">In the clear, of this login.</param>
public sealed record RouteChange(string? NextHop = null, string? Login = null, string? Password = null, string? Tls = null);
