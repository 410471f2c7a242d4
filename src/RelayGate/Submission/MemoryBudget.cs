namespace RelayGate.Submission;

/// <summary>Octets of mail content that all sessions together may keep in memory.</summary>
internal sealed class MemoryBudget(long octets)
{
    private long _used;

    public long Used => Interlocked.Read(ref _used);

    public bool TryTake(long amount)
    {
        if (Interlocked.Add(ref _used, amount) <= octets)
            return true;
        Interlocked.Add(ref _used, -amount);
        return false;
    }

    public void Return(long amount) => Interlocked.Add(ref _used, -amount);
}
