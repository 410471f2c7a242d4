using Microsoft.Extensions.Logging;
using RelayGate.Accounts;
using RelayGate.Configuration;
using RelayGate.Core.Dns;
using RelayGate.Core.Dsn;
using RelayGate.Core.Mail;
using RelayGate.Core.Tls;
using RelayGate.Core.Tls.Reports;
using RelayGate.Dns;
using RelayGate.Notices;
using RelayGate.Queue;
using RelayGate.Storage;
using RelayGate.Telemetry;
using RecordKind = RelayGate.Queue.RecordKind;

namespace RelayGate.TlsReports;

/// <summary>Tells domains once a day how TLS with their mail servers went, where they ask for it (RFC 8460).</summary>
/// <remarks>
/// 1. Deliveries call <see cref="Observe"/>; what is counted is written to the store each minute.
/// 2. After the end of a UTC day, spread over four hours (§4.1), each domain's _smtp._tls record is looked up. Without one its figures are forgotten.
/// 3. Reports go out by mail, signed with the server's key, or by HTTPS, which is tried again for a day.
/// That a mail was enqueued is written in one transaction with it, so a restart sends none twice. Eight at once are looked up or sent, each once
/// however many ask for it, so that who does not answer holds up neither the others nor an order by hand.
/// </remarks>
public sealed class TlsReporter : IDisposable
{
    private const int KeptDays = 14;
    private const int LookUpDays = 2; // A domain whose DNS does not answer is asked again until then.
    private const int Page = 200;
    private const int MaxDue = 100; // Of one round.
    private const int AtOnce = 8;

    private static readonly TimeSpan Interval = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan Spread = TimeSpan.FromHours(4);
    private static readonly TimeSpan[] Waits = // After each failed attempt by HTTPS; a day in all.
        [TimeSpan.FromMinutes(5), TimeSpan.FromMinutes(30), TimeSpan.FromHours(2), TimeSpan.FromHours(4), TimeSpan.FromHours(8), TimeSpan.FromHours(9)];

    private readonly SqliteRelayStore _store;
    private readonly QueueWriter _queue;
    private readonly AccountDirectory _accounts;
    private readonly DnsResolver _dns;
    private readonly RelayGateOptions _options;
    private readonly RelayGateMetrics _metrics;
    private readonly MailLog _mailLog;
    private readonly TimeProvider _time;
    private readonly ILogger<TlsReporter> _logger;
    private readonly MailboxAddress _from;
    private readonly TlsTally _tally = new();
    private readonly TlsReportPoster _poster;
    private readonly BackgroundLoop _loop = new();
    private readonly Dictionary<(DateOnly Day, string Domain, string Uri), Task> _sending = []; // Guarded by itself.
    private DateOnly _removedBefore;

    public TlsReporter(
        SqliteRelayStore store, QueueWriter queue, AccountDirectory accounts, DnsResolver dns, OutwardDialer dialer, RelayGateOptions options, RelayGateMetrics metrics, MailLog mailLog,
        TimeProvider time, ILogger<TlsReporter> logger)
    {
        _store = store;
        _queue = queue;
        _accounts = accounts;
        _dns = dns;
        _options = options;
        _metrics = metrics;
        _mailLog = mailLog;
        _time = time;
        _logger = logger;
        _from = new NoticeReceivers(options).From;
        _poster = new TlsReportPoster(dialer, options.Delivery.AllowLoopback);
    }

    /// <summary>The day that runs, UTC.</summary>
    public DateOnly Today => DateOnly.FromDateTime(_time.GetUtcNow().UtcDateTime);

    public bool IsOn => _options.Delivery.Tls.Reports;

    /// <summary>Counts what a delivery saw. Returns at once and never throws.</summary>
    public void Observe(TlsObservation observation)
    {
        if (IsOn)
            _tally.Add(observation);
    }

    public Task StartAsync()
    {
        if (IsOn)
            _loop.Start(RunAsync);
        return Task.CompletedTask;
    }

    /// <summary>Ends the loop and writes what was counted; the writer still runs.</summary>
    public async Task StopAsync(CancellationToken cancellationToken)
    {
        await _loop.StopAsync(cancellationToken);
        Task[] sending;
        lock (_sending)
            sending = [.. _sending.Values];
        await Task.WhenAll(sending).WaitAsync(cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await FlushAsync();
    }

    /// <summary>Ends the loop also where it was not stopped, as after a start that failed.</summary>
    public void Dispose()
    {
        _loop.Dispose();
        _poster.Dispose();
    }

    /// <summary>Writes what was counted, plans what a day's end asks for, and sends what is due.</summary>
    public async Task RunOnceAsync(CancellationToken cancellationToken)
    {
        await FlushAsync();
        await PlanAsync(cancellationToken);
        await SendDueAsync(cancellationToken);
    }

    /// <summary>The report of a day, as it is or would be sent; null: nothing was counted.</summary>
    public async Task<TlsReport?> FindAsync(DateOnly day, string domain, CancellationToken cancellationToken)
    {
        await FlushAsync();
        return await _store.ReadAsync(
            db => TlsReportRows.Policies(db, day, domain) is { Count: > 0 } policies
                ? new TlsReport(_options.Hostname, day, domain, Contact, TlsReportRows.Id(db, day, domain) ?? "", [.. policies])
                : null,
            cancellationToken);
    }

    /// <summary>Sends the report of a day that has ended now, also again.</summary>
    /// <param name="by">Who gave the order.</param>
    /// <returns>Its targets; null: nothing was counted; empty: the domain wants no reports, or could not be asked.</returns>
    internal async Task<IReadOnlyList<TlsReportTarget>?> SendNowAsync(DateOnly day, string domain, string by, CancellationToken cancellationToken)
    {
        if (await FindAsync(day, domain, cancellationToken) is null)
            return null;
        if (await TargetsAsync(domain, cancellationToken) is not { Count: > 0 } targets)
            return [];
        await PlanAsync(day, domain, targets, by);
        await Task.WhenAll(targets.Select(uri => SendOnce(day, domain, uri))).WaitAsync(cancellationToken);
        return await TargetsOfAsync(day, domain, cancellationToken);
    }

    internal Task<List<TlsReportEntry>> ListAsync(string? domain, (DateOnly Day, string Domain)? before, int count, CancellationToken cancellationToken) =>
        _store.ReadAsync(db => TlsReportRows.List(db, domain, before, count), cancellationToken);

    internal Task<List<TlsReportTarget>> TargetsOfAsync(DateOnly day, string domain, CancellationToken cancellationToken) =>
        _store.ReadAsync(db => TlsReportRows.Targets(db, day, domain), cancellationToken);

    private string? Contact => _options.Postmaster is { Length: > 0 } postmaster ? postmaster : null;

    private async Task RunAsync()
    {
        while (!_loop.Stopping.IsCancellationRequested)
        {
            try
            {
                await RunOnceAsync(_loop.Stopping);
            }
            catch (OperationCanceledException) when (_loop.Stopping.IsCancellationRequested)
            {
                return;
            }
            catch (Exception e)
            {
                Log.TlsReportsFailed(_logger, e); // Full disk, broken store: the next minute tries again.
            }
            try
            {
                await Task.Delay(Interval, _time, _loop.Stopping);
            }
            catch (OperationCanceledException)
            {
                return;
            }
        }
    }

    private async Task FlushAsync()
    {
        if (_tally.Take() is { Count: > 0 } counted)
            await _queue.WriteAsync(db => TlsReportRows.Add(db, counted));
    }

    private async Task PlanAsync(CancellationToken cancellationToken)
    {
        DateTimeOffset now = _time.GetUtcNow();
        (DateOnly Day, string Domain) after = (DateOnly.MinValue, "");
        while (true)
        {
            List<(DateOnly Day, string Domain)> page = await _store.ReadAsync(db => TlsReportRows.NotPlanned(db, Today, after, Page), cancellationToken);
            await Parallel.ForEachAsync(
                page.Where(report => now >= DueAt(report.Day, report.Domain)), new ParallelOptions { MaxDegreeOfParallelism = AtOnce, CancellationToken = cancellationToken },
                async (report, token) => await LookUpAsync(report.Day, report.Domain, token));
            if (page.Count < Page)
                break;
            after = page[^1];
        }
        DateOnly oldest = Today.AddDays(-KeptDays);
        if (oldest == _removedBefore)
            return;
        while (await _queue.WriteAsync(db => TlsReportRows.RemoveOld(db, oldest), cancellationToken: cancellationToken) > 0)
        {
            // In small batches.
        }
        _removedBefore = oldest;
    }

    /// <summary>Plans the report of a domain that wants it, and forgets the figures of one that does not.</summary>
    private async Task LookUpAsync(DateOnly day, string domain, CancellationToken cancellationToken)
    {
        IReadOnlyList<string>? targets = await TargetsAsync(domain, cancellationToken);
        if (targets is { Count: > 0 })
            await PlanAsync(day, domain, targets);
        else if (targets is not null || Today.DayNumber - day.DayNumber > LookUpDays)
            await _queue.WriteAsync<object?>(db =>
            {
                TlsReportRows.Forget(db, day, domain);
                return null;
            }, cancellationToken: cancellationToken);
    }

    /// <param name="by">Who gave the order; null: the day has ended, and what was planned by an order meanwhile stands.</param>
    private async Task PlanAsync(DateOnly day, string domain, IReadOnlyList<string> targets, string? by = null)
    {
        DateTimeOffset now = _time.GetUtcNow();
        await _queue.WriteAsync<object?>(db =>
        {
            TlsReportRows.Plan(db, day, domain, OwnMail.NewId(now).ToString(), targets, now.ToUnixTimeMilliseconds(), again: by is not null);
            if (by is not null)
                AuditRows.Add(db, now, by, "tls report send", $"tls report {domain}", null, "", $"{day:yyyy-MM-dd} to {string.Join(", ", targets)}");
            return null;
        });
    }

    /// <summary>Reports of all domains at once would come to one receiver as a flood: each domain has its own time in the hours after the day.</summary>
    private static DateTimeOffset DueAt(DateOnly day, string domain)
    {
        uint hash = 2166136261;
        foreach (char c in domain)
            hash = (hash ^ c) * 16777619;
        return new DateTimeOffset(day.AddDays(1).ToDateTime(TimeOnly.MinValue), TimeSpan.Zero) + TimeSpan.FromSeconds(hash % (uint)Spread.TotalSeconds);
    }

    /// <returns>Where a domain wants its reports, perhaps nowhere; null: its DNS does not answer.</returns>
    private async Task<IReadOnlyList<string>?> TargetsAsync(string domain, CancellationToken cancellationToken)
    {
        DnsAnswer answer = await _dns.ResolveAsync(new DnsQuestion(TlsReportRecord.NameOf(domain), DnsType.Txt), cancellationToken);
        return answer.Outcome == DnsOutcome.Failed ? null
            : [.. TlsReportRecord.Read(answer.Records.OfType<TxtRecord>().Select(static t => System.Text.Encoding.UTF8.GetString(t.Octets.AsSpan()))).Select(static u => u.OriginalString)];
    }

    private async Task SendDueAsync(CancellationToken cancellationToken)
    {
        List<(DateOnly Day, string Domain, string Uri)> due = await _store.ReadAsync(db => TlsReportRows.Due(db, NowMilliseconds, MaxDue), cancellationToken);
        await Parallel.ForEachAsync(
            due, new ParallelOptions { MaxDegreeOfParallelism = AtOnce, CancellationToken = cancellationToken }, async (target, _) => await SendOnce(target.Day, target.Domain, target.Uri));
    }

    private long NowMilliseconds => _time.GetUtcNow().ToUnixTimeMilliseconds();

    /// <summary>The attempt under way, or one that begins now; it ends with the reporter, not with who asked for it.</summary>
    private Task SendOnce(DateOnly day, string domain, string uri)
    {
        lock (_sending)
        {
            if (!_sending.TryGetValue((day, domain, uri), out Task? sending))
                _sending[(day, domain, uri)] = sending = Task.Run(() => SendAndForgetAsync(day, domain, uri));
            return sending;
        }
    }

    private async Task SendAndForgetAsync(DateOnly day, string domain, string uri)
    {
        try
        {
            await SendAsync(day, domain, uri, _loop.Stopping);
        }
        finally
        {
            lock (_sending)
                _sending.Remove((day, domain, uri));
        }
    }

    private async Task SendAsync(DateOnly day, string domain, string to, CancellationToken cancellationToken)
    {
        // Looked at again: another attempt may have ended it since.
        if ((await TargetsOfAsync(day, domain, cancellationToken)).Find(t => t.Uri == to && t.Next <= NowMilliseconds) is not { } target
            || await FindAsync(day, domain, cancellationToken) is not { Id.Length: > 0 } report)
            return;
        string error;
        try
        {
            var uri = new Uri(target.Uri);
            if (TlsReportRecord.AddressOf(uri) is { } address)
            {
                await MailAsync(report, target, address, cancellationToken);
                return;
            }
            error = await _poster.PostAsync(uri, TlsReportJson.WriteGzip(report), cancellationToken);
        }
        catch (Exception e) when (!cancellationToken.IsCancellationRequested)
        {
            // An attempt like others: what one receiver does to us must not come first at every round, nor end it for the others.
            Log.TlsReportFault(_logger, e, domain);
            error = "an error inside the gateway stopped the attempt; its log has the details";
        }
        int attempts = target.Attempts + 1;
        TimeSpan? wait = error.Length == 0 || attempts > Waits.Length ? null : Waits[attempts - 1];
        TlsReportState state = error.Length == 0 ? TlsReportState.Sent : wait is null ? TlsReportState.Failed : TlsReportState.Waiting;
        await NoteAsync(report, target with { State = state, Attempts = attempts, Next = wait is { } w ? (_time.GetUtcNow() + w).ToUnixTimeMilliseconds() : null, Error = error });
        _metrics.TlsReports.Increment(state switch { TlsReportState.Sent => "sent", TlsReportState.Failed => "failed", _ => "deferred" });
    }

    /// <summary>Into the queue, which tries it like other mail; receivers ignore what is not signed (§3, §5.3).</summary>
    private async Task MailAsync(TlsReport report, TlsReportTarget target, MailboxAddress to, CancellationToken cancellationToken)
    {
        ServerMailOrigin origin = await _accounts.ServerMailOriginAsync(_from, cancellationToken);
        if (origin.Keys.IsEmpty)
        {
            await NoteAsync(report, target with
            {
                State = TlsReportState.Failed,
                Attempts = target.Attempts + 1,
                Next = null,
                Error = $"{_from.DomainText} has no DKIM key of the server, and reports by mail must be signed: relaygate domain add {_from.DomainText} --subscription system, then relaygate dkim create {_from.DomainText}",
            });
            _metrics.TlsReports.Increment("failed");
            return;
        }
        DateTimeOffset now = _time.GetUtcNow();
        byte[] packed = TlsReportJson.WriteGzip(report);
        (WriteContext Context, QueuedMessage Mail) written = await _queue.RunAsync(
            context =>
            {
                QueueId id = OwnMail.NewId(now);
                ComposedDsn content = TlsReportMail.Compose(id, report, _from, to, packed, now);
                QueuedMessage message = OwnMail.Make(id, "", new ForwardPath(to), origin.Egress, content, origin.Keys, now + _options.Delivery.Retry.First) with { IgnoresTlsPolicies = true };
                RecordRows.WriteNoticeDetail(context.Scratch, TlsReportMail.Subject(report), origin);
                byte[] detail = context.Scratch.Written.ToArray(); // The record's own columns are written in the same buffer.
                message = message with { RowId = OwnMail.Insert(context, message, RecordKind.Notice, "tls-report", now, detail) };
                TlsReportRows.Attempted(
                    context.Connection.Connection, report.Day, report.Domain,
                    target with { State = TlsReportState.Sent, Attempts = target.Attempts + 1, Next = null, Mail = id.ToString(), Error = "" });
                return (context, message);
            },
            CancellationToken.None,
            static done =>
            {
                done.context.Feed.Add(done.message.Id);
                done.context.Enqueued(done.message);
            });
        _metrics.TlsReports.Increment("sent");
        _mailLog.Write(new MailEvent(MailEventKind.Report, written.Mail.Id) { Recipient = written.Mail.Recipients[0].ForwardPath });
    }

    private async Task NoteAsync(TlsReport report, TlsReportTarget target) => await _queue.WriteAsync<object?>(db =>
    {
        TlsReportRows.Attempted(db, report.Day, report.Domain, target);
        return null;
    });
}
