namespace RelayGate.Storage;

/// <summary>Whether the file system of the store has the room that submission leaves to outcomes. Asked for each message, looked up once a second.</summary>
internal sealed class FreeSpace
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(1);

    private readonly Func<long> _available;
    private readonly long _minimum;
    private readonly TimeProvider _time;
    private long _checkedAt;
    private volatile bool _enough;

    /// <param name="available">Free octets for an unprivileged user.</param>
    /// <param name="minimum">Storage:MinimumFree, in octets.</param>
    public FreeSpace(Func<long> available, long minimum, TimeProvider time)
    {
        _available = available;
        _minimum = minimum;
        _time = time;
        Check();
    }

    public bool IsEnough
    {
        get
        {
            if (_time.GetElapsedTime(Interlocked.Read(ref _checkedAt)) >= Interval)
                Check();
            return _enough;
        }
    }

    public static FreeSpace OfFolder(string folder, long minimum, TimeProvider time) => new(() => new DriveInfo(folder).AvailableFreeSpace, minimum, time);

    private void Check()
    {
        Interlocked.Exchange(ref _checkedAt, _time.GetTimestamp());
        _enough = _available() >= _minimum;
    }
}
