using RelayGate.Core.Policy;
using RelayGate.Queue;

namespace RelayGate.Tests.Queue;

public sealed class QueueWriterOfferTests : IDisposable
{
    private readonly QueueFixture _queue = new();

    [Fact]
    public async Task An_accepted_message_is_in_the_store_with_its_record_and_usage()
    {
        OfferedMessage message = _queue.Message(_queue.Account(), "Body.\r\n", "bob@example.org", "eve@example.net");

        OfferResult result = await _queue.OfferAsync(message);

        Assert.Equal(OfferOutcome.Committed, result.Outcome);
        Assert.Equal(Verdict.Accept, result.Decision!.Verdict);
        Assert.Equal(1, await _queue.Count("message"));
        Assert.Equal(2, await _queue.Count("recipient", "next_attempt is not null"));
        Assert.Equal(1, await _queue.Count("decision", "outcome = 2 and reason = 'accepted' and subscription = 'acme'"));
        Assert.Equal(5, await _queue.Count("usage"));
        Assert.Equal(5, await _queue.Count("usage_hour", "messages = 1 and recipients = 2 and refused = 0"));
        Assert.Equal("Body.\r\n", await _queue.Text("select cast(body as text) from message"));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Of_64_messages_racing_for_the_last_one_of_a_limit_exactly_one_gets_through(bool reopen)
    {
        SenderAccount account = _queue.Account(limit: "5/h");
        for (int i = 0; i < 4; i++)
            await _queue.AcceptAsync(account);
        if (reopen)
            _queue.Reopen();

        OfferResult[] results = await Task.WhenAll(Enumerable.Range(0, 64).Select(_ => Task.Run(() => _queue.OfferAsync(_queue.Message(account)))));

        Assert.Single(results, r => r.Outcome == OfferOutcome.Committed);
        Assert.Equal(63, results.Count(r => r.Outcome == OfferOutcome.Refused && r.Decision!.Reason == Reasons.LimitReached));
        Assert.Equal(5, await _queue.Count("message"));
        Assert.Equal(63, await _queue.Count("decision", "outcome = 9"));
    }

    [Fact]
    public async Task Usage_goes_on_after_a_restart_and_room_comes_back_with_time()
    {
        SenderAccount account = _queue.Account(limit: "2/h");
        await _queue.AcceptAsync(account);
        await _queue.AcceptAsync(account);
        _queue.Reopen();

        Assert.Equal(OfferOutcome.Refused, (await _queue.OfferAsync(_queue.Message(account))).Outcome);
        _queue.Time.Advance(TimeSpan.FromMinutes(62));

        Assert.Equal(OfferOutcome.Committed, (await _queue.OfferAsync(_queue.Message(account))).Outcome);
    }

    [Fact]
    public async Task A_wall_clock_that_was_set_back_gives_no_room()
    {
        SenderAccount account = _queue.Account(limit: "1/h");
        _queue.Time.Advance(TimeSpan.FromHours(5));
        await _queue.AcceptAsync(account);

        DateTimeOffset before = _queue.Usage.Now;
        var past = new Fakes.ManualTimeProvider(_queue.Time.GetUtcNow() - TimeSpan.FromDays(400));
        var usage = new UsageTable(_queue.Store, past);

        Assert.True(usage.Now >= before);
    }

    [Fact]
    public async Task A_message_prepared_for_older_accounts_is_sent_back()
    {
        OfferedMessage message = _queue.Message(_queue.Account());
        _queue.Version = new AccountVersion(1, 7);

        Assert.Equal(OfferOutcome.AccountChanged, (await _queue.OfferAsync(message)).Outcome);
        Assert.Equal(0, await _queue.Count("message"));
        Assert.Equal(0, await _queue.Count("decision"));
    }

    [Fact]
    public async Task A_batch_that_is_rolled_back_takes_its_usage_with_it_and_only_the_guilty_write_fails()
    {
        SenderAccount account = _queue.Account(limit: "10/h");
        OfferedMessage first = await _queue.AcceptAsync(account);
        OfferedMessage twice = _queue.Message(account);
        OfferedMessage again = twice with { Id = first.Id, HeaderChanges = [] };
        using var gate = new ManualResetEventSlim();
        Task<bool> blocker = _queue.Writer.WriteAsync(_ => gate.Wait(TimeSpan.FromSeconds(20))); // So that the rest is one batch.

        Task<OfferResult> good1 = _queue.OfferAsync(_queue.Message(account));
        Task<OfferResult> bad = _queue.OfferAsync(again);
        Task<OfferResult> good2 = _queue.OfferAsync(_queue.Message(account));
        gate.Set();

        Assert.True(await blocker);
        Assert.Equal(OfferOutcome.Committed, (await good1).Outcome);
        Assert.Equal(OfferOutcome.StoreFailed, (await bad).Outcome);
        Assert.Equal(OfferOutcome.Committed, (await good2).Outcome);
        UsageView view = await _queue.Usage.SnapshotAsync([new AccountKey(Level.Subscription, "acme")], default);
        Assert.Equal(3, view.Rings[0].Used(LimitUnit.Messages, LimitWindow.Hour, view.Now));
        Assert.Equal(3, await _queue.Count("message"));
    }

    [Fact]
    public async Task A_deadline_holds_only_until_the_writer_has_taken_the_write()
    {
        using var gate = new ManualResetEventSlim();
        using var taken = new ManualResetEventSlim();
        Task<bool> blocker = _queue.Writer.WriteAsync(_ =>
        {
            taken.Set();
            return gate.Wait(TimeSpan.FromSeconds(20));
        });
        Assert.True(taken.Wait(TimeSpan.FromSeconds(20)));
        using var deadline = new CancellationTokenSource();

        Task<OfferResult> offer = _queue.Writer.OfferAsync(_queue.Message(_queue.Account()), deadline.Token);
        await deadline.CancelAsync();

        Assert.Equal(OfferOutcome.Expired, (await offer).Outcome);
        gate.Set();
        await blocker;
        await _queue.Writer.WriteAsync(_ => 0); // What was cancelled has been passed over by now.
        Assert.Equal(0, await _queue.Count("message"));
    }

    [Fact]
    public async Task Chunks_of_a_large_body_are_read_back()
    {
        OfferedMessage message = _queue.Message(_queue.Account());
        var octets = new byte[MessageBody.ChunkOctets];
        Random.Shared.NextBytes(octets);

        Assert.Equal(OfferOutcome.Committed, await _queue.Writer.WriteChunkAsync(message.Id, 0, octets, default));
        Assert.Equal(OfferOutcome.Committed, await _queue.Writer.WriteChunkAsync(message.Id, 1, octets.AsMemory(0, 17), default));

        Assert.Equal(octets, (await _queue.Store.ReadChunkAsync(message.Id, 0, default)).ToArray());
        Assert.Equal(17, (await _queue.Store.ReadChunkAsync(message.Id, 1, default)).Length);
        Assert.Equal(0, (await _queue.Store.ReadChunkAsync(message.Id, 2, default)).Length);
    }

    public void Dispose() => _queue.Dispose();
}
