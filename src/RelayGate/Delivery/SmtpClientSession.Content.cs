using RelayGate.Configuration;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Queue;

namespace RelayGate.Delivery;

/// <content>Command lines and mail data.</content>
internal sealed partial class SmtpClientSession
{
    private const int FlushOctets = 256 * 1024;
    private const double MinimumOctetsPerSecond = 16 * 1024; // Slower next hops are taken for stalled while they receive mail data.

    private static readonly ReadOnlyMemory<byte> Dot = "."u8.ToArray();
    private static readonly ReadOnlyMemory<byte> LineEnd = "\r\n"u8.ToArray();

    /// <summary>Decides the recipients that this next hop cannot serve, without bothering it.</summary>
    private void RefuseWhatTheNextHopLacks(MailTransaction transaction)
    {
        QueuedMessage message = transaction.Message;
        transaction.Stage = DeliveryStage.Local;
        if (message.RequiresTls && !Keywords.RequireTls && !message.IsDsn) // RFC 8689 §5: a report is not given up for it.
            transaction.DecideRest(TlsPlanner.RequirementNotMet($"The message requires TLS on its whole way, and {NextHop.Host} does not offer REQUIRETLS"));
        if (Keywords.SizeLimit is { } limit && message.Octets > limit)
            transaction.DecideRest(RecipientOutcome.Local(OutcomeKind.Failed, "5.3.4", $"The message has {message.Octets} octets, {NextHop.Host} takes {limit}"));
        if (message.BodyIs8Bit && !Keywords.EightBitMime && _options.EightBit == EightBitMode.Bounce && !message.IsDsn) // Nobody would hear of a report that fails.
            transaction.DecideRest(RecipientOutcome.Local(OutcomeKind.Failed, "5.6.3", $"The message is 8-bit and {NextHop.Host} does not offer 8BITMIME"));
        if (Keywords.SmtpUtf8)
            return;
        if (message.HeaderNeedsUtf8 || !HasAsciiLocalPart(message.ReversePath.Address))
            transaction.DecideRest(LacksUtf8());
        for (int i = 0; i < transaction.Outcomes.Length; i++)
        {
            if (!HasAsciiLocalPart(transaction.Recipients[i].ForwardPath.Address))
                transaction.Outcomes[i] ??= LacksUtf8();
        }
    }

    private RecipientOutcome LacksUtf8() => RecipientOutcome.Local(
        OutcomeKind.Failed, "5.6.7", $"The message needs SMTPUTF8 (non-ASCII address or header field) and {NextHop.Host} does not offer it");

    private static bool NeedsUtf8(MailTransaction transaction)
    {
        if (transaction.Message.HeaderNeedsUtf8 || transaction.Message.ReversePath.Address is { IsAscii: false })
            return true;
        foreach (QueuedRecipient recipient in transaction.Recipients)
        {
            if (!recipient.ForwardPath.Address.IsAscii)
                return true;
        }
        return false;
    }

    private static bool HasAsciiLocalPart(MailboxAddress? address) => address is null || System.Text.Ascii.IsValid(address.LocalPart);

    private void AppendMail(QueuedMessage message, bool utf8)
    {
        _transport.Append("MAIL FROM:<"u8);
        if (message.ReversePath.Address is { } reversePath)
            AppendAddress(reversePath, utf8);
        _transport.Append(">"u8);
        if (Keywords.Size)
        {
            _transport.Append(" SIZE="u8);
            _transport.Append(message.Octets);
        }
        if (Keywords.EightBitMime && (message.BodyIs8Bit || message.HeaderNeedsUtf8))
            _transport.Append(" BODY=8BITMIME"u8);
        if (utf8)
            _transport.Append(" SMTPUTF8"u8);
        if (message.RequiresTls && Keywords.RequireTls && (!message.IsDsn || Tls is { IsVerified: true }))
            _transport.Append(" REQUIRETLS"u8);
        if (Keywords.Dsn)
        {
            if (message.Return != DsnReturn.Unspecified)
                _transport.Append(message.Return == DsnReturn.Full ? " RET=FULL"u8 : " RET=HDRS"u8);
            if (message.EnvelopeId is { } envelopeId)
            {
                _transport.Append(" ENVID="u8);
                AppendArgument(envelopeId);
            }
        }
        _transport.Append("\r\n"u8);
    }

    private void AppendRecipient(QueuedRecipient recipient, bool utf8)
    {
        _transport.Append("RCPT TO:<"u8);
        AppendAddress(recipient.ForwardPath.Address, utf8);
        _transport.Append(">"u8);
        if (Keywords.Dsn)
        {
            AppendNotify(recipient.Notify);
            if (recipient.OriginalRecipient is { } original)
            {
                _transport.Append(" ORCPT="u8);
                AppendArgument(original);
            }
        }
        _transport.Append("\r\n"u8);
    }

    private void AppendNotify(DsnNotify notify)
    {
        if (notify == DsnNotify.Default)
            return;
        _transport.Append(" NOTIFY="u8);
        if (notify.HasFlag(DsnNotify.Never))
        {
            _transport.Append("NEVER"u8);
            return;
        }
        bool first = true;
        Add(DsnNotify.Success, "SUCCESS"u8);
        Add(DsnNotify.Failure, "FAILURE"u8);
        Add(DsnNotify.Delay, "DELAY"u8);

        void Add(DsnNotify flag, ReadOnlySpan<byte> word)
        {
            if (!notify.HasFlag(flag))
                return;
            if (!first)
                _transport.Append(","u8);
            _transport.Append(word);
            first = false;
        }
    }

    /// <summary>An address as written; without SMTPUTF8 a U-label domain goes as its A-labels, which name the same host (RFC 5890 §2.3.2.1).</summary>
    private void AppendAddress(MailboxAddress address, bool utf8)
    {
        if (utf8 || address.IsAscii)
            AppendArgument(address.Text);
        else
            AppendArgument($"{address.LocalPart}@{address.Domain?.Value ?? address.DomainText}");
    }

    private void AppendBdat(QueuedMessage message)
    {
        _transport.Append("BDAT "u8);
        _transport.Append(message.Octets);
        _transport.Append(" LAST\r\n"u8);
    }

    /// <summary>Gathers the content, and the final dot if it is dot-stuffed; all but the last part is sent on the way.</summary>
    /// <exception cref="IOException">The store lost a chunk, or the next hop went away.</exception>
    private async ValueTask AppendContentAsync(MailTransaction transaction, bool stuffed)
    {
        QueuedMessage message = transaction.Message;
        var content = new ContentState();
        await AppendPieceAsync(message.HeaderSection, content, stuffed);
        if (!message.Body.IsChunked)
        {
            await AppendPieceAsync(message.Body.Memory, content, stuffed);
        }
        else
        {
            long left = message.Body.Octets;
            for (int sequence = 0; left > 0; sequence++)
            {
                ReadOnlyMemory<byte> chunk = await _readChunk(message.Id, sequence, CancellationToken.None);
                if (chunk.IsEmpty || chunk.Length > left)
                    throw new InvalidOperationException($"Chunk {sequence} of message {message.Id} has {chunk.Length} octets");
                left -= chunk.Length;
                await AppendPieceAsync(chunk, content, stuffed);
            }
        }
        if (!stuffed)
            return;
        if (!content.AtLineStart)
            await AppendWholeAsync(LineEnd); // The dot stands on a line of its own (RFC 5321 §4.1.1.4).
        await AppendWholeAsync(Dot);
        await AppendWholeAsync(LineEnd);
    }

    /// <summary>Gathers a piece, with a dot before each line that begins with one (RFC 5321 §4.5.2).</summary>
    private async ValueTask AppendPieceAsync(ReadOnlyMemory<byte> piece, ContentState content, bool stuffed)
    {
        if (piece.IsEmpty)
            return;
        if (stuffed)
        {
            if (content.AtLineStart && piece.Span[0] == '.')
                await AppendWholeAsync(Dot);
            int end;
            while ((end = piece.Span.IndexOf("\n."u8)) >= 0)
            {
                await AppendWholeAsync(piece[..(end + 1)]);
                await AppendWholeAsync(Dot);
                piece = piece[(end + 1)..];
            }
            content.AtLineStart = piece.Span[^1] == '\n';
        }
        await AppendWholeAsync(piece);
        if (_transport.Pending >= FlushOctets)
            await FlushPartAsync();
    }

    private async ValueTask AppendWholeAsync(ReadOnlyMemory<byte> piece)
    {
        while (!_transport.TryAppend(piece))
            await FlushPartAsync();
    }

    private async ValueTask FlushPartAsync()
    {
        ThrowIfSpokenEarly();
        await _transport.FlushAsync();
    }

    private TimeSpan ContentLimit(QueuedMessage message) => _options.Timeouts.Data + TimeSpan.FromSeconds(message.Octets / MinimumOctetsPerSecond);

    private sealed class ContentState
    {
        public bool AtLineStart { get; set; } = true;
    }
}
