using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Queue;

namespace RelayGate.Tests.Queue;

public sealed class QueueGaugeTests : IDisposable
{
    private readonly QueueFixture _queue = new();
    private readonly QueueGauge _gauge;

    public QueueGaugeTests() => _gauge = new QueueGauge(_queue.Store, _queue.Scheduler, _queue.Usage, _queue.Time);

    [Fact]
    public async Task Messages_are_told_apart_by_what_they_wait_for()
    {
        await _queue.AcceptAsync(_queue.Account());
        await _queue.EndAsync(await _queue.TakeAsync(), DeliveryResult.Deferred);
        OfferedMessage held = await _queue.AcceptAsync(_queue.Account());
        await _queue.TakeAsync();
        await _queue.NewAdministration().HoldAsync(QueueSelection.Of(held.Id), dryRun: false, null, default);
        await _queue.AcceptAsync(_queue.Account("beta"));
        await _queue.TakeAsync();
        await _queue.AcceptAsync(_queue.Account("beta"));

        QueueFigures figures = await CountAsync();

        Assert.Equal((2, 1, 1), (figures.Active, figures.Deferred, figures.Held));
        Assert.Equal(2, figures.InFlight); // The held one is in an attempt that may still end.
    }

    [Fact]
    public async Task What_is_kept_after_it_failed_has_no_part_in_the_age_of_the_queue()
    {
        await FailAsync();
        Assert.Null((await CountAsync()).OldestAt);

        _queue.Time.Advance(TimeSpan.FromHours(10));
        OfferedMessage waiting = await _queue.AcceptAsync(_queue.Account());
        DeliveryJob job = await _queue.TakeAsync();
        _queue.Time.Advance(TimeSpan.FromMinutes(1));
        await FailAsync();
        OfferedMessage later = await _queue.AcceptAsync(_queue.Account());
        Assert.Equal(waiting.ReceivedAt, (await CountAsync()).OldestAt);

        await _queue.EndAsync(job, DeliveryResult.Failed);
        QueueFigures figures = await CountAsync();
        Assert.Equal(later.ReceivedAt, figures.OldestAt);
        Assert.Equal(1, figures.Waiting);
    }

    [Fact]
    public async Task What_was_put_back_by_hand_is_the_oldest_again()
    {
        OfferedMessage failed = await _queue.AcceptAsync(_queue.Account());
        await _queue.EndAsync(await _queue.TakeAsync(), DeliveryResult.Failed);
        _queue.Time.Advance(TimeSpan.FromHours(10));
        OfferedMessage waiting = await _queue.AcceptAsync(_queue.Account());
        Assert.Equal(waiting.ReceivedAt, (await CountAsync()).OldestAt);

        await _queue.NewAdministration().OrderAsync(QueueOrder.Requeue, QueueSelection.Of(failed.Id));

        QueueFigures figures = await CountAsync();
        Assert.Equal((failed.ReceivedAt, 2), (figures.OldestAt, figures.Waiting));
    }

    /// <summary>Nothing is counted again after the start: what the writer's commits say is what the store has, also after a write was rolled back.</summary>
    [Fact]
    public async Task The_counts_are_those_of_the_store_whatever_happens()
    {
        var random = new Random(7);
        var ids = new List<QueueId>();
        for (int i = 0; i < 120; i++)
        {
            switch (random.Next(6))
            {
                case 0 or 1:
                    ids.Add((await _queue.AcceptAsync(_queue.Account(), "a@one.test", "b@two.test")).Id);
                    break;
                case 2 when _queue.Scheduler.Active > _queue.Scheduler.InFlight:
                    if (await TryTakeAsync() is { } job)
                        await _queue.EndAsync(job, (DeliveryResult)random.Next(3), TimeSpan.FromMinutes(1));
                    break;
                case 3 when ids.Count > 0:
                    await _queue.NewAdministration().OrderAsync(
                        (QueueOrder[])[QueueOrder.Hold, QueueOrder.Release, QueueOrder.Delete, QueueOrder.Requeue] is var orders ? orders[random.Next(4)] : default,
                        QueueSelection.Of(ids[random.Next(ids.Count)]));
                    break;
                case 4:
                    await Assert.ThrowsAnyAsync<Exception>(() => _queue.Writer.RunAsync<int>(
                        static context =>
                        {
                            context.Usage.Queued(1);
                            throw new FormatException("A write that fails");
                        },
                        default));
                    break;
                case 5 when random.Next(5) == 0:
                    _queue.Time.Advance(TimeSpan.FromMinutes(5));
                    break;
            }
            Assert.Equal(await _queue.Count("message", "expires_at is null"), _queue.Usage.Counts.Queued);
        }
        _queue.Reopen();
        Assert.Equal(await _queue.Count("message", "expires_at is null"), _queue.Usage.Counts.Queued);
    }

    public void Dispose()
    {
        _gauge.Dispose();
        _queue.Dispose();
    }

    /// <summary>The next job; null: what there was has been held, or is not due.</summary>
    private async Task<DeliveryJob?> TryTakeAsync()
    {
        using var soon = new CancellationTokenSource(TimeSpan.FromSeconds(1));
        try
        {
            return await _queue.Scheduler.TakeAsync(soon.Token);
        }
        catch (OperationCanceledException)
        {
            return null;
        }
    }

    private async Task FailAsync()
    {
        await _queue.AcceptAsync(_queue.Account());
        await _queue.EndAsync(await _queue.TakeAsync(), DeliveryResult.Failed);
    }

    private Task<QueueFigures> CountAsync()
    {
        _queue.Time.Advance(TimeSpan.FromSeconds(2));
        return _gauge.RefreshAsync(default);
    }
}
