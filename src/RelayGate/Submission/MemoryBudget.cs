namespace RelayGate.Submission;

/// <summary>Octets of mail content that all sessions together may keep in memory. A part is for the first buffer of each message alone.</summary>
/// <param name="octets">All together.</param>
/// <param name="reserve">Left to first buffers: what large or stalled messages hold never keeps a small one out.</param>
internal sealed class MemoryBudget(long octets, long reserve)
{
    private long _used;

    public long Used => Interlocked.Read(ref _used);

    /// <summary>Takes octets for a first buffer.</summary>
    public bool TryTakeFirst(long amount) => TryTake(amount, octets);

    /// <summary>Takes octets for a buffer to grow.</summary>
    public bool TryTake(long amount) => TryTake(amount, octets - reserve);

    public void Return(long amount) => Interlocked.Add(ref _used, -amount);

    private bool TryTake(long amount, long most)
    {
        if (Interlocked.Add(ref _used, amount) <= most)
            return true;
        Interlocked.Add(ref _used, -amount);
        return false;
    }
}
