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
    private readonly TimeSpan _delayNoticeAfter = options.Retry.DelayNoticeAfter;

    /// <param name="random">0 (inclusive) to 1 (exclusive), one number for all recipients, so that those with the same schedule stay together.</param>
    public DeliveryAttempt Record(DeliveryJob job, AttemptResult result, DateTimeOffset startedAt, TimeSpan duration, double random)
    {
        DateTimeOffset endedAt = startedAt + duration;
        var results = ImmutableArray.CreateBuilder<RecipientResult>(job.Recipients.Length);
        for (int i = 0; i < job.Recipients.Length; i++)
            results.Add(ResultOf(job.Message, job.Recipients[i], result.Outcomes[i]!, result, endedAt, random) with { Host = Other(result, result.Hosts[i]) });
        NextHopAddress? nextHop = result.NextHop;
        ImmutableArray<HostRefusal> passed = Passed(result);
        return new DeliveryAttempt(
            startedAt, duration, DeliveryOutcome.NameOf(result.Stage), nextHop?.Host ?? "", nextHop?.Remote ?? "", result.Local, result.Tls,
            results.ToImmutable())
        {
            Provider = results.Any(static r => r.WaitsFor is not null) ? result.Provider : nextHop?.Provider ?? result.Provider,
            HostRefusals = passed,
            TlsPolicy = result.TlsOutcome?.ToString(),
        };
    }

    /// <summary>What stands in no result as of the last host: a refusal by the host that was tried last is that of its recipients.</summary>
    private static ImmutableArray<HostRefusal> Passed(AttemptResult result) => result.HostRefusals.Count == 0 ? [] :
        [.. result.HostRefusals.Where(refusal => !IsLast(result, refusal.Remote, refusal.Local)
            || !Array.Exists(result.Outcomes, o => o!.Text == refusal.Reply && ReferenceEquals(o.Finding, refusal.Finding)))];

    /// <returns>Null: it is the one that was tried last.</returns>
    private static AttemptHost? Other(AttemptResult result, AttemptHost? host) => host is null || IsLast(result, host.Remote, host.Local) ? null : host;

    private static bool IsLast(AttemptResult result, string remote, string local) => remote == result.NextHop!.Remote && local == result.Local;

    /// <summary>When a message is given up that ends like this: the one place that says so, for attempts, for what is put off and for reports.</summary>
    public DateTimeOffset EndOf(QueuedMessage message, string provider, RecipientOutcome outcome) => message.AgedFrom + _schedules.For(provider, outcome).GiveUpAfter;

    /// <summary>When what waits for something is looked at again: when that ends at the latest, and in time for the notice of its delay and for its end.</summary>
    public DateTimeOffset LookAgain(QueuedMessage message, DateTimeOffset until, DateTimeOffset end, DateTimeOffset now)
    {
        DateTimeOffset noticeAt = message.AgedFrom + _delayNoticeAfter; // Of zero: none.
        DateTimeOffset at = until < end ? until : end;
        return now < noticeAt && noticeAt < at ? noticeAt : at;
    }

    private RecipientResult ResultOf(QueuedMessage message, QueuedRecipient recipient, RecipientOutcome outcome, AttemptResult attempt, DateTimeOffset endedAt, double random) =>
        Meaning(message, recipient, outcome, attempt, endedAt, random) with { Class = outcome.Finding?.Class ?? ReplyClass.None, Finding = outcome.Finding, Wait = outcome.Wait };

    private RecipientResult Meaning(QueuedMessage message, QueuedRecipient recipient, RecipientOutcome outcome, AttemptResult attempt, DateTimeOffset endedAt, double random)
    {
        if (outcome.Kind is OutcomeKind.Delivered or OutcomeKind.Failed)
        {
            DeliveryResult result = outcome.Kind == OutcomeKind.Delivered ? DeliveryResult.Delivered : DeliveryResult.Failed;
            return new RecipientResult(recipient, result, outcome.Text, outcome.Status, NextAttempt: null, outcome.DsnPassedOn);
        }
        if (_schedules.For(attempt.Provider, outcome).Next(message.AgedFrom, endedAt, recipient.Attempts - recipient.Uncounted + 1, random) is { } next)
        {
            DateTimeOffset end = EndOf(message, attempt.Provider, outcome);
            var deferred = new RecipientResult(recipient, DeliveryResult.Deferred, outcome.Text, outcome.Status, next) { GivenUpAt = end };
            // The recipient is as good as before: the schedule does not count the attempt, and it waits for the address. Its age counts on.
            return attempt.AddressWait is var (waitsFor, until) && outcome.ConcernsEgress
                ? deferred with { NextAttempt = LookAgain(message, until, end, endedAt), WaitsFor = waitsFor }
                : deferred;
        }
        // RFC 3463: 4.4.7 and 5.4.7, delivery time expired. The last reason stays readable; an egress that never came back says so itself.
        string status = outcome.Status == "4.3.5" ? "5.3.5" : "5.4.7";
        return new RecipientResult(recipient, DeliveryResult.Failed, $"Given up after {Age(endedAt - message.AgedFrom)}: {outcome.Text}", status, NextAttempt: null);
    }

    /// <summary>For people.</summary>
    public static string Age(TimeSpan age) => age.TotalHours < 48 ? $"{age.TotalHours:0.#} hours" : $"{age.TotalDays:0.#} days";
}
