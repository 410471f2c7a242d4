using System.Collections.Immutable;
using RelayGate.Core.Mail;
using RelayGate.Core.Messages;
using RelayGate.Core.Smtp;

namespace RelayGate.Core.Policy;

/// <summary>Says whether one message may enter the queue. Pure: same arguments, same answer; the first rule that matches wins.</summary>
public static class RelayPolicy
{
    private const int MaxReceivedFields = 100; // RFC 5321 §6.3: a loop limit of at least 100.

    private static readonly SmtpReply Accepted = SmtpReply.Parse("250 2.0.0 Queued");

    /// <summary>The rules in their order.</summary>
    private static readonly ImmutableArray<Rule> Rules =
    [
        NoIdentity, UnknownUid, NetworkSenderNotHosted, Suspended, SenderOfOtherSubscription, SenderNotOwned,
        TwoFromFields, MissingFrom, UnreadableHeader, FromNotOwned, MailLoop, TooLarge, TooManyRecipients, SendingForbidden, MoreRecipientsThanLimit, ScriptBlocked, LimitReached,
    ];

    /// <param name="account">The sender, looked up for this envelope (and header From once it is known).</param>
    /// <param name="usage">One ring for each of the account's levels.</param>
    /// <param name="envelope">At MAIL it has no recipients yet; one message to at least one recipient is then assumed.</param>
    /// <param name="message">Null until the end of data.</param>
    public static Decision Decide(SenderAccount account, UsageView usage, Envelope envelope, MessageFacts? message)
    {
        var offer = new Offer(account, usage, envelope, message);
        foreach (Rule rule in Rules)
        {
            if (rule(offer) is { } refusal)
                return refusal;
        }
        return new Decision
        {
            Verdict = Verdict.Accept,
            Reason = Reasons.Accepted,
            Reply = Accepted,
            ReversePath = offer.ReversePath,
            Corrections = offer.Corrections,
            HeaderFrom = offer.HeaderFrom,
            Egress = account.Egress,
            SigningKeys = message is null ? [] : account.SigningKeys,
            Class = offer.Class,
            IsExempt = offer.IsExempt,
            Levels = LimitCheck.Usage(offer),
        };
    }

    private delegate Decision? Rule(Offer offer);

    private static Decision? NoIdentity(Offer offer) => offer.Account switch
    {
        { Identity.Kind: IdentityKind.None } => offer.Refuse(Reasons.AuthenticationRequired,
            "530 5.7.0 Log in first (AUTH with a mailbox's address and password), or have this address listed by: relaygate network add"),
        { Identity.Kind: IdentityKind.Login, Subscription: null } => offer.Refuse(Reasons.AuthenticationRequired,
            "530 5.7.0 This login no longer exists, or its password was replaced; connect and log in again"),
        _ => null,
    };

    private static Decision? UnknownUid(Offer offer) => offer.Account.Identity.Kind != IdentityKind.Uid || offer.Account.Subscription is not null ? null
        : offer.Refuse(Reasons.UnknownUid,
            $"550 5.7.1 Uid {offer.Account.Identity.Uid} belongs to no subscription; remedy: relaygate subscription set NAME --system-user #{offer.Account.Identity.Uid}");

    private static Decision? NetworkSenderNotHosted(Offer offer) => offer.Account.Identity.Kind != IdentityKind.Network || offer.Account.Subscription is not null ? null
        : offer.Refuse(Reasons.NetworkSenderNotHosted, "530 5.7.0 From this network only addresses of domains hosted here may be the sender; log in, or use one of those");

    private static Decision? Suspended(Offer offer) => offer.Account.Suspended is not { } suspended ? null
        : offer.Refuse(Reasons.Suspended, $"550 5.7.1 {ReplyText.Clean(suspended.ToString(), 80)} is suspended; the server's administrator knows why");

    private static Decision? SenderOfOtherSubscription(Offer offer)
    {
        if (offer.Account.TrustsAnySender)
            return null;
        if (offer.Account.ReversePathOwner == DomainOwner.Other)
            return offer.Refuse(Reasons.SenderOfOtherSubscription, "550 5.7.1 The domain of MAIL FROM belongs to another subscription here; use an address of your own");
        return offer.Account.HeaderFromOwner != DomainOwner.Other ? null
            : offer.Refuse(Reasons.SenderOfOtherSubscription, "550 5.7.1 The domain of the From field belongs to another subscription here; use an address of your own");
    }

    private static Decision? SenderNotOwned(Offer offer) => !offer.SenderIsRejected ? null
        : offer.Refuse(Reasons.SenderNotOwned, offer.Account.Mailbox is { } mailbox
            ? $"553 5.7.1 Not allowed to send from this address; use {ReplyText.Clean(mailbox.Text, 80)}"
            : "553 5.7.1 Not allowed to send from this address; use one of the subscription's domains");

    private static Decision? TwoFromFields(Offer offer) => offer.Message is not { FromFields: > 1 } ? null
        : offer.Refuse(Reasons.TwoFromFields, "550 5.6.0 Message has more than one From field (RFC 5322 3.6 allows one)");

    private static Decision? MissingFrom(Offer offer) => offer.Message is not { FromFields: 0 } || offer.Account.Identity.IsLocal ? null
        : offer.Refuse(Reasons.NoFromField, "550 5.6.0 Message has no From field");

    /// <summary>A From nobody here can read may be read elsewhere, as an address of another subscription.</summary>
    private static Decision? UnreadableHeader(Offer offer) => offer.Message switch
    {
        { FromUnreadable: true } => offer.Refuse(Reasons.BadHeader, "550 5.6.0 From field holds no readable address; write it as: Name <local-part@domain>"),
        { HeaderIsMalformed: true } => offer.Refuse(Reasons.BadHeader, "550 5.6.0 Header section holds a line that is no header field; end it with an empty line"),
        _ => null,
    };

    private static Decision? FromNotOwned(Offer offer) => !offer.FromIsRefused ? null
        : offer.Refuse(Reasons.FromNotOwned, offer.Account.Mailbox is { } mailbox
            ? $"550 5.7.1 The From field names an address that is not this login's; use {ReplyText.Clean(mailbox.Text, 80)}"
            : "550 5.7.1 The From field names an address that is not the subscription's; use one of its domains");

    private static Decision? MailLoop(Offer offer) => offer.Message is not { ReceivedFields: > MaxReceivedFields } ? null
        : offer.Refuse(Reasons.MailLoop, "554 5.4.6 Message has passed more than 100 servers: it loops");

    private static Decision? TooLarge(Offer offer)
    {
        long octets = Math.Max(offer.Envelope.DeclaredOctets ?? 0, offer.Message?.Octets ?? 0);
        if (offer.Message is not null)
            octets = offer.Message.Octets; // The declared size was a promise (RFC 1870 §6.1); now the real one is known.
        return octets <= offer.Account.MaxMessageOctets ? null
            : offer.Refuse(Reasons.MessageTooLarge, $"552 5.3.4 Message has {octets} octets; at most {offer.Account.MaxMessageOctets} are allowed");
    }

    /// <summary>
    /// A session refuses only the recipients over the bound and goes on with the others (RFC 5321 §4.5.3.1.10). So this is for the bound of a domain
    /// that only the header From told: for good, because the same message would never be taken.
    /// </summary>
    private static Decision? TooManyRecipients(Offer offer) => offer.Recipients <= offer.Account.MaxRecipients ? null
        : offer.Refuse(Reasons.TooManyRecipients,
            $"{(offer.Message is null ? "452 4.5.3" : "550 5.5.3")} Message has {offer.Recipients} recipients; at most {offer.Account.MaxRecipients} are taken at once");

    private static Decision? SendingForbidden(Offer offer)
    {
        if (offer.IsExempt)
            return null;
        foreach (LevelLimit level in offer.Account.Levels)
        {
            if (level.EnforcedAt(offer.Usage.Now).IsForbidden && offer.Counts(level.Key))
                return offer.Refuse(Reasons.SendingForbidden, $"550 5.7.1 {ReplyText.Object(level.Key, 80)} may not send mail (its limit is: forbidden)",
                    new LevelUsage(level.Key, null, level.Origin, 0, 1));
        }
        return null;
    }

    /// <summary>Permanent, because no waiting helps: 4yz would have the client try for days.</summary>
    private static Decision? MoreRecipientsThanLimit(Offer offer)
    {
        if (offer.IsExempt)
            return null;
        foreach (LevelLimit level in offer.Account.Levels)
        {
            if (!offer.Counts(level.Key))
                continue;
            foreach (Limit limit in level.EnforcedAt(offer.Usage.Now).Limits)
            {
                if (limit.Unit == LimitUnit.Recipients && offer.Recipients > limit.Count)
                {
                    return offer.Refuse(Reasons.TooManyRecipientsForLimit,
                        $"550 5.7.1 Message has {offer.Recipients} recipients; {ReplyText.Object(level.Key, 60)} may send to {limit.Count} in {ReplyText.Window(limit)} altogether",
                        new LevelUsage(level.Key, limit, level.Origin, 0, offer.Recipients));
                }
            }
        }
        return null;
    }

    /// <summary>After everything that would refuse it, so that what is held could be sent; before the limits, because it counts nothing while it is held.</summary>
    private static Decision? ScriptBlocked(Offer offer)
    {
        if (offer.Account.BlockedScripts.IsEmpty || offer.Message?.Script is not { } script || script.FindBlock(offer.Account.BlockedScripts) is null)
            return null;
        return offer.Usage.Held.HasRoomFor(offer.Message.Octets)
            ? offer.Take(Verdict.Hold, Reasons.ScriptBlocked, $"250 2.0.0 Held: mail of {ReplyText.Clean(script.Key.Script, 60)} is held; the server's administrator knows why") with { Held = HoldReason.Script }
            : offer.Refuse(Reasons.HoldFull, ReplyText.HoldFull(offer.Account.Subscription!, $"mail of {ReplyText.Clean(script.Key.Script, 35)} is held"));
    }

    private static Decision? LimitReached(Offer offer) => offer.IsExempt ? null : LimitCheck.Stop(offer);
}
