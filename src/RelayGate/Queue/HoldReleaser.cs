using Microsoft.Extensions.Logging;
using RelayGate.Core.Policy;
using RelayGate.Storage;
using RelayGate.Telemetry;

namespace RelayGate.Queue;

/// <summary>Releases held mail by itself as limits have room: at each object the senders take turns, each with its oldest message (DESIGN §5).</summary>
/// <remarks>
/// For each object at which mail waits it is known when there is room next; nothing looks before that, unless accounts or limits change. A look
/// reads a page in turn and releases in one transaction as much of it as there is room for. A message waits at one object at a time: the
/// outermost that stops it. It moves when another one does; what its sender has behind it stays where it is, and is looked at again when it was served.
/// </remarks>
public sealed class HoldReleaser : IDisposable
{
    private const int Page = 32;
    private const int MaxTasks = 4; // Objects served at once, so that their writes share commits.

    private static readonly TimeSpan LongestWait = TimeSpan.FromDays(1);
    private static readonly TimeSpan AfterFault = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan LookAgain = TimeSpan.FromMinutes(5); // What is older may have been deleted, or released by hand.

    private readonly Lock _gate = new();
    private readonly SqliteRelayStore _store;
    private readonly QueueWriter _writer;
    private readonly QueueScheduler _scheduler;
    private readonly UsageTable _usage;
    private readonly HoldTable _holds;
    private readonly SenderLookup _lookup;
    private readonly MailLog _log;
    private readonly TimeProvider _time;
    private readonly ILogger<HoldReleaser> _logger;
    private readonly ITimer _timer;
    private readonly PriorityQueue<AccountKey, long> _order = new();
    private readonly Dictionary<AccountKey, long> _dueAt = [];
    private readonly HashSet<AccountKey> _active = [];
    private readonly Dictionary<AccountKey, HashSet<AccountKey>> _followers = []; // Objects with mail behind older mail that waits at the key.
    private int _retries;
    private bool _stopping;

    /// <param name="lookup">The account of a sender as it is now.</param>
    public HoldReleaser(
        SqliteRelayStore store, QueueWriter writer, QueueScheduler scheduler, UsageTable usage, SenderLookup lookup, MailLog log, TimeProvider time,
        ILogger<HoldReleaser> logger)
    {
        _store = store;
        _writer = writer;
        _scheduler = scheduler;
        _usage = usage;
        _holds = usage.Holds;
        _lookup = lookup;
        _log = log;
        _time = time;
        _logger = logger;
        _timer = time.CreateTimer(_ => Begin(), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        writer.AttachHolds(Schedule);
        writer.Reopened += WakeAll;
        WakeAll(); // What an earlier run left behind.
    }

    /// <summary>It looks at something now, or is about to.</summary>
    internal bool IsBusy
    {
        get
        {
            lock (_gate)
                return _active.Count + _retries > 0 || (_order.TryPeek(out _, out long at) && at <= _time.GetTimestamp());
        }
    }

    /// <summary>Looks at everything that waits: limits or settings that concern everybody have changed.</summary>
    public void WakeAll()
    {
        foreach (AccountKey key in _holds.Objects)
            Schedule(key, DateTimeOffset.MinValue);
        RetryStuck(null);
    }

    /// <summary>Looks at what waits of some subscriptions: they, or what they own, have changed.</summary>
    public void Wake(IReadOnlyCollection<string> subscriptions)
    {
        if (_holds.Total == 0 || subscriptions.Count == 0)
            return;
        RetryStuck(subscriptions);
    }

    private void RetryStuck(IReadOnlyCollection<string>? subscriptions)
    {
        lock (_gate)
        {
            if (_stopping)
                return;
            _retries++;
        }
        _ = Task.Run(() => RetryStuckAsync(subscriptions));
    }

    /// <summary>Nothing runs: all that is due has been looked at.</summary>
    internal bool IsIdle
    {
        get
        {
            lock (_gate)
                return _active.Count == 0;
        }
    }

    /// <summary>Ends after the writes that run.</summary>
    public void Dispose()
    {
        lock (_gate)
            _stopping = true;
        _timer.Dispose();
    }

    /// <summary>Messages wait at an object. On the writer's thread, and others.</summary>
    /// <param name="roomAt">When there is room, by the usage clock; in the past: now.</param>
    internal void Schedule(AccountKey key, DateTimeOffset roomAt)
    {
        lock (_gate)
        {
            DateTimeOffset now = _usage.Now;
            TimeSpan wait = roomAt > now ? roomAt - now : TimeSpan.Zero;
            TimeSpan bounded = wait < LongestWait ? wait : LongestWait;
            long at = _time.GetTimestamp() + (long)(bounded.TotalSeconds * _time.TimestampFrequency);
            if (_stopping || (_dueAt.TryGetValue(key, out long known) && known <= at))
                return;
            _dueAt[key] = at;
            _order.Enqueue(key, at);
            BeginLocked();
        }
    }

    private void Begin()
    {
        lock (_gate)
            BeginLocked();
    }

    /// <summary>Starts on what is due, and sets the timer for the rest.</summary>
    private void BeginLocked()
    {
        while (!_stopping && _order.TryPeek(out AccountKey key, out long at))
        {
            if (!_dueAt.TryGetValue(key, out long known) || known != at)
            {
                _order.Dequeue(); // Another time was found since.
                continue;
            }
            TimeSpan wait = _time.GetElapsedTime(_time.GetTimestamp(), at);
            if (wait > TimeSpan.Zero)
            {
                _timer.Change(TimeSpan.FromMilliseconds(Math.Ceiling(wait.TotalMilliseconds)), Timeout.InfiniteTimeSpan); // A timer cuts off what is less than one.
                return;
            }
            if (_active.Count >= MaxTasks || _active.Contains(key))
                return; // The end of what runs sees to it.
            _order.Dequeue();
            _dueAt.Remove(key);
            _active.Add(key);
            _ = Task.Run(() => RunAsync(key));
        }
    }

    private async Task RunAsync(AccountKey key)
    {
        DateTimeOffset? next = null;
        try
        {
            next = await ReleaseAsync(key);
        }
        catch (Exception e) when (e is ObjectDisposedException or OperationCanceledException)
        {
            // The gateway stops.
        }
        catch (Exception e)
        {
            Log.ReleaseFailed(_logger, key.ToString(), e);
            next = _usage.Now + AfterFault;
        }
        lock (_gate)
        {
            _active.Remove(key);
            if (next is { } again)
                Schedule(key, again);
            BeginLocked();
        }
    }

    /// <returns>When to look again, by the usage clock, or null: nothing waits there.</returns>
    private async Task<DateTimeOffset?> ReleaseAsync(AccountKey key)
    {
        var behind = new HashSet<string>(); // Senders that have an older message waiting elsewhere.
        while (true)
        {
            var unreadable = new List<long>();
            List<HeldOffer> offers = await _store.ReadRawAsync(
                connection => Read(connection, HoldTurns.Next(connection, key, Page, behind), unreadable), CancellationToken.None);
            if (unreadable.Count > 0)
            {
                await _writer.ParkAsync(unreadable);
                if (offers.Count == 0)
                    continue;
            }
            if (offers.Count == 0)
                return behind.Count > 0 ? _usage.Now + LookAgain : _holds.WaitingAt(key) > 0 ? _usage.Now + AfterFault : null; // Perhaps it is on its way into the store.
            for (int i = 0; i < offers.Count; i++)
                offers[i] = offers[i] with { Account = await _lookup(offers[i].Identity, offers[i].Envelope.ReversePath, offers[i].Message.From, CancellationToken.None) };
            HoldReleaseStep step = await _writer.RunAsync(
                context => HoldRelease.Execute(context, key, offers, _time.GetUtcNow()), CancellationToken.None, step => Tell(key, step));
            foreach ((AccountKey other, DateTimeOffset roomAt) in step.Moved)
                Schedule(other, roomAt);
            if (step.RoomAt is { } full)
                return full;
            if (_holds.WaitingAt(key) == 0 && !step.IsStale)
                return null;
            behind.UnionWith(step.Behind.Keys);
            if (step.IsStale || behind.Count == 0)
                return DateTimeOffset.MinValue;
        }
    }

    private List<HeldOffer> Read(StoreConnection connection, List<long> rowIds, List<long> unreadable)
    {
        var offers = new List<HeldOffer>(rowIds.Count);
        foreach (long seq in rowIds)
        {
            try
            {
                if (HeldOffer.Read(connection, seq) is { } offer)
                    offers.Add(offer);
            }
            catch (Exception e) when (e is FormatException or ArgumentException)
            {
                Log.MessageUnreadable(_logger, seq, e);
                unreadable.Add(seq);
            }
        }
        return offers;
    }

    /// <summary>Runs on the writer's thread after the commit.</summary>
    private void Tell(AccountKey key, HoldReleaseStep step)
    {
        TellFollowers(key, step);
        foreach ((_, Core.Mail.QueueId id, string subscription) in step.Released)
        {
            _writer.Feed.Add(id);
            _log.Write(new MailEvent(MailEventKind.Released, id) { Subscription = subscription, By = HoldRelease.Gateway });
        }
        foreach ((Core.Mail.QueueId id, string subscription, string reason) in step.Stuck)
        {
            _writer.Feed.Add(id);
            _log.Write(new MailEvent(MailEventKind.Held, id) { Subscription = subscription, By = HoldRelease.Gateway, Reason = reason });
        }
        if (step.Released.Count > 0)
            _scheduler.Wake([.. step.Released.Select(static r => r.Seq)]);
    }

    /// <summary>Has those looked at again that were behind what is served now, and notes whom this object is behind.</summary>
    private void TellFollowers(AccountKey key, HoldReleaseStep step)
    {
        lock (_gate)
        {
            foreach (AccountKey before in step.Behind.Values)
            {
                if (!_followers.TryGetValue(before, out HashSet<AccountKey>? waiting))
                    _followers.Add(before, waiting = []);
                waiting.Add(key);
            }
            if (!step.HasServed || !_followers.Remove(key, out HashSet<AccountKey>? followers))
                return;
            foreach (AccountKey follower in followers)
                Schedule(follower, DateTimeOffset.MinValue);
        }
    }

    /// <summary>Puts what the policy would not let go back among what waits, and has all that is concerned looked at.</summary>
    /// <param name="subscriptions">Null: of all.</param>
    private async Task RetryStuckAsync(IReadOnlyCollection<string>? subscriptions)
    {
        try
        {
            subscriptions ??= await _store.ReadRawAsync(HoldStuck.Subscriptions, CancellationToken.None);
            foreach (string subscription in subscriptions)
            {
                foreach (AccountKey key in await _store.ReadRawAsync(connection => HoldStuck.Objects(connection, subscription), CancellationToken.None))
                    Schedule(key, DateTimeOffset.MinValue);
                List<long> stuck = await _store.ReadRawAsync(connection => HoldStuck.Of(connection, subscription), CancellationToken.None);
                foreach (long[] some in stuck.Chunk(QueueAdministration.MaxRows))
                    await _writer.RunAsync(context => HoldStuck.Retry(context, subscription, some, _time.GetUtcNow()), CancellationToken.None);
                if (stuck.Count > 0)
                    Schedule(new AccountKey(Level.Subscription, subscription), DateTimeOffset.MinValue);
            }
        }
        catch (Exception e) when (e is ObjectDisposedException or OperationCanceledException)
        {
            // The gateway stops.
        }
        catch (Exception e)
        {
            Log.ReleaseFailed(_logger, "what the policy would not let go", e);
        }
        finally
        {
            lock (_gate)
                _retries--;
        }
    }
}
