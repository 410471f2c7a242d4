using System.Text;
using RelayGate.Core.Mail;
using RelayGate.Queue;
using RelayGate.Tests.Storage;

namespace RelayGate.Tests.Queue;

public sealed class QueueSchedulerTests : IDisposable
{
    private readonly QueueFixture _queue = new();

    [Fact]
    public async Task A_new_message_is_handed_out_from_memory_and_leaves_no_rows_when_delivered()
    {
        _ = _queue.Scheduler;
        OfferedMessage message = await _queue.AcceptAsync(_queue.Account());

        DeliveryJob job = await _queue.TakeAsync();
        Assert.Equal(message.Id, job.Message.Id);
        Assert.Equal("A body.\r\n", Encoding.ASCII.GetString(job.Message.Body.Memory.Span));
        await _queue.EndAsync(job, DeliveryResult.Delivered);

        Assert.Equal(0, await _queue.Count("message"));
        Assert.Equal(0, await _queue.Count("recipient"));
        Assert.Equal(1, await _queue.Count("attempt"));
        Assert.Equal(1, await _queue.Count("decision", "outcome = 5"));
    }

    [Fact]
    public async Task A_deferred_message_comes_back_from_the_store_when_it_is_due()
    {
        _ = _queue.Scheduler;
        OfferedMessage message = await _queue.AcceptAsync(_queue.Account());
        await _queue.EndAsync(await _queue.TakeAsync(), DeliveryResult.Deferred, TimeSpan.FromMinutes(5));

        Task<DeliveryJob> next = _queue.TakeAsync();
        _queue.Time.Advance(TimeSpan.FromMinutes(4));
        Assert.False(next.IsCompleted);
        DeliveryJob job = await AdvanceUntil(next);

        Assert.Equal(message.Id, job.Message.Id);
        Assert.Equal(1, job.Recipients[0].Attempts);
        Assert.Equal("451 4.7.1 Greylisted", job.Recipients[0].LastReply);
        Assert.Equal("A body.\r\n", Encoding.ASCII.GetString(job.Message.Body.Memory.Span));
        Assert.Equal("env+1", job.Message.EnvelopeId);
        Assert.Equal("192.0.2.11", job.Message.Egress.IPv4!.Address.ToString());
        Assert.Equal("mail.acme.test", job.Message.Egress.IPv4.Helo);
        Assert.Equal(message.Envelope.ReversePath, job.Message.ReversePath);
        await _queue.EndAsync(job, DeliveryResult.Delivered);
        Assert.Equal(0, await _queue.Count("message"));
    }

    [Fact]
    public async Task After_a_restart_the_queue_goes_on()
    {
        OfferedMessage[] messages = [await _queue.AcceptAsync(_queue.Account()), await _queue.AcceptAsync(_queue.Account("beta"))];
        _queue.Reopen();
        _queue.Time.Advance(TimeSpan.FromMinutes(2));

        DeliveryJob[] jobs = [await AdvanceUntil(_queue.TakeAsync()), await AdvanceUntil(_queue.TakeAsync())];

        Assert.Equal(messages.Select(m => m.Id).Order(), jobs.Select(j => j.Message.Id).Order());
    }

    [Fact]
    public async Task After_a_restart_what_was_never_tried_goes_on_at_once_and_what_was_waits_for_its_time()
    {
        _ = _queue.Scheduler;
        await _queue.Count("message"); // The first look is over.
        await _queue.AcceptAsync(_queue.Account("tried"));
        await _queue.EndAsync(await _queue.TakeAsync(), DeliveryResult.Deferred, TimeSpan.FromMinutes(3));
        _queue.Time.Advance(TimeSpan.FromMinutes(2));
        OfferedMessage cutOff = await _queue.AcceptAsync(_queue.Account("cut-off"));
        Assert.Equal(cutOff.Id, (await _queue.TakeAsync()).Message.Id);
        OfferedMessage waiting = await _queue.AcceptAsync(_queue.Account("waiting"));
        _queue.Reopen();
        _queue.Time.Advance(TimeSpan.FromSeconds(10));

        QueueId[] jobs = [(await _queue.TakeAsync()).Message.Id, (await _queue.TakeAsync()).Message.Id];
        Assert.Equal(new[] { cutOff.Id, waiting.Id }.Order(), jobs.Order());
        Task<DeliveryJob> tried = _queue.TakeAsync();
        Assert.False(tried.IsCompleted);
        Assert.Equal("tried", (await AdvanceUntil(tried)).Message.Subscription);
    }

    [Fact]
    public async Task A_gateway_that_crashes_again_and_again_tries_the_same_mail_once_in_a_while()
    {
        OfferedMessage message = await _queue.AcceptAsync(_queue.Account());
        _queue.Reopen();
        Assert.Equal(message.Id, (await _queue.TakeAsync()).Message.Id); // At once.
        _queue.Reopen();

        Task<DeliveryJob> again = _queue.TakeAsync();
        for (int i = 0; i < 50; i++)
        {
            _queue.Time.Advance(TimeSpan.FromSeconds(1));
            await _queue.Count("message");
        }
        Assert.False(again.IsCompleted);
        Assert.Equal(message.Id, (await AdvanceUntil(again)).Message.Id);
    }

    [Fact]
    public async Task What_is_in_flight_is_not_picked_again_even_when_its_row_is_due()
    {
        _ = _queue.Scheduler;
        await _queue.AcceptAsync(_queue.Account());
        DeliveryJob job = await _queue.TakeAsync();

        Task<DeliveryJob> second = _queue.TakeAsync();
        for (int i = 0; i < 10; i++)
        {
            _queue.Time.Advance(TimeSpan.FromMinutes(1));
            await _queue.Count("recipient");
        }
        Assert.False(second.IsCompleted);

        _queue.Scheduler.Complete(job); // Not recorded: as after a fault, the row is due.
        Assert.Equal(job.Message.Id, (await AdvanceUntil(second)).Message.Id);
    }

    [Fact]
    public async Task Recipients_are_grouped_by_destination_and_each_group_ends_on_its_own()
    {
        _ = _queue.Scheduler;
        await _queue.AcceptAsync(_queue.Account(), "a@one.test", "b@two.test", "c@one.test");

        DeliveryJob[] jobs = [await _queue.TakeAsync(), await _queue.TakeAsync()]; // In either order: the first look into the store may find it as well.
        DeliveryJob one = jobs.Single(static job => job.Recipients.Length == 2);
        DeliveryJob two = jobs.Single(static job => job.Recipients.Length == 1);
        Assert.Equal(["a@one.test", "c@one.test"], one.Recipients.Select(r => r.ForwardPath.Text));
        Assert.Equal(["b@two.test"], two.Recipients.Select(r => r.ForwardPath.Text));

        await _queue.EndAsync(two, DeliveryResult.Failed);
        Assert.Equal(1, await _queue.Count("message"));
        Assert.Equal(1, await _queue.Count("decision", "outcome = 3"));
        await _queue.EndAsync(one, DeliveryResult.Delivered);
        Assert.Equal(1, await _queue.Count("message", "expires_at is not null")); // The content of what failed is kept.
        Assert.Equal(1, await _queue.Count("decision", "outcome = 7"));
    }

    [Fact]
    public async Task A_destination_that_is_stuck_holds_up_no_other()
    {
        _queue.LaneBound = 2;
        _ = _queue.Scheduler;
        for (int i = 0; i < 10; i++)
            await _queue.AcceptAsync(_queue.Account(), "x@stuck.test");
        await _queue.TakeAsync();
        DeliveryJob stuck = await _queue.TakeAsync();

        Task<DeliveryJob> next = _queue.TakeAsync();
        await _queue.AcceptAsync(_queue.Account(), "y@free.test");
        Assert.Equal("y@free.test", (await next).Recipients[0].ForwardPath.Text);

        next = _queue.TakeAsync();
        await _queue.EndAsync(stuck, DeliveryResult.Delivered); // A slot is free: the next of the lane goes.
        Assert.Equal("x@stuck.test", (await next).Recipients[0].ForwardPath.Text);
    }

    [Fact]
    public async Task A_single_message_does_not_wait_behind_the_many_of_another_subscription()
    {
        _ = _queue.Scheduler;
        for (int i = 0; i < 50; i++)
            await _queue.AcceptAsync(_queue.Account("bulk"));
        await _queue.AcceptAsync(_queue.Account("small"));

        string[] order = [(await _queue.TakeAsync()).Message.Subscription, (await _queue.TakeAsync()).Message.Subscription, (await _queue.TakeAsync()).Message.Subscription];

        Assert.Contains("small", order);
    }

    [Fact]
    public async Task What_does_not_fit_into_memory_is_read_from_the_store_in_order()
    {
        _queue.WindowOctets = 20_000;
        _ = _queue.Scheduler;
        var ids = new List<QueueId>();
        for (int i = 0; i < 60; i++)
            ids.Add((await _queue.AcceptAsync(_queue.Account())).Id);

        var taken = new List<QueueId>();
        for (int i = 0; i < 60; i++)
        {
            DeliveryJob job = await _queue.TakeAsync();
            taken.Add(job.Message.Id);
            await _queue.EndAsync(job, DeliveryResult.Delivered);
        }

        Assert.Equal(ids, taken);
        Assert.Equal(0, await _queue.Count("message"));
    }

    [Fact]
    public async Task Flows_that_wait_for_memory_go_on_when_the_mail_of_the_first_has_gone()
    {
        _queue.WindowOctets = 4000; // One message.
        _ = _queue.Scheduler;
        await _queue.AcceptAsync(_queue.Account("first"));
        await _queue.AcceptAsync(_queue.Account("gone"));
        await _queue.AcceptAsync(_queue.Account("also-gone"));
        await _queue.AcceptAsync(_queue.Account("last"));
        await _queue.Writer.WriteAsync(c =>
            SqliteRelayStoreTests.Execute(c, "delete from recipient where subscription like '%gone'") + SqliteRelayStoreTests.Execute(c, "delete from message where subscription like '%gone'"));

        Assert.Equal("first", (await _queue.TakeAsync()).Message.Subscription);
        Assert.Equal("last", (await _queue.TakeAsync()).Message.Subscription);
    }

    [Fact]
    public async Task Mail_of_a_suspended_subscription_is_passed_over_and_goes_on_at_resume()
    {
        _ = _queue.Scheduler;
        _queue.Suspended.Add("acme");
        await _queue.AcceptAsync(_queue.Account());
        await _queue.AcceptAsync(_queue.Account("beta"));
        Assert.Equal("beta", (await _queue.TakeAsync()).Message.Subscription);

        Task<DeliveryJob> next = _queue.TakeAsync();
        _queue.Time.Advance(TimeSpan.FromMinutes(3));
        await _queue.Count("message");
        Assert.False(next.IsCompleted);
        _queue.Suspended.Remove("acme");
        await _queue.Writer.WriteAsync(_ => 0); // What a look has held so far is in the store, as it is when the writer makes a change seen.
        using HoldReleaser releaser = _queue.NewReleaser();
        using SuspendedMail resumed = _queue.NewSuspendedMail(releaser);

        Assert.Equal("acme", (await next).Message.Subscription);
    }

    [Fact]
    public async Task A_dsn_is_queued_in_the_commit_that_caused_it()
    {
        _ = _queue.Scheduler;
        OfferedMessage message = await _queue.AcceptAsync(_queue.Account());
        DeliveryJob job = await _queue.TakeAsync();
        var dsn = new PreparedDsn(_queue.NewId(), new ForwardPath(message.Envelope.ReversePath.Address!), "Subject: failed\r\n\r\n"u8.ToArray(), "It failed.\r\n"u8.ToArray(), false, false);

        await _queue.EndAsync(job, DeliveryResult.Failed, dsn: dsn);

        DeliveryJob notification = await _queue.TakeAsync();
        Assert.Equal(dsn.Id, notification.Message.Id);
        Assert.True(notification.Message.IsDsn);
        Assert.True(notification.Message.ReversePath.IsNull);
        Assert.Equal("192.0.2.11", notification.Message.Egress.IPv4!.Address.ToString());
        Assert.Equal(1, await _queue.Count("decision", "kind = 3"));
        Assert.Equal(1, await _queue.Count("usage_hour", "level = 2 and messages = 1")); // Not counted.
    }

    [Fact]
    public async Task A_backlog_of_many_thousands_costs_no_memory_and_does_not_hold_up_the_single_message_of_another()
    {
        await BacklogAsync("bulk", 30_000);
        await BacklogAsync("small", 1);
        _queue.Time.Advance(TimeSpan.FromHours(1));

        // Both are read from the store side by side, so some of the backlog may go first: what one read more brings, not thousands.
        var order = new List<string>();
        while (order.Count < 1000 && !order.Contains("small"))
        {
            DeliveryJob job = await AdvanceUntil(_queue.TakeAsync());
            order.Add(job.Message.Subscription);
            await _queue.EndAsync(job, DeliveryResult.Delivered);
        }

        Assert.Contains("small", order);
        Assert.True(_queue.Scheduler.MemoryOctets < 4 * 1024 * 1024, $"{_queue.Scheduler.MemoryOctets} octets of messages in memory");
    }

    [Theory]
    [InlineData("spam@acme.test")]
    [InlineData("acme.test")]
    public async Task A_backlog_of_a_suspended_sender_holds_up_nobody_of_its_own_subscription(string suspended)
    {
        await BacklogAsync("acme", 30_000, "spam@acme.test");
        await BacklogAsync("acme", 1, "good@other.test");
        _queue.SuspendedSenders.Add(suspended);
        _queue.Time.Advance(TimeSpan.FromHours(1));

        DeliveryJob good = await AdvanceUntil(_queue.TakeAsync());
        Assert.Equal("good@other.test", good.Message.CountedAt);
        await _queue.EndAsync(good, DeliveryResult.Delivered);
        Task<DeliveryJob> next = _queue.TakeAsync();
        for (int i = 0; i < 3; i++)
        {
            _queue.Time.Advance(TimeSpan.FromMinutes(5));
            await _queue.Count("message");
        }
        Assert.False(next.IsCompleted);
        Assert.Equal(0, _queue.Scheduler.MemoryOctets);

        _queue.SuspendedSenders.Clear();
        await _queue.Writer.WriteAsync(_ => 0);
        using HoldReleaser releaser = _queue.NewReleaser();
        using SuspendedMail resumed = _queue.NewSuspendedMail(releaser);
        Assert.Equal("spam@acme.test", (await AdvanceUntil(next)).Message.CountedAt);
    }

    [Fact]
    public async Task Mail_of_a_suspended_mailbox_that_waits_in_memory_is_not_handed_out()
    {
        _ = _queue.Scheduler;
        _queue.SuspendedSenders.Add("info@acme.test");
        await _queue.AcceptAsync(_queue.Account());
        await _queue.AcceptAsync(_queue.Account("beta"));

        Assert.Equal("beta", (await _queue.TakeAsync()).Message.Subscription);
        Assert.False(_queue.TakeAsync().IsCompleted);
        Assert.Equal(1, _queue.Scheduler.InFlight);
    }

    [Fact]
    public async Task A_message_held_while_it_waits_in_memory_is_not_handed_out_until_it_is_released()
    {
        _ = _queue.Scheduler;
        OfferedMessage message = await _queue.AcceptAsync(_queue.Account());
        QueueAdministration orders = _queue.NewAdministration();
        await orders.HoldAsync(QueueSelection.Of(message.Id), dryRun: false, null, default);

        Task<DeliveryJob> next = _queue.TakeAsync();
        for (int i = 0; i < 5; i++)
        {
            _queue.Time.Advance(TimeSpan.FromMinutes(5));
            await _queue.Count("message");
        }
        Assert.False(next.IsCompleted);

        await orders.ReleaseAsync(QueueSelection.Of(message.Id), dryRun: false, null, default);
        Assert.Equal(message.Id, (await AdvanceUntil(next)).Message.Id);
    }

    public void Dispose() => _queue.Dispose();

    private Task<int> BacklogAsync(string subscription, int messages, string? countedAt = null) => _queue.Writer.WriteAsync(connection =>
    {
        string insert = $"""
            with recursive n(i) as (select 1 union all select i + 1 from n where i < {messages}), base(s) as (select coalesce(max(seq), 0) from message)
            insert into message (seq, id, subscription, reverse_path, flags, dsn_return, envelope_id, egress, octets, held, expires_at, header, body) select s + i, unhex(printf('0190%028x', s + i)), '{subscription}', 'info@acme.test', 0, 0, null, 'server-address' || char(9) || 'system' || char(9) || 'relay' || char(9, 9, 9, 9),
              20, 0, null, cast('Subject: x' || char(13, 10, 13, 10) as blob), zeroblob(6) from n, base
            """;
        string recipients = $"""
            insert into recipient (message, position, subscription, counted_at, address, notify, original_recipient, state, attempts, next_attempt, last_reply, waits_for, delay_noticed)
            select seq, 0, subscription, {(countedAt is null ? "null" : $"'{countedAt}'")}, 'bob@example.org', 0, null, 0, 1, {_queue.Time.GetUtcNow().ToUnixTimeMilliseconds()}, null, null, 0
            from message where subscription = '{subscription}' and seq not in (select message from recipient)
            """;
        return SqliteRelayStoreTests.Execute(connection, insert) + SqliteRelayStoreTests.Execute(connection, recipients);
    });

    /// <summary>Advances the clock a second at a time until the scheduler has found what is due; as long as <see cref="QueueFixture.TakeAsync"/> has patience.</summary>
    private async Task<DeliveryJob> AdvanceUntil(Task<DeliveryJob> taking)
    {
        while (!taking.IsCompleted)
        {
            _queue.Time.Advance(TimeSpan.FromSeconds(1));
            await _queue.Count("message"); // Gives the looks into the store their turn.
        }
        return await taking;
    }
}
