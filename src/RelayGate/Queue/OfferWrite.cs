using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Storage;

namespace RelayGate.Queue;

/// <summary>One message on its way into the queue: the binding decision and, if it accepts, all of its rows.</summary>
internal sealed class OfferWrite : PendingWrite
{
    private const string DeleteDecision = "delete from decision where id = ?";
    private const string SelectSeq = "select seq from message where id = ?";
    private const string SumChunks = "select coalesce(sum(length(octets)), 0) from chunk where id = ?";

    private readonly TaskCompletionSource<OfferResult> _done = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly OfferedMessage _message;
    private readonly RecordBufferPool _buffers;
    private readonly RecordBuffer _detail;
    private readonly QueuedMessage _queued;
    private readonly byte[] _id;
    private readonly string _egress;
    private OfferOutcome _outcome;
    private Decision? _decision;
    private long _seq;
    private DateTimeOffset _counted;
    private long _hour;

    /// <summary>Runs on the session's thread, to leave the writer only what needs the transaction.</summary>
    /// <param name="nextAttempt">When the message is due if this process does not attempt it at once.</param>
    public OfferWrite(OfferedMessage message, RecordBufferPool buffers, DateTimeOffset nextAttempt)
    {
        _message = message;
        _buffers = buffers;
        _id = message.Id.ToBytes();
        _egress = EgressText.Format(message.Early.Egress);
        _detail = buffers.Rent();
        RecordRows.WriteDetail(_detail, message);
        _queued = new QueuedMessage
        {
            Id = message.Id,
            RowId = 0,
            Subscription = message.Account.Subscription ?? "",
            CountedAt = message.Account.Levels is [.., { Key: { Level: Level.Domain or Level.Mailbox } key }] ? key.Name : null,
            Class = MessageClasses.Of(message.Account, message.Envelope, message.Facts),
            Uid = message.Account.Identity.Uid,
            Credential = message.Account.Identity.Credential,
            Script = message.Facts.Script?.Key.Script,
            IsScriptInDoubt = message.Facts.Script is { IsInDoubt: true },
            NamedDomains = message.Account.NamedDomains.IsEmpty ? null : string.Join(' ', message.Account.NamedDomains),
            ReceivedAt = message.ReceivedAt,
            ReversePath = message.Early.ReversePath,
            Recipients = MessageRows.NewRecipients(message.Envelope, nextAttempt),
            RecipientCount = message.Envelope.Recipients.Length,
            Return = message.Envelope.Return,
            EnvelopeId = message.Envelope.EnvelopeId,
            Egress = message.Early.Egress,
            // Raw UTF-8 in a header section that came without SMTPUTF8 goes on as the 8-bit content it was (docs/decisions/0002-raw-utf8-headers.md).
            HeaderNeedsUtf8 = (message.Facts.HeaderNeedsUtf8 && message.Envelope.SmtpUtf8) || message.Early.HeaderFrom is { Address.IsAscii: false },
            BodyIs8Bit = message.Facts.BodyIs8Bit || message.Facts.HeaderNeedsUtf8,
            RequiresTls = message.Envelope.RequireTls,
            IgnoresTlsPolicies = message.Facts.SaysTlsRequiredNo && !message.Envelope.RequireTls,
            HeaderSection = message.HeaderSection,
            Body = message.Body.AddReference(),
        };
    }

    public Task<OfferResult> Done => _done.Task;

    public override long Octets => _message.HeaderSection.Length + (_message.Body.IsChunked ? 0 : _message.Body.Octets);

    public override void Execute(WriteContext context)
    {
        SenderAccount account = _message.Account;
        if (context.VersionOf(account.Subscription) != account.Version)
        {
            _outcome = OfferOutcome.AccountChanged;
            return;
        }
        Decision decision = RelayPolicy.Decide(account, context.Usage.View(account.Levels, context.Connection), _message.Envelope, _message.Facts);
        _decision = decision;
        _outcome = decision.IsTaken ? OfferOutcome.Committed : OfferOutcome.Refused;
        if (decision.IsTaken)
        {
            if (_message.Body.IsChunked)
                CheckChunks(context);
            _seq = context.NextSeq();
            MessageRows.Insert(context, _seq, _id, _queued, _egress, HoldOf(decision));
        }
        (_counted, _hour) = (context.Usage.Now, context.Usage.Hour);
        MessageClass messageClass = ClassOf(decision);
        if (decision.IsAccepted)
            context.Usage.Count(account, messageClass, decision.IsExempt, _message.Envelope.Recipients.Length, context.Connection);
        else if (decision.IsTaken)
            context.Usage.CountHeld(account, messageClass, decision.Stopped?.Key);
        else
            context.Usage.CountRefused(CountedSender.Of(account), messageClass, decision.Stopped?.Key);
        if (!decision.IsAccepted)
            context.Usage.Stopped(decision, account.Levels);
        context.Usage.Scripts.Count(_message.Facts.Script, account.Subscription, decision.Verdict, _message.Envelope.Recipients.Length, _message.ReceivedAt);
        RecordOutcome outcome = decision.Verdict switch { Verdict.Accept => RecordOutcome.Queued, Verdict.Hold => RecordOutcome.Held, _ => RecordOutcome.Refused };
        RecordRows.Insert(
            context, _id, RecordKind.Offered, decision, outcome, account.Subscription, account.Identity.Key, _message.Envelope.ReversePath.Text,
            RecordRows.Recipients(_message.Envelope.Recipients), _message.Facts.Octets, _message.ReceivedAt.ToUnixTimeMilliseconds(), _detail.Written, account.Levels, _message.Facts.Script?.Key);
    }

    public override void Committed(WriteContext context)
    {
        try
        {
            if (_outcome != OfferOutcome.AccountChanged)
                context.Feed.Add(_message.Id);
            if (_outcome == OfferOutcome.Committed && _decision!.IsAccepted)
                context.Enqueued(_queued with { RowId = _seq }); // Takes over the reference to the body.
            else
                _queued.Release();
            if (_decision is { Verdict: Verdict.Hold, Stopped: { } stopped, RoomAt: { } room })
                context.Held(stopped.Key, room);
        }
        finally
        {
            End(new OfferResult(_outcome, _decision));
        }
    }

    public override void Failed(StoreError error, Exception cause)
    {
        _queued.Release();
        End(new OfferResult(error == StoreError.Full ? OfferOutcome.StoreFull : OfferOutcome.StoreFailed, null));
    }

    protected override void Expired()
    {
        _queued.Release();
        End(new OfferResult(OfferOutcome.Expired, null));
    }

    public override void Undo(StoreConnection connection)
    {
        SqliteStatement select = connection.Prepared(SelectSeq).Bind(1, _id);
        long? seq = select.Step() ? select.Int64(0) : null;
        select.Reset();
        if (seq is { } found)
        {
            connection.Prepared("delete from recipient where message = ?").Bind(1, found).Execute();
            connection.Prepared("delete from message where seq = ?").Bind(1, found).Execute();
        }
        if (connection.Prepared(DeleteDecision).Bind(1, _id).Execute() > 0)
            TakeBackUsage(connection);
    }

    private void TakeBackUsage(StoreConnection connection)
    {
        SenderAccount account = _message.Account;
        int recipients = _message.Envelope.Recipients.Length;
        if (_decision is not { } decision)
            return;
        if (decision.IsAccepted)
            UsageBatch.TakeBack(connection, account.Levels, ClassOf(decision), recipients, _counted);
        UsageHistory.TakeBack(connection, _hour, CountedSender.Of(account), ClassOf(decision), HourCounts.Of(decision, recipients), decision.Stopped?.Key);
        ScriptBatch.TakeBack(connection, _hour, _message.Facts.Script, account.Subscription, decision.Verdict, recipients);
    }

    private MessageClass ClassOf(Decision decision) => decision.Class ?? MessageClasses.Of(_message.Account.Identity.Kind);

    private HoldEntry? HoldOf(Decision decision) => decision.Verdict != Verdict.Hold ? null
        : new HoldEntry(decision.Held, HeldAt(decision), _queued.CountedAt ?? _message.Account.Identity.Key);

    /// <summary>What a held message waits for.</summary>
    private string? HeldAt(Decision decision) => decision.Held switch
    {
        HoldReason.Limit => HoldKey.Of(decision.Stopped!.Key),
        HoldReason.Script when _message.Facts.Script is { } script && script.FindBlock(_message.Account.BlockedScripts) is { } blocked => Suspensions.ScriptAt(script.Key.Uid, blocked),
        _ => null,
    };

    /// <summary>An upload that stood still for longer than orphans are kept has lost chunks: it is not acknowledged.</summary>
    private void CheckChunks(WriteContext context)
    {
        SqliteStatement sum = context.Prepared(SumChunks).Bind(1, _id);
        sum.Step();
        long octets = sum.Int64(0);
        sum.Reset();
        if (octets != _message.Body.Octets)
            throw new InvalidOperationException($"The chunks of message {_message.Id} have {octets} octets, not {_message.Body.Octets}");
    }

    private void End(OfferResult result)
    {
        _buffers.Return(_detail);
        _done.TrySetResult(result);
    }
}
