using RelayGate.Core.Policy;
using RelayGate.Storage;

namespace RelayGate.Queue;

/// <summary>The usage rings of objects in use: changed by the writer alone, copied by sessions for their early decisions; bounded, over the store.</summary>
public sealed class UsageTable
{
    public UsageTable(SqliteRelayStore store, TimeProvider time)
    {
        _ = store;
        _ = time;
    }

    /// <summary>Copies of the rings of these objects and the time of the usage clock. Reads the store only for what is not in memory.</summary>
    public ValueTask<UsageView> SnapshotAsync(IReadOnlyList<AccountKey> keys, CancellationToken cancellationToken) => throw new NotImplementedException();
}
