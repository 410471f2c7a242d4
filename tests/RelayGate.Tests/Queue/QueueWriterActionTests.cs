using Microsoft.Data.Sqlite;
using Microsoft.Extensions.Logging.Abstractions;
using RelayGate.Configuration;
using RelayGate.Queue;
using RelayGate.Storage;
using RelayGate.Telemetry;
using RelayGate.Tests.Fakes;
using RelayGate.Tests.Storage;

namespace RelayGate.Tests.Queue;

public sealed class QueueWriterActionTests : IDisposable
{
    private readonly TempFolder _folder = new();
    private readonly SqliteRelayStore _store;
    private readonly QueueWriter _writer;

    public QueueWriterActionTests()
    {
        _store = SqliteRelayStore.Open(_folder.Path);
        _writer = new QueueWriter(
            _store, new UsageTable(_store, TimeProvider.System), _ => default, new RelayGateOptions(), new RelayGateMetrics(), TimeProvider.System, NullLogger<QueueWriter>.Instance);
    }

    [Fact]
    public async Task A_write_that_throws_is_rolled_back_alone_and_its_exception_reaches_its_caller()
    {
        Task<int> good1 = Insert("a");
        Task<int> bad = _writer.WriteAsync<int>(connection =>
        {
            SqliteRelayStoreTests.Execute(connection, "insert into setting_state values ('bad', 1)");
            throw new InvalidOperationException("no such plan");
        });
        Task<int> constraint = Insert("a");
        Task<int> good2 = Insert("b");

        Assert.Equal(1, await good1);
        Assert.Equal("no such plan", (await Assert.ThrowsAsync<InvalidOperationException>(() => bad)).Message);
        await Assert.ThrowsAsync<SqliteException>(() => constraint);
        Assert.Equal(1, await good2);
        Assert.Equal(["a", "b"], await Names());
    }

    [Fact]
    public async Task Committed_runs_after_the_commit_and_before_the_waiter()
    {
        bool invalidated = false;

        await _writer.WriteAsync(connection => SqliteRelayStoreTests.Execute(connection, "insert into setting_state values ('a', 1)"), _ => invalidated = true);

        Assert.True(invalidated);
    }

    [Fact]
    public async Task Disposing_writes_what_still_waits()
    {
        Task<int>[] writes = [.. Enumerable.Range(0, 600).Select(n => Insert($"n{n:D4}"))];
        _writer.Dispose();

        await Task.WhenAll(writes);
        Assert.Equal(600, (await Names()).Count(static name => name.StartsWith('n'))); // Beside them are the clocks.
    }

    public void Dispose()
    {
        _writer.Dispose();
        _store.Dispose();
        _folder.Dispose();
    }

    private Task<int> Insert(string name) => _writer.WriteAsync(connection => SqliteRelayStoreTests.Execute(connection, $"insert into setting_state values ('{name}', 1)"));

    private Task<List<string>> Names() => _store.ReadRawAsync(
        connection =>
        {
            var names = new List<string>();
            SqliteStatement select = connection.Prepared("select name from setting_state where name not like 'usage%' order by name");
            while (select.Step())
                names.Add(select.Text(0));
            return names;
        },
        default);
}
