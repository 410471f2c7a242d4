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
        if (account.HeaderFromMode != HeaderFromMode.Off && message is not null && account is { Subscription: not null, TrustsAnySender: false })
            HeaderFrom = TreatedFrom(message);
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

    public ImmutableArray<Correction> Corrections { get; private set; }

    /// <summary>The reverse-path does not belong to the identity, and its mode is reject (or there is nothing to correct it to).</summary>
    public bool SenderIsRejected { get; private set; }

    public HeaderFromTreatment? HeaderFrom { get; }

    /// <summary>The header From names an address that does not belong to the identity, and its mode is refuse (or there is nothing to put in).</summary>
    public bool FromIsRefused { get; private set; }

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
        HeaderFrom = HeaderFrom,
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
        else if (!Account.Owns(given) && Account.SenderMode != SenderMode.Trust)
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

    /// <summary>For a mailbox its address: who is told of failures is who sent. For others the author where he is theirs, so that SPF and DMARC agree.</summary>
    private MailboxAddress? Replacement() => (Account.Mailbox is null ? OwnedAuthor() : null) ?? Account.DefaultSender;

    private MailboxAddress? OwnedAuthor()
    {
        if (Message is not { From: [{ Domain: not null } author, ..] } || !Account.Owns(author))
            return null;
        author = Envelope.SmtpUtf8 ? author : author.WithAsciiDomain();
        return Envelope.SmtpUtf8 || author.IsAscii ? author : null;
    }

    /// <summary>Every address that some reader could take for the author must belong to the identity.</summary>
    private HeaderFromTreatment? TreatedFrom(MessageFacts message)
    {
        // What is added for a missing or unqualified From is the reverse-path's, and for the null one a name of our own.
        MailboxAddress? sender = ReversePath.Address is { IsUnqualified: false } address ? address : null;
        if (message.FromFields == 0)
            return sender is not null && !Account.Owns(sender) && OwnAddress(sender) is { } added ? new HeaderFromTreatment(HeaderFromMode.Rewrite, added) : null;
        ImmutableArray<MailboxAddress> authors = message.UnqualifiedFrom is null || sender is null ? message.From
            : MailboxAddress.TryParse($"{message.UnqualifiedFrom.Text}@{sender.DomainText}", out MailboxAddress? qualified) ? [qualified] : [sender];
        if (authors.IsEmpty || Account.OwnsAll(authors))
            return null;
        // A resent message names who sent it in its own fields, and its Sender is part of the original (RFC 5322 §3.6.6).
        if (Account.HeaderFromMode == HeaderFromMode.Sender && (Account.OwnsAll(message.Sender) || Account.OwnsAll(message.ResentBy)))
            return null;
        if (Account.HeaderFromMode == HeaderFromMode.Refuse || OwnAddress(sender) is not { } own)
        {
            FromIsRefused = true;
            return null;
        }
        Corrections = Corrections.Add(Account.HeaderFromMode == HeaderFromMode.Sender
            ? new Correction("Sender", message.SenderText ?? "", own.Text, "header From is not owned by the sender")
            : new Correction("From", Listed(authors), own.Text, "not owned by the sender"));
        return new HeaderFromTreatment(Account.HeaderFromMode, own);
    }

    /// <summary>The address that stands for the identity in the header: that of the reverse-path where it can be, so that both are of one domain.</summary>
    private MailboxAddress? OwnAddress(MailboxAddress? sender) =>
        (sender is not null && Account.Owns(sender) ? sender : OwnedAuthor() ?? Account.DefaultSender)?.WithAsciiDomain();

    private static string Listed(ImmutableArray<MailboxAddress> addresses)
    {
        const int MaxListed = 5;
        string listed = string.Join(", ", addresses.Take(MaxListed).Select(static address => address.Text));
        return addresses.Length > MaxListed ? $"{listed} and {addresses.Length - MaxListed} more" : listed;
    }
}
