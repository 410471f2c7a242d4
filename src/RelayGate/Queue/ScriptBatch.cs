using System.Runtime.InteropServices;
using RelayGate.Core.Policy;
using RelayGate.Storage;

namespace RelayGate.Queue;

/// <summary>What the scripts of one batch sent: written once for each script, together with the usage of the batch.</summary>
/// <remarks>For the writer's thread. Mail that is not local costs nothing here.</remarks>
internal sealed class ScriptBatch
{
    /// <summary>Scripts of one uid that are counted by name in one hour; the rest are counted as <see cref="ScriptKey.Others"/>.</summary>
    public const int MaxPerUid = 100;

    /// <summary>Of these, those at most that only name what was refused, or what a client claims: nobody is crowded out by what costs nothing.</summary>
    public const int MaxWeakPerUid = 20;

    private const string Update = """
        update script_hour set messages = messages + ?, recipients = recipients + ?, refused = refused + ?, held = held + ?, claimed = claimed + ?,
          path = coalesce(?, path), last_at = max(last_at, ?), weak = min(weak, ?) where hour = ? and uid = ? and script = ? and subscription = ?
        """;

    private const string CountScripts = "select count(*), count(*) filter (where weak) from script_hour where hour = ? and uid = ? and script <> '" + ScriptKey.Others + "'";

    private const string Subtract = """
        update script_hour set messages = messages - ?1, recipients = recipients - ?2, refused = refused - ?3, held = held - ?4, claimed = max(claimed - ?5, 0)
          where hour = ?6 and uid = ?7 and script = ?8 and subscription = ?9 and messages >= ?1 and recipients >= ?2 and refused >= ?3 and held >= ?4
        """;

    private const string DeleteEmpty = "delete from script_hour where hour = ? and uid = ? and script = ? and subscription = ? and messages + refused + held = 0";

    private const string Upsert = """
        insert into script_hour (hour, uid, script, subscription, messages, recipients, refused, held, claimed, path, first_at, last_at, weak)
        values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        on conflict (hour, uid, script, subscription) do update set
          messages = messages + excluded.messages, recipients = recipients + excluded.recipients, refused = refused + excluded.refused,
          held = held + excluded.held, claimed = claimed + excluded.claimed, last_at = max(last_at, excluded.last_at)
        """;

    private readonly List<(ScriptKey Key, string Subscription, Counts Counts)> _counts = [];
    private readonly Dictionary<(ScriptKey Key, string Subscription), Counts> _totals = [];
    private readonly List<ScriptSent> _sent = [];

    /// <summary>How many counts there are: a point to roll back to.</summary>
    public int Mark => _counts.Count;

    /// <summary>Counts what became of one message: when it is offered, and what was held then once more when it is released.</summary>
    /// <param name="script">Null: no local mail.</param>
    /// <param name="subscription">Null: the uid belongs to none.</param>
    public void Count(SendingScript? script, string? subscription, Verdict verdict, int recipients, DateTimeOffset at)
    {
        if (script is not null)
            Add(script.Key, subscription, Counts.Of(script, verdict, recipients, at.ToUnixTimeMilliseconds()));
    }

    /// <summary>Counts attempts that were refused in a flood.</summary>
    public void CountRefused(ScriptKey key, string? subscription, int attempts, DateTimeOffset at) =>
        Add(key, subscription, new Counts(0, 0, attempts, 0, 0, null, at.ToUnixTimeMilliseconds(), at.ToUnixTimeMilliseconds(), IsWeak: true));

    /// <summary>Takes one offer out of what is stored: its commit had reached the disk, and its client was told that it had not.</summary>
    /// <param name="hour">Hours since 1970 when it was counted.</param>
    public static void TakeBack(StoreConnection connection, long hour, SendingScript? script, string? subscription, Verdict verdict, int recipients)
    {
        if (script is null)
            return;
        var counts = Counts.Of(script, verdict, recipients, 0);
        foreach (string name in (string[])[script.Key.Script, ScriptKey.Others])
        {
            SqliteStatement update = connection.Prepared(Subtract).Bind(1, counts.Messages).Bind(2, counts.Recipients).Bind(3, counts.Refused).Bind(4, counts.Held)
                .Bind(5, counts.Claimed).Bind(6, hour).Bind(7, script.Key.Uid).Bind(8, name).Bind(9, subscription ?? "");
            if (update.Execute() == 0)
                continue; // It was counted among the others.
            connection.Prepared(DeleteEmpty).Bind(1, hour).Bind(2, script.Key.Uid).Bind(3, name).Bind(4, subscription ?? "").Execute();
            break;
        }
    }

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
                .Bind(5, total.Claimed).Bind(6, total.Path).Bind(7, total.Last).Bind(8, total.IsWeak ? 1 : 0)
                .Bind(9, hour).Bind(10, key.Uid).Bind(11, key.Script).Bind(12, subscription).Execute();
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
        SqliteStatement select = context.Prepared(CountScripts).Bind(1, hour).Bind(2, key.Uid);
        select.Step();
        bool isFull = select.Int64(0) >= MaxPerUid || (total.IsWeak && select.Int64(1) >= MaxWeakPerUid);
        select.Reset();
        context.Prepared(Upsert).Bind(1, hour).Bind(2, key.Uid).Bind(3, isFull ? ScriptKey.Others : key.Script).Bind(4, subscription)
            .Bind(5, total.Messages).Bind(6, total.Recipients).Bind(7, total.Refused).Bind(8, total.Held).Bind(9, total.Claimed)
            .Bind(10, isFull ? null : total.Path).Bind(11, total.First).Bind(12, total.Last).Bind(13, total.IsWeak && !isFull ? 1 : 0).Execute();
    }

    /// <param name="IsWeak">Nothing was taken, or the name is the client's word alone.</param>
    private readonly record struct Counts(
        int Messages, int Recipients, int Refused, int Held, int Claimed, string? Path, long First, long Last, bool IsWeak)
    {
        public static Counts Of(SendingScript script, Verdict verdict, int recipients, long time)
        {
            (int messages, int refused, int held) = verdict switch { Verdict.Accept => (1, 0, 0), Verdict.Hold => (0, 0, 1), _ => (0, 1, 0) };
            return new Counts(messages, messages * recipients, refused, held, script.IsProved ? 0 : 1, script.Path, time, time, refused > 0 || script.IsInDoubt);
        }

        public Counts Plus(in Counts other) => new(
            Messages + other.Messages, Recipients + other.Recipients, Refused + other.Refused, Held + other.Held, Claimed + other.Claimed,
            other.Path ?? Path, Math.Min(First, other.First), Math.Max(Last, other.Last), IsWeak && other.IsWeak);
    }
}

/// <summary>Messages of one script that were taken in one batch.</summary>
internal readonly record struct ScriptSent(ScriptKey Key, string Subscription, int Messages);
