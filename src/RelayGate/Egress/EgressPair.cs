namespace RelayGate.Egress;

/// <summary>What is known of one address at one provider: its state, what goes now, and the slots of its pace. Guarded by the lock of <see cref="EgressStates"/>.</summary>
/// <param name="budget">Counts the slots of all pairs.</param>
internal sealed class EgressPair(EgressKey key, SlotBudget budget)
{
    private static readonly TimeSpan Minute = TimeSpan.FromMinutes(1);

    private readonly Queue<DateTimeOffset> _window = []; // When what may go within a pace was let go, of the last minute.
    private readonly Queue<long> _slots = []; // Slots in the order they were given.
    private readonly HashSet<long> _open = []; // Those of them that nobody has used yet.
    private DateTimeOffset _nextFree;
    private DateTimeOffset _minute;
    private int _thisMinute;
    private int _lastMinute;

    public EgressKey Key { get; } = key;

    /// <summary>Null: nothing is known against it.</summary>
    public EgressState? State { get; set; }

    /// <summary>Messages that go now.</summary>
    public int InFlight { get; set; }

    /// <summary>After a pause one message goes, to see; the others wait for what becomes of it.</summary>
    public bool IsProbing { get; set; }

    /// <summary>When a slowed pace was raised last.</summary>
    public DateTimeOffset RaisedAt { get; set; }

    public DateTimeOffset LastUsed { get; set; }

    public bool IsIdle(DateTimeOffset now) => State is null && InFlight == 0 && now - LastUsed > TimeSpan.FromMinutes(10);

    /// <summary>Messages in the busier one of this and the last minute.</summary>
    public int Observed(DateTimeOffset now)
    {
        Turn(now);
        return Math.Max(_thisMinute, _lastMinute);
    }

    /// <summary>One message is let go.</summary>
    public void Count(DateTimeOffset now)
    {
        Turn(now);
        _thisMinute++;
        LastUsed = now;
    }

    /// <summary>Lets a message go within a pace, or gives it a slot.</summary>
    /// <param name="slot">The slot it was given before, in milliseconds; anything else: none.</param>
    /// <returns>Null: it may go now. Else its slot; later than <paramref name="horizon"/>: none was given.</returns>
    public DateTimeOffset? Take(int perMinute, long slot, DateTimeOffset now, DateTimeOffset horizon)
    {
        Trim(now);
        bool hasSlot = _open.Remove(slot);
        bool hasRoom = _window.Count < perMinute;
        if (hasRoom && (hasSlot || _nextFree <= now))
        {
            _window.Enqueue(now);
            if (!hasSlot)
                _nextFree = now + Minute / perMinute;
            return null;
        }
        return Reserve(perMinute, now, horizon);
    }

    /// <summary>Gives a slot.</summary>
    public DateTimeOffset Reserve(int perMinute, DateTimeOffset now, DateTimeOffset horizon)
    {
        DateTimeOffset first = now + Minute / perMinute;
        if (_window.Count >= perMinute && _window.Peek() + Minute > first)
            first = _window.Peek() + Minute;
        DateTimeOffset slot = _nextFree > first ? _nextFree : first;
        if (slot > horizon || budget.Used >= budget.Most)
            return slot > horizon ? slot : horizon + Minute;
        // Whole milliseconds, as they are stored, and each but once.
        long name = (slot.UtcTicks + TimeSpan.TicksPerMillisecond - 1) / TimeSpan.TicksPerMillisecond - DateTimeOffset.UnixEpoch.UtcTicks / TimeSpan.TicksPerMillisecond;
        slot = DateTimeOffset.FromUnixTimeMilliseconds(name);
        _nextFree = slot + Minute / perMinute;
        _slots.Enqueue(name);
        _open.Add(name);
        budget.Used++;
        return slot;
    }

    /// <summary>Whoever has a slot does not use it, and is given another.</summary>
    public void GiveBack(long slot) => _open.Remove(slot);

    /// <summary>The pace has changed: slots of before do not hold.</summary>
    public void ForgetSlots()
    {
        budget.Used -= _slots.Count;
        _slots.Clear();
        _open.Clear();
        _nextFree = default;
    }

    private void Turn(DateTimeOffset now)
    {
        if (now - _minute < Minute && now >= _minute)
            return;
        _lastMinute = now - _minute < 2 * Minute ? _thisMinute : 0;
        _thisMinute = 0;
        _minute = now;
    }

    /// <summary>Forgets what is over.</summary>
    public void Trim(DateTimeOffset now)
    {
        while (_window.TryPeek(out DateTimeOffset at) && (now - at >= Minute || at > now))
            _window.Dequeue();
        long old = now.AddMinutes(-10).ToUnixTimeMilliseconds(); // Whoever had it does not come any more.
        while (_slots.TryPeek(out long slot) && slot < old)
        {
            _open.Remove(_slots.Dequeue());
            budget.Used--;
        }
    }
}

/// <summary>How many slots are remembered, of all pairs together.</summary>
internal sealed class SlotBudget(int most)
{
    public int Most { get; } = most;

    public int Used { get; set; }
}
