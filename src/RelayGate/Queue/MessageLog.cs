using System.Collections.Immutable;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Storage;

namespace RelayGate.Queue;

/// <summary>Reads the decision log: everything that was offered, why it ended as it did, and its delivery attempts.</summary>
/// <remarks>
/// Pages are read by key, newest first. Time and subscription are found by an index; any other filter looks at <see cref="MaxScanned"/> records
/// a page at most, and the page then says where to go on, so that no read lasts longer than that. <c>onlySubscription</c> keeps the reader to
/// one subscription, whatever was asked for: what belongs to another is as if it were not there.
/// </remarks>
public sealed class MessageLog(SqliteRelayStore store, RecordFeed feed)
{
    /// <summary>Items of a page at most.</summary>
    public const int MaxPage = 1000;

    /// <summary>Records that one page looks at, at most.</summary>
    public const int MaxScanned = 5_000;

    /// <summary>Delivery attempts that a record shows at most.</summary>
    public const int MaxAttempts = 200;

    private const string SelectAll = $"select {RecordReader.Columns} from decision where id < ? and id >= ? order by id desc";

    private const string SelectOfSubscription =
        $"select {RecordReader.Columns} from decision where id < ? and id >= ? and subscription = ? order by id desc";

    private const string SelectOne = $"select {RecordReader.Columns} from decision where id = ?";

    private const string SelectAttempts = """
        select started_at, duration, stage, next_hop, remote, local, tls, results, report, provider, tls_policy, refusals, waits_for from attempt where id = ?
        order by started_at desc, position desc limit ?
        """;

    private const string CountAttempts = "select count(*) from attempt where id = ?";
    private const string HasSubscription = "select 1 from decision where subscription = ? limit 1";
    private const string SelectMessage = "select seq, held from message where id = ?";

    private const string SelectRecipients =
        "select position, address, state, attempts, next_attempt, last_reply, waits_for from recipient where message = ? order by position";

    /// <summary>One page, newest first.</summary>
    /// <returns>Null when the cursor is not one of ours.</returns>
    public async Task<MessagePage?> ListAsync(MessageQuery query, string? onlySubscription, CancellationToken cancellationToken)
    {
        QueueId below = new(UInt128.MaxValue);
        if (query.Cursor is { } cursor && !QueueId.TryParse(cursor, out below))
            return null;
        if (!TryScope(query.Subscription, onlySubscription, out string? subscription))
            return new MessagePage([], null);
        if (query.Until is { } until && QueueId.Create(until.AddMilliseconds(1), 0, 0) is var end && end < below)
            below = end;
        QueueId from = query.Since is { } since ? QueueId.Create(since, 0, 0) : default;
        return await store.ReadRawAsync(connection => ReadPage(connection, query, subscription, below, from), cancellationToken);
    }

    /// <summary>What was recorded or whose outcome changed since a cursor, oldest first: each poll costs what is new, by key.</summary>
    /// <param name="cursor">Null: from now on.</param>
    /// <param name="query">Time and cursor are not looked at.</param>
    /// <returns>Null when the cursor is not one of ours.</returns>
    public async Task<MessageNews?> AfterAsync(string? cursor, MessageQuery query, string? onlySubscription, CancellationToken cancellationToken)
    {
        if (cursor is null)
            return new MessageNews([], feed.End, IsGap: false);
        if (!feed.TryRead(cursor, Math.Clamp(query.Limit, 1, MaxPage), out List<QueueId> ids, out string next, out bool isGap))
            return null;
        if (ids.Count == 0 || !TryScope(query.Subscription, onlySubscription, out string? subscription))
            return new MessageNews([], next, isGap);
        ImmutableArray<MessageItem> items = await store.ReadRawAsync(connection => ReadItems(connection, ids, query, subscription), cancellationToken);
        return new MessageNews(items, next, isGap);
    }

    /// <summary>Everything of one record.</summary>
    /// <returns>Null when there is none, or it is not the reader's.</returns>
    public Task<MessageRecord?> ShowAsync(QueueId id, string? onlySubscription, CancellationToken cancellationToken) =>
        store.ReadRawAsync(connection => ReadRecord(connection, id, onlySubscription), cancellationToken);

    /// <summary>Whether anything was ever recorded under this name: everything queued is, while it is queued.</summary>
    public Task<bool> KnowsAsync(string subscription, CancellationToken cancellationToken) => store.ReadRawAsync(
        connection =>
        {
            SqliteStatement select = connection.Prepared(HasSubscription).Bind(1, subscription);
            bool isThere = select.Step();
            select.Reset();
            return isThere;
        },
        cancellationToken);

    /// <summary>Brings together what was asked for and what the reader may see. False: nothing of it.</summary>
    internal static bool TryScope(string? asked, string? only, out string? subscription)
    {
        subscription = only ?? asked;
        return asked is null || only is null || asked == only;
    }

    internal static MessageRecord? FindRecord(StoreConnection connection, QueueId id)
    {
        SqliteStatement row = connection.Prepared(SelectOne).Bind(1, id.ToBytes());
        MessageRecord? record = row.Step() ? RecordReader.Record(row) : null;
        row.Reset();
        return record;
    }

    private static MessagePage ReadPage(StoreConnection connection, MessageQuery query, string? subscription, QueueId below, QueueId from)
    {
        int limit = Math.Clamp(query.Limit, 1, MaxPage);
        SqliteStatement row = connection.Prepared(subscription is null ? SelectAll : SelectOfSubscription).Bind(1, below.ToBytes()).Bind(2, from.ToBytes());
        if (subscription is not null)
            row.Bind(3, subscription);
        var items = ImmutableArray.CreateBuilder<MessageItem>();
        int scanned = 0;
        try
        {
            while (row.Step())
            {
                if (RecordReader.Matches(row, query))
                    items.Add(RecordReader.Item(row));
                if (items.Count == limit || ++scanned == MaxScanned)
                    return new MessagePage(items.DrainToImmutable(), RecordReader.Id(row).ToString());
            }
            return new MessagePage(items.DrainToImmutable(), null);
        }
        finally
        {
            row.Reset();
        }
    }

    private static ImmutableArray<MessageItem> ReadItems(StoreConnection connection, List<QueueId> ids, MessageQuery query, string? subscription)
    {
        var items = ImmutableArray.CreateBuilder<MessageItem>(ids.Count);
        foreach (QueueId id in ids)
        {
            SqliteStatement row = connection.Prepared(SelectOne).Bind(1, id.ToBytes());
            try
            {
                if (row.Step() && (subscription is null || row.NullableText(5) == subscription) && RecordReader.Matches(row, query))
                    items.Add(RecordReader.Item(row));
            }
            finally
            {
                row.Reset();
            }
        }
        return items.DrainToImmutable();
    }

    private static MessageRecord? ReadRecord(StoreConnection connection, QueueId id, string? onlySubscription)
    {
        MessageRecord? record = FindRecord(connection, id);
        if (record is null || (onlySubscription is not null && record.Subscription != onlySubscription))
            return null;
        byte[] idOctets = id.ToBytes();
        var attempts = new List<RecordedAttempt>();
        SqliteStatement row = connection.Prepared(SelectAttempts).Bind(1, idOctets).Bind(2, MaxAttempts);
        while (row.Step())
            attempts.Add(RecordReader.Attempt(row));
        attempts.Reverse();
        int all = attempts.Count;
        if (all == MaxAttempts)
        {
            SqliteStatement count = connection.Prepared(CountAttempts).Bind(1, idOctets);
            count.Step();
            all = count.Int32(0);
            count.Reset();
        }
        ImmutableArray<RecordedRecipient> states = States(connection, record, idOctets, attempts);
        return record with
        {
            Attempts = [.. attempts],
            AttemptsOmitted = all - attempts.Count,
            Orders = OrderRows.Read(connection, idOctets),
            States = states,
            Pending = [.. states.Where(s => s.State == RecipientState.Pending)],
        };
    }

    /// <summary>The queue tells where its recipients stand; of a message that has left it, the last attempts do.</summary>
    private static ImmutableArray<RecordedRecipient> States(StoreConnection connection, MessageRecord record, byte[] id, List<RecordedAttempt> attempts)
    {
        var states = new SortedDictionary<int, RecordedRecipient>();
        for (int i = 0; i < record.Recipients.Length; i++)
            states[i] = new RecordedRecipient(i, record.Recipients[i], null, 0, null, null, null);
        foreach ((RecordedAttempt attempt, RecordedResult result) in attempts.SelectMany(a => a.Results.Select(r => (a, r))))
        {
            RecipientState? state = result.Result switch { "delivered" => RecipientState.Delivered, "failed" => RecipientState.Failed, _ => null };
            int before = states.TryGetValue(result.Position, out RecordedRecipient? known) ? known.Attempts : 0;
            states[result.Position] = new RecordedRecipient(result.Position, result.Recipient, state, before + (attempt.Stage == AttemptRows.PutOff ? 0 : 1), null, result.Reply, null);
        }
        SqliteStatement message = connection.Prepared(SelectMessage).Bind(1, id);
        (long Seq, HoldReason Held)? queued = message.Step() ? (message.Int64(0), (HoldReason)message.Int64(1)) : null;
        message.Reset();
        if (queued is { } found)
        {
            SqliteStatement row = connection.Prepared(SelectRecipients).Bind(1, found.Seq);
            while (row.Step())
            {
                var state = (RecipientState)row.Int64(2);
                states[row.Int32(0)] = new RecordedRecipient(
                    row.Int32(0), row.Text(1), state, row.Int32(3), WaitEnds.NextAttempt(connection, row.NullableText(6), row.NullableInt64(4)), row.NullableText(5),
                    state == RecipientState.Pending && found.Held != HoldReason.None ? found.Held : null)
                {
                    WaitsFor = row.NullableText(6),
                };
            }
        }
        return [.. states.Values];
    }
}
