using System.Collections.Immutable;
using System.Data.Common;
using RelayGate.Core.Policy;
using RelayGate.Core.Tls;
using RelayGate.Storage;

namespace RelayGate.Accounts;

/// <summary>The table of routes.</summary>
internal static class RouteSql
{
    public const string Ddl = """
        -- Subscription and domain: '' for any. Next_hop: as NextHopText writes it. Password in the clear, as a client needs it; never shown.
        create table route (
          subscription text not null,
          domain text not null,
          next_hop text not null,
          login text,
          password text,
          tls text,
          primary key (subscription, domain)
        );

        """;

    /// <summary>All routes are kept in memory; there are no more than this. 10,000.</summary>
    public const int MaxRoutes = 10_000;

    private const string Select = "select subscription, domain, next_hop, login, password, tls from route";

    /// <summary>All of them, over the configured next hop.</summary>
    public static RouteTable Table(DbConnection db, ImmutableArray<ImmutableArray<SmarthostAddress>> configured) =>
        new(configured, db.All(Select + " limit $1", Read, MaxRoutes));

    public static long Count(DbConnection db) => db.All("select count(*) from route", static row => row.GetInt64(0))[0];

    /// <summary>Removes the routes of a subscription.</summary>
    public static int RemoveOf(DbConnection db, string subscription) => db.Execute("delete from route where subscription = $1", subscription);

    public static Route? Find(DbConnection db, RouteKey key) =>
        db.First(Select + " where subscription = $1 and domain = $2", Read, key.Subscription, key.Domain);

    public static List<Route> Page(DbConnection db, RouteKey after, bool isFirst, int rows) =>
        db.All(Select + " where $4 or (subscription, domain) > ($1, $2) order by subscription, domain limit $3", Read, after.Subscription, after.Domain, rows, isFirst ? 1 : 0);

    public static void Put(DbConnection db, Route route) => db.Execute(
        """
        insert into route (subscription, domain, next_hop, login, password, tls) values ($1, $2, $3, $4, $5, $6)
        on conflict (subscription, domain) do update set next_hop = excluded.next_hop, login = excluded.login, password = excluded.password, tls = excluded.tls
        """,
        route.Key.Subscription, route.Key.Domain, route.NextHop, route.Login?.User, route.Login?.Password, route.Tls?.Word());

    public static int Remove(DbConnection db, RouteKey key) => db.Execute("delete from route where subscription = $1 and domain = $2", key.Subscription, key.Domain);

    private static Route Read(DbDataReader row)
    {
        // What is stored was checked; anything else was written by something else, and leads nowhere rather than elsewhere.
        ImmutableArray<ImmutableArray<SmarthostAddress>> smarthosts =
            NextHopText.TryParse(row.GetString(2), out var read) ? read.Value : [[new SmarthostAddress("invalid", 25, IsImplicitTls: false)]];
        return new Route(new RouteKey(row.GetString(0), row.GetString(1)), smarthosts)
        {
            Login = row.TextOrNull(3) is { } user ? new SmarthostLogin(user, row.TextOrNull(4) ?? "") : null,
            Tls = row.TextOrNull(5) is { } word && TlsModes.TryParse(word, out TlsMode mode) ? mode : null,
        };
    }
}
