using System.Collections.Concurrent;

namespace RelayGate.Accounts;

/// <summary>
/// A cache of at most a given number of entries, without locks for readers. Two generations: what is not asked for while the young one fills is
/// dropped with the old one. An entry counts only while the stamp of its key is the one from before its value was read, so that a value that was
/// read just before a change is never served after it.
/// </summary>
/// <param name="capacity">Entries at most.</param>
internal sealed class BoundedCache<TKey, TValue>(int capacity)
    where TKey : notnull
{
    private const int Stripes = 1024;

    private readonly long[] _stamps = new long[Stripes];
    private readonly Lock _turn = new();
    private volatile ConcurrentDictionary<TKey, Entry> _young = new();
    private volatile ConcurrentDictionary<TKey, Entry> _old = new();
    private int _youngCount;

    private readonly record struct Entry(TValue Value, long Stamp);

    /// <summary>The stamp of a key; taken before its value is read from the store.</summary>
    public long StampOf(TKey key) => Volatile.Read(ref _stamps[Stripe(key)]);

    public bool TryGet(TKey key, out TValue value)
    {
        if (_young.TryGetValue(key, out Entry entry))
        {
            value = entry.Value;
            return entry.Stamp == StampOf(key);
        }
        if (_old.TryGetValue(key, out entry) && entry.Stamp == StampOf(key))
        {
            value = entry.Value;
            Add(key, entry.Value, entry.Stamp);
            return true;
        }
        value = default!;
        return false;
    }

    /// <param name="stamp">From <see cref="StampOf"/>, before the value was read.</param>
    public void Add(TKey key, TValue value, long stamp)
    {
        ConcurrentDictionary<TKey, Entry> young = _young;
        if (!young.TryAdd(key, new Entry(value, stamp)))
        {
            young[key] = new Entry(value, stamp);
            return;
        }
        if (Interlocked.Increment(ref _youngCount) < Math.Max(1, capacity / 2))
            return;
        lock (_turn)
        {
            if (!ReferenceEquals(young, _young))
                return;
            _old = young;
            _young = new ConcurrentDictionary<TKey, Entry>();
            Volatile.Write(ref _youngCount, 0);
        }
    }

    /// <summary>Forgets a key (and the few that share its stripe).</summary>
    public void Invalidate(TKey key) => Interlocked.Increment(ref _stamps[Stripe(key)]);

    public void InvalidateAll()
    {
        for (int i = 0; i < Stripes; i++)
            Interlocked.Increment(ref _stamps[i]);
    }

    private static int Stripe(TKey key) => key.GetHashCode() & (Stripes - 1);
}
