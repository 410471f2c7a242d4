using System.Collections.Immutable;
using System.Security.Cryptography;
using RelayGate.Core.Dkim;
using RelayGate.Core.Dsn;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Core.Smtp;

namespace RelayGate.Queue;

/// <summary>Mail of our own making (DSNs, notices): from the null reverse-path, counted for nobody, and never the cause of a DSN.</summary>
internal static class OwnMail
{
    private static readonly Decision Accepted = new()
    {
        Verdict = Verdict.Accept,
        Reason = Reasons.Accepted,
        Reply = SmtpReply.Parse("250 2.0.0 Queued"),
        ReversePath = ReversePath.Null,
    };

    /// <summary>A queue id that nobody else gives.</summary>
    public static QueueId NewId(DateTimeOffset at)
    {
        Span<byte> random = stackalloc byte[10];
        RandomNumberGenerator.Fill(random);
        return QueueId.Create(at, BitConverter.ToUInt16(random), BitConverter.ToUInt64(random[2..]));
    }

    /// <param name="subscription">Whose egress it leaves from; "": the server's.</param>
    /// <param name="keys">With which it is signed; empty where it is signed already, or there are none.</param>
    /// <param name="nextAttempt">When it is due if this process does not attempt it at once.</param>
    public static QueuedMessage Make(
        QueueId id, string subscription, ForwardPath recipient, EgressChoice egress, ComposedDsn content, ImmutableArray<DkimKey> keys, DateTimeOffset nextAttempt) => new()
        {
            Id = id,
            RowId = 0,
            Subscription = subscription,
            ReceivedAt = id.Timestamp,
            ReversePath = ReversePath.Null,
            Recipients = [new QueuedRecipient(0, recipient, DsnNotify.Never, null, RecipientState.Pending, 0, nextAttempt, null)],
            RecipientCount = 1,
            Egress = egress,
            HeaderNeedsUtf8 = content.HeaderNeedsUtf8,
            BodyIs8Bit = content.BodyIs8Bit,
            IsDsn = true,
            HeaderSection = content.Signed(keys, id.Timestamp).HeaderSection,
            Body = MessageBody.FromBytes(content.Body),
        };

    /// <summary>Puts it into the queue with its record. To be told as enqueued after the commit, with the row id that is returned.</summary>
    /// <param name="identity">What made it, as the record names it: dsn or notice.</param>
    public static long Insert(WriteContext context, QueuedMessage message, RecordKind kind, string identity, DateTimeOffset now, ReadOnlySpan<byte> detail)
    {
        byte[] id = message.Id.ToBytes();
        long seq = context.NextSeq();
        MessageRows.Insert(context, seq, id, message, EgressText.Format(message.Egress));
        RecordRows.Insert(
            context, id, kind, Accepted, RecordOutcome.Queued, message.Subscription.Length == 0 ? null : message.Subscription, identity, "",
            message.Recipients[0].ForwardPath.Text, message.Octets, now.ToUnixTimeMilliseconds(), detail, []);
        return seq;
    }
}
