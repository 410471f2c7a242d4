using RelayGate.Core.Mail;
using RelayGate.Core.Messages;

namespace RelayGate.Core.Policy;

/// <summary>What kind of mail one message is. Each message is of exactly one class.</summary>
public enum MessageClass
{
    /// <summary>Written by who logged in.</summary>
    Login,

    /// <summary>Given by a process of this machine over the unix socket.</summary>
    Local,

    /// <summary>Given by a PHP script of this machine that names itself.</summary>
    Script,

    /// <summary>Given without login from a listed network.</summary>
    Network,

    /// <summary>Passed on: somebody else wrote it, and it has been delivered before.</summary>
    Forward,

    /// <summary>Null reverse-path or Auto-Submitted: reports and answers of programs.</summary>
    Automatic,
}

/// <summary>Says of which class a message is. Pure, and from what the client gives: header fields can be forged, so no class is a proof.</summary>
public static class MessageClasses
{
    /// <summary>
    /// Received fields from which on a message has been delivered before. What a client or web application writes has none, and one or two when
    /// it came through a mail server of the same machine or office.
    /// </summary>
    public const int ForwardReceivedFields = 3;

    public static int Count { get; } = Enum.GetValues<MessageClass>().Length;

    /// <summary>The class of a message; while its header section is not known, that of its envelope and identity.</summary>
    /// <remarks>
    /// In this order: <see cref="MessageClass.Automatic"/> by the null reverse-path or an Auto-Submitted other than <c>no</c> (RFC 3834 §5);
    /// <see cref="MessageClass.Forward"/> by a Resent- field (RFC 5322 §3.6.6), by <see cref="ForwardReceivedFields"/>, or by one Received field
    /// where neither the author nor the reverse-path is of a domain of the sender's subscription; <see cref="MessageClass.Script"/> by
    /// X-PHP-Originating-Script with the uid of the process; else by the identity.
    /// </remarks>
    /// <param name="facts">Null until the end of data.</param>
    public static MessageClass Of(SenderAccount account, Envelope envelope, MessageFacts? facts)
    {
        if (facts?.Class is { } found)
            return found;
        if (IsSettled(envelope, null) || facts is { IsAutoSubmitted: true })
            return MessageClass.Automatic;
        if (facts is not null && IsForward(account, facts))
            return MessageClass.Forward;
        return account.Identity.Kind == IdentityKind.Uid && facts?.Script is { IsOfPhp: true, IsProved: true } ? MessageClass.Script : Of(account.Identity.Kind);
    }

    /// <summary>The class of what an identity writes itself.</summary>
    public static MessageClass Of(IdentityKind identity) => identity switch
    {
        IdentityKind.Uid => MessageClass.Local,
        IdentityKind.Network => MessageClass.Network,
        _ => MessageClass.Login,
    };

    /// <summary>In lower case, as records, limits and metrics name it.</summary>
    public static string Word(this MessageClass value) => value switch
    {
        MessageClass.Login => "login",
        MessageClass.Local => "local",
        MessageClass.Script => "script",
        MessageClass.Network => "network",
        MessageClass.Forward => "forward",
        _ => "automatic",
    };

    /// <summary>Whether the class cannot change any more with the header section.</summary>
    internal static bool IsSettled(Envelope envelope, MessageFacts? facts) => facts is not null || envelope.ReversePath.IsNull;

    /// <summary>Whether a message whose header section is not known may still turn out to be of a class.</summary>
    internal static bool MayBe(IdentityKind identity, MessageClass value) => value switch
    {
        MessageClass.Automatic or MessageClass.Forward => true,
        MessageClass.Script => identity == IdentityKind.Uid,
        _ => value == Of(identity),
    };

    private static bool IsForward(SenderAccount account, MessageFacts facts) =>
        facts.HasResentFields
        || facts.ReceivedFields >= ForwardReceivedFields
        || (facts.ReceivedFields > 0 && !facts.From.IsDefaultOrEmpty && account.HeaderFromOwner != DomainOwner.Own && account.ReversePathOwner != DomainOwner.Own);
}
