using RelayGate.Configuration;
using RelayGate.Core.Policy;
using RelayGate.Storage;

namespace RelayGate.Queue;

/// <summary>
/// Puts a job off: its recipients' next attempt, what they wait for, and the notice of their delay where one is due. No attempt is recorded; that
/// it is put off is, once for each cause, and of a notice that it was due and what became of it (<see cref="AttemptRows.PutOff"/>).
/// </summary>
/// <param name="until">When the job is looked at again.</param>
/// <param name="isOver">Whether what it waits for has ended since it was put off: then it is due at once. Asked on the writer's thread.</param>
/// <param name="nextAttempt">When the DSN is due if this process does not attempt it at once.</param>
internal sealed class PutOffWrite(
    DeliveryJob job, PutOff wait, DateTimeOffset until, Func<bool> isOver, PutOffEntry? told, DsnOptions dsnOptions, RecordBufferPool buffers, DateTimeOffset now, DateTimeOffset nextAttempt)
    : PendingWrite
{
    // Held or ended meanwhile: nothing is due, and nothing is changed.
    private const string UpdateRecipient = """
        update recipient set next_attempt = ?, last_reply = ?, waits_for = ?, delay_noticed = max(delay_noticed, ?), last_class = ?
        where message = ? and position = ? and next_attempt is not null
        """;

    private const string SelectEgress = "select egress from message where seq = ?";

    private readonly TaskCompletionSource<CompletionResult> _done = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly DsnRows? _dsnRows = told?.Notice is not { } notice ? null : new DsnRows(job.Message, notice, dsnOptions, buffers, now, nextAttempt);
    private DateTimeOffset _due;
    private bool _isWritten;

    /// <summary>Completes when it is durable.</summary>
    public Task<CompletionResult> Done => _done.Task;

    public override long Octets => _dsnRows?.Octets ?? 0;

    public override void Execute(WriteContext context)
    {
        _dsnRows?.Begin();
        _isWritten = !job.IsWithdrawn;
        if (!_isWritten)
            return; // It was withdrawn: another write has ended or held it.
        bool isOverNow = isOver() || IsRebound(context);
        _due = isOverNow ? now : until;
        int changed = 0;
        bool isNews = false;
        foreach (QueuedRecipient recipient in job.Recipients)
        {
            changed += context.Prepared(UpdateRecipient)
                .Bind(1, _due.ToUnixTimeMilliseconds()).Bind(2, $"{wait.Status} {wait.Text}").Bind(3, isOverNow ? null : wait.WaitsFor.Text)
                .Bind(4, told?.Notice is { } notice && notice.Delayed.Contains(recipient.Index) ? 1 : 0).Bind(5, (long)wait.Class).Bind(6, job.Message.RowId).Bind(7, recipient.Index).Execute();
            isNews |= recipient.WaitsFor != wait.WaitsFor.Text;
        }
        if (changed == 0)
            return;
        if (isNews)
            RecordRows.SetOutcome(context, job.Message.Id.ToBytes(), RecordOutcome.Deferred, now);
        if (_dsnRows is not null && _dsnRows.TryInsert(context))
            Record(context, told!.Entry, _dsnRows);
        else if (isNews && !isOverNow && told is not null && !AttemptRows.HasPutOff(context, job, wait.WaitsFor))
            Record(context, told.Entry, null);
    }

    private void Record(WriteContext context, DeliveryAttempt entry, DsnRows? dsn)
    {
        RecordBuffer results = buffers.Rent();
        AttemptRows.WriteResults(results, entry);
        AttemptRows.Insert(context, job, entry, results);
        buffers.Return(results);
        if (dsn is not null)
            AttemptRows.NoteReport(context, job, entry, dsn);
    }

    /// <summary>It leaves from another address by now, for which it may not have to wait.</summary>
    private bool IsRebound(WriteContext context)
    {
        SqliteStatement select = context.Prepared(SelectEgress).Bind(1, job.Message.RowId);
        bool isRebound = select.Step() && !EgressText.IsStill(select.Text(0), job.Message.Egress);
        select.Reset();
        return isRebound;
    }

    public override void Committed(WriteContext context)
    {
        try
        {
            _dsnRows?.Committed(context);
            if (!_isWritten)
                return;
            context.Feed.Add(job.Message.Id);
            context.Rescheduled(_due);
        }
        finally
        {
            _done.TrySetResult(new CompletionResult(_isWritten, _dsnRows is { IsInserted: true }, _dsnRows?.Suppression ?? DsnSuppression.None));
        }
    }

    /// <summary>The rows keep the next attempt they were leased with, and the job is looked at again then.</summary>
    public override void Failed(StoreError error, Exception cause)
    {
        _dsnRows?.Release();
        _done.TrySetException(cause);
    }
}
