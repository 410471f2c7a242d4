using System.Collections.Concurrent;
using System.Data.Common;
using Microsoft.Extensions.Logging;
using RelayGate.Accounts;
using RelayGate.Configuration;
using RelayGate.Core.Dsn;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Core.Reports;
using RelayGate.Notices;
using RelayGate.Queue;
using RelayGate.Storage;
using RelayGate.Telemetry;
using RecordKind = RelayGate.Queue.RecordKind;

namespace RelayGate.Reports;

/// <summary>Sends reports by their schedules: each once for its time, whatever restarts and clock steps come; none where nothing happened.</summary>
/// <remarks>
/// It looks every minute at the last time that each schedule had, by the wall clock. What was missed while the gateway was down is sent afterwards,
/// the last one of each schedule alone. That a report was sent is written with its mail, in one transaction.
/// </remarks>
public sealed class ReportSender : IDisposable
{
    private static readonly TimeSpan Interval = TimeSpan.FromMinutes(1);

    private readonly ReportMaker _maker;
    private readonly SqliteRelayStore _store;
    private readonly QueueWriter _queue;
    private readonly AccountAdministration _administration;
    private readonly AccountDirectory _accounts;
    private readonly RelayGateOptions _options;
    private readonly RelayGateMetrics _metrics;
    private readonly MailLog _mailLog;
    private readonly TimeProvider _time;
    private readonly ILogger<ReportSender> _logger;
    private readonly MailboxAddress _from;
    private readonly ConcurrentDictionary<long, DateTimeOffset> _done = []; // By schedule: the last time that needs no look any more.
    private readonly BackgroundLoop _loop = new();

    public ReportSender(
        ReportMaker maker, SqliteRelayStore store, QueueWriter queue, AccountAdministration administration, AccountDirectory accounts, RelayGateOptions options,
        RelayGateMetrics metrics, MailLog mailLog, TimeProvider time, ILogger<ReportSender> logger)
    {
        _maker = maker;
        _store = store;
        _queue = queue;
        _administration = administration;
        _accounts = accounts;
        _options = options;
        _metrics = metrics;
        _mailLog = mailLog;
        _time = time;
        _logger = logger;
        _from = new NoticeReceivers(options).From;
    }

    public Task StartAsync(CancellationToken cancellationToken)
    {
        _loop.Start(RunAsync);
        return Task.CompletedTask;
    }

    /// <summary>Ends the loop after the write that runs.</summary>
    public Task StopAsync(CancellationToken cancellationToken) => _loop.StopAsync(cancellationToken);

    /// <summary>Ends the loop also where it was not stopped, as after a start that failed.</summary>
    public void Dispose() => _loop.Dispose();

    /// <summary>Sends what is due and was not sent yet.</summary>
    /// <returns>Mails put into the queue.</returns>
    public async Task<int> RunOnceAsync(CancellationToken cancellationToken)
    {
        int sent = 0;
        foreach (ReportSchedule schedule in await _store.ReadAsync(ReportSchedules.All, cancellationToken))
        {
            DateTimeOffset due = ReportTimes.Latest(schedule.Period, schedule.At, _time.GetUtcNow());
            if (due <= schedule.AddedAt || (_done.TryGetValue(schedule.Id, out DateTimeOffset done) && done == due))
                continue;
            if (await SendAsync(schedule, due, cancellationToken))
                sent++;
            _done[schedule.Id] = due;
        }
        return sent;
    }

    private async Task RunAsync()
    {
        try
        {
            while (true)
            {
                try
                {
                    await RunOnceAsync(_loop.Stopping);
                }
                catch (Exception e) when (e is not OperationCanceledException)
                {
                    Log.ReportsFailed(_logger, e); // Full disk, broken store: the next minute tries again.
                }
                await Task.Delay(Interval, _time, _loop.Stopping);
            }
        }
        catch (OperationCanceledException) when (_loop.Stopping.IsCancellationRequested)
        {
            // The gateway stops.
        }
    }

    private async Task<bool> SendAsync(ReportSchedule schedule, DateTimeOffset due, CancellationToken cancellationToken)
    {
        if (await _store.ReadAsync(db => ReportSchedules.WasSent(db, schedule.Id, due), cancellationToken))
            return false;
        AdminResult<ReportTarget> found = await _administration.FindReportTargetAsync(schedule.Object, null, cancellationToken);
        if (!found.IsOk || Receiver(schedule, found.Value) is not { } receiver)
            return false; // The object has gone, or nobody is its contact.
        ReportTarget target = found.Value;
        DateTimeOffset end = ReportPeriods.EndOfHour(due.AddHours(-1));
        Report report = await _maker.MakeAsync(
            new ReportRequest(schedule.Period, end, target.Key, ReportMaker.DefaultTop, target.LimitsEnforced, target.Since), cancellationToken);
        if (report.IsEmpty)
            return false;
        ServerMailOrigin origin = await _accounts.ServerMailOriginAsync(_from, cancellationToken);
        Written written = await _queue.RunAsync(context => Write(context, schedule, due, receiver, report, origin), CancellationToken.None, static done => done.Enqueue());
        if (written.Mail is not { } mail)
            return false;
        _metrics.ReportMails.Increment();
        _mailLog.Write(new MailEvent(MailEventKind.Report, mail.Id) { Recipient = mail.Recipients[0].ForwardPath });
        return true;
    }

    private static MailboxAddress? Receiver(ReportSchedule schedule, ReportTarget target) =>
        (schedule.Receiver ?? target.Contact) is { } text && MailboxAddress.TryParse(text, out MailboxAddress? address) ? address : null;

    private Written Write(WriteContext context, ReportSchedule schedule, DateTimeOffset due, MailboxAddress to, Report report, ServerMailOrigin origin)
    {
        DbConnection db = context.Connection.Connection;
        if (ReportSchedules.Find(db, schedule.Id) != schedule || ReportSchedules.WasSent(db, schedule.Id, due))
            return new Written(context, null);
        DateTimeOffset now = _time.GetUtcNow();
        QueueId id = OwnMail.NewId(now);
        var mail = new ReportMail(id, _options.Hostname, _from, to, now, report, schedule.WithCsv);
        ComposedDsn content = ReportComposer.Compose(mail);
        QueuedMessage message = OwnMail.Make(id, "", new ForwardPath(to), origin.Egress, content, origin.Keys, now + _options.Delivery.Retry.First);
        RecordRows.WriteNoticeDetail(context.Scratch, ReportComposer.Subject(mail), origin);
        byte[] detail = context.Scratch.Written.ToArray(); // The record's own columns are written in the same buffer.
        message = message with { RowId = OwnMail.Insert(context, message, RecordKind.Notice, "report", now, detail) };
        ReportSchedules.Sent(db, schedule.Id, due, id.ToBytes());
        return new Written(context, message);
    }

    /// <param name="Mail">Null: it was sent before, or the schedule has gone or changed.</param>
    private sealed record Written(WriteContext Context, QueuedMessage? Mail)
    {
        /// <summary>On the writer's thread, after the commit.</summary>
        public void Enqueue()
        {
            if (Mail is null)
                return;
            Context.Feed.Add(Mail.Id);
            Context.Enqueued(Mail);
        }
    }
}
