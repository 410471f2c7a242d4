using System.Net;
using RelayGate.Core.Replies;
using RelayGate.Queue;
using RelayGate.Storage;

namespace RelayGate.Egress;

/// <summary>The rows of states and of paces set by hand.</summary>
internal static class EgressRows
{
    public const string Ddl = """
        -- What is known against local addresses. Provider "": everywhere. State and class: numbers of EgressCondition and ReplyClass.
        create table egress_state (
          address text not null,
          provider text not null,
          state integer not null,
          class integer not null,
          since integer not null,
          until integer,
          repetition integer not null,
          why text not null,
          per_minute integer,
          connections integer,
          before integer,
          list text,
          url text,
          subscription text,
          whom text,
          primary key (address, provider)
        ) without rowid;

        -- Paces set by hand; "*": each address, each provider.
        create table egress_pace (
          address text not null,
          provider text not null,
          per_minute integer not null,
          connections integer,
          since integer not null,
          until integer,
          reason text,
          whom text not null,
          primary key (address, provider)
        ) without rowid;

        """;

    private const int MaxText = 500;
    private const string SelectStates = "select address, provider, state, class, since, until, repetition, why, per_minute, connections, before, list, url, subscription, whom from egress_state";
    private const string SelectPaces = "select address, provider, per_minute, connections, since, until, reason, whom from egress_pace order by address, provider";

    private const string UpsertState = """
        insert or replace into egress_state (address, provider, state, class, since, until, repetition, why, per_minute, connections, before, list, url, subscription, whom)
        values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        """;

    private const string DeleteState = "delete from egress_state where address = ? and provider = ?";
    private const string UpsertPace = "insert or replace into egress_pace (address, provider, per_minute, connections, since, until, reason, whom) values (?, ?, ?, ?, ?, ?, ?, ?)";
    private const string DeletePace = "delete from egress_pace where address = ? and provider = ?";

    public static List<EgressState> States(StoreConnection connection)
    {
        var states = new List<EgressState>();
        SqliteStatement row = connection.Prepared(SelectStates);
        while (row.Step())
        {
            states.Add(new EgressState(
                new EgressKey(IPAddress.Parse(row.Text(0)), row.Text(1)), (EgressCondition)row.Int32(2), (ReplyClass)row.Int32(3), Time(row.Int64(4)), TimeOrNull(row, 5),
                row.Int32(6), row.Text(7))
            {
                PerMinute = NumberOrNull(row, 8),
                Connections = NumberOrNull(row, 9),
                Before = NumberOrNull(row, 10),
                List = row.NullableText(11),
                Url = row.NullableText(12),
                Subscription = row.NullableText(13),
                By = row.NullableText(14),
            });
        }
        return states;
    }

    public static List<EgressPace> Paces(StoreConnection connection)
    {
        var paces = new List<EgressPace>();
        SqliteStatement row = connection.Prepared(SelectPaces);
        while (row.Step())
        {
            paces.Add(new EgressPace(
                row.Text(0), row.Text(1), row.Int32(2), NumberOrNull(row, 3), Time(row.Int64(4)), TimeOrNull(row, 5), row.NullableText(6), row.Text(7)));
        }
        return paces;
    }

    /// <param name="state">Null: the row goes.</param>
    public static void Save(WriteContext context, EgressKey key, EgressState? state)
    {
        if (state is null)
        {
            context.Prepared(DeleteState).Bind(1, key.Address.ToString()).Bind(2, key.Provider).Execute();
            return;
        }
        context.Prepared(UpsertState)
            .Bind(1, key.Address.ToString()).Bind(2, key.Provider).Bind(3, (long)state.Condition).Bind(4, (long)state.Class).Bind(5, state.Since.ToUnixTimeMilliseconds())
            .Bind(6, state.Until?.ToUnixTimeMilliseconds()).Bind(7, (long)state.Repetition).Bind(8, Cut(state.Why)).Bind(9, (long?)state.PerMinute)
            .Bind(10, (long?)state.Connections).Bind(11, (long?)state.Before).Bind(12, state.List).Bind(13, state.Url).Bind(14, state.Subscription).Bind(15, state.By)
            .Execute();
    }

    public static void Save(WriteContext context, EgressPace pace) => context.Prepared(UpsertPace)
        .Bind(1, pace.Address).Bind(2, pace.Provider).Bind(3, (long)pace.PerMinute).Bind(4, (long?)pace.Connections).Bind(5, pace.Since.ToUnixTimeMilliseconds())
        .Bind(6, pace.Until?.ToUnixTimeMilliseconds()).Bind(7, pace.Reason).Bind(8, pace.By).Execute();

    /// <returns>False: there was none.</returns>
    public static bool Remove(WriteContext context, string address, string provider) =>
        context.Prepared(DeletePace).Bind(1, address).Bind(2, provider).Execute() > 0;

    private static string Cut(string text) => text.Length <= MaxText ? text : text[..MaxText];

    private static DateTimeOffset Time(long at) => DateTimeOffset.FromUnixTimeMilliseconds(at);

    private static DateTimeOffset? TimeOrNull(SqliteStatement row, int column) => row.NullableInt64(column) is { } at ? Time(at) : null;

    private static int? NumberOrNull(SqliteStatement row, int column) => row.IsNull(column) ? null : row.Int32(column);
}
