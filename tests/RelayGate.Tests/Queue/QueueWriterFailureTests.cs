using Microsoft.Data.Sqlite;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Queue;
using RelayGate.Tests.Storage;
using RelayGate.Tests.Submission;
using SQLitePCL;

namespace RelayGate.Tests.Queue;

/// <summary>Full disks and broken ones: nothing acknowledged is lost, nothing refused is kept, and it passes by itself.</summary>
public sealed class QueueWriterFailureTests : IDisposable
{
    private readonly QueueFixture _queue = new();

    [Fact]
    public async Task A_full_disk_refuses_messages_until_there_is_room_again()
    {
        SenderAccount account = _queue.Account();
        await FillAsync();

        OfferResult full = await _queue.OfferAsync(_queue.Message(account, new string('x', 200_000)));
        await SetPagesAsync(1_000_000);
        OfferResult room = await _queue.OfferAsync(_queue.Message(account, new string('x', 200_000)));

        Assert.Equal(OfferOutcome.StoreFull, full.Outcome);
        Assert.Equal(OfferOutcome.Committed, room.Outcome);
        Assert.Equal(1, await _queue.Count("message"));
        UsageView view = await _queue.Usage.SnapshotAsync([AccountKey.Server], default);
        Assert.Equal(1, view.Rings[0].Used(LimitUnit.Messages, LimitWindow.Hour, view.Now));
    }

    [Fact]
    public async Task Below_the_minimum_free_submission_stops_and_goes_on_by_itself()
    {
        _queue.FreeOctets = 0;
        _queue.Time.Advance(TimeSpan.FromSeconds(2));
        Assert.Equal(OfferOutcome.StoreFull, (await _queue.OfferAsync(_queue.Message(_queue.Account()))).Outcome);

        _queue.FreeOctets = long.MaxValue;
        _queue.Time.Advance(TimeSpan.FromSeconds(2));
        Assert.Equal(OfferOutcome.Committed, (await _queue.OfferAsync(_queue.Message(_queue.Account()))).Outcome);
    }

    [Fact]
    public async Task An_outcome_that_cannot_be_written_stops_deliveries_and_submission_until_it_is_durable()
    {
        _ = _queue.Scheduler;
        await _queue.AcceptAsync(_queue.Account());
        await _queue.AcceptAsync(_queue.Account());
        DeliveryJob job = await _queue.TakeAsync();
        await FillAsync();

        Task completion = _queue.Writer.CompleteAsync(job, LongAttempt(job), null);
        await SubmissionHost.UntilAsync(() => _queue.Writer.OutcomesWait);
        Task<DeliveryJob> next = _queue.TakeAsync();
        Assert.False(completion.IsCompleted);
        Assert.False(next.IsCompleted);
        Assert.Equal(OfferOutcome.StoreFull, (await _queue.OfferAsync(_queue.Message(_queue.Account()))).Outcome);

        await SetPagesAsync(1_000_000); // Its success lets the outcome be tried again at once.
        await completion.WaitAsync(TimeSpan.FromSeconds(20));
        _queue.Scheduler.Complete(job);
        await next;
        Assert.Equal(1, await _queue.Count("attempt"));
        Assert.Equal(OfferOutcome.Committed, (await _queue.OfferAsync(_queue.Message(_queue.Account()))).Outcome);
    }

    [Fact]
    public async Task Outcomes_that_wait_are_tried_again_with_time_alone()
    {
        _ = _queue.Scheduler;
        await _queue.AcceptAsync(_queue.Account());
        DeliveryJob job = await _queue.TakeAsync();
        await _queue.UntilTakenOverAsync();
        int failures = 3;
        _queue.Writer.CommitFault = (() =>
        {
            if (failures-- > 0)
                throw new SqliteException("disk full", raw.SQLITE_FULL);
        }, null);

        Task completion = _queue.Writer.CompleteAsync(job, _queue.Attempt(job, DeliveryResult.Delivered), null);
        for (int i = 0; i < 200 && !completion.IsCompleted; i++)
        {
            _queue.Time.Advance(TimeSpan.FromSeconds(1));
            await Task.WhenAny(completion, Task.Delay(20));
        }

        await completion.WaitAsync(TimeSpan.FromSeconds(20));
        Assert.Equal(0, await _queue.Count("message"));
    }

    [Fact]
    public async Task What_was_parked_stays_counted_when_the_next_batch_rolls_back()
    {
        await _queue.AcceptAsync(_queue.Account());
        _ = _queue.Scheduler;
        await _queue.AcceptAsync(_queue.Account());
        DeliveryJob job = await _queue.TakeAsync();
        await _queue.Writer.WriteAsync(db => SqliteRelayStoreTests.Execute(db, "create trigger no_attempt before insert on attempt begin select raise(abort, 'no'); end"));
        await Assert.ThrowsAnyAsync<Exception>(() => _queue.Writer.CompleteAsync(job, _queue.Attempt(job, DeliveryResult.Delivered), null));
        Assert.Equal(1, await _queue.Count("message", "held = 3"));

        _queue.Writer.CommitFault = (() => throw new SqliteException("disk full", raw.SQLITE_FULL), null);
        Assert.Equal(OfferOutcome.StoreFull, (await _queue.OfferAsync(_queue.Message(_queue.Account()))).Outcome);
        _queue.Writer.CommitFault = default;

        Assert.Equal(1, _queue.Usage.Holds.CountOf(HoldReason.Fault));
    }

    [Fact]
    public async Task After_broken_io_the_store_is_reopened_and_goes_on()
    {
        OfferedMessage before = await _queue.AcceptAsync(_queue.Account());
        bool reopened = false;
        _queue.Writer.Reopened += () => reopened = true;
        _queue.Writer.CommitFault = (() => throw new SqliteException("disk I/O error", raw.SQLITE_IOERR), null);
        Assert.Equal(OfferOutcome.StoreFailed, (await _queue.OfferAsync(_queue.Message(_queue.Account()))).Outcome);

        _queue.Writer.CommitFault = default;
        OfferedMessage after = await _queue.AcceptAsync(_queue.Account());

        Assert.True(reopened);
        Assert.Equal(2, await _queue.Count("message"));
        Assert.NotEqual(before.Id, after.Id);
        UsageView view = await _queue.Usage.SnapshotAsync([AccountKey.Server], default);
        Assert.Equal(2, view.Rings[0].Used(LimitUnit.Messages, LimitWindow.Hour, view.Now));
    }

    [Fact]
    public async Task A_message_answered_with_451_is_taken_back_even_if_its_commit_had_reached_the_disk()
    {
        _queue.Writer.CommitFault = (null, () => throw new SqliteException("disk I/O error", raw.SQLITE_IOERR));
        OfferedMessage lost = _queue.Message(_queue.Account(limit: "1/h"));
        Assert.Equal(OfferOutcome.StoreFailed, (await _queue.OfferAsync(lost)).Outcome);

        _queue.Writer.CommitFault = default;
        OfferedMessage kept = await _queue.AcceptAsync(_queue.Account(limit: "1/h"));

        Assert.Equal(1, await _queue.Count("message"));
        Assert.Equal(1, await _queue.Count("recipient"));
        Assert.Equal(Convert.ToHexString(kept.Id.ToBytes()), await _queue.Text("select hex(id) from decision"));
        Assert.Equal(5, await _queue.Count("usage_hour", "messages = 1 and recipients = 1"));
        UsageView view = await _queue.Usage.SnapshotAsync([AccountKey.Server], default);
        Assert.Equal(1, view.Rings[0].Used(LimitUnit.Messages, LimitWindow.Hour, view.Now));
    }

    [Fact]
    public async Task An_outcome_written_twice_after_an_uncertain_commit_queues_its_dsn_once()
    {
        _ = _queue.Scheduler;
        OfferedMessage message = await _queue.AcceptAsync(_queue.Account());
        DeliveryJob job = await _queue.TakeAsync();
        await _queue.UntilTakenOverAsync();
        int failures = 1;
        _queue.Writer.CommitFault = (null, () =>
        {
            if (failures-- > 0)
                throw new SqliteException("disk I/O error", raw.SQLITE_IOERR);
        }
        );
        var dsn = new PreparedDsn(
            _queue.NewId(), new ForwardPath(message.Envelope.ReversePath.Address!), "Subject: failed\r\n\r\n"u8.ToArray(), "It failed.\r\n"u8.ToArray(), false, false);

        Task<CompletionResult> completion = _queue.Writer.CompleteAsync(job, _queue.Attempt(job, DeliveryResult.Failed), dsn);
        await AdvanceUntilAsync(completion);

        Assert.Equal((true, true), ((await completion).IsWritten, (await completion).HasDsn));
        Assert.Equal(dsn.Id, (await _queue.TakeAsync()).Message.Id); // From memory: in the store it is not due yet.
        Assert.Equal(1, await _queue.Count("message", $"flags & {(int)MessageFlags.IsDsn} <> 0"));
        Assert.Equal(1, await _queue.Count("attempt"));
    }

    [Fact]
    public async Task What_was_returned_by_a_commit_whose_end_was_not_known_is_counted_and_told_once()
    {
        int told = 0;
        QueueId report = _queue.NewId();
        MessageEnder usual = _queue.Ender;
        _queue.Ender = new MessageEnder(
            async (message, status, text) => await usual.PlanAsync(message, status, text) with
            {
                Dsn = new PreparedDsn(report, new ForwardPath(message.ReversePath.Address!), "Subject: failed\r\n\r\n"u8.ToArray(), "It failed.\r\n"u8.ToArray(), false, false),
            },
            (_, done) => told += done.HasDsn ? 1 : 0);
        QueueAdministration administration = _queue.NewAdministration();
        await _queue.AcceptAsync(_queue.Account());
        DeliveryJob job = await _queue.TakeAsync();
        await _queue.UntilTakenOverAsync();
        int failures = 1;
        _queue.Writer.CommitFault = (null, () =>
        {
            if (failures-- > 0)
                throw new SqliteException("disk I/O error", raw.SQLITE_IOERR);
        }
        );

        Task<QueueOrderResult> bounce = administration.OrderAsync(QueueOrder.Bounce, QueueSelection.OfSubscription("acme"));
        await AdvanceUntilAsync(bounce);

        Assert.Equal((1, 0), ((await bounce).Count, (await bounce).Unchanged));
        Assert.Equal(1, told);
        Assert.Equal(1, await _queue.Count("message_order", "what = 'bounced'"));
        Assert.Equal(1, await _queue.Count("audit"));
        _queue.Scheduler.Complete(job);
        Assert.Equal(report, (await _queue.TakeAsync()).Message.Id);
    }

    [Fact]
    public async Task A_store_file_that_was_removed_is_noticed_before_mail_is_lost_in_it()
    {
        await _queue.AcceptAsync(_queue.Account());
        File.Delete(_queue.File);
        _queue.Time.Advance(TimeSpan.FromSeconds(2));

        Assert.Equal(OfferOutcome.StoreFailed, (await _queue.OfferAsync(_queue.Message(_queue.Account()))).Outcome);
    }

    [Fact]
    public async Task A_disk_that_cannot_be_asked_for_its_room_counts_as_full_and_ends_no_thread()
    {
        _queue.SpaceFault = new IOException("Stale file handle");
        _queue.Time.Advance(TimeSpan.FromSeconds(2));
        Assert.Equal(OfferOutcome.StoreFull, (await _queue.OfferAsync(_queue.Message(_queue.Account()))).Outcome);

        _queue.Writer.CommitFault = (() => throw new SqliteException("disk I/O error", raw.SQLITE_IOERR), null); // The writer asks as well.
        await Assert.ThrowsAsync<SqliteException>(() => _queue.Writer.WriteAsync(_ => 0).WaitAsync(TimeSpan.FromSeconds(10)));

        _queue.Writer.CommitFault = default;
        _queue.SpaceFault = null;
        _queue.Time.Advance(TimeSpan.FromSeconds(2));
        await _queue.AcceptAsync(_queue.Account());
    }

    [Fact]
    public async Task What_goes_wrong_after_the_commit_of_one_write_costs_no_other_its_answer()
    {
        _queue.Writer.Attach(_ => throw new InvalidOperationException("a bug"), _ => { });
        using var entered = new ManualResetEventSlim();
        using var leave = new ManualResetEventSlim();
        Task<bool> blocking = _queue.Writer.RunAsync(
            _ =>
            {
                entered.Set();
                return leave.Wait(TimeSpan.FromSeconds(10));
            },
            CancellationToken.None);
        entered.Wait(TimeSpan.FromSeconds(10));
        Task<OfferResult>[] offers = [.. Enumerable.Range(0, 3).Select(_ => _queue.OfferAsync(_queue.Message(_queue.Account())))]; // One batch.
        Task<int> other = _queue.Writer.WriteAsync(_ => 7);
        leave.Set();

        Assert.True(await blocking.WaitAsync(TimeSpan.FromSeconds(10)));
        Assert.All(await Task.WhenAll(offers).WaitAsync(TimeSpan.FromSeconds(10)), offer => Assert.Equal(OfferOutcome.Committed, offer.Outcome));
        Assert.Equal(7, await other.WaitAsync(TimeSpan.FromSeconds(10)));
        Assert.Equal(3, await _queue.Count("message"));
    }

    [Fact]
    public async Task A_bug_in_those_who_hear_of_outcomes_ends_no_thread()
    {
        _ = _queue.Scheduler;
        _queue.Writer.OutcomesWritten += () => throw new InvalidOperationException("a bug");
        await _queue.AcceptAsync(_queue.Account());
        DeliveryJob job = await _queue.TakeAsync();
        await _queue.UntilTakenOverAsync();
        int failures = 1;
        _queue.Writer.CommitFault = (() =>
        {
            if (failures-- > 0)
                throw new SqliteException("disk full", raw.SQLITE_FULL);
        }, null);

        Task completion = _queue.Writer.CompleteAsync(job, _queue.Attempt(job, DeliveryResult.Delivered), null);
        await SubmissionHost.UntilAsync(() => _queue.Writer.OutcomesWait);
        Assert.Equal(1, await _queue.Writer.WriteAsync(_ => 1)); // Its success lets the outcome be tried again at once.
        await completion.WaitAsync(TimeSpan.FromSeconds(10));
        await SubmissionHost.UntilAsync(() => !_queue.Writer.OutcomesWait); // Submission is open again once the last outcome has been told.

        await _queue.AcceptAsync(_queue.Account());
    }

    [Fact]
    public async Task A_message_deleted_while_it_was_in_flight_stays_deleted()
    {
        _ = _queue.Scheduler;
        await _queue.AcceptAsync(_queue.Account());
        DeliveryJob job = await _queue.TakeAsync();
        await _queue.Writer.WriteAsync(c => SqliteRelayStoreTests.Execute(c, "delete from recipient") + SqliteRelayStoreTests.Execute(c, "delete from message"));

        await _queue.EndAsync(job, DeliveryResult.Deferred);

        Assert.Equal(0, await _queue.Count("recipient"));
        Assert.Equal(1, await _queue.Count("attempt"));
    }

    public void Dispose() => _queue.Dispose();

    /// <summary>An attempt whose record needs pages of its own.</summary>
    private DeliveryAttempt LongAttempt(DeliveryJob job)
    {
        DeliveryAttempt attempt = _queue.Attempt(job, DeliveryResult.Deferred);
        return attempt with { Results = [attempt.Results[0] with { Reply = new string('x', 100_000) }] };
    }

    private async Task FillAsync()
    {
        long pages = await _queue.Store.ReadRawAsync(c => c.Scalar("PRAGMA page_count"), default);
        await SetPagesAsync(pages);
    }

    private Task<long> SetPagesAsync(long pages) => _queue.Writer.RunAsync(context => context.Connection.Scalar($"PRAGMA max_page_count={pages}"), default);

    private async Task AdvanceUntilAsync(Task task)
    {
        for (int i = 0; i < 200 && !task.IsCompleted; i++)
        {
            _queue.Time.Advance(TimeSpan.FromSeconds(1));
            await Task.WhenAny(task, Task.Delay(20));
        }
        await task.WaitAsync(TimeSpan.FromSeconds(20));
    }
}
