using RelayGate.Configuration;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Core.Smtp;
using RelayGate.Queue;

namespace RelayGate.Delivery;

/// <content>One mail transaction: envelope, mail data, a result for each recipient.</content>
internal sealed partial class SmtpClientSession
{
    private const int MaxPipelined = 100; // Commands sent before replies are read, so that both sides' socket buffers always have room (RFC 2920 §3.1).
    private const int MaxOneFlight = 64 * 1024; // Larger messages wait for the replies to RCPT, lest they be sent in vain.
    private const int MaxSurplus = 100; // Replies.

    private static readonly TimeSpan PerPendingReply = TimeSpan.FromSeconds(5);

    /// <summary>Runs one transaction; every recipient has an outcome afterwards.</summary>
    /// <remarks>
    /// 1. What the next hop lacks is decided before anything is sent.
    /// 2. MAIL, RCPT and DATA go out in groups, all at once with PIPELINING. Where BDAT saves a round trip it takes the place of DATA: a small message
    ///    goes to a host that is known to keep step (<see cref="OrderlyHosts"/>) in one flight.
    /// 3. Replies are read in order. Mail data follows DATA only when a recipient was accepted.
    /// 4. Nothing but a positive reply to the end of the mail data makes a recipient delivered. Where a reply was one too many, or none, nobody knows which
    ///    reply was about whom: then none of them counts.
    /// </remarks>
    public async ValueTask TransactAsync(MailTransaction transaction)
    {
        Transactions++;
        transaction.Host = Host;
        RefuseWhatTheNextHopLacks(transaction);
        if (!transaction.AnyUndecided())
            return;
        transaction.Stage = DeliveryStage.Mail;
        try
        {
            if (_transport.HasStrayInput)
                throw new NextHopException(NextHopException.NotSmtp, "The next hop spoke before it was its turn");
            IsReusable = false; // Until the last reply was read.
            bool reset = _needsReset;
            _needsReset = true;
            await SendEnvelopeAndContentAsync(transaction, reset);
            IsReusable = !_transport.HasBufferedInput && !_readsContentAsCommands;
            if (!IsReusable && !_transport.HasBufferedGoodbye)
                _orderly.GotOutOfStep(NextHop.EndPoint);
            Disarm();
        }
        catch (Exception e) when (IsNetworkFailure(e))
        {
            // Garbage after content was sent, or silence, is no sign that the session was over before: the next hop may be at work on the message.
            bool isOutOfStep = e is NextHopException { Status: NextHopException.NotSmtp };
            if (isOutOfStep)
                _orderly.GotOutOfStep(NextHop.EndPoint);
            bool lacksReply = HasExpired && Keywords.Pipelining && transaction.Stage != DeliveryStage.Mail; // To which command, nobody knows.
            if ((isOutOfStep || lacksReply) && !transaction.IsInStep)
                transaction.ForgetReplies();
            bool isAlive = HasExpired || (transaction.ContentSent && isOutOfStep);
            transaction.EndedUnanswered = !transaction.MailAnswered && !isAlive;
            // With 421 to MAIL the content that went along was not taken: other hosts may be asked at once.
            bool isMailRefused = !transaction.MailAnswered && e is NextHopException { Reply: not null };
            transaction.DecideRest(Lost(transaction.ContentSent && !isMailRefused ? DeliveryStage.EndOfData : transaction.Stage, e));
        }
    }

    /// <param name="reset">RSET comes first, with the rest: it clears what a transaction left behind that did not end with mail data (RFC 5321 §4.1.1.5).</param>
    private async ValueTask SendEnvelopeAndContentAsync(MailTransaction transaction, bool reset)
    {
        QueuedMessage message = transaction.Message;
        bool pipelining = Keywords.Pipelining;
        bool utf8 = Keywords.SmtpUtf8 && NeedsUtf8(transaction);

        var pending = new PendingReplies { Reset = reset };
        if (reset)
            _transport.Append("RSET\r\n"u8);
        if (!pipelining && reset)
            await FlushAndReadAsync(transaction, pending);
        AppendMail(message, utf8);
        pending.Mail = true;
        if (!pipelining)
            await FlushAndReadAsync(transaction, pending);
        for (int i = 0; i < transaction.Recipients.Length && !pending.MailRefused; i++)
        {
            if (transaction.Outcomes[i] is not null)
                continue;
            if (pending.Count >= (pipelining ? MaxPipelined : 1))
            {
                await FlushAndReadAsync(transaction, pending);
                if (pending.MailRefused)
                    break;
            }
            AppendRecipient(transaction.Recipients[i], utf8);
            pending.AddRecipient(i);
        }

        bool dataSent = false;
        if (pipelining && !pending.MailRefused)
        {
            if (GoesInOneFlight(transaction))
            {
                AppendBdat(message);
                transaction.ContentSent = true;
                await AppendContentAsync(transaction, stuffed: false);
            }
            else
            {
                _transport.Append("DATA\r\n"u8);
                dataSent = true;
            }
        }
        await FlushAndReadAsync(transaction, pending);

        if (transaction.ContentSent)
            await EndFlightAsync(transaction, anyAccepted: pending.Accepted > 0);
        else if (dataSent || pending.Accepted > 0)
            await SendDataAsync(transaction, pending.Accepted > 0, dataSent);
    }

    private bool GoesInOneFlight(MailTransaction transaction) =>
        Keywords.Chunking && transaction.AllowBdat && transaction.Message is { Octets: <= MaxOneFlight, Body.IsChunked: false } && _orderly.IsOrderly(NextHop.EndPoint);

    /// <summary>Sends what was gathered and reads the replies to MAIL and RCPT in order.</summary>
    private async ValueTask FlushAndReadAsync(MailTransaction transaction, PendingReplies pending)
    {
        await ThrowIfSpokenAsync();
        Arm(_options.Timeouts.Reply + pending.Count * PerPendingReply);
        await _transport.FlushAsync();
        if (pending.Reset)
        {
            pending.Reset = false;
            if (await ReadReplyAsync() / 100 != 2)
                throw new NextHopException(NextHopException.NotSmtp, "The next hop refused RSET");
        }
        if (pending.Mail)
        {
            pending.Mail = false;
            transaction.Stage = DeliveryStage.Mail;
            pending.MailRefused = await ReadEnvelopeReplyAsync() / 100 != 2;
            transaction.MailAnswered = true;
            if (pending.MailRefused)
                transaction.DecideRest(OutcomeOfReply(DeliveryStage.Mail)); // At once: the next hop may close before it has answered RCPT.
        }
        for (int next = 0; next < pending.RecipientCount; next++)
        {
            int recipient = pending.RecipientAt(next);
            if (!pending.MailRefused)
                transaction.Stage = DeliveryStage.Rcpt;
            bool accepted = await ReadEnvelopeReplyAsync() / 100 == 2;
            if (pending.MailRefused)
                continue; // A 2yz to RCPT after a refused MAIL means nothing.
            if (accepted)
                pending.Accepted++;
            else
                transaction.Outcomes[recipient] = OutcomeOfReply(DeliveryStage.Rcpt);
        }
        pending.ClearRecipients();
    }

    private async ValueTask SendDataAsync(MailTransaction transaction, bool anyAccepted, bool isSent)
    {
        if (anyAccepted)
            transaction.Stage = DeliveryStage.Data;
        if (!isSent)
        {
            await ThrowIfSpokenAsync();
            _transport.Append("DATA\r\n"u8);
            Arm(_options.Timeouts.Reply);
            await _transport.FlushAsync();
        }
        int code = await ReadReplyAsync();
        if (code / 100 == 2)
            throw new NextHopException(NextHopException.NotSmtp, $"The next hop answered DATA with {code}");
        if (code / 100 != 3)
        {
            transaction.DecideRest(OutcomeOfReply(DeliveryStage.Data));
            if (anyAccepted)
                await ConfirmOrderAsync();
            else
                await ThrowIfSpokenAsync();
            return;
        }
        transaction.IsInStep = true;
        if (!anyAccepted)
        {
            // RFC 2920 §3.1: a 354 although all recipients were refused is answered with an empty message.
            _transport.Append(".\r\n"u8);
            await ExchangeAsync();
            _needsReset = false;
            return;
        }
        Arm(ContentLimit(transaction.Message));
        await AppendContentAsync(transaction, stuffed: true);
        ThrowIfSpokenEarly();
        // From here on the next hop may have taken the message, whatever happens.
        transaction.Stage = DeliveryStage.EndOfData;
        transaction.ContentSent = true;
        await _transport.FlushAsync();
        (int final, RecipientOutcome outcome) = await ReadFinalReplyAsync();
        transaction.DecideRest(outcome);
        if (final / 100 == 2 && Keywords is { Pipelining: true, Chunking: true } && !_transport.HasBufferedInput && !IsAboutAddress(outcome))
            _orderly.KeptStep(NextHop.EndPoint);
    }

    /// <summary>
    /// DATA was refused, though recipients were taken: what was read may be a reply to RCPT. In order, RSET is answered by 2yz; else by what is due to DATA. A host
    /// that goes away instead, by 421 or without a word, takes back nothing.
    /// </summary>
    private async ValueTask ConfirmOrderAsync()
    {
        _transport.Append("RSET\r\n"u8);
        Arm(_options.Timeouts.Reply);
        await _transport.FlushAsync();
        if (await ReadReplyAsync() / 100 != 2)
            throw new NextHopException(NextHopException.NotSmtp, "The next hop refused RSET");
        await ThrowIfSpokenAsync();
        _needsReset = false;
    }

    /// <summary>The end of a transaction in one flight: the last reply is about the message only if none before it was one too many.</summary>
    private async ValueTask EndFlightAsync(MailTransaction transaction, bool anyAccepted)
    {
        if (anyAccepted)
            transaction.Stage = DeliveryStage.EndOfData;
        (int code, RecipientOutcome outcome) = await ReadFinalReplyAsync();
        if (code is 500 or 502 || (code == 503 && anyAccepted))
        {
            _readsContentAsCommands = true;
            transaction.WantsData = anyAccepted;
        }
        else
        {
            bool allPositive = code / 100 == 2 && !Array.Exists(transaction.Outcomes, static o => o is { Code: >= 400 });
            await ThrowIfOutOfStepAsync(allPositive, outcome);
        }
        if (anyAccepted)
            transaction.DecideRest(outcome);
    }

    /// <summary>
    /// One reply too many: when all of them are positive it does not matter which of them is about what. Else nobody knows whether the message was taken, and by
    /// whom: it is sent again, by DATA.
    /// </summary>
    private async ValueTask ThrowIfOutOfStepAsync(bool allPositive, RecipientOutcome outcome)
    {
        bool isOutOfStep = outcome.Kind == OutcomeKind.Delivered && IsAboutAddress(outcome);
        for (int surplus = 0; _transport.HasStrayInput && !isOutOfStep; surplus++)
        {
            _orderly.GotOutOfStep(NextHop.EndPoint);
            isOutOfStep = !allPositive || surplus == MaxSurplus || await _transport.ReadReplyAsync() / 100 != 2;
        }
        if (isOutOfStep)
            throw new NextHopException(NextHopException.NotSmtp, "The next hop sent more replies than there were commands: whether it took the message is not known");
    }

    private async ValueTask<(int Code, RecipientOutcome Outcome)> ReadFinalReplyAsync()
    {
        Arm(_options.Timeouts.Data);
        int code = await ReadReplyAsync();
        _needsReset = code / 100 != 2;
        return (code, OutcomeOfReply(DeliveryStage.EndOfData) with { DsnPassedOn = Keywords.Dsn });
    }

    /// <summary>Said of a sender or recipient (RFC 3463 §3.2), not of a message.</summary>
    private static bool IsAboutAddress(RecipientOutcome outcome) => outcome.Status.AsSpan(1).StartsWith(".1.", StringComparison.Ordinal);

    /// <summary>No reply is due, but for a 421, which may come at any time (RFC 5321 §3.8). Looks only at what was read: that costs nothing.</summary>
    private async ValueTask ThrowIfSpokenAsync()
    {
        if (_transport.HasBufferedGoodbye)
            await ReadReplyAsync();
        if (_transport.HasBufferedInput)
            throw new NextHopException(NextHopException.NotSmtp, "The next hop sent more replies than there were commands");
    }

    /// <summary>A reply before the end of the mail data cannot speak of this message: not delivered, try again.</summary>
    private void ThrowIfSpokenEarly()
    {
        if (_transport.HasStrayInput)
            throw new NextHopException(NextHopException.NotSmtp, "The next hop replied before the end of the mail data");
    }

    private async ValueTask<int> ReadEnvelopeReplyAsync()
    {
        int code = await ReadReplyAsync();
        return code / 100 == 3 ? throw new NextHopException(NextHopException.NotSmtp, $"The next hop answered MAIL or RCPT with {code}") : code;
    }

    private async ValueTask<int> ReadReplyAsync()
    {
        int code = await _transport.ReadReplyAsync();
        if (code == 421)
            throw new NextHopException("4.4.2", "The next hop goes away") { Reply = RemoteReply.Read(_transport.Reply) };
        return code;
    }

    private RecipientOutcome OutcomeOfReply(DeliveryStage stage) => OutcomeOf(stage, RemoteReply.Read(_transport.Reply));

    private RecipientOutcome OutcomeOf(DeliveryStage stage, SmtpReply reply) =>
        RecipientOutcome.Of(stage, reply, _rules.Find(NextHop.Provider, stage, reply), wouldBeTakenWithTls: _tlsFailed);

    /// <summary>Replies that are due, in the order of their commands.</summary>
    private sealed class PendingReplies
    {
        private readonly List<int> _recipients = [];

        public bool Reset { get; set; }

        public bool Mail { get; set; }

        public bool MailRefused { get; set; }

        /// <summary>Recipients accepted so far.</summary>
        public int Accepted { get; set; }

        public int RecipientCount => _recipients.Count;

        public int Count => _recipients.Count + (Mail ? 1 : 0);

        public void AddRecipient(int index) => _recipients.Add(index);

        public int RecipientAt(int position) => _recipients[position];

        public void ClearRecipients() => _recipients.Clear();
    }
}
