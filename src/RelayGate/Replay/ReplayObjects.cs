using System.Collections.Immutable;
using System.Runtime.InteropServices;
using RelayGate.Accounts;
using RelayGate.Configuration;
using RelayGate.Core.Policy;
using RelayGate.Storage;

namespace RelayGate.Replay;

/// <summary>The objects that a replay has met, with the limits they would have and their usage; bounded.</summary>
internal sealed class ReplayObjects(SqliteRelayStore store, RelayGateOptions options, LimitProposals proposals, int maxObjects)
{
    private const int MaxCached = 20_000; // Account records of a replay's own: the gateway's cache is not for it.
    private const int MaxRings = 16_384; // Open at a time, about 1 KiB each; the others are packed into some 50 octets.
    private const int MaxLookUps = 200; // In one read: well under 100 ms.

    private readonly AccountCache _cache = new(options, MaxCached);
    private readonly Dictionary<AccountKey, ReplayObject> _objects = [];
    private readonly List<ReplayObject> _open = [];
    private NetworkTable? _networks;
    private ImmutableArray<MessageClass> _exempt = [];

    public Dictionary<AccountKey, ReplayObject>.ValueCollection All => _objects.Values;

    /// <summary>Classes of mail that no limit holds for.</summary>
    public ImmutableArray<MessageClass> ExemptClasses => _exempt;

    /// <summary>Finds out what would be in force at the objects of these records.</summary>
    /// <exception cref="ReplayException">There are too many.</exception>
    public async ValueTask MeetAsync(IEnumerable<ReplayedRecord> records, CancellationToken cancellationToken)
    {
        var unknown = new Dictionary<AccountKey, AccountKey[]>();
        foreach (ReplayedRecord record in records)
        {
            ImmutableArray<AccountKey> levels = record.Ruling.Levels;
            for (int i = 0; i < levels.Length; i++)
            {
                if (!_objects.ContainsKey(levels[i]) && !unknown.ContainsKey(levels[i]))
                    unknown.Add(levels[i], [.. levels.AsSpan()[..(i + 1)]]);
            }
        }
        if (_objects.Count + unknown.Count > maxObjects)
            throw new ReplayException($"more than {maxObjects} objects sent in this time, which a replay cannot keep in memory; ask for a shorter one with --since");
        foreach (AccountKey[][] chains in unknown.Values.Chunk(MaxLookUps))
        {
            List<LevelLimit[]> limits = await store.ReadAsync(db =>
            {
                var reader = new AccountReader(_cache, db);
                EffectiveSettings settings = reader.Settings()!;
                _networks ??= reader.Networks();
                _exempt = settings.ExemptClasses;
                var found = new List<LevelLimit[]>(chains.Length);
                foreach (AccountKey[] chain in chains)
                {
                    LevelLimit own = LimitsInForce.Of(ref reader, settings, chain);
                    found.Add([own, .. LimitsInForce.OfClasses(ref reader, settings, chain, own)]);
                }
                return found;
            }, cancellationToken);
            foreach (LevelLimit[] all in limits)
            {
                ReplayObject[] classes = [.. all.Skip(1).Select(static limit => new ReplayObject(limit with { Boost = null }, []))];
                _objects.Add(all[0].Key, new ReplayObject(proposals.At(all[0] with { Boost = null }), classes)); // It was for another time.
            }
        }
    }

    /// <summary>The objects of a record that was met, each with those of its classes that have limits.</summary>
    public void Find(ImmutableArray<AccountKey> keys, List<ReplayObject> found)
    {
        found.Clear();
        foreach (AccountKey key in keys)
        {
            ReplayObject known = _objects[key];
            Take(known, found);
            foreach (ReplayObject ofClass in known.Classes)
                Take(ofClass, found);
        }
    }

    private void Take(ReplayObject known, List<ReplayObject> found)
    {
        found.Add(known);
        if (known.IsOpen)
            return;
        known.Open();
        _open.Add(known);
    }

    /// <summary>Packs all rings when too many are open. Between two records: what <see cref="Find"/> gave stays open until then.</summary>
    public void Trim()
    {
        if (_open.Count < MaxRings)
            return;
        foreach (ReplayObject open in CollectionsMarshal.AsSpan(_open))
            open.Pack();
        _open.Clear();
    }

    /// <summary>Whether no limit holds for the mail of an identity: a network that is exempt now, or was and is listed no more. Limits:Enforce says nothing here.</summary>
    public bool IsExempt(ReplayedRecord record) =>
        record.Identity.StartsWith("network ", StringComparison.Ordinal)
        && (_networks?.ByName(record.Identity["network ".Length..]) is { } network ? network.IsExempt : record.Ruling.WasExempt);
}

/// <summary>One object of a replay.</summary>
/// <param name="limit">What would be in force; a boost of these days is none of those.</param>
/// <param name="classes">Mail of single classes of the object, where that has limits.</param>
internal sealed class ReplayObject(LevelLimit limit, ReplayObject[] classes)
{
    private byte[]? _packed;
    private UsageRing? _ring;

    public LevelLimit Limit { get; } = limit;

    public ReplayObject[] Classes { get; } = classes;

    public bool IsOpen => _ring is not null;

    public UsageRing Ring => _ring!;

    /// <summary>It sent in the time that is reported.</summary>
    public bool IsSeen { get; set; }

    /// <summary>A message of it would have been stopped, at whatever level.</summary>
    public bool IsHit { get; set; }

    /// <summary>What its own limit would have stopped; null: nothing.</summary>
    public ReplayItem? Item { get; set; }

    public void Open() => _ring = _packed is null ? new UsageRing() : UsageRing.FromBytes(_packed);

    public void Pack()
    {
        _packed = _ring!.ToBytes();
        _ring = null;
    }
}

/// <summary>A replay that cannot be made as asked. The message is one line for the administrator.</summary>
public sealed class ReplayException(string message) : Exception(message);
