namespace RelayGate.Notices;

/// <summary>Time for who was told when: the wall clock at the start, never behind what is stored, and from then on the monotonic clock. A clock that is set causes no flood and no silence.</summary>
public sealed class NoticeClock(TimeProvider time)
{
    private readonly long _started = time.GetTimestamp();
    private DateTimeOffset _start = time.GetUtcNow();

    /// <summary>Milliseconds since 1970, by this clock.</summary>
    public long Now => (_start + time.GetElapsedTime(_started)).ToUnixTimeMilliseconds();

    /// <summary>Before the first use: never earlier than this.</summary>
    internal void NotBefore(long stored)
    {
        if (Now < stored)
            _start += TimeSpan.FromMilliseconds(stored - Now);
    }
}
