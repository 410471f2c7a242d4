using System.Data.Common;
using RelayGate.Configuration;
using RelayGate.Core.Dsn;
using RelayGate.Core.Mail;
using RelayGate.Core.Notices;
using RelayGate.Core.Policy;
using RelayGate.Queue;

namespace RelayGate.Notices;

/// <summary>Stores what was raised and enqueues the mails that are due, all within one write.</summary>
internal sealed class NoticeWriter(RelayGateOptions options, NoticeReceivers receivers, NoticeClock clock, TimeProvider time)
{
    private const int MaxMails = 16; // In one write; the rest in the next.
    private const int MaxMoved = 1000;

    private readonly TimeSpan _period = options.Notices.Period;
    private readonly NoticeBudget _budget = new(options.Notices.Period);
    private long _tick;

    public MailboxAddress From => receivers.From;

    /// <summary>By the clock of notices.</summary>
    public long Now => clock.Now;

    /// <summary>A notice like one that was opened later than this is a repetition of it.</summary>
    public long Since => clock.Now - (long)_period.TotalMilliseconds;

    public NoticeResult Write(WriteContext context, IReadOnlyList<RaisedNotice> raised, ServerMailOrigin origin)
    {
        DbConnection db = context.Connection.Connection;
        long now = clock.Now;
        var result = new NoticeResult(context);
        foreach (RaisedNotice one in raised)
        {
            result.Ids.Add(Store(db, one, now, result) ?? default);
            if (one.Crossing is { } crossing)
                CrossingRows.Noticed(db, crossing);
        }
        List<string> due = NoticeRows.Due(db, now, MaxMails);
        if (receivers.Administrator is { } administrator && raised.Any(static r => r.Notice.Kind == NoticeKind.Test) && !due.Contains(administrator.Text))
            due.Add(administrator.Text); // Who tests waits for it.
        foreach (string receiver in due)
            Mail(context, receiver, now, origin, result);
        NoticeRows.SetClock(db, now);
        result.NextDue = NoticeRows.NextDue(db);
        return result;
    }

    private QueueId? Store(DbConnection db, RaisedNotice raised, long now, NoticeResult result)
    {
        Notice notice = raised.Notice;
        _tick = Math.Max(now, _tick + 1); // What happened one after the other stays in that order, also within a millisecond.
        if (notice.Kind != NoticeKind.Test && NoticeRows.Repeat(db, notice, raised.At, _tick, Since) is { } known)
            return QueueId.FromBytes(known);
        if (notice is { Kind: NoticeKind.PasswordGuessing, Level: "client" } && !_budget.TakeClient(now))
        {
            notice = notice with { Name = "", Remark = $"more than {NoticeBudget.MaxClients} addresses guess at once" };
            if (NoticeRows.Repeat(db, notice, raised.At, _tick, Since) is { } many)
                return QueueId.FromBytes(many);
        }
        if (!_budget.Take(notice, now))
        {
            result.Flooded++;
            return null;
        }
        QueueId id = OwnMail.NewId(raised.At);
        byte[] octets = id.ToBytes();
        NoticeRows.Insert(db, octets, notice, raised.At, now, _tick);
        string? contact = notice.Subscription is { } owner ? NoticeRows.Contact(db, owner) : null;
        string? kinds = contact is null ? null : NoticeRows.OwnerKinds(db, notice.Subscription!);
        foreach (MailboxAddress receiver in receivers.Of(notice.Kind, contact, kinds is null ? null : NoticeKinds.ParseList(kinds)))
            NoticeRows.Wait(db, octets, notice, receiver.Text, !receivers.IsAdministrator(receiver), now, _period);
        if (notice.Kind != NoticeKind.Test)
        {
            result.Hooks ??= WebhookRows.Backlogs(db);
            result.Dropped += WebhookRows.Enqueue(db, result.Hooks, new KeptNotice(id.ToString(), raised.At, raised.At, 1, notice), options.Hostname, _tick);
            result.ForWebhooks = true;
        }
        return id;
    }

    /// <summary>What waits for somebody who was administrator or contact waits for the present one instead.</summary>
    /// <returns>False: there may be more.</returns>
    private bool Readdress(DbConnection db, string receiver, long now)
    {
        bool isAdministrator = receivers.Administrator?.Text == receiver;
        List<(byte[] Id, Notice Notice, bool IsOwner)> wrong = NoticeRows.Misplaced(db, receiver, isAdministrator, MaxMoved);
        foreach ((byte[] id, Notice notice, bool isOwner) in wrong)
        {
            NoticeRows.Unwait(db, id, receiver);
            MailboxAddress? present = isOwner ? NoticeRows.OwnerOf(db, notice.Subscription) : receivers.Administrator;
            if (present is not null)
                NoticeRows.Wait(db, id, notice, present.Text, isOwner && !receivers.IsAdministrator(present), now, _period);
        }
        return wrong.Count < MaxMoved;
    }

    private void Mail(WriteContext context, string receiver, long now, ServerMailOrigin origin, NoticeResult result)
    {
        DbConnection db = context.Connection.Connection;
        if (!Readdress(db, receiver, now))
            return; // Still due: the next write goes on.
        (List<KeptNotice> waiting, int count) = NoticeRows.Waiting(db, receiver, NoticeComposer.MaxListed);
        if (waiting.Count == 0 || !MailboxAddress.TryParse(receiver, out MailboxAddress? to))
        {
            NoticeRows.NotDue(db, receiver); // What waited was removed with its age, or is somebody else's.
            return;
        }
        DateTimeOffset at = time.GetUtcNow();
        QueueId id = OwnMail.NewId(at);
        var mail = new NoticeMail(id, options.Hostname, receivers.From, to, at, [.. waiting], count - waiting.Count, receivers.IsAdministrator(to));
        ComposedDsn content = NoticeComposer.Compose(mail);
        QueuedMessage message = OwnMail.Make(id, "", new ForwardPath(to), origin.Egress, content, origin.Keys, at + options.Delivery.Retry.First);
        RecordRows.WriteNoticeDetail(context.Scratch, NoticeComposer.Subject(mail), origin);
        byte[] detail = context.Scratch.Written.ToArray(); // The record's own columns are written in the same buffer.
        result.Mails.Add(message with { RowId = OwnMail.Insert(context, message, RecordKind.Notice, "notice", at, detail) });
        NoticeRows.Told(db, receiver, id.ToBytes(), now, _period);
    }
}

/// <summary>What one write did.</summary>
internal sealed class NoticeResult(WriteContext context)
{
    /// <summary>Of each that was raised, in order.</summary>
    public List<QueueId> Ids { get; } = [];

    public List<QueuedMessage> Mails { get; } = [];

    /// <summary>Those that may want a notice; null while none was asked for.</summary>
    public List<WebhookBacklog>? Hooks { get; set; }

    /// <summary>Something may wait for a webhook.</summary>
    public bool ForWebhooks { get; set; }

    /// <summary>Notices that came beyond the bound of one period.</summary>
    public int Flooded { get; set; }

    /// <summary>Deliveries that too many waited before.</summary>
    public int Dropped { get; set; }

    /// <summary>When the next receiver is due, by the clock of notices; null: nothing waits.</summary>
    public long? NextDue { get; set; }

    /// <summary>On the writer's thread, after the commit.</summary>
    public void Enqueue()
    {
        foreach (QueuedMessage mail in Mails)
        {
            context.Feed.Add(mail.Id);
            context.Enqueued(mail);
        }
    }
}
