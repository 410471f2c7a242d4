using System.Buffers.Binary;
using System.Collections.Immutable;
using System.Net;
using System.Net.Sockets;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;

namespace RelayGate.Queue;

/// <summary>Records refusals without waiting. A flood of them becomes one record with a count, so that refusing costs less than being refused.</summary>
internal sealed class RefusalRecorder(Func<PendingWrite, bool> tryAdd, RecordBufferPool buffers, TimeProvider time)
{
    /// <summary>Records of their own for one source and reason in one minute; the rest are merged.</summary>
    public const int OwnRecords = 20;

    private const int MaxSources = 4096;
    private const int MaxWaiting = 512; // Half of the mailbox: refusals never keep messages out.

    private static readonly TimeSpan Window = TimeSpan.FromMinutes(1);

    private readonly Lock _gate = new();
    private readonly Dictionary<(string Source, string Reason), RefusalFlood> _floods = [];
    private int _waiting;
    private long _dropped;

    /// <summary>Refusals without a record, because the writer was behind or too many sources were at it.</summary>
    public long Dropped => Interlocked.Read(ref _dropped);

    /// <summary>Returns the ref to name in the reply.</summary>
    public QueueId Record(RefusedOffer refusal)
    {
        RefusalFlood? flood;
        bool isFirst;
        lock (_gate)
        {
            flood = Find(refusal);
            if (flood is null || ++flood.Seen <= OwnRecords)
            {
                flood = null;
                isFirst = true;
            }
            else
            {
                isFirst = flood.Seen == OwnRecords + 1;
                if (isFirst)
                    flood.Begin(refusal);
            }
        }
        if (isFirst)
        {
            if (!Add(new RefusalWrite(refusal, buffers, Ended)))
                flood?.Abandon();
            return refusal.Id;
        }
        if (flood!.Merge(refusal.ReceivedAt) && !Add(new MergedRefusalWrite(flood, Ended)))
            flood.UpdateDropped();
        return flood.Id;
    }

    private bool Add(PendingWrite write)
    {
        if (Interlocked.Increment(ref _waiting) <= MaxWaiting && tryAdd(write))
            return true;
        Interlocked.Increment(ref _dropped);
        if (write is RefusalWrite refusal)
            refusal.End();
        else
            Ended();
        return false;
    }

    private void Ended() => Interlocked.Decrement(ref _waiting);

    private RefusalFlood? Find(RefusedOffer refusal)
    {
        DateTimeOffset now = time.GetUtcNow();
        (string, string) key = (Source(refusal.Identity), refusal.Decision.Reason);
        if (_floods.TryGetValue(key, out RefusalFlood? flood) && now - flood.Since < Window && now >= flood.Since)
            return flood;
        if (flood is null && _floods.Count >= MaxSources)
        {
            foreach ((var old, RefusalFlood other) in _floods)
            {
                if (now - other.Since >= Window)
                    _floods.Remove(old);
            }
            if (_floods.Count >= MaxSources)
                return null;
        }
        return _floods[key] = new RefusalFlood(now);
    }

    /// <summary>The identity where one was proved, else the client's /32 or /64.</summary>
    private static string Source(SenderIdentity identity)
    {
        if (identity.Kind != IdentityKind.None || identity.Client is not { } client)
            return identity.Key;
        if (client.AddressFamily == AddressFamily.InterNetwork || client.IsIPv4MappedToIPv6)
            return client.ToString();
        Span<byte> octets = stackalloc byte[16];
        client.TryWriteBytes(octets, out _);
        return BinaryPrimitives.ReadUInt64BigEndian(octets).ToString("x16");
    }
}

/// <summary>Refusals of one source for one reason within a minute.</summary>
internal sealed class RefusalFlood(DateTimeOffset since)
{
    private readonly Lock _gate = new();
    private long _count = 1;
    private int _uncounted;
    private DateTimeOffset _last;
    private bool _updateWaits;

    public DateTimeOffset Since { get; } = since;

    /// <summary>Changed under the recorder's lock.</summary>
    public long Seen { get; set; }

    /// <summary>The record that the rest are merged into.</summary>
    public QueueId Id { get; private set; }

    /// <summary>The objects whose refused attempts are counted.</summary>
    public ImmutableArray<AccountKey> Keys { get; private set; } = [];

    public void Begin(RefusedOffer refusal)
    {
        Id = refusal.Id;
        _last = refusal.ReceivedAt;
        Keys = refusal.Account is { } account ? [.. account.Levels.Select(level => level.Key)] : [];
    }

    /// <summary>Its first record was dropped: the next refusal tries again to begin one.</summary>
    public void Abandon() => Seen = RefusalRecorder.OwnRecords;

    /// <summary>Counts one more. True when an update must be put in the queue: one that waits there takes all that comes before it runs.</summary>
    public bool Merge(DateTimeOffset at)
    {
        lock (_gate)
        {
            _count++;
            _uncounted++;
            if (at > _last)
                _last = at;
            if (_updateWaits)
                return false;
            return _updateWaits = true;
        }
    }

    public void UpdateDropped()
    {
        lock (_gate)
            _updateWaits = false;
    }

    /// <summary>What the update writes. After a rollback it runs again, and the refused attempts of the first run stay uncounted: a report, no limit.</summary>
    public (long Count, DateTimeOffset Last, int Uncounted) TakeUpdate()
    {
        lock (_gate)
        {
            _updateWaits = false;
            int uncounted = _uncounted;
            _uncounted = 0;
            return (_count, _last, uncounted);
        }
    }
}
