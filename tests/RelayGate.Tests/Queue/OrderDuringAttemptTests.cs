using RelayGate.Core.Dsn;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Queue;

namespace RelayGate.Tests.Queue;

/// <summary>Orders for messages whose attempt has not come to a transaction: what comes of the attempt afterwards is nobody's.</summary>
public sealed class OrderDuringAttemptTests : IDisposable
{
    private readonly QueueFixture _queue = new();
    private readonly QueueAdministration _administration;

    public OrderDuringAttemptTests() => _administration = _queue.NewAdministration();

    [Theory]
    [InlineData(DeliveryResult.Deferred)]
    [InlineData(DeliveryResult.Failed)]
    public async Task What_was_returned_while_a_connection_was_dialled_stays_returned_and_nobody_hears_of_it_twice(DeliveryResult result)
    {
        DeliveryJob job = await AcceptAndTakeAsync();
        QueueOrderResult bounced = await _administration.OrderAsync(QueueOrder.Bounce, QueueSelection.Of(job.Message.Id));
        Assert.Equal((1, 0), (bounced.Count, bounced.InFlight));

        CompletionResult done = await CompleteAsync(job, result);

        Assert.Equal((false, false), (done.IsWritten, done.HasDsn));
        Assert.Equal(1, await _queue.Count("recipient", "state = 2 and next_attempt is null"));
        Assert.Equal(1, await _queue.Count("message", "expires_at is not null"));
        Assert.Equal(1, await _queue.Count("attempt")); // The one that tells of the return.
        Assert.Equal(1, await _queue.Count("decision", "outcome = 6"));
    }

    [Fact]
    public async Task What_was_returned_while_it_was_being_put_off_stays_returned()
    {
        DeliveryJob job = await AcceptAndTakeAsync();
        await _administration.OrderAsync(QueueOrder.Bounce, QueueSelection.Of(job.Message.Id));
        await _administration.OrderAsync(QueueOrder.Requeue, QueueSelection.Of(job.Message.Id));
        long due = _queue.Time.GetUtcNow().ToUnixTimeMilliseconds();
        DateTimeOffset until = _queue.Time.GetUtcNow().AddHours(2);

        CompletionResult done = await _queue.Waiting.PutOffAsync(
            job, new PutOff(WaitKey.To("example.org"), until, "4.7.1", "Suspended", WaitCause.ByHand), until, new PutOffEntry(_queue.Attempt(job, DeliveryResult.Deferred), Dsn(job)), _queue.Waiting.Stamp).WaitAsync(TimeSpan.FromSeconds(20));

        Assert.Equal((false, false), (done.IsWritten, done.HasDsn));
        Assert.Equal(1, await _queue.Count("recipient", $"state = 0 and waits_for is null and next_attempt = {due}"));
    }

    [Theory]
    [InlineData(DeliveryResult.Deferred)]
    [InlineData(DeliveryResult.Failed)]
    public async Task What_was_returned_and_put_back_meanwhile_is_not_touched_by_the_attempt_from_before(DeliveryResult result)
    {
        DeliveryJob job = await AcceptAndTakeAsync();
        await _administration.OrderAsync(QueueOrder.Bounce, QueueSelection.Of(job.Message.Id));
        await _administration.OrderAsync(QueueOrder.Requeue, QueueSelection.Of(job.Message.Id));

        Assert.False((await CompleteAsync(job, result)).IsWritten);

        Assert.Equal(1, await _queue.Count("recipient", "state = 0 and attempts = 0"));
        Task<DeliveryJob> next = _queue.TakeAsync();
        _queue.Time.Advance(TimeSpan.FromSeconds(2));
        Assert.Equal(job.Message.Id, (await next).Message.Id);
    }

    [Theory]
    [InlineData(QueueOrder.Hold)]
    [InlineData(QueueOrder.Delete)]
    public async Task What_was_held_or_deleted_before_its_transaction_began_fails_for_nobody(QueueOrder order)
    {
        DeliveryJob job = await AcceptAndTakeAsync();
        await _administration.OrderAsync(order, QueueSelection.Of(job.Message.Id));

        Assert.False((await CompleteAsync(job, DeliveryResult.Failed)).IsWritten);

        Assert.Equal(order == QueueOrder.Hold ? 1 : 0, await _queue.Count("recipient", "state = 0 and next_attempt is null"));
        Assert.Equal(0, await _queue.Count("attempt"));
        Assert.Equal(1, await _queue.Count("decision")); // No DSN.
    }

    [Fact]
    public async Task What_the_next_hop_took_after_the_order_to_hold_came_too_late_is_delivered()
    {
        DeliveryJob job = await AcceptAndTakeAsync();
        Assert.True(job.TryBegin());
        await _administration.OrderAsync(QueueOrder.Hold, QueueSelection.Of(job.Message.Id));

        Assert.True((await CompleteAsync(job, DeliveryResult.Delivered)).IsWritten);

        Assert.Equal(1, await _queue.Count("decision", "outcome = 5"));
    }

    [Fact]
    public async Task A_message_is_not_returned_while_a_transaction_of_it_runs_and_is_between_two_parts_of_its_job()
    {
        DeliveryJob job = await AcceptAndTakeAsync();
        Assert.True(job.TryBegin());
        Assert.Equal((0, 1), await BouncedAsync(job));
        await _queue.Writer.CompleteAsync(job, _queue.Attempt(job, DeliveryResult.Deferred), null);
        job.End();

        Assert.Equal((1, 0), await BouncedAsync(job));

        Assert.False(job.For(job.Recipients).TryBegin());
        Assert.False((await CompleteAsync(job, DeliveryResult.Failed)).IsWritten);
    }

    [Fact]
    public async Task What_was_only_dialled_for_may_be_returned_once_its_end_is_written()
    {
        DeliveryJob job = await AcceptAndTakeAsync();
        await _queue.Writer.CompleteAsync(job, _queue.Attempt(job, DeliveryResult.Deferred), null);

        Assert.Equal((1, 0), await BouncedAsync(job));
    }

    [Theory]
    [InlineData(QueueOrder.Hold)]
    [InlineData(QueueOrder.Delete)]
    public async Task What_is_held_or_deleted_during_a_transaction_begins_with_no_other_part_of_its_job(QueueOrder order)
    {
        DeliveryJob job = await AcceptAndTakeAsync();
        DeliveryJob part = job.For(job.Recipients);
        Assert.True(part.TryBegin());

        await _administration.OrderAsync(order, QueueSelection.Of(job.Message.Id));

        Assert.True(part.TryBegin()); // Its attempt goes on, at another host as well.
        Assert.True((await _queue.Writer.CompleteAsync(part, _queue.Attempt(part, DeliveryResult.Deferred), null)).IsWritten);
        part.End();
        Assert.False(job.For(job.Recipients).TryBegin());
        Assert.False((await CompleteAsync(job, DeliveryResult.Failed)).IsWritten);
    }

    public void Dispose() => _queue.Dispose();

    private async Task<(int Count, int InFlight)> BouncedAsync(DeliveryJob job)
    {
        QueueOrderResult bounced = await _administration.OrderAsync(QueueOrder.Bounce, QueueSelection.Of(job.Message.Id));
        return (bounced.Count, bounced.InFlight);
    }

    private async Task<DeliveryJob> AcceptAndTakeAsync()
    {
        _ = _queue.Scheduler;
        await _queue.AcceptAsync(_queue.Account());
        return await _queue.TakeAsync();
    }

    private async Task<CompletionResult> CompleteAsync(DeliveryJob job, DeliveryResult result)
    {
        CompletionResult done = await _queue.Writer.CompleteAsync(job, _queue.Attempt(job, result), Dsn(job)).WaitAsync(TimeSpan.FromSeconds(20));
        _queue.Scheduler.Complete(job);
        return done;
    }

    private PreparedDsn Dsn(DeliveryJob job) => new(
        _queue.NewId(), new ForwardPath(job.Message.ReversePath.Address!), "Subject: failed\r\n\r\n"u8.ToArray(), "It failed.\r\n"u8.ToArray(), false, false);
}
