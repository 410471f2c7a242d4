using RelayGate.Core.Policy;
using RelayGate.Core.Replies;
using RelayGate.Queue;
using RelayGate.Telemetry;

namespace RelayGate.Delivery;

public sealed partial class DeliveryService
{
    /// <summary>Puts a job off. Its age counts on: the sender hears of the delay, and in the end that it was given up, as of any other.</summary>
    /// <returns>False: it has become too old, and what its result says is recorded as the last attempt.</returns>
    private async Task<bool> PutOffAsync(DeliveryJob job, AttemptResult result, PutOff wait, DateTimeOffset now, long stamp)
    {
        DateTimeOffset end = _recorder.EndOf(job.Message, result.Provider, result.Outcomes[0]!); // All are the same: nothing was tried.
        if (now >= end)
            return false;
        DateTimeOffset until = _recorder.LookAgain(job.Message, wait.Until, end, now);
        var entry = new DeliveryAttempt(
            now, TimeSpan.Zero, AttemptRows.PutOff, "", "", "", null,
            [.. job.Recipients.Select(recipient => new RecipientResult(recipient, DeliveryResult.Deferred, wait.Text, wait.Status, wait.IsOpenEnded ? null : wait.Until) { GivenUpAt = end, Wait = wait.Cause })])
        { Provider = result.Provider, WaitsFor = wait.WaitsFor };
        PreparedDsn? dsn = await PlanDsnAsync(job, entry);
        CompletionResult done = await _waiting.PutOffAsync(job, wait, until, new PutOffEntry(entry, dsn), stamp);
        if (!done.IsWritten)
            return true;
        foreach (QueuedRecipient recipient in job.Recipients)
        {
            _metrics.PutOffs.Increment(wait.WaitsFor.Kind);
            if (recipient.WaitsFor == wait.WaitsFor.Text)
                continue; // It was told of before.
            _mailLog.Write(new MailEvent(MailEventKind.PutOff, job.Message.Id)
            {
                Subscription = job.Message.Subscription,
                Recipient = recipient.ForwardPath,
                NextAttempt = wait.IsOpenEnded ? null : wait.Until,
                Reason = wait.WaitsFor.Text,
                Class = wait.Class == ReplyClass.None ? null : ReplyClassNames.NameOf(wait.Class),
                Reply = $"{wait.Status} {wait.Text}",
            });
        }
        TellDsn(job, dsn, done);
        return true;
    }
}
