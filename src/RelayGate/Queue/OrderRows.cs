using System.Collections.Immutable;
using RelayGate.Storage;

namespace RelayGate.Queue;

/// <summary>Who did what to a message by hand: rows that belong to its decision record.</summary>
internal static class OrderRows
{
    /// <summary>Orders kept of one message, the last ones; of its retries, the last one alone.</summary>
    public const int MaxKept = 50;

    public const string Retried = "retried";

    public const string Released = "released";

    private const string Insert = """
        insert into message_order (id, number, at, what, whom)
        select ?1, coalesce(max(number), 0) + 1, ?2, ?3, ?4 from message_order where id = ?1
        """;

    private const string DeleteRetries = "delete from message_order where id = ?1 and what = 'retried'";
    private const string DeleteOldest = "delete from message_order where id = ?1 and number <= (select max(number) from message_order where id = ?1) - ?2";
    private const string DeleteAll = "delete from message_order where id = ?";
    private const string Select = "select at, what, whom from message_order where id = ? order by number";

    /// <summary>How an order is written.</summary>
    public static string Done(QueueOrder order) => order switch
    {
        QueueOrder.Hold => "held",
        QueueOrder.Release => Released,
        QueueOrder.Retry or QueueOrder.Flush => Retried,
        QueueOrder.Bounce => "bounced",
        QueueOrder.Requeue => "requeued",
        _ => "deleted",
    };

    public static void Add(WriteContext context, ReadOnlySpan<byte> id, string what, string by, DateTimeOffset now)
    {
        if (what == Retried)
            context.Prepared(DeleteRetries).Bind(1, id).Execute();
        context.Prepared(Insert).Bind(1, id).Bind(2, now.ToUnixTimeMilliseconds()).Bind(3, what).Bind(4, by).Execute();
        context.Prepared(DeleteOldest).Bind(1, id).Bind(2, MaxKept).Execute();
    }

    /// <returns>Rows deleted.</returns>
    public static int Remove(WriteContext context, ReadOnlySpan<byte> id) => context.Prepared(DeleteAll).Bind(1, id).Execute();

    /// <summary>In the order they were given.</summary>
    public static ImmutableArray<RecordedOrder> Read(StoreConnection connection, ReadOnlySpan<byte> id)
    {
        var orders = ImmutableArray.CreateBuilder<RecordedOrder>();
        SqliteStatement row = connection.Prepared(Select).Bind(1, id);
        while (row.Step())
            orders.Add(new RecordedOrder(RecordReader.Time(row.Int64(0)), row.Text(1), row.Text(2)));
        return orders.ToImmutable();
    }
}
