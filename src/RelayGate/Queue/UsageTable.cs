using RelayGate.Core.Policy;
using RelayGate.Storage;

namespace RelayGate.Queue;

/// <summary>The usage rings of objects in use: changed by the writer alone, copied by sessions for their early decisions; bounded, over the store.</summary>
/// <remarks>
/// Time for usage goes on by the monotonic clock while the process runs, and over a restart by as much as the wall clock went on since both were
/// last noted together. So it never runs backwards, and a step of the wall clock, in either direction, neither gives room nor takes it: it
/// is behind or ahead of the wall clock from then on, and what is shown is told in the wall clock's time.
/// </remarks>
public sealed class UsageTable
{
    /// <summary>Rings in memory, about 1 KiB each.</summary>
    public const int DefaultCapacity = 16_384;

    private const string SelectClocks =
        "select (select value from setting_state where name = 'usage_clock'), (select value from setting_state where name = 'usage_wall_clock')";
    private const string SelectRing = "select ring from usage where level = ? and name = ? and class = ?";

    /// <summary>By less than this a clock is trimmed; by more it is set.</summary>
    internal static readonly TimeSpan Stepped = TimeSpan.FromSeconds(10);

    private readonly Lock _gate = new();
    private readonly Dictionary<AccountKey, Entry> _entries = [];
    private readonly LinkedList<Entry> _byUse = []; // Most recently used first.
    private readonly SqliteRelayStore _store;
    private readonly TimeProvider _time;
    private readonly int _capacity;
    private readonly DateTimeOffset _start;
    private readonly long _startTimestamp;
    private long _behindNoted; // Ticks by which the usage clock was behind the wall clock when both were noted last.
    private long _dropped; // Counts entries that left memory: a read that began before may be older than what was dropped.

    public UsageTable(SqliteRelayStore store, TimeProvider time, int capacity = DefaultCapacity)
    {
        _store = store;
        _time = time;
        _capacity = capacity;
        using StoreConnection connection = store.OpenReadConnection();
        SqliteStatement select = connection.Prepared(SelectClocks);
        select.Step();
        (long? last, long? lastWall) = (select.NullableInt64(0), select.NullableInt64(1));
        select.Reset();
        Holds.Load(connection);
        Counts.Load(connection);
        DateTimeOffset wall = time.GetUtcNow();
        _start = last is { } from && lastWall is { } then
            ? DateTimeOffset.FromUnixTimeMilliseconds(from + Math.Max(0, wall.ToUnixTimeMilliseconds() - then))
            : wall;
        _startTimestamp = time.GetTimestamp();
        _behindNoted = last is { } usage && lastWall is { } noted ? (noted - usage) * TimeSpan.TicksPerMillisecond : 0;
    }

    /// <summary>What is held.</summary>
    internal HoldTable Holds { get; } = new();

    /// <summary>What is in the queue.</summary>
    internal QueueCounts Counts { get; } = new();

    /// <summary>Time of the usage clock.</summary>
    public DateTimeOffset Now => _start + _time.GetElapsedTime(_startTimestamp);

    /// <summary>Time of the wall clock, for reports.</summary>
    public DateTimeOffset Wall => _time.GetUtcNow();

    /// <summary>How far the wall clock has been set, forward or (negative) back, since the clocks were noted: after a crash that would be taken for time.</summary>
    internal TimeSpan StepSinceNoted => Wall - Now - TimeSpan.FromTicks(Volatile.Read(ref _behindNoted));

    /// <summary>The clocks are noted, durably.</summary>
    internal void ClocksNoted(TimeSpan behind) => Volatile.Write(ref _behindNoted, behind.Ticks);

    /// <summary>Copies of the rings of these objects and the time of the usage clock. Reads the store only for what is not in memory.</summary>
    public ValueTask<UsageView> SnapshotAsync(IReadOnlyList<AccountKey> keys, CancellationToken cancellationToken)
    {
        var copies = new UsageRing[keys.Count];
        long dropped;
        bool complete = true;
        lock (_gate)
        {
            dropped = _dropped;
            for (int i = 0; i < copies.Length; i++)
            {
                if (_entries.TryGetValue(keys[i], out Entry? entry))
                    copies[i] = entry.Published();
                else
                    complete = false;
            }
        }
        return complete ? new ValueTask<UsageView>(ViewOf(keys, copies, Now)) : new ValueTask<UsageView>(ReadMissingAsync(keys, copies, dropped, cancellationToken));
    }

    /// <summary>A class as it is stored; -1 for none.</summary>
    internal static long Number(MessageClass? value) => value is { } known ? (long)known : -1;

    /// <summary>What these rings of these objects say at a time, with what is held at them.</summary>
    internal UsageView ViewOf(IReadOnlyList<AccountKey> keys, IReadOnlyList<UsageRing> rings, DateTimeOffset now)
    {
        TimeSpan behind = Wall - now;
        // In whole minutes, as room comes back: what is shown is rather late than early. A clock that is only trimmed has not been stepped.
        TimeSpan shown = behind.Duration() < Stepped ? TimeSpan.Zero : TimeSpan.FromMinutes(Math.Ceiling(behind.TotalMinutes));
        return new UsageView(rings, now, shown) { Held = Holds.View(keys) };
    }

    /// <summary>Forgets all rings: the store was opened again, and what it holds is what counts.</summary>
    internal void Clear()
    {
        lock (_gate)
        {
            _entries.Clear();
            _byUse.Clear();
            _dropped++;
        }
    }

    /// <summary>The live entry of an object, read by the writer's connection when it is not in memory. For the writer's thread.</summary>
    internal Entry Get(AccountKey key, StoreConnection connection)
    {
        lock (_gate)
        {
            if (_entries.TryGetValue(key, out Entry? known))
            {
                Touch(known);
                return known;
            }
        }
        UsageRing ring = Read(connection, key);
        lock (_gate)
        {
            // A session may have put it in meanwhile; both read what was committed last.
            return _entries.TryGetValue(key, out Entry? known) ? known : Insert(key, ring);
        }
    }

    /// <summary>Counts one message. For the writer's thread.</summary>
    internal void Add(Entry entry, int recipients, DateTimeOffset now)
    {
        lock (_gate)
            entry.Add(recipients, now);
    }

    /// <summary>Puts another ring into an entry: a rollback. For the writer's thread.</summary>
    internal void Replace(Entry entry, UsageRing ring)
    {
        lock (_gate)
            entry.Ring = ring;
    }

    private async Task<UsageView> ReadMissingAsync(IReadOnlyList<AccountKey> keys, UsageRing[] copies, long dropped, CancellationToken cancellationToken)
    {
        UsageRing?[] read = await _store.ReadRawAsync(
            connection =>
            {
                var rings = new UsageRing?[copies.Length];
                for (int i = 0; i < rings.Length; i++)
                {
                    if (copies[i] is null)
                        rings[i] = Read(connection, keys[i]);
                }
                return rings;
            },
            cancellationToken);
        lock (_gate)
        {
            for (int i = 0; i < copies.Length; i++)
            {
                if (read[i] is not { } ring)
                    continue;
                if (_entries.TryGetValue(keys[i], out Entry? entry))
                    copies[i] = entry.Published();
                else
                    copies[i] = dropped == _dropped ? Insert(keys[i], ring).Published() : ring;
            }
        }
        return ViewOf(keys, copies, Now);
    }

    /// <summary>What is stored of an object.</summary>
    internal static UsageRing Read(StoreConnection connection, AccountKey key)
    {
        SqliteStatement select = connection.Prepared(SelectRing).Bind(1, (long)key.Level).Bind(2, key.Name).Bind(3, Number(key.Class));
        UsageRing ring = select.Step() ? UsageRing.FromBytes(select.Blob(0)) : new UsageRing();
        select.Reset();
        return ring;
    }

    private Entry Insert(AccountKey key, UsageRing ring)
    {
        var entry = new Entry(key, ring);
        _entries.Add(key, entry);
        _byUse.AddFirst(entry.Node);
        for (LinkedListNode<Entry>? node = _byUse.Last; _entries.Count > _capacity && node is not null && node != entry.Node;)
        {
            LinkedListNode<Entry>? before = node.Previous;
            if (!node.Value.InBatch) // What a batch has changed is not in the store yet.
            {
                _entries.Remove(node.Value.Key);
                _byUse.Remove(node);
                _dropped++;
            }
            node = before;
        }
        return entry;
    }

    private void Touch(Entry entry)
    {
        if (_byUse.First == entry.Node)
            return;
        _byUse.Remove(entry.Node);
        _byUse.AddFirst(entry.Node);
    }

    /// <summary>One object's ring in memory.</summary>
    internal sealed class Entry
    {
        private UsageRing? _published; // Never changed: all sessions share it until the ring itself changes.

        public Entry(AccountKey key, UsageRing ring)
        {
            Key = key;
            Ring = ring;
            Node = new LinkedListNode<Entry>(this);
        }

        public AccountKey Key { get; }

        public UsageRing Ring
        {
            get;
            set
            {
                field = value;
                _published = null;
            }
        }

        public LinkedListNode<Entry> Node { get; }

        public UsageRing Published() => _published ??= Ring.Copy();

        public void Add(int recipients, DateTimeOffset now)
        {
            Ring.Add(recipients, now);
            _published = null;
        }

        /// <summary>Changed by the batch that runs.</summary>
        public bool InBatch { get; set; }

        /// <summary>The mark since which an undo copy exists.</summary>
        public int Mark { get; set; }
    }
}
