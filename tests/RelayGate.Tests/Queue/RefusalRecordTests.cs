using System.Net;
using Microsoft.Data.Sqlite;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Core.Smtp;
using RelayGate.Queue;
using RelayGate.Telemetry;
using SQLitePCL;

namespace RelayGate.Tests.Queue;

public sealed class RefusalRecordTests : IDisposable
{
    private readonly QueueFixture _queue = new();

    [Fact]
    public async Task A_refusal_is_recorded_and_counts_as_an_attempt_of_each_object()
    {
        QueueId id = _queue.Writer.RecordRefusal(Refusal("192.0.2.1", _queue.Account()));
        await Written();

        Assert.Equal(Convert.ToHexString(id.ToBytes()), await _queue.Text("select hex(id) from decision"));
        Assert.Equal(1, await _queue.Count("decision", "outcome = 9 and reason = 'limit-reached' and repeats = 1"));
        Assert.Equal(5, await _queue.Count("usage_hour", "refused = 1 and messages = 0"));
        Assert.Equal(0, await _queue.Count("usage"));
    }

    [Fact]
    public async Task A_flood_becomes_one_record_with_a_count_whose_ref_is_named()
    {
        var ids = new List<QueueId>();
        for (int i = 0; i < 500; i++)
        {
            _queue.Time.Advance(TimeSpan.FromMilliseconds(10));
            ids.Add(_queue.Writer.RecordRefusal(Refusal("192.0.2.1")));
        }
        await Written();

        Assert.Equal(21, ids.Distinct().Count());
        Assert.Equal(21, await _queue.Count("decision"));
        Assert.Equal(1, await _queue.Count("decision", $"repeats = 480 and hex(id) = '{Convert.ToHexString(ids[^1].ToBytes())}'"));
        Assert.Equal(_queue.Time.GetUtcNow().ToUnixTimeMilliseconds(), await _queue.Store.ReadRawAsync(c => c.Scalar("select max(last_at) from decision"), default));
    }

    [Fact]
    public async Task Neighbours_in_one_64_are_one_source_and_other_addresses_are_not()
    {
        for (int i = 0; i < 100; i++)
        {
            _queue.Writer.RecordRefusal(Refusal($"2001:db8::{i:x}"));
            _queue.Writer.RecordRefusal(Refusal($"192.0.2.{i}"));
        }
        await Written();

        Assert.Equal(21 + 100, await _queue.Count("decision"));
    }

    [Fact]
    public async Task The_next_minute_begins_anew()
    {
        for (int i = 0; i < 30; i++)
            _queue.Writer.RecordRefusal(Refusal("192.0.2.1"));
        _queue.Time.Advance(TimeSpan.FromSeconds(61));
        RefusedOffer next = Refusal("192.0.2.1");

        Assert.Equal(next.Id, _queue.Writer.RecordRefusal(next));
        await Written();
        Assert.Equal(22, await _queue.Count("decision"));
    }

    [Fact]
    public void The_record_of_a_flood_is_written_before_the_first_update_of_it()
    {
        for (int round = 0; round < 100; round++)
        {
            var writes = new List<PendingWrite>();
            bool TryAdd(PendingWrite write)
            {
                if (write is RefusalWrite)
                    Thread.Yield(); // Lets the others pass if they can.
                lock (writes)
                    writes.Add(write);
                return true;
            }

            using var metrics = new RelayGateMetrics();
            var recorder = new RefusalRecorder(TryAdd, new RecordBufferPool(), metrics.DroppedRefusals, _queue.Time);
            for (int i = 0; i < RefusalRecorder.OwnRecords; i++)
                recorder.Record(Refusal("192.0.2.1"));
            RefusedOffer[] more = [.. Enumerable.Range(0, 8).Select(_ => Refusal("192.0.2.1"))];
            using var start = new Barrier(more.Length);
            Thread[] threads = [.. more.Select(refusal => new Thread(() =>
            {
                start.SignalAndWait();
                recorder.Record(refusal);
            }))];
            foreach (Thread thread in threads)
                thread.Start();
            foreach (Thread thread in threads)
                thread.Join();

            Assert.IsType<RefusalWrite>(writes[RefusalRecorder.OwnRecords]);
        }
    }

    [Fact]
    public async Task Refusals_that_the_store_does_not_take_are_counted_and_the_next_begins_the_record_of_a_flood_anew()
    {
        for (int i = 0; i < 20; i++)
            _queue.Writer.RecordRefusal(Refusal("192.0.2.1"));
        await Written();
        _queue.Writer.CommitFault = (() => throw new SqliteException("disk full", raw.SQLITE_FULL), null);
        _queue.Writer.RecordRefusal(Refusal("192.0.2.1"));
        await Assert.ThrowsAnyAsync<Exception>(Written);
        Assert.Equal(1, _queue.Metrics.DroppedRefusals.Value("store"));

        _queue.Writer.CommitFault = default;
        QueueId first = _queue.Writer.RecordRefusal(Refusal("192.0.2.1"));
        Assert.Equal(first, _queue.Writer.RecordRefusal(Refusal("192.0.2.1")));
        await Written();
        Assert.Equal(1, await _queue.Count("decision", $"repeats = 3 and hex(id) = '{Convert.ToHexString(first.ToBytes())}'"));
        Assert.Equal(1, _queue.Metrics.DroppedRefusals.Total);
    }

    [Fact]
    public async Task Refusals_that_find_too_many_before_them_are_counted()
    {
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
        for (int i = 0; i < 600; i++)
            _queue.Writer.RecordRefusal(Refusal($"198.51.{i / 250}.{i % 250}"));
        leave.Set();
        await blocking;
        await Written();

        long dropped = _queue.Metrics.DroppedRefusals.Value("backlog");
        Assert.InRange(dropped, 1, 599);
        Assert.Equal(600 - dropped, await _queue.Count("decision"));
    }

    public void Dispose() => _queue.Dispose();

    private RefusedOffer Refusal(string client, SenderAccount? account = null) => new()
    {
        Id = _queue.NewId(),
        ReceivedAt = _queue.Time.GetUtcNow(),
        Source = new SubmissionSource("submission", "client.test", "ESMTP"),
        Account = account,
        Identity = account?.Identity ?? SenderIdentity.Anonymous(IPAddress.Parse(client)),
        Envelope = Envelope.Begin(new ReversePath(MailboxAddress.Parse("a@example.org"))),
        Decision = new Decision
        {
            Verdict = Verdict.Defer,
            Reason = Reasons.LimitReached,
            Reply = SmtpReply.Parse("451 4.7.1 Limit reached"),
            ReversePath = ReversePath.Null,
        },
        Stage = "MAIL",
    };

    private Task<int> Written() => _queue.Writer.WriteAsync(_ => 0);
}
