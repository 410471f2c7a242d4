using RelayGate.Core.Policy;
using RelayGate.Storage;

namespace RelayGate.Queue;

/// <summary>What a write sees while it runs: the connection of the writer, inside its transaction, and what the batch has counted so far.</summary>
internal sealed class WriteContext(UsageBatch usage, Func<string?, AccountVersion> versionOf)
{
    private const string SelectLastSeq = "select coalesce(max(seq), 0) from message";

    private long _lastSeq;

    /// <summary>Another object after the store was reopened.</summary>
    public StoreConnection Connection { get; private set; } = null!;

    public UsageBatch Usage => usage;

    /// <summary>A buffer for what is written in one statement.</summary>
    public RecordBuffer Scratch { get; } = new();

    /// <summary>Where those who follow the decision log look; told after each commit.</summary>
    public RecordFeed Feed { get; } = new();

    /// <summary>Takes a message that was committed and may be attempted now, and the reference to its body.</summary>
    public Action<QueuedMessage> Enqueued { get; set; } = message => message.Release();

    /// <summary>Hears of the earliest time at which something committed is due.</summary>
    public Action<DateTimeOffset> Rescheduled { get; set; } = _ => { };

    /// <summary>Hears of each message that waits for room at an object from now on, and of when there is some.</summary>
    public Action<AccountKey, DateTimeOffset> Held { get; set; } = (_, _) => { };

    /// <summary>Takes the writer's connection, at the start and after each reopening.</summary>
    public void Attach(StoreConnection connection)
    {
        Connection = connection;
        SqliteStatement select = connection.Prepared(SelectLastSeq);
        select.Step();
        _lastSeq = Math.Max(_lastSeq, select.Int64(0));
        select.Reset();
    }

    /// <summary>A sequence number for a message, never given twice while this process runs.</summary>
    public long NextSeq() => ++_lastSeq;

    public AccountVersion VersionOf(string? subscription) => versionOf(subscription);

    /// <summary>The statement of this text, prepared once.</summary>
    public SqliteStatement Prepared(string sql) => Connection.Prepared(sql);
}
