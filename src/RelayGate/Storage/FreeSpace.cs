using Microsoft.Extensions.Logging;
using RelayGate.Telemetry;

namespace RelayGate.Storage;

/// <summary>
/// Whether the file system of the store has the room that submission leaves to outcomes, and whether the file is still there: writes to a file
/// that somebody removed succeed and are lost. Asked for each message, looked up once a second.
/// </summary>
internal sealed class FreeSpace
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(1);

    private readonly Func<long> _available;
    private readonly Func<bool> _exists;
    private readonly long _minimum;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private long _checkedAt;
    private int _failed;
    private volatile bool _enough;
    private volatile bool _present;

    /// <param name="available">Free octets for an unprivileged user.</param>
    /// <param name="exists">Whether the file of the store is in its place.</param>
    /// <param name="minimum">Storage:MinimumFree, in octets.</param>
    public FreeSpace(Func<long> available, Func<bool> exists, long minimum, TimeProvider time, ILogger logger)
    {
        _available = available;
        _exists = exists;
        _minimum = minimum;
        _time = time;
        _logger = logger;
        Check();
    }

    public bool IsEnough
    {
        get
        {
            CheckInTime();
            return _enough;
        }
    }

    /// <summary>Whether the file is in its place.</summary>
    public bool IsPresent
    {
        get
        {
            CheckInTime();
            return _present;
        }
    }

    public static FreeSpace Of(string path, long minimum, TimeProvider time, ILogger logger)
    {
        string folder = Path.GetDirectoryName(path)!;
        return new FreeSpace(() => new DriveInfo(folder).AvailableFreeSpace, () => File.Exists(path), minimum, time, logger);
    }

    private void CheckInTime()
    {
        if (_time.GetElapsedTime(Interlocked.Read(ref _checkedAt)) >= Interval)
            Check();
    }

    private void Check()
    {
        Interlocked.Exchange(ref _checkedAt, _time.GetTimestamp());
        _present = _exists();
        _enough = HasRoom();
    }

    /// <summary>A disk that cannot be asked (gone, a stale handle, broken I/O) has no room as far as anybody knows.</summary>
    private bool HasRoom()
    {
        try
        {
            bool enough = _available() >= _minimum;
            _failed = 0;
            return enough;
        }
        catch (Exception e)
        {
            if (Interlocked.Exchange(ref _failed, 1) == 0)
                Log.SpaceUnknown(_logger, e);
            return false;
        }
    }
}
