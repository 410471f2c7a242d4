using System.Collections.Concurrent;

namespace RelayGate.Submission;

/// <summary>Slows password guessing without touching who is right: only failures are answered late.</summary>
/// <remarks>
/// Slowed is the address; on loopback and unix sockets, which all sites share, the login. Failures that come faster than one in a <see cref="Gap"/>
/// stand in line, so that more sessions at once make no more guesses.
/// </remarks>
internal sealed class LoginThrottle(TimeProvider time)
{
    /// <summary>Addresses that are remembered; more are not slowed beyond their session's delay.</summary>
    private const int MaxAddresses = 10_000;

    /// <summary>Logins share that many lines: made-up ones can neither fill a table nor push others out of it.</summary>
    private const int LoginLines = 1024;

    /// <summary>Failures within <see cref="Memory"/> from which logins of this address are checked only a few at a time.</summary>
    private const int ManyFailures = 10;
    private const int MostAtOnce = 4;

    private static readonly TimeSpan Memory = TimeSpan.FromMinutes(10);
    private static readonly TimeSpan Longest = TimeSpan.FromSeconds(10); // For who guesses one after another.
    private static readonly TimeSpan Gap = TimeSpan.FromSeconds(2.5);
    private static readonly TimeSpan LongestLine = TimeSpan.FromMinutes(10);

    /// <summary>Shorter: a site with a wrong password in its settings must not keep many sessions waiting.</summary>
    private static readonly TimeSpan LongestLocalLine = TimeSpan.FromSeconds(30);

    private readonly ConcurrentDictionary<string, Entry> _entries = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<int, Entry> _logins = new();

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
    /// <param name="address">Null: one that is shared, and the login is slowed.</param>
    /// <param name="ofSession">Failures of this session, this one included.</param>
    public TimeSpan Failed(string? address, string login, int ofSession)
    {
        TimeSpan delay = TimeSpan.FromSeconds(ofSession);
        if (EntryOf(address, login) is { } entry)
        {
            lock (entry)
            {
                TimeSpan ofAll = entry.Fail(time, address is null ? LongestLocalLine : LongestLine);
                delay = delay > ofAll ? delay : ofAll;
            }
        }
        return delay;
    }

    private Entry? EntryOf(string? address, string login)
    {
        if (address is null)
            return _logins.GetOrAdd((int)((uint)login.GetHashCode(StringComparison.OrdinalIgnoreCase) % LoginLines), static _ => new Entry());
        if (_entries.Count >= MaxAddresses)
            Forget();
        return _entries.Count < MaxAddresses ? _entries.GetOrAdd(address, static _ => new Entry()) : _entries.GetValueOrDefault(address);
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
        private TimeSpan _line; // As of the last failure: how long until the next one may be answered.

        public int Running { get; set; }

        public int FailuresAt(TimeProvider time) => time.GetElapsedTime(_last) < Memory ? _failures : 0;

        /// <summary>Notes a failure and says when it is answered: later from one to the next, and behind those that wait already.</summary>
        public TimeSpan Fail(TimeProvider time, TimeSpan longestLine)
        {
            _failures = FailuresAt(time) + 1;
            TimeSpan waiting = _line - time.GetElapsedTime(_last);
            waiting = waiting < TimeSpan.Zero ? TimeSpan.Zero : waiting < longestLine ? waiting : longestLine;
            _line = waiting + Gap;
            _last = time.GetTimestamp();
            var own = TimeSpan.FromSeconds(Math.Min(_failures, Longest.TotalSeconds));
            return own > waiting ? own : waiting;
        }
    }
}
