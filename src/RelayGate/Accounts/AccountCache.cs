using System.Data.Common;
using RelayGate.Configuration;
using RelayGate.Core.Policy;
using RelayGate.Queue;

namespace RelayGate.Accounts;

/// <summary>What a cached record is of. The five kinds of limits are in the order of <see cref="Level"/>.</summary>
internal enum RecordKind
{
    Plan,
    Subscription,
    Domain,
    Mailbox,
    Credential,
    SystemUser,
    Address,
    Keys,
    Networks,
    ScriptBlocks,
    Settings,
    ServerLimits,
    PlanLimits,
    SubscriptionLimits,
    DomainLimits,
    MailboxLimits,
}

/// <summary>Somebody was suspended, or may send again.</summary>
/// <param name="Kind">plan, subscription, domain, mailbox, sender or uid.</param>
/// <param name="Subscription">To which it belongs; null: a plan.</param>
/// <param name="By">Who gave the order: <c>uid 0 (root)</c>.</param>
public sealed record SuspensionNews(string Kind, string Name, string? Subscription, bool IsSuspended, string By);

/// <summary>What one change of accounts makes stale.</summary>
internal sealed class AccountChange
{
    public HashSet<(RecordKind Kind, string Name)> Records { get; } = [];

    /// <summary>Subscriptions whose mail may be decided otherwise now.</summary>
    public HashSet<string> Subscriptions { get; } = [];

    /// <summary>Server, plans, addresses, networks or settings have changed: everybody's mail may be decided otherwise.</summary>
    public bool IsShared { get; set; }

    /// <summary>Who is suspended now, where the change may have changed that; else null.</summary>
    public Suspensions? Suspended { get; set; }

    /// <summary>Somebody was suspended or resumed by it; else null.</summary>
    public SuspensionNews? Suspension { get; set; }

    /// <summary>All routes as they are now, where the change may have changed them; else null.</summary>
    public Core.Policy.RouteTable? Routes { get; set; }

    /// <summary>A domain has another owner than before, which matters to whoever names it.</summary>
    public bool IsOfDomains { get; set; }
}

/// <summary>The bounded cache of account records over the store, with negative entries, and the versions of what was made from them.</summary>
internal sealed class AccountCache
{
    private const int VersionSlots = 4096; // Subscriptions share slots: a needless change of version costs one more look-up.

    private readonly BoundedCache<(RecordKind Kind, string Name), object?> _records;
    private readonly long[] _slots = new long[VersionSlots];
    private readonly Lock _gate = new();
    private long _shared;
    private long _domains;
    private long _changes;

    /// <param name="capacity">Records at most; a record is a few hundred octets.</param>
    public AccountCache(RelayGateOptions options, int capacity)
    {
        Options = options;
        _records = new BoundedCache<(RecordKind, string), object?>(capacity);
    }

    public RelayGateOptions Options { get; }

    /// <summary>Rises with every change; what was composed over a change is not kept.</summary>
    public long Changes => Volatile.Read(ref _changes);

    public AccountStamp StampOf(string? subscription) => new(VersionOf(subscription), Volatile.Read(ref _domains));

    /// <summary>Who has no subscription may be given one by any change.</summary>
    public AccountVersion VersionOf(string? subscription) =>
        new(Volatile.Read(ref _shared), subscription is null ? Changes : Volatile.Read(ref _slots[Slot(subscription)]));

    /// <summary>Runs <paramref name="keep"/> unless something has changed since <paramref name="changes"/> was read.</summary>
    public bool TryKeep(long changes, Action keep)
    {
        lock (_gate)
        {
            if (changes != _changes)
                return false;
            keep();
            return true;
        }
    }

    /// <summary>Makes a committed change seen. On the writer's thread, before the next batch.</summary>
    public void Apply(AccountChange change)
    {
        lock (_gate)
        {
            foreach ((RecordKind Kind, string Name) record in change.Records)
                _records.Invalidate(record);
            foreach (string subscription in change.Subscriptions)
                Interlocked.Increment(ref _slots[Slot(subscription)]);
            if (change.IsShared)
                Interlocked.Increment(ref _shared);
            if (change.IsOfDomains)
                Interlocked.Increment(ref _domains);
            Interlocked.Increment(ref _changes);
        }
    }

    /// <summary>Forgets everything: the store was opened again.</summary>
    public void Reset()
    {
        lock (_gate)
        {
            _records.InvalidateAll();
            Interlocked.Increment(ref _shared);
            Interlocked.Increment(ref _changes);
        }
    }

    /// <summary>A record from the cache or, where a connection is given, from the store.</summary>
    /// <param name="db">Null: from the cache only.</param>
    /// <param name="record">Null when there is no such object.</param>
    /// <returns>False when the cache does not know and no connection is given.</returns>
    public bool TryGet<T>(DbConnection? db, RecordKind kind, string name, Func<DbConnection, string, T?> load, out T? record)
        where T : class
    {
        if (_records.TryGet((kind, name), out object? cached))
        {
            record = (T?)cached;
            return true;
        }
        record = null;
        if (db is null)
            return false;
        long stamp = _records.StampOf((kind, name));
        record = load(db, name);
        _records.Add((kind, name), record, stamp);
        return true;
    }

    private static int Slot(string subscription) => subscription.GetHashCode(StringComparison.Ordinal) & (VersionSlots - 1);
}

/// <summary>What a composed account is valid for.</summary>
internal readonly record struct AccountStamp(AccountVersion Version, long Domains);
