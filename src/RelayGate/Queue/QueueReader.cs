using System.Buffers;
using System.Collections.Immutable;
using RelayGate.Core.Mail;
using RelayGate.Storage;

namespace RelayGate.Queue;

/// <summary>One recipient that is due, as the scheduler finds it.</summary>
internal readonly record struct DueRecipient(string Subscription, long NextAttempt, long Seq, int Position, string Address, string? CountedAt);

/// <summary>Reads the rows of the queue.</summary>
internal static class QueueReader
{
    private const string SelectNextSubscription =
        "select subscription, next_attempt from recipient where next_attempt is not null and subscription > ? order by subscription, next_attempt limit 1";

    private const string SelectFirstSubscription =
        "select subscription, next_attempt from recipient where next_attempt is not null order by subscription, next_attempt limit 1";

    private const string SelectDue = """
        select next_attempt, message, position, address, counted_at from recipient
        where next_attempt is not null and subscription = ? and next_attempt <= ? and (next_attempt, message, position) > (?, ?, ?)
          and (next_attempt <= ? or (attempts = 0 and waits_for is null))
        order by next_attempt, message, position limit ?
        """;

    private const string SelectMessage =
        "select id, subscription, reverse_path, flags, dsn_return, envelope_id, egress, octets, header, body, uid, credential, script, named_domains, requeued_at from message where seq = ?";

    private const string SelectRecipients =
        "select position, address, notify, original_recipient, state, attempts, next_attempt, last_reply, counted_at, delay_noticed, waits_for, uncounted from recipient where message = ? order by position";

    private const string SelectChunk = "select octets from chunk where id = ? and number = ?";

    /// <summary>The first subscription after <paramref name="after"/> that has mail to attempt, and when its first is due.</summary>
    /// <param name="after">Null: from the beginning.</param>
    public static (string Subscription, long NextAttempt)? NextSubscription(StoreConnection connection, string? after)
    {
        SqliteStatement select = after is null ? connection.Prepared(SelectFirstSubscription) : connection.Prepared(SelectNextSubscription).Bind(1, after);
        (string, long)? found = select.Step() ? (select.Text(0), select.Int64(1)) : null;
        select.Reset();
        return found;
    }

    /// <summary>Adds up to <paramref name="limit"/> recipients that are due, after <paramref name="after"/> in the order of their time.</summary>
    /// <param name="untried">Until when those count as due that were never tried: <paramref name="now"/>, or later after a restart.</param>
    public static int Due(StoreConnection connection, string subscription, long now, long untried, DueRecipient? after, int limit, List<DueRecipient> due)
    {
        SqliteStatement select = connection.Prepared(SelectDue).Bind(1, subscription).Bind(2, untried)
            .Bind(3, after?.NextAttempt ?? 0L).Bind(4, after?.Seq ?? 0L).Bind(5, (long)(after?.Position ?? 0)).Bind(6, now).Bind(7, limit);
        int count = 0;
        while (select.Step())
        {
            due.Add(new DueRecipient(subscription, select.Int64(0), select.Int64(1), select.Int32(2), select.Text(3), select.NullableText(4)));
            count++;
        }
        return count;
    }

    /// <summary>One message with its pending recipients; its body is in pooled memory, or left in its chunks.</summary>
    /// <returns>Null when it has gone.</returns>
    /// <exception cref="FormatException">A row was not written by this program, or is damaged.</exception>
    public static QueuedMessage? Message(StoreConnection connection, long seq)
    {
        (ImmutableArray<QueuedRecipient> recipients, int count, string? countedAt) = Recipients(connection, seq);
        SqliteStatement row = connection.Prepared(SelectMessage).Bind(1, seq);
        if (!row.Step())
            return null;
        try
        {
            var flags = (MessageFlags)row.Int64(3);
            QueueId id = QueueId.FromBytes(row.Blob(0));
            byte[] header = row.Blob(8).ToArray();
            return new QueuedMessage
            {
                Id = id,
                RowId = seq,
                Subscription = row.Text(1),
                CountedAt = countedAt,
                Uid = row.IsNull(10) ? null : row.Int32(10),
                Credential = row.NullableText(11),
                Script = row.NullableText(12),
                IsScriptInDoubt = flags.HasFlag(MessageFlags.ScriptInDoubt),
                NamedDomains = row.NullableText(13),
                Class = MessageRows.ClassOf(flags),
                ReceivedAt = id.Timestamp,
                RequeuedAt = row.NullableInt64(14) is { } requeued ? DateTimeOffset.FromUnixTimeMilliseconds(requeued) : null,
                ReversePath = row.Text(2) is { Length: > 0 } path ? new ReversePath(Address(path)) : ReversePath.Null,
                Recipients = recipients,
                RecipientCount = count,
                Return = (DsnReturn)row.Int64(4),
                EnvelopeId = row.NullableText(5),
                Egress = EgressText.Parse(row.Text(6)),
                HeaderNeedsUtf8 = flags.HasFlag(MessageFlags.HeaderNeedsUtf8),
                BodyIs8Bit = flags.HasFlag(MessageFlags.BodyIs8Bit),
                IsDsn = flags.HasFlag(MessageFlags.IsDsn),
                RequiresTls = flags.HasFlag(MessageFlags.RequiresTls),
                IgnoresTlsPolicies = flags.HasFlag(MessageFlags.IgnoresTlsPolicies),
                HeaderSection = header,
                Body = flags.HasFlag(MessageFlags.IsChunked) ? MessageBody.InStore(row.Int64(7) - header.Length) : Body(row.Blob(9)),
            };
        }
        finally
        {
            row.Reset();
        }
    }

    /// <summary>One chunk of a body in the store, or null.</summary>
    public static byte[]? Chunk(StoreConnection connection, QueueId id, int number)
    {
        SqliteStatement select = connection.Prepared(SelectChunk).Bind(1, id.ToBytes()).Bind(2, number);
        byte[]? octets = select.Step() ? select.Blob(0).ToArray() : null;
        select.Reset();
        return octets;
    }

    public static MailboxAddress Address(string text) =>
        MailboxAddress.TryParse(text, out MailboxAddress? address, allowUnqualified: true) ? address : throw new FormatException("A stored address cannot be read");

    /// <returns>Those that have not ended, how many there are in all, and what their message was counted at.</returns>
    private static (ImmutableArray<QueuedRecipient> Pending, int Count, string? CountedAt) Recipients(StoreConnection connection, long seq)
    {
        var recipients = ImmutableArray.CreateBuilder<QueuedRecipient>();
        int count = 0;
        string? countedAt = null;
        SqliteStatement row = connection.Prepared(SelectRecipients).Bind(1, seq);
        try
        {
            while (row.Step())
            {
                if (count++ == 0)
                    countedAt = row.NullableText(8);
                if ((RecipientState)row.Int64(4) == RecipientState.Pending)
                    recipients.Add(Recipient(row));
            }
        }
        finally
        {
            row.Reset(); // Also when a row cannot be read: an open statement would keep the reader at an old state of the store.
        }
        return (recipients.ToImmutable(), count, countedAt);
    }

    private static QueuedRecipient Recipient(SqliteStatement row) => new(
        row.Int32(0), new ForwardPath(Address(row.Text(1))), (DsnNotify)row.Int64(2), row.NullableText(3), (RecipientState)row.Int64(4), row.Int32(5),
        row.NullableInt64(6) is { } at ? DateTimeOffset.FromUnixTimeMilliseconds(at) : DateTimeOffset.MaxValue, row.NullableText(7),
        DelayNoticed: row.Int64(9) != 0)
    {
        WaitsFor = row.NullableText(10),
        Uncounted = row.Int32(11),
    };

    private static MessageBody Body(ReadOnlySpan<byte> octets)
    {
        byte[] pooled = ArrayPool<byte>.Shared.Rent(Math.Max(1, octets.Length));
        octets.CopyTo(pooled);
        return MessageBody.FromPooled(pooled, 0, octets.Length);
    }
}
