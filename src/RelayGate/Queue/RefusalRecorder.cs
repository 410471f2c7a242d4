using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Telemetry;

namespace RelayGate.Queue;

/// <summary>Records refusals without waiting. A flood of them becomes one record with a count, so that refusing costs less than being refused.</summary>
internal sealed class RefusalRecorder(Func<PendingWrite, bool> tryAdd, RecordBufferPool buffers, LabelledCounter dropped, TimeProvider time)
{
    /// <summary>Records of their own for one source and reason in one minute; the rest are merged.</summary>
    public const int OwnRecords = 20;

    private const int MaxSources = 4096;
    private const int MaxWaiting = 512; // Half of the mailbox: refusals never keep messages out.

    private static readonly TimeSpan Window = TimeSpan.FromMinutes(1);

    private readonly Lock _gate = new();
    private readonly Dictionary<(string Source, string Reason), RefusalFlood> _floods = [];
    private int _waiting;

    /// <summary>Returns the ref to name in the reply.</summary>
    public QueueId Record(RefusedOffer refusal)
    {
        RefusalFlood? flood;
        lock (_gate)
        {
            flood = Find(refusal);
            if (flood is null || ++flood.Seen <= OwnRecords)
            {
                flood = null;
            }
            else if (flood.Seen == OwnRecords + 1)
            {
                flood.Begin(refusal);
                Add(new RefusalWrite(refusal, buffers, this, flood)); // Under the lock: no update of this record may come before it.
                return refusal.Id;
            }
        }
        if (flood is null)
        {
            Add(new RefusalWrite(refusal, buffers, this, null));
            return refusal.Id;
        }
        if (flood.Merge(refusal.ReceivedAt, refusal.Script?.Key))
            Add(new MergedRefusalWrite(flood, Ended));
        return flood.Id;
    }

    /// <summary>A write has ended.</summary>
    public void Ended() => Interlocked.Decrement(ref _waiting);

    /// <summary>There will be no record of a refusal.</summary>
    /// <param name="flood">The flood it was to begin: the next refusal tries again.</param>
    /// <param name="reason">backlog or store.</param>
    public void Lost(RefusalFlood? flood, string reason)
    {
        dropped.Increment(reason);
        if (flood is null)
            return;
        lock (_gate)
            flood.Seen = OwnRecords;
    }

    private void Add(PendingWrite write)
    {
        if (Interlocked.Increment(ref _waiting) > MaxWaiting || !tryAdd(write))
            write.Expire();
    }

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
    private static string Source(SenderIdentity identity) =>
        identity.Kind != IdentityKind.None || identity.Client is not { } client ? identity.Key : ClientNetwork.Text(ClientNetwork.Of(client));
}

/// <summary>Refusals of one source for one reason within a minute.</summary>
internal sealed class RefusalFlood(DateTimeOffset since)
{
    private readonly Lock _gate = new();
    private long _count;
    private int _uncounted;
    private DateTimeOffset _last;
    private bool _updateWaits;
    private Dictionary<ScriptKey, int> _scripts = [];

    public DateTimeOffset Since { get; } = since;

    /// <summary>Changed under the recorder's lock.</summary>
    public long Seen { get; set; }

    /// <summary>The record that the rest are merged into.</summary>
    public QueueId Id { get; private set; }

    /// <summary>Where refused attempts are counted: those of the first one that was merged.</summary>
    public CountedSender Sender { get; private set; } = new([], null, null);

    /// <summary>Whose limit refuses, or null.</summary>
    public AccountKey? Stopped { get; private set; }

    /// <summary>Of the first one that was merged, or null.</summary>
    public string? Subscription { get; private set; }

    /// <summary>Of the first one that was merged.</summary>
    public MessageClass Class { get; private set; }

    public void Begin(RefusedOffer refusal)
    {
        Id = refusal.Id;
        lock (_gate)
        {
            _count++;
            _last = refusal.ReceivedAt;
        }
        Sender = CountedSender.Of(refusal);
        Stopped = refusal.Decision.Stopped?.Key;
        Subscription = refusal.Account?.Subscription;
        Class = refusal.Class;
    }

    /// <summary>Counts one more. True when an update must be put in the queue: one that waits there takes all that comes before it runs.</summary>
    public bool Merge(DateTimeOffset at, ScriptKey? script)
    {
        lock (_gate)
        {
            _count++;
            _uncounted++;
            if (script is { } key)
            {
                ScriptKey counted = _scripts.ContainsKey(key) || _scripts.Count < ScriptBatch.MaxPerUid ? key : key with { Script = ScriptKey.Others };
                _scripts[counted] = _scripts.GetValueOrDefault(counted) + 1;
            }
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
    public (long Count, DateTimeOffset Last, int Uncounted, IReadOnlyDictionary<ScriptKey, int> Scripts) TakeUpdate()
    {
        lock (_gate)
        {
            _updateWaits = false;
            int uncounted = _uncounted;
            Dictionary<ScriptKey, int> scripts = _scripts;
            _uncounted = 0;
            if (scripts.Count > 0)
                _scripts = [];
            return (_count, _last, uncounted, scripts);
        }
    }
}
