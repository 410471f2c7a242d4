using RelayGate.Core.Mail;
using RelayGate.Core.Messages;
using RelayGate.Core.Policy;

namespace RelayGate.Queue;

/// <summary>Where and how a session reached us, for the trace field, the record and the log.</summary>
/// <param name="Listener">Name of the listener.</param>
/// <param name="HeloName">As the client gave it; "" when it gave none.</param>
/// <param name="Protocol">SMTP, ESMTP, ESMTPS, ESMTPA, ESMTPSA, UTF8SMTP… (RFC 3848, RFC 6531 §4.3).</param>
/// <param name="TlsVersion">For instance TLS 1.3; null without TLS.</param>
/// <param name="TlsCipher">Cipher suite name; null without TLS.</param>
/// <param name="Claims">What the client says of itself; null when nothing.</param>
public sealed record SubmissionSource(string Listener, string HeloName, string Protocol, string? TlsVersion = null, string? TlsCipher = null, SenderClaims? Claims = null);

/// <summary>A message that the early decision accepts, prepared and signed, on its way to the binding decision and the store.</summary>
public sealed record OfferedMessage
{
    public required QueueId Id { get; init; }

    /// <summary>Time of MAIL.</summary>
    public required DateTimeOffset ReceivedAt { get; init; }

    public required SubmissionSource Source { get; init; }

    public required SenderAccount Account { get; init; }

    public required Envelope Envelope { get; init; }

    public required MessageFacts Facts { get; init; }

    /// <summary>The early decision; the binding one may change only verdict and usage figures.</summary>
    public required Decision Early { get; init; }

    /// <summary>The new header section with its signature and the empty line that ends it.</summary>
    public required byte[] HeaderSection { get; init; }

    /// <summary>What was added, dropped or replaced in the header section, for the record: <c>+Received</c>, <c>-Bcc</c>, <c>~From</c>.</summary>
    public required IReadOnlyList<string> HeaderChanges { get; init; }

    /// <summary>The body; the writer takes its own reference.</summary>
    public required MessageBody Body { get; init; }
}

/// <summary>An offer that ended without entering the queue: only its record is kept.</summary>
public sealed class RefusedOffer
{
    public required QueueId Id { get; init; }

    public required DateTimeOffset ReceivedAt { get; init; }

    public required SubmissionSource Source { get; init; }

    /// <summary>Null when no account could be looked up (no identity, unknown uid).</summary>
    public SenderAccount? Account { get; init; }

    public required SenderIdentity Identity { get; init; }

    public required Envelope Envelope { get; init; }

    public MessageFacts? Facts { get; init; }

    public required Decision Decision { get; init; }

    /// <summary>Of the message as far as it was known, else that of what the identity writes itself.</summary>
    public MessageClass Class => Decision.Class ?? MessageClasses.Of(Identity.Kind);

    /// <summary>What offered it, of local mail; while the message is not known, by what the client claims.</summary>
    public SendingScript? Script { get; init; }

    /// <summary>connect, AUTH, MAIL, RCPT, DATA or end-of-data.</summary>
    public required string Stage { get; init; }
}

/// <summary>What became of an <see cref="OfferedMessage"/>.</summary>
public enum OfferOutcome
{
    /// <summary>Durable. The decision's reply (250) may be sent.</summary>
    Committed,

    /// <summary>The binding decision refused; its reply is to be sent, and its record is durable or on its way.</summary>
    Refused,

    /// <summary>Accounts changed since the early decision: look up, decide, prepare and sign again (twice at most, then 451 4.3.0).</summary>
    AccountChanged,

    /// <summary>No room: 452 4.3.1.</summary>
    StoreFull,

    /// <summary>The store failed: 451 4.3.0.</summary>
    StoreFailed,

    /// <summary>The writer did not take the write in time, and never will: 451 4.3.2.</summary>
    Expired,
}

/// <param name="Decision">The binding decision when there was one.</param>
public sealed record OfferResult(OfferOutcome Outcome, Decision? Decision);
