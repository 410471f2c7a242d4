using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Queue;
using RelayGate.Tests.Storage;

namespace RelayGate.Tests.Queue;

/// <summary>Orders for many messages, and what they do to those that are on their way.</summary>
public sealed class QueueOrderTests : IDisposable
{
    private readonly QueueFixture _queue = new();
    private readonly QueueAdministration _administration;

    public QueueOrderTests() => _administration = _queue.NewAdministration();

    [Fact]
    public async Task An_order_for_ten_thousand_is_stopped_between_two_steps_and_says_exactly_what_it_did()
    {
        await BacklogAsync(10_000, "acme");
        using var stop = new CancellationTokenSource();
        var steps = new List<QueueOrderProgress>();
        var request = new QueueOrderRequest(QueueOrder.Delete, QueueSelection.OfSubscription("acme")) { By = "uid 0 (root)" };

        QueueOrderResult stopped = await _administration.RunAsync(request, stop.Token, step =>
        {
            steps.Add(step);
            if (step.Count >= 3_000)
                stop.Cancel();
        });

        Assert.True(stopped.Interrupted);
        Assert.InRange(stopped.Count, 3_000, 3_500);
        Assert.Equal(10_000 - stopped.Count, await _queue.Count("message"));
        Assert.Equal(10_000 - stopped.Count, await _queue.Count("recipient"));
        Assert.All(steps.Zip(steps.Skip(1)), static pair => Assert.InRange(pair.Second.Count - pair.First.Count, 0, QueueAdministration.MaxRows));
        Assert.Equal(1, await _queue.Count("audit", $"what = 'queue delete' and whom = 'uid 0 (root)' and object = 'subscription acme' and after = '{stopped.Count} messages'"));

        QueueOrderResult rest = await _administration.RunAsync(request, CancellationToken.None);

        Assert.Equal((10_000 - stopped.Count, false), (rest.Count, rest.Interrupted));
        Assert.Equal(0, await _queue.Count("message"));
        Assert.Equal(2, await _queue.Count("audit"));
    }

    [Fact]
    public async Task A_stopped_order_that_bounces_has_told_the_sender_of_each_it_ended_and_of_no_other()
    {
        await BacklogAsync(300, "acme");
        using var stop = new CancellationTokenSource();
        _queue.Ender = Counting(out Func<int> told, 100, stop);

        QueueOrderResult stopped = await _queue.NewAdministration().RunAsync(
            new QueueOrderRequest(QueueOrder.Bounce, QueueSelection.OfSubscription("acme")) { Text = "The account was abused" }, stop.Token);

        Assert.True(stopped.Interrupted);
        Assert.InRange(stopped.Count, 100, 200);
        Assert.Equal(stopped.Count, told());
        Assert.Equal(stopped.Count, await _queue.Count("message", "expires_at is not null"));
        Assert.Equal(stopped.Count, await _queue.Count("recipient", "state = 2 and last_reply = 'The account was abused'"));
        Assert.Equal(300 - stopped.Count, await _queue.Count("recipient", "state = 0"));
        Assert.Equal(1, await _queue.Count("audit", $"what = 'queue bounce' and after = '{stopped.Count} messages: The account was abused'"));
    }

    [Fact]
    public async Task What_is_in_an_attempt_is_not_bounced_and_what_only_waits_for_one_is_and_never_begins()
    {
        QueueId begun = await AcceptAsync("acme");
        QueueId waiting = await AcceptAsync("acme");
        DeliveryJob first = await _queue.TakeAsync();
        DeliveryJob second = await _queue.TakeAsync();
        (DeliveryJob inFlight, DeliveryJob other) = first.Message.Id == begun ? (first, second) : (second, first);
        Assert.True(inFlight.TryBegin());

        QueueOrderResult bounced = await _administration.OrderAsync(QueueOrder.Bounce, QueueSelection.OfSubscription("acme"));

        Assert.Equal((1, 1, 1), (bounced.Count, bounced.Unchanged, bounced.InFlight));
        Assert.False(other.TryBegin());
        Assert.Equal(waiting, other.Message.Id);
        _queue.Scheduler.Complete(other);
        await _queue.EndAsync(inFlight, DeliveryResult.Delivered);
        Assert.Equal(1, await _queue.Count("decision", "outcome = 5"));
        Assert.Equal(1, await _queue.Count("decision", "outcome = 6"));
    }

    [Fact]
    public async Task A_message_that_is_deleted_while_its_job_waits_is_not_begun()
    {
        QueueId id = await AcceptAsync("acme");
        DeliveryJob job = await _queue.TakeAsync();

        await _administration.DeleteAsync(QueueSelection.Of(id), dryRun: false, null, default);

        Assert.False(job.TryBegin());
        Assert.False(job.For(job.Recipients).TryBegin());
    }

    [Fact]
    public async Task Orders_and_deliveries_at_once_leave_each_message_either_delivered_or_bounced_once()
    {
        for (int i = 0; i < 200; i++)
            await AcceptAsync("acme");
        int delivered = 0;
        using var end = new CancellationTokenSource();
        Task[] workers = [.. Enumerable.Range(0, 4).Select(_ => Task.Run(async () =>
        {
            try
            {
                while (await _queue.Scheduler.TakeAsync(end.Token) is { } job)
                {
                    await Task.Yield();
                    if (!job.TryBegin())
                    {
                        _queue.Scheduler.Complete(job);
                        continue;
                    }
                    Interlocked.Increment(ref delivered);
                    await _queue.EndAsync(job, DeliveryResult.Delivered);
                }
            }
            catch (OperationCanceledException)
            {
            }
        }))];

        int bounced = 0;
        for (int i = 0; i < 5; i++)
            bounced += (await _administration.OrderAsync(QueueOrder.Bounce, QueueSelection.OfSubscription("acme"))).Count;
        for (int i = 0; i < 1000 && await _queue.Count("recipient", "state = 0") > 0; i++)
            await Task.Delay(10);
        await end.CancelAsync();
        await Task.WhenAll(workers);

        Assert.Equal(200, delivered + bounced);
        Assert.Equal(delivered, await _queue.Count("decision", "outcome = 5"));
        Assert.Equal(bounced, await _queue.Count("decision", "outcome = 6"));
        Assert.Equal(bounced, await _queue.Count("message_order", "what = 'bounced'"));
    }

    [Fact]
    public async Task A_flush_makes_a_bounded_number_due_for_each_second_and_nothing_later_than_it_was()
    {
        await BacklogAsync(1_050, "acme", TimeSpan.FromHours(1));
        await BacklogAsync(10, "acme", TimeSpan.FromSeconds(1));
        long now = _queue.Time.GetUtcNow().ToUnixTimeMilliseconds();

        QueueOrderResult flushed = await _administration.FlushAsync(dryRun: false, null, default);

        Assert.Equal(1_060, flushed.Count);
        for (int second = 1; second <= 10; second++) // Of the first hundred some are taken up by now.
            Assert.InRange(await _queue.Count("recipient", $"next_attempt = {now + second * 1000}"), 1, QueueOrderRequest.FlushedInASecond + 10);
        Assert.Equal(0, await _queue.Count("recipient", $"next_attempt > {now + 10_000} and next_attempt <> {now + 60_000}"));
    }

    [Fact]
    public async Task What_failed_is_put_back_with_a_new_age_and_counts_no_second_time()
    {
        QueueId id = await AcceptAsync("acme", "bob@example.org", "eve@example.org");
        DeliveryJob job = await _queue.TakeAsync();
        DeliveryAttempt attempt = _queue.Attempt(job, DeliveryResult.Failed);
        await _queue.Writer.CompleteAsync(job, attempt with { Results = [attempt.Results[0] with { Result = DeliveryResult.Delivered }, attempt.Results[1]] }, null);
        _queue.Scheduler.Complete(job);
        long counted = await _queue.Count("usage_hour", "messages = 1 and recipients = 2");
        _queue.Time.Advance(TimeSpan.FromDays(2));

        QueueOrderResult preview = await _administration.OrderAsync(QueueOrder.Requeue, QueueSelection.OfSubscription("acme"), dryRun: true);
        QueueOrderResult back = await _administration.OrderAsync(QueueOrder.Requeue, QueueSelection.Of(id), by: "uid 0 (root)");

        Assert.Equal((1, 1), (preview.Count, back.Count));
        DeliveryJob again = await _queue.TakeAsync();
        Assert.Equal(("eve@example.org", 0), (Assert.Single(again.Recipients).ForwardPath.Text, again.Recipients[0].Attempts)); // Not again to whom it was delivered.
        Assert.Equal((id, _queue.Time.GetUtcNow(), "192.0.2.11"), (again.Message.Id, again.Message.AgedFrom, again.Message.Egress.IPv4!.Address.ToString()));
        await _queue.EndAsync(again, DeliveryResult.Delivered);
        Assert.Equal(0, await _queue.Count("message"));
        Assert.Equal(1, await _queue.Count("decision", "outcome = 5"));
        Assert.Equal(counted, await _queue.Count("usage_hour", "messages = 1 and recipients = 2"));
        Assert.Equal(0, await _queue.Count("usage_hour", "messages > 1"));
        Assert.Equal(1, await _queue.Count("message_order", "what = 'requeued' and whom = 'uid 0 (root)'"));
        Assert.Equal(1, await _queue.Count("audit", $"what = 'queue requeue' and object = 'message {id}'"));
    }

    [Fact]
    public async Task What_was_returned_before_it_had_counted_counts_when_it_is_put_back()
    {
        QueueId id = await AcceptAsync("acme");
        await _administration.HoldAsync(QueueSelection.Of(id), dryRun: false, null, default);
        await _queue.Writer.WriteAsync(static db => SqliteRelayStoreTests.Execute(db, "update message set flags = flags | 32")); // As what the policy holds.
        QueueSelection ofHeld = QueueSelection.Where(new QueueFilter { State = QueueState.Held });

        Assert.Equal(1, (await _administration.OrderAsync(QueueOrder.Bounce, ofHeld)).Count);
        Assert.Equal(1, await _queue.Count("usage_hour", "name = 'acme' and messages = 1"));
        Assert.Equal(1, (await _administration.OrderAsync(QueueOrder.Requeue, QueueSelection.OfSubscription("acme"))).Count);

        Assert.Equal(0, await _queue.Count("message", "flags & 32 <> 0"));
        Assert.Equal(1, await _queue.Count("usage_hour", "name = 'acme' and messages = 2"));
        Task<DeliveryJob> next = _queue.TakeAsync(); // What was in memory from before is dropped, and what is due is read.
        _queue.Time.Advance(TimeSpan.FromSeconds(2));
        Assert.Equal(id, (await next).Message.Id);
    }

    [Fact]
    public async Task A_customer_takes_away_its_own_mail_but_not_what_was_stopped_nor_what_another_of_its_name_left()
    {
        QueueId older = await AcceptAsync("acme");
        _queue.Time.Advance(TimeSpan.FromMinutes(1));
        DateTimeOffset since = _queue.Time.GetUtcNow();
        QueueId stopped = await AcceptAsync("acme");
        await AcceptAsync("acme");
        await AcceptAsync("globex");
        await _administration.HoldAsync(QueueSelection.Of(stopped), dryRun: false, null, default);
        var own = new QueueFilter { Since = since };

        QueueOrderResult deleted = await _administration.OrderAsync(QueueOrder.Delete, QueueSelection.Where(own), onlySubscription: "acme");
        QueueOrderResult named = await _administration.OrderAsync(QueueOrder.Delete, new QueueSelection([older], null, own), onlySubscription: "acme");

        Assert.Equal((1, 1), (deleted.Count, deleted.Unchanged));
        Assert.Equal(QueueOrderOutcome.NotFound, named.Outcome);
        Assert.Equal(3, await _queue.Count("message"));
    }

    public void Dispose() => _queue.Dispose();

    private async Task<QueueId> AcceptAsync(string subscription, params string[] recipients) =>
        (await _queue.AcceptAsync(_queue.Account(subscription), recipients)).Id;

    /// <summary>Deferred messages, put into the store alone.</summary>
    private Task<int> BacklogAsync(int messages, string subscription, TimeSpan dueIn = default) => _queue.Writer.WriteAsync(connection =>
    {
        long due = (_queue.Time.GetUtcNow() + (dueIn == default ? TimeSpan.FromHours(1) : dueIn)).ToUnixTimeMilliseconds();
        return SqliteRelayStoreTests.Execute(connection, $"""
            with recursive n(i) as (select 1 union all select i + 1 from n where i < {messages}), base(s) as (select coalesce(max(seq), 0) from message)
            insert into message (seq, id, subscription, reverse_path, flags, dsn_return, egress, octets, held, header, body)
            select s + i, unhex(printf('0190%028x', s + i)), '{subscription}', 'info@acme.test', 0, 0, 'server-address' || char(9) || 'system' || char(9) || 'relay' || char(9, 9, 9, 9),
              20, 0, cast('Subject: x' || char(13, 10, 13, 10) as blob), zeroblob(6) from n, base
            """)
            + SqliteRelayStoreTests.Execute(connection, $"""
            insert into recipient (message, position, subscription, address, notify, state, attempts, next_attempt, delay_noticed)
            select seq, 0, subscription, 'bob@example.org', 0, 0, 1, {due}, 0 from message where seq not in (select message from recipient)
            """);
    });

    /// <summary>Ends messages as usual, and stops an order when so many are durable.</summary>
    private MessageEnder Counting(out Func<int> told, int at, CancellationTokenSource stop)
    {
        int count = 0;
        told = () => Volatile.Read(ref count);
        MessageEnder usual = _queue.Ender;
        return usual with
        {
            Tell = (_, _) =>
            {
                if (Interlocked.Increment(ref count) == at)
                    stop.Cancel();
            },
        };
    }
}
