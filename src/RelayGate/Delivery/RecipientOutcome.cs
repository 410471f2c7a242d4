using RelayGate.Core.Dsn;
using RelayGate.Core.Policy;
using RelayGate.Core.Replies;
using RelayGate.Core.Smtp;

namespace RelayGate.Delivery;

/// <summary>What a transaction did to one recipient, before the retry schedule is asked.</summary>
/// <param name="Status">Enhanced status code for the record and the DSN.</param>
/// <param name="Text">Reply of the next hop, clean and cut, or our own text.</param>
/// <param name="Code">Code of the reply; 0 when <paramref name="Text"/> is our own.</param>
public sealed record RecipientOutcome(OutcomeKind Kind, string Status, string Text, int Code)
{
    /// <summary>For a delivery: the next hop offers DSN, so that NOTIFY, ORCPT, RET and ENVID were passed on.</summary>
    public bool DsnPassedOn { get; init; }

    /// <summary>Of a <see cref="OutcomeKind.NextHost"/>: when every host has ended like this, the recipient fails instead of waiting.</summary>
    public bool FailsAtTheEnd { get; init; }

    /// <summary>What the reply is about; null for a positive one and where none came.</summary>
    public ReplyFinding? Finding { get; init; }

    /// <summary>The next hop has refused our address or our pace, whoever the recipient is.</summary>
    public bool ConcernsEgress => Finding is { } finding && finding.Class.ConcernsEgress();

    /// <summary>It was not tried, for this cause.</summary>
    public WaitCause Wait { get; init; }

    /// <summary>Decided here, without a reply.</summary>
    public static RecipientOutcome Local(OutcomeKind kind, string status, string text) => new(kind, status, text, Code: 0);

    /// <param name="finding">What a refusal is about; null for a positive reply.</param>
    /// <param name="wouldBeTakenWithTls">TLS has failed just now and is tried again next time: a refusal for its lack is not final.</param>
    public static RecipientOutcome Of(DeliveryStage stage, SmtpReply reply, ReplyFinding? finding, bool wouldBeTakenWithTls)
    {
        ReplyClass about = finding?.Class ?? ReplyClass.None;
        OutcomeKind kind = DeliveryOutcome.OfReply(stage, reply.Code, wouldBeTakenWithTls && about == ReplyClass.Tls ? ReplyClass.Transient : about);
        char wanted = kind switch { OutcomeKind.Delivered => '2', OutcomeKind.Failed => '5', _ => '4' };
        string status = RemoteReply.StatusOf(reply);
        // A refusal that is not taken as final (5yz to the greeting, or about our address) must not look final in the record.
        return new RecipientOutcome(kind, status[0] == wanted ? status : wanted + status[1..], RemoteReply.Cut(reply).ToString(), reply.Code) { Finding = finding };
    }
}
