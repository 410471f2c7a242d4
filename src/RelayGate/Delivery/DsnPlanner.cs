using System.Collections.Immutable;
using RelayGate.Configuration;
using RelayGate.Core.Dsn;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Queue;

namespace RelayGate.Delivery;

/// <summary>Decides whether an attempt causes a DSN, for whom, and has it written: at most one for each attempt, each recipient named once.</summary>
/// <param name="newId">Makes the queue id of a DSN.</param>
internal sealed class DsnPlanner(RelayGateOptions options, DsnOriginLookup originOf, Func<DateTimeOffset, QueueId> newId)
{
    private readonly TimeSpan _delayNoticeAfter = options.Delivery.Retry.DelayNoticeAfter;

    /// <returns>Null when nobody is to hear of the attempt. Of a report that is too large for its next hop: the same report, shorter.</returns>
    public async ValueTask<PreparedDsn?> PlanAsync(DeliveryJob job, DeliveryAttempt attempt)
    {
        QueuedMessage message = job.Message;
        if (message.IsDsn)
            return await ShorterAsync(message, attempt);
        if (message.ReversePath.Address is not { } to) // RFC 5321 §4.5.5: never for the null reverse-path.
            return null;
        DateTimeOffset endedAt = attempt.StartedAt + attempt.Duration;
        bool delayDue = _delayNoticeAfter > TimeSpan.Zero && endedAt - message.AgedFrom >= _delayNoticeAfter;
        ImmutableArray<DsnRecipient>.Builder? recipients = null;
        bool anyFailed = false;
        var delayed = ImmutableArray.CreateBuilder<int>();
        foreach (RecipientResult result in attempt.Results)
        {
            if (ActionOf(result, delayDue) is not { } action)
                continue;
            anyFailed |= action == DsnAction.Failed;
            if (action == DsnAction.Delayed)
                delayed.Add(result.Recipient.Index);
            (recipients ??= ImmutableArray.CreateBuilder<DsnRecipient>()).Add(new DsnRecipient(
                result.Recipient.ForwardPath,
                result.Recipient.OriginalRecipient,
                action,
                result.EnhancedStatus ?? (action == DsnAction.Failed ? "5.0.0" : action == DsnAction.Delayed ? "4.0.0" : "2.0.0"),
                IsReply(result.Reply) && attempt.HostOf(result).NextHop is { Length: > 0 } host ? host : null,
                result.Reply,
                endedAt,
                action == DsnAction.Delayed ? result.GivenUpAt : null)
            {
                Class = result.Class,
                Wait = result.Wait,
            });
        }
        if (recipients is null)
            return null;
        // RFC 3461 §4.3: RET=FULL speaks of failures; other reports return the header section alone.
        // RFC 8689 §5: of what required TLS the header section alone comes back, whatever RET says.
        bool whole = anyFailed && !message.RequiresTls && message.Return != DsnReturn.Headers && !message.Body.IsChunked && message.Octets <= options.Dsn.MaxReturned;
        QueueId id = newId(endedAt);
        DsnOrigin origin = await originOf(message, CancellationToken.None);
        ComposedDsn composed = DsnComposer.Compose(new DsnRequest(
            id, message.Id, options.Hostname, to, message.EnvelopeId, message.ReceivedAt, endedAt, recipients.ToImmutable(), message.HeaderSection,
            whole ? message.Body.Memory : (ReadOnlyMemory<byte>?)null)
        {
            MaxReturnedOctets = options.Dsn.MaxReturned,
            From = origin.From,
        }).Signed(origin.Keys, endedAt);
        return Prepared(id, new ForwardPath(to), composed, origin) with { Delayed = delayed.ToImmutable() };
    }

    /// <summary>Nobody hears of a report that fails; but where its size alone is at fault, the header section of the returned message will do.</summary>
    private async ValueTask<PreparedDsn?> ShorterAsync(QueuedMessage report, DeliveryAttempt attempt)
    {
        if (attempt.Results is not [{ Result: DeliveryResult.Failed, EnhancedStatus: "5.3.4" or "5.2.3" } refused] || report.Body.IsChunked)
            return null;
        ForwardPath to = refused.Recipient.ForwardPath;
        DsnOrigin origin = await originOf(report with { ReversePath = new ReversePath(to.Address) }, CancellationToken.None);
        if (ShorterDsn.Of(report.HeaderSection, report.Body.Memory.Span, report.HeaderNeedsUtf8, origin.From) is not { } shorter)
            return null;
        DateTimeOffset now = attempt.StartedAt + attempt.Duration;
        return Prepared(newId(now), to, shorter.Signed(origin.Keys, now), origin);
    }

    private static PreparedDsn Prepared(QueueId id, ForwardPath to, ComposedDsn composed, DsnOrigin origin) =>
        new(id, to, composed.HeaderSection, composed.Body, composed.HeaderNeedsUtf8, composed.BodyIs8Bit) { SignedBy = origin.Keys, IsToHosted = origin.IsToHosted };

    /// <summary>What the sender is to hear of one recipient (RFC 3461 §4.1, §5.2), or null.</summary>
    private static DsnAction? ActionOf(RecipientResult result, bool delayDue)
    {
        DsnNotify notify = result.Recipient.Notify;
        if (notify.HasFlag(DsnNotify.Never))
            return null;
        return result.Result switch
        {
            DeliveryResult.Failed when notify == DsnNotify.Default || notify.HasFlag(DsnNotify.Failure) => DsnAction.Failed,
            DeliveryResult.Deferred when delayDue && !result.Recipient.DelayNoticed && (notify == DsnNotify.Default || notify.HasFlag(DsnNotify.Delay)) => DsnAction.Delayed,
            // A next hop with DSN reports success itself; without it, all that can be said is that the message was relayed (§5.2.2).
            DeliveryResult.Delivered when notify.HasFlag(DsnNotify.Success) && !result.DsnPassedOn => DsnAction.Relayed,
            _ => null,
        };
    }

    /// <summary>Only what the next hop said is its diagnostic (RFC 3464 §2.3.6); our own words are not put into its mouth.</summary>
    private static bool IsReply(string text) =>
        text.Length >= 3 && char.IsAsciiDigit(text[0]) && char.IsAsciiDigit(text[1]) && char.IsAsciiDigit(text[2]) && (text.Length == 3 || text[3] == ' ');
}
