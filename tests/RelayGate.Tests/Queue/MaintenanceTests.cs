using Microsoft.Extensions.Logging.Abstractions;
using RelayGate.Core.Mail;
using RelayGate.Queue;
using RelayGate.Storage;

namespace RelayGate.Tests.Queue;

public sealed class MaintenanceTests : IDisposable
{
    private readonly QueueFixture _queue = new();
    private readonly Maintenance _maintenance;

    public MaintenanceTests()
    {
        _maintenance = new Maintenance(_queue.Store, _queue.Writer, _queue.Options, _queue.Time, NullLogger<Maintenance>.Instance);
        _ = _queue.Scheduler;
    }

    [Fact]
    public async Task It_ends_when_it_is_disposed_without_a_stop()
    {
        await _maintenance.StartAsync(default);
        _maintenance.Dispose(); // As after a start that failed.
        _queue.Time.Advance(TimeSpan.FromHours(1));

        await _maintenance.Ended.WaitAsync(TimeSpan.FromSeconds(10));
    }

    [Fact]
    public async Task Old_records_go_with_their_attempts_in_small_writes_and_young_ones_stay()
    {
        await InsertAsync("insert into decision values (?, 2, 2, 5, 'accepted', 'acme', 'x', 'x', 'x', 1, 1, 1, '{}', '{}', null, null)", 1200);
        for (int attempt = 0; attempt < 3; attempt++)
            await InsertAsync($"insert into attempt (id, started_at, position, duration, stage, next_hop, remote, local, results, provider) values (?, {attempt}, 0, 1, 'rcpt', '', '', '', '[]', '')", 1200);
        await InsertAsync("insert into message_order values (?, 1, 1, 'held', 'uid 0')", 1200);
        _queue.Time.Advance(_queue.Options.Retention.Decisions + TimeSpan.FromMinutes(1));
        QueueId young = (await _queue.AcceptAsync(_queue.Account())).Id;

        MaintenanceResult done = await RoundAsync();

        Assert.Equal(1200, done.Decisions);
        Assert.Equal(1, await _queue.Count("decision"));
        Assert.Equal(young.ToString(), QueueId.FromBytes(Convert.FromHexString(await _queue.Text("select hex(id) from decision"))).ToString());
        Assert.Equal(0, await _queue.Count("attempt"));
        Assert.Equal(0, await _queue.Count("message_order"));
        Assert.Equal(0, (await RoundAsync()).Decisions);
    }

    [Fact]
    public async Task The_record_of_a_message_that_is_still_in_the_queue_stays()
    {
        await _queue.AcceptAsync(_queue.Account());
        _queue.Time.Advance(TimeSpan.FromDays(100));

        Assert.Equal(0, (await RoundAsync()).Decisions);
        Assert.Equal(1, await _queue.Count("decision"));
    }

    [Fact]
    public async Task Content_of_failed_messages_goes_when_its_time_is_over()
    {
        await _queue.AcceptAsync(_queue.Account());
        await _queue.EndAsync(await _queue.TakeAsync(), DeliveryResult.Failed);
        Assert.Equal(0, (await RoundAsync()).Messages);
        _queue.Time.Advance(_queue.Options.Retention.FailedContent);

        Assert.Equal(1, (await RoundAsync()).Messages);
        Assert.Equal(0, await _queue.Count("message"));
        Assert.Equal(0, await _queue.Count("recipient"));
        Assert.Equal(1, await _queue.Count("decision"));
    }

    [Fact]
    public async Task Chunks_that_no_message_came_for_go_an_hour_after_the_last_one_and_slow_uploads_stay()
    {
        QueueId orphan = _queue.NewId();
        QueueId slow = _queue.NewId();
        foreach (QueueId id in new[] { orphan, slow })
        {
            for (int i = 0; i < 2; i++)
                await _queue.Writer.WriteChunkAsync(id, i, new byte[100], default);
        }
        for (int i = 0; i < 12; i++) // Two hours; the slow one goes on.
        {
            _queue.Time.Advance(TimeSpan.FromMinutes(10));
            await _queue.Writer.WriteChunkAsync(slow, 2 + i, new byte[100], default);
            await RoundAsync();
        }
        _queue.Time.Advance(TimeSpan.FromMinutes(10));
        await RoundAsync();

        Assert.Equal(0, await CountChunksAsync(orphan));
        Assert.Equal(14, await CountChunksAsync(slow));
        _queue.Time.Advance(TimeSpan.FromMinutes(61));
        Assert.Equal(14, (await RoundAsync()).Chunks);
    }

    [Fact]
    public async Task Chunks_of_a_queued_message_stay()
    {
        OfferedMessage message = await _queue.AcceptAsync(_queue.Account());
        await _queue.Writer.WriteChunkAsync(message.Id, 0, new byte[100], default);
        for (int i = 0; i < 3; i++)
        {
            _queue.Time.Advance(TimeSpan.FromHours(2));
            Assert.Equal(0, (await RoundAsync()).Chunks);
        }
    }

    [Fact]
    public async Task The_hourly_history_stays_as_long_as_the_settings_say_whatever_they_say_of_records()
    {
        _queue.Options.Retention.Decisions = TimeSpan.FromDays(2);
        await _queue.AcceptAsync(_queue.Account());
        _queue.Time.Advance(TimeSpan.FromDays(61));
        Assert.Equal(0, (await RoundAsync()).UsageHours);
        _queue.Time.Advance(TimeSpan.FromDays(2));

        Assert.Equal(5 + 2, (await RoundAsync()).UsageHours); // Objects, and the address for its subscription and for all.
        Assert.Equal(0, await _queue.Count("usage_hour"));
        Assert.Equal(0, await _queue.Count("address_hour"));
    }

    [Fact]
    public async Task Many_free_pages_are_given_back_to_the_file_system()
    {
        for (int i = 0; i < 200; i++) // 50 MiB.
            await _queue.Writer.WriteChunkAsync(_queue.NewId(), 0, new byte[MessageBody.ChunkOctets], default);
        await _queue.Writer.RunAsync(
            context =>
            {
                using var statement = new SqliteStatement(context.Connection.Connection.Handle!, "delete from chunk");
                return statement.Execute();
            },
            default);
        long before = await PagesAsync();

        MaintenanceResult done = await RoundAsync();

        Assert.InRange(done.Pages, 1000, before);
        Assert.InRange(await PagesAsync(), before - done.Pages - 8, before - done.Pages); // Pages of the pointer map go too.
        Assert.Equal("ok", await _queue.Text("pragma integrity_check"));
    }

    [Fact]
    public async Task The_loop_runs_rounds_by_its_clock_and_stops_at_once()
    {
        await _queue.AcceptAsync(_queue.Account());
        await _queue.EndAsync(await _queue.TakeAsync(), DeliveryResult.Failed);
        await _maintenance.StartAsync(default);
        _queue.Time.Advance(_queue.Options.Retention.FailedContent);
        using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(20));
        while (await _queue.Count("message") > 0)
        {
            deadline.Token.ThrowIfCancellationRequested();
            _queue.Time.Advance(TimeSpan.FromMinutes(1));
            await Task.Yield();
        }

        await _maintenance.StopAsync(deadline.Token);
    }

    public void Dispose()
    {
        _maintenance.Dispose();
        _queue.Dispose();
    }

    /// <summary>One round; its pauses pass as they come.</summary>
    private async Task<MaintenanceResult> RoundAsync()
    {
        Task<MaintenanceResult> round = _maintenance.RunOnceAsync(default);
        while (!round.IsCompleted)
        {
            _queue.Time.Advance(TimeSpan.FromMilliseconds(50));
            await Task.WhenAny(round, _queue.Writer.WriteAsync(_ => 0));
        }
        return await round;
    }

    private Task<int> InsertAsync(string sql, int count) => _queue.Writer.RunAsync(
        context =>
        {
            using var insert = new SqliteStatement(context.Connection.Connection.Handle!, sql);
            for (int i = 0; i < count; i++)
                insert.Bind(1, QueueId.Create(_queue.Time.GetUtcNow(), 0, (ulong)i).ToBytes()).Execute();
            return count;
        },
        default);

    private Task<long> CountChunksAsync(QueueId id) => _queue.Count("chunk", $"id = x'{Convert.ToHexString(id.ToBytes())}'");

    private Task<long> PagesAsync() => _queue.Store.ReadRawAsync(connection => connection.Scalar("PRAGMA page_count"), default);
}
