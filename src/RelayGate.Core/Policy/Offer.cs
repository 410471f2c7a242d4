using System.Collections.Immutable;
using RelayGate.Core.Mail;
using RelayGate.Core.Messages;
using RelayGate.Core.Smtp;

namespace RelayGate.Core.Policy;

/// <summary>What the rules look at: the arguments of <see cref="RelayPolicy.Decide"/> and the reverse-path that follows from them.</summary>
internal sealed class Offer
{
    public Offer(SenderAccount account, UsageView usage, Envelope envelope, MessageFacts? message)
    {
        Account = account;
        Usage = usage;
        Envelope = envelope;
        Message = message;
        Recipients = Math.Max(1, envelope.Recipients.Length);
        Class = MessageClasses.Of(account, envelope, message);
        IsExempt = account.IsExemptFromLimits || IsOfExemptClass();
        ReversePath = CorrectedReversePath(out string? why);
        Corrections = why is null ? [] : [new Correction("reverse-path", envelope.ReversePath.Text, ReversePath.Text, why)];
    }

    public SenderAccount Account { get; }

    public UsageView Usage { get; }

    public Envelope Envelope { get; }

    public MessageFacts? Message { get; }

    /// <summary>Recipients, or 1 while there are none yet.</summary>
    public int Recipients { get; }

    /// <summary>Of the message, as far as it is known.</summary>
    public MessageClass Class { get; }

    /// <summary>No limit holds: for the sender, or for the class that the message is of or may turn out to be of.</summary>
    public bool IsExempt { get; }

    /// <summary>The reverse-path the message would leave with.</summary>
    public ReversePath ReversePath { get; }

    public ImmutableArray<Correction> Corrections { get; }

    /// <summary>The reverse-path does not belong to the identity, and its mode is reject (or there is nothing to correct it to).</summary>
    public bool SenderIsRejected { get; private set; }

    /// <param name="stopped">The level whose limit refuses.</param>
    public Decision Refuse(string reason, string reply, LevelUsage? stopped = null)
    {
        SmtpReply parsed = SmtpReply.Parse(reply);
        return new Decision
        {
            Verdict = parsed.IsTransient ? Verdict.Defer : Verdict.Refuse,
            Reason = reason,
            Reply = parsed,
            ReversePath = ReversePath,
            Corrections = Corrections,
            Egress = Account.Egress,
            Stopped = stopped,
            Class = Class,
        };
    }

    /// <summary>Into the queue.</summary>
    public Decision Take(Verdict verdict, string reason, string reply) => new()
    {
        Verdict = verdict,
        Reason = reason,
        Reply = SmtpReply.Parse(reply),
        ReversePath = ReversePath,
        Corrections = Corrections,
        Egress = Account.Egress,
        SigningKeys = Message is null ? [] : Account.SigningKeys,
        Class = Class,
        IsExempt = IsExempt,
    };

    /// <summary>Whether the message counts at a level: at those of one class only once it is known to be of that.</summary>
    public bool Counts(in AccountKey level) => level.Class is null || (level.Class == Class && MessageClasses.IsSettled(Envelope, Message));

    private bool IsOfExemptClass()
    {
        if (Account.ExemptClasses.IsEmpty)
            return false;
        if (MessageClasses.IsSettled(Envelope, Message))
            return Account.ExemptClasses.Contains(Class);
        foreach (MessageClass exempt in Account.ExemptClasses)
        {
            if (MessageClasses.MayBe(Account.Identity.Kind, exempt))
                return true;
        }
        return false;
    }

    /// <summary>An unqualified reverse-path comes from the unix socket only and means that none was given (no <c>-f</c>).</summary>
    private ReversePath CorrectedReversePath(out string? why)
    {
        why = null;
        if (Account.Subscription is null || Envelope.ReversePath.Address is not { } given)
            return Envelope.ReversePath; // The null reverse-path is never corrected (RFC 5321 §4.5.5).
        if (given.IsUnqualified)
            why = "no reverse-path given";
        else if (!IsOwned(given) && Account.SenderMode != SenderMode.Trust)
            why = "not owned by the sender";
        if (why is null)
            return Envelope.ReversePath;
        MailboxAddress? replacement = !given.IsUnqualified && Account.SenderMode == SenderMode.Reject ? null : Replacement();
        if (replacement is not null)
            return new ReversePath(replacement);
        SenderIsRejected = true;
        why = null;
        return Envelope.ReversePath;
    }

    /// <summary>A mailbox owns its address, the credential of a domain every address of that, and a uid, a network or the credential of a subscription all its domains.</summary>
    private bool IsOwned(MailboxAddress address) =>
        Account.Mailbox is { } mailbox ? mailbox.Canonical == address.Canonical
        : Account.ReversePathOwner == DomainOwner.Own && (Account.OwnedDomain is null || Account.ReversePathDomain == Account.OwnedDomain);

    private MailboxAddress? Replacement()
    {
        bool canUseFrom = Account.Mailbox is null && Account.HeaderFromOwner == DomainOwner.Own
            && (Account.OwnedDomain is null || Account.SigningDomain == Account.OwnedDomain) && Message is { From: [{ Domain: not null }, ..] };
        if (canUseFrom && (Envelope.SmtpUtf8 || Message!.From[0].IsAscii))
            return Message!.From[0];
        return Account.DefaultSender;
    }
}
