using RelayGate.Core.Policy;
using RelayGate.Core.Tls;
using RelayGate.Queue;

namespace RelayGate.Delivery;

/// <summary>What TLS with a next hop must prove, and who hears what came of it.</summary>
internal sealed partial class Deliverer
{
    /// <summary>A host that may not be spoken to at all: the next one is tried.</summary>
    private void PassOver(AttemptResult result, NextHopPlan plan, NextHopAddress address, in TlsDecision decision, RecipientOutcome refusal)
    {
        (result.NextHop, result.Stage, result.Local) = (address, DeliveryStage.Local, "");
        result.TlsOutcome = new TlsOutcome(decision.Policy.Mode, decision.Flaw) { Reason = decision.Reason };
        result.RefuseRest(refusal);
        Tell(plan, address, decision, session: null, result.TlsOutcome);
    }

    /// <summary>Once for each session, when it is opened or was not to be.</summary>
    private void Tell(NextHopPlan plan, NextHopAddress address, in TlsDecision decision, SmtpClientSession? session, TlsOutcome outcome)
    {
        TlsOutcome told = decision.Told(outcome);
        metrics.TlsPolicies.Increment(told.Policy.Word(), told.Result.Word());
        tlsPlanner.Observe(plan, address, decision, told, session?.LocalAddress);
    }

    /// <summary>
    /// Without a session that TLS protects as REQUIRETLS asks for, the message fails when no other host does better (RFC 8689 §4.2.1). A report is not given up
    /// for it (§5): nobody would hear of that.
    /// </summary>
    private static RecipientOutcome WithRequirement(RecipientOutcome outcome, QueuedMessage message, SmtpClientSession session) =>
        message is { RequiresTls: true, IsDsn: false } && session.Tls is { IsVerified: false, Result: not TlsResult.Ok } && outcome.Kind == OutcomeKind.NextHost
            ? TlsPlanner.RequirementNotMet($"The message requires TLS: {outcome.Text}", TlsPlanner.EncryptionNeeded)
            : outcome;
}
