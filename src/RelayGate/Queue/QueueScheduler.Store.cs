using System.Diagnostics;
using System.Runtime.InteropServices;
using RelayGate.Core.Mail;
using RelayGate.Storage;
using RelayGate.Telemetry;

namespace RelayGate.Queue;

/// <summary>The part that looks into the store: it finds what is due.</summary>
public sealed partial class QueueScheduler
{
    private const int PageRows = 256;
    private const int PageSubscriptions = 256;
    private const int FewRows = 4 * PageRows; // So many may be read with each look.
    private const int MaxPassedOver = 64 * PageRows; // Rows of one subscription in one look that are known already, or for which there is no room.

    private static readonly TimeSpan Grid = TimeSpan.FromSeconds(1); // Looks into the store happen at most once a second.

    private const string SelectTakeOver = "select value from setting_state where name = 'queue_taken_over'";
    private const string NoteTakeOver =
        "insert into setting_state (name, value) values ('queue_taken_over', ?) on conflict (name) do update set value = excluded.value";

    private DateTimeOffset _sweepAt = DateTimeOffset.MaxValue;
    private bool _sweeping;
    private Dictionary<string, DueRecipient?> _met = []; // Subscriptions of which something was due at the last look, and where the next one goes on.
    private DateTimeOffset _againAt; // When they are looked at again,
    private bool _wholeNext; // or at the next look.
    private bool? _takesOver; // Null until the store was asked; false once its mail was taken over.

    /// <summary>Rows that looks into the store have read so far.</summary>
    internal long RowsLookedAt { get; private set; }

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
            bool isWhole;
            lock (_gate)
            {
                isWhole = _wholeNext || _time.GetUtcNow() >= _againAt;
                _wholeNext = false;
            }
            long before = RowsLookedAt;
            (Dictionary<string, DueRecipient?> met, next) = await SweepStoreAsync(isWhole);
            TimeSpan used = Stopwatch.GetElapsedTime(started);
            lock (_gate)
            {
                _met = met;
                if (isWhole) // A tenth of one processor at most, where it is rows that take the time.
                    _againAt = RowsLookedAt - before < FewRows ? DateTimeOffset.MinValue : _time.GetUtcNow() + used * 9;
                if (met.Count > 0)
                    next = Earlier(next, Later(_againAt, _time.GetUtcNow() + Grid));
            }
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

    /// <summary>
    /// One look at what is due: each subscription in turn, a page at a time, so that nobody waits behind another's million. It reads no more of a
    /// subscription than there is room for, and not much that is known already or whose destination has no room; the next look goes on there.
    /// </summary>
    /// <param name="isWhole">False: those of which something was due at the last look are left out, until it is time for them again.</param>
    /// <returns>Those of which something is due, and where the next look goes on (null: at the beginning); when something of the others is.</returns>
    private async Task<(Dictionary<string, DueRecipient?> Met, DateTimeOffset Next)> SweepStoreAsync(bool isWhole)
    {
        DateTimeOffset next = DateTimeOffset.MaxValue;
        var met = new Dictionary<string, DueRecipient?>();
        var passedOver = new Dictionary<string, int>();
        var more = new List<DueRecipient>();
        string? after = null;
        bool end = false;
        _takesOver ??= await _writer.RunAsync(TakeOver, CancellationToken.None);
        TimeSpan early = _takesOver.Value ? _lease : TimeSpan.Zero;
        while (!end && !_stopping)
        {
            DuePage page = await _store.ReadRawAsync(connection => ReadPage(connection, after, early, isWhole, met), CancellationToken.None);
            (after, end) = (page.LastSubscription, page.IsEnd);
            next = Earlier(next, page.NextDue);
            await AdmitAsync(page);
        }
        while (more.Count > 0 && !_stopping)
        {
            List<DueRecipient> cursors = more;
            more = [];
            foreach (DueRecipient[] some in cursors.Chunk(4)) // Four pages of rows in one read.
                await AdmitAsync(await _store.ReadRawAsync(connection => ReadMore(connection, some, early), CancellationToken.None));
        }
        _takesOver = false;
        return (met, next);

        async Task AdmitAsync(DuePage page)
        {
            await HoldAsync(page);
            Admit(page.Due, met, passedOver);
            more.AddRange(page.More.Where(cursor => met[cursor.Subscription] is null));
        }
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

    /// <summary>What was met of suspended senders goes out of the way, so that no later look meets it.</summary>
    private async Task HoldAsync(DuePage page)
    {
        foreach (long[] some in page.Suspended.Chunk(QueueAdministration.MaxRows))
            await HoldSuspendedAsync([.. some]);
    }

    /// <param name="early">How far ahead of its time mail is taken that was never tried.</param>
    private DuePage ReadPage(StoreConnection connection, string? after, TimeSpan early, bool isWhole, Dictionary<string, DueRecipient?> met)
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
            RowsLookedAt++;
            bool wasMet = _met.TryGetValue(found.Subscription, out DueRecipient? from);
            if (wasMet && !isWhole)
            {
                met.Add(found.Subscription, from);
                continue;
            }
            if (found.NextAttempt > now)
                page.NextDue = Earlier(page.NextDue, DateTimeOffset.FromUnixTimeMilliseconds(found.NextAttempt));
            if (found.NextAttempt > now + early.TotalMilliseconds)
                continue;
            met.Add(found.Subscription, null);
            ReadDue(connection, page, found.Subscription, now, early, from, suspended);
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
        int read = QueueReader.Due(connection, subscription, now, now + (long)early.TotalMilliseconds, after, PageRows, page.Due);
        RowsLookedAt += read;
        if (read == PageRows)
            page.More.Add(page.Due[^1]);
        if (suspended.Subscriptions.Count + suspended.Senders.Count == 0)
            return;
        int kept = before;
        for (int i = before; i < page.Due.Count; i++)
        {
            if (suspended.Of(new MailSource(subscription, page.Due[i].CountedAt, null, null, null)) is null)
                page.Due[kept++] = page.Due[i];
            else
                page.Suspended.Add(page.Due[i].Seq);
        }
        page.Due.RemoveRange(kept, page.Due.Count - kept);
    }

    /// <summary>Notes what is due and not known yet.</summary>
    /// <param name="met">Gets where to go on for a subscription of which no more is to be looked at now.</param>
    /// <param name="passedOver">Rows of each that were of no use.</param>
    private void Admit(List<DueRecipient> due, Dictionary<string, DueRecipient?> met, Dictionary<string, int> passedOver)
    {
        lock (_gate)
        {
            foreach (DueRecipient recipient in due)
            {
                if (met[recipient.Subscription] is not null)
                    continue;
                SubscriptionFlow flow = Flow(recipient.Subscription, LaneOf(recipient));
                bool isNew = TryKnow(recipient.Seq, flow.Lane); // Else in flight or waiting; perhaps it is rescheduled before it ends.
                bool isTaken = isNew && TryAddRow(flow, recipient.Seq);
                if (isNew && !isTaken)
                    Forget(recipient.Seq, flow.Lane);
                if (isNew && !isTaken && !HasRoomForRows(flow.Owner))
                    met[recipient.Subscription] = recipient with { Position = recipient.Position - 1 }; // With this one.
                else if (!isTaken && ++CollectionsMarshal.GetValueRefOrAddDefault(passedOver, recipient.Subscription, out _) >= MaxPassedOver)
                    met[recipient.Subscription] = recipient;
                RequestLoad(flow);
                RemoveIfUnused(flow);
            }
            DispatchLocked();
        }
    }

    private string LaneOf(DueRecipient recipient)
    {
        if (!MailboxAddress.TryParse(recipient.Address, out MailboxAddress? address, allowUnqualified: true))
            return ""; // Its message is parked when it is read.
        // Only the address matters for the lane.
        return _lanes.KeyOf(recipient.Subscription, new QueuedRecipient(recipient.Position, new ForwardPath(address), DsnNotify.Default, null, RecipientState.Pending, 0, default, null));
    }

    private static DateTimeOffset Later(DateTimeOffset a, DateTimeOffset b) => a > b ? a : b;

    private static DateTimeOffset Earlier(DateTimeOffset a, DateTimeOffset b) => a < b ? a : b;

    /// <summary>One page of what is due.</summary>
    private sealed class DuePage
    {
        public List<DueRecipient> Due { get; } = [];

        /// <summary>Where subscriptions that have more are to be continued.</summary>
        public List<DueRecipient> More { get; } = [];

        /// <summary>What is due and is to be held: its sender is suspended.</summary>
        public HashSet<long> Suspended { get; } = [];

        public string? LastSubscription { get; set; }

        public bool IsEnd { get; set; }

        /// <summary>When the first of what is not due yet will be.</summary>
        public DateTimeOffset NextDue { get; set; } = DateTimeOffset.MaxValue;
    }
}
