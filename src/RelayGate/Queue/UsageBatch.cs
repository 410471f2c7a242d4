using System.Collections.Immutable;
using System.Runtime.InteropServices;
using RelayGate.Core.Policy;
using RelayGate.Storage;

namespace RelayGate.Queue;

/// <summary>The changes of usage of one batch: made in memory at once, written once for each object, taken back when the batch rolls back.</summary>
/// <remarks>For the writer's thread.</remarks>
internal sealed class UsageBatch(UsageTable table)
{
    private const string UpsertRing = "insert into usage (level, name, class, ring) values (?, ?, ?, ?) on conflict (level, name, class) do update set ring = excluded.ring";

    private const string UpsertClocks =
        "insert into setting_state (name, value) values ('usage_clock', ?), ('usage_wall_clock', ?) on conflict (name) do update set value = excluded.value";

    private readonly List<(UsageTable.Entry Entry, UsageRing Before, int BeforeMark)> _undo = [];
    private readonly UsageHistory _history = new();
    private readonly List<(HeldMessage Message, int Sign)> _held = [];
    private long _queued;
    private long _revived = long.MaxValue; // That of a write which was rolled back is looked at in vain.
    private readonly LimitAlarms _alarms = new();
    private int _mark = 1;
    private TimeSpan? _behind; // As the batch has written it.

    /// <summary>Hears of each limit that was crossed, when that is durable.</summary>
    public Action<LimitCrossing>? Crossed { get; set; }

    /// <summary>Counts by script, written and taken back together with these.</summary>
    public ScriptBatch Scripts { get; } = new();

    /// <summary>Time of the usage clock, one for the whole batch.</summary>
    public DateTimeOffset Now { get; private set; }

    /// <summary>Hour of the wall clock that the batch is reported in, since 1970.</summary>
    public long Hour { get; private set; }

    public void Begin()
    {
        Now = table.Now;
        Hour = UsageHistory.HourOf(table.Wall);
    }

    /// <summary>The rings of these levels as they are now, for a decision on this thread.</summary>
    public UsageView View(ImmutableArray<LevelLimit> levels, StoreConnection connection)
    {
        var keys = new AccountKey[levels.Length];
        var rings = new UsageRing[levels.Length];
        for (int i = 0; i < rings.Length; i++)
        {
            keys[i] = levels[i].Key;
            rings[i] = table.Get(keys[i], connection).Ring;
        }
        return table.ViewOf(keys, rings, Now);
    }

    /// <summary>As <see cref="View"/>, for a message that waits at an object and is to be released: what waits outside that goes before it.</summary>
    public UsageView ViewForRelease(ImmutableArray<LevelLimit> levels, AccountKey inside, StoreConnection connection) =>
        View(levels, connection) with { Held = table.Holds.View([.. levels.Select(static level => level.Key)], inside) };

    /// <summary>Notes a message that is held from now on, or no more.</summary>
    /// <param name="sign">1 or -1.</param>
    public void Held(in HeldMessage message, int sign)
    {
        table.Holds.Apply(message, sign);
        _held.Add((message, sign));
    }

    /// <summary>Messages that wait for room at an object.</summary>
    public long WaitingAt(AccountKey key) => table.Holds.WaitingAt(key);

    /// <summary>Notes that a message came into the queue, or left it: its rows are gone, or kept for their content alone.</summary>
    /// <param name="sign">1 or -1.</param>
    public void Queued(int sign) => _queued += sign;

    /// <summary>Notes that a message which was kept is in the queue again.</summary>
    public void Revived(long seq)
    {
        _queued++;
        _revived = Math.Min(_revived, seq);
    }

    /// <summary>Reads again what is held and what is in the queue.</summary>
    public void LoadQueue(StoreConnection connection)
    {
        table.Holds.Load(connection);
        table.Counts.Load(connection);
    }

    /// <summary>Reads again which limits have been crossed.</summary>
    public void LoadAlarms(StoreConnection connection) => _alarms.Load(connection);

    /// <summary>Limits that have been crossed and have not recovered. For any thread.</summary>
    public int Alarms => _alarms.Count;

    /// <summary>Sees which of them have recovered.</summary>
    public void SweepAlarms(StoreConnection connection) => _alarms.Sweep(key => RingOf(key, connection), Now, table.Wall);

    /// <summary>A limit has stopped a message.</summary>
    public void Stopped(Decision decision, ImmutableArray<LevelLimit> levels)
    {
        if (decision.Reason == Reasons.LimitReached && decision.Stopped is { } stopped)
            _alarms.Stopped(stopped, levels, table.Wall);
    }

    /// <summary>Counts one message that enters the queue, at every level that mail of its class counts at.</summary>
    /// <param name="isExempt">No limit held for it.</param>
    public void Count(SenderAccount account, MessageClass messageClass, bool isExempt, int recipients, StoreConnection connection)
    {
        foreach (LevelLimit level in account.Levels)
        {
            if (level.Key.Counts(messageClass))
                _alarms.Counted(level, Count(level.Key, recipients, connection), account.Levels, Now, table.Wall);
        }
        _history.Add(CountedSender.Of(account), messageClass, new HourCounts(1, recipients, Exempt: isExempt ? 1 : 0));
    }

    /// <summary>The use of one object as it is now.</summary>
    public UsageRing RingOf(AccountKey key, StoreConnection connection) => table.Get(key, connection).Ring;

    /// <summary>Makes the use of one object zero; history and other objects stay.</summary>
    public void Reset(AccountKey key, StoreConnection connection)
    {
        UsageTable.Entry entry = table.Get(key, connection);
        if (entry.Ring.Used(LimitUnit.Messages, LimitWindow.Day, Now) == 0)
            return;
        Remember(entry);
        table.Replace(entry, new UsageRing());
    }

    /// <summary>Counts refused attempts at every level, for the report alone.</summary>
    /// <param name="stopped">Whose limit refused, or null.</param>
    public void CountRefused(in CountedSender sender, MessageClass messageClass, AccountKey? stopped, int attempts = 1) =>
        _history.Add(sender, messageClass, new HourCounts(Refused: attempts), stopped);

    /// <summary>Counts a message that is taken and held at every level, for the report alone.</summary>
    /// <param name="stopped">Whose limit holds it, or null.</param>
    public void CountHeld(SenderAccount account, MessageClass messageClass, AccountKey? stopped) =>
        _history.Add(CountedSender.Of(account), messageClass, new HourCounts(Held: 1), stopped);

    /// <summary>Counts recipients that failed for good at some objects, for the report alone.</summary>
    public void CountBounced(ReadOnlySpan<AccountKey> objects, MessageClass messageClass, int recipients)
    {
        foreach (AccountKey key in objects)
            _history.Add(key, messageClass, new HourCounts(Bounced: recipients));
    }

    private UsageRing Count(AccountKey key, int recipients, StoreConnection connection)
    {
        UsageTable.Entry entry = table.Get(key, connection);
        Remember(entry);
        table.Add(entry, recipients, Now);
        return entry.Ring;
    }

    /// <summary>A point to roll back to, for a write with a savepoint.</summary>
    public UsageMark Mark()
    {
        _mark++;
        return new UsageMark(_undo.Count, _history.Mark(), _held.Count, _queued, _alarms.Mark, Scripts.Mark);
    }

    public void RollBack(in UsageMark to)
    {
        _alarms.RollBack(to.Alarms);
        Scripts.RollBack(to.Scripts);
        for (int i = _undo.Count - 1; i >= to.Undo; i--)
        {
            (UsageTable.Entry entry, UsageRing before, int beforeMark) = _undo[i];
            table.Replace(entry, before);
            entry.Mark = beforeMark;
            entry.InBatch = beforeMark != 0;
        }
        for (int i = _held.Count - 1; i >= to.Held; i--)
            table.Holds.Apply(_held[i].Message, -_held[i].Sign);
        CollectionsMarshal.SetCount(_held, to.Held);
        _queued = to.Queued;
        CollectionsMarshal.SetCount(_undo, to.Undo);
        _history.RollBack(to.History);
        _mark++;
    }

    /// <summary>Takes back the whole batch.</summary>
    public void RollBack()
    {
        RollBack(default(UsageMark));
        Scripts.End();
        End();
    }

    /// <summary>Writes what the batch changed: the last statements before the commit.</summary>
    public void Write(WriteContext context)
    {
        _alarms.Write(context);
        Scripts.Write(context, Hour);
        if (_history.IsEmpty && _undo.Count == 0)
            return;
        foreach ((UsageTable.Entry entry, _, int beforeMark) in _undo)
        {
            if (beforeMark == 0) // The first copy of this entry in the batch: each is written once.
                context.Prepared(UpsertRing).Bind(1, (long)entry.Key.Level).Bind(2, entry.Key.Name).Bind(3, UsageTable.Number(entry.Key.Class))
                    .Bind(4, entry.Ring.ToBytes()).Execute();
        }
        _history.Write(context, Hour);
        WriteClocks(context);
    }

    /// <summary>Notes the usage clock and the wall clock side by side: by their difference the next run goes on.</summary>
    public void WriteClocks(WriteContext context)
    {
        DateTimeOffset now = table.Now, wall = table.Wall; // Both of this moment.
        context.Prepared(UpsertClocks).Bind(1, now.ToUnixTimeMilliseconds()).Bind(2, wall.ToUnixTimeMilliseconds()).Execute();
        _behind = wall - now;
    }

    /// <summary>Takes one message out of what is stored at its levels: its commit had reached the disk, and its client was told that it had not.</summary>
    /// <param name="counted">Time of the usage clock when it was counted.</param>
    public static void TakeBack(StoreConnection connection, ImmutableArray<LevelLimit> levels, MessageClass messageClass, int recipients, DateTimeOffset counted)
    {
        foreach (LevelLimit level in levels)
        {
            AccountKey key = level.Key;
            if (!key.Counts(messageClass))
                continue;
            UsageRing ring = UsageTable.Read(connection, key);
            ring.Remove(recipients, counted);
            connection.Prepared(UpsertRing).Bind(1, (long)key.Level).Bind(2, key.Name).Bind(3, UsageTable.Number(key.Class)).Bind(4, ring.ToBytes()).Execute();
        }
    }

    /// <summary>The batch is durable.</summary>
    public void Committed()
    {
        if (_behind is { } behind)
            table.ClocksNoted(behind);
        table.Counts.Committed(_queued, _revived);
        End();
        _alarms.Committed(Crossed);
    }

    private void Remember(UsageTable.Entry entry)
    {
        if (entry.Mark == _mark)
            return;
        _undo.Add((entry, entry.Ring.Copy(), entry.Mark));
        entry.Mark = _mark;
        entry.InBatch = true;
    }

    private void End()
    {
        foreach ((UsageTable.Entry entry, _, _) in _undo)
        {
            entry.InBatch = false;
            entry.Mark = 0;
        }
        _undo.Clear();
        _history.Clear();
        _held.Clear();
        _queued = 0;
        _revived = long.MaxValue;
        _behind = null;
    }
}

/// <summary>How much a batch had noted.</summary>
internal readonly record struct UsageMark(int Undo, (int Objects, int Addresses) History, int Held, long Queued, int Alarms, int Scripts);
