using System.Runtime.InteropServices;
using RelayGate.Core.Policy;

namespace RelayGate.Queue;

/// <summary>What the scripts of one batch sent: written once for each script, together with the usage of the batch.</summary>
/// <remarks>For the writer's thread. Mail that is not local costs nothing here.</remarks>
internal sealed class ScriptBatch
{
    /// <summary>Scripts of one uid that are counted by name in one hour; the rest are counted as <see cref="ScriptKey.Others"/>.</summary>
    public const int MaxPerUid = 100;

    private const string Update = """
        update script_hour set messages = messages + ?, recipients = recipients + ?, refused = refused + ?, held = held + ?, claimed = claimed + ?,
          path = coalesce(?, path), last_at = max(last_at, ?) where hour = ? and uid = ? and script = ? and subscription = ?
        """;

    private const string CountScripts = "select count(*) from script_hour where hour = ? and uid = ?";

    private const string Upsert = """
        insert into script_hour (hour, uid, script, subscription, messages, recipients, refused, held, claimed, path, first_at, last_at)
        values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        on conflict (hour, uid, script, subscription) do update set
          messages = messages + excluded.messages, recipients = recipients + excluded.recipients, refused = refused + excluded.refused,
          held = held + excluded.held, claimed = claimed + excluded.claimed, last_at = max(last_at, excluded.last_at)
        """;

    private readonly List<(ScriptKey Key, string Subscription, Counts Counts)> _counts = [];
    private readonly Dictionary<(ScriptKey Key, string Subscription), Counts> _totals = [];
    private readonly List<ScriptSent> _sent = [];

    /// <summary>How many counts there are: a point to roll back to.</summary>
    public int Mark => _counts.Count;

    /// <summary>Counts what became of one offer.</summary>
    /// <param name="script">Null: no local mail.</param>
    /// <param name="subscription">Null: the uid belongs to none.</param>
    public void Count(SendingScript? script, string? subscription, Decision decision, int recipients, DateTimeOffset at)
    {
        if (script is null)
            return;
        int claimed = script.IsProved ? 0 : 1;
        long time = at.ToUnixTimeMilliseconds();
        Add(script.Key, subscription, decision.Verdict switch
        {
            Verdict.Accept => new Counts(1, recipients, 0, 0, claimed, script.Path, time, time),
            Verdict.Hold => new Counts(0, 0, 0, 1, claimed, script.Path, time, time),
            _ => new Counts(0, 0, 1, 0, claimed, script.Path, time, time),
        });
    }

    /// <summary>Counts attempts that were refused in a flood.</summary>
    public void CountRefused(ScriptKey key, string? subscription, int attempts, DateTimeOffset at) =>
        Add(key, subscription, new Counts(0, 0, attempts, 0, 0, null, at.ToUnixTimeMilliseconds(), at.ToUnixTimeMilliseconds()));

    public void RollBack(int mark) => CollectionsMarshal.SetCount(_counts, mark);

    /// <param name="hour">Hours since 1970.</param>
    public void Write(WriteContext context, long hour)
    {
        if (_counts.Count == 0)
            return;
        foreach ((ScriptKey key, string subscription, Counts counts) in _counts)
        {
            ref Counts total = ref CollectionsMarshal.GetValueRefOrAddDefault(_totals, (key, subscription), out bool isKnown);
            total = isKnown ? total.Plus(counts) : counts;
        }
        foreach (((ScriptKey key, string subscription), Counts total) in _totals)
        {
            int changed = context.Prepared(Update).Bind(1, total.Messages).Bind(2, total.Recipients).Bind(3, total.Refused).Bind(4, total.Held)
                .Bind(5, total.Claimed).Bind(6, total.Path).Bind(7, total.Last).Bind(8, hour).Bind(9, key.Uid).Bind(10, key.Script).Bind(11, subscription).Execute();
            if (changed == 0)
                Insert(context, hour, key, subscription, total);
            if (total.Messages > 0)
                _sent.Add(new ScriptSent(key, subscription, total.Messages));
        }
    }

    /// <summary>The messages that the batch took, by script; the batch is durable.</summary>
    public ScriptSent[] Committed()
    {
        ScriptSent[] sent = _sent.Count == 0 ? [] : [.. _sent];
        End();
        return sent;
    }

    public void End()
    {
        _counts.Clear();
        _totals.Clear();
        _sent.Clear();
    }

    private void Add(ScriptKey key, string? subscription, Counts counts) => _counts.Add((key, subscription ?? "", counts));

    private static void Insert(WriteContext context, long hour, ScriptKey key, string subscription, in Counts total)
    {
        Storage.SqliteStatement select = context.Prepared(CountScripts).Bind(1, hour).Bind(2, key.Uid);
        select.Step();
        bool isFull = select.Int64(0) >= MaxPerUid;
        select.Reset();
        context.Prepared(Upsert).Bind(1, hour).Bind(2, key.Uid).Bind(3, isFull ? ScriptKey.Others : key.Script).Bind(4, subscription)
            .Bind(5, total.Messages).Bind(6, total.Recipients).Bind(7, total.Refused).Bind(8, total.Held).Bind(9, total.Claimed)
            .Bind(10, isFull ? null : total.Path).Bind(11, total.First).Bind(12, total.Last).Execute();
    }

    private readonly record struct Counts(int Messages, int Recipients, int Refused, int Held, int Claimed, string? Path, long First, long Last)
    {
        public Counts Plus(in Counts other) => new(
            Messages + other.Messages, Recipients + other.Recipients, Refused + other.Refused, Held + other.Held, Claimed + other.Claimed,
            other.Path ?? Path, Math.Min(First, other.First), Math.Max(Last, other.Last));
    }
}

/// <summary>Messages of one script that were taken in one batch.</summary>
internal readonly record struct ScriptSent(ScriptKey Key, string Subscription, int Messages);
