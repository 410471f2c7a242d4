using System.Collections.Immutable;
using RelayGate.Configuration;
using RelayGate.Core.Policy;
using RelayGate.Core.Replies;
using RelayGate.Queue;

namespace RelayGate.Delivery;

/// <summary>Turns an attempt's outcomes into what is recorded: delivered, deferred until, failed.</summary>
internal sealed class AttemptRecorder(DeliveryOptions options)
{
    private readonly RetrySchedules _schedules = new(options);
    private readonly TimeSpan _giveUpAfter = options.Retry.GiveUpAfter;

    /// <param name="random">0 (inclusive) to 1 (exclusive), one number for all recipients, so that those with the same schedule stay together.</param>
    public DeliveryAttempt Record(DeliveryJob job, AttemptResult result, DateTimeOffset startedAt, TimeSpan duration, double random)
    {
        DateTimeOffset endedAt = startedAt + duration;
        var results = ImmutableArray.CreateBuilder<RecipientResult>(job.Recipients.Length);
        for (int i = 0; i < job.Recipients.Length; i++)
            results.Add(ResultOf(job.Message, job.Recipients[i], result.Outcomes[i]!, result, endedAt, random));
        NextHopAddress? nextHop = result.NextHop;
        return new DeliveryAttempt(
            startedAt, duration, DeliveryOutcome.NameOf(result.Stage), nextHop?.Host ?? "", nextHop?.Remote ?? "", result.Local, result.Tls,
            results.MoveToImmutable())
        {
            Provider = result.Provider,
            TlsPolicy = result.TlsOutcome?.ToString(),
        };
    }

    private RecipientResult ResultOf(QueuedMessage message, QueuedRecipient recipient, RecipientOutcome outcome, AttemptResult attempt, DateTimeOffset endedAt, double random) =>
        Meaning(message, recipient, outcome, attempt, endedAt, random) with { Class = outcome.Finding?.Class ?? ReplyClass.None, Finding = outcome.Finding };

    private RecipientResult Meaning(QueuedMessage message, QueuedRecipient recipient, RecipientOutcome outcome, AttemptResult attempt, DateTimeOffset endedAt, double random)
    {
        if (outcome.Kind is OutcomeKind.Delivered or OutcomeKind.Failed)
        {
            DeliveryResult result = outcome.Kind == OutcomeKind.Delivered ? DeliveryResult.Delivered : DeliveryResult.Failed;
            return new RecipientResult(recipient, result, outcome.Text, outcome.Status, NextAttempt: null, outcome.DsnPassedOn);
        }
        if (_schedules.For(attempt.Provider, outcome).Next(message.AgedFrom, endedAt, recipient.Attempts + 1, random) is { } next)
        {
            if (attempt.AddressWait is not var (waitsFor, until) || outcome.Finding is not { } finding || !finding.Class.ConcernsEgress())
                return new RecipientResult(recipient, DeliveryResult.Deferred, outcome.Text, outcome.Status, next);
            // The recipient is as good as before: the attempt does not count, and it waits for the address. Its age counts on.
            DateTimeOffset end = message.AgedFrom + _giveUpAfter;
            return new RecipientResult(recipient, DeliveryResult.Deferred, outcome.Text, outcome.Status, until < end ? until : end) { WaitsFor = waitsFor };
        }
        // RFC 3463: 4.4.7 and 5.4.7, delivery time expired. The last reason stays readable; an egress that never came back says so itself.
        string status = outcome.Status == "4.3.5" ? "5.3.5" : "5.4.7";
        return new RecipientResult(recipient, DeliveryResult.Failed, $"Given up after {Age(endedAt - message.AgedFrom)}: {outcome.Text}", status, NextAttempt: null);
    }

    /// <summary>For people.</summary>
    public static string Age(TimeSpan age) => age.TotalHours < 48 ? $"{age.TotalHours:0.#} hours" : $"{age.TotalDays:0.#} days";
}
