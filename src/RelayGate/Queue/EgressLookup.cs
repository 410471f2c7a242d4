using System.Collections.Immutable;
using System.Net;
using RelayGate.Core.Policy;
using RelayGate.Storage;

namespace RelayGate.Queue;

/// <summary>Says from where queued mail of a subscription is to leave from now on: by the order of an administrator, or because it has no address yet.</summary>
/// <param name="subscription">"": mail of the server itself.</param>
/// <param name="domain">The sender's domain, or null.</param>
/// <param name="to">Addresses in place of those of the choice of now, one of each family at most; empty: none.</param>
/// <returns>Null: one of <paramref name="to"/> is neither the subscription's own, nor shared, nor the server's.</returns>
public delegate ValueTask<EgressChoice?> EgressLookup(string subscription, string? domain, ImmutableArray<IPAddress> to, CancellationToken cancellationToken);

/// <summary>The egress that some queued messages are to have.</summary>
internal static class EgressOrders
{
    private const string Select = "select subscription, (select counted_at from recipient where message = seq and position = 0), egress from message where seq = ?";

    private const string SelectEgress = "select egress from message where seq = ?";

    public const string SetEgress = "update message set egress = ? where seq = ?";

    /// <returns>By row id: the choice of now and the new one in their stored forms. The new one is null where it may not be.</returns>
    public static async Task<Dictionary<long, (string Now, string? Then)>> FindAsync(
        SqliteRelayStore store, EgressLookup lookup, IReadOnlyList<long> rowIds, ImmutableArray<IPAddress> to, CancellationToken cancellationToken)
    {
        List<(long Seq, string Subscription, string? Domain, string Egress)> rows = await store.ReadRawAsync(connection => Read(connection, rowIds), cancellationToken);
        var found = new Dictionary<long, (string, string?)>(rows.Count);
        var choices = new Dictionary<(string, string?), string?>();
        foreach ((long seq, string subscription, string? domain, string egress) in rows)
        {
            if (!choices.TryGetValue((subscription, domain), out string? choice))
                choices.Add((subscription, domain), choice = await lookup(subscription, domain, to, cancellationToken) is { } made ? EgressText.Format(made) : null);
            found[seq] = (egress, choice);
        }
        return found;
    }

    /// <summary>The sender's domain, as far as it decides about the egress.</summary>
    public static string? DomainOf(string? countedAt) => countedAt is null ? null : countedAt[(countedAt.LastIndexOf('@') + 1)..];

    /// <summary>Gives a message that was accepted while there was no address for it one, if there is one now. Once it has one it keeps it.</summary>
    /// <returns>Its egress by now, as it is stored.</returns>
    public static async Task<EgressChoice> GiveAsync(QueueWriter writer, EgressLookup lookup, QueuedMessage message, DateTimeOffset now, CancellationToken cancellationToken)
    {
        EgressChoice? found = await lookup(message.Subscription, DomainOf(message.CountedAt), [], cancellationToken);
        return await writer.RunAsync(
            context =>
            {
                SqliteStatement select = context.Prepared(SelectEgress).Bind(1, message.RowId);
                EgressChoice stored = select.Step() ? EgressText.Parse(select.Text(0)) : message.Egress;
                select.Reset();
                if (!stored.MustWait || found is not { MustWait: false } given)
                    return stored;
                context.Prepared(SetEgress).Bind(1, EgressText.Format(given)).Bind(2, message.RowId).Execute();
                OrderRows.Add(context, message.Id.ToBytes(), $"given {EgressText.ForPeople(given)}", AuditRows.Gateway, now);
                context.Feed.Add(message.Id);
                return given;
            },
            cancellationToken);
    }

    private static List<(long, string, string?, string)> Read(StoreConnection connection, IReadOnlyList<long> rowIds)
    {
        var rows = new List<(long, string, string?, string)>(rowIds.Count);
        foreach (long seq in rowIds)
        {
            SqliteStatement row = connection.Prepared(Select).Bind(1, seq);
            if (row.Step())
                rows.Add((seq, row.Text(0), DomainOf(row.NullableText(1)), row.Text(2)));
            row.Reset();
        }
        return rows;
    }
}
