using System.Buffers;
using System.Collections.Immutable;
using System.Text;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Core.Replies;
using RelayGate.Storage;

namespace RelayGate.Queue;

/// <summary>Reads messages of the queue for people: listed, or one with its content.</summary>
internal static class QueueLookup
{
    private const string SelectItem = "select id, subscription, reverse_path, octets, held, expires_at, script, egress, requeued_at from message where seq = ?";
    private const string SelectSeq = "select seq from message where id = ?";

    private const string SelectPending =
        "select address, attempts, next_attempt, last_reply, counted_at, last_class, waits_for from recipient where message = ? and state = ? order by position";

    private const string SelectEntry = """
        select id, subscription, reverse_path, octets, held, expires_at, flags, dsn_return, envelope_id, egress, header, body, coalesce(length(body), 0), requeued_at
        from message where seq = ?
        """;

    private const string SelectContent = "select subscription, flags, octets, header, body from message where id = ?";

    private const string SelectRecipients = """
        select position, address, notify, original_recipient, state, attempts, next_attempt, last_reply, waits_for from recipient
        where message = ? order by position
        """;

    private const int MaxListed = 3; // Recipients of an item.

    public static long? Seq(StoreConnection connection, QueueId id)
    {
        SqliteStatement select = connection.Prepared(SelectSeq).Bind(1, id.ToBytes());
        long? seq = select.Step() ? select.Int64(0) : null;
        select.Reset();
        return seq;
    }

    /// <summary>One message of the queue; null when it has gone or is not looked for. One that failed only where the filter says so.</summary>
    public static QueueItem? Item(StoreConnection connection, long seq, QueueFilter filter)
    {
        SqliteStatement row = connection.Prepared(SelectItem).Bind(1, seq);
        if (!row.Step())
            return null;
        QueueId id = QueueId.FromBytes(row.Blob(0));
        (string subscription, string sender, long octets, var held, long? keptUntil) =
            (row.Text(1), row.Text(2), row.Int64(3), (HoldReason)row.Int64(4), row.NullableInt64(5));
        string egress = row.Text(7);
        long? requeuedAt = row.NullableInt64(8);
        bool isLookedFor = (keptUntil is not null) == filter.IsOfFailed && filter.Matches(new FilteredMessage(id, held, sender, row.NullableText(6), egress, keptUntil is not null));
        row.Reset();
        if (!isLookedFor)
            return null;
        var recipients = ImmutableArray.CreateBuilder<string>();
        var asked = new List<FilteredRecipient>();
        (int count, int attempts, DateTimeOffset? next, string? reply, string? waitsFor) = (0, 0, null, null, null);
        SqliteStatement select = connection.Prepared(SelectPending).Bind(1, seq).Bind(2, (long)filter.Asked);
        while (select.Step())
        {
            string address = select.Text(0);
            string? lastReply = select.NullableText(3);
            waitsFor ??= select.NullableText(6);
            asked.Add(new FilteredRecipient(
                address, select.NullableText(4), select.IsNull(6) ? select.Int32(1) : Math.Max(1, select.Int32(1)), lastReply, (ReplyClass)select.Int32(5))); // Put off is deferred.
            if (count++ < MaxListed)
                recipients.Add(address);
            attempts = Math.Max(attempts, select.Int32(1));
            if (WaitEnds.NextAttempt(connection, select.NullableText(6), select.NullableInt64(2)) is { } at && (next is null || at < next))
                next = at;
            reply ??= lastReply;
        }
        if (!filter.Matches(asked, held))
            return null;
        QueueState state = keptUntil is not null ? QueueState.Failed
            : held != HoldReason.None ? QueueState.Held
            : attempts > 0 || waitsFor is not null ? QueueState.Deferred : QueueState.Active;
        return new QueueItem(
            id.ToString(), id.Timestamp, state, held == HoldReason.None ? null : held, subscription, sender, recipients.ToImmutable(), count, octets, attempts,
            next, reply)
        {
            WaitsFor = waitsFor,
            Egress = [.. Addresses(EgressText.Parse(egress)).Select(static a => a.Address.ToString())],
            RequeuedAt = requeuedAt is { } requeued ? RecordReader.Time(requeued) : null,
            KeptUntil = keptUntil is { } kept ? RecordReader.Time(kept) : null,
        };
    }

    /// <summary>The octets of a message; a body in chunks is left there.</summary>
    /// <returns>Null when it is not there, or of another subscription.</returns>
    public static MessageContent? Content(StoreConnection connection, QueueId id, string? onlySubscription)
    {
        SqliteStatement row = connection.Prepared(SelectContent).Bind(1, id.ToBytes());
        try
        {
            if (!row.Step() || (onlySubscription is not null && row.Text(0) != onlySubscription))
                return null;
            byte[] header = row.Blob(3).ToArray();
            bool isChunked = ((MessageFlags)row.Int64(1)).HasFlag(MessageFlags.IsChunked);
            return new MessageContent(header, row.Int64(2) - header.Length, isChunked ? null : row.Blob(4).ToArray());
        }
        finally
        {
            row.Reset();
        }
    }

    public static QueueEntry? Entry(StoreConnection connection, QueueId id, string? onlySubscription, int maxBodyOctets)
    {
        if (Seq(connection, id) is not { } seq)
            return null;
        ImmutableArray<QueueEntryRecipient> recipients = Recipients(connection, seq);
        SqliteStatement row = connection.Prepared(SelectEntry).Bind(1, seq);
        try
        {
            if (!row.Step() || (onlySubscription is not null && row.Text(1) != onlySubscription))
                return null;
            var held = (HoldReason)row.Int64(4);
            var flags = (MessageFlags)row.Int64(6);
            DateTimeOffset? keptUntil = row.NullableInt64(5) is { } kept ? RecordReader.Time(kept) : null;
            QueueState state = keptUntil is not null ? QueueState.Failed
                : held != HoldReason.None ? QueueState.Held
                : recipients.Any(r => r.State == RecipientState.Pending && (r.Attempts > 0 || r.WaitsFor is not null)) ? QueueState.Deferred : QueueState.Active;
            ReadOnlySpan<byte> header = row.Blob(10);
            bool isChunked = flags.HasFlag(MessageFlags.IsChunked);
            long bodyOctets = isChunked ? row.Int64(3) - header.Length : row.Int64(12);
            string body = isChunked ? ChunkedBody(connection, id, maxBodyOctets) : Text(Start(row.Blob(11), maxBodyOctets));
            return new QueueEntry(
                id.ToString(), id.Timestamp, state, held == HoldReason.None ? null : held, row.Text(1), row.Text(2), row.NullableText(8), (DsnReturn)row.Int64(7),
                flags.HasFlag(MessageFlags.IsDsn), EgressText.ForPeople(EgressText.Parse(row.Text(9))), row.Int64(3), keptUntil, recipients, Text(header), body, bodyOctets,
                bodyOctets > maxBodyOctets)
            {
                RequeuedAt = row.NullableInt64(13) is { } requeued ? RecordReader.Time(requeued) : null,
            };
        }
        finally
        {
            row.Reset();
        }
    }

    /// <summary>Whether a stored address is at this domain, whatever its spelling.</summary>
    public static bool IsAt(string address, string domain) =>
        address.Length > domain.Length && address[^(domain.Length + 1)] == '@' && address.EndsWith(domain, StringComparison.OrdinalIgnoreCase)
        || (!Ascii.IsValid(address) && MailboxAddress.TryParse(address, out MailboxAddress? read) && read.Domain?.Value == domain);

    private static ImmutableArray<QueueEntryRecipient> Recipients(StoreConnection connection, long seq)
    {
        var recipients = ImmutableArray.CreateBuilder<QueueEntryRecipient>();
        SqliteStatement row = connection.Prepared(SelectRecipients).Bind(1, seq);
        while (row.Step())
        {
            recipients.Add(new QueueEntryRecipient(
                row.Int32(0), row.Text(1), (DsnNotify)row.Int64(2), row.NullableText(3), (RecipientState)row.Int64(4), row.Int32(5),
                WaitEnds.NextAttempt(connection, row.NullableText(8), row.NullableInt64(6)), row.NullableText(7), row.NullableText(8)));
        }
        return recipients.ToImmutable();
    }

    private static string ChunkedBody(StoreConnection connection, QueueId id, int maxOctets)
    {
        var body = new ArrayBufferWriter<byte>();
        for (int number = 0; body.WrittenCount < maxOctets && QueueReader.Chunk(connection, id, number) is { } chunk; number++)
            body.Write(Start(chunk, maxOctets - body.WrittenCount));
        return Text(body.WrittenSpan);
    }

    private static IEnumerable<EgressAddress> Addresses(EgressChoice egress) => new[] { egress.IPv4, egress.IPv6 }.OfType<EgressAddress>();

    private static ReadOnlySpan<byte> Start(ReadOnlySpan<byte> octets, int max) => octets[..Math.Min(octets.Length, max)];

    private static string Text(ReadOnlySpan<byte> octets) => Encoding.UTF8.GetString(octets);
}

/// <summary>The octets of a message as they leave.</summary>
/// <param name="Header">The header section with the empty line that ends it.</param>
/// <param name="Body">Null: in chunks.</param>
internal sealed record MessageContent(byte[] Header, long BodyOctets, byte[]? Body);

/// <summary>Parts of a message.</summary>
public enum ContentPart
{
    Raw,
    Headers,
    Body,
}
