using System.Collections.Concurrent;
using System.Diagnostics;
using RelayGate.Core.Mail;
using RelayGate.Queue;
using RelayGate.Storage;
using RelayGate.Tests.Submission;

namespace RelayGate.Tests.Queue;

/// <summary>Nobody waits behind another's mass of mail, or behind a destination that is stuck.</summary>
public sealed class FairnessTests : IDisposable
{
    private readonly QueueFixture _queue = new();

    public void Dispose() => _queue.Dispose();

    /// <summary>The million of the requirement as a hundred thousand that are due; single messages are looked at many times while they are worked off.</summary>
    [Fact]
    public async Task A_hundred_thousand_messages_of_one_subscription_delay_anothers_single_one_by_less_than_a_second()
    {
        List<(TimeSpan Time, int Taken, long Loads)> waits = await SinglesBesideAsync(100_000, "A body.\r\n", 20);

        // In turn: what was taken before it is what others took while it was committed, at worst.
        Assert.All(waits, static wait => Assert.InRange(wait.Taken, 0, 1000));
        Assert.All(waits, static wait => Assert.InRange(wait.Time, TimeSpan.Zero, TimeSpan.FromSeconds(1)));
    }

    /// <summary>Too large for what is left of memory, it is read from the store: not behind the thousands of reads that the other one's destinations wait for.</summary>
    [Fact]
    public async Task A_single_message_that_must_be_read_is_read_before_the_thousands_of_another()
    {
        _queue.WindowOctets = 256 * 1024;

        List<(TimeSpan Time, int Taken, long Loads)> waits = await SinglesBesideAsync(30_000, new string('x', 200_000), 10);

        Assert.All(waits, static wait => Assert.InRange(wait.Loads, 0, 200));
    }

    /// <summary>One subscription has mail due for five thousand destinations, which is worked off; another's single messages come in one after the other.</summary>
    /// <returns>For each single message, from when it was offered until it was taken: the time, what was taken, and how many reads were begun.</returns>
    private async Task<List<(TimeSpan Time, int Taken, long Loads)>> SinglesBesideAsync(int due, string body, int singles)
    {
        await _queue.DueAsync("bulk", due, i => $"a{i}@dest{i % 5000}.test");
        _ = _queue.Scheduler;
        using var stop = new CancellationTokenSource();
        int taken = 0;
        int done = 0;
        var found = new ConcurrentQueue<(QueueId Id, long At, int Taken, long Loads)>();
        Task[] workers = [.. Enumerable.Range(0, 20).Select(_ => Task.Run(async () =>
        {
            while (await _queue.Scheduler.TakeAsync(stop.Token) is { } job)
            {
                int before = Interlocked.Increment(ref taken);
                if (job.Message.Subscription == "small")
                    found.Enqueue((job.Message.Id, Stopwatch.GetTimestamp(), before, _queue.Scheduler.Loads));
                await _queue.Writer.CompleteAsync(job, _queue.Attempt(job, DeliveryResult.Delivered), null);
                _queue.Scheduler.Complete(job);
                Interlocked.Increment(ref done);
            }
        }))];
        await SubmissionHost.UntilAsync(() => Volatile.Read(ref done) > 200); // The mass is being worked off.

        var waits = new List<(TimeSpan, int, long)>();
        for (int i = 0; i < singles; i++)
        {
            (long started, int takenBefore, long loadsBefore) = (Stopwatch.GetTimestamp(), Volatile.Read(ref taken), _queue.Scheduler.Loads);
            OfferedMessage single = _queue.Message(_queue.Account("small"), body, "one@dest7.test");
            Assert.Equal(OfferOutcome.Committed, (await _queue.OfferAsync(single)).Outcome);
            (QueueId Id, long At, int Taken, long Loads) end = default;
            await SubmissionHost.UntilAsync(() => found.TryDequeue(out end));
            Assert.Equal(single.Id, end.Id);
            waits.Add((Stopwatch.GetElapsedTime(started, end.At), end.Taken - takenBefore, end.Loads - loadsBefore));
        }
        Assert.InRange(Volatile.Read(ref done), 200, due - 1000); // They were not alone.
        await stop.CancelAsync();
        await Task.WhenAll(workers.Select(w => w.ContinueWith(static _ => { }, TaskScheduler.Default)));
        return waits;
    }

    [Fact]
    public async Task One_that_becomes_due_in_the_store_is_found_beside_a_hundred_thousand_of_another()
    {
        await _queue.DueAsync("bulk", 100_000, i => $"a{i}@dest{i % 500}.test");
        await _queue.DueAsync("small", 1, _ => "one@dest7.test");
        _ = _queue.Scheduler;

        var order = new List<string>();
        while (order.Count < 300 && !order.Contains("small"))
        {
            DeliveryJob job = await _queue.TakeAsync();
            order.Add(job.Message.Subscription);
            await _queue.EndAsync(job, DeliveryResult.Delivered);
        }

        Assert.Contains("small", order);
    }

    /// <summary>Stuck destinations are given few jobs each and a bound together, so that one that serves finds room at once, however many they are.</summary>
    [Fact]
    public async Task However_many_destinations_are_stuck_those_that_serve_go_on()
    {
        _queue.Lanes = Earned(maxUnserved: 10);
        _ = _queue.Scheduler;
        await _queue.AcceptAsync(_queue.Account("good"), "a@good.test");
        DeliveryJob first = await _queue.TakeAsync();
        await EndAsync(first, JobEnd.Served); // It serves.

        for (int i = 0; i < 60; i++)
        {
            for (int n = 0; n < 10; n++)
                await _queue.AcceptAsync(_queue.Account($"bulk{n % 5}"), $"a{n}@stuck{i}.test");
        }
        List<DeliveryJob> stuck = await TakeAllAsync();
        Assert.InRange(stuck.Count, 15, 20); // Twice the bound: nothing is known of them yet. A little is left to who has nothing there.
        Assert.InRange(stuck.GroupBy(j => j.Recipients[0].ForwardPath.Address.DomainText).Max(g => g.Count()), 1, DestinationLanes.FirstBound);
        Task<DeliveryJob> next = _queue.TakeAsync();
        Assert.False(next.IsCompleted);

        await _queue.AcceptAsync(_queue.Account("good"), "b@good.test");
        Assert.Equal("b@good.test", (await next.WaitAsync(TimeSpan.FromSeconds(10))).Recipients[0].ForwardPath.Text);

        // As they turn out to be stuck, those of which nothing is known yet take their turn.
        next = _queue.TakeAsync();
        await EndAsync(stuck[0], JobEnd.Unserved);
        Assert.StartsWith("a", (await next.WaitAsync(TimeSpan.FromSeconds(10))).Recipients[0].ForwardPath.Text);
    }

    /// <summary>A list of dead domains is not what another's first message to somewhere new waits for: not for room, and not in one line with all of them.</summary>
    [Fact]
    public async Task One_subscription_leaves_room_for_anothers_mail_to_destinations_nobody_knows()
    {
        _queue.Lanes = Earned(maxUnserved: 10);
        _ = _queue.Scheduler;
        for (int i = 0; i < 500; i++)
            await _queue.AcceptAsync(_queue.Account("bulk"), $"a@new{i}.test");
        List<DeliveryJob> bulk = await TakeAllAsync();
        Assert.Equal(11, bulk.Count); // Not a twelfth: then fewer would be free than it has.

        for (int i = 0; i < 30; i++)
            await _queue.AcceptAsync(_queue.Account("small"), $"b@other{i}.test");
        List<DeliveryJob> small = await TakeAllAsync();
        Assert.Equal(5, small.Count);
        for (int i = 0; i < 30; i++)
            await _queue.AcceptAsync(_queue.Account("third"), $"c@third{i}.test");
        List<DeliveryJob> third = await TakeAllAsync();
        Assert.Equal(["third", "third", "third"], third.Select(j => j.Message.Subscription)); // However little is left.

        // All of them turn out to be dead, and what is left begins in turn.
        List<DeliveryJob> running = [.. bulk, .. small, .. third];
        var begun = new List<string>();
        for (int i = 0; i < 40; i++)
        {
            await EndAsync(running[i], JobEnd.Unserved);
            foreach (DeliveryJob job in await TakeAllAsync())
            {
                begun.Add(job.Message.Subscription);
                running.Add(job);
            }
        }
        Assert.InRange(begun.Count, 36, 44);
        Assert.All(begun.CountBy(static s => s), static of => Assert.InRange(of.Value, 8, 20));
    }

    [Fact]
    public async Task A_destination_earns_its_concurrency_and_loses_it()
    {
        _queue.Lanes = Earned(maxUnserved: 100);
        _ = _queue.Scheduler;
        for (int i = 0; i < 300; i++)
            await _queue.AcceptAsync(_queue.Account($"sub{i % 50}"), $"a{i}@dest.test");
        List<DeliveryJob> jobs = await TakeAllAsync();
        Assert.Equal(DestinationLanes.FirstBound, jobs.Count);

        for (int round = 0; round < 3; round++)
        {
            foreach (DeliveryJob job in jobs)
                await EndAsync(job, JobEnd.Served);
            int before = jobs.Count;
            jobs = await TakeAllAsync();
            Assert.Equal(Math.Min(40, before * 2), jobs.Count);
        }
        foreach (DeliveryJob job in jobs)
            await EndAsync(job, JobEnd.Unserved);
        Assert.Equal(DestinationLanes.FirstBound, (await TakeAllAsync()).Count);
    }

    [Fact]
    public async Task One_subscription_leaves_slots_of_a_destination_to_the_others()
    {
        _queue.LaneBound = 10;
        _ = _queue.Scheduler;
        for (int i = 0; i < 30; i++)
            await _queue.AcceptAsync(_queue.Account("bulk"), $"a{i}@dest.test");
        Assert.Equal(6, (await TakeAllAsync()).Count); // Not a seventh: then fewer would be free than it has.

        await _queue.AcceptAsync(_queue.Account("small"), "one@dest.test");

        Assert.Equal("small", Assert.Single(await TakeAllAsync()).Message.Subscription);
    }

    /// <summary>A lane may get another name while a message is in flight, when a site is learned or a route is set.</summary>
    [Fact]
    public async Task A_recipient_in_flight_is_not_picked_again_when_its_lane_changes()
    {
        string site = "old";
        _queue.Lanes = new DestinationLanes((_, r) => $"{site} {r.ForwardPath.Address.DomainText[0]}", static _ => 100);
        _ = _queue.Scheduler;
        await _queue.AcceptAsync(_queue.Account(), "x@a.test", "y@b.test");
        DeliveryJob[] jobs = [await _queue.TakeAsync(), await _queue.TakeAsync()];
        Assert.Equal(2, jobs.SelectMany(j => j.Recipients).Select(r => r.Index).Distinct().Count());

        site = "new";
        Task<DeliveryJob> again = _queue.TakeAsync();
        for (int i = 0; i < 10; i++)
        {
            _queue.Time.Advance(TimeSpan.FromMinutes(1)); // Their rows are due, as after a crash.
            await _queue.Count("recipient");
            await Task.Yield();
        }
        Assert.False(again.IsCompleted);

        await _queue.EndAsync(jobs[0], DeliveryResult.Delivered);
        _queue.Scheduler.Complete(jobs[1]); // Not recorded.
        DeliveryJob second = await AdvanceUntil(again);
        Assert.Equal(jobs[1].Recipients.Select(r => r.ForwardPath), second.Recipients.Select(r => r.ForwardPath));
    }

    /// <summary>What is put off waits in the store: a hundred thousand of them cost a look into it nothing.</summary>
    [Fact]
    public async Task What_is_not_due_costs_a_look_nothing()
    {
        await _queue.DueAsync("waiting", 100_000, i => $"a{i}@dest{i % 500}.test", later: TimeSpan.FromHours(2), waitsFor: "ip 192.0.2.11 google");
        _ = _queue.Scheduler;
        await _queue.AcceptAsync(_queue.Account("first"));
        await _queue.EndAsync(await _queue.TakeAsync(), DeliveryResult.Delivered);

        long started = Stopwatch.GetTimestamp();
        for (int i = 0; i < 20; i++)
        {
            await _queue.DueAsync($"sub{i}", 1, _ => "one@dest.test");
            _queue.Scheduler.Wake();
            await _queue.EndAsync(await AdvanceUntil(_queue.TakeAsync()), DeliveryResult.Delivered);
        }

        Assert.InRange(Stopwatch.GetElapsedTime(started), TimeSpan.Zero, TimeSpan.FromSeconds(20));
        Assert.Equal(100_000, await _queue.Count("recipient", "waits_for is not null"));
    }

    /// <summary>What is known fills up; from then on a look reads on where the room ended, not all that is due.</summary>
    [Fact]
    public async Task A_look_reads_no_more_of_a_backlog_than_there_is_room_for_and_all_of_it_goes_in_the_end()
    {
        _queue.MaxKnownRows = 600;
        _queue.WindowOctets = 100_000;
        await _queue.DueAsync("bulk", 6000, i => $"a{i}@dest{i % 50}.test");
        _ = _queue.Scheduler;
        await SweepAsync(10);
        long before = _queue.Scheduler.RowsLookedAt;

        await SweepAsync(10);

        Assert.InRange(_queue.Scheduler.RowsLookedAt - before, 10, 11 * 256);
        for (int i = 0; i < 6000; i++)
            await _queue.EndAsync(await AdvanceUntil(_queue.TakeAsync()), DeliveryResult.Delivered);
        Assert.Equal(0, await _queue.Count("recipient"));
    }

    /// <summary>What waits for a stuck destination does not fill what is known of a subscription: its mail behind that is found.</summary>
    [Fact]
    public async Task A_backlog_for_stuck_destinations_does_not_hide_the_mail_behind_it()
    {
        _queue.MaxKnownRows = 600;
        _queue.Lanes = Earned(maxUnserved: 10);
        await _queue.DueAsync("bulk", 6000, i => $"a{i}@stuck{i % 3}.test");
        await _queue.DueAsync("bulk", 1, _ => "a@good.test");
        _ = _queue.Scheduler;

        var jobs = new List<DeliveryJob>();
        while (jobs.Count < 16 && jobs.All(static j => j.Recipients[0].ForwardPath.Text != "a@good.test"))
            jobs.Add(await AdvanceUntil(_queue.TakeAsync()));

        Assert.Contains(jobs, static j => j.Recipients[0].ForwardPath.Text == "a@good.test");
    }

    private async Task SweepAsync(int times)
    {
        for (int i = 0; i < times; i++)
        {
            long before = _queue.Scheduler.RowsLookedAt;
            _queue.Scheduler.Wake();
            await SubmissionHost.UntilAsync(() => _queue.Scheduler.RowsLookedAt > before);
        }
    }

    private static DestinationLanes Earned(int maxUnserved) =>
        new((_, r) => r.ForwardPath.Address.DomainText, static _ => 40) { IsEarned = static _ => true, MaxUnserved = maxUnserved };

    private async Task EndAsync(DeliveryJob job, JobEnd end)
    {
        await _queue.Writer.CompleteAsync(job, _queue.Attempt(job, end == JobEnd.Served ? DeliveryResult.Delivered : DeliveryResult.Deferred), null);
        _queue.Scheduler.Complete(job, end);
    }

    /// <summary>All that may start now.</summary>
    private async Task<List<DeliveryJob>> TakeAllAsync()
    {
        var jobs = new List<DeliveryJob>();
        while (true)
        {
            using var none = new CancellationTokenSource();
            Task<DeliveryJob?> next = _queue.Scheduler.TakeAsync(none.Token).AsTask();
            for (int i = 0; i < 20 && !next.IsCompleted; i++)
                await _queue.Count("message"); // Reads that are under way end.
            if (!next.IsCompleted)
            {
                await none.CancelAsync();
                await Assert.ThrowsAnyAsync<OperationCanceledException>(() => next);
                return jobs;
            }
            jobs.Add((await next)!);
        }
    }

    private async Task<DeliveryJob> AdvanceUntil(Task<DeliveryJob> job)
    {
        for (int i = 0; i < 2000 && !job.IsCompleted; i++)
        {
            _queue.Time.Advance(TimeSpan.FromSeconds(1));
            await Task.WhenAny(job, Task.Delay(5));
        }
        return await job.WaitAsync(TimeSpan.FromSeconds(10));
    }
}
