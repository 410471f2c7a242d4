using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Storage;

namespace RelayGate.Queue;

/// <summary>What one write did to messages because somebody was suspended or resumed.</summary>
internal sealed class SuspensionStep
{
    public List<(long Seq, QueueId Id, string Subscription)> Held { get; } = [];

    public List<(long Seq, QueueId Id, string Subscription)> Released { get; } = [];

    /// <summary>Where messages wait for room now, because they were held before they were counted.</summary>
    public HashSet<AccountKey> Waiting { get; } = [];
}

/// <summary>Holds queued messages of those who are suspended, and lets them go again. Only the rows are changed; an attempt in flight goes on.</summary>
internal static class SuspendedRows
{
    private const string SelectSource = """
        select m.subscription, (select counted_at from recipient where message = m.seq limit 1), m.uid, m.credential, m.script, m.held, m.expires_at, m.named_domains, m.flags
        from message m where m.seq = ?
        """;

    private const string NextAt = "select held_at from message where held = ? and held_at is not null and held_at > ? order by held_at limit 1";
    private const string SelectAt = "select seq from message where held = ? and held_at = ? order by held_for, seq limit ?";
    private const string SelectAttempts = "select max(attempts) from recipient where message = ?";
    private const string SubscriptionOfDomain = "select subscription from domain where name = ?";

    /// <summary>Whether a message is to be held, as things are now.</summary>
    public static (HoldReason Reason, string At)? Fate(StoreConnection connection, long seq, Suspensions suspended) =>
        Source(connection, seq) is ({ } source, HoldReason.None or HoldReason.Limit or HoldReason.Refused) ? suspended.Of(source) : null;

    /// <summary>Holds those of some messages whose makers are suspended.</summary>
    public static SuspensionStep Hold(WriteContext context, IEnumerable<long> rowIds, Suspensions suspended, DateTimeOffset now)
    {
        var step = new SuspensionStep();
        foreach (long seq in rowIds)
        {
            if (Fate(context.Connection, seq, suspended) is not var (reason, at) || HoldRows.Find(context, seq) is not ({ } held, { } id))
                continue;
            HoldRows.Hold(context, seq, new HoldEntry(reason, at, null), now);
            if (held.Reason == HoldReason.None)
                RecordRows.SetOutcome(context, id, RecordOutcome.Held, now);
            step.Held.Add((seq, QueueId.FromBytes(id), held.Subscription));
        }
        return step;
    }

    /// <summary>What messages are held for because somebody is suspended or blocked, one after the other.</summary>
    public static string? Next(StoreConnection connection, HoldReason reason, string after)
    {
        SqliteStatement select = connection.Prepared(NextAt).Bind(1, (long)reason).Bind(2, after);
        string? next = select.Step() ? select.Text(0) : null;
        select.Reset();
        return next;
    }

    /// <summary>Lets some of those go that were held for what holds them no more.</summary>
    public static SuspensionStep LetGo(WriteContext context, HoldReason reason, string at, Suspensions suspended, DateTimeOffset now)
    {
        var step = new SuspensionStep();
        if (suspended.IsHeldAt(at))
            return step; // Suspended again meanwhile.
        foreach (long seq in At(context.Connection, reason, at, QueueAdministration.MaxRows))
        {
            if (Source(context.Connection, seq) is not ({ } source, _) || HoldRows.Find(context, seq) is not ({ } held, { } id))
                continue;
            if (suspended.Of(source) is var (other, elsewhere))
            {
                HoldRows.Hold(context, seq, new HoldEntry(other, elsewhere, null), now);
                continue;
            }
            if (!held.IsCounted)
            {
                var key = new AccountKey(Level.Subscription, held.Subscription);
                HoldRows.Hold(context, seq, new HoldEntry(HoldReason.Limit, HoldKey.Of(key), null), now);
                step.Waiting.Add(key);
                continue;
            }
            HoldRows.Release(context, seq, held, now, counts: false);
            RecordRows.SetOutcome(context, id, Attempts(context, seq) > 0 ? RecordOutcome.Deferred : RecordOutcome.Queued, now);
            step.Released.Add((seq, QueueId.FromBytes(id), held.Subscription));
        }
        return step;
    }

    public static bool IsEmpty(StoreConnection connection, HoldReason reason, string at) => At(connection, reason, at, 1).Count == 0;

    /// <summary>The subscription that owns a domain or the domain of a mailbox; null when it is not there.</summary>
    public static string? SubscriptionOfSender(StoreConnection connection, string sender) =>
        Text(connection.Prepared(SubscriptionOfDomain).Bind(1, sender[(sender.LastIndexOf('@') + 1)..]));

    private static (MailSource Source, HoldReason Held)? Source(StoreConnection connection, long seq)
    {
        SqliteStatement row = connection.Prepared(SelectSource).Bind(1, seq);
        if (!row.Step())
            return null;
        var source = new MailSource(
            row.Text(0), row.NullableText(1), row.IsNull(2) ? null : row.Int32(2), row.NullableText(3), row.NullableText(4), row.NullableText(7),
            ((MessageFlags)row.Int64(8)).HasFlag(MessageFlags.ScriptInDoubt));
        (var held, bool isKept) = ((HoldReason)row.Int64(5), !row.IsNull(6));
        row.Reset();
        return isKept ? null : (source, held);
    }

    private static List<long> At(StoreConnection connection, HoldReason reason, string at, int count)
    {
        var found = new List<long>();
        SqliteStatement row = connection.Prepared(SelectAt).Bind(1, (long)reason).Bind(2, at).Bind(3, count);
        while (row.Step())
            found.Add(row.Int64(0));
        return found;
    }

    private static long Attempts(WriteContext context, long seq)
    {
        SqliteStatement select = context.Prepared(SelectAttempts).Bind(1, seq);
        select.Step();
        long attempts = select.Int64(0);
        select.Reset();
        return attempts;
    }

    private static string? Text(SqliteStatement select)
    {
        string? text = select.Step() ? select.Text(0) : null;
        select.Reset();
        return text;
    }
}
