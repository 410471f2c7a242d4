using System.Collections.Immutable;
using RelayGate.Storage;
using RelayGate.Telemetry;

namespace RelayGate.Queue;

/// <summary>The part that reads messages when their turn comes, and takes a lease on them.</summary>
public sealed partial class QueueScheduler
{
    private const int MaxLoads = 2; // At once, so that reads for people always find a free thread.
    private const int LoadMessages = 32;
    private const long LoadOctets = 2 * 1024 * 1024;
    private const string SelectEgress = "select egress from message where seq = ?";
    private const string SelectNextAttempts = "select position, next_attempt from recipient where message = ? order by position";
    private const string LeaseRow = "update recipient set next_attempt = ?, waits_for = null where message = ? and position = ?";

    private readonly Queue<SubscriptionFlow> _loads = [];
    private int _activeLoads;

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
                    await _writer.ParkAsync(unreadable);
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

    /// <summary>Moves the next attempt of what is to be tried now into the future before anything is dialled; what was held meanwhile drops out.</summary>
    /// <remarks>Claims come first: from then on no other job takes these recipients up, and the lease fails for those whose row has changed since it was read.</remarks>
    private async Task<List<DeliveryJob>> LeaseAsync(List<QueuedMessage> messages, DestinationLane lane)
    {
        DateTimeOffset until = _time.GetUtcNow() + _lease;
        var held = new List<long>();
        List<DeliveryJob> jobs = Claim(messages, lane, held);
        var leased = new List<DeliveryJob>();
        try
        {
            if (held.Count > 0)
                await HoldSuspendedAsync(held);
            if (jobs.Count > 0)
                leased = await _writer.RunAsync(context => jobs.FindAll(job => Lease(context, job, until)), CancellationToken.None);
            return leased;
        }
        finally
        {
            foreach (DeliveryJob job in jobs.Except(leased))
            {
                lock (_gate)
                    _known[job.Message.RowId].Unclaim(job);
                job.Message.Release();
            }
        }
    }

    /// <summary>Makes jobs of what is due in a lane and in no other job.</summary>
    private List<DeliveryJob> Claim(List<QueuedMessage> messages, DestinationLane lane, List<long> held)
    {
        DateTimeOffset now = _time.GetUtcNow();
        Suspensions suspended = _suspended();
        var jobs = new List<DeliveryJob>(messages.Count);
        bool isElsewhere = false;
        lock (_gate)
        {
            foreach (QueuedMessage message in messages)
            {
                KnownMessage known = _known[message.RowId];
                QueuedRecipient[] open =
                [
                    .. message.Recipients.Where(r => r.NextAttempt != DateTimeOffset.MaxValue && (r.NextAttempt <= now || r is { Attempts: 0, WaitsFor: null }) && !known.IsClaimed(r)),
                ];
                ImmutableArray<QueuedRecipient> due = [.. open.Where(r => _lanes.KeyOf(message.Subscription, r) == lane.Key)];
                isElsewhere |= due.Length < open.Length;
                bool isHeld = suspended.Has(message);
                if (isHeld)
                    held.Add(message.RowId);
                if (due.IsEmpty || isHeld)
                {
                    message.Release();
                    continue;
                }
                var job = new DeliveryJob(message, due);
                known.Claim(job);
                jobs.Add(job);
            }
        }
        if (isElsewhere)
            NoteDue(now + Grid); // The lane of some may have changed since they were noted: they are found again.
        return jobs;
    }

    /// <returns>False: the message is not what was read any more; no row was changed, and what is due of it is found again.</returns>
    private static bool Lease(WriteContext context, DeliveryJob job, DateTimeOffset until)
    {
        if (!IsAsRead(context, job))
            return false;
        foreach (QueuedRecipient recipient in job.Recipients)
            context.Prepared(LeaseRow).Bind(1, until.ToUnixTimeMilliseconds()).Bind(2, job.Message.RowId).Bind(3, recipient.Index).Execute();
        return true;
    }

    private static bool IsAsRead(WriteContext context, DeliveryJob job)
    {
        SqliteStatement select = context.Prepared(SelectEgress).Bind(1, job.Message.RowId);
        bool isSame = select.Step() && EgressText.IsStill(select.Text(0), job.Message.Egress);
        select.Reset();
        if (!isSame)
            return false;
        int same = 0; // Both are in the order of the envelope.
        select = context.Prepared(SelectNextAttempts).Bind(1, job.Message.RowId);
        while (same < job.Recipients.Length && select.Step())
        {
            QueuedRecipient recipient = job.Recipients[same];
            if (select.Int32(0) != recipient.Index)
                continue;
            if (select.NullableInt64(1) != recipient.NextAttempt.ToUnixTimeMilliseconds())
                break;
            same++;
        }
        select.Reset();
        return same == job.Recipients.Length;
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
}
