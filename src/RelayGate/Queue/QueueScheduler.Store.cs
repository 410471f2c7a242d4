using System.Collections.Immutable;
using System.Diagnostics;
using RelayGate.Core.Mail;
using RelayGate.Storage;
using RelayGate.Telemetry;

namespace RelayGate.Queue;

/// <summary>The part that looks into the store: it finds what is due, and reads messages when their turn comes.</summary>
public sealed partial class QueueScheduler
{
    private const int MaxLoads = 2; // At once, so that reads for people always find a free thread.
    private const int LoadMessages = 32;
    private const long LoadOctets = 2 * 1024 * 1024;
    private const int PageRows = 256;
    private const int PageSubscriptions = 256;
    private const string Lease = "update recipient set next_attempt = ? where message = ? and position = ? and next_attempt is not null";

    private static readonly TimeSpan Grid = TimeSpan.FromSeconds(1); // Looks into the store happen at most once a second.
    private static readonly TimeSpan LookAgain = TimeSpan.FromMinutes(1); // While something was passed over because it is suspended.

    private const string SelectTakeOver = "select value from setting_state where name = 'queue_taken_over'";
    private const string NoteTakeOver =
        "insert into setting_state (name, value) values ('queue_taken_over', ?) on conflict (name) do update set value = excluded.value";

    private readonly Queue<SubscriptionFlow> _loads = [];
    private int _activeLoads;
    private DateTimeOffset _sweepAt = DateTimeOffset.MaxValue;
    private bool _sweeping;
    private bool? _takesOver; // Null until the store was asked; false once its mail was taken over.

    /// <summary>Something becomes due at this time: the store is looked at then. In the past: at once.</summary>
    private void NoteDue(DateTimeOffset at)
    {
        lock (_gate)
        {
            DateTimeOffset now = _time.GetUtcNow();
            DateTimeOffset due = at <= now ? now : new DateTimeOffset((at.UtcTicks / Grid.Ticks + 1) * Grid.Ticks, TimeSpan.Zero);
            if (_stopping || due >= _sweepAt)
                return;
            _sweepAt = due;
            if (_sweeping)
                return; // Its end sees to it.
            if (due <= now)
                BeginSweep();
            else
                _timer.Change(due - now, Timeout.InfiniteTimeSpan);
        }
    }

    private void BeginSweep()
    {
        lock (_gate)
        {
            if (_sweeping || _stopping)
                return;
            _sweeping = true;
            _sweepAt = DateTimeOffset.MaxValue; // Whatever becomes due from here on asks anew.
        }
        _ = Task.Run(SweepAsync);
    }

    private async Task SweepAsync()
    {
        DateTimeOffset next;
        long started = Stopwatch.GetTimestamp();
        try
        {
            next = await SweepStoreAsync();
            TimeSpan used = Stopwatch.GetElapsedTime(started);
            DateTimeOffset earliest = _time.GetUtcNow() + used * 9; // A tenth of one processor at most.
            next = next > earliest ? next : earliest;
        }
        catch (ObjectDisposedException)
        {
            return; // The store was closed: the gateway stops.
        }
        catch (Exception e)
        {
            Log.SweepFailed(_logger, e);
            next = _time.GetUtcNow() + Grid;
        }
        lock (_gate)
        {
            _sweeping = false;
            DateTimeOffset due = next < _sweepAt ? next : _sweepAt;
            _sweepAt = DateTimeOffset.MaxValue;
            if (due != DateTimeOffset.MaxValue)
                NoteDue(due);
        }
    }

    /// <summary>One look at all that is due: each subscription in turn, a page at a time, so that nobody waits behind another's million.</summary>
    /// <returns>When to look again.</returns>
    private async Task<DateTimeOffset> SweepStoreAsync()
    {
        DateTimeOffset next = DateTimeOffset.MaxValue;
        var more = new List<DueRecipient>();
        string? after = null;
        bool end = false;
        _takesOver ??= await _writer.RunAsync(TakeOver, CancellationToken.None);
        TimeSpan early = _takesOver.Value ? _lease : TimeSpan.Zero;
        while (!end && !_stopping)
        {
            DuePage page = await _store.ReadRawAsync(connection => ReadPage(connection, after, early), CancellationToken.None);
            (after, end) = (page.LastSubscription, page.IsEnd);
            more.AddRange(page.More);
            next = Earlier(next, Admit(page.Due));
            next = Earlier(next, page.NextDue);
        }
        while (more.Count > 0 && !_stopping)
        {
            List<DueRecipient> cursors = more;
            more = [];
            foreach (DueRecipient[] some in cursors.Chunk(4)) // Four pages of rows in one read.
            {
                DuePage page = await _store.ReadRawAsync(connection => ReadMore(connection, some, early), CancellationToken.None);
                more.AddRange(page.More);
                next = Earlier(next, Admit(page.Due));
                next = Earlier(next, page.NextDue);
            }
        }
        _takesOver = false;
        return next;
    }

    /// <summary>
    /// Mail that was never tried has its next attempt set for a crash during the first; after a restart nobody is at it, and it need not wait. Once
    /// in a lease at most, or a gateway that crashes again and again would hammer a peer.
    /// </summary>
    private bool TakeOver(WriteContext context)
    {
        long now = _time.GetUtcNow().ToUnixTimeMilliseconds();
        SqliteStatement select = context.Prepared(SelectTakeOver);
        bool isAllowed = !select.Step() || Math.Abs(now - select.Int64(0)) >= _lease.TotalMilliseconds;
        select.Reset();
        if (isAllowed)
            context.Prepared(NoteTakeOver).Bind(1, now).Execute();
        return isAllowed;
    }

    /// <param name="early">How far ahead of its time mail is taken that was never tried.</param>
    private DuePage ReadPage(StoreConnection connection, string? after, TimeSpan early)
    {
        var page = new DuePage { LastSubscription = after };
        long now = _time.GetUtcNow().ToUnixTimeMilliseconds();
        Suspensions suspended = _suspended();
        for (int i = 0; i < PageSubscriptions && page.Due.Count < 4 * PageRows; i++)
        {
            if (QueueReader.NextSubscription(connection, page.LastSubscription) is not { } found)
            {
                page.IsEnd = true;
                return page;
            }
            page.LastSubscription = found.Subscription;
            if (found.NextAttempt > now)
                page.NextDue = Earlier(page.NextDue, DateTimeOffset.FromUnixTimeMilliseconds(found.NextAttempt));
            if (found.NextAttempt > now + early.TotalMilliseconds)
                continue;
            if (suspended.Subscriptions.Contains(found.Subscription))
                page.NextDue = Earlier(page.NextDue, _time.GetUtcNow() + LookAgain);
            else
                ReadDue(connection, page, found.Subscription, now, early, null, suspended);
        }
        return page;
    }

    private DuePage ReadMore(StoreConnection connection, DueRecipient[] cursors, TimeSpan early)
    {
        var page = new DuePage();
        Suspensions suspended = _suspended();
        foreach (DueRecipient cursor in cursors)
            ReadDue(connection, page, cursor.Subscription, _time.GetUtcNow().ToUnixTimeMilliseconds(), early, cursor, suspended);
        return page;
    }

    /// <summary>Reads the next rows of a subscription that are due, without those whose sender is suspended.</summary>
    private void ReadDue(StoreConnection connection, DuePage page, string subscription, long now, TimeSpan early, DueRecipient? after, Suspensions suspended)
    {
        int before = page.Due.Count;
        if (QueueReader.Due(connection, subscription, now, now + (long)early.TotalMilliseconds, after, PageRows, page.Due) == PageRows)
            page.More.Add(page.Due[^1]);
        if (suspended.Senders.Count == 0)
            return;
        int kept = before;
        for (int i = before; i < page.Due.Count; i++)
        {
            if (!suspended.Has(subscription, page.Due[i].CountedAt))
                page.Due[kept++] = page.Due[i];
        }
        if (kept == page.Due.Count)
            return;
        page.Due.RemoveRange(kept, page.Due.Count - kept);
        page.NextDue = Earlier(page.NextDue, _time.GetUtcNow() + LookAgain);
    }

    /// <summary>Notes what is due and not known yet.</summary>
    /// <returns>When to look again because of what was passed over, or the end of time.</returns>
    private DateTimeOffset Admit(List<DueRecipient> due)
    {
        bool passedOver = false;
        lock (_gate)
        {
            foreach (DueRecipient recipient in due)
            {
                SubscriptionFlow flow = Flow(recipient.Subscription, LaneOf(recipient));
                if (!TryKnow(recipient.Seq, flow.Lane))
                {
                    passedOver = true; // In flight or waiting; perhaps it is rescheduled before it ends.
                }
                else if (!TryAddRow(flow, recipient.Seq))
                {
                    Forget(recipient.Seq, flow.Lane);
                    passedOver = true;
                }
                RequestLoad(flow);
                RemoveIfUnused(flow);
            }
            DispatchLocked();
        }
        return passedOver || due.Count > 0 ? _time.GetUtcNow() + Grid : DateTimeOffset.MaxValue;
    }

    private string LaneOf(DueRecipient recipient)
    {
        if (!MailboxAddress.TryParse(recipient.Address, out MailboxAddress? address, allowUnqualified: true))
            return ""; // Its message is parked when it is read.
        // Only the address matters for the lane.
        return _lanes.KeyOf(new QueuedRecipient(recipient.Position, new ForwardPath(address), DsnNotify.Default, null, RecipientState.Pending, 0, default, null));
    }

    private bool MayLoad(DestinationLane lane) => lane.WaitingOctets == 0 || lane.WaitingOctets <= FreeOctets;

    /// <summary>Sees to it that a flow which is nearly empty gets its next rows.</summary>
    private void RequestLoad(SubscriptionFlow flow)
    {
        if (flow.IsLoading || flow.Known.Count == 0 || flow.Ready.Count > LowReady)
            return;
        flow.IsLoading = true;
        if (MayLoad(flow.Lane))
            StartLoad(flow);
        else
            flow.Lane.WaitingLoads.Enqueue(flow);
    }

    /// <summary>Reads for the flow that has waited longest for its lane's memory: once for each job that leaves memory and each read that ends.</summary>
    private void StartWaitingLoad(DestinationLane lane)
    {
        if (lane.WaitingLoads.Count > 0 && MayLoad(lane))
            StartLoad(lane.WaitingLoads.Dequeue());
    }

    private void StartLoad(SubscriptionFlow flow)
    {
        if (_activeLoads >= MaxLoads)
        {
            _loads.Enqueue(flow);
            return;
        }
        _activeLoads++;
        _ = Task.Run(() => LoadAsync(flow));
    }

    /// <summary>Reads the next messages of a flow, and of the flows that wait behind it.</summary>
    private async Task LoadAsync(SubscriptionFlow? flow)
    {
        while (flow is not null)
        {
            List<long> rowIds = TakeRows(flow);
            var jobs = new List<DeliveryJob>();
            try
            {
                var unreadable = new List<long>();
                (List<QueuedMessage> messages, int read) =
                    await _store.ReadRawAsync(connection => ReadMessages(connection, rowIds, unreadable), CancellationToken.None);
                PutBack(flow, rowIds, read);
                if (unreadable.Count > 0)
                    await ParkAsync(unreadable);
                jobs = await LeaseAsync(messages, flow.Lane);
            }
            catch (ObjectDisposedException)
            {
                return; // The store was closed: the gateway stops.
            }
            catch (Exception e)
            {
                Log.LoadFailed(_logger, e); // The rows are found again when they are due.
            }
            flow = EndLoad(flow, rowIds, jobs);
        }
    }

    private List<long> TakeRows(SubscriptionFlow flow)
    {
        var rowIds = new List<long>(LoadMessages);
        lock (_gate)
        {
            while (rowIds.Count < LoadMessages && flow.Known.TryDequeue(out long rowId))
            {
                _knownRows--;
                if (_known[rowId].IsWithdrawn)
                    Forget(rowId, flow.Lane);
                else
                    rowIds.Add(rowId);
            }
        }
        return rowIds;
    }

    /// <summary>What was too much for one read waits on.</summary>
    private void PutBack(SubscriptionFlow flow, List<long> rowIds, int read)
    {
        lock (_gate)
        {
            for (int i = read; i < rowIds.Count; i++)
                flow.Known.Enqueue(rowIds[i]);
            _knownRows += rowIds.Count - read;
        }
        rowIds.RemoveRange(read, rowIds.Count - read);
    }

    /// <returns>The messages, and how many rows were looked at.</returns>
    private (List<QueuedMessage> Messages, int Read) ReadMessages(StoreConnection connection, List<long> rowIds, List<long> unreadable)
    {
        var messages = new List<QueuedMessage>(rowIds.Count);
        long octets = 0;
        int read = 0;
        foreach (long rowId in rowIds)
        {
            if (octets >= LoadOctets)
                break;
            read++;
            try
            {
                if (QueueReader.Message(connection, rowId) is not { } message)
                    continue;
                octets += Cost(message);
                messages.Add(message);
            }
            catch (Exception e) when (e is FormatException or ArgumentException)
            {
                Log.MessageUnreadable(_logger, rowId, e);
                unreadable.Add(rowId);
            }
        }
        return (messages, read);
    }

    /// <summary>Holds messages whose rows cannot be understood, for a human to look at: they must not hold up those behind them.</summary>
    private Task<bool> ParkAsync(List<long> rowIds) => _writer.RunAsync(
        context =>
        {
            foreach (long rowId in rowIds)
                MessageRows.Park(context, rowId, _time.GetUtcNow());
            return true;
        },
        CancellationToken.None);

    /// <summary>Moves the next attempt of what is to be tried now into the future before anything is dialled; what was held meanwhile drops out.</summary>
    private async Task<List<DeliveryJob>> LeaseAsync(List<QueuedMessage> messages, DestinationLane lane)
    {
        DateTimeOffset now = _time.GetUtcNow();
        DateTimeOffset until = now + _lease;
        Suspensions suspended = _suspended();
        var jobs = new List<DeliveryJob>(messages.Count);
        foreach (QueuedMessage message in messages)
        {
            ImmutableArray<QueuedRecipient> due =
            [
                .. message.Recipients.Where(r => r.NextAttempt != DateTimeOffset.MaxValue && (r.NextAttempt <= now || r.Attempts == 0) && _lanes.KeyOf(r) == lane.Key),
            ];
            if (due.IsEmpty || suspended.Has(message.Subscription, message.CountedAt))
                message.Release();
            else
                jobs.Add(new DeliveryJob(message, due));
        }
        if (jobs.Count == 0)
            return jobs;
        try
        {
            List<DeliveryJob> leased = await _writer.RunAsync(
                context =>
                {
                    var kept = new List<DeliveryJob>(jobs.Count);
                    foreach (DeliveryJob job in jobs)
                    {
                        int changed = 0;
                        foreach (QueuedRecipient recipient in job.Recipients)
                        {
                            changed += context.Prepared(Lease).Bind(1, until.ToUnixTimeMilliseconds()).Bind(2, job.Message.RowId).Bind(3, recipient.Index)
                                .Execute();
                        }
                        if (changed == job.Recipients.Length)
                            kept.Add(job);
                    }
                    return kept;
                },
                CancellationToken.None);
            foreach (DeliveryJob job in jobs.Except(leased))
                job.Message.Release();
            return leased;
        }
        catch
        {
            foreach (DeliveryJob job in jobs)
                job.Message.Release();
            throw;
        }
    }

    /// <summary>Puts what was read into its flow.</summary>
    /// <returns>The flow to read for next, or null.</returns>
    private SubscriptionFlow? EndLoad(SubscriptionFlow flow, List<long> rowIds, List<DeliveryJob> jobs)
    {
        lock (_gate)
        {
            foreach (DeliveryJob job in jobs)
            {
                AddReady(flow, job);
                rowIds.Remove(job.Message.RowId);
            }
            foreach (long rowId in rowIds) // Gone, held or not due.
                Forget(rowId, flow.Lane);
            flow.IsLoading = false;
            RequestLoad(flow);
            StartWaitingLoad(flow.Lane); // What was read may have gone: then no job leaves and starts the next.
            RemoveIfUnused(flow);
            DispatchLocked();
            if (!_stopping && _loads.TryDequeue(out SubscriptionFlow? next))
                return next;
            _activeLoads--;
            return null;
        }
    }

    private static DateTimeOffset Earlier(DateTimeOffset a, DateTimeOffset b) => a < b ? a : b;

    /// <summary>One page of what is due.</summary>
    private sealed class DuePage
    {
        public List<DueRecipient> Due { get; } = [];

        /// <summary>Where subscriptions that have more are to be continued.</summary>
        public List<DueRecipient> More { get; } = [];

        public string? LastSubscription { get; set; }

        public bool IsEnd { get; set; }

        /// <summary>When the first of what is not due yet will be.</summary>
        public DateTimeOffset NextDue { get; set; } = DateTimeOffset.MaxValue;
    }
}
