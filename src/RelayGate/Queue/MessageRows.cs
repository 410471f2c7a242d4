using System.Collections.Immutable;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Storage;

namespace RelayGate.Queue;

/// <summary>The rows of a queued message and its recipients.</summary>
internal static class MessageRows
{
    private const string InsertMessage = """
        insert into message (seq, id, subscription, reverse_path, flags, dsn_return, envelope_id, egress, octets, held, held_since, held_at, held_for, uid, credential, script, named_domains, header, body)
        values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        """;

    private const string InsertRecipient = """
        insert into recipient (message, position, subscription, counted_at, address, notify, original_recipient, state, attempts, next_attempt, last_reply, delay_noticed)
        values (?, ?, ?, ?, ?, ?, ?, ?, 0, ?, null, 0)
        """;

    /// <summary>The class and 1; 0: mail of our own making.</summary>
    public const int ClassBits = 7 << ClassShift;

    private const int ClassShift = 8;
    private const string DeleteRecipients = "delete from recipient where message = ?";
    private const string DeleteMessage = "delete from message where seq = ? returning held, held_at, subscription, octets, flags, expires_at is null";
    private const string DeleteChunks = "delete from chunk where id = ?";

    /// <summary>Inserts a message; its row id is its sequence number, given by the writer and never used twice while it runs.</summary>
    /// <param name="idOctets">The 16 octets of the queue id.</param>
    /// <param name="hold">Null: it goes on at once.</param>
    public static void Insert(WriteContext context, long seq, ReadOnlySpan<byte> idOctets, QueuedMessage message, string egress, HoldEntry? hold = null)
    {
        MessageFlags flags = Flags(message) | (hold is null ? MessageFlags.None : MessageFlags.NotCounted);
        SqliteStatement insert = context.Prepared(InsertMessage)
            .Bind(1, seq).Bind(2, idOctets).Bind(3, message.Subscription).Bind(4, message.ReversePath.Text).Bind(5, (long)flags)
            .Bind(6, (long)message.Return).Bind(7, message.EnvelopeId).Bind(8, egress).Bind(9, message.Octets)
            .Bind(10, (long)(hold?.Reason ?? HoldReason.None)).Bind(11, hold is null ? null : message.ReceivedAt.ToUnixTimeMilliseconds())
            .Bind(12, hold?.At).Bind(13, hold?.For).Bind(14, message.Uid).Bind(15, message.Credential).Bind(16, message.Script)
            .Bind(17, message.NamedDomains).Bind(18, message.HeaderSection.Span);
        if (message.Body.IsChunked)
            insert.BindNull(19);
        else
            insert.Bind(19, message.Body.Memory.Span);
        insert.Execute();
        context.Usage.Queued(1);
        if (hold is not null)
            HoldRows.Inserted(context, hold, message);
        foreach (QueuedRecipient recipient in message.Recipients)
        {
            context.Prepared(InsertRecipient)
                .Bind(1, seq).Bind(2, recipient.Index).Bind(3, message.Subscription).Bind(4, message.CountedAt).Bind(5, recipient.ForwardPath.Text)
                .Bind(6, (long)recipient.Notify).Bind(7, recipient.OriginalRecipient).Bind(8, (long)recipient.State)
                .Bind(9, hold is null ? recipient.NextAttempt.ToUnixTimeMilliseconds() : null).Execute();
        }
    }

    /// <summary>Deletes a message with its recipients and chunks.</summary>
    /// <returns>False when it had gone already.</returns>
    public static bool Delete(WriteContext context, long seq, ReadOnlySpan<byte> idOctets, bool isChunked)
    {
        context.Prepared(DeleteRecipients).Bind(1, seq).Execute();
        SqliteStatement message = context.Prepared(DeleteMessage).Bind(1, seq);
        bool existed = message.Step();
        if (existed)
        {
            HeldMessage held = HoldRows.Read(message);
            if (message.Int64(5) != 0)
                context.Usage.Queued(-1);
            message.Reset();
            if (held.Reason != HoldReason.None)
                context.Usage.Held(held, -1);
        }
        if (isChunked)
            context.Prepared(DeleteChunks).Bind(1, idOctets).Execute();
        return existed;
    }

    /// <summary>Holds a message that something is wrong with.</summary>
    public static void Park(WriteContext context, long seq, DateTimeOffset now)
    {
        if (HoldRows.Find(context, seq) is not (_, { } id))
            return;
        HoldRows.Hold(context, seq, new HoldEntry(HoldReason.Fault, null, null), now);
        RecordRows.SetOutcome(context, id, RecordOutcome.Held, now);
    }

    /// <summary>The recipients of a new message, born with their next attempt set: a crash right after the first attempt cannot hammer a peer.</summary>
    public static ImmutableArray<QueuedRecipient> NewRecipients(Envelope envelope, DateTimeOffset nextAttempt)
    {
        ImmutableArray<QueuedRecipient>.Builder recipients = ImmutableArray.CreateBuilder<QueuedRecipient>(envelope.Recipients.Length);
        foreach (EnvelopeRecipient recipient in envelope.Recipients)
        {
            recipients.Add(new QueuedRecipient(
                recipients.Count, recipient.ForwardPath, recipient.Notify, recipient.OriginalRecipient, RecipientState.Pending, 0, nextAttempt, null));
        }
        return recipients.MoveToImmutable();
    }

    /// <summary>The class that flags tell of.</summary>
    public static MessageClass? ClassOf(MessageFlags flags) =>
        ((int)flags & ClassBits) is var bits and not 0 ? (MessageClass)((bits >> ClassShift) - 1) : null;

    private static MessageFlags Flags(QueuedMessage message) =>
        (message.HeaderNeedsUtf8 ? MessageFlags.HeaderNeedsUtf8 : MessageFlags.None)
        | (message.BodyIs8Bit ? MessageFlags.BodyIs8Bit : MessageFlags.None)
        | (message.IsDsn ? MessageFlags.IsDsn : MessageFlags.None)
        | (message.IsScriptInDoubt ? MessageFlags.ScriptInDoubt : MessageFlags.None)
        | (message.RequiresTls ? MessageFlags.RequiresTls : MessageFlags.None)
        | (message.IgnoresTlsPolicies ? MessageFlags.IgnoresTlsPolicies : MessageFlags.None)
        | (message.Body.IsChunked ? MessageFlags.IsChunked : MessageFlags.None)
        | (message.Class is { } messageClass ? (MessageFlags)(((int)messageClass + 1) << ClassShift) : MessageFlags.None);
}
