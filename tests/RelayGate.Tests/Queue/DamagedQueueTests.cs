using Microsoft.Data.Sqlite;
using RelayGate.Core.Mail;
using RelayGate.Queue;
using RelayGate.Storage;
using SQLitePCL;

namespace RelayGate.Tests.Queue;

/// <summary>Rows that are missing or cannot be understood cost their own message and no other.</summary>
public sealed class DamagedQueueTests : IDisposable
{
    private readonly QueueFixture _queue = new();

    [Theory]
    [InlineData("update message set egress = 'nonsense' where seq = 1")]
    [InlineData("update message set reverse_path = 'no address' where seq = 1")]
    [InlineData("update recipient set address = 'no address' where message = 1")]
    public async Task A_message_that_cannot_be_read_is_held_and_those_behind_it_go_on(string damage)
    {
        OfferedMessage damaged = await _queue.AcceptAsync(_queue.Account());
        OfferedMessage next = await _queue.AcceptAsync(_queue.Account());
        await ExecuteAsync(damage);
        _queue.Reopen();
        _queue.Time.Advance(TimeSpan.FromMinutes(2));

        DeliveryJob job = await _queue.TakeAsync();

        Assert.Equal(next.Id, job.Message.Id);
        await _queue.EndAsync(job, DeliveryResult.Delivered);
        for (int i = 0; i < 500 && await _queue.Count("message", "held = 3") == 0; i++)
        {
            _queue.Time.Advance(TimeSpan.FromSeconds(1));
            await _queue.Writer.WriteAsync(_ => 0);
        }
        Assert.Equal(1, await _queue.Count("message", "held = 3"));
        Assert.Equal(Convert.ToHexString(damaged.Id.ToBytes()), await _queue.Text("select hex(id) from decision where outcome = 4"));
    }

    [Fact]
    public async Task A_large_message_of_which_a_chunk_is_missing_is_not_acknowledged()
    {
        OfferedMessage message = Chunked(2 * MessageBody.ChunkOctets);
        await _queue.Writer.WriteChunkAsync(message.Id, 1, new byte[MessageBody.ChunkOctets], default);
        Task<OfferResult> broken = _queue.OfferAsync(message);
        Task<OfferResult> beside = _queue.OfferAsync(_queue.Message(_queue.Account()));

        Assert.Equal(OfferOutcome.StoreFailed, (await broken).Outcome);
        Assert.Equal(OfferOutcome.Committed, (await beside).Outcome);
        Assert.Equal(1, await _queue.Count("message"));
        Assert.Equal(1, await _queue.Count("decision"));
    }

    [Fact]
    public async Task A_dsn_left_behind_by_a_commit_whose_end_was_not_known_is_found_by_itself()
    {
        _ = _queue.Scheduler;
        OfferedMessage message = await _queue.AcceptAsync(_queue.Account());
        DeliveryJob job = await _queue.TakeAsync();
        var dsn = new PreparedDsn(
            _queue.NewId(), new ForwardPath(message.Envelope.ReversePath.Address!), "Subject: failed\r\n\r\n"u8.ToArray(), "It failed.\r\n"u8.ToArray(), false, false);
        await _queue.UntilTakenOverAsync();
        int failures = 1;
        _queue.Writer.CommitFault = (null, () =>
        {
            if (failures-- > 0)
                throw new SqliteException("disk I/O error", raw.SQLITE_IOERR);
        }
        );
        Task completion = _queue.EndAsync(job, DeliveryResult.Failed, dsn: dsn);
        for (int i = 0; i < 500 && !completion.IsCompleted; i++)
        {
            _queue.Time.Advance(TimeSpan.FromMilliseconds(100));
            await Task.WhenAny(completion, _queue.Count("message"));
        }
        await completion.WaitAsync(TimeSpan.FromSeconds(20));

        Task<DeliveryJob> taken = _queue.TakeAsync();
        for (int i = 0; i < 500 && !taken.IsCompleted; i++)
        {
            _queue.Time.Advance(TimeSpan.FromSeconds(1));
            await Task.WhenAny(taken, _queue.Count("message"));
        }

        Assert.Equal(dsn.Id, (await taken).Message.Id);
    }

    [Fact]
    public async Task What_is_cached_of_a_store_that_was_reopened_and_cannot_be_read_anew_keeps_it_closed()
    {
        int refusals = 2;
        _queue.Writer.Reopened += () =>
        {
            if (refusals-- > 0)
                throw new SqliteException("disk I/O error", raw.SQLITE_IOERR);
        };
        int failures = 1;
        _queue.Writer.CommitFault = (() =>
        {
            if (failures-- > 0)
                throw new SqliteException("disk I/O error", raw.SQLITE_IOERR);
        }, null);

        for (int i = 0; i < 3; i++)
        {
            Assert.Equal(OfferOutcome.StoreFailed, (await _queue.OfferAsync(_queue.Message(_queue.Account()))).Outcome);
            _queue.Time.Advance(TimeSpan.FromSeconds(2));
        }
        await _queue.AcceptAsync(_queue.Account());
        Assert.Equal(1, await _queue.Count("message"));
    }

    [Fact]
    public async Task Text_that_is_cut_inside_a_surrogate_pair_is_recorded_all_the_same()
    {
        OfferedMessage message = _queue.Message(_queue.Account());
        message = message with { Facts = message.Facts with { Subject = "half \ud83d" } };

        Assert.Equal(OfferOutcome.Committed, (await _queue.OfferAsync(message)).Outcome);
        MessageRecord record = (await new MessageLog(_queue.Store, _queue.Writer.Feed).ShowAsync(message.Id, null, default))!;
        Assert.Equal("half \ufffd", record.Subject);
    }

    public void Dispose() => _queue.Dispose();

    private OfferedMessage Chunked(long octets)
    {
        OfferedMessage inline = _queue.Message(_queue.Account());
        inline.Body.Release();
        return inline with { Body = MessageBody.InStore(octets) };
    }

    private Task<int> ExecuteAsync(string sql) => _queue.Writer.RunAsync(
        context =>
        {
            using var statement = new SqliteStatement(context.Connection.Connection.Handle!, sql);
            return statement.Execute();
        },
        default);
}
