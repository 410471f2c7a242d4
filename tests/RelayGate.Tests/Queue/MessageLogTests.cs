using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Core.Smtp;
using RelayGate.Queue;

namespace RelayGate.Tests.Queue;

public sealed class MessageLogTests : IDisposable
{
    private readonly QueueFixture _queue = new();
    private readonly MessageLog _log;

    public MessageLogTests()
    {
        _log = new MessageLog(_queue.Store, _queue.Writer.Feed);
        _ = _queue.Scheduler;
    }

    [Fact]
    public async Task Pages_hold_everything_once_newest_first_also_while_more_is_offered()
    {
        var refs = new List<string>();
        for (int i = 0; i < 25; i++)
            refs.Add(await AcceptAsync());
        MessagePage page = await ListAsync(new MessageQuery { Limit = 10 });
        await AcceptAsync(); // Newer than the cursor: it moves nothing.
        var seen = page.Items.Select(i => i.Ref).ToList();
        while (page.NextCursor is { } cursor)
        {
            page = await ListAsync(new MessageQuery { Limit = 10, Cursor = cursor });
            seen.AddRange(page.Items.Select(i => i.Ref));
        }

        refs.Reverse();
        Assert.Equal(refs, seen);
    }

    [Fact]
    public async Task Each_filter_finds_its_records_and_no_other()
    {
        string bob = await AcceptAsync("acme", "bob@example.org", "eve@Second.test");
        _queue.Time.Advance(TimeSpan.FromMinutes(1));
        DateTimeOffset middle = _queue.Time.GetUtcNow();
        string carol = await AcceptAsync("globex", "carol@example.net");
        string refused = await RefuseAsync("acme", "dave@example.com");

        Assert.Equal([bob], await FindAsync(new() { Subscription = "acme", Verdict = Verdict.Accept }));
        Assert.Equal([refused, bob], await FindAsync(new() { Subscription = "acme" }));
        Assert.Equal([bob], await FindAsync(new() { Recipient = "EVE@second.test" }));
        Assert.Equal([bob], await FindAsync(new() { RecipientDomain = "second.test" }));
        Assert.Empty(await FindAsync(new() { RecipientDomain = "econd.test" }));
        Assert.Equal([carol], await FindAsync(new() { Sender = "info@globex.test" }));
        Assert.Equal([refused, bob], await FindAsync(new() { Sender = "@acme.test" }));
        Assert.Equal([refused], await FindAsync(new() { Outcome = RecordOutcome.Refused }));
        Assert.Equal([refused], await FindAsync(new() { Reason = Reasons.LimitReached }));
        Assert.Equal([carol], await FindAsync(new() { Identity = "login info@globex.test" }));
        Assert.Equal([carol], await FindAsync(new() { Identity = "info@globex.test" }));
        Assert.Equal([refused, carol], await FindAsync(new() { Since = middle }));
        Assert.Equal([bob], await FindAsync(new() { Until = middle.AddMilliseconds(-1) }));
        Assert.Null(await _log.ListAsync(new MessageQuery { Cursor = "nonsense" }, null, default));
    }

    [Fact]
    public async Task A_subscription_sees_its_own_and_nothing_else_whatever_it_asks_for()
    {
        string own = await AcceptAsync("acme");
        string other = await AcceptAsync("globex");
        Assert.True(QueueId.TryParse(other, out QueueId otherId));

        Assert.Equal([own], (await _log.ListAsync(new MessageQuery(), "acme", default))!.Items.Select(i => i.Ref));
        Assert.Empty((await _log.ListAsync(new MessageQuery { Subscription = "globex" }, "acme", default))!.Items);
        Assert.Null(await _log.ShowAsync(otherId, "acme", default));
        Assert.NotNull(await _log.ShowAsync(otherId, null, default));
    }

    [Fact]
    public async Task A_filter_without_an_index_looks_at_a_bounded_number_of_records_and_says_where_to_go_on()
    {
        string wanted = await AcceptAsync("acme", "needle@example.org");
        await InsertRecordsAsync(MessageLog.MaxScanned + 100);

        MessagePage first = await ListAsync(new MessageQuery { Recipient = "needle@example.org" });
        Assert.Empty(first.Items);
        MessagePage second = await ListAsync(new MessageQuery { Recipient = "needle@example.org", Cursor = first.NextCursor });
        Assert.Equal(wanted, Assert.Single(second.Items).Ref);
        Assert.Null(second.NextCursor);
    }

    [Fact]
    public async Task The_record_tells_who_what_why_and_what_became_of_it()
    {
        OfferedMessage offered = await _queue.AcceptAsync(_queue.Account("acme", "100/h"), "bob@example.org", "eve@example.org");
        DeliveryJob job = await _queue.TakeAsync();
        DeliveryAttempt attempt = _queue.Attempt(job, DeliveryResult.Deferred) with { Tls = "TLS 1.3 TLS_AES_256_GCM_SHA384" };
        attempt = attempt with { Results = [attempt.Results[0] with { Result = DeliveryResult.Delivered, Reply = "250 2.0.0 Ok", NextAttempt = null }, attempt.Results[1]] };
        await _queue.Writer.CompleteAsync(job, attempt, null);
        _queue.Scheduler.Complete(job);

        MessageRecord record = (await _log.ShowAsync(offered.Id, "acme", default))!;

        Assert.Equal((RecordOutcome.Deferred, Verdict.Accept, Reasons.Accepted), (record.Outcome, record.Verdict, record.Reason));
        Assert.Equal(("login info@acme.test", "acme", "basic", "local", "127.0.0.1"), (record.Identity, record.Subscription, record.Plan, record.Listener, record.Client));
        Assert.Equal(("info@acme.test", "info@acme.test", "hello", "<1@test>"), (record.Sender, record.ReversePath, record.Subject, record.MessageId));
        Assert.Equal(["server", "plan", "subscription", "domain", "mailbox"], record.Levels.Select(l => l.Level));
        Assert.Equal(("100/h", "own", 0L, 1L), (record.Levels[2].Limit, record.Levels[2].Origin, record.Levels[2].Used, record.Levels[2].After));
        Assert.Equal(new RecordedEgress("subscription-address", "192.0.2.11", null, "mail.acme.test"), record.Egress);
        Assert.Equal("+Received", Assert.Single(record.HeaderChanges));
        RecordedAttempt recorded = Assert.Single(record.Attempts);
        Assert.Equal(("end-of-data", "mx.example.org", "203.0.113.5:25", "192.0.2.11", 0.012), (recorded.Stage, recorded.NextHop, recorded.Remote, recorded.Local, recorded.Seconds));
        Assert.Equal(["delivered", "deferred"], recorded.Results.Select(r => r.Result));
        Assert.Equal([RecipientState.Delivered, RecipientState.Pending], record.States.Select(s => s.State));
        RecordedRecipient waiting = Assert.Single(record.Pending);
        Assert.Equal(("eve@example.org", 1, "451 4.7.1 Greylisted", _queue.Time.GetUtcNow() + TimeSpan.FromMinutes(5)),
            (waiting.Recipient, waiting.Attempts, waiting.LastReply, waiting.NextAttempt!.Value));
    }

    [Fact]
    public async Task When_the_message_has_left_the_queue_its_attempts_tell_where_each_recipient_stands()
    {
        OfferedMessage offered = await _queue.AcceptAsync(_queue.Account(), "bob@example.org", "eve@example.net");
        await _queue.EndAsync(await _queue.TakeAsync(), DeliveryResult.Delivered);
        await _queue.EndAsync(await _queue.TakeAsync(), DeliveryResult.Delivered);

        MessageRecord record = (await _log.ShowAsync(offered.Id, null, default))!;

        Assert.Equal(0, await _queue.Count("message"));
        Assert.Equal(RecordOutcome.Delivered, record.Outcome);
        Assert.Equal([("bob@example.org", RecipientState.Delivered, 1), ("eve@example.net", RecipientState.Delivered, 1)],
            record.States.Select(s => (s.Recipient, s.State!.Value, s.Attempts)));
        Assert.Empty(record.Pending);
    }

    [Fact]
    public async Task Following_the_log_misses_no_record_that_was_committed_long_after_its_ref_was_taken()
    {
        OfferedMessage slow = _queue.Message(_queue.Account()); // MAIL now, end of data much later.
        MessageNews start = (await _log.AfterAsync(null, new MessageQuery(), null, default))!;
        _queue.Time.Advance(TimeSpan.FromMinutes(3));
        string quick = await AcceptAsync();
        MessageNews first = (await _log.AfterAsync(start.Cursor, new MessageQuery(), null, default))!;
        await _queue.OfferAsync(slow);
        MessageNews second = (await _log.AfterAsync(first.Cursor, new MessageQuery(), null, default))!;

        Assert.Empty(start.Items);
        Assert.Equal([quick], first.Items.Select(i => i.Ref));
        Assert.Equal([slow.Id.ToString()], second.Items.Select(i => i.Ref));
        Assert.False(first.IsGap || second.IsGap);
        Assert.Empty((await _log.AfterAsync(second.Cursor, new MessageQuery(), null, default))!.Items);
    }

    [Fact]
    public async Task Following_the_log_tells_of_outcomes_and_of_a_gap_after_a_restart()
    {
        string start = _queue.Writer.Feed.End;
        string accepted = await AcceptAsync("acme");
        await AcceptAsync("globex");
        await _queue.EndAsync(await _queue.TakeAsync(), DeliveryResult.Delivered);

        MessageNews news = (await _log.AfterAsync(start, new MessageQuery(), "acme", default))!;
        MessageItem item = Assert.Single(news.Items);
        Assert.Equal((accepted, RecordOutcome.Delivered), (item.Ref, item.Outcome));
        Assert.True((await _log.AfterAsync("0000beef-7", new MessageQuery(), null, default))!.IsGap);
        Assert.Null(await _log.AfterAsync("x", new MessageQuery(), null, default));
    }

    [Fact]
    public void Who_falls_behind_the_feed_is_told_so()
    {
        var feed = new RecordFeed();
        string start = feed.End;
        for (int i = 0; i < RecordFeed.Capacity + 5; i++)
            feed.Add(QueueId.Create(_queue.Time.GetUtcNow(), (ushort)(i >> 8), (ulong)i));

        Assert.True(feed.TryRead(start, 10, out List<QueueId> ids, out string next, out bool isGap));
        Assert.True(isGap);
        Assert.Equal(10, ids.Count);
        Assert.True(feed.TryRead(next, 10, out ids, out _, out isGap));
        Assert.False(isGap);
        Assert.Equal(10, ids.Count);
    }

    [Fact]
    public async Task The_log_is_read_by_index_alone()
    {
        Assert.Contains("SEARCH decision USING PRIMARY KEY (id>? AND id<?)", await PlanAsync("select * from decision where id < x'ff' and id >= x'00' order by id desc"));
        Assert.Contains("SEARCH decision USING INDEX decision_subscription (subscription=? AND id>? AND id<?)",
            await PlanAsync("select * from decision where id < x'ff' and id >= x'00' and subscription = 'acme' order by id desc"));
        Assert.DoesNotContain("TEMP B-TREE", await PlanAsync(QueueCursor.SelectWaiting));
        Assert.Contains("INDEX recipient_due (subscription=?", await PlanAsync(QueueCursor.SelectWaiting));
        Assert.Contains("INDEX message_held", await PlanAsync(QueueCursor.SelectHeld));
        Assert.Contains("INDEX message_held", await PlanAsync(QueueCursor.SelectAllHeld));
        Assert.DoesNotContain("TEMP B-TREE", await PlanAsync(QueueCursor.SelectAllHeld));
    }

    public void Dispose() => _queue.Dispose();

    private async Task<string> AcceptAsync(string subscription = "acme", params string[] recipients) =>
        (await _queue.AcceptAsync(_queue.Account(subscription), recipients)).Id.ToString();

    private async Task<string> RefuseAsync(string subscription, string recipient)
    {
        OfferedMessage message = _queue.Message(_queue.Account(subscription), recipient);
        message.Body.Release();
        QueueId id = _queue.Writer.RecordRefusal(new RefusedOffer
        {
            Id = message.Id,
            ReceivedAt = message.ReceivedAt,
            Source = message.Source,
            Account = message.Account,
            Identity = message.Account.Identity,
            Envelope = message.Envelope,
            Decision = message.Early with { Verdict = Verdict.Defer, Reason = Reasons.LimitReached, Reply = SmtpReply.Parse("451 4.7.1 Limit reached") },
            Stage = "MAIL",
        });
        await _queue.Writer.WriteAsync(_ => 0); // What was put in before is committed.
        return id.ToString();
    }

    private async Task<MessagePage> ListAsync(MessageQuery query) => (await _log.ListAsync(query, null, default))!;

    private async Task<string[]> FindAsync(MessageQuery query) => [.. (await ListAsync(query)).Items.Select(i => i.Ref)];

    private Task<bool> InsertRecordsAsync(int count) => _queue.Writer.RunAsync(
        context =>
        {
            using var insert = new RelayGate.Storage.SqliteStatement(context.Connection.Connection.Handle!, """
                insert into decision values (?, 2, 2, 5, 'accepted', 'acme', 'login info@acme.test', 'info@acme.test', 'bob@example.org', 100, 1, 1, '{"reply":"250 Ok"}', '{}', null, null)
                """);
            for (int i = 0; i < count; i++)
                insert.Bind(1, QueueId.Create(_queue.Time.GetUtcNow().AddSeconds(1), 0, (ulong)i).ToBytes()).Execute();
            return true;
        },
        default);

    private Task<string> PlanAsync(string sql) => _queue.Store.ReadRawAsync(
        connection =>
        {
            using var statement = new RelayGate.Storage.SqliteStatement(connection.Connection.Handle!, "explain query plan " + sql);
            var plan = new System.Text.StringBuilder();
            while (statement.Step())
                plan.AppendLine(statement.Text(3));
            return plan.ToString();
        },
        default);
}
