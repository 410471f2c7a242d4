using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Storage;

namespace RelayGate.Queue;

/// <summary>What can be ordered for queued messages.</summary>
internal enum QueueOrder
{
    Hold,
    Release,
    Retry,
    Delete,
}

/// <summary>What one write of an order did.</summary>
internal sealed class QueueOrderStep(QueueOrder order)
{
    public QueueOrder Order { get; } = order;

    /// <summary>Row ids of the messages that were changed.</summary>
    public HashSet<long> Changed { get; } = [];

    /// <summary>Their ids, for those who follow the log.</summary>
    public List<(QueueId Id, string Subscription)> ChangedIds { get; } = [];

    public int Unchanged { get; set; }

    /// <summary>Of <see cref="Unchanged"/>, those that are held and were to be retried.</summary>
    public int UnchangedHeld { get; set; }

    public int InFlight { get; set; }

    /// <summary>Nothing was done: accounts have changed since they were looked up.</summary>
    public bool IsStale { get; init; }

    /// <summary>Its row of the audit list, or null.</summary>
    public long? Audit { get; set; }
}

/// <summary>The changes of rows that carry out orders, each message with its record in one transaction.</summary>
internal static class QueueOrders
{
    private const string SelectMessage = "select id, held, flags, expires_at, subscription, reverse_path from message where seq = ?";
    private const string SelectSubscription = "select subscription from message where seq = ?";
    private const string SelectPending = "select address, max(attempts, waits_for is not null), counted_at from recipient where message = ? and state = 0";
    private const string SetDue = "update recipient set next_attempt = ? where message = ? and state = 0 and (next_attempt is null or next_attempt > ?)";

    /// <summary>Counts without changing anything.</summary>
    public static QueueOrderStep Preview(StoreConnection connection, QueueOrder order, IReadOnlyList<long> rowIds, QueueSelection selection)
    {
        var step = new QueueOrderStep(order);
        foreach (long seq in rowIds)
            _ = Find(connection, step, seq, selection);
        return step;
    }

    /// <param name="offers">Of a release: messages that count nowhere yet, each with its account. What is not among them counts at the server and its subscription.</param>
    public static QueueOrderStep Execute(
        WriteContext context, QueueOrder order, IReadOnlyList<long> rowIds, QueueSelection selection, string by, DateTimeOffset now,
        IReadOnlyDictionary<long, HeldOffer>? offers = null)
    {
        var step = new QueueOrderStep(order) { IsStale = offers is not null && offers.Values.Any(o => context.VersionOf(o.Account!.Subscription) != o.Account.Version) };
        if (step.IsStale)
            return step;
        foreach (long seq in rowIds)
        {
            if (Find(context.Connection, step, seq, selection) is { } message)
                Execute(context, order, seq, message, by, now, offers);
        }
        return step;
    }

    public static bool IsOf(StoreConnection connection, long seq, string? subscription)
    {
        if (subscription is null)
            return true;
        SqliteStatement select = connection.Prepared(SelectSubscription).Bind(1, seq);
        bool isOf = select.Step() && select.Text(0) == subscription;
        select.Reset();
        return isOf;
    }

    /// <summary>Looks whether the order is for a message as it is now.</summary>
    private static Message? Find(StoreConnection connection, QueueOrderStep step, long seq, QueueSelection selection)
    {
        SqliteStatement row = connection.Prepared(SelectMessage).Bind(1, seq);
        if (!row.Step())
            return null; // Delivered or deleted meanwhile.
        var message = new Message(row.Blob(0).ToArray(), (HoldReason)row.Int64(1), (MessageFlags)row.Int64(2), !row.IsNull(3), row.Text(4));
        bool isLookedFor = selection.Filter.Matches(QueueId.FromBytes(message.Id), message.Held, row.Text(5));
        row.Reset();
        if (!isLookedFor)
            return null;
        var recipients = new List<(string Address, string? CountedAt, int Attempts)>();
        SqliteStatement pending = connection.Prepared(SelectPending).Bind(1, seq);
        while (pending.Step())
        {
            recipients.Add((pending.Text(0), pending.NullableText(2), pending.Int32(1)));
            message.Attempts = Math.Max(message.Attempts, pending.Int32(1));
        }
        if (!selection.Filter.Matches(recipients, message.Held))
            return null;
        bool isForIt = step.Order switch
        {
            QueueOrder.Hold => message.Held is not (HoldReason.Administrator or HoldReason.Fault) && !message.HasFailed,
            QueueOrder.Release => message.Held != HoldReason.None,
            QueueOrder.Retry => message.Held == HoldReason.None && !message.HasFailed,
            _ => true,
        };
        if (!isForIt)
        {
            step.Unchanged++;
            if (step.Order == QueueOrder.Retry && message.Held != HoldReason.None)
                step.UnchangedHeld++;
            return null;
        }
        step.Changed.Add(seq);
        step.ChangedIds.Add((QueueId.FromBytes(message.Id), message.Subscription));
        return message;
    }

    private static void Execute(WriteContext context, QueueOrder order, long seq, Message message, string by, DateTimeOffset now, IReadOnlyDictionary<long, HeldOffer>? offers)
    {
        long due = now.ToUnixTimeMilliseconds();
        switch (order)
        {
            case QueueOrder.Hold:
                HoldRows.Hold(context, seq, new HoldEntry(HoldReason.Administrator, null, null), now);
                RecordRows.SetOutcome(context, message.Id, RecordOutcome.Held, now);
                break;
            case QueueOrder.Release:
                Release(context, seq, offers, now);
                RecordRows.SetOutcome(context, message.Id, message.Attempts > 0 ? RecordOutcome.Deferred : RecordOutcome.Queued, now);
                break;
            case QueueOrder.Retry:
                context.Prepared(SetDue).Bind(1, due).Bind(2, seq).Bind(3, due).Execute();
                break;
            default:
                MessageRows.Delete(context, seq, message.Id, message.Flags.HasFlag(MessageFlags.IsChunked));
                if (!message.HasFailed)
                    RecordRows.SetOutcome(context, message.Id, RecordOutcome.Deleted, now);
                break;
        }
        OrderRows.Add(context, message.Id, Done(order), by, now);
    }

    /// <summary>Counts what was held when it came, whatever the limits say.</summary>
    private static void Release(WriteContext context, long seq, IReadOnlyDictionary<long, HeldOffer>? offers, DateTimeOffset now)
    {
        if (HoldRows.Find(context, seq) is not ({ } held, _))
            return;
        HeldOffer? offer = offers?.GetValueOrDefault(seq);
        if (!held.IsCounted && offer?.Account is { } account && account.Subscription == held.Subscription)
            HoldRelease.Count(context, account, offer, isExempt: false, now);
        else if (!held.IsCounted)
            HoldRelease.CountAtRow(context, seq, held.Subscription, offer, now);
        HoldRows.Release(context, seq, held, now, counts: true);
    }

    private static string Done(QueueOrder order) => order switch
    {
        QueueOrder.Hold => "held",
        QueueOrder.Release => OrderRows.Released,
        QueueOrder.Retry => OrderRows.Retried,
        _ => "deleted",
    };

    private sealed class Message(byte[] id, HoldReason held, MessageFlags flags, bool hasFailed, string subscription)
    {
        public string Subscription => subscription;

        public byte[] Id => id;

        public HoldReason Held => held;

        public MessageFlags Flags => flags;

        public bool HasFailed => hasFailed;

        /// <summary>Most attempts of a recipient that has not ended.</summary>
        public int Attempts { get; set; }
    }
}
