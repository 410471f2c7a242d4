using RelayGate.Core.Mail;
using RelayGate.Queue;

namespace RelayGate.Tests.Queue;

/// <summary>The messages in memory are bounded, however many subscriptions and destinations there are, and nobody is left out for it.</summary>
public sealed class SchedulerMemoryTests : IDisposable
{
    private const int Body = 6_000;
    private const int Cost = Body + 2048 + 100; // And its header.

    private readonly QueueFixture _queue = new() { WindowOctets = 50 * Cost };

    public void Dispose() => _queue.Dispose();

    [Fact]
    public async Task A_thousand_subscriptions_with_mail_for_one_destination_stay_within_the_memory()
    {
        for (int i = 0; i < 1000; i++)
            await _queue.DueAsync($"sub{i}", 8, static _ => "a@dest.test", Body);
        _ = _queue.Scheduler;

        await SettleAsync();

        Assert.InRange(_queue.Scheduler.MemoryOctets, 10 * Cost, _queue.WindowOctets + 2 * Cost);
        Assert.Equal(8000, await DeliverAllAsync(8000));
    }

    [Fact]
    public async Task Many_destinations_that_nobody_serves_stay_within_the_memory_and_none_is_left_out()
    {
        _queue.Lanes = new DestinationLanes(static (_, r) => r.ForwardPath.Address.DomainText, static _ => 100) { IsEarned = static _ => true, MaxUnserved = 20 };
        for (int i = 0; i < 50; i++)
            await _queue.DueAsync($"sub{i}", 60, n => $"a@dest{n}.test", Body);
        _ = _queue.Scheduler;

        await SettleAsync();

        Assert.InRange(_queue.Scheduler.MemoryOctets, 10 * Cost, _queue.WindowOctets + 2 * Cost);
        Assert.Equal(3000, await DeliverAllAsync(3000));
    }

    /// <summary>Those that are stuck, or may be, have a share of the memory between them as they have of the connections.</summary>
    [Fact]
    public async Task Destinations_of_which_nothing_is_known_leave_memory_to_those_that_serve()
    {
        _queue.Lanes = new DestinationLanes(static (_, r) => r.ForwardPath.Address.DomainText, static _ => 100)
        {
            IsEarned = static key => key != "good.test",
            MaxUnserved = 1000,
        };
        for (int i = 0; i < 500; i++)
            await _queue.DueAsync($"sub{i}", 4, n => $"a@dead{i % 100 + n}.test", Body);
        _ = _queue.Scheduler;
        await SettleAsync();

        await _queue.AcceptAsync(_queue.Account("sub0"), "a@good.test");

        Assert.Equal("good.test", await TakeUntilAsync("good.test", atMost: 60));
    }

    /// <summary>What it waits for is used by jobs that take long; that others have given back more than these have is enough.</summary>
    [Theory]
    [InlineData("single", "new.test")] // Another's, to a destination of which nothing is known.
    [InlineData("slow", "good3.test")] // Of whose jobs take long, to a destination that serves.
    public async Task Mail_that_waits_for_memory_goes_on_when_others_give_theirs_back(string subscription, string domain)
    {
        _queue.Lanes = new DestinationLanes(static (_, r) => r.ForwardPath.Address.DomainText, static _ => 100)
        {
            IsEarned = static key => !key.StartsWith("good", StringComparison.Ordinal),
            MaxUnserved = 1000,
        };
        _ = _queue.Scheduler;
        for (int i = 0; i < 15; i++)
            await OfferAsync("slow", $"a{i}@dead{i % 5}.test");
        for (int i = 0; i < 15; i++)
            await _queue.TakeAsync(); // In flight, and they take long.
        for (int i = 0; i < 17; i++)
            await OfferAsync("burst1", $"a{i}@good1.test");
        for (int i = 0; i < 8; i++)
            await OfferAsync("burst2", $"a{i}@good2.test");
        Assert.InRange(_queue.WindowOctets - _queue.Scheduler.MemoryOctets, 5 * Cost, 14 * Cost);

        await OfferAsync(subscription, $"b@{domain}");

        var gone = new List<string>();
        while (gone.Count < 26) // The burst goes.
        {
            DeliveryJob job = await _queue.TakeAsync();
            gone.Add(job.Recipients[0].ForwardPath.Address.DomainText);
            await _queue.EndAsync(job, DeliveryResult.Delivered);
        }
        Assert.Contains(domain, gone);
    }

    /// <summary>An outage: memory is full of what was thought to serve, and then does not.</summary>
    [Fact]
    public async Task Destinations_that_turn_out_to_be_stuck_give_memory_back()
    {
        _queue.Lanes = new DestinationLanes(static (_, r) => r.ForwardPath.Address.DomainText, static _ => 100) { IsEarned = static _ => true, MaxUnserved = 10 };
        _queue.WindowOctets = 300 * Cost;
        _ = _queue.Scheduler;
        for (int i = 0; i < 40; i++)
        {
            for (int n = 0; n < 20; n++)
                await OfferAsync($"sub{i}", $"a{n}@dead{i}.test");
        }
        for (int i = 0; i < 400; i++)
        {
            DeliveryJob job = await _queue.TakeAsync();
            await _queue.Writer.CompleteAsync(job, _queue.Attempt(job, DeliveryResult.Deferred, TimeSpan.FromHours(1)), null);
            _queue.Scheduler.Complete(job, JobEnd.Unserved);
            Assert.InRange(_queue.Scheduler.MemoryOctets, 0, _queue.WindowOctets + 2 * Cost);
            if (i % 50 == 49)
                _queue.Time.Advance(TimeSpan.FromMinutes(2)); // What was dropped is found again.
        }

        await SettleAsync();
        Assert.InRange(_queue.Scheduler.MemoryOctets, 0, _queue.WindowOctets * 3 / 4);
    }

    private async Task<string> TakeUntilAsync(string domain, int atMost)
    {
        string last = "";
        for (int i = 0; i < atMost && last != domain; i++)
            last = (await _queue.TakeAsync()).Recipients[0].ForwardPath.Address.DomainText;
        return last;
    }

    /// <summary>Waits until nothing is read any more: memory stays as it is.</summary>
    private async Task SettleAsync()
    {
        (long loads, int quiet) = (-1, 0);
        for (int i = 0; i < 10_000 && quiet < 100; i++)
        {
            await _queue.Writer.WriteAsync(static _ => 0);
            await Task.Delay(1);
            quiet = loads == _queue.Scheduler.Loads && loads > 0 ? quiet + 1 : 0;
            loads = _queue.Scheduler.Loads;
        }
        Assert.Equal(100, quiet);
    }

    private async Task OfferAsync(string subscription, string recipient) =>
        Assert.Equal(OfferOutcome.Committed, (await _queue.OfferAsync(_queue.Message(_queue.Account(subscription), new string('x', Body), recipient))).Outcome);

    private async Task<int> DeliverAllAsync(int messages)
    {
        var seen = new HashSet<QueueId>();
        using var stop = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        Task clock = Task.Run(async () =>
        {
            while (!stop.IsCancellationRequested)
            {
                _queue.Time.Advance(TimeSpan.FromSeconds(2));
                await Task.Delay(10);
            }
        });
        Task[] workers = [.. Enumerable.Range(0, 20).Select(_ => Task.Run(async () =>
        {
            while (await _queue.Scheduler.TakeAsync(stop.Token) is { } job)
            {
                await _queue.Writer.CompleteAsync(job, _queue.Attempt(job, DeliveryResult.Delivered), null);
                _queue.Scheduler.Complete(job, JobEnd.Served);
                lock (seen)
                {
                    Assert.True(seen.Add(job.Message.Id)); // Once.
                    if (seen.Count == messages)
                        stop.Cancel();
                }
                Assert.InRange(_queue.Scheduler.MemoryOctets, 0, _queue.WindowOctets + 2 * Cost);
            }
        }))];
        await Task.WhenAll([.. workers, clock]).ContinueWith(static t => Assert.All(t.Exception?.InnerExceptions ?? [], static e => Assert.IsAssignableFrom<OperationCanceledException>(e)), TaskScheduler.Default);
        return seen.Count;
    }
}
