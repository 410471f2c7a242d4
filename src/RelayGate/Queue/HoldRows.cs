using RelayGate.Core.Policy;
using RelayGate.Storage;

namespace RelayGate.Queue;

/// <summary>Why, where and for whom a message is held.</summary>
/// <param name="At">What it waits for (<see cref="HoldKey"/>); null: for an order by hand.</param>
/// <param name="For">Whose it is, where senders take turns.</param>
/// <param name="Note">A slug of <see cref="Reasons"/>: why it was not released when its turn came.</param>
internal sealed record HoldEntry(HoldReason Reason, string? At, string? For, string? Note = null);

/// <summary>The held columns of messages. All changes of them go through here, so that what <see cref="HoldTable"/> counts is what is stored.</summary>
internal static class HoldRows
{
    private const string Select = "select held, held_at, subscription, octets, flags, id from message where seq = ?";

    private const string Update = "update message set held = ?, held_since = ?, held_at = ?, held_for = coalesce(?, held_for), held_note = ?, flags = ? where seq = ?";

    private const string ClearDue = "update recipient set next_attempt = null where message = ? and next_attempt is not null";
    private const string SetDue = "update recipient set next_attempt = ? where message = ? and state = 0";

    /// <summary>Counts a message that is inserted held.</summary>
    public static void Inserted(WriteContext context, HoldEntry hold, QueuedMessage message) =>
        context.Usage.Held(new HeldMessage(hold.Reason, Waiting(hold.Reason, hold.At), message.Subscription, message.Octets, IsCounted: false), 1);

    /// <summary>How a message is held now; null when it has gone.</summary>
    public static (HeldMessage Held, byte[] Id)? Find(WriteContext context, long seq)
    {
        SqliteStatement row = context.Prepared(Select).Bind(1, seq);
        if (!row.Step())
            return null;
        HeldMessage held = Read(row);
        byte[] id = row.Blob(5).ToArray();
        row.Reset();
        return (held, id);
    }

    /// <summary>From columns held, held_at, subscription, octets, flags.</summary>
    public static HeldMessage Read(SqliteStatement row) => new(
        (HoldReason)row.Int64(0), Waiting((HoldReason)row.Int64(0), row.NullableText(1)), row.Text(2), row.Int64(3),
        !((MessageFlags)row.Int64(4)).HasFlag(MessageFlags.NotCounted));

    /// <summary>Holds a message that is not held, or holds it for another reason.</summary>
    /// <returns>False when it has gone.</returns>
    public static bool Hold(WriteContext context, long seq, HoldEntry hold, DateTimeOffset now)
    {
        if (Find(context, seq) is not ({ } before, _))
            return false;
        Set(context, seq, before, hold, now, before.IsCounted);
        if (before.Reason == HoldReason.None)
            context.Prepared(ClearDue).Bind(1, seq).Execute();
        return true;
    }

    /// <summary>Lets a message go on: its recipients are due at <paramref name="due"/>.</summary>
    /// <param name="counts">It counts at its levels from now on.</param>
    public static void Release(WriteContext context, long seq, in HeldMessage before, DateTimeOffset due, bool counts)
    {
        Set(context, seq, before, null, due, before.IsCounted || counts);
        context.Prepared(SetDue).Bind(1, due.ToUnixTimeMilliseconds()).Bind(2, seq).Execute();
    }

    /// <summary>Notes that a message which may be held is held no more, where its row stays. Before the row changes.</summary>
    public static void Leave(WriteContext context, long seq)
    {
        if (Find(context, seq) is ({ Reason: not HoldReason.None } before, _))
            context.Usage.Held(before, -1);
    }

    private static void Set(WriteContext context, long seq, in HeldMessage before, HoldEntry? hold, DateTimeOffset now, bool isCounted)
    {
        HoldReason reason = hold?.Reason ?? HoldReason.None;
        SqliteStatement flags = context.Prepared("select flags, held_since from message where seq = ?").Bind(1, seq);
        flags.Step();
        long value = isCounted ? flags.Int64(0) & ~(long)MessageFlags.NotCounted : flags.Int64(0);
        long? since = hold is null ? null : flags.NullableInt64(1) ?? now.ToUnixTimeMilliseconds();
        flags.Reset();
        context.Prepared(Update).Bind(1, (long)reason).Bind(2, since).Bind(3, hold?.At).Bind(4, hold?.For).Bind(5, hold?.Note).Bind(6, value).Bind(7, seq).Execute();
        if (before.Reason != HoldReason.None)
            context.Usage.Held(before, -1);
        if (hold is not null)
            context.Usage.Held(new HeldMessage(reason, Waiting(reason, hold.At), before.Subscription, before.Octets, isCounted), 1);
    }

    private static AccountKey? Waiting(HoldReason reason, string? at) => reason == HoldReason.Limit && at is not null ? HoldKey.Parse(at) : null;
}
