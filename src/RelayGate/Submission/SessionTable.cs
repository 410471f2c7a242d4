using System.Collections.Concurrent;
using System.Net;
using RelayGate.Configuration;
using RelayGate.Core.Policy;

namespace RelayGate.Submission;

/// <summary>Open sessions: how many in all, of each address and of each identity; and the one timer that watches their deadlines.</summary>
internal sealed class SessionTable : IDisposable
{
    private static readonly TimeSpan Tick = TimeSpan.FromSeconds(1);

    private readonly ConcurrentDictionary<SmtpChannel, byte> _channels = new();
    private readonly ConcurrentDictionary<string, int> _counts = new(StringComparer.Ordinal);
    private readonly SessionOptions _options;
    private readonly TimeProvider _time;
    private readonly ITimer _timer;
    private int _open;
    private int _anonymous;

    public SessionTable(SessionOptions options, TimeProvider time)
    {
        _options = options;
        _time = time;
        _timer = time.CreateTimer(static table => ((SessionTable)table!).CheckDeadlines(), this, Tick, Tick);
    }

    public int Open => Volatile.Read(ref _open);

    public bool TryEnter()
    {
        if (Interlocked.Increment(ref _open) <= _options.Max)
            return true;
        Interlocked.Decrement(ref _open);
        return false;
    }

    public void Leave() => Interlocked.Decrement(ref _open);

    /// <summary>
    /// Sessions that have not shown who they are leave a tenth to those who have: on loopback, where all sites share one address, nobody else can
    /// keep one of them from taking everything.
    /// </summary>
    public bool TryEnterAnonymous()
    {
        if (Interlocked.Increment(ref _anonymous) <= _options.Max - _options.Max / 10)
            return true;
        LeaveAnonymous();
        return false;
    }

    public void LeaveAnonymous() => Interlocked.Decrement(ref _anonymous);

    public bool TryEnterAddress(string key) => TryCount(key, _options.PerAddress);

    public bool TryEnterIdentity(string key) => TryCount(key, _options.PerIdentity);

    public void LeaveKey(string key)
    {
        while (_counts.TryGetValue(key, out int count))
        {
            if (count > 1 ? _counts.TryUpdate(key, count - 1, count) : _counts.TryRemove(new KeyValuePair<string, int>(key, count)))
                return;
        }
    }

    public void Watch(SmtpChannel channel) => _channels.TryAdd(channel, 0);

    public void Unwatch(SmtpChannel channel) => _channels.TryRemove(channel, out _);

    public void Dispose() => _timer.Dispose();

    /// <summary>One key for a client: an IPv4 address, or the /64 that one IPv6 customer has.</summary>
    public static string KeyOf(IPAddress address) => $"address {ClientNetwork.Text(ClientNetwork.Of(address))}";

    private bool TryCount(string key, int most)
    {
        int count = _counts.AddOrUpdate(key, 1, static (_, n) => n + 1);
        if (count <= most)
            return true;
        LeaveKey(key);
        return false;
    }

    private void CheckDeadlines()
    {
        long now = _time.GetTimestamp();
        foreach (KeyValuePair<SmtpChannel, byte> entry in _channels)
            entry.Key.CheckDeadline(now);
    }
}
