using RelayGate.Core.Mail;
using RelayGate.Storage;

namespace RelayGate.Queue;

/// <summary>The rows that housekeeping finds and deletes.</summary>
internal static class MaintenanceRows
{
    private const long MaxOctets = 8 * 1024 * 1024; // Content deleted in one write: each of its pages is read to be freed.

    private const string SelectExpired = "select seq, id, flags, octets from message where expires_at is not null and expires_at <= ? order by expires_at limit ?";
    private const string CountRecipients = "select count(*) from recipient where message = ?";

    private const string SelectOld =
        "select id, exists (select 1 from message where message.id = decision.id) from decision where id > ? and id < ? order by id limit ?";

    private const string DeleteAttempts = """
        delete from attempt where id = ?1 and (started_at, position) in
          (select started_at, position from attempt where id = ?1 order by started_at, position limit ?2)
        """;

    private const string DeleteDecision = "delete from decision where id = ?";
    private const string NextUpload = "select min(id) from chunk where id > ? and id < ?";
    private const string CountChunks = "select count(*), exists (select 1 from message where id = ?1) from chunk where id = ?1";
    private const string DeleteChunks = "delete from chunk where id = ?1 and number in (select number from chunk where id = ?1 order by number limit ?2)";
    private const string HasMessage = "select 1 from message where id = ?";

    private const string DeleteHours =
        "delete from usage_hour where (hour, level, name, class) in (select hour, level, name, class from usage_hour where hour < ? order by hour limit ?)";

    private const string DeleteNotices = "delete from notice where id in (select id from notice where id < ? order by id limit ?)";
    private const string DeleteReceipts = "delete from notice_receipt where notice in (select id from notice where id < ? order by id limit ?)";
    private const string DeleteDeliveries = "delete from webhook_delivery where id in (select id from webhook_delivery where id < ? order by id limit ?)";
    private const string DeleteHookAttempts = "delete from webhook_attempt where delivery in (select id from webhook_delivery where id < ? order by id limit ?)";
    private const string DeleteAddressHours =
        "delete from address_hour where (hour, subscription, address) in (select hour, subscription, address from address_hour where hour < ? order by hour limit ?)";

    private const string DeleteScriptHours =
        "delete from script_hour where (hour, uid, script, subscription) in (select hour, uid, script, subscription from script_hour where hour < ? order by hour limit ?)";

    private const string FreePages = "PRAGMA freelist_count";
    private const string VacuumPages = "PRAGMA incremental_vacuum(128)";

    /// <summary>Deletes some failed messages whose content is kept no longer.</summary>
    /// <returns>Messages deleted.</returns>
    public static int RemoveFailed(WriteContext context, long now, int maxRows)
    {
        var expired = new List<(long Seq, byte[] Id, MessageFlags Flags, long Octets)>();
        SqliteStatement select = context.Prepared(SelectExpired).Bind(1, now).Bind(2, maxRows);
        while (select.Step())
            expired.Add((select.Int64(0), select.Blob(1).ToArray(), (MessageFlags)select.Int64(2), select.Int64(3)));
        int removed = 0;
        long rows = 0;
        long octets = 0;
        foreach ((long seq, byte[] id, MessageFlags flags, long size) in expired)
        {
            rows += 1 + Int64(context, CountRecipients, seq) + (flags.HasFlag(MessageFlags.IsChunked) ? Chunks(context, id) : 0);
            octets += size;
            if (removed > 0 && (rows > maxRows || octets > MaxOctets))
                break;
            MessageRows.Delete(context, seq, id, flags.HasFlag(MessageFlags.IsChunked));
            removed++;
        }
        return removed;
    }

    /// <summary>The next records before <paramref name="end"/> whose message has left the store.</summary>
    /// <returns>Their ids, and the last one looked at; null at the end.</returns>
    public static (List<byte[]> Ids, byte[]? Last) OldDecisions(StoreConnection connection, byte[] after, byte[] end, int limit)
    {
        var ids = new List<byte[]>();
        byte[]? last = null;
        int looked = 0;
        SqliteStatement select = connection.Prepared(SelectOld).Bind(1, after).Bind(2, end).Bind(3, limit);
        while (select.Step())
        {
            looked++;
            last = select.Blob(0).ToArray();
            if (select.Int64(1) == 0)
                ids.Add(last);
        }
        return (ids, looked == limit ? last : null);
    }

    /// <summary>Deletes records, each after its attempts and orders, until so many rows are gone.</summary>
    /// <returns>Records deleted, from the first on; the next call goes on with the rest.</returns>
    public static int RemoveDecisions(WriteContext context, List<byte[]> ids, int maxRows)
    {
        int rows = 0;
        for (int i = 0; i < ids.Count; i++)
        {
            rows += context.Prepared(DeleteAttempts).Bind(1, ids[i]).Bind(2, maxRows - rows).Execute();
            if (rows >= maxRows)
                return i; // Perhaps it has more attempts.
            rows += OrderRows.Remove(context, ids[i]);
            rows += context.Prepared(DeleteDecision).Bind(1, ids[i]).Execute();
            if (rows >= maxRows)
                return i + 1;
        }
        return ids.Count;
    }

    /// <summary>The next chunked bodies without a message that began before <paramref name="end"/>.</summary>
    public static (List<(QueueId Id, int Chunks)> Uploads, byte[]? Last) Uploads(StoreConnection connection, byte[] after, byte[] end, int limit)
    {
        var uploads = new List<(QueueId, int)>();
        byte[] last = after;
        for (int looked = 0; looked < limit; looked++)
        {
            SqliteStatement next = connection.Prepared(NextUpload).Bind(1, last).Bind(2, end);
            next.Step();
            byte[]? found = next.IsNull(0) ? null : next.Blob(0).ToArray();
            next.Reset();
            if (found is null)
                return (uploads, null);
            last = found;
            SqliteStatement count = connection.Prepared(CountChunks).Bind(1, found);
            count.Step();
            if (count.Int64(1) == 0)
                uploads.Add((QueueId.FromBytes(found), count.Int32(0)));
            count.Reset();
        }
        return (uploads, last);
    }

    /// <summary>Deletes some chunks of a body whose message has not come.</summary>
    public static int RemoveOrphan(WriteContext context, QueueId id, int limit)
    {
        byte[] octets = id.ToBytes();
        SqliteStatement message = context.Prepared(HasMessage).Bind(1, octets);
        bool isThere = message.Step();
        message.Reset();
        return isThere ? 0 : context.Prepared(DeleteChunks).Bind(1, octets).Bind(2, limit).Execute();
    }

    /// <summary>Deletes some of the hourly history before an hour.</summary>
    public static int RemoveHistory(WriteContext context, long before, int limit)
    {
        int removed = 0;
        foreach (string delete in (string[])[DeleteHours, DeleteAddressHours, DeleteScriptHours])
        {
            if (removed < limit)
                removed += context.Prepared(delete).Bind(1, before).Bind(2, limit - removed).Execute();
        }
        return removed;
    }

    /// <summary>Deletes some old notices with their receipts, and some old deliveries to webhooks with their attempts.</summary>
    /// <returns>The larger number of both.</returns>
    public static int RemoveNotices(WriteContext context, byte[] end, int limit)
    {
        context.Prepared(DeleteReceipts).Bind(1, end).Bind(2, limit).Execute();
        context.Prepared(DeleteHookAttempts).Bind(1, end).Bind(2, limit).Execute();
        return Math.Max(
            context.Prepared(DeleteNotices).Bind(1, end).Bind(2, limit).Execute(), context.Prepared(DeleteDeliveries).Bind(1, end).Bind(2, limit).Execute());
    }

    /// <summary>Gives up to 128 pages from the end of the file back; others move into free ones for that.</summary>
    /// <returns>Pages given back.</returns>
    public static int Vacuum(WriteContext context)
    {
        long before = Int64(context, FreePages);
        context.Prepared(VacuumPages).Execute(); // One step for each page.
        return (int)(before - Int64(context, FreePages));
    }

    private static long Chunks(WriteContext context, byte[] id)
    {
        SqliteStatement select = context.Prepared(CountChunks).Bind(1, id);
        select.Step();
        long result = select.Int64(0);
        select.Reset();
        return result;
    }

    private static long Int64(WriteContext context, string sql, long? parameter = null)
    {
        SqliteStatement select = context.Prepared(sql);
        if (parameter is { } value)
            select.Bind(1, value);
        select.Step();
        long result = select.Int64(0);
        select.Reset();
        return result;
    }
}
