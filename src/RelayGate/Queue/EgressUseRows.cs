using System.Net;
using RelayGate.Storage;

namespace RelayGate.Queue;

/// <summary>What is kept of a local address that mail leaves from.</summary>
/// <param name="LastUse">When it was last connected from, to a minute; null: never.</param>
/// <param name="MissingSince">Since when it is not on this host; null: it is, as far as is known.</param>
/// <param name="Public">As which address a probe saw it; null: none did.</param>
/// <param name="ProbedBy">Who told, as it was asked for.</param>
public sealed record EgressUse(DateTimeOffset? LastUse, DateTimeOffset? MissingSince, string? Public, string? ProbedBy, DateTimeOffset? ProbedAt)
{
    public static EgressUse None { get; } = new(null, null, null, null, null);
}

/// <summary>The table of what was seen of local addresses; written a few times a minute, never for a message.</summary>
internal static class EgressUseRows
{
    public const string Ddl = """
        create table egress_use (
          address text not null primary key,
          last_use integer,
          missing_since integer,
          public text,
          probed_by text,
          probed_at integer
        ) without rowid;

        """;

    private const string PutUse = "insert into egress_use (address, last_use) values (?, ?) on conflict (address) do update set last_use = max(coalesce(last_use, 0), excluded.last_use)";
    private const string PutMissing = "insert into egress_use (address, missing_since) values (?, ?) on conflict (address) do update set missing_since = excluded.missing_since";
    private const string PutProbe = """
        insert into egress_use (address, public, probed_by, probed_at) values (?, ?, ?, ?)
        on conflict (address) do update set public = excluded.public, probed_by = excluded.probed_by, probed_at = excluded.probed_at
        """;

    private const string Select = "select last_use, missing_since, public, probed_by, probed_at from egress_use where address = ?";
    private const string SelectMissing = "select address, missing_since from egress_use where missing_since is not null limit ?";

    public static void Used(WriteContext context, IPAddress address, DateTimeOffset at) =>
        context.Prepared(PutUse).Bind(1, address.ToString()).Bind(2, at.ToUnixTimeMilliseconds()).Execute();

    /// <param name="since">Null: it is here.</param>
    public static void Missing(WriteContext context, IPAddress address, DateTimeOffset? since) =>
        context.Prepared(PutMissing).Bind(1, address.ToString()).Bind(2, since?.ToUnixTimeMilliseconds()).Execute();

    public static void Probed(WriteContext context, IPAddress address, string? seenAs, string by, DateTimeOffset at) =>
        context.Prepared(PutProbe).Bind(1, address.ToString()).Bind(2, seenAs).Bind(3, by).Bind(4, at.ToUnixTimeMilliseconds()).Execute();

    public static EgressUse Read(StoreConnection connection, string address)
    {
        SqliteStatement row = connection.Prepared(Select).Bind(1, address);
        EgressUse use = row.Step()
            ? new EgressUse(Time(row.NullableInt64(0)), Time(row.NullableInt64(1)), row.NullableText(2), row.NullableText(3), Time(row.NullableInt64(4)))
            : EgressUse.None;
        row.Reset();
        return use;
    }

    /// <summary>What was missing when it was last looked at.</summary>
    public static List<(IPAddress Address, DateTimeOffset Since)> ReadMissing(StoreConnection connection, int most)
    {
        var missing = new List<(IPAddress, DateTimeOffset)>();
        SqliteStatement row = connection.Prepared(SelectMissing).Bind(1, most);
        while (row.Step())
        {
            if (IPAddress.TryParse(row.Text(0), out IPAddress? address))
                missing.Add((address, DateTimeOffset.FromUnixTimeMilliseconds(row.Int64(1))));
        }
        return missing;
    }

    private static DateTimeOffset? Time(long? milliseconds) => milliseconds is { } at ? DateTimeOffset.FromUnixTimeMilliseconds(at) : null;
}
