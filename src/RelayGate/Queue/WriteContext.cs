using RelayGate.Storage;

namespace RelayGate.Queue;

/// <summary>What a write sees while it runs: the connection of the writer, inside its transaction.</summary>
internal sealed class WriteContext
{
    /// <summary>Valid inside a transaction; another object after the store was reopened.</summary>
    public StoreConnection Connection { get; set; } = null!;

    /// <summary>The statement of this text, prepared once.</summary>
    public SqliteStatement Prepared(string sql) => Connection.Prepared(sql);
}
