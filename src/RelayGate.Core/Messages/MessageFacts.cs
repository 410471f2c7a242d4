using System.Collections.Immutable;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;

namespace RelayGate.Core.Messages;

/// <summary>What one scan of the mail data tells the policy and the preparer.</summary>
public sealed record MessageFacts
{
    /// <summary>Octets of header section and body as received, after dot-unstuffing.</summary>
    public long Octets { get; init; }

    /// <summary>Number of From fields (RFC 5322 §3.6 allows exactly one).</summary>
    public int FromFields { get; init; }

    /// <summary>
    /// Everything in the first From field that some reader could take for its address; the one a strict reader takes is first.
    /// Domains only matter for ownership (of every one) and signing (the first).
    /// </summary>
    public ImmutableArray<MailboxAddress> From { get; init; } = [];

    /// <summary>There is a From field without any address, or with a part that looks like one and cannot be read.</summary>
    public bool FromUnreadable { get; init; }

    /// <summary>The From field is one local part without a domain, as cron writes it (<c>root (Cron Daemon)</c>): <see cref="From"/> is empty. Else null.</summary>
    public MailboxAddress? UnqualifiedFrom { get; init; }

    /// <summary>Addresses of the one Sender field; empty where there is none, more than one, or one that cannot be read.</summary>
    public ImmutableArray<MailboxAddress> Sender { get; init; } = [];

    /// <summary>The first Sender field as written, for the record, cut to 200 characters; null when missing.</summary>
    public string? SenderText { get; init; }

    /// <summary>Who resent the message last: addresses of the first Resent-Sender field, else of the first Resent-From (RFC 5322 §3.6.6).</summary>
    public ImmutableArray<MailboxAddress> ResentBy { get; init; } = [];

    public bool HasDate { get; init; }

    public bool HasMessageId { get; init; }

    /// <summary>Message-ID as written, with its angle brackets, for logs; null when missing.</summary>
    public string? MessageId { get; init; }

    /// <summary>Number of Received fields (loop detection, RFC 5321 §6.3).</summary>
    public int ReceivedFields { get; init; }

    /// <summary>A Resent- field: somebody has sent it on (RFC 5322 §3.6.6).</summary>
    public bool HasResentFields { get; init; }

    /// <summary>Auto-Submitted is there and says something else than <c>no</c> (RFC 3834 §5).</summary>
    public bool IsAutoSubmitted { get; init; }

    /// <summary>List-Id, or Precedence list: from a mailing list.</summary>
    public bool IsFromList { get; init; }

    /// <summary>There is one TLS-Required field, and it says <c>No</c>: the sender wants the mail delivered whatever TLS policies say (RFC 8689 §5).</summary>
    public bool SaysTlsRequiredNo { get; init; }

    /// <summary>
    /// UTF-8 beyond US-ASCII stands in the header section (fields that are dropped aside): SMTPUTF8 is needed (RFC 6532).
    /// Octets above 127 that are not UTF-8 do not count: no extension makes them right.
    /// </summary>
    public bool HeaderNeedsUtf8 { get; init; }

    /// <summary>An octet above 127 stands in the body: 8BITMIME is needed (RFC 6152).</summary>
    public bool BodyIs8Bit { get; init; }

    /// <summary>The longest line in octets without CRLF (RFC 5321 §4.5.3.1.6: 998).</summary>
    public int LongestLine { get; init; }

    /// <summary>Value of X-PHP-Originating-Script: evidence, never identity.</summary>
    public string? PhpScript { get; init; }

    /// <summary>What made the message, of local mail; null for other mail.</summary>
    public SendingScript? Script { get; init; }

    /// <summary>What the message was found to be; null: not yet. It stays that when its From is rewritten, and when it was held and is released.</summary>
    public MessageClass? Class { get; init; }

    /// <summary>Subject for the record, cut to 200 characters, or null.</summary>
    public string? Subject { get; init; }

    /// <summary>The header section is broken: a line that is neither field, continuation nor the empty line.</summary>
    public bool HeaderIsMalformed { get; init; }
}
