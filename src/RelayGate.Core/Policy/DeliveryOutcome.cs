using RelayGate.Core.Replies;

namespace RelayGate.Core.Policy;

/// <summary>How far a delivery attempt got; the names are those of the attempt's record.</summary>
public enum DeliveryStage
{
    /// <summary>Decided here: no next hop was spoken to, or the next hop lacks what the message needs.</summary>
    Local,
    Connect,
    Greeting,
    Ehlo,
    StartTls,

    /// <summary>The login at a smarthost.</summary>
    Auth,
    Mail,
    Rcpt,
    Data,
    EndOfData,
}

/// <summary>What follows from a reply or a failure.</summary>
public enum OutcomeKind
{
    /// <summary>The next hop has taken responsibility.</summary>
    Delivered,

    /// <summary>Another address of the next hop may do better; when none is left, <see cref="Deferred"/>.</summary>
    NextHost,

    /// <summary>Try again later.</summary>
    Deferred,

    /// <summary>Never try again; the sender hears of it.</summary>
    Failed,
}

/// <summary>Says what a reply or a lost connection means for the recipients it speaks of. Pure.</summary>
public static class DeliveryOutcome
{
    /// <summary>Meaning of a well-formed reply at a stage.</summary>
    /// <remarks>
    /// The first digit decides (RFC 5321 §4.2.1), except before MAIL: a 5yz greeting or EHLO refuses our connection, not this message, and is
    /// most often about our address or the peer's load. As Postfix does by default (smtp_skip_5xx_greeting), the next host is tried and the message is
    /// deferred when none is left, so that a listing of our address never bounces good recipients. 421 says that the host goes away, at any stage (§3.8).
    /// A positive reply of the wrong class (2yz to DATA, 3yz to MAIL) is a protocol error: nobody knows what was accepted.
    /// Nor does a 5yz fail a recipient when it is not about the recipient or the message, but about our address, our rate or a fault that passes
    /// (<see cref="ReplyClasses.IsNeverFinal"/>): the message waits, and leaves by another way or when that is mended.
    /// </remarks>
    /// <param name="about">What a refusal is about.</param>
    public static OutcomeKind OfReply(DeliveryStage stage, int code, ReplyClass about = ReplyClass.None)
    {
        int expected = stage == DeliveryStage.Data ? 3 : 2;
        if (code / 100 == expected)
            return OutcomeKind.Delivered;
        if (code == 421)
            return OfLostConnection(stage);
        bool aboutTheHost = stage is DeliveryStage.Connect or DeliveryStage.Greeting or DeliveryStage.Ehlo or DeliveryStage.StartTls or DeliveryStage.Auth;
        return (code / 100) switch
        {
            4 => aboutTheHost || stage == DeliveryStage.Mail ? OutcomeKind.NextHost : OutcomeKind.Deferred,
            5 when about.IsNeverFinal() => OfReply(stage, code - 100),
            5 => aboutTheHost ? OutcomeKind.NextHost : OutcomeKind.Failed,
            _ => OfLostConnection(stage),
        };
    }

    /// <summary>Meaning of a lost connection, a time limit or a malformed reply. After the final dot the message may have been taken: only a retry later is safe (RFC 5321 §4.5.4.1).</summary>
    public static OutcomeKind OfLostConnection(DeliveryStage stage) =>
        stage == DeliveryStage.EndOfData ? OutcomeKind.Deferred : OutcomeKind.NextHost;

    /// <summary>The stage's name in records: connect, greeting, ehlo, starttls, auth, mail, rcpt, data, end-of-data, local.</summary>
    public static string NameOf(DeliveryStage stage) => stage switch
    {
        DeliveryStage.Connect => "connect",
        DeliveryStage.Greeting => "greeting",
        DeliveryStage.Ehlo => "ehlo",
        DeliveryStage.StartTls => "starttls",
        DeliveryStage.Auth => "auth",
        DeliveryStage.Mail => "mail",
        DeliveryStage.Rcpt => "rcpt",
        DeliveryStage.Data => "data",
        DeliveryStage.EndOfData => "end-of-data",
        _ => "local",
    };
}
