using Microsoft.Extensions.Logging;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Storage;
using RelayGate.Telemetry;

namespace RelayGate.Queue;

/// <summary>Moves queued mail of those who are suspended to hold, and back at resume: in bounded steps, once, so that a backlog is not met again and again.</summary>
/// <remarks>
/// Nothing of a suspended sender is picked from the commit of its suspension on (<see cref="QueueScheduler"/> asks for each job and holds what it
/// meets); this finds the rest. What it did not end before a restart is done at the next start.
/// </remarks>
public sealed class SuspendedMail : IDisposable
{
    private static readonly TimeSpan AfterFault = TimeSpan.FromMinutes(1);

    private readonly Lock _gate = new();
    private readonly SqliteRelayStore _store;
    private readonly QueueWriter _writer;
    private readonly QueueScheduler _scheduler;
    private readonly HoldReleaser _releaser;
    private readonly Func<Suspensions> _suspended;
    private readonly TimeProvider _time;
    private readonly ILogger<SuspendedMail> _logger;
    private readonly ITimer _retry;
    private Suspensions _applied = Suspensions.None;
    private bool _again;
    private volatile bool _stopping;
    private Task _run = Task.CompletedTask;

    public SuspendedMail(
        SqliteRelayStore store, QueueWriter writer, QueueScheduler scheduler, HoldReleaser releaser, Func<Suspensions> suspended, TimeProvider time, ILogger<SuspendedMail> logger)
    {
        _store = store;
        _writer = writer;
        _scheduler = scheduler;
        _releaser = releaser;
        _suspended = suspended;
        _time = time;
        _logger = logger;
        _retry = time.CreateTimer(_ => Apply(), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        Apply();
    }

    /// <summary>What was asked for so far is done.</summary>
    internal Task Done
    {
        get
        {
            lock (_gate)
                return _run;
        }
    }

    /// <summary>Somebody may have been suspended or resumed.</summary>
    public void Apply()
    {
        _scheduler.Wake(); // A look under way may have left out what is resumed now.
        lock (_gate)
        {
            if (_stopping)
                return;
            _again = true;
            if (_run.IsCompleted)
                _run = Task.Run(RunAsync);
        }
    }

    /// <summary>Ends after the write that runs.</summary>
    public void Dispose()
    {
        _stopping = true;
        _retry.Dispose();
    }

    private async Task RunAsync()
    {
        while (true)
        {
            lock (_gate)
            {
                if (!_again || _stopping)
                    return;
                _again = false;
            }
            try
            {
                Suspensions now = _suspended();
                await LetGoAsync(HoldReason.Suspended);
                await LetGoAsync(HoldReason.Script);
                Suspensions before = _applied;
                foreach (string subscription in await _store.ReadRawAsync(connection => Touched(connection, before, now), CancellationToken.None))
                    await HoldAsync(subscription);
                _applied = now;
            }
            catch (Exception e) when (e is ObjectDisposedException or OperationCanceledException)
            {
                return; // The gateway stops.
            }
            catch (Exception e)
            {
                Log.SuspensionFailed(_logger, e);
                _retry.Change(AfterFault, Timeout.InfiniteTimeSpan);
            }
        }
    }

    /// <summary>Subscriptions that have mail of somebody who is suspended and was not before.</summary>
    private static HashSet<string> Touched(StoreConnection connection, Suspensions before, Suspensions now)
    {
        var touched = new HashSet<string>(now.Subscriptions.Where(name => !before.Subscriptions.Contains(name)));
        foreach (string sender in now.Senders.Where(name => !before.Senders.Contains(name)))
        {
            if (SuspendedRows.SubscriptionOfSender(connection, sender) is { } owner)
                touched.Add(owner); // Its mail may name the domain without being counted there.
            MailOfSender.AddSubscriptionsOfSender(connection, sender, touched);
        }
        foreach (int uid in now.Uids.Where(uid => !before.Uids.Contains(uid)).Concat(now.Scripts.Where(s => !before.Scripts.Contains(s)).Select(static s => s.Uid)))
            MailOfSender.AddSubscriptionsOfUid(connection, uid, touched);
        foreach (string credential in now.Credentials.Where(name => !before.Credentials.Contains(name)))
            MailOfSender.AddSubscriptionsOfCredential(connection, credential, touched);
        return touched;
    }

    private async Task HoldAsync(string subscription)
    {
        foreach (QueueCursor start in new[] { QueueCursor.Waiting(subscription), QueueCursor.Held(subscription) })
        {
            QueueCursor? cursor = start;
            while (cursor is not null && !_stopping)
            {
                QueueCursor from = cursor;
                (List<long> found, cursor) = await _store.ReadRawAsync(
                    connection =>
                    {
                        (List<(long Seq, QueueCursor Behind)> rows, QueueCursor? next) = from.Read(connection, QueueAdministration.MaxRows);
                        Suspensions suspended = _suspended();
                        return (rows.Select(static r => r.Seq).Where(seq => SuspendedRows.Fate(connection, seq, suspended) is not null).ToList(), next);
                    },
                    CancellationToken.None);
                if (found.Count > 0)
                    await _scheduler.HoldSuspendedAsync(found);
            }
        }
    }

    private async Task LetGoAsync(HoldReason reason)
    {
        string after = "";
        while (!_stopping && await _store.ReadRawAsync(connection => SuspendedRows.Next(connection, reason, after), CancellationToken.None) is { } held)
        {
            after = held;
            while (!_stopping && !_suspended().IsHeldAt(held))
            {
                SuspensionStep step = await _writer.RunAsync(
                    context => SuspendedRows.LetGo(context, reason, held, _suspended(), _time.GetUtcNow()), CancellationToken.None, _scheduler.Tell);
                foreach (AccountKey key in step.Waiting)
                    _releaser.Schedule(key, DateTimeOffset.MinValue);
                if (step.Released.Count == 0 && step.Waiting.Count == 0 && await IsEmptyAsync(reason, held))
                    break;
            }
        }
    }

    private async Task<bool> IsEmptyAsync(HoldReason reason, string at) =>
        await _store.ReadRawAsync(connection => SuspendedRows.IsEmpty(connection, reason, at), CancellationToken.None);
}
