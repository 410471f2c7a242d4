using System.Collections.Immutable;
using System.Runtime.CompilerServices;
using RelayGate.Accounts;
using RelayGate.Core.Mail;
using RelayGate.Core.Messages;
using RelayGate.Core.Policy;
using RelayGate.Core.Smtp;
using RelayGate.Queue;

namespace RelayGate.Submission;

/// <content>DATA, BDAT and what is decided at the end of data.</content>
internal sealed partial class SmtpSession
{
    /// <summary>A message is prepared once, and twice more if accounts change meanwhile.</summary>
    private const int MostPreparations = 3;

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    private async ValueTask DataAsync()
    {
        MailTransaction transaction = _transaction!;
        if (await RefusalBeforeDataAsync(transaction) is { } refusal)
        {
            EndTransaction();
            await IdleCommandAsync(refusal);
            return;
        }
        _channel.Write(Replies.StartMailInput);
        MailDataReader reader = BeginContent(transaction);
        await FinishAsync(transaction, await reader.ReadDataAsync());
    }

    /// <summary>Each chunk gets its reply; a refused one is read all the same, and those that follow it are answered 503 (RFC 3030 §2).</summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    private async ValueTask BdatAsync(BdatCommand bdat)
    {
        MailTransaction transaction = _transaction!;
        if (transaction.Reader is null && await RefusalBeforeDataAsync(transaction) is { } refusal)
        {
            EndTransaction();
            if (!await DiscardChunkAsync(bdat))
                return;
            _afterRefusal = true;
            await IdleCommandAsync(refusal);
            return;
        }
        if (bdat.Octets > LargestChunk)
        {
            await EndAsync(RefuseTooLarge(transaction, Replies.ChunkTooLarge));
            return;
        }
        MailDataReader reader = transaction.Reader ?? BeginContent(transaction);
        _phase = SessionPhase.Chunks;
        DataResult result = await reader.ReadChunkAsync(bdat.Octets, bdat.IsLast);
        if (bdat.IsLast || result != DataResult.Complete || transaction.Content!.Fault != ContentFault.None)
        {
            await FinishAsync(transaction, result);
            _afterRefusal = !bdat.IsLast;
        }
        else
            _channel.Write(Replies.ChunkTaken);
    }

    private long LargestChunk => 2 * _service.Options.MaxMessageOctets;

    private async ValueTask<bool> DiscardChunkAsync(BdatCommand bdat)
    {
        if (bdat.Octets > LargestChunk)
        {
            await EndAsync(Replies.ChunkTooLarge);
            return false;
        }
        _discardedOctets += bdat.Octets;
        if (await _channel.DiscardAsync(bdat.Octets, _idle, SubmissionLimits.MailData))
            return true;
        await FinishCutAsync(_channel.TimedOut ? DataResult.TimedOut : DataResult.Closed);
        return false;
    }

    /// <summary>The early decision with all recipients, or what a recipient has brought on the message.</summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<SmtpReply?> RefusalBeforeDataAsync(MailTransaction transaction)
    {
        if (transaction.Doom is not null)
            return transaction.Doom;
        await LookUpAgainAsync(transaction);
        Envelope envelope = transaction.ToEnvelope();
        Decision decision = Decide(transaction, envelope);
        return decision.IsTaken ? null : Refuse(transaction, envelope, null, decision, "DATA");
    }

    private MailDataReader BeginContent(MailTransaction transaction)
    {
        long most = _service.Options.MaxMessageOctets;
        transaction.Content = new MailContent(transaction.Id, _service.Writer, _service.ContentMemory, transaction.Mail.Octets, most);
        bool normalise = transaction.Identity.Kind == IdentityKind.Login || _client.IsLocal;
        return transaction.Reader = new MailDataReader(_channel, transaction.Content, normalise, _idle, most);
    }

    /// <summary>All of the message was read, or it never will be. Nothing is left of the transaction afterwards.</summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    private async ValueTask FinishAsync(MailTransaction transaction, DataResult result)
    {
        if (result != DataResult.Complete)
        {
            await (result == DataResult.NeverEnds ? EndAsync(RefuseTooLarge(transaction, Replies.DataNeverEnds)) : FinishCutAsync(result));
            return;
        }
        ContentFault fault = transaction.Content!.Fault;
        if (fault == ContentFault.None)
            await OfferAsync(transaction);
        else
            _channel.Write(RefuseContent(transaction, fault));
        EndTransaction();
    }

    private async ValueTask FinishCutAsync(DataResult result)
    {
        switch (result)
        {
            case DataResult.TimedOut:
                await EndAsync(Replies.DataTooSlow);
                break;
            default:
                _open = false; // Gone inside the data: nothing was accepted, nobody is there to hear it.
                break;
        }
    }

    /// <summary>Decides with header and body known, prepares, signs and hands to the writer, whose commit makes it ours.</summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    private async ValueTask OfferAsync(MailTransaction transaction)
    {
        MailContent content = transaction.Content!;
        MessageBody body = await content.TakeBodyAsync(_channel);
        try
        {
            if (content.Fault != ContentFault.None) // The last chunk did not fit.
            {
                _channel.Write(RefuseContent(transaction, content.Fault));
                return;
            }
            Envelope envelope = transaction.ToEnvelope();
            HeaderSection header = HeaderSection.Parse(content.Header);
            MessageFacts facts = header.ToFacts(content.Octets, content.BodyFacts);
            if (transaction.Identity.IsLocal)
                facts = facts with { Script = ScriptOf(transaction.Identity, facts.PhpScript) };
            for (int i = 0; i < MostPreparations; i++)
            {
                (AccountLookup lookup, Decision early) = await _service.Directory.DecideAsync(transaction.Identity, envelope, facts, CancellationToken.None);
                transaction.Lookup = lookup;
                if (!early.IsTaken)
                {
                    _channel.Write(Refuse(transaction, envelope, facts, early, "end-of-data"));
                    return;
                }
                PreparedHeader prepared = MessagePreparer.Prepare(header, early, Trace(transaction, envelope), content.RelaxedBodyHash);
                var message = new OfferedMessage
                {
                    Id = transaction.Id,
                    ReceivedAt = transaction.ReceivedAt,
                    Source = Source(transaction.Mail.SmtpUtf8),
                    Account = lookup.Account,
                    Envelope = envelope,
                    Facts = facts with { Class = early.Class },
                    Early = early,
                    HeaderSection = prepared.Octets,
                    HeaderChanges = prepared.Changes,
                    Body = body,
                };
                OfferResult offered = await CommitAsync(message);
                if (offered.Outcome != OfferOutcome.AccountChanged)
                {
                    AnswerOffer(transaction, message, offered);
                    return;
                }
            }
            _channel.Write(Refuse(transaction, envelope, facts, Refusal(Reasons.AccountChanged, Replies.AccountChanged, transaction), "end-of-data"));
        }
        finally
        {
            body.Release();
        }
    }

    /// <summary>The deadline holds until the writer has taken the message; from then on the session waits for the commit, however long.</summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<OfferResult> CommitAsync(OfferedMessage message)
    {
        OfferResult offered = await _service.Writer.OfferAsync(message, _channel.BeginWait(SubmissionLimits.Offer));
        _channel.EndWait();
        return offered;
    }

    private void AnswerOffer(MailTransaction transaction, OfferedMessage message, OfferResult offered)
    {
        switch (offered.Outcome)
        {
            case OfferOutcome.Committed:
            case OfferOutcome.Refused: // By the binding decision, which the writer has recorded.
                Decision decision = offered.Decision ?? message.Early;
                if (decision.IsTaken)
                {
                    _errors = _idleCommands = _spareCommands = _excessRecipients = 0;
                    _discardedOctets = 0;
                }
                Report(transaction, transaction.Id, message.Envelope, message.Facts, decision);
                _channel.Write(decision.Reply, transaction.Ref);
                break;
            case OfferOutcome.StoreFull:
                _channel.Write(Refuse(transaction, message.Envelope, message.Facts, Refusal(Reasons.StoreFull, Replies.StoreFull, transaction), "end-of-data"));
                break;
            default:
                SmtpReply reply = offered.Outcome == OfferOutcome.Expired ? Replies.StoreBusy : Replies.StoreFailed;
                _channel.Write(Refuse(transaction, message.Envelope, message.Facts, Refusal(Reasons.StoreFailed, reply, transaction), "end-of-data"));
                break;
        }
    }

    private SmtpReply RefuseContent(MailTransaction transaction, ContentFault fault)
    {
        (string reason, SmtpReply reply) = fault switch
        {
            ContentFault.BareLineEnd => (Reasons.BareLineEnd, Replies.BareLineEndInData),
            ContentFault.NulOctet => (Reasons.NulInData, Replies.NulInData),
            ContentFault.TooLarge => (Reasons.MessageTooLarge, Replies.MessageTooLarge),
            ContentFault.HeaderTooLarge => (Reasons.MessageTooLarge, Replies.HeaderTooLarge),
            ContentFault.NoMemory => (Reasons.StoreFull, Replies.NoMemory),
            ContentFault.StoreFailed => (Reasons.StoreFailed, Replies.StoreFailed),
            ContentFault.StoreBusy => (Reasons.StoreFailed, Replies.StoreBusy),
            _ => (Reasons.StoreFull, Replies.StoreFull),
        };
        return Refuse(transaction, transaction.ToEnvelope(), null, Refusal(reason, reply, transaction), "end-of-data");
    }

    private SmtpReply RefuseTooLarge(MailTransaction transaction, SmtpReply reply) =>
        Refuse(transaction, transaction.ToEnvelope(), null, Refusal(Reasons.MessageTooLarge, reply, transaction), "DATA");

    private TraceField Trace(MailTransaction transaction, Envelope envelope)
    {
        SubmissionSource source = Source(transaction.Mail.SmtpUtf8);
        string? tls = source.TlsVersion is null ? null : $"{source.TlsVersion} {source.TlsCipher}";
        ForwardPath? only = envelope.Recipients is [{ ForwardPath: var path }] ? path : null;
        return new TraceField(
            _heloName, _client.Address, _client.Process?.Uid, _service.Options.Hostname, source.Protocol, tls, transaction.Id, only, transaction.ReceivedAt);
    }
}
