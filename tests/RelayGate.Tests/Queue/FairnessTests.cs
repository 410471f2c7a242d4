using System.Collections.Concurrent;
using System.Diagnostics;
using RelayGate.Core.Mail;
using RelayGate.Queue;
using RelayGate.Storage;

namespace RelayGate.Tests.Queue;

/// <summary>Nobody waits behind another's mass of mail, or behind a destination that is stuck.</summary>
public sealed class FairnessTests : IDisposable
{
    private readonly QueueFixture _queue = new();
    private readonly ConcurrentQueue<(QueueId Id, long At)> _singles = new();
    private long _lastSeq = 1_000_000_000; // Beyond what the writer counts.

    public void Dispose() => _queue.Dispose();

    /// <summary>The million of the requirement as a hundred thousand that are due; the time of a single message is looked at many times while they are worked off.</summary>
    [Fact]
    public async Task A_hundred_thousand_messages_of_one_subscription_delay_anothers_single_one_by_less_than_a_second()
    {
        await DueAsync("bulk", 100_000, i => $"a{i}@dest{i % 500}.test");
        _ = _queue.Scheduler;
        using var stop = new CancellationTokenSource();
        int done = 0;
        Task[] workers = [.. Enumerable.Range(0, 20).Select(_ => Task.Run(async () =>
        {
            while (await _queue.Scheduler.TakeAsync(stop.Token) is { } job)
            {
                if (job.Message.Subscription == "small")
                    _singles.Enqueue((job.Message.Id, Stopwatch.GetTimestamp()));
                await _queue.Writer.CompleteAsync(job, _queue.Attempt(job, DeliveryResult.Delivered), null);
                _queue.Scheduler.Complete(job);
                Interlocked.Increment(ref done);
            }
        }))];
        await Until(() => Volatile.Read(ref done) > 200); // The mass is being worked off.

        var waits = new List<TimeSpan>();
        for (int i = 0; i < 20; i++)
        {
            long accepted = Stopwatch.GetTimestamp();
            OfferedMessage single = await _queue.AcceptAsync(_queue.Account("small"), "one@dest7.test");
            (QueueId Id, long At) taken = default;
            await Until(() => _singles.TryDequeue(out taken));
            Assert.Equal(single.Id, taken.Id);
            waits.Add(Stopwatch.GetElapsedTime(accepted, taken.At));
        }
        await stop.CancelAsync();
        await Task.WhenAll(workers.Select(w => w.ContinueWith(static _ => { }, TaskScheduler.Default)));

        Assert.InRange(done, 200, 99_000); // They were not alone.
        Assert.True(waits.Order().ElementAt(waits.Count / 2) < TimeSpan.FromSeconds(1), $"Waits: {string.Join(' ', waits.Select(w => $"{w.TotalMilliseconds:0}"))} ms");
    }

    [Fact]
    public async Task One_that_becomes_due_in_the_store_is_found_beside_a_hundred_thousand_of_another()
    {
        await DueAsync("bulk", 100_000, i => $"a{i}@dest{i % 500}.test");
        await DueAsync("small", 1, _ => "one@dest7.test");
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
                await _queue.AcceptAsync(_queue.Account("bulk"), $"a{n}@stuck{i}.test");
        }
        var stuck = new List<DeliveryJob>();
        for (int i = 0; i < 20; i++) // Twice the bound: nothing is known of them yet.
            stuck.Add(await _queue.TakeAsync());
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
        await DueAsync("waiting", 100_000, i => $"a{i}@dest{i % 500}.test", TimeSpan.FromHours(2), "ip 192.0.2.11 google");
        _ = _queue.Scheduler;
        await _queue.AcceptAsync(_queue.Account("first"));
        await _queue.EndAsync(await _queue.TakeAsync(), DeliveryResult.Delivered);

        long started = Stopwatch.GetTimestamp();
        for (int i = 0; i < 20; i++)
        {
            await DueAsync($"sub{i}", 1, _ => "one@dest.test");
            _queue.Scheduler.Wake();
            await _queue.EndAsync(await AdvanceUntil(_queue.TakeAsync()), DeliveryResult.Delivered);
        }

        Assert.InRange(Stopwatch.GetElapsedTime(started), TimeSpan.Zero, TimeSpan.FromSeconds(20));
        Assert.Equal(100_000, await _queue.Count("recipient", "waits_for is not null"));
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

    /// <summary>Rows that are due, or will be, without their way through the writer.</summary>
    private Task<int> DueAsync(string subscription, int messages, Func<int, string> recipientOf, TimeSpan later = default, string? waitsFor = null) => _queue.Writer.RunAsync(
        context =>
        {
            long due = (_queue.Time.GetUtcNow() + later).ToUnixTimeMilliseconds();
            const string Message = """
                insert into message (seq, id, subscription, reverse_path, flags, dsn_return, egress, octets, held, header, body)
                values (?, ?, ?, 'info@acme.test', 0, 0, ?, 40, 0, cast('Subject: hi' || char(13, 10, 13, 10) as blob), cast('A body.' || char(13, 10) as blob))
                """;
            const string Recipient = """
                insert into recipient (message, position, subscription, address, notify, state, attempts, next_attempt, waits_for, delay_noticed)
                values (?, 0, ?, ?, 0, 0, 1, ?, ?, 0)
                """;
            for (int i = 0; i < messages; i++)
            {
                long seq = ++_lastSeq;
                context.Prepared(Message).Bind(1, seq).Bind(2, QueueId.Create(_queue.Time.GetUtcNow(), 0, (ulong)Random.Shared.NextInt64()).ToBytes())
                    .Bind(3, subscription).Bind(4, EgressText.Format(_queue.Egress)).Execute();
                context.Prepared(Recipient).Bind(1, seq).Bind(2, subscription).Bind(3, recipientOf(i)).Bind(4, due).Bind(5, waitsFor).Execute();
            }
            return messages;
        },
        CancellationToken.None);

    private async Task<DeliveryJob> AdvanceUntil(Task<DeliveryJob> job)
    {
        for (int i = 0; i < 2000 && !job.IsCompleted; i++)
        {
            _queue.Time.Advance(TimeSpan.FromSeconds(1));
            await Task.WhenAny(job, Task.Delay(5));
        }
        return await job.WaitAsync(TimeSpan.FromSeconds(10));
    }

    /// <summary>30 s at most.</summary>
    private static async Task Until(Func<bool> condition)
    {
        for (int i = 0; i < 6000; i++)
        {
            if (condition())
                return;
            await Task.Delay(5);
        }
        Assert.Fail("It did not come to pass");
    }
}
