using System.Data.Common;

namespace RelayGate.Storage;

/// <summary>The embedded store: one SQLite file with accounts, queue, usage and decision log (DESIGN §6).</summary>
public sealed class SqliteRelayStore
{
    /// <summary>Runs a read on one of the read threads, in a read transaction of its own. One page of results, at most 100 ms.</summary>
    public Task<T> ReadAsync<T>(Func<DbConnection, T> read, CancellationToken cancellationToken) => throw new NotImplementedException();
}
