using Microsoft.Data.Sqlite;
using RelayGate.Core.Policy;
using RelayGate.Storage;
using SQLitePCL;

namespace RelayGate.Queue;

/// <summary>The record of one refusal; nobody waits for it.</summary>
internal sealed class RefusalWrite : PendingWrite
{
    private readonly RefusedOffer _refusal;
    private readonly RecordBufferPool _buffers;
    private readonly RecordBuffer _detail;
    private readonly RefusalRecorder _recorder;
    private readonly RefusalFlood? _flood;

    /// <param name="flood">The flood whose record this is, or null.</param>
    public RefusalWrite(RefusedOffer refusal, RecordBufferPool buffers, RefusalRecorder recorder, RefusalFlood? flood)
    {
        _refusal = refusal;
        _buffers = buffers;
        _recorder = recorder;
        _flood = flood;
        _detail = buffers.Rent();
        RecordRows.WriteDetail(_detail, refusal);
    }

    public override bool HasSavepoint => true; // Two refusals of one transaction have one id: the second one's constraint is its own.

    public override void Execute(WriteContext context)
    {
        context.Usage.CountRefused(CountedSender.Of(_refusal), _refusal.Class, _refusal.Decision.Stopped?.Key);
        if (_refusal.Account is { } account)
            context.Usage.Stopped(_refusal.Decision, account.Levels);
        context.Usage.Scripts.Count(_refusal.Script, _refusal.Account?.Subscription, _refusal.Decision.Verdict, 0, _refusal.ReceivedAt);
        RecordRows.Insert(
            context, _refusal.Id.ToBytes(), RecordKind.Offered, _refusal.Decision, RecordOutcome.Refused, _refusal.Account?.Subscription, _refusal.Identity.Key,
            _refusal.Envelope.ReversePath.Text, RecordRows.Recipients(_refusal.Envelope.Recipients), _refusal.Facts?.Octets ?? 0,
            _refusal.ReceivedAt.ToUnixTimeMilliseconds(), _detail.Written, _refusal.Account?.Levels ?? [], _refusal.Script?.Key);
    }

    public override void Committed(WriteContext context)
    {
        context.Feed.Add(_refusal.Id);
        End();
    }

    public override void Failed(StoreError error, Exception cause)
    {
        if (cause is not SqliteException { SqliteErrorCode: raw.SQLITE_CONSTRAINT }) // Its transaction has a record.
            _recorder.Lost(_flood, "store");
        End();
    }

    protected override void Expired()
    {
        _recorder.Lost(_flood, "backlog");
        End();
    }

    private void End()
    {
        _buffers.Return(_detail);
        _recorder.Ended();
    }
}

/// <summary>Brings the stored count and time of a merged record up to what is in memory.</summary>
internal sealed class MergedRefusalWrite(RefusalFlood flood, Action ended) : PendingWrite
{
    private const string Update = "update decision set repeats = ?, last_at = ? where id = ?";

    public override void Execute(WriteContext context)
    {
        (long count, DateTimeOffset last, int uncounted, IReadOnlyDictionary<ScriptKey, int> scripts) = flood.TakeUpdate();
        context.Prepared(Update).Bind(1, count).Bind(2, last.ToUnixTimeMilliseconds()).Bind(3, flood.Id.ToBytes()).Execute();
        context.Usage.CountRefused(flood.Sender, flood.Class, flood.Stopped, uncounted);
        foreach ((ScriptKey script, int attempts) in scripts)
            context.Usage.Scripts.CountRefused(script, flood.Subscription, attempts, last);
    }

    public override void Committed(WriteContext context)
    {
        context.Feed.Add(flood.Id);
        ended();
    }

    public override void Failed(StoreError error, Exception cause)
    {
        flood.UpdateDropped(); // The next refusal tries again.
        ended();
    }
}
