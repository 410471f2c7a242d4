using System.Runtime.InteropServices;
using RelayGate.Configuration;
using RelayGate.Core.Policy;
using RelayGate.Core.Replies;
using RelayGate.Storage;

namespace RelayGate.Queue;

/// <summary>The outcome of one delivery attempt: the attempt's record, its recipients' state, the end of the message and the DSN, in one commit.</summary>
internal sealed class CompletionWrite : PendingWrite
{
    private const string UpdateRecipient =
        "update recipient set state = ?, attempts = ?, next_attempt = ?, last_reply = ?, waits_for = ?, delay_noticed = max(delay_noticed, ?), last_class = ?, uncounted = ? where message = ? and position = ?";

    private const string SelectMessage = "select held, egress, expires_at is null from message where seq = ?";
    private const string CountStates = "select count(*) filter (where state = 0), count(*) filter (where state = 1), count(*) filter (where state = 2) from recipient where message = ?";
    private const string KeepMessage = "update message set expires_at = ?, held = 0, held_at = null where seq = ?";
    private const string SelectPlan = "select plan from subscription where name = ?";

    private readonly TaskCompletionSource<CompletionResult> _done = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly DeliveryJob _job;
    private readonly DeliveryAttempt _attempt;
    private readonly PreparedDsn? _dsn;
    private readonly RecordBufferPool _buffers;
    private readonly RecordBuffer _results;
    private readonly DateTimeOffset _now;
    private readonly TimeSpan _keepFailed;
    private readonly byte[] _id;
    private readonly bool _allDelivered;
    private readonly Func<WriteContext, bool>? _still;
    private readonly DsnRows? _dsnRows;
    private bool _isSkipped;
    private bool _isInserted; // By the last run: whether that was committed is not known when it runs again.
    private bool _isRebound;

    /// <param name="now">Time of the attempt's end.</param>
    /// <param name="keepFailed">How long the content of a message that failed for a recipient is kept.</param>
    /// <param name="nextAttempt">When the DSN is due if this process does not attempt it at once.</param>
    /// <param name="still">Nothing was attempted: the message is ended as it stands. Asked first in the transaction whether it still stands so; if not, nothing happens.</param>
    public CompletionWrite(
        DeliveryJob job, DeliveryAttempt attempt, PreparedDsn? dsn, DsnOptions dsnOptions, RecordBufferPool buffers, DateTimeOffset now, TimeSpan keepFailed,
        DateTimeOffset nextAttempt, Func<WriteContext, bool>? still = null)
    {
        _still = still;
        _job = job;
        _attempt = attempt;
        _dsn = dsn;
        _buffers = buffers;
        _now = now;
        _keepFailed = keepFailed;
        _id = job.Message.Id.ToBytes();
        _results = buffers.Rent();
        AttemptRows.WriteResults(_results, attempt);
        // The job held all recipients the message had, and each was delivered: nothing needs to be looked up.
        _allDelivered = job.Message.RecipientCount == attempt.Results.Length && attempt.Results.All(r => r.Result == DeliveryResult.Delivered);
        _dsnRows = dsn is null ? null : new DsnRows(job.Message, dsn, dsnOptions, buffers, now, nextAttempt);
    }

    /// <summary>Completes when the outcome is durable.</summary>
    public Task<CompletionResult> Done => _done.Task;

    public DeliveryJob Job => _job;

    public override bool IsOutcome => true;

    public override long Octets => _dsnRows?.Octets ?? 0;

    public override void Execute(WriteContext context)
    {
        _dsnRows?.Begin();
        if (_isInserted && AttemptRows.IsThere(context, _job, _attempt))
        {
            // The commit whose end was not known was one: all is done, and orders may have gone on from there. What is left is to tell of it.
            _dsnRows?.Resume(context);
            return;
        }
        // What was withdrawn before it came to a transaction has been ended, or held, by another write: nothing of it counts.
        _isSkipped = _still is { } still ? !still(context) : _job.IsWithdrawn;
        if (_isSkipped)
            return;
        _isInserted = AttemptRows.Insert(context, _job, _attempt, _results);
        if (_isInserted && !_allDelivered)
            CountBounced(context);
        bool existed = _allDelivered ? EndDelivered(context) : Update(context);
        if (existed && _dsnRows is not null && _dsnRows.TryInsert(context))
            AttemptRows.NoteReport(context, _job, _attempt, _dsnRows);
    }

    public override void Committed(WriteContext context)
    {
        try
        {
            _dsnRows?.Committed(context);
            if (_isSkipped)
                return;
            context.Feed.Add(_job.Message.Id);
            DateTimeOffset? next = null;
            foreach (RecipientResult result in _attempt.Results)
            {
                if (result.Result == DeliveryResult.Deferred && NextOf(result) is { } at && (next is null || at < next))
                    next = at;
            }
            if (next is { } due)
                context.Rescheduled(due);
        }
        finally
        {
            _buffers.Return(_results);
            _done.TrySetResult(new CompletionResult(!_isSkipped, _dsnRows is { IsInserted: true }, _dsnRows?.Suppression ?? DsnSuppression.None));
        }
    }

    /// <summary>Only for an error of its own; anything else is tried again until it is durable.</summary>
    public override void Failed(StoreError error, Exception cause)
    {
        _dsnRows?.Release();
        _buffers.Return(_results);
        _done.TrySetException(cause);
    }

    private bool EndDelivered(WriteContext context)
    {
        if (!MessageRows.Delete(context, _job.Message.RowId, _id, _job.Message.Body.IsChunked))
            return false;
        RecordRows.SetOutcome(context, _id, RecordOutcome.Delivered, _now);
        return true;
    }

    private bool Update(WriteContext context)
    {
        long seq = _job.Message.RowId;
        SqliteStatement select = context.Prepared(SelectMessage).Bind(1, seq);
        if (!select.Step())
            return false; // The administrator deleted it while the attempt ran.
        (var held, bool wasQueued) = ((HoldReason)select.Int64(0), select.Int64(2) != 0);
        // What was said of the address it left from then is not said of the one it leaves from now: it goes on from there at once.
        _isRebound = !EgressText.IsStill(select.Text(1), _job.Message.Egress);
        select.Reset();
        foreach (RecipientResult result in _attempt.Results)
        {
            RecipientState state = result.Result switch
            {
                DeliveryResult.Delivered => RecipientState.Delivered,
                DeliveryResult.Failed => RecipientState.Failed,
                _ => RecipientState.Pending,
            };
            long? next = state == RecipientState.Pending && held == HoldReason.None ? (NextOf(result) ?? _now).ToUnixTimeMilliseconds() : null;
            string? waitsFor = state == RecipientState.Pending ? result.WaitsFor?.Text : null;
            context.Prepared(UpdateRecipient)
                .Bind(1, (long)state).Bind(2, result.Recipient.Attempts + (_still is not null ? 0 : 1)).Bind(3, next).Bind(4, result.Reply).Bind(5, _isRebound ? null : waitsFor)
                .Bind(6, _dsn is not null && _dsn.Delayed.Contains(result.Recipient.Index) ? 1 : 0).Bind(7, (long)result.Class).Bind(8, result.Recipient.Uncounted + (waitsFor is null ? 0 : 1)).Bind(9, seq).Bind(10, result.Recipient.Index)
                .Execute();
        }
        SqliteStatement count = context.Prepared(CountStates).Bind(1, seq);
        count.Step();
        (long pending, long delivered, long failed) = (count.Int64(0), count.Int64(1), count.Int64(2));
        count.Reset();
        if (pending > 0)
        {
            RecordRows.SetOutcome(context, _id, held == HoldReason.None ? RecordOutcome.Deferred : RecordOutcome.Held, _now);
            return true;
        }
        if (failed > 0 && _keepFailed > TimeSpan.Zero)
        {
            HoldRows.Leave(context, seq);
            context.Prepared(KeepMessage).Bind(1, (_now + _keepFailed).ToUnixTimeMilliseconds()).Bind(2, seq).Execute();
            if (wasQueued)
                context.Usage.Queued(-1);
        }
        else
            MessageRows.Delete(context, seq, _id, _job.Message.Body.IsChunked);
        RecordOutcome outcome = failed == 0 ? RecordOutcome.Delivered : delivered == 0 ? RecordOutcome.Failed : RecordOutcome.PartlyFailed;
        RecordRows.SetOutcome(context, _id, outcome, _now);
        return true;
    }

    private DateTimeOffset? NextOf(RecipientResult result) => _isRebound ? _now : result.NextAttempt;

    /// <summary>Counts what failed where the message was counted; at its subscription's plan of now. Mail of our own counts nowhere.</summary>
    private void CountBounced(WriteContext context)
    {
        int failed = _attempt.Results.Count(static result => result.Result == DeliveryResult.Failed);
        QueuedMessage message = _job.Message;
        if (failed == 0 || message.Class is not { } messageClass)
            return;
        SqliteStatement select = context.Prepared(SelectPlan).Bind(1, message.Subscription);
        string? plan = select.Step() ? select.NullableText(0) : null;
        select.Reset();
        var objects = new List<AccountKey>(5) { AccountKey.Server };
        if (plan is not null)
            objects.Add(new AccountKey(Level.Plan, plan));
        objects.Add(new AccountKey(Level.Subscription, message.Subscription));
        if (message.CountedAt is { } countedAt)
        {
            int at = countedAt.LastIndexOf('@');
            objects.Add(new AccountKey(Level.Domain, countedAt[(at + 1)..]));
            if (at >= 0)
                objects.Add(new AccountKey(Level.Mailbox, countedAt));
        }
        context.Usage.CountBounced(CollectionsMarshal.AsSpan(objects), messageClass, failed);
    }
}

/// <summary>What a completion came to.</summary>
/// <param name="IsWritten">False: the message does not stand as it did any more, and nothing happened.</param>
/// <param name="HasDsn">Whether the DSN that was planned entered the queue.</param>
/// <param name="Suppression">Why it did not, where a bound was reached.</param>
public readonly record struct CompletionResult(bool IsWritten, bool HasDsn, DsnSuppression Suppression);
