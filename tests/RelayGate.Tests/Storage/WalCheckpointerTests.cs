using Microsoft.Data.Sqlite;
using Microsoft.Extensions.Logging.Abstractions;
using RelayGate.Queue;
using RelayGate.Storage;
using RelayGate.Telemetry;
using RelayGate.Tests.Fakes;
using RelayGate.Tests.Queue;
using SQLitePCL;

namespace RelayGate.Tests.Storage;

public sealed class WalCheckpointerTests : IDisposable
{
    private readonly TempFolder _folder = new();
    private readonly ManualTimeProvider _time = new();
    private readonly RelayGateMetrics _metrics = new();
    private readonly SqliteRelayStore _store;
    private readonly StoreConnection _writer;
    private readonly WalCheckpointer _checkpointer;

    public WalCheckpointerTests()
    {
        _store = SqliteRelayStore.Open(_folder.Path);
        _writer = _store.OpenWriteConnection();
        _checkpointer = new WalCheckpointer(_store, _metrics, _time, NullLogger.Instance) { Bounds = (0, long.MaxValue) };
    }

    [Theory]
    [InlineData(0, 5, 5)]
    [InlineData(int.MaxValue - 1, 3, 5)] // SQLite's counter begins again at 0 after 2^31 pages.
    [InlineData(7, 7, 0)]
    public void Pages_are_counted_on_when_the_counter_begins_again(int before, int now, int pages) =>
        Assert.Equal(pages, WalCheckpointer.PagesSince(before, now));

    [Fact]
    public void What_is_in_the_log_is_moved_into_the_database_file()
    {
        long before = new FileInfo(_store.Path).Length;
        Write(400_000);

        Turn();

        Assert.InRange(new FileInfo(_store.Path).Length, before + 380_000, long.MaxValue);
        Assert.Equal(0, _metrics.StoreErrors.Total);
    }

    [Theory]
    [InlineData(raw.SQLITE_IOERR, "io")]
    [InlineData(raw.SQLITE_FULL, "full")]
    public void A_database_file_that_cannot_be_written_is_reported_and_counted_and_tried_again_with_a_pause(int error, string kind)
    {
        int tries = 0;
        _checkpointer.Fault = _ =>
        {
            tries++;
            return error;
        };

        Assert.Equal(error, Turn()?.SqliteErrorCode);
        Assert.Equal(1, _metrics.StoreErrors.Value(kind)); // That of the thread beside; the writer counts its own.
        for (int i = 0; i < 20; i++)
            Assert.Null(Turn());
        Assert.Equal(2, tries);

        _time.Advance(TimeSpan.FromSeconds(11));
        _checkpointer.Fault = null;
        Write(400_000);
        Assert.Null(Turn());
        Assert.True(new FileInfo(_store.Path).Length >= 400_000);
    }

    [Fact]
    public void The_writer_waits_for_readers_at_most_once_in_half_a_minute()
    {
        _checkpointer.Bounds = (0, 0);
        int restarts = 0;
        _checkpointer.Fault = isRestart =>
        {
            restarts += isRestart ? 1 : 0;
            return raw.SQLITE_BUSY;
        };

        for (int i = 0; i < 20; i++)
        {
            Assert.Null(Turn());
            _time.Advance(TimeSpan.FromSeconds(1));
        }
        Assert.Equal(1, restarts);

        _time.Advance(TimeSpan.FromSeconds(30));
        Turn();
        Assert.Equal(2, restarts);
    }

    [Fact]
    public async Task While_the_log_cannot_be_moved_no_mail_is_taken_and_afterwards_it_is_again()
    {
        using var queue = new QueueFixture();
        queue.Writer.Checkpointer.Bounds = (0, long.MaxValue);
        bool reopened = false;
        queue.Writer.Reopened += () => reopened = true;
        queue.Writer.Checkpointer.Fault = _ => raw.SQLITE_IOERR;
        for (int i = 0; i < 1000 && !reopened; i++)
            await queue.AcceptAsync(queue.Account()); // The real database file can be written: opening it anew moves the log.
        Assert.True(reopened);

        queue.Writer.Checkpointer.Fault = null;
        queue.Time.Advance(TimeSpan.FromSeconds(11));
        await queue.AcceptAsync(queue.Account());
        Assert.Equal(await queue.Count("decision"), await queue.Count("message"));
    }

    public void Dispose()
    {
        _checkpointer.Dispose();
        _writer.Dispose();
        _store.Dispose();
        _metrics.Dispose();
        _folder.Dispose();
    }

    /// <summary>What the writer does after its commits, until one round of both threads is over.</summary>
    private SqliteException? Turn()
    {
        _checkpointer.AfterCommit(_writer); // Lets the thread beside begin.
        _checkpointer.WaitIdle();
        return _checkpointer.AfterCommit(_writer);
    }

    private void Write(int octets) => _writer.Execute($"insert into chunk (id, number, octets) values (randomblob(16), 1, zeroblob({octets}))");
}
