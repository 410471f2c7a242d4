using RelayGate.Configuration;
using RelayGate.Core.Dsn;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Storage;

namespace RelayGate.Queue;

/// <summary>The DSN that a write about a job brings into the queue, in the same commit.</summary>
internal sealed class DsnRows
{
    private const string SelectSeq = "select seq from message where id = ?";
    private const string SelectDecision = "select 1 from decision where id = ?";

    private readonly QueuedMessage _original;
    private readonly PreparedDsn _dsn;
    private readonly DsnOptions _options;
    private readonly QueuedMessage _notification;
    private readonly RecordBufferPool _buffers;
    private readonly DateTimeOffset _now;
    private long _seq;

    /// <param name="nextAttempt">When it is due if this process does not attempt it at once.</param>
    public DsnRows(QueuedMessage original, PreparedDsn dsn, DsnOptions options, RecordBufferPool buffers, DateTimeOffset now, DateTimeOffset nextAttempt)
    {
        _original = original;
        _dsn = dsn;
        _options = options;
        _buffers = buffers;
        _now = now;
        _notification = OwnMail.Make(
            dsn.Id, original.Subscription, dsn.Recipient, original.Egress,
            new ComposedDsn(dsn.HeaderSection, dsn.Body, dsn.HeaderNeedsUtf8, dsn.BodyIs8Bit), [], nextAttempt) with
        { RequiresTls = original.RequiresTls };
    }

    public QueueId Id => _notification.Id;

    public long Octets => _notification.Octets;

    /// <summary>It entered the queue.</summary>
    public bool IsInserted => _seq != 0;

    /// <summary>Why it did not, where a bound was reached.</summary>
    public DsnSuppression Suppression { get; private set; }

    /// <summary>At the begin of each run of the write.</summary>
    public void Begin()
    {
        _seq = 0;
        Suppression = DsnSuppression.None;
    }

    /// <returns>False: a commit whose end was not known has dealt with it.</returns>
    public bool TryInsert(WriteContext context)
    {
        byte[] id = _notification.Id.ToBytes();
        SqliteStatement known = context.Prepared(SelectDecision).Bind(1, id);
        bool isThere = known.Step();
        known.Reset();
        if (isThere)
            return false;
        Suppression = DsnRates.Take(context, _options, _original.Subscription, _dsn.Recipient.Address, _dsn.IsToHosted, _now);
        if (Suppression != DsnSuppression.None)
            return true;
        RecordBuffer detail = _buffers.Rent();
        RecordRows.WriteDsnDetail(detail, _original.Id, _notification.Egress, _dsn.SignedBy);
        _seq = OwnMail.Insert(context, _notification, RecordKind.Dsn, "dsn", _now, detail.Written);
        _buffers.Return(detail);
        return true;
    }

    /// <summary>A commit whose end was not known has inserted it, if it was: it goes on from there unless it has ended already.</summary>
    public void Resume(WriteContext context)
    {
        SqliteStatement select = context.Prepared(SelectSeq).Bind(1, _notification.Id.ToBytes());
        _seq = select.Step() ? select.Int64(0) : 0;
        select.Reset();
    }

    /// <summary>After the commit: it goes on from memory, if it was inserted.</summary>
    public void Committed(WriteContext context)
    {
        if (IsInserted)
        {
            context.Feed.Add(_notification.Id);
            context.Enqueued(_notification with { RowId = _seq });
        }
        else
        {
            _notification.Release();
        }
    }

    public void Release() => _notification.Release();
}
