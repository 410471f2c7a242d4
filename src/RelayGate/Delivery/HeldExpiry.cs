using System.Collections.Immutable;
using Microsoft.Extensions.Logging;
using RelayGate.Core.Policy;
using RelayGate.Queue;
using RelayGate.Telemetry;

namespace RelayGate.Delivery;

/// <summary>Ends held mail that has become too old to be delivered (Retry:GiveUpAfter), as a last failed attempt would: its sender hears of it.</summary>
/// <remarks>Mail that an administrator parked, or that a fault did, waits for a human however long.</remarks>
public sealed class HeldExpiry : IDisposable
{
    private const int Page = 64;

    private static readonly TimeSpan Interval = TimeSpan.FromMinutes(10); // A look costs one entry of an index.
    private static readonly TimeSpan Soonest = TimeSpan.FromSeconds(1);

    private readonly HeldMail _held;
    private readonly DeliveryService _delivery;
    private readonly TimeSpan _giveUpAfter;
    private readonly TimeProvider _time;
    private readonly ILogger<HeldExpiry> _logger;
    private readonly ITimer _timer;
    private volatile bool _stopping;

    public HeldExpiry(HeldMail held, DeliveryService delivery, TimeSpan giveUpAfter, TimeProvider time, ILogger<HeldExpiry> logger)
    {
        _held = held;
        _delivery = delivery;
        _giveUpAfter = giveUpAfter;
        _time = time;
        _logger = logger;
        _timer = time.CreateTimer(_ => _ = Task.Run(RunAsync), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    public void Start() => _timer.Change(TimeSpan.Zero, Timeout.InfiniteTimeSpan);

    public void Dispose()
    {
        _stopping = true;
        _timer.Dispose();
    }

    /// <summary>Ends all that is too old now.</summary>
    /// <returns>Arrival of the oldest that is left; null: nothing is held.</returns>
    internal async Task<DateTimeOffset?> ExpireAsync()
    {
        while (true)
        {
            int ended = 0;
            HeldPage page = await _held.OldestAsync(_time.GetUtcNow() - _giveUpAfter, Page);
            try
            {
                foreach (HeldForTooLong old in page.TooOld)
                    ended += await _delivery.GiveUpAsync(old) ? 1 : 0;
            }
            finally
            {
                foreach (HeldForTooLong old in page.TooOld)
                    old.Message.Release();
            }
            if (page.TooOld.IsEmpty || _stopping)
                return page.OldestLeft;
            if (ended == 0)
                return page.TooOld[0].Message.AgedFrom; // In attempts that began before they were held: looked at again soon.
        }
    }

    private async Task RunAsync()
    {
        TimeSpan wait = Interval;
        try
        {
            if (await ExpireAsync() is { } oldest)
            {
                TimeSpan next = oldest + _giveUpAfter - _time.GetUtcNow();
                wait = next < Soonest ? Soonest : next < Interval ? next : Interval;
            }
        }
        catch (Exception e) when (e is ObjectDisposedException or OperationCanceledException)
        {
            return; // The gateway stops.
        }
        catch (Exception e)
        {
            Log.ExpiryFailed(_logger, e);
        }
        if (!_stopping)
            _timer.Change(TimeSpan.FromMilliseconds(Math.Ceiling(wait.TotalMilliseconds)), Timeout.InfiniteTimeSpan);
    }
}

public sealed partial class DeliveryService
{
    /// <summary>Ends a message that was held for too long: recorded, logged and reported to its sender like a delivery that was given up.</summary>
    /// <returns>False: it is not held any more, or in an attempt that began before it was.</returns>
    internal async Task<bool> GiveUpAsync(HeldForTooLong old)
    {
        MessageEnd end = await PlanEndAsync(
            old.Message, "5.4.7", $"Given up after {AttemptRecorder.Age(_time.GetUtcNow() - old.Message.AgedFrom)}: {old.Why}"); // RFC 3463: delivery time expired.
        long seq = old.Message.RowId;
        CompletionResult done = await _writer.EndAsync(
            end, context => HoldRows.Find(context, seq) is ({ Reason: > HoldReason.Fault }, _) && QueueOrders.StillWaits(context.Connection, old.Message) == true && _scheduler.TryWithdraw(seq));
        if (done.IsWritten)
            Tell(end, done);
        return done.IsWritten;
    }

    /// <summary>What is recorded, and who hears of it, when a message is given up without an attempt.</summary>
    internal async ValueTask<MessageEnd> PlanEndAsync(QueuedMessage message, string status, string text)
    {
        var job = new DeliveryJob(message, message.Recipients);
        ImmutableArray<RecipientResult> results = [.. job.Recipients.Select(recipient => new RecipientResult(recipient, DeliveryResult.Failed, text, status, NextAttempt: null))];
        var attempt = new DeliveryAttempt(_time.GetUtcNow(), TimeSpan.Zero, DeliveryOutcome.NameOf(DeliveryStage.Local), "", "", "", null, results);
        return new MessageEnd(job, attempt, await PlanDsnAsync(job, attempt));
    }

    internal void Tell(MessageEnd end, CompletionResult done) => Tell(end.Job, end.Attempt, end.Dsn, done);
}
