namespace RelayGate.Queue;

/// <summary>What was learned of names a while ago, bounded: an entry that was not set again for one to two ages is forgotten, and so are the oldest when there are too many.</summary>
/// <param name="most">Entries at most.</param>
internal sealed class Recent<T>(int most, TimeSpan age, TimeProvider time)
{
    private readonly Lock _lock = new();
    private Dictionary<string, T> _young = [];
    private Dictionary<string, T> _old = [];
    private long _since = time.GetTimestamp();

    public void Set(string name, T value)
    {
        lock (_lock)
        {
            Turn(_young.Count >= most / 2 && !_young.ContainsKey(name));
            _young[name] = value;
        }
    }

    public bool TryGet(string name, out T? value)
    {
        lock (_lock)
        {
            Turn(isFull: false);
            return _young.TryGetValue(name, out value) || _old.TryGetValue(name, out value);
        }
    }

    private void Turn(bool isFull)
    {
        TimeSpan passed = time.GetElapsedTime(_since);
        if (!isFull && passed < age)
            return;
        (_old, _young) = (passed < age * 2 ? _young : [], []);
        _since = time.GetTimestamp();
    }
}
