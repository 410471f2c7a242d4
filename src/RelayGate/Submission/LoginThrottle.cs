using System.Collections.Concurrent;

namespace RelayGate.Submission;

/// <summary>Slows password guessing of one address without touching who logs in from elsewhere: only failures are answered late.</summary>
/// <remarks>Loopback and unix sockets share one address among all sites, so there only the session's own failures count.</remarks>
internal sealed class LoginThrottle(TimeProvider time)
{
    /// <summary>Addresses that are remembered; more are not slowed beyond their session's delay.</summary>
    private const int MaxAddresses = 10_000;

    /// <summary>Failures within <see cref="Memory"/> from which logins of this address are checked only a few at a time.</summary>
    private const int ManyFailures = 10;
    private const int MostAtOnce = 4;

    private static readonly TimeSpan Memory = TimeSpan.FromMinutes(10);
    private static readonly TimeSpan Longest = TimeSpan.FromSeconds(10);

    private readonly ConcurrentDictionary<string, Entry> _entries = new(StringComparer.Ordinal);

    /// <summary>Begins to check a password. False: too many failures, and too many checks of this address at once.</summary>
    /// <param name="counted">To be given to <see cref="End"/>.</param>
    public bool TryBegin(string? address, out bool counted)
    {
        counted = false;
        if (address is null || !_entries.TryGetValue(address, out Entry? entry))
            return true;
        lock (entry)
        {
            if (entry.FailuresAt(time) >= ManyFailures && entry.Running >= MostAtOnce)
                return false;
            entry.Running++;
        }
        return counted = true;
    }

    /// <summary>The password was checked. The delay after a failure is not counted: who is right is not to wait for who guesses.</summary>
    public void End(string? address, bool counted)
    {
        if (!counted || !_entries.TryGetValue(address!, out Entry? entry))
            return;
        lock (entry)
            entry.Running--;
    }

    /// <summary>How late a failure is to be answered.</summary>
    /// <param name="ofSession">Failures of this session, this one included.</param>
    public TimeSpan Failed(string? address, int ofSession)
    {
        int failures = ofSession;
        if (address is not null)
        {
            if (_entries.Count >= MaxAddresses)
                Forget();
            Entry? entry = _entries.Count < MaxAddresses ? _entries.GetOrAdd(address, static _ => new Entry()) : _entries.GetValueOrDefault(address);
            if (entry is not null)
            {
                lock (entry)
                    failures = Math.Max(failures, entry.Fail(time));
            }
        }
        return TimeSpan.FromSeconds(Math.Min(failures, Longest.TotalSeconds));
    }

    private void Forget()
    {
        foreach ((string address, Entry entry) in _entries)
        {
            lock (entry)
            {
                if (entry.Running == 0 && entry.FailuresAt(time) == 0)
                    _entries.TryRemove(address, out _);
            }
        }
    }

    private sealed class Entry
    {
        private int _failures;
        private long _last;

        public int Running { get; set; }

        public int FailuresAt(TimeProvider time) => time.GetElapsedTime(_last) < Memory ? _failures : 0;

        public int Fail(TimeProvider time)
        {
            _failures = FailuresAt(time) + 1;
            _last = time.GetTimestamp();
            return _failures;
        }
    }
}
