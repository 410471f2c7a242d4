using System.Runtime.InteropServices;
using RelayGate.Core.Policy;
using RelayGate.Storage;

namespace RelayGate.Queue;

/// <summary>How one message is held, as far as it is counted.</summary>
/// <param name="At">The object it waits for, of one that a limit holds; else null.</param>
/// <param name="IsCounted">Whether it counts at its levels already.</param>
internal readonly record struct HeldMessage(HoldReason Reason, AccountKey? At, string Subscription, long Octets, bool IsCounted);

/// <summary>Counts of what is held: by object, by subscription, by reason. Changed by the writer alone, read by sessions for their early decisions.</summary>
/// <remarks>Bounded by the objects and subscriptions that have held mail.</remarks>
internal sealed class HoldTable
{
    private const string SelectWaiting =
        "select held_at, count(*) from message where held = 4 and held_at is not null group by held_at";

    private const string SelectHeld = "select subscription, held, count(*), sum(octets), flags & 32 from message where held <> 0 group by subscription, held, flags & 32";

    private readonly Lock _gate = new();
    private readonly Dictionary<AccountKey, long> _waiting = [];
    private readonly Dictionary<string, (long Messages, long Octets)> _bySubscription = [];
    private readonly long[] _byReason = new long[Enum.GetValues<HoldReason>().Max(static r => (int)r) + 1];
    private long _uncounted; // Messages in _bySubscription: while there are none, nobody asks further.

    /// <summary>Messages that are held, for whatever reason.</summary>
    public long Total
    {
        get
        {
            lock (_gate)
                return _byReason.Sum();
        }
    }

    /// <summary>Objects that have mail waiting for room.</summary>
    public IReadOnlyList<AccountKey> Objects
    {
        get
        {
            lock (_gate)
                return [.. _waiting.Keys];
        }
    }

    public long CountOf(HoldReason reason)
    {
        lock (_gate)
            return _byReason[(int)reason];
    }

    /// <summary>Messages that wait for room at an object.</summary>
    public long WaitingAt(AccountKey key)
    {
        lock (_gate)
            return _waiting.GetValueOrDefault(key);
    }

    /// <summary>Reads the counts from the store: at the start, and after it was opened again.</summary>
    public void Load(StoreConnection connection)
    {
        lock (_gate)
        {
            _waiting.Clear();
            _bySubscription.Clear();
            Array.Clear(_byReason);
            Volatile.Write(ref _uncounted, 0);
            SqliteStatement row = connection.Prepared(SelectWaiting);
            while (row.Step())
                _waiting[HoldKey.Parse(row.Text(0))] = row.Int64(1);
            row = connection.Prepared(SelectHeld);
            while (row.Step())
            {
                _byReason[row.Int64(1)] += row.Int64(2);
                if (row.Int64(4) != 0)
                    AddUncounted(row.Text(0), row.Int64(2), row.Int64(3));
            }
        }
    }

    /// <param name="sign">1: it is held from now on; -1: no more.</param>
    public void Apply(in HeldMessage message, int sign)
    {
        lock (_gate)
        {
            _byReason[(int)message.Reason] += sign;
            if (message.At is { } key)
            {
                ref long waiting = ref CollectionsMarshal.GetValueRefOrAddDefault(_waiting, key, out _);
                waiting += sign;
                if (waiting == 0)
                    _waiting.Remove(key);
            }
            if (!message.IsCounted)
                AddUncounted(message.Subscription, sign, sign * message.Octets);
        }
    }

    /// <summary>What is held at these objects, and for the subscription among them.</summary>
    /// <param name="inside">Only objects before this one are looked at: where the asker waits itself. Null: all.</param>
    public HeldView View(IReadOnlyList<AccountKey> keys, AccountKey? inside = null)
    {
        if (Volatile.Read(ref _uncounted) == 0)
            return default;
        long[]? ahead = null;
        (long Messages, long Octets) own = default;
        lock (_gate)
        {
            for (int i = 0; i < keys.Count && keys[i] != inside; i++)
            {
                if (keys[i].Level == Level.Subscription && inside is null)
                    own = _bySubscription.GetValueOrDefault(keys[i].Name);
                if (_waiting.TryGetValue(keys[i], out long waiting))
                    (ahead ??= new long[keys.Count])[i] = waiting;
            }
        }
        return new HeldView(ahead, own.Messages, own.Octets);
    }

    private void AddUncounted(string subscription, long messages, long octets)
    {
        ref (long Messages, long Octets) sum = ref CollectionsMarshal.GetValueRefOrAddDefault(_bySubscription, subscription, out _);
        sum = (sum.Messages + messages, sum.Octets + octets);
        if (sum.Messages == 0)
            _bySubscription.Remove(subscription);
        Volatile.Write(ref _uncounted, _uncounted + messages);
    }
}
