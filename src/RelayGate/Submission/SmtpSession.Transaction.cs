using System.Runtime.CompilerServices;
using System.Text;
using RelayGate.Accounts;
using RelayGate.Core.Mail;
using RelayGate.Core.Messages;
using RelayGate.Core.Policy;
using RelayGate.Core.Smtp;
using RelayGate.Queue;
using RelayGate.Telemetry;

namespace RelayGate.Submission;

/// <content>MAIL and RCPT, and refusals on the way.</content>
internal sealed partial class SmtpSession
{
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    private async ValueTask MailAsync(MailCommand mail)
    {
        _afterRefusal = false;
        if (++_transactions > SubmissionLimits.Transactions)
        {
            await EndAsync(Replies.TooManyTransactions);
            return;
        }
        if (mail.RequireTls && _tls is null)
        {
            await BadAsync(Replies.RequireTlsNeedsTls);
            return;
        }
        DateTimeOffset now = _service.Time.GetUtcNow();
        SenderIdentity identity = _login ?? await IdentifyAsync();
        if (!TryCountIdentity(identity))
        {
            await EndAsync(await RefuseSessionAsync(identity, mail, "MAIL"));
            return;
        }
        AccountLookup lookup = await _service.Directory.LookUpAsync(identity, mail.ReversePath, from: default, CancellationToken.None);
        var transaction = new MailTransaction(_service.NewId(now), now, identity, lookup, mail) { Script = ScriptOf(identity, _claims?.PhpScript) };
        Envelope envelope = transaction.ToEnvelope();
        Decision decision = RelayPolicy.Decide(lookup.Account, lookup.Usage, envelope, null);
        if (!decision.IsTaken)
        {
            SmtpReply refusal = Refuse(transaction, envelope, null, decision, "MAIL");
            _afterRefusal = true;
            // Who nobody knows has nothing to do here but to log in; who is known may be over a limit.
            await (lookup.Account.Subscription is null ? BadAsync(refusal) : IdleCommandAsync(refusal));
            return;
        }
        if (identity.Kind == IdentityKind.Uid)
            _service.Directory.Uses.Used(IdentityUses.Uid, identity.Name, null);
        _transaction = transaction;
        _phase = SessionPhase.Mail;
        _channel.Write(Replies.SenderOk, transaction.Ref);
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    private async ValueTask RcptAsync(RcptCommand rcpt)
    {
        MailTransaction transaction = _transaction!;
        if (transaction.Doom is { } doom)
        {
            await SpareAsync(doom);
            return;
        }
        if (await LookUpAgainAsync(transaction) && Decide(transaction, transaction.ToEnvelope()) is { IsTaken: false } changed)
        {
            Doom(transaction, transaction.ToEnvelope(), changed);
            return;
        }
        ForwardPath forwardPath = rcpt.ForwardPath;
        if (rcpt.OriginalRecipient is { } original && !Ascii.IsValid(original) && !transaction.Mail.SmtpUtf8)
        {
            await BadAsync(Replies.OriginalRecipientNeedsSmtpUtf8);
            return;
        }
        if (!forwardPath.Address.IsAscii && !transaction.Mail.SmtpUtf8)
        {
            await SpareAsync(RefuseRecipient(transaction, forwardPath, Reasons.NeedsSmtpUtf8, Replies.NeedsSmtpUtf8));
            return;
        }
        if (forwardPath.Address.IsUnqualified)
        {
            if (await _service.Directory.LocalContactAsync(forwardPath.Address.LocalPart, CancellationToken.None) is not { } contact)
            {
                await SpareAsync(RefuseRecipient(transaction, forwardPath, Reasons.NoLocalContact, Replies.NoLocalContact));
                return;
            }
            forwardPath = new ForwardPath(contact);
        }
        if (!transaction.Has(forwardPath))
        {
            if (transaction.RecipientCount >= transaction.Lookup.Account.MaxRecipients)
            {
                await RefuseExcessAsync(transaction, forwardPath);
                return;
            }
            var recipient = new EnvelopeRecipient(forwardPath, rcpt.Notify, rcpt.OriginalRecipient is null ? null : EnvelopeRecipient.ToAscii(rcpt.OriginalRecipient));
            if (transaction.LimitsRecipients && Decide(transaction, transaction.ToEnvelope(recipient)) is { IsTaken: false } decision)
            {
                Doom(transaction, transaction.ToEnvelope(recipient), decision);
                return;
            }
            transaction.Add(recipient);
        }
        _phase = SessionPhase.Recipients;
        _channel.Write(Replies.RecipientOk, transaction.Ref);
    }

    /// <summary>Refuses a recipient over the bound. The message goes on without it, so that it is no error of the client until there are very many.</summary>
    private async ValueTask RefuseExcessAsync(MailTransaction transaction, ForwardPath forwardPath)
    {
        if (transaction.Excess is null)
            transaction.Excess = RefuseRecipient(transaction, forwardPath, Reasons.TooManyRecipients, Replies.TooManyRecipients(transaction.Lookup.Account.MaxRecipients));
        else
            _service.Metrics.RecipientRefusals.Increment(Reasons.TooManyRecipients);
        if (++_excessRecipients > SubmissionLimits.ExcessRecipients)
            await SpareAsync(transaction.Excess);
        else
            _channel.Write(transaction.Excess);
    }

    /// <summary>Refuses a recipient, and the whole message with it.</summary>
    private void Doom(MailTransaction transaction, Envelope envelope, Decision decision)
    {
        transaction.Doom = Refuse(transaction, envelope, null, decision, "RCPT");
        _channel.Write(transaction.Doom);
        _phase = SessionPhase.Recipients; // So that DATA is answered with the same refusal, which clients show.
    }

    /// <summary>Looks the sender up where accounts have changed since it was: who is suspended within a transaction is refused at its next command.</summary>
    /// <returns>Whether it was looked up.</returns>
    private ValueTask<bool> LookUpAgainAsync(MailTransaction transaction)
    {
        return _service.Directory.IsCurrent(transaction.Lookup.Account) ? ValueTask.FromResult(false) : LookUpAsync();

        async ValueTask<bool> LookUpAsync()
        {
            transaction.Lookup = await _service.Directory.LookUpAsync(transaction.Identity, transaction.Mail.ReversePath, from: default, CancellationToken.None);
            return true;
        }
    }

    private static Decision Decide(MailTransaction transaction, Envelope envelope) =>
        RelayPolicy.Decide(transaction.Lookup.Account, transaction.Lookup.Usage, envelope, null);

    /// <summary>Counts the session: of a uid from the start, else as one without identity until its first MAIL or login.</summary>
    /// <returns>False when it has been turned away.</returns>
    private async ValueTask<bool> EnterAsync()
    {
        if (_client.Process is null)
        {
            _isAnonymous = _service.Sessions.TryEnterAnonymous();
            if (_isAnonymous)
                return true;
            _service.Metrics.SessionsRefused.Increment("max");
            if (_client.Tls != Configuration.ListenerTls.Implicit)
                await EndAsync(Replies.TooManySessions);
            return false;
        }
        SenderIdentity identity = await IdentifyAsync();
        if (TryCountIdentity(identity))
            return true;
        await EndAsync(await RefuseSessionAsync(identity, new MailCommand(ReversePath.Null), "connect"));
        return false;
    }

    /// <summary>Who the client is without a login.</summary>
    private ValueTask<SenderIdentity> IdentifyAsync() => _service.Directory.IdentifyAsync(_client.Address, _client.Process, CancellationToken.None);

    private SendingScript? ScriptOf(SenderIdentity identity, string? phpScript) => SendingScript.Of(identity.Process, phpScript, _claims);

    private bool TryCountIdentity(SenderIdentity identity)
    {
        if (identity.Kind == IdentityKind.None)
            return true;
        // A network is many clients, each of which is one.
        string key = identity is { Kind: IdentityKind.Network, Client: { } client } ? $"{identity.Key} {SessionTable.KeyOf(client)}" : identity.Key;
        if (key == _identityKey)
            return true;
        if (!_service.Sessions.TryEnterIdentity(key))
            return false;
        LeaveIdentity();
        _identityKey = key;
        return true;
    }

    private void LeaveIdentity()
    {
        if (_identityKey is not null)
            _service.Sessions.LeaveKey(_identityKey);
        if (_isAnonymous)
            _service.Sessions.LeaveAnonymous();
        _identityKey = null;
        _isAnonymous = false;
    }

    /// <summary>Refuses and records a session of an identity that has enough of them.</summary>
    private async ValueTask<SmtpReply> RefuseSessionAsync(SenderIdentity identity, MailCommand mail, string stage)
    {
        _service.Metrics.SessionsRefused.Increment("per-identity");
        DateTimeOffset now = _service.Time.GetUtcNow();
        AccountLookup lookup = await _service.Directory.LookUpAsync(identity, mail.ReversePath, from: default, CancellationToken.None);
        using var transaction = new MailTransaction(_service.NewId(now), now, identity, lookup, mail) { Script = ScriptOf(identity, _claims?.PhpScript) };
        return Refuse(transaction, transaction.ToEnvelope(), null, Refusal(Reasons.TooManySessions, Replies.TooManyOfIdentity, transaction), stage);
    }

    /// <summary>Refuses and records one recipient. The message may go on without it under its own id, so this record has another.</summary>
    private SmtpReply RefuseRecipient(MailTransaction transaction, ForwardPath forwardPath, string reason, SmtpReply reply)
    {
        Decision decision = Refusal(reason, reply, transaction);
        Envelope envelope = MailTransaction.EnvelopeOf(transaction.Mail, [new EnvelopeRecipient(forwardPath)]);
        QueueId named = Record(transaction, _service.NewId(_service.Time.GetUtcNow()), envelope, null, decision, "RCPT");
        _service.Metrics.RecipientRefusals.Increment(reason);
        WriteLog(transaction, named, envelope, null, decision);
        return reply.WithRef(named);
    }

    /// <summary>Records a refusal. Returns its reply with the ref of the record.</summary>
    private SmtpReply Refuse(MailTransaction transaction, Envelope envelope, MessageFacts? facts, Decision decision, string stage)
    {
        QueueId named = Record(transaction, transaction.Id, envelope, facts, decision, stage);
        Report(transaction, named, envelope, facts, decision);
        return decision.Reply.WithRef(named);
    }

    /// <returns>The ref to name: another one than <paramref name="id"/> where a flood is merged.</returns>
    private QueueId Record(MailTransaction transaction, QueueId id, Envelope envelope, MessageFacts? facts, Decision decision, string stage) =>
        _service.Writer.RecordRefusal(new RefusedOffer
        {
            Id = id,
            ReceivedAt = transaction.ReceivedAt,
            Source = Source(transaction.Mail.SmtpUtf8),
            Account = transaction.Lookup.Account,
            Identity = transaction.Identity,
            Envelope = envelope,
            Facts = facts,
            Decision = decision,
            Script = facts?.Script ?? transaction.Script,
            Stage = stage,
        });

    /// <summary>Counts and logs what became of an offer.</summary>
    /// <param name="named">The ref that the reply names.</param>
    private void Report(MailTransaction transaction, QueueId named, Envelope envelope, MessageFacts? facts, Decision decision)
    {
        _service.Metrics.Decided(transaction.Identity.Kind, decision);
        WriteLog(transaction, named, envelope, facts, decision);
    }

    private void WriteLog(MailTransaction transaction, QueueId named, Envelope envelope, MessageFacts? facts, Decision decision) =>
        _service.MailLog.Write(new MailEvent(
            decision.Verdict switch { Verdict.Accept => MailEventKind.Accepted, Verdict.Hold => MailEventKind.Held, _ => MailEventKind.Refused }, named)
        {
            Subscription = transaction.Lookup.Account.Subscription,
            Identity = transaction.Identity.Kind == IdentityKind.None ? null : transaction.Identity.Key,
            Client = _clientName,
            ReversePath = decision.ReversePath,
            Recipient = envelope.Recipients is [var first, ..] ? first.ForwardPath : null,
            Recipients = envelope.Recipients.Length,
            Octets = facts?.Octets,
            MessageId = facts?.MessageId,
            Reason = decision.Reason,
            Reply = decision.IsAccepted ? null : decision.Reply.ToString(),
            Tls = TlsVersion,
        });

    /// <summary>A refusal by the session itself, in the form of the policy's.</summary>
    private static Decision Refusal(string reason, SmtpReply reply, MailTransaction transaction) => new()
    {
        Verdict = reply.IsTransient ? Verdict.Defer : Verdict.Refuse,
        Reason = reason,
        Reply = reply,
        ReversePath = transaction.Mail.ReversePath,
    };

    private SubmissionSource Source(bool smtpUtf8)
    {
        if (_source is null || smtpUtf8)
        {
            var source = new SubmissionSource(_client.Listener, _heloName, Protocol(smtpUtf8), TlsVersion, TlsCipher, _claims);
            if (smtpUtf8)
                return source;
            _source = source;
        }
        return _source;
    }

    /// <summary>RFC 3848 and RFC 6531 §4.3.</summary>
    private string Protocol(bool smtpUtf8)
    {
        if (!_isEsmtp)
            return "SMTP";
        var protocol = new StringBuilder(smtpUtf8 ? "UTF8SMTP" : "ESMTP");
        if (_tls is not null)
            protocol.Append('S');
        if (_login is not null)
            protocol.Append('A');
        return protocol.ToString();
    }
}
