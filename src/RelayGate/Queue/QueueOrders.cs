using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Core.Replies;
using RelayGate.Storage;

namespace RelayGate.Queue;

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

    /// <summary>Of a retry or flush: of <see cref="Changed"/>, how many wait for what.</summary>
    public Dictionary<string, int> Waits { get; } = new(StringComparer.Ordinal);

    /// <summary>Nothing was done: accounts have changed since they were looked up.</summary>
    public bool IsStale { get; init; }

    /// <summary>Of a rebind: the choice of now and the new one in their stored forms, by row id; null where it may not be.</summary>
    public IReadOnlyDictionary<long, (string Now, string? Then)>? Egress { get; init; }

    /// <summary>Of <see cref="Unchanged"/>, those that may not leave from the address asked for.</summary>
    public int NotAllowed { get; set; }

    /// <summary>Its row of the audit list, or null.</summary>
    public long? Audit { get; set; }
}

/// <summary>The changes of rows that carry out orders, each message with its record in one transaction.</summary>
internal static class QueueOrders
{
    private const string SelectMessage = "select id, held, flags, expires_at, subscription, reverse_path, script, egress from message where seq = ?";
    private const string SelectSubscription = "select subscription from message where seq = ?";
    private const string SelectRecipients = "select address, max(attempts, waits_for is not null), counted_at, last_reply, last_class, waits_for from recipient where message = ? and state = ?";
    private const string SelectWaiting = "select position, attempts from recipient where message = ? and state = 0 order by position";
    private const string GoOn = "update recipient set next_attempt = min(next_attempt, ?), waits_for = null where message = ? and state = 0 and next_attempt is not null";
    private const string SetDue = "update recipient set next_attempt = ? where message = ? and state = 0 and (next_attempt is null or next_attempt > ?)";

    // What they were told so far does not hold for the new try: they may be told of a delay again.
    private const string ReviveRecipients =
        "update recipient set state = 0, attempts = 0, uncounted = 0, delay_noticed = 0, waits_for = null, next_attempt = ?1 where message = ?2 and state = 2";

    private const string ReviveMessage = "update message set expires_at = null, requeued_at = ?1, flags = flags & ~?2 where seq = ?3";

    /// <summary>Counts without changing anything.</summary>
    public static QueueOrderStep Preview(
        StoreConnection connection, QueueOrderRequest request, IReadOnlyList<long> rowIds, IReadOnlyDictionary<long, (string Now, string? Then)>? egress = null)
    {
        var step = new QueueOrderStep(request.Order) { Egress = egress };
        foreach (long seq in rowIds)
            _ = Find(connection, step, seq, request);
        return step;
    }

    /// <param name="before">Messages that the order changed before this write.</param>
    /// <param name="offers">Of a release: messages that count nowhere yet, each with its account. What is not among them counts at the server and its subscription.</param>
    public static QueueOrderStep Execute(
        WriteContext context, QueueOrderRequest request, IReadOnlyList<long> rowIds, int before, DateTimeOffset now, IReadOnlyDictionary<long, HeldOffer>? offers = null,
        IReadOnlyDictionary<long, (string Now, string? Then)>? egress = null)
    {
        var step = new QueueOrderStep(request.Order)
        {
            Egress = egress,
            IsStale = offers is not null && offers.Values.Any(o => context.VersionOf(o.Account!.Subscription) != o.Account.Version),
        };
        if (step.IsStale)
            return step;
        foreach (long seq in rowIds)
        {
            if (Find(context.Connection, step, seq, request) is { } message)
            {
                if (step.Order == QueueOrder.Rebind)
                    Rebind(context, request, seq, message, egress![seq].Then!, now);
                else
                    Execute(context, request, seq, message, before + step.Changed.Count - 1, now, offers);
            }
        }
        return step;
    }

    /// <summary>Whether exactly those recipients wait that a message had when it was read, none attempted since.</summary>
    /// <returns>Null: it has ended.</returns>
    public static bool? StillWaits(StoreConnection connection, QueuedMessage message)
    {
        var now = new List<(int Position, int Attempts)>();
        SqliteStatement select = connection.Prepared(SelectWaiting).Bind(1, message.RowId);
        while (select.Step())
            now.Add((select.Int32(0), select.Int32(1)));
        return now.Count == 0 ? null : now.SequenceEqual(message.Recipients.Select(static r => (r.Index, r.Attempts)));
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

    /// <summary>Looks whether the order is for a message as it is now. The recipients first where they are asked: their rows are small, and most messages end there.</summary>
    private static Message? Find(StoreConnection connection, QueueOrderStep step, long seq, QueueOrderRequest request)
    {
        QueueFilter filter = request.Selection.Filter;
        var recipients = new List<FilteredRecipient>();
        RecipientState asked = step.Order == QueueOrder.Requeue ? RecipientState.Failed : filter.Asked;
        SqliteStatement select = connection.Prepared(SelectRecipients).Bind(1, seq).Bind(2, (long)asked);
        HashSet<string>? waits = null;
        while (select.Step())
        {
            recipients.Add(new FilteredRecipient(select.Text(0), select.NullableText(2), select.Int32(1), select.NullableText(3), (ReplyClass)select.Int32(4)));
            if (step.Order is QueueOrder.Retry or QueueOrder.Flush && select.NullableText(5) is { } cause)
                (waits ??= []).Add(cause);
        }
        if (!filter.MatchesAny(recipients))
            return null;
        SqliteStatement row = connection.Prepared(SelectMessage).Bind(1, seq);
        if (!row.Step())
            return null; // Delivered or deleted meanwhile.
        var message = new Message(row.Blob(0).ToArray(), (HoldReason)row.Int64(1), (MessageFlags)row.Int64(2), !row.IsNull(3), row.Text(4), recipients.Max(static r => (int?)r.Attempts) ?? 0);
        bool isLookedFor = filter.Matches(
            new FilteredMessage(QueueId.FromBytes(message.Id), message.Held, row.Text(5), row.NullableText(6), row.Text(7), message.HasFailed))
            && (request.Selection.Subscription is null || request.Selection.Subscription == message.Subscription);
        row.Reset();
        if (!isLookedFor || !filter.Matches(recipients, message.Held))
            return null;
        bool isForIt = step.Order switch
        {
            QueueOrder.Hold => message.Held is not (HoldReason.Administrator or HoldReason.Fault) && !message.HasFailed,
            QueueOrder.Release => message.Held != HoldReason.None,
            QueueOrder.Retry or QueueOrder.Flush => message.Held == HoldReason.None && !message.HasFailed,
            QueueOrder.Bounce => !message.HasFailed,
            QueueOrder.Rebind => !message.HasFailed && step.Egress!.TryGetValue(seq, out (string Now, string? Then) egress) && egress.Then is { } then && then != egress.Now,
            QueueOrder.Requeue => recipients.Count > 0,
            // What was stopped by hand or by the gateway is evidence, and not the customer's to take away.
            _ => request.OnlySubscription is null || message.Held is HoldReason.None or HoldReason.Limit or HoldReason.Refused,
        };
        if (!isForIt)
        {
            step.Unchanged++;
            if (step.Order is QueueOrder.Retry or QueueOrder.Flush && message.Held != HoldReason.None)
                step.UnchangedHeld++;
            if (step.Egress?.TryGetValue(seq, out (string Now, string? Then) refused) == true && refused.Then is null)
                step.NotAllowed++;
            return null;
        }
        foreach (string cause in waits ?? [])
            step.Waits[cause] = step.Waits.GetValueOrDefault(cause) + 1;
        step.Changed.Add(seq);
        step.ChangedIds.Add((QueueId.FromBytes(message.Id), message.Subscription));
        return message;
    }

    private static void Execute(
        WriteContext context, QueueOrderRequest request, long seq, Message message, int before, DateTimeOffset now, IReadOnlyDictionary<long, HeldOffer>? offers)
    {
        switch (request.Order)
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
                SetDueBy(context, seq, now);
                break;
            case QueueOrder.Flush:
                SetDueBy(context, seq, now + TimeSpan.FromSeconds(before / QueueOrderRequest.FlushedInASecond));
                break;
            case QueueOrder.Requeue:
                if (message.HasFailed && HoldRows.Find(context, seq) is ({ IsCounted: false } uncounted, _))
                    Count(context, seq, uncounted, offers, now); // It failed while it was held, before it had counted.
                context.Prepared(ReviveRecipients).Bind(1, message.Held == HoldReason.None ? now.ToUnixTimeMilliseconds() : null).Bind(2, seq).Execute();
                context.Prepared(ReviveMessage).Bind(1, now.ToUnixTimeMilliseconds()).Bind(2, message.HasFailed ? (long)MessageFlags.NotCounted : 0).Bind(3, seq).Execute();
                if (message.HasFailed)
                    context.Usage.Revived(seq);
                RecordRows.SetOutcome(context, message.Id, message.Held == HoldReason.None ? RecordOutcome.Queued : RecordOutcome.Held, now);
                break;
            default:
                MessageRows.Delete(context, seq, message.Id, message.Flags.HasFlag(MessageFlags.IsChunked));
                if (!message.HasFailed)
                    RecordRows.SetOutcome(context, message.Id, RecordOutcome.Deleted, now);
                break;
        }
        OrderRows.Add(context, message.Id, OrderRows.Done(request.Order), request.By, now);
    }

    private static void Rebind(WriteContext context, QueueOrderRequest request, long seq, Message message, string egress, DateTimeOffset now)
    {
        context.Prepared(EgressOrders.SetEgress).Bind(1, egress).Bind(2, seq).Execute();
        context.Prepared(GoOn).Bind(1, now.ToUnixTimeMilliseconds()).Bind(2, seq).Execute();
        OrderRows.Add(context, message.Id, $"rebound to {EgressText.ForPeople(EgressText.Parse(egress))}", request.By, now);
    }

    private static void SetDueBy(WriteContext context, long seq, DateTimeOffset at) =>
        context.Prepared(SetDue).Bind(1, at.ToUnixTimeMilliseconds()).Bind(2, seq).Bind(3, at.ToUnixTimeMilliseconds()).Execute();

    private static void Release(WriteContext context, long seq, IReadOnlyDictionary<long, HeldOffer>? offers, DateTimeOffset now)
    {
        if (HoldRows.Find(context, seq) is not ({ } held, _))
            return;
        if (!held.IsCounted)
            Count(context, seq, held, offers, now);
        HoldRows.Release(context, seq, held, now, counts: true);
    }

    /// <summary>Counts what was held when it came, whatever the limits say.</summary>
    private static void Count(WriteContext context, long seq, in HeldMessage held, IReadOnlyDictionary<long, HeldOffer>? offers, DateTimeOffset now)
    {
        HeldOffer? offer = offers?.GetValueOrDefault(seq);
        if (offer?.Account is { } account && account.Subscription == held.Subscription)
            HoldRelease.Count(context, account, offer, isExempt: false, now);
        else
            HoldRelease.CountAtRow(context, seq, held.Subscription, offer, now);
    }

    private sealed class Message(byte[] id, HoldReason held, MessageFlags flags, bool hasFailed, string subscription, int attempts)
    {
        public string Subscription => subscription;

        public byte[] Id => id;

        public HoldReason Held => held;

        public MessageFlags Flags => flags;

        public bool HasFailed => hasFailed;

        /// <summary>Most attempts of a recipient that has not ended.</summary>
        public int Attempts => attempts;
    }
}
