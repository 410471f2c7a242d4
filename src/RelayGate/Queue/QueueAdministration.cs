using System.Collections.Immutable;
using RelayGate.Core.Mail;
using RelayGate.Storage;
using RelayGate.Telemetry;

namespace RelayGate.Queue;

/// <summary>What administrators and subscriptions do with queued messages: look, hold, release, retry, delete.</summary>
/// <remarks>
/// Orders for many go through the writer in steps of at most <see cref="MaxRows"/> rows, so that mail goes on meanwhile; what enters the queue
/// while an order runs may or may not be caught by it (suspend the subscription first to catch all). An attempt that is in flight may finish,
/// and may so deliver what was held or deleted: the result counts these. <c>onlySubscription</c> keeps the caller to one subscription: what
/// belongs to another is as if it were not there. <c>by</c> is who gives the order: the mail log and the record of each message name him.
/// </remarks>
public sealed class QueueAdministration(SqliteRelayStore store, QueueWriter writer, QueueScheduler scheduler, SenderLookup lookup, HoldForecast forecast, MailLog log, TimeProvider time)
{
    /// <summary>Items of a page at most.</summary>
    public const int MaxPage = 1000;

    /// <summary>Messages that one page looks at, at most.</summary>
    public const int MaxScanned = 2_000;

    /// <summary>Rows of recipients that one write changes, unless a single message has more.</summary>
    public const int MaxRows = 500;

    /// <summary>Octets of a body that are shown by default.</summary>
    public const int DefaultBodyOctets = 64 * 1024;

    /// <summary>Times that accounts are looked up for one write, when they change all the time.</summary>
    private const int MaxLooks = 10;

    private const string Nobody = "the gateway";
    private const string NextSubscription = "select min(subscription) from recipient where next_attempt is not null and subscription > ?";
    private const string CountRecipients = "select count(*) from recipient where message = ?";

    /// <summary>One page of the queue.</summary>
    /// <returns>Null when the cursor is not one of ours.</returns>
    public async Task<QueuePage?> ListAsync(QueueQuery query, string? onlySubscription, CancellationToken cancellationToken)
    {
        if (!MessageLog.TryScope(query.Subscription, onlySubscription, out string? subscription))
            return new QueuePage([], null);
        string? first = subscription;
        if (subscription is null && query.Filter.CountedAt is { } sender && (first = await NextOfSenderAsync(sender, "", cancellationToken)) is null)
            return new QueuePage([], null);
        QueueCursor? cursor = query.Cursor is { } text ? QueueCursor.TryParse(text) : First(query.Filter, first);
        if (cursor is null)
            return null;
        if (subscription is not null && (cursor.Phase is QueuePhase.All or QueuePhase.AllHeld || cursor.Subscription != subscription))
            return null;
        return await forecast.AddAsync(await store.ReadRawAsync(connection => ReadPage(connection, query, subscription, cursor), cancellationToken), cancellationToken);
    }

    /// <summary>One message with its envelope and content, also one that failed while its content is kept.</summary>
    /// <param name="maxBodyOctets">The body is cut there.</param>
    /// <returns>Null when it is not there, or not the caller's.</returns>
    public async Task<QueueEntry?> ShowAsync(
        QueueId id, string? onlySubscription, CancellationToken cancellationToken, int maxBodyOctets = DefaultBodyOctets)
    {
        QueueEntry? entry = await store.ReadRawAsync(connection => QueueLookup.Entry(connection, id, onlySubscription, maxBodyOctets), cancellationToken);
        return entry?.Held is null ? entry : entry with { Hold = await forecast.OfAsync(id, cancellationToken) };
    }

    /// <summary>Parks messages: no attempt begins until they are released.</summary>
    public Task<QueueOrderResult> HoldAsync(
        QueueSelection selection, bool dryRun, string? onlySubscription, CancellationToken cancellationToken, string by = Nobody) =>
        RunAsync(QueueOrder.Hold, selection, dryRun, onlySubscription, by, cancellationToken);

    /// <summary>Lets held messages go on at once. One that the policy parked is counted now; that may exceed its limits.</summary>
    public Task<QueueOrderResult> ReleaseAsync(
        QueueSelection selection, bool dryRun, string? onlySubscription, CancellationToken cancellationToken, string by = Nobody) =>
        RunAsync(QueueOrder.Release, selection, dryRun, onlySubscription, by, cancellationToken);

    /// <summary>Makes deferred messages due now. Held ones stay held.</summary>
    public Task<QueueOrderResult> RetryAsync(
        QueueSelection selection, bool dryRun, string? onlySubscription, CancellationToken cancellationToken, string by = Nobody) =>
        RunAsync(QueueOrder.Retry, selection, dryRun, onlySubscription, by, cancellationToken);

    /// <summary>Deletes messages, without a DSN; their records say so. Named ones also when they failed and only their content is kept.</summary>
    public Task<QueueOrderResult> DeleteAsync(
        QueueSelection selection, bool dryRun, string? onlySubscription, CancellationToken cancellationToken, string by = Nobody) =>
        RunAsync(QueueOrder.Delete, selection, dryRun, onlySubscription, by, cancellationToken);

    /// <summary>Makes everything that is not held due now.</summary>
    public Task<QueueOrderResult> FlushAsync(bool dryRun, string? onlySubscription, CancellationToken cancellationToken, string by = Nobody) =>
        RunAsync(QueueOrder.Retry, QueueSelection.All(), dryRun, onlySubscription, by, cancellationToken);

    private static QueueCursor First(QueueFilter filter, string? subscription) => subscription is null
        ? filter.IsOfHeld ? QueueCursor.AllHeld : QueueCursor.All
        : filter.IsOfHeld ? QueueCursor.Held(subscription) : QueueCursor.Waiting(subscription);

    /// <summary>The next subscription that has mail of the domain or mailbox that is looked for, so that nobody else's is walked through.</summary>
    private Task<string?> NextOfSenderAsync(string sender, string after, CancellationToken cancellationToken) =>
        store.ReadRawAsync(connection => MailOfSender.Next(connection, sender, after), cancellationToken);

    private static QueuePage ReadPage(StoreConnection connection, QueueQuery query, string? subscription, QueueCursor cursor)
    {
        if (query.Id is { } id)
        {
            QueueItem? one = QueueLookup.Seq(connection, id) is { } seq ? QueueLookup.Item(connection, seq, query.Filter) : null;
            bool matches = one is not null && (subscription is null || one.Subscription == subscription);
            return new QueuePage(matches ? [one!] : [], null);
        }
        int limit = Math.Clamp(query.Limit, 1, MaxPage);
        var items = ImmutableArray.CreateBuilder<QueueItem>();
        QueueCursor? next = cursor;
        for (int scanned = 0; next is not null && scanned < MaxScanned; scanned += limit)
        {
            QueueCursor from = next;
            (List<(long Seq, QueueCursor Behind)> found, next) = from.Read(connection, limit);
            foreach ((long seq, QueueCursor behind) in found)
            {
                if (QueueLookup.Item(connection, seq, query.Filter) is not { } item)
                    continue;
                items.Add(item);
                if (items.Count == limit)
                    return new QueuePage(items.DrainToImmutable(), behind.ToString());
            }
            if (next is null && from.Phase == QueuePhase.Waiting && query.Filter.State is null)
                next = QueueCursor.Held(from.Subscription);
            if (next is null && subscription is null && from.Subscription.Length > 0 && query.Filter.CountedAt is { } sender
                && MailOfSender.Next(connection, sender, from.Subscription) is { } other)
                next = First(query.Filter, other);
        }
        return new QueuePage(items.DrainToImmutable(), next?.ToString());
    }

    private async Task<QueueOrderResult> RunAsync(
        QueueOrder order, QueueSelection selection, bool dryRun, string? onlySubscription, string by, CancellationToken cancellationToken)
    {
        var tally = new Tally();
        if (!selection.Ids.IsDefaultOrEmpty)
        {
            foreach (QueueId[] some in selection.Ids.Distinct().Chunk(MaxRows))
                await StepAsync(order, await FindAsync(some, onlySubscription, tally, cancellationToken), selection, dryRun, by, tally, cancellationToken);
            bool none = tally.NotFound.Count > 0 && tally.Count == 0 && tally.Unchanged == 0;
            return tally.Result(none ? QueueOrderOutcome.NotFound : QueueOrderOutcome.Done, dryRun);
        }
        if (!MessageLog.TryScope(selection.Subscription, onlySubscription, out string? subscription))
            return tally.Result(QueueOrderOutcome.Done, dryRun);
        if (subscription is not null || selection.Filter.CountedAt is not { } sender)
        {
            await OrderAsync(order, selection, subscription, dryRun, by, tally, cancellationToken);
            return tally.Result(QueueOrderOutcome.Done, dryRun);
        }
        for (string? name = await NextOfSenderAsync(sender, "", cancellationToken); name is not null; name = await NextOfSenderAsync(sender, name, cancellationToken))
            await OrderAsync(order, selection, name, dryRun, by, tally, cancellationToken);
        return tally.Result(QueueOrderOutcome.Done, dryRun);
    }

    /// <param name="subscription">Null: in all of them.</param>
    private async Task OrderAsync(
        QueueOrder order, QueueSelection selection, string? subscription, bool dryRun, string by, Tally tally, CancellationToken cancellationToken)
    {
        // What is due already needs no retry; what a retry has changed is not met again.
        long after = order == QueueOrder.Retry ? time.GetUtcNow().ToUnixTimeMilliseconds() : -1;
        if (order != QueueOrder.Release && !selection.Filter.IsOfHeld)
        {
            string? name = subscription ?? await NextAsync("", cancellationToken);
            while (name is not null)
            {
                await WalkAsync(order, QueueCursor.Waiting(name, after), selection, dryRun, by, tally, cancellationToken);
                name = subscription is null ? await NextAsync(name, cancellationToken) : null;
            }
        }
        if (order is QueueOrder.Release or QueueOrder.Delete || (order == QueueOrder.Hold && selection.Filter.Held is not null))
        {
            QueueCursor held = subscription is null ? QueueCursor.AllHeld : QueueCursor.Held(subscription);
            await WalkAsync(order, held, selection, dryRun, by, tally, cancellationToken);
        }
    }

    private async Task WalkAsync(
        QueueOrder order, QueueCursor start, QueueSelection selection, bool dryRun, string by, Tally tally, CancellationToken cancellationToken)
    {
        QueueCursor? cursor = start;
        while (cursor is not null)
        {
            (List<(long Seq, QueueCursor Behind)> found, cursor) = await store.ReadRawAsync(connection => cursor.Read(connection, MaxRows), cancellationToken);
            await StepAsync(order, found.ConvertAll(f => f.Seq), selection, dryRun, by, tally, cancellationToken);
        }
    }

    /// <summary>Carries out an order for some messages, in as many writes as they have rows for.</summary>
    private async Task StepAsync(
        QueueOrder order, List<long> rowIds, QueueSelection selection, bool dryRun, string by, Tally tally, CancellationToken cancellationToken)
    {
        if (rowIds.Count == 0)
            return;
        if (dryRun)
        {
            QueueOrderStep preview = await store.ReadRawAsync(connection => QueueOrders.Preview(connection, order, rowIds, selection), cancellationToken);
            preview.InFlight = scheduler.CountInFlight(preview.Changed);
            tally.Add(preview);
            return;
        }
        List<long[]> writes = await store.ReadRawAsync(connection => Cut(connection, rowIds), cancellationToken);
        foreach (long[] some in writes)
        {
            QueueOrderStep done;
            int looks = 0;
            do
            {
                Dictionary<long, HeldOffer>? offers = order == QueueOrder.Release && looks++ < MaxLooks ? await OffersAsync(some, cancellationToken) : null;
                done = await writer.RunAsync(
                    context =>
                    {
                        QueueOrderStep step = QueueOrders.Execute(context, order, some, selection, by, time.GetUtcNow(), offers);
                        step.Audit = Audit(context, step, selection, by, tally);
                        return step;
                    },
                    cancellationToken, step => Tell(step, by));
            }
            while (done.IsStale);
            tally.Add(done);
        }
    }

    /// <summary>One row of the audit list for an order that is for many, which grows with each of its writes. What was done to one message stands in its record.</summary>
    /// <returns>Its number, or null.</returns>
    private long? Audit(WriteContext context, QueueOrderStep step, QueueSelection selection, string by, Tally tally)
    {
        if (step.Changed.Count == 0 || selection.Ids is { IsDefault: false, Length: 1 })
            return tally.Audit;
        System.Data.Common.DbConnection db = context.Connection.Connection;
        string target = selection switch
        {
            { Filter.CountedAt: { } sender } => sender.Contains('@') ? $"mailbox {sender}" : $"domain {sender}",
            { Subscription: { } subscription } => $"subscription {subscription}",
            _ => "queue",
        };
        string done = $"{tally.Count + step.Changed.Count} messages{(selection.Filter.RecipientDomain is { } to ? $" to {to}" : "")}";
        if (tally.Audit is not { } number)
            return AuditRows.Add(db, time.GetUtcNow(), by, $"queue {step.Order.ToString().ToLowerInvariant()}", target, selection.Subscription, "", done);
        AuditRows.Amend(db, number, done);
        return number;
    }

    /// <summary>What is released by hand and counts nowhere yet, with the accounts at which it is going to.</summary>
    private async Task<Dictionary<long, HeldOffer>> OffersAsync(long[] rowIds, CancellationToken cancellationToken)
    {
        List<HeldOffer> offers = await store.ReadRawAsync(connection => HeldOffer.ReadUncounted(connection, rowIds), cancellationToken);
        var found = new Dictionary<long, HeldOffer>(offers.Count);
        foreach (HeldOffer offer in offers)
            found[offer.Seq] = offer with { Account = await lookup(offer.Identity, offer.Envelope.ReversePath, offer.Message.From, cancellationToken) };
        return found;
    }

    /// <summary>Tells the mail log and the scheduler what was changed. Runs on the writer's thread, before anything that is committed later.</summary>
    private void Tell(QueueOrderStep step, string by)
    {
        if (step.Changed.Count == 0)
            return;
        step.InFlight = scheduler.CountInFlight(step.Changed);
        MailEventKind kind = Kind(step.Order);
        foreach ((QueueId id, string subscription) in step.ChangedIds)
        {
            writer.Feed.Add(id);
            log.Write(new MailEvent(kind, id) { Subscription = subscription, By = by });
        }
        if (step.Order is QueueOrder.Release or QueueOrder.Retry)
        {
            scheduler.Wake(step.Changed);
            return;
        }
        foreach (long rowId in step.Changed)
            scheduler.Withdraw(rowId);
    }

    private static MailEventKind Kind(QueueOrder order) => order switch
    {
        QueueOrder.Hold => MailEventKind.Held,
        QueueOrder.Release => MailEventKind.Released,
        QueueOrder.Retry => MailEventKind.Retried,
        _ => MailEventKind.Deleted,
    };

    private async Task<List<long>> FindAsync(QueueId[] ids, string? onlySubscription, Tally tally, CancellationToken cancellationToken)
    {
        List<long?> found = await store.ReadRawAsync(
            connection => ids.Select(id => QueueLookup.Seq(connection, id) is { } seq && QueueOrders.IsOf(connection, seq, onlySubscription) ? seq : (long?)null).ToList(),
            cancellationToken);
        for (int i = 0; i < ids.Length; i++)
        {
            if (found[i] is null)
                tally.NotFound.Add(ids[i].ToString());
        }
        return [.. found.OfType<long>()];
    }

    private Task<string?> NextAsync(string after, CancellationToken cancellationToken) => store.ReadRawAsync(
        connection =>
        {
            SqliteStatement select = connection.Prepared(NextSubscription).Bind(1, after);
            string? next = select.Step() ? select.NullableText(0) : null;
            select.Reset();
            return next;
        },
        cancellationToken);

    private static List<long[]> Cut(StoreConnection connection, List<long> rowIds)
    {
        var writes = new List<long[]>();
        var some = new List<long>();
        int rows = 0;
        foreach (long rowId in rowIds)
        {
            SqliteStatement count = connection.Prepared(CountRecipients).Bind(1, rowId);
            count.Step();
            int more = count.Int32(0);
            count.Reset();
            if (some.Count > 0 && rows + more > MaxRows)
            {
                writes.Add([.. some]);
                some.Clear();
                rows = 0;
            }
            some.Add(rowId);
            rows += more;
        }
        writes.Add([.. some]);
        return writes;
    }

    /// <summary>Adds up the steps of an order.</summary>
    private sealed class Tally
    {
        public int Count { get; private set; }

        /// <summary>The row of the audit list, once there is one.</summary>
        public long? Audit { get; private set; }

        public int Unchanged { get; private set; }

        public List<string> NotFound { get; } = [];

        private int UnchangedHeld { get; set; }

        private int InFlight { get; set; }

        public void Add(QueueOrderStep step)
        {
            Count += step.Changed.Count;
            Audit = step.Audit;
            Unchanged += step.Unchanged;
            UnchangedHeld += step.UnchangedHeld;
            InFlight += step.InFlight;
        }

        public QueueOrderResult Result(QueueOrderOutcome outcome, bool dryRun) => new(outcome, Count, Unchanged, UnchangedHeld, InFlight, [.. NotFound], dryRun);
    }
}
