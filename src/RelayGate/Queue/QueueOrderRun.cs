using RelayGate.Core.Mail;
using RelayGate.Storage;
using RelayGate.Telemetry;

namespace RelayGate.Queue;

/// <summary>Carries out one order by hand, in bounded steps.</summary>
internal sealed class QueueOrderRun(
    SqliteRelayStore store, QueueWriter writer, QueueScheduler scheduler, SenderLookup lookup, MessageEnder ender, MailLog log, TimeProvider time,
    EgressLookup egress, QueueOrderRequest request, Action<QueueOrderProgress>? progress)
{
    /// <summary>Times that accounts are looked up for one write, when they change all the time.</summary>
    private const int MaxLooks = 10;

    /// <summary>Messages that are in memory while their DSNs are written; none of them has more than 256 KiB there.</summary>
    private const int BouncedAtOnce = 32;

    /// <summary>Causes that a result names at most, and that are counted at most.</summary>
    private const int MaxWaits = 20;
    private const int MaxCounted = 1000;

    private const string NextSubscription = "select min(subscription) from recipient where next_attempt is not null and subscription > ?";
    private const string CountRecipients = "select count(*) from recipient where message = ?";
    private const string BouncedStatus = "5.7.0"; // RFC 3463 §3.8: for a reason of policy.

    private readonly List<string> _notFound = [];
    private readonly Dictionary<string, int> _waits = new(StringComparer.Ordinal);
    private CancellationToken _stop;
    private long? _audit; // Its row of the audit list, once there is one.
    private int _count;
    private int _unchanged;
    private int _unchangedHeld;
    private int _inFlight;
    private int _notAllowed;
    private long _looked;

    private QueueSelection Selection => request.Selection;

    /// <param name="cancellationToken">Ends it after the step that runs.</param>
    public async Task<QueueOrderResult> RunAsync(CancellationToken cancellationToken)
    {
        _stop = cancellationToken;
        bool isInterrupted = false;
        try
        {
            await RunAsync();
        }
        catch (OperationCanceledException) when (_stop.IsCancellationRequested)
        {
            isInterrupted = true; // Between two steps, or before the writer took one: what is counted is what was done.
        }
        bool none = _notFound.Count > 0 && _count == 0 && _unchanged == 0;
        return new QueueOrderResult(
            none ? QueueOrderOutcome.NotFound : QueueOrderOutcome.Done, _count, _unchanged, _unchangedHeld, _inFlight, [.. _notFound], request.DryRun, isInterrupted)
        {
            NotAllowed = _notAllowed,
            Waits = [.. _waits.Select(static w => new OrderWait(w.Key, w.Value)).OrderByDescending(static w => w.Messages).ThenBy(static w => w.For, StringComparer.Ordinal).Take(MaxWaits)],
        };
    }

    private async Task RunAsync()
    {
        if (!Selection.Ids.IsDefaultOrEmpty)
        {
            foreach (QueueId[] some in Selection.Ids.Distinct().Chunk(QueueAdministration.MaxRows))
                await StepAsync(await FindAsync(some));
            return;
        }
        if (!MessageLog.TryScope(Selection.Subscription, request.OnlySubscription, out string? subscription))
            return;
        if (request.Order == QueueOrder.Requeue || Selection.Filter.IsOfFailed)
        {
            if (request.Order is QueueOrder.Requeue or QueueOrder.Delete)
                await WalkAsync(QueueCursor.Failed, subscription);
            return;
        }
        if (subscription is not null || Selection.Filter.CountedAt is not { } sender)
        {
            await OrderAsync(subscription);
            return;
        }
        for (string? name = await NextOfSenderAsync(sender, ""); name is not null; name = await NextOfSenderAsync(sender, name))
            await OrderAsync(name);
    }

    /// <param name="subscription">Null: in all of them.</param>
    private async Task OrderAsync(string? subscription)
    {
        // What is due already needs no retry; what a retry has changed is not met again.
        bool isRetry = request.Order is QueueOrder.Retry or QueueOrder.Flush;
        long after = isRetry ? time.GetUtcNow().ToUnixTimeMilliseconds() : -1;
        if (request.Order != QueueOrder.Release && !Selection.Filter.IsOfHeld)
        {
            string? name = subscription ?? await NextAsync("");
            while (name is not null)
            {
                await WalkAsync(QueueCursor.Waiting(name, after), subscription);
                name = subscription is null ? await NextAsync(name) : null;
            }
        }
        bool isForHeld = request.Order is QueueOrder.Release or QueueOrder.Delete or QueueOrder.Bounce or QueueOrder.Rebind;
        if ((isForHeld && Selection.Filter.State is null or QueueState.Held) || (request.Order == QueueOrder.Hold && Selection.Filter.Held is not null))
            await WalkAsync(subscription is null ? QueueCursor.AllHeld : QueueCursor.Held(subscription), subscription);
    }

    private async Task WalkAsync(QueueCursor start, string? subscription)
    {
        QueueCursor? cursor = start;
        while (cursor is not null)
        {
            (List<(long Seq, QueueCursor Behind)> found, cursor) = await store.ReadRawAsync(connection => cursor.Read(connection, QueueAdministration.MaxRows), _stop);
            List<long> rowIds = found.ConvertAll(f => f.Seq);
            _looked += rowIds.Count;
            if (start.Phase == QueuePhase.Failed && subscription is not null)
                rowIds = await store.ReadRawAsync(connection => rowIds.FindAll(seq => QueueOrders.IsOf(connection, seq, subscription)), _stop);
            await StepAsync(rowIds);
            progress?.Invoke(new QueueOrderProgress(_count, _looked));
        }
    }

    /// <summary>Carries out the order for some messages, in as many writes as they have rows for.</summary>
    private async Task StepAsync(List<long> rowIds)
    {
        _stop.ThrowIfCancellationRequested();
        if (rowIds.Count == 0)
            return;
        Dictionary<long, (string Now, string? Then)>? choices = request.Order == QueueOrder.Rebind ? await EgressOrders.FindAsync(store, egress, rowIds, request.To, _stop) : null;
        if (request.DryRun || request.Order == QueueOrder.Bounce)
        {
            QueueOrderStep preview = await store.ReadRawAsync(connection => QueueOrders.Preview(connection, request, rowIds, choices), _stop);
            if (request.DryRun)
            {
                preview.InFlight = scheduler.CountInFlight(preview.Changed);
                Add(preview);
                return;
            }
            _unchanged += preview.Unchanged;
            foreach (long[] some in preview.Changed.Chunk(BouncedAtOnce))
                await BounceAsync(some);
            return;
        }
        // Only what the order is for is written: most of what a filter looks at may be for nobody.
        QueueOrderStep look = await store.ReadRawAsync(connection => QueueOrders.Preview(connection, request, rowIds, choices), _stop);
        _unchanged += look.Unchanged;
        _notAllowed += look.NotAllowed;
        _unchangedHeld += look.UnchangedHeld;
        if (look.Changed.Count == 0)
            return;
        List<long[]> writes = await store.ReadRawAsync(connection => Cut(connection, rowIds.FindAll(look.Changed.Contains)), _stop);
        foreach (long[] some in writes)
        {
            QueueOrderStep done;
            int looks = 0;
            bool mayCount = request.Order is QueueOrder.Release or QueueOrder.Requeue;
            do
            {
                Dictionary<long, HeldOffer>? offers = mayCount && looks++ < MaxLooks ? await OffersAsync(some) : null;
                done = await writer.RunAsync(
                    context =>
                    {
                        QueueOrderStep step = QueueOrders.Execute(context, request, some, _count, time.GetUtcNow(), offers, choices);
                        step.Audit = Audit(context, _count + step.Changed.Count);
                        return step;
                    },
                    _stop, Tell);
            }
            while (done.IsStale);
            _audit = done.Audit;
            Add(done);
        }
    }

    /// <summary>Returns some messages to their senders.</summary>
    private async Task BounceAsync(long[] rowIds)
    {
        _stop.ThrowIfCancellationRequested();
        var messages = new List<QueuedMessage>(rowIds.Length);
        var unreadable = new List<long>();
        try
        {
            await store.ReadRawAsync(connection => Read(connection, rowIds, messages, unreadable), _stop);
            if (unreadable.Count > 0)
            {
                await writer.ParkAsync(unreadable); // As any message that cannot be read: for a human to look at.
                _unchanged += unreadable.Count;
            }
            BounceOutcome[] outcomes = await Task.WhenAll(messages.Select(BounceAsync));
            _count += outcomes.Count(static o => o == BounceOutcome.Done);
            _unchanged += outcomes.Count(static o => o == BounceOutcome.Busy);
            _inFlight += outcomes.Count(static o => o == BounceOutcome.Busy);
        }
        finally
        {
            foreach (QueuedMessage message in messages)
                message.Release();
        }
        _audit = await writer.RunAsync(context => Audit(context, _count), CancellationToken.None);
    }

    private async Task<BounceOutcome> BounceAsync(QueuedMessage message)
    {
        MessageEnd end = await ender.PlanAsync(message, BouncedStatus, request.Text);
        var outcome = BounceOutcome.Gone;
        CompletionResult done = await writer.EndAsync(end, context =>
        {
            outcome = QueueOrders.StillWaits(context.Connection, message) switch
            {
                null => BounceOutcome.Gone,
                true when scheduler.TryWithdraw(message.RowId) => BounceOutcome.Done,
                _ => BounceOutcome.Busy, // Also what an attempt has just changed: it may have been delivered to some by now.
            };
            if (outcome == BounceOutcome.Done)
                OrderRows.Add(context, message.Id.ToBytes(), OrderRows.Done(QueueOrder.Bounce), request.By, time.GetUtcNow());
            return outcome == BounceOutcome.Done;
        });
        if (!done.IsWritten)
            return outcome;
        log.Write(new MailEvent(MailEventKind.Bounced, message.Id) { Subscription = message.Subscription, By = request.By });
        ender.Tell(end, done);
        return outcome;
    }

    private static bool Read(StoreConnection connection, long[] rowIds, List<QueuedMessage> messages, List<long> unreadable)
    {
        foreach (long rowId in rowIds)
        {
            try
            {
                if (QueueReader.Message(connection, rowId) is { Recipients.IsEmpty: false } message)
                    messages.Add(message);
            }
            catch (Exception e) when (e is FormatException or ArgumentException)
            {
                unreadable.Add(rowId);
            }
        }
        return true;
    }

    /// <summary>One row of the audit list for the order, which grows with each of its writes.</summary>
    /// <returns>Its number, or null while nothing was done.</returns>
    private long? Audit(WriteContext context, int count)
    {
        if (count == 0)
            return null;
        System.Data.Common.DbConnection db = context.Connection.Connection;
        string filter = Selection.Filter.ToString();
        string text = request.Order == QueueOrder.Bounce ? $": {request.Text}" : "";
        string to = request.To.IsDefaultOrEmpty ? "" : $" to {string.Join(" and ", request.To)}";
        string done = $"{count} message{(count == 1 ? "" : "s")}{to}{(filter.Length > 0 ? $", {filter}" : "")}{text}";
        if (_audit is not { } number)
        {
            return AuditRows.Add(
                db, time.GetUtcNow(), request.By, $"queue {request.Order.ToString().ToLowerInvariant()}", Selection.Target, request.OnlySubscription ?? Selection.Subscription, "", done);
        }
        AuditRows.Amend(db, number, done);
        return number;
    }

    /// <summary>What is let go by hand and counts nowhere yet, with the accounts at which it is going to.</summary>
    private async Task<Dictionary<long, HeldOffer>> OffersAsync(long[] rowIds)
    {
        List<HeldOffer> offers = await store.ReadRawAsync(connection => HeldOffer.ReadUncounted(connection, rowIds), _stop);
        var found = new Dictionary<long, HeldOffer>(offers.Count);
        foreach (HeldOffer offer in offers)
            found[offer.Seq] = offer with { Account = await lookup(offer.Identity, offer.Envelope.ReversePath, offer.Message.From, _stop) };
        return found;
    }

    /// <summary>Tells the mail log and the scheduler what was changed. Runs on the writer's thread, before anything that is committed later.</summary>
    private void Tell(QueueOrderStep step)
    {
        if (step.Changed.Count == 0)
            return;
        step.InFlight = scheduler.CountInFlight(step.Changed);
        MailEventKind kind = Kind(step.Order);
        foreach ((QueueId id, string subscription) in step.ChangedIds)
        {
            writer.Feed.Add(id);
            log.Write(new MailEvent(kind, id) { Subscription = subscription, By = request.By });
        }
        if (step.Order == QueueOrder.Rebind)
            scheduler.Renew(step.Changed);
        if (step.Order is not (QueueOrder.Hold or QueueOrder.Delete))
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
        QueueOrder.Retry or QueueOrder.Flush => MailEventKind.Retried,
        QueueOrder.Requeue => MailEventKind.Requeued,
        QueueOrder.Rebind => MailEventKind.Rebound,
        _ => MailEventKind.Deleted,
    };

    private async Task<List<long>> FindAsync(QueueId[] ids)
    {
        List<long?> found = await store.ReadRawAsync(
            connection => ids.Select(id => QueueLookup.Seq(connection, id) is { } seq && QueueOrders.IsOf(connection, seq, request.OnlySubscription)
                && (Selection.Filter.Since is not { } since || id.Timestamp >= since) ? seq : (long?)null).ToList(),
            _stop);
        for (int i = 0; i < ids.Length; i++)
        {
            if (found[i] is null)
                _notFound.Add(ids[i].ToString());
        }
        return [.. found.OfType<long>()];
    }

    private Task<string?> NextOfSenderAsync(string sender, string after) => store.ReadRawAsync(connection => MailOfSender.Next(connection, sender, after), _stop);

    private Task<string?> NextAsync(string after) => store.ReadRawAsync(
        connection =>
        {
            SqliteStatement select = connection.Prepared(NextSubscription).Bind(1, after);
            string? next = select.Step() ? select.NullableText(0) : null;
            select.Reset();
            return next;
        },
        _stop);

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
            if (some.Count > 0 && rows + more > QueueAdministration.MaxRows)
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

    private void Add(QueueOrderStep step)
    {
        _count += step.Changed.Count;
        _unchanged += step.Unchanged;
        _unchangedHeld += step.UnchangedHeld;
        _inFlight += step.InFlight;
        foreach ((string cause, int messages) in step.Waits)
        {
            if (_waits.ContainsKey(cause) || _waits.Count < MaxCounted)
                _waits[cause] = _waits.GetValueOrDefault(cause) + messages;
        }
    }

    private enum BounceOutcome
    {
        Done,

        /// <summary>It is in an attempt.</summary>
        Busy,

        /// <summary>It has ended, or is not looked for any more.</summary>
        Gone,
    }
}
