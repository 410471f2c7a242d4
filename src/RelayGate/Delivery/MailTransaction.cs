using System.Collections.Immutable;
using RelayGate.Core.Policy;
using RelayGate.Queue;

namespace RelayGate.Delivery;

/// <summary>One message to some recipients over one session, with what came of it.</summary>
internal sealed class MailTransaction(QueuedMessage message, ImmutableArray<QueuedRecipient> recipients)
{
    public QueuedMessage Message { get; } = message;

    public ImmutableArray<QueuedRecipient> Recipients { get; } = recipients;

    /// <summary>In the order of <see cref="Recipients"/>; null: not decided yet.</summary>
    public RecipientOutcome?[] Outcomes { get; } = new RecipientOutcome?[recipients.Length];

    /// <summary>With whom; null: it was not begun.</summary>
    public AttemptHost? Host { get; set; }

    /// <summary>How far it got.</summary>
    public DeliveryStage Stage { get; set; } = DeliveryStage.Mail;

    /// <summary>The end of the content may have reached the next hop: without its reply nobody knows whether it took the message.</summary>
    public bool ContentSent { get; set; }

    /// <summary>DATA was answered by 354, so that the replies before it were those of MAIL and RCPT.</summary>
    public bool IsInStep { get; set; }

    /// <summary>BDAT may be used where it is offered.</summary>
    public bool AllowBdat { get; init; } = true;

    /// <summary>The next hop offers CHUNKING, took recipients, and does not know BDAT: the content should go by DATA, in another session.</summary>
    public bool WantsData { get; set; }

    /// <summary>MAIL has a reply other than 421, so that the next hop has spoken of this transaction.</summary>
    public bool MailAnswered { get; set; }

    /// <summary>The connection ended, by close, reset or 421, before MAIL was answered.</summary>
    public bool EndedUnanswered { get; set; }

    /// <summary>Gives every recipient without an outcome this one.</summary>
    public void DecideRest(RecipientOutcome outcome)
    {
        for (int i = 0; i < Outcomes.Length; i++)
            Outcomes[i] ??= outcome;
    }

    /// <summary>Takes back what replies have decided: they may have been about something else.</summary>
    public void ForgetReplies()
    {
        for (int i = 0; i < Outcomes.Length; i++)
        {
            if (Outcomes[i] is { Code: not 0 })
                Outcomes[i] = null;
        }
    }

    public bool AnyUndecided() => Array.IndexOf(Outcomes, null) >= 0;
}
