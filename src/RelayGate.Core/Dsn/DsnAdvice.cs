using System.Text;
using RelayGate.Core.Mail;
using RelayGate.Core.Replies;
using RelayGate.Core.Smtp;

namespace RelayGate.Core.Dsn;

/// <summary>Says in a customer's words why a recipient was not served, and what the customer can do about it.</summary>
/// <remarks>By what the refusal is about (<see cref="ReplyClass"/>); of what was decided here, or not classified, by the enhanced status code (RFC 3463).</remarks>
internal static class DsnAdvice
{
    private const string ReadReply = "The reply of the mail server says more. If it does not help, ask the recipient in another way.";

    /// <param name="Why">One or two sentences.</param>
    /// <param name="ToDo">What the customer can do.</param>
    public readonly record struct Words(string Why, string ToDo);

    /// <param name="administrator">Whom to ask: the name of our host.</param>
    /// <param name="hasUtf8Header">The header section of the message has octets above 127.</param>
    public static Words Of(DsnRecipient recipient, string administrator, bool hasUtf8Header)
    {
        Words words = OfWait(recipient.Wait, administrator) ?? OfClass(recipient.Class, administrator) ?? OfStatus(recipient, administrator, hasUtf8Header);
        return recipient.IsExpired && recipient.Wait != WaitCause.None ? words with { Why = $"The time that a message has is over. {words.Why}" }
            : recipient.IsExpired ? words with { Why = $"All attempts in the time that a message has failed, and it has ended. The last one: {LowerFirst(words.Why)}" }
            : words;
    }

    private static Words? OfWait(WaitCause cause, string administrator) => cause switch
    {
        WaitCause.Paused => OfClass(ReplyClass.IpBlocked, administrator),
        WaitCause.Pace => new Words(
            "Our server may send only so many messages at a time there, and others were first. Neither your message nor the recipient's address is at fault.",
            $"Send the message again later, and large mailings in smaller parts. The administrator of {administrator} can see the reason by the reference below."),
        WaitCause.Missing => new Words("Our server has not got the address to send the message from at present. Neither your message nor the recipient's address is at fault.", AskUs(administrator)),
        WaitCause.Connection => new Words(
            "Our server has had no connection free to send the message by, as other messages were under way. Neither your message nor the recipient's address is at fault.",
            AskUs(administrator)),
        WaitCause.ByHand => new Words("The administrator of our server holds such mail back at present. Neither your message nor the recipient's address is at fault.", AskUs(administrator)),
        _ => null,
    };

    private static string AskUs(string administrator) => $"Ask the administrator of {administrator}, who can see the reason by the reference below.";

    private static Words? OfClass(ReplyClass about, string administrator) => about switch
    {
        ReplyClass.InvalidRecipient => NoSuchAddress,
        ReplyClass.MailboxFull => new Words(
            "The recipient's mailbox is full.",
            "Tell the recipient in another way, and send the message again when there is room."),
        ReplyClass.Rate => new Words(
            "The recipient's mail server takes only so many messages at a time, and there were more.",
            "Send the message again later, and large mailings in smaller parts."),
        ReplyClass.IpBlocked or ReplyClass.IpDeferred or ReplyClass.Ptr => new Words(
            "The recipient's mail server does not take mail from the address of our server at present. Neither your message nor the recipient's address is at fault.",
            $"Send the message again later. If it comes back again, ask the administrator of {administrator}, who can see the reason by the reference below."),
        ReplyClass.DomainReputation => new Words(
            "The recipient's mail server mistrusts a domain that your message names: your own, or that of a link.",
            $"Make sure that your site sends no unwanted mail and was not broken into, and check the links in the message. The administrator of {administrator} can help."),
        ReplyClass.Authentication => new Words(
            "The recipient's mail server could not verify that the message comes from your domain (SPF, DKIM or DMARC).",
            "Send only with an address of your own domain, and have whoever keeps its DNS check the SPF, DKIM and DMARC records."),
        ReplyClass.Policy => new Words("A rule of the recipient's mail server refused the message.", ReadReply),
        ReplyClass.Content => new Words(
            "The recipient's mail server refused the content: it looks like unwanted mail to it, or something is attached that it does not take.",
            "Remove attachments and links that may look suspicious, and send the message again."),
        ReplyClass.Tls => new Words(
            "The encrypted connection that is demanded for this recipient could not be made.",
            $"This is for administrators to mend: tell the recipient in another way, or ask the administrator of {administrator}."),
        ReplyClass.Greylisted => new Words(
            "The recipient's mail server asked to try again later, each time.",
            "Send the message again later. If it comes back again, tell the recipient in another way."),
        ReplyClass.Transient => Unreachable,
        ReplyClass.Refused => new Words("The recipient's mail server refused the message.", ReadReply),
        _ => null,
    };

    private static Words OfStatus(DsnRecipient recipient, string administrator, bool hasUtf8Header)
    {
        if (recipient.IsExpired || !EnhancedStatusCode.TryParse(recipient.Status, out EnhancedStatusCode code, out _))
            return recipient.RemoteMta is null ? Unreachable : new Words("The recipient's mail server refused the message.", ReadReply);
        return (code.Subject, code.Detail) switch
        {
            (1, 2 or 10) => new Words("The domain of the address does not exist or takes no mail.", "Check the spelling of the address, above all after the @."),
            (1, _) or (2, 1) => NoSuchAddress,
            (2, 2) => OfClass(ReplyClass.MailboxFull, administrator)!.Value,
            (3, 4) or (2, 3) => new Words("The message is too large for the recipient's mail server.", "Send it without large attachments, or put them where the recipient can fetch them."),
            (3, 5) => new Words("Our server has no address to send the message from.", $"Ask the administrator of {administrator}."),
            (4, 6) => new Words("The message went in a circle between mail servers.", $"Ask the recipient's administrator or the administrator of {administrator}."),
            (4, _) or (3, _) => Unreachable,
            (6, 3) => new Words("The message has characters that the recipient's mail server does not take (8-bit content).", "Send it again as plain text, or with your mail program set to encode it."),
            (6, >= 7 and <= 10) => OfUtf8(recipient, hasUtf8Header),
            (6, _) => OfClass(ReplyClass.Content, administrator)!.Value,
            (7, >= 20 and <= 29) => OfClass(ReplyClass.Authentication, administrator)!.Value,
            (7, 10 or 30) => OfClass(ReplyClass.Tls, administrator)!.Value,
            (7, _) => OfClass(ReplyClass.Policy, administrator)!.Value,
            _ => new Words("The recipient's mail server refused the message.", ReadReply),
        };
    }

    private static Words OfUtf8(DsnRecipient recipient, bool hasUtf8Header) =>
        !Ascii.IsValid(recipient.ForwardPath.Address.LocalPart) ? new Words(
            "The recipient's address has characters beyond ASCII, which a mail server on the way does not take.",
            "Ask the recipient for an address without such characters.")
        : hasUtf8Header ? new Words(
            "The header of your message has characters beyond ASCII as they are, which the recipient's mail server does not take. The recipient's address is not at fault.",
            "Set your mail program, or the script that wrote the message, to encode such characters in the subject and in names (RFC 2047), and send it again.")
        : new Words(
            "Your sender address has characters beyond ASCII, which the recipient's mail server does not take. The recipient's address is not at fault.",
            "Send the message from an address without such characters.");

    private static Words NoSuchAddress => new(
        "The address does not exist, or takes no mail any more.",
        "Check the spelling of the address. If it is right, ask the recipient in another way for a new one, and take this one from your lists.");

    private static Words Unreachable => new(
        "The recipient's mail server could not be reached, or had a fault of its own.",
        "Check the spelling of the address after the @. If it is right, send the message again later or tell the recipient in another way.");

    private static string LowerFirst(string text) => char.ToLowerInvariant(text[0]) + text[1..];
}
