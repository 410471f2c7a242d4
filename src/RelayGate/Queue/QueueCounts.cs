using RelayGate.Storage;

namespace RelayGate.Queue;

/// <summary>How many messages have a recipient to serve, and where to look for the oldest of them. Counted once from the store; then the writer's commits change it.</summary>
internal sealed class QueueCounts
{
    private const string Select = "select (select count(*) from message) - (select count(*) from message where expires_at is not null)";

    private long _queued;
    private long _revived = long.MaxValue;

    /// <summary>Messages in the queue, held ones included; without those that are kept after they ended.</summary>
    public long Queued => Interlocked.Read(ref _queued);

    /// <summary>Counts what is in the store: at the start, and after it was opened again.</summary>
    public void Load(StoreConnection connection)
    {
        SqliteStatement row = connection.Prepared(Select);
        row.Step();
        Interlocked.Exchange(ref _queued, row.Int64(0));
        row.Reset();
        Interlocked.Exchange(ref _revived, 0); // Whatever came back meanwhile.
    }

    /// <summary>A batch was committed.</summary>
    /// <param name="queued">Messages that came, less those that went.</param>
    /// <param name="revived">Lowest row id of those that were put back; <see cref="long.MaxValue"/>: none was.</param>
    public void Committed(long queued, long revived)
    {
        Interlocked.Add(ref _queued, queued);
        if (revived < Interlocked.Read(ref _revived))
            Interlocked.Exchange(ref _revived, revived);
    }

    /// <summary>Lowest row id of those that were put back since this was asked last, or <see cref="long.MaxValue"/>.</summary>
    public long TakeRevived() => Interlocked.Exchange(ref _revived, long.MaxValue);
}
