using System.Collections.Immutable;
using System.Net;
using RelayGate.Core.Dsn;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Queue;

namespace RelayGate.Tests.Queue;

/// <summary>Mail that may not be tried now waits in the store, costs nobody anything, and goes on when its cause ends.</summary>
public sealed class PutOffTests
{
    private static readonly WaitKey Key = WaitKey.Ip(IPAddress.Parse("192.0.2.11"), "microsoft");

    [Fact]
    public async Task What_is_put_off_waits_without_an_attempt_and_says_for_what()
    {
        using var queue = new QueueFixture();
        _ = queue.Scheduler;
        await queue.AcceptAsync(queue.Account());
        DeliveryJob job = await queue.TakeAsync();

        await PutOffAsync(queue, job, TimeSpan.FromHours(2));

        Assert.Equal(0, await queue.Count("attempt"));
        Assert.Equal(1, await queue.Count("recipient", "attempts = 0 and waits_for = 'ip 192.0.2.11 microsoft' and last_reply = '4.7.1 The address is paused'"));
        QueueItem item = Assert.Single((await queue.NewAdministration().ListAsync(new QueueQuery(), null, default))!.Items);
        Assert.Equal((QueueState.Deferred, "ip 192.0.2.11 microsoft"), (item.State, item.WaitsFor));
        Assert.Equal(queue.Time.GetUtcNow() + TimeSpan.FromHours(2), item.NextAttempt);
        Assert.Equal(1, await queue.Waiting.CountAsync(Key, 100, default));
    }

    [Fact]
    public async Task A_restart_does_not_hurry_what_was_put_off_before_its_first_attempt()
    {
        using var queue = new QueueFixture();
        _ = queue.Scheduler;
        await queue.AcceptAsync(queue.Account());
        await PutOffAsync(queue, await queue.TakeAsync(), TimeSpan.FromSeconds(110));

        queue.Time.Advance(TimeSpan.FromSeconds(61)); // The gateway may take over again what was never tried.
        await queue.AcceptAsync(queue.Account("other"));

        queue.Reopen();
        Assert.Equal("other", (await queue.TakeAsync()).Message.Subscription); // Taken over: it is due later than what was put off.
        Task<DeliveryJob> next = queue.TakeAsync();
        await queue.Count("message");
        Assert.False(next.IsCompleted);

        queue.Time.Advance(TimeSpan.FromSeconds(52));
        DeliveryJob job = await next;
        Assert.Equal("acme", job.Message.Subscription);
        Assert.Equal("ip 192.0.2.11 microsoft", job.Recipients[0].WaitsFor);
    }

    [Fact]
    public async Task What_waits_is_due_when_its_cause_ends_the_first_in_line_first_and_spread_over_time()
    {
        using var queue = new QueueFixture();
        _ = queue.Scheduler;
        for (int i = 0; i < 1200; i++)
            await PutOffAsync(queue, await AcceptAndTakeAsync(queue), TimeSpan.FromHours(2) + TimeSpan.FromSeconds(i));
        queue.Reopen(); // Without a scheduler, which would change the times.
        DateTimeOffset now = queue.Time.GetUtcNow();

        Assert.Equal(1200, await queue.Waiting.WakeWaitersAsync(Key));

        Assert.Equal(0, await queue.Count("recipient", "waits_for is not null"));
        foreach ((int second, int rows) in new[] { (0, 500), (1, 500), (2, 200) })
            Assert.Equal(rows, await queue.Count("recipient", $"next_attempt = {now.AddSeconds(second).ToUnixTimeMilliseconds()} and message > {second * 500}"));
    }

    [Fact]
    public async Task Only_what_waits_for_it_goes_on()
    {
        using var queue = new QueueFixture();
        _ = queue.Scheduler;
        await PutOffAsync(queue, await AcceptAndTakeAsync(queue), TimeSpan.FromHours(2));
        await PutOffAsync(queue, await AcceptAndTakeAsync(queue), TimeSpan.FromHours(2), WaitKey.To("example.org"));

        Assert.Equal(1, await queue.Waiting.WakeWaitersAsync(Key));

        DeliveryJob job = await queue.TakeAsync();
        Assert.Equal(1, await queue.Count("recipient", "waits_for = 'to example.org'"));
        Assert.Null(job.Recipients[0].WaitsFor);
    }

    [Fact]
    public async Task A_cause_that_ends_while_a_job_is_being_put_off_does_not_keep_it_waiting()
    {
        using var queue = new QueueFixture();
        _ = queue.Scheduler;
        DeliveryJob job = await AcceptAndTakeAsync(queue);
        long decided = queue.Waiting.Stamp;

        await queue.Waiting.WakeWaitersAsync(Key);
        await PutOffAsync(queue, job, TimeSpan.FromHours(2), stamp: decided);

        Task<DeliveryJob> next = queue.TakeAsync();
        queue.Time.Advance(TimeSpan.FromSeconds(2));
        Assert.Equal(job.Message.Id, (await next).Message.Id);
    }

    [Fact]
    public async Task What_leaves_from_another_address_by_now_does_not_wait_for_the_old_one()
    {
        using var queue = new QueueFixture();
        _ = queue.Scheduler;
        OfferedAndTaken taken = await OfferAsync(queue);
        queue.Egress = new EgressChoice(new EgressAddress(IPAddress.Parse("192.0.2.12"), "two.acme.test"), null, "relay.example.net", "by-hand");
        Assert.Equal(1, (await queue.NewAdministration().OrderAsync(QueueOrder.Rebind, QueueSelection.Of(taken.Id))).Count);

        await PutOffAsync(queue, taken.Job, TimeSpan.FromHours(2));

        Assert.Equal(1, await queue.Count("recipient", $"waits_for is null and next_attempt = {queue.Time.GetUtcNow().ToUnixTimeMilliseconds()}"));
        Task<DeliveryJob> next = queue.TakeAsync();
        queue.Time.Advance(TimeSpan.FromSeconds(2));
        Assert.Equal(queue.Egress.IPv4, (await next).Message.Egress.IPv4);
    }

    [Fact]
    public async Task Held_mail_stays_held_when_its_cause_ends()
    {
        using var queue = new QueueFixture();
        _ = queue.Scheduler;
        OfferedAndTaken taken = await OfferAsync(queue);
        await PutOffAsync(queue, taken.Job, TimeSpan.FromHours(2));
        await queue.NewAdministration().HoldAsync(QueueSelection.Of(taken.Id), false, null, default);

        await queue.Waiting.WakeWaitersAsync(Key);

        Assert.Equal(1, await queue.Count("recipient", "next_attempt is null"));
    }

    [Fact]
    public async Task Mail_that_was_deleted_while_it_was_being_put_off_stays_gone()
    {
        using var queue = new QueueFixture();
        _ = queue.Scheduler;
        OfferedAndTaken taken = await OfferAsync(queue);
        await queue.NewAdministration().DeleteAsync(QueueSelection.Of(taken.Id), false, null, default);

        await PutOffAsync(queue, taken.Job, TimeSpan.FromHours(2));

        Assert.Equal(0, await queue.Count("recipient"));
    }

    private static async Task<DeliveryJob> AcceptAndTakeAsync(QueueFixture queue) => (await OfferAsync(queue)).Job;

    private static async Task<OfferedAndTaken> OfferAsync(QueueFixture queue)
    {
        QueueId id = (await queue.AcceptAsync(queue.Account())).Id;
        return new OfferedAndTaken(id, await queue.TakeAsync());
    }

    private static async Task PutOffAsync(QueueFixture queue, DeliveryJob job, TimeSpan wait, WaitKey? key = null, long? stamp = null)
    {
        DateTimeOffset until = queue.Time.GetUtcNow() + wait;
        await queue.Waiting.PutOffAsync(job, new PutOff(key ?? Key, until, "4.7.1", "The address is paused", WaitCause.Paused), until, null, stamp ?? queue.Waiting.Stamp).WaitAsync(TimeSpan.FromSeconds(20));
        queue.Scheduler.Complete(job);
    }

    private sealed record OfferedAndTaken(QueueId Id, DeliveryJob Job);
}
