using System.Collections.Immutable;
using RelayGate.Core.Dkim;
using RelayGate.Core.Mail;
using RelayGate.Core.Messages;
using RelayGate.Core.Replies;
using RelayGate.Core.Smtp;

namespace RelayGate.Core.Dsn;

/// <summary>What a DSN says of a recipient (RFC 3464 §2.3.3).</summary>
public enum DsnAction
{
    Failed,
    Delayed,
    Delivered,

    /// <summary>Handed to a next hop that does not offer DSN.</summary>
    Relayed,
}

/// <summary>What of ours a message waited for: neither the message nor its recipient was at fault.</summary>
public enum WaitCause
{
    /// <summary>For nothing: it was attempted.</summary>
    None,

    /// <summary>The provider refuses the address that it leaves from.</summary>
    Paused,

    /// <summary>From the address only so many messages go to the provider at a time.</summary>
    Pace,

    /// <summary>The address that it leaves from is not on this host.</summary>
    Missing,

    /// <summary>All connections that it might go by were in use.</summary>
    Connection,

    /// <summary>The address that it leaves from rests, or the destination is suspended, by hand.</summary>
    ByHand,
}

/// <param name="OriginalRecipient">ORCPT as written, or null.</param>
/// <param name="Status">Enhanced status code, for instance 5.1.1.</param>
/// <param name="RemoteMta">Host that spoke, or null for a local reason.</param>
/// <param name="Diagnostic">The reply, cleaned and cut; for a local reason our own text.</param>
/// <param name="WillRetryUntil">For <see cref="DsnAction.Delayed"/>.</param>
public sealed record DsnRecipient(
    ForwardPath ForwardPath, string? OriginalRecipient, DsnAction Action, string Status, string? RemoteMta, string Diagnostic,
    DateTimeOffset LastAttempt, DateTimeOffset? WillRetryUntil = null)
{
    /// <summary>What the refusal is about.</summary>
    public ReplyClass Class { get; init; }

    /// <summary>What it waited for last.</summary>
    public WaitCause Wait { get; init; }

    /// <summary>The next hop lacks SMTPUTF8 or 8BITMIME for it (RFC 3463 5.6.3, RFC 6531 5.6.7 to 5.6.10).</summary>
    public bool IsFor8Bit => EnhancedStatusCode.TryParse(Status, out EnhancedStatusCode code, out _) && (code.Subject, code.Detail) is (6, 3 or (>= 7 and <= 10));

    /// <summary>It failed because its time had come, whatever the last attempt met.</summary>
    public bool IsExpired => Action == DsnAction.Failed && Status == "5.4.7";
}

/// <param name="Original">Header section of the original with the empty line; its body follows in <paramref name="OriginalBody"/> if all is returned.</param>
/// <param name="OriginalBody">Null: only the header section is returned (RET=HDRS, too large, or in the store).</param>
public sealed record DsnRequest(
    QueueId Id, QueueId OriginalId, string ReportingMta, MailboxAddress To, string? EnvelopeId, DateTimeOffset ArrivedAt, DateTimeOffset Now,
    ImmutableArray<DsnRecipient> Recipients, ReadOnlyMemory<byte> Original, ReadOnlyMemory<byte>? OriginalBody)
{
    /// <summary>Largest header section and largest whole message that are returned, in octets.</summary>
    public int MaxReturnedOctets { get; init; } = DsnComposer.DefaultMaxReturnedOctets;

    /// <summary>Of the header; null: MAILER-DAEMON at <see cref="ReportingMta"/>.</summary>
    public MailboxAddress? From { get; init; }
}

/// <summary>The octets of a DSN, or of another mail of our own making.</summary>
/// <param name="HeaderSection">With the empty line that ends it.</param>
public sealed record ComposedDsn(byte[] HeaderSection, byte[] Body, bool HeaderNeedsUtf8, bool BodyIs8Bit)
{
    /// <summary>The same with a DKIM signature of each key on top.</summary>
    public ComposedDsn Signed(ImmutableArray<DkimKey> keys, DateTimeOffset at)
    {
        if (keys.IsEmpty)
            return this;
        HeaderSection header = Messages.HeaderSection.Parse(HeaderSection);
        byte[] bodyHash = RelaxedBodyHash.Of(Body);
        return this with { HeaderSection = [.. keys.SelectMany(key => DkimSigner.Sign(header, key, bodyHash, at)), .. HeaderSection] };
    }
}
