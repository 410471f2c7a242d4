using System.Collections.Immutable;
using System.Runtime.InteropServices;
using RelayGate.Core.Policy;
using RelayGate.Storage;

namespace RelayGate.Queue;

/// <summary>Which limits have been warned of or exceeded, so that each crossing is told once: also over a restart, as it is stored with the use itself.</summary>
/// <remarks>
/// For the writer's thread. A message below every threshold costs one comparison for each limit. That use has fallen again is seen by a look at
/// those that are noted, once a minute.
/// </remarks>
internal sealed class LimitAlarms
{
    /// <summary>Limits that are noted at most; beyond it nothing is told any more until some have recovered.</summary>
    public const int MaxNoted = 10_000;

    /// <summary>Looked at in one write.</summary>
    public const int MaxSwept = 500;

    private const int Hysteresis = 10; // Percent of the limit below the share to warn at.
    private const int DefaultRecovery = 90; // Percent, where nothing is warned of.

    private const string Upsert = """
        insert into limit_alarm (level, name, class, unit, span, state, most, warn_at, subscription, used, at, noticed) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)
        on conflict (level, name, class, unit, span) do update set
          state = excluded.state, most = excluded.most, warn_at = excluded.warn_at, subscription = excluded.subscription, used = excluded.used, at = excluded.at, noticed = 0
        """;

    private const string Delete = "delete from limit_alarm where level = ? and name = ? and class = ? and unit = ? and span = ?";
    private const string Select = "select level, name, class, unit, span, state, most, warn_at, subscription, used, at from limit_alarm";

    private readonly record struct Key(AccountKey Object, LimitUnit Unit, LimitWindow Window);

    private sealed record Alarm(CrossingKind Kind, Limit Limit, int WarnAt, string? Subscription, long Used, DateTimeOffset At);

    private readonly Dictionary<Key, Alarm> _noted = [];
    private readonly List<(Key Key, Alarm? Before)> _changed = [];
    private readonly List<LimitCrossing> _crossings = [];
    private readonly Queue<Key> _toSweep = new();

    /// <summary>Limits that are noted. For any thread.</summary>
    public int Count { get; private set; }

    /// <summary>A point to go back to.</summary>
    public int Mark => _changed.Count;

    public void Load(StoreConnection connection)
    {
        _noted.Clear();
        _toSweep.Clear();
        SqliteStatement row = connection.Prepared(Select);
        while (row.Step())
        {
            var key = new AccountKey((Level)row.Int64(0), row.Text(1), row.Int64(2) is var number and >= 0 ? (MessageClass)number : null);
            var limit = new Limit(row.Int64(6), (LimitUnit)row.Int64(3), (LimitWindow)row.Int64(4));
            _noted[new Key(key, limit.Unit, limit.Window)] = new Alarm(
                (CrossingKind)row.Int64(5), limit, row.Int32(7), row.NullableText(8), row.Int64(9), DateTimeOffset.FromUnixTimeMilliseconds(row.Int64(10)));
        }
        Count = _noted.Count;
    }

    /// <summary>A message was counted at a level.</summary>
    /// <param name="ring">With it.</param>
    public void Counted(LevelLimit level, UsageRing ring, ImmutableArray<LevelLimit> levels, DateTimeOffset now, DateTimeOffset wall)
    {
        foreach (Limit limit in level.At(now).Limits)
        {
            long used = ring.Used(limit.Unit, limit.Window, now);
            if (used > limit.Count)
                Note(CrossingKind.Exceeded, level, limit, used, levels, wall);
            else if (level.WarnAt > 0 && (decimal)used * 100 >= (decimal)limit.Count * level.WarnAt)
                Note(CrossingKind.Warning, level, limit, used, levels, wall);
        }
    }

    /// <summary>A message was refused or held by a limit.</summary>
    public void Stopped(LevelUsage stopped, ImmutableArray<LevelLimit> levels, DateTimeOffset wall)
    {
        if (stopped.Limit is not { } limit)
            return;
        foreach (LevelLimit level in levels)
        {
            if (level.Key == stopped.Key)
                Note(CrossingKind.Exceeded, level, limit, stopped.Used, levels, wall);
        }
    }

    /// <summary>Looks at some of what is noted, in turn.</summary>
    /// <param name="ringOf">The use of an object now.</param>
    public void Sweep(Func<AccountKey, UsageRing> ringOf, DateTimeOffset now, DateTimeOffset wall)
    {
        if (_toSweep.Count == 0)
        {
            foreach (Key key in _noted.Keys)
                _toSweep.Enqueue(key);
        }
        for (int i = 0; i < MaxSwept && _toSweep.TryDequeue(out Key key); i++)
        {
            if (!_noted.TryGetValue(key, out Alarm? alarm))
                continue;
            long used = ringOf(key.Object).Used(key.Unit, key.Window, now);
            int recovery = alarm.WarnAt == 0 ? DefaultRecovery : alarm.WarnAt - Math.Min(Hysteresis, alarm.WarnAt / 2);
            if ((decimal)used * 100 >= (decimal)alarm.Limit.Count * recovery)
                continue;
            Set(key, null);
            _crossings.Add(new LimitCrossing(CrossingKind.Recovered, key.Object, alarm.Limit, used, wall, alarm.Subscription));
        }
    }

    /// <summary>Writes what was changed: in the transaction that counted.</summary>
    public void Write(WriteContext context)
    {
        foreach ((Key key, _) in _changed)
        {
            if (_noted.TryGetValue(key, out Alarm? alarm))
            {
                Bind(context.Prepared(Upsert), key).Bind(6, (long)alarm.Kind).Bind(7, alarm.Limit.Count).Bind(8, alarm.WarnAt).Bind(9, alarm.Subscription)
                    .Bind(10, alarm.Used).Bind(11, alarm.At.ToUnixTimeMilliseconds()).Execute();
            }
            else
            {
                Bind(context.Prepared(Delete), key).Execute();
            }
        }
    }

    /// <summary>Takes back what was noted since a mark.</summary>
    public void RollBack(int mark)
    {
        for (int i = _changed.Count - 1; i >= mark; i--)
        {
            (Key key, Alarm? before) = _changed[i];
            if (before is null)
                _noted.Remove(key);
            else
                _noted[key] = before;
        }
        CollectionsMarshal.SetCount(_changed, mark);
        CollectionsMarshal.SetCount(_crossings, mark); // One for each change.
        Count = _noted.Count;
    }

    /// <summary>The batch is durable: tells of what it crossed.</summary>
    public void Committed(Action<LimitCrossing>? tell)
    {
        foreach (LimitCrossing crossing in _crossings)
            tell?.Invoke(crossing);
        _crossings.Clear();
        _changed.Clear();
    }

    private void Note(CrossingKind kind, LevelLimit level, Limit limit, long used, ImmutableArray<LevelLimit> levels, DateTimeOffset wall)
    {
        var key = new Key(level.Key, limit.Unit, limit.Window);
        if (_noted.TryGetValue(key, out Alarm? known) ? known.Limit == limit && known.Kind >= kind : _noted.Count >= MaxNoted)
            return;
        string? subscription = levels.FirstOrDefault(static l => l.Key.Level == Level.Subscription)?.Key.Name;
        string? owner = level.Key.Level >= Level.Subscription ? subscription : null;
        Set(key, new Alarm(kind, limit, level.WarnAt, owner, used, wall));
        _crossings.Add(new LimitCrossing(kind, level.Key, limit, used, wall, owner));
    }

    private void Set(Key key, Alarm? alarm)
    {
        _changed.Add((key, _noted.GetValueOrDefault(key)));
        if (alarm is null)
            _noted.Remove(key);
        else
            _noted[key] = alarm;
        Count = _noted.Count;
    }

    private static SqliteStatement Bind(SqliteStatement statement, Key key) => statement
        .Bind(1, (long)key.Object.Level).Bind(2, key.Object.Name).Bind(3, UsageTable.Number(key.Object.Class)).Bind(4, (long)key.Unit).Bind(5, (long)key.Window);
}
