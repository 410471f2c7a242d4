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

    public void Dispose()
    {
        _gauge.Dispose();
        _queue.Dispose();
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
