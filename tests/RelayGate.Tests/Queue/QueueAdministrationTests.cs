using System.Text;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Queue;

namespace RelayGate.Tests.Queue;

public sealed class QueueAdministrationTests : IDisposable
{
    private readonly QueueFixture _queue = new();
    private readonly QueueAdministration _administration;

    public QueueAdministrationTests() => _administration = _queue.NewAdministration();

    [Fact]
    public async Task Held_messages_are_not_picked_until_they_are_released_and_then_at_once()
    {
        QueueId first = await AcceptAsync("acme");
        QueueId second = await AcceptAsync("acme");
        QueueId other = await AcceptAsync("globex");

        QueueOrderResult held = await _administration.HoldAsync(QueueSelection.OfSubscription("acme"), dryRun: false, null, default);
        _queue.Time.Advance(TimeSpan.FromMinutes(5));
        DeliveryJob job = await _queue.TakeAsync();
        Assert.Equal(other, job.Message.Id);
        using var nothing = new CancellationTokenSource();
        ValueTask<DeliveryJob?> wait = _queue.Scheduler.TakeAsync(nothing.Token);
        _queue.Time.Advance(TimeSpan.FromMinutes(5));
        await _queue.Writer.WriteAsync(_ => 0);
        Assert.False(wait.IsCompleted);

        QueueOrderResult released = await _administration.ReleaseAsync(QueueSelection.OfSubscription("acme"), dryRun: false, null, default);
        DeliveryJob next = (await wait.AsTask().WaitAsync(TimeSpan.FromSeconds(20)))!;

        Assert.Equal((2, 0, 0), (held.Count, held.Unchanged, held.InFlight));
        Assert.Equal(2, released.Count);
        Assert.Contains(next.Message.Id, new[] { first, second });
        Assert.Equal(2, await _queue.Count("decision", "outcome = 2 and subscription = 'acme'"));
    }

    [Fact]
    public async Task An_attempt_in_flight_ends_as_it_ends_and_does_not_undo_a_hold()
    {
        QueueId id = await AcceptAsync("acme");
        DeliveryJob job = await _queue.TakeAsync();
        Assert.True(job.TryBegin());

        QueueOrderResult held = await _administration.HoldAsync(QueueSelection.Of(id), dryRun: false, null, default);
        await _queue.EndAsync(job, DeliveryResult.Deferred);

        Assert.Equal((1, 1), (held.Count, held.InFlight));
        Assert.Equal(0, await _queue.Count("recipient", "next_attempt is not null"));
        Assert.Equal(1, await _queue.Count("decision", "outcome = 4"));
        await _administration.ReleaseAsync(QueueSelection.Of(id), dryRun: false, null, default);
        DeliveryJob again = await _queue.TakeAsync();
        Assert.Equal(1, Assert.Single(again.Recipients).Attempts);
    }

    [Fact]
    public async Task Delete_says_so_in_the_record_and_leaves_nothing_else_behind()
    {
        QueueId id = await AcceptAsync("acme");
        DeliveryJob job = await _queue.TakeAsync();
        Assert.True(job.TryBegin());

        QueueOrderResult deleted = await _administration.DeleteAsync(QueueSelection.Of(id), dryRun: false, null, default);
        await _queue.EndAsync(job, DeliveryResult.Failed);

        Assert.Equal((1, 1), (deleted.Count, deleted.InFlight));
        Assert.Equal(0, await _queue.Count("message"));
        Assert.Equal(0, await _queue.Count("recipient"));
        Assert.Equal(1, await _queue.Count("decision", "outcome = 8"));
        Assert.Equal(1, await _queue.Count("attempt"));
    }

    [Fact]
    public async Task Who_held_released_retried_or_deleted_a_message_stands_in_its_record_and_in_the_mail_log()
    {
        QueueId id = await AcceptAsync("acme");
        QueueId other = await AcceptAsync("acme");
        QueueSelection one = QueueSelection.Of(id);
        _queue.MailLog.Start();

        await _administration.HoldAsync(one, dryRun: true, null, default, "uid 7"); // Changes nothing.
        await _administration.HoldAsync(one, dryRun: false, null, default, "uid 0");
        await _administration.HoldAsync(one, dryRun: false, null, default, "uid 7"); // It is held already.
        await _administration.ReleaseAsync(one, dryRun: false, null, default, "uid 1001");
        _queue.Time.Advance(TimeSpan.FromSeconds(1));
        await _administration.RetryAsync(one, dryRun: false, null, default, "uid 0");
        await _administration.DeleteAsync(QueueSelection.OfSubscription("acme"), dryRun: false, null, default, "uid 1001");
        await _queue.MailLog.StopAsync();

        var log = new MessageLog(_queue.Store, _queue.Writer.Feed);
        MessageRecord record = (await log.ShowAsync(id, null, default))!;
        Assert.Equal([("held", "uid 0"), ("released", "uid 1001"), ("retried", "uid 0"), ("deleted", "uid 1001")], record.Orders.Select(static o => (o.What, o.By)));
        Assert.Equal(_queue.Time.GetUtcNow(), record.Orders[^1].At);
        Assert.Equal("deleted", Assert.Single((await log.ShowAsync(other, null, default))!.Orders).What);
        string[] lines = Encoding.UTF8.GetString(_queue.LogLines.ToArray()).Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(5, lines.Length);
        Assert.EndsWith($"mail: held ref={id} subscription=acme by=\"uid 0\"", lines[0], StringComparison.Ordinal);
        Assert.EndsWith($"mail: released ref={id} subscription=acme by=\"uid 1001\"", lines[1], StringComparison.Ordinal);
        Assert.EndsWith($"mail: retried ref={id} subscription=acme by=\"uid 0\"", lines[2], StringComparison.Ordinal);
        Assert.Contains(lines[3..], l => l.EndsWith($"mail: deleted ref={id} subscription=acme by=\"uid 1001\"", StringComparison.Ordinal));
        Assert.Contains(lines[3..], l => l.Contains($"deleted ref={other}", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Orders_kept_of_one_message_are_bounded_and_retries_push_no_other_out()
    {
        QueueSelection one = QueueSelection.Of(await AcceptAsync("acme"));

        for (int i = 0; i < OrderRows.MaxKept; i++)
            await _administration.RetryAsync(one, dryRun: false, null, default);
        Assert.Equal(1, await _queue.Count("message_order"));
        for (int i = 0; i < OrderRows.MaxKept; i++)
        {
            await _administration.HoldAsync(one, dryRun: false, null, default);
            await _administration.ReleaseAsync(one, dryRun: false, null, default);
        }

        Assert.Equal(OrderRows.MaxKept, await _queue.Count("message_order"));
    }

    [Fact]
    public async Task Delete_takes_held_ones_and_chunks_too()
    {
        OfferedMessage message = await AcceptChunkedAsync(3);
        QueueId second = await AcceptAsync("acme");
        await _administration.HoldAsync(QueueSelection.Of(second), dryRun: false, null, default);

        QueueOrderResult preview = await _administration.DeleteAsync(QueueSelection.OfSubscription("acme"), dryRun: true, null, default);
        Assert.Equal((2, true), (preview.Count, preview.DryRun));
        Assert.Equal(2, await _queue.Count("message"));
        QueueOrderResult deleted = await _administration.DeleteAsync(QueueSelection.OfSubscription("acme"), dryRun: false, null, default);

        Assert.Equal(2, deleted.Count);
        Assert.Equal(0, await _queue.Count("message"));
        Assert.Equal(0, await _queue.Count("chunk"));
        Assert.Equal(2, await _queue.Count("decision", "outcome = 8"));
        Assert.Equal(QueueOrderOutcome.NotFound, (await _administration.DeleteAsync(QueueSelection.Of(message.Id), dryRun: false, null, default)).Outcome);
    }

    [Theory]
    [InlineData("info@acme.test", 1)]
    [InlineData("acme.test", 1)]
    [InlineData("other@acme.test", 0)]
    [InlineData("cme.test", 0)]
    public async Task An_order_for_a_domain_or_mailbox_is_for_what_it_sent(string sender, int count)
    {
        await AcceptAsync("acme");
        await AcceptAsync("globex");

        QueueOrderResult held = await _administration.HoldAsync(QueueSelection.Where(new QueueFilter { CountedAt = sender }), dryRun: false, null, default);
        QueueOrderResult deleted = await _administration.DeleteAsync(QueueSelection.Where(new QueueFilter { CountedAt = sender }), dryRun: false, null, default);

        Assert.Equal((count, count), (held.Count, deleted.Count));
        Assert.Equal(2 - count, await _queue.Count("message"));
    }

    [Fact]
    public async Task Orders_for_many_go_in_small_writes_and_count_each_message_once()
    {
        string[] recipients = [.. Enumerable.Range(0, 7).Select(i => $"r{i}@example.org")];
        for (int i = 0; i < 150; i++) // 1,050 rows.
            await AcceptAsync("acme", recipients);

        QueueOrderResult preview = await _administration.HoldAsync(QueueSelection.OfSubscription("acme"), dryRun: true, null, default);
        QueueOrderResult held = await _administration.HoldAsync(QueueSelection.OfSubscription("acme"), dryRun: false, null, default);
        QueueOrderResult released = await _administration.ReleaseAsync(QueueSelection.All(), dryRun: false, null, default);

        Assert.Equal((150, 150, 150), (preview.Count, held.Count, released.Count));
        Assert.Equal(1, await _queue.Count("audit", "what = 'queue hold' and object = 'subscription acme' and subscription = 'acme' and after = '150 messages'"));
        Assert.Equal(1, await _queue.Count("audit", "what = 'queue release' and object = 'queue' and whom = 'the gateway' and after = '150 messages'"));
        Assert.Equal(2, await _queue.Count("audit"));
        Assert.Equal(1050, await _queue.Count("recipient", $"next_attempt = {_queue.Time.GetUtcNow().ToUnixTimeMilliseconds()}"));
    }

    [Fact]
    public async Task Retry_and_flush_make_what_is_deferred_due_now_and_leave_held_ones_alone()
    {
        QueueId deferred = await DeferAsync("acme", "bob@example.org");
        QueueId held = await DeferAsync("acme", "eve@example.net");
        QueueId other = await DeferAsync("globex", "bob@example.org");
        await _administration.HoldAsync(QueueSelection.Of(held), dryRun: false, null, default);

        QueueOrderResult retried = await _administration.RetryAsync(QueueSelection.Of(deferred, held), dryRun: false, null, default);
        DeliveryJob job = await _queue.TakeAsync();
        Assert.Equal((1, 1, 1, deferred), (retried.Count, retried.Unchanged, retried.UnchangedHeld, job.Message.Id));

        Assert.Equal(1, (await _administration.FlushAsync(dryRun: true, "globex", default)).Count);
        QueueOrderResult flushed = await _administration.FlushAsync(dryRun: false, null, default);
        Assert.Equal(other, (await _queue.TakeAsync()).Message.Id);
        Assert.InRange(flushed.Count, 1, 2); // The one in flight has the next attempt of its lease.
        Assert.Equal(1, await _queue.Count("message", "held <> 0"));
    }

    [Fact]
    public async Task A_retry_reaches_a_message_of_which_one_recipient_is_due_already()
    {
        await AcceptAsync("acme", "bob@example.org", "eve@example.org");
        DeliveryJob job = await _queue.TakeAsync();
        DeliveryAttempt attempt = _queue.Attempt(job, DeliveryResult.Deferred);
        attempt = attempt with { Results = [attempt.Results[0] with { NextAttempt = _queue.Time.GetUtcNow() }, attempt.Results[1]] };
        await _queue.Writer.CompleteAsync(job, attempt, null); // The scheduler does not hear that it ended, so that it is not picked again.

        Assert.Equal(1, (await _administration.RetryAsync(QueueSelection.OfSubscription("acme"), dryRun: true, null, default)).Count);
        Assert.Equal(1, (await _administration.RetryAsync(QueueSelection.OfSubscription("acme"), dryRun: false, null, default)).Count);
        Assert.Equal(2, await _queue.Count("recipient", $"next_attempt <= {_queue.Time.GetUtcNow().ToUnixTimeMilliseconds()}"));
    }

    [Fact]
    public async Task A_domain_narrows_an_order_to_messages_that_still_go_there()
    {
        QueueId there = await AcceptAsync("acme", "a@example.org", "b@Example.NET");
        await AcceptAsync("acme", "c@example.org");
        await AcceptAsync("acme", "d@notexample.net");

        QueueOrderResult held = await _administration.HoldAsync(QueueSelection.OfSubscription("acme", "example.net"), dryRun: false, null, default);

        Assert.Equal(1, held.Count);
        QueuePage page = (await _administration.ListAsync(new QueueQuery { Filter = new QueueFilter { State = QueueState.Held } }, null, default))!;
        Assert.Equal(there.ToString(), Assert.Single(page.Items).Ref);
    }

    [Fact]
    public async Task A_subscription_sees_and_orders_its_own_alone()
    {
        QueueId own = await AcceptAsync("acme");
        QueueId other = await AcceptAsync("globex");

        Assert.Equal([own.ToString()], (await _administration.ListAsync(new QueueQuery(), "acme", default))!.Items.Select(i => i.Ref));
        Assert.Empty((await _administration.ListAsync(new QueueQuery { Subscription = "globex" }, "acme", default))!.Items);
        Assert.Empty((await _administration.ListAsync(new QueueQuery { Id = other }, "acme", default))!.Items);
        Assert.Null(await _administration.ShowAsync(other, "acme", default));
        QueueOrderResult deleted = await _administration.DeleteAsync(QueueSelection.Of(own, other), dryRun: false, "acme", default);
        Assert.Equal((1, QueueOrderOutcome.Done), (deleted.Count, deleted.Outcome));
        Assert.Equal(other.ToString(), Assert.Single(deleted.NotFound));
        Assert.Equal(0, (await _administration.HoldAsync(QueueSelection.OfSubscription("globex"), dryRun: false, "acme", default)).Count);
        Assert.Equal(0, (await _administration.HoldAsync(QueueSelection.All(), dryRun: false, "acme", default)).Count);
        Assert.Equal(1, await _queue.Count("message", "held = 0"));
        Assert.Null(await _administration.ListAsync(new QueueQuery { Cursor = "w.0.1.0.globex" }, "acme", default));
    }

    [Theory]
    [InlineData(null)]
    [InlineData("acme")]
    public async Task Pages_hold_every_message_once_in_each_state(string? subscription)
    {
        var all = new List<string>();
        for (int i = 0; i < 12; i++)
            all.Add((await AcceptAsync("acme", $"a{i}@example.org", $"b{i}@example.org")).ToString());
        await _administration.HoldAsync(QueueSelection.Of([.. all.Take(5).Select(Parse)]), dryRun: false, null, default);

        Assert.Equal(all, await ListAsync(new QueueQuery { Subscription = subscription, Limit = 4 }));
        Assert.Equal(all.Take(5), await ListAsync(new QueueQuery { Subscription = subscription, Limit = 4, Filter = new QueueFilter { State = QueueState.Held } }));
        Assert.Equal(all.Skip(5), await ListAsync(new QueueQuery { Subscription = subscription, Limit = 3, Filter = new QueueFilter { State = QueueState.Active } }));
        Assert.Empty(await ListAsync(new QueueQuery { Subscription = subscription, Limit = 3, Filter = new QueueFilter { State = QueueState.Deferred } }));
    }

    [Fact]
    public async Task A_listed_message_tells_what_it_waits_for()
    {
        QueueId id = await DeferAsync("acme", "bob@example.org");

        QueueItem item = Assert.Single((await _administration.ListAsync(new QueueQuery(), null, default))!.Items);

        Assert.Equal((id.ToString(), QueueState.Deferred, "acme", "info@acme.test", 1, 1), (item.Ref, item.State, item.Subscription, item.Sender, item.RecipientCount, item.Attempts));
        Assert.Equal(("451 4.7.1 Greylisted", _queue.Time.GetUtcNow() + TimeSpan.FromMinutes(5)), (item.LastReply, item.NextAttempt!.Value));
    }

    [Fact]
    public async Task A_message_is_shown_with_its_content_cut_at_the_bound_also_from_chunks()
    {
        OfferedMessage message = await AcceptChunkedAsync(3);

        QueueEntry whole = (await _administration.ShowAsync(message.Id, "acme", default, maxBodyOctets: 10_000_000))!;
        QueueEntry cut = (await _administration.ShowAsync(message.Id, "acme", default, maxBodyOctets: MessageBody.ChunkOctets + 10))!;

        Assert.Equal(3 * MessageBody.ChunkOctets, whole.BodyOctets);
        Assert.Equal(whole.BodyOctets, whole.Body.Length);
        Assert.False(whole.BodyIsCut);
        Assert.Equal((MessageBody.ChunkOctets + 10, true), (cut.Body.Length, cut.BodyIsCut));
        Assert.EndsWith("AAABBBBBBBBBB", cut.Body, StringComparison.Ordinal);
        Assert.StartsWith("From: info@acme.test\r\n", cut.Header, StringComparison.Ordinal);
        Assert.Equal("192.0.2.11 (mail.acme.test), subscription-address", cut.Egress);
        Assert.Equal("bob@example.org", Assert.Single(cut.Recipients).Recipient);
    }

    [Fact]
    public async Task A_failed_message_is_shown_while_its_content_is_kept_but_is_no_longer_in_the_queue()
    {
        QueueId id = await AcceptAsync("acme");
        await _queue.EndAsync(await _queue.TakeAsync(), DeliveryResult.Failed);

        Assert.Empty((await _administration.ListAsync(new QueueQuery(), null, default))!.Items);
        QueueEntry entry = (await _administration.ShowAsync(id, null, default))!;
        Assert.Equal((QueueState.Failed, _queue.Time.GetUtcNow() + TimeSpan.FromDays(3)), (entry.State, entry.KeptUntil!.Value));
        QueueOrderResult retried = await _administration.RetryAsync(QueueSelection.Of(id), dryRun: false, null, default);
        Assert.Equal((0, 1), (retried.Count, retried.Unchanged));
        Assert.Equal(1, (await _administration.DeleteAsync(QueueSelection.Of(id), dryRun: false, null, default)).Count);
        Assert.Equal(1, await _queue.Count("decision", "outcome = 6")); // It did fail.
    }

    public void Dispose() => _queue.Dispose();

    private static QueueId Parse(string text) => QueueId.TryParse(text, out QueueId id) ? id : throw new FormatException(text);

    private async Task<QueueId> AcceptAsync(string subscription, params string[] recipients) =>
        (await _queue.AcceptAsync(_queue.Account(subscription), recipients)).Id;

    private async Task<QueueId> DeferAsync(string subscription, string recipient)
    {
        QueueId id = await AcceptAsync(subscription, recipient);
        await _queue.EndAsync(await _queue.TakeAsync(), DeliveryResult.Deferred);
        return id;
    }

    private async Task<OfferedMessage> AcceptChunkedAsync(int chunks)
    {
        OfferedMessage inline = _queue.Message(_queue.Account());
        inline.Body.Release();
        for (int i = 0; i < chunks; i++)
        {
            byte[] octets = Encoding.ASCII.GetBytes(new string((char)('A' + i), MessageBody.ChunkOctets));
            Assert.Equal(OfferOutcome.Committed, await _queue.Writer.WriteChunkAsync(inline.Id, i, octets, default));
        }
        OfferedMessage message = inline with { Body = MessageBody.InStore(chunks * MessageBody.ChunkOctets) };
        Assert.Equal(OfferOutcome.Committed, (await _queue.OfferAsync(message)).Outcome);
        return message;
    }

    [Fact]
    public async Task A_page_has_as_many_messages_as_the_command_line_may_ask_for()
    {
        for (int i = 0; i < 600; i++)
            await AcceptAsync("acme");

        Assert.Equal(600, (await _administration.ListAsync(new QueueQuery { Limit = 1000 }, null, default))!.Items.Length);
        Assert.Equal(600, (await new MessageLog(_queue.Store, _queue.Writer.Feed).ListAsync(new MessageQuery { Limit = 1000 }, null, default))!.Items.Length);
    }

    private async Task<List<string>> ListAsync(QueueQuery query)
    {
        var refs = new List<string>();
        QueuePage page;
        do
        {
            page = (await _administration.ListAsync(query, null, default))!;
            refs.AddRange(page.Items.Select(i => i.Ref));
            query = query with { Cursor = page.NextCursor };
        }
        while (page.NextCursor is not null);
        refs.Sort(StringComparer.Ordinal);
        return refs;
    }
}
