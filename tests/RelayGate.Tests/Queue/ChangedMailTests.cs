using System.Net;
using RelayGate.Core.Dsn;
using RelayGate.Core.Policy;
using RelayGate.Queue;
using RelayGate.Tests.Storage;

namespace RelayGate.Tests.Queue;

/// <summary>Messages that orders change while some of their recipients are in attempts and others wait.</summary>
public sealed class ChangedMailTests : IDisposable
{
    private readonly QueueFixture _queue = new();

    [Fact]
    public async Task What_is_rebound_goes_on_from_the_new_address_although_another_destination_of_it_is_stuck()
    {
        DeliveryJob stuck = await StuckBesideDeferredAsync();
        _queue.Egress = new EgressChoice(new EgressAddress(IPAddress.Parse("192.0.2.12"), "two.acme.test"), null, "relay.example.net", "by-hand");
        Assert.Equal(1, (await OrderAsync(QueueOrder.Rebind)).Count);

        DeliveryJob other = await TakeWithinSecondsAsync();

        Assert.Equal(("b.test", _queue.Egress.IPv4), (other.Recipients[0].ForwardPath.Address.DomainText, other.Message.Egress.IPv4));
        await _queue.EndAsync(other, DeliveryResult.Deferred);
        _queue.Time.Advance(TimeSpan.FromMinutes(6));
        await _queue.EndAsync(await TakeWithinSecondsAsync(), DeliveryResult.Delivered);
        await _queue.EndAsync(stuck, DeliveryResult.Delivered);
        Assert.Equal(1, await _queue.Count("decision", "outcome = 5"));
    }

    [Fact]
    public async Task A_job_that_waits_in_memory_is_read_again_when_it_is_rebound()
    {
        _queue.LaneBound = 1;
        await _queue.AcceptAsync(_queue.Account(), "one@a.test");
        DeliveryJob first = await _queue.TakeAsync();
        await _queue.AcceptAsync(_queue.Account(), "two@a.test"); // Ready, and the lane is full.
        _queue.Egress = new EgressChoice(new EgressAddress(IPAddress.Parse("192.0.2.12"), "two.acme.test"), null, "relay.example.net", "by-hand");
        Assert.Equal(2, (await OrderAsync(QueueOrder.Rebind)).Count);
        Assert.True(first.TryBegin()); // It goes on as it began.

        await _queue.EndAsync(first, DeliveryResult.Delivered);

        Assert.Equal(_queue.Egress.IPv4, (await TakeWithinSecondsAsync()).Message.Egress.IPv4);
    }

    [Fact]
    public async Task What_could_not_be_returned_because_a_part_of_it_is_in_an_attempt_goes_on_as_before()
    {
        DeliveryJob stuck = await StuckBesideDeferredAsync();
        Assert.Equal((0, 1), ((await OrderAsync(QueueOrder.Bounce)) is var bounced ? (bounced.Count, bounced.InFlight) : default));
        _queue.Time.Advance(TimeSpan.FromMinutes(5));

        DeliveryJob other = await TakeWithinSecondsAsync();
        QueueOrderResult again = await OrderAsync(QueueOrder.Bounce);

        Assert.Equal((0, 1), (again.Count, again.InFlight));
        Assert.True(other.TryBegin());
        await _queue.EndAsync(other, DeliveryResult.Delivered);
        await _queue.EndAsync(stuck, DeliveryResult.Delivered);
        Assert.Equal(1, await _queue.Count("decision", "outcome = 5"));
    }

    [Fact]
    public async Task What_changes_between_being_read_and_being_leased_costs_the_other_recipients_neither_time_nor_what_they_wait_for()
    {
        bool isArmed = false;
        _queue.Lanes = new DestinationLanes(
            (_, recipient) =>
            {
                // Asked with the row itself: it has been read, and is about to be leased.
                if (recipient.NextAttempt != default && Interlocked.Exchange(ref isArmed, false))
                    _queue.Writer.WriteAsync(connection => SqliteRelayStoreTests.Execute(connection, "update recipient set next_attempt = next_attempt + 3600000 where position = 0")).Wait();
                return recipient.ForwardPath.Address.DomainText;
            },
            _ => 100);
        _ = _queue.Scheduler;
        await _queue.AcceptAsync(_queue.Account(), "one@a.test", "two@a.test");
        DeliveryJob job = await _queue.TakeAsync();
        DateTimeOffset until = _queue.Time.GetUtcNow().AddMinutes(1);
        await _queue.Waiting.PutOffAsync(job, new PutOff(WaitKey.To("a.test"), until, "4.7.1", "Suspended", WaitCause.ByHand), until, null, _queue.Waiting.Stamp);
        _queue.Scheduler.Complete(job);

        Volatile.Write(ref isArmed, true);
        _queue.Time.Advance(TimeSpan.FromMinutes(1));
        DeliveryJob next = await TakeWithinSecondsAsync();

        Assert.False(Volatile.Read(ref isArmed));
        Assert.Equal((1, "to a.test"), (Assert.Single(next.Recipients).Index, next.Recipients[0].WaitsFor));
    }

    public void Dispose() => _queue.Dispose();

    /// <summary>A message to two destinations: in an attempt at the first, which is returned, and deferred at the second.</summary>
    private async Task<DeliveryJob> StuckBesideDeferredAsync()
    {
        _ = _queue.Scheduler;
        await _queue.AcceptAsync(_queue.Account(), "one@a.test", "two@b.test");
        DeliveryJob one = await _queue.TakeAsync();
        DeliveryJob two = await _queue.TakeAsync();
        (DeliveryJob stuck, DeliveryJob other) = one.Recipients[0].Index == 0 ? (one, two) : (two, one);
        Assert.True(stuck.TryBegin());
        Assert.True(other.TryBegin());
        await _queue.EndAsync(other, DeliveryResult.Deferred);
        return stuck;
    }

    private Task<QueueOrderResult> OrderAsync(QueueOrder order) => _queue.NewAdministration().OrderAsync(order, QueueSelection.OfSubscription("acme"));

    /// <summary>The next job, while the clock moves on for some seconds.</summary>
    private async Task<DeliveryJob> TakeWithinSecondsAsync()
    {
        Task<DeliveryJob> next = _queue.TakeAsync();
        for (int i = 0; i < 10 && !next.IsCompleted; i++)
        {
            _queue.Time.Advance(TimeSpan.FromSeconds(1));
            for (int look = 0; look < 20 && !next.IsCompleted; look++)
                await Task.WhenAny(next, Task.Delay(10));
        }
        Assert.True(next.IsCompleted);
        return await next;
    }
}
