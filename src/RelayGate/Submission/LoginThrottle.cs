using System.Collections.Concurrent;
using RelayGate.Accounts;
using RelayGate.Configuration;

namespace RelayGate.Submission;

/// <summary>Slows password guessing, then refuses for a time, without touching who is right.</summary>
/// <remarks>
/// Failures of an address and of a login are answered later and later; those of one address that come faster than one in a <see cref="Gap"/>
/// stand in line, so that more sessions at once make no more guesses. After many failures an address is refused for a time, but for logins that have
/// been right from there before; a login that is guessed from many addresses is refused only to those that have failed often themselves. On loopback
/// and unix sockets, which all sites share, only the login is slowed, and only its failures: a site that is right is never refused there.
/// </remarks>
internal sealed class LoginThrottle(LoginOptions options, TimeProvider time)
{
    /// <summary>Addresses that are remembered; more are not slowed beyond their session's delay.</summary>
    private const int MaxAddresses = 10_000;

    /// <summary>Logins that are remembered by themselves, existing or not; more share <see cref="LoginLines"/>.</summary>
    private const int MaxLogins = 20_000;
    private const int LoginLines = 1024;

    /// <summary>Failures within <see cref="Memory"/> from which logins of this address are checked only a few at a time.</summary>
    private const int ManyFailures = 10;
    private const int MostAtOnce = 4;

    /// <summary>Failures of an address from which it is refused a login that is being guessed: who mistypes is let try again.</summary>
    private const int OwnFailures = 5;

    private static readonly TimeSpan Memory = TimeSpan.FromMinutes(10);
    private static readonly TimeSpan Longest = TimeSpan.FromSeconds(10); // For who guesses one after another.
    private static readonly TimeSpan Gap = TimeSpan.FromSeconds(2.5);
    private static readonly TimeSpan LongestLine = TimeSpan.FromMinutes(10);

    private static readonly TimeSpan LookAgain = TimeSpan.FromSeconds(10);

    /// <summary>Shorter: a site with a wrong password in its settings must not keep many sessions waiting.</summary>
    private static readonly TimeSpan LongestLocalLine = TimeSpan.FromSeconds(30);

    private readonly ConcurrentDictionary<string, Entry> _addresses = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<int, Entry> _logins = new();
    private readonly ConcurrentDictionary<int, Entry> _lines = new();

    private long _addressesForgotten;
    private long _loginsForgotten;

    /// <summary>Addresses, logins and lines that are in memory.</summary>
    internal int Remembered => _addresses.Count + _logins.Count + _lines.Count;

    /// <summary>An address or a login has failed as often as is refused from then on. Once for each time of refusal; on the session's thread.</summary>
    public event Action<GuessingDetected>? Detected;

    /// <summary>Begins to check a password. False: too many failures, and too many checks of this address at once.</summary>
    /// <param name="counted">To be given to <see cref="End"/>.</param>
    public bool TryBegin(string? address, out bool counted)
    {
        counted = false;
        if (address is null || !_addresses.TryGetValue(address, out Entry? entry))
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
        if (!counted || !_addresses.TryGetValue(address!, out Entry? entry))
            return;
        lock (entry)
            entry.Running--;
    }

    /// <summary>Whether a right password counts as a wrong one now, unless this login has been right from this address before.</summary>
    /// <param name="address">Null: one that is shared, from which nobody is refused.</param>
    /// <param name="login">In its canonical form, whether it exists or not; as given where it can be no login.</param>
    public bool Refuses(string? address, string login)
    {
        if (address is null || !_addresses.TryGetValue(address, out Entry? entry))
            return false;
        int failures;
        lock (entry)
        {
            if (entry.IsRefused(options, time))
                return true;
            failures = entry.FailuresAt(time);
        }
        return failures >= OwnFailures && IsGuessed(login);
    }

    /// <summary>Whether a login has failed so often that it is refused.</summary>
    public bool IsGuessed(string login)
    {
        if (!_logins.TryGetValue(KeyOf(login), out Entry? entry) && !_lines.TryGetValue(LineOf(login), out entry))
            return false;
        lock (entry)
            return entry.IsRefused(options, time);
    }

    /// <summary>How late a failure is to be answered.</summary>
    /// <param name="address">Null: one that is shared, and the login alone is slowed.</param>
    /// <param name="ofSession">Failures of this session, this one included.</param>
    /// <param name="known">The login in its stored form, when it exists: others are not named to anybody, as they may be misplaced passwords.</param>
    public TimeSpan Failed(string? address, string login, int ofSession, string? known = null)
    {
        TimeSpan delay = TimeSpan.FromSeconds(ofSession);
        if (address is not null && AddressEntry(address) is { } ofAddress)
            delay = Later(delay, Fail(ofAddress, LongestLine, GuessedObject.Address, address["address ".Length..]));
        TimeSpan line = address is null ? LongestLocalLine : TimeSpan.Zero; // In the line of the login stand only those who share an address.
        return Later(delay, Fail(LoginEntry(login), line, GuessedObject.Login, known ?? ""));
    }

    private TimeSpan Fail(Entry entry, TimeSpan longestLine, GuessedObject kind, string name)
    {
        GuessingDetected? detected;
        TimeSpan delay;
        lock (entry)
            delay = entry.Fail(options, time, longestLine, kind, name, out detected);
        if (detected is not null)
            Detected?.Invoke(detected);
        return delay;
    }

    private Entry LoginEntry(string login)
    {
        int key = KeyOf(login);
        if (_logins.TryGetValue(key, out Entry? entry))
            return entry;
        if (_logins.Count >= MaxLogins)
            Forget(_logins, ref _loginsForgotten);
        return _logins.Count < MaxLogins ? _logins.GetOrAdd(key, static _ => new Entry()) : _lines.GetOrAdd(LineOf(login), static _ => new Entry());
    }

    private Entry? AddressEntry(string address)
    {
        if (_addresses.TryGetValue(address, out Entry? entry))
            return entry;
        if (_addresses.Count >= MaxAddresses)
            Forget(_addresses, ref _addressesForgotten);
        return _addresses.Count < MaxAddresses ? _addresses.GetOrAdd(address, static _ => new Entry()) : null;
    }

    /// <summary>Looks through a full table, once in a while: not for each of the failures that have filled it.</summary>
    private void Forget<T>(ConcurrentDictionary<T, Entry> entries, ref long last)
        where T : notnull
    {
        long before = Volatile.Read(ref last);
        if ((before != 0 && time.GetElapsedTime(before) < LookAgain) || Interlocked.CompareExchange(ref last, time.GetTimestamp(), before) != before)
            return;
        foreach ((T key, Entry entry) in entries)
        {
            lock (entry)
            {
                if (entry.Running == 0 && entry.FailuresAt(time) == 0 && !entry.IsRefused(options, time))
                    entries.TryRemove(key, out _);
            }
        }
    }

    /// <summary>Random for each process, so that nobody can choose logins that fall together.</summary>
    private static int KeyOf(string login) => login.GetHashCode(StringComparison.OrdinalIgnoreCase);

    private static int LineOf(string login) => (int)((uint)KeyOf(login) % LoginLines);

    private static TimeSpan Later(TimeSpan a, TimeSpan b) => a > b ? a : b;

    private sealed class Entry
    {
        private int _failures;
        private long _last;
        private TimeSpan _line; // As of the last failure: how long until the next one may be answered.
        private DateTimeOffset _since;
        private bool _refused;
        private long _refusedAt;

        public int Running { get; set; }

        public int FailuresAt(TimeProvider time) => time.GetElapsedTime(_last) < Memory ? _failures : 0;

        public bool IsRefused(LoginOptions options, TimeProvider time) => _refused && time.GetElapsedTime(_refusedAt) < options.RefusalTime;

        /// <summary>Notes a failure and says when it is answered: later from one to the next, and behind those that wait already.</summary>
        public TimeSpan Fail(LoginOptions options, TimeProvider time, TimeSpan longestLine, GuessedObject kind, string name, out GuessingDetected? detected)
        {
            detected = null;
            _failures = FailuresAt(time) + 1;
            if (_refused && !IsRefused(options, time))
                (_refused, _failures) = (false, 1);
            if (_failures == 1)
                _since = time.GetUtcNow();
            if (!_refused && _failures >= options.FailuresBeforeRefusal)
            {
                (_refused, _refusedAt) = (true, time.GetTimestamp());
                detected = new GuessingDetected(kind, name, _failures, _since);
            }
            TimeSpan waiting = _line - time.GetElapsedTime(_last);
            waiting = waiting < TimeSpan.Zero ? TimeSpan.Zero : waiting < longestLine ? waiting : longestLine;
            _line = waiting + Gap;
            _last = time.GetTimestamp();
            return Later(waiting, TimeSpan.FromSeconds(Math.Min(_failures, Longest.TotalSeconds)));
        }
    }
}
