using Microsoft.Extensions.Logging;
using RelayGate.Accounts;
using RelayGate.Configuration;
using RelayGate.Core.Notices;
using RelayGate.Core.Policy;
using RelayGate.Queue;
using RelayGate.Storage;
using RelayGate.Telemetry;

namespace RelayGate.Notices;

/// <summary>Takes notices from the board, stores them, and sends what is due: one loop, a bounded number at a time.</summary>
internal sealed class NoticeService : IDisposable
{
    private const int MaxBatch = 64;

    private static readonly TimeSpan AfterFailure = TimeSpan.FromSeconds(10);

    private readonly NoticeBoard _board;
    private readonly SqliteRelayStore _store;
    private readonly QueueWriter _queue;
    private readonly AccountDirectory _accounts;
    private readonly WebhookSender _webhooks;
    private readonly RelayGateMetrics _metrics;
    private readonly MailLog _mailLog;
    private readonly TimeProvider _time;
    private readonly ILogger<NoticeService> _logger;
    private readonly NoticeClock _clock;
    private readonly NoticeWriter _writer;
    private readonly NoticeReceivers _receivers;
    private readonly SourceFinder _sources;
    private readonly BackgroundLoop _loop = new();
    private readonly List<RaisedNotice> _batch = [];

    public NoticeService(
        NoticeBoard board, SqliteRelayStore store, QueueWriter queue, AccountDirectory accounts, WebhookSender webhooks, NoticeClock clock, RelayGateOptions options,
        RelayGateMetrics metrics, MailLog mailLog, TimeProvider time, ILogger<NoticeService> logger)
    {
        _board = board;
        _store = store;
        _queue = queue;
        _accounts = accounts;
        _metrics = metrics;
        _mailLog = mailLog;
        _time = time;
        _logger = logger;
        _webhooks = webhooks;
        _clock = clock;
        _receivers = new NoticeReceivers(options);
        _sources = new SourceFinder(store);
        _writer = new NoticeWriter(options, _receivers, _clock, time);
    }

    /// <summary>Who is told of everything by mail; null: nobody.</summary>
    internal Core.Mail.MailboxAddress? Administrator => _receivers.Administrator;

    /// <summary>Sends the administrator a mail that says that notices arrive; it waits for nothing.</summary>
    internal async Task<StoredNotice> TestAsync(CancellationToken cancellationToken)
    {
        var stored = new TaskCompletionSource<StoredNotice>(TaskCreationOptions.RunContinuationsAsynchronously);
        var test = new Notice { Kind = NoticeKind.Test, Level = "server", Name = "" };
        if (!_board.Raise(new RaisedNotice(test, _time.GetUtcNow(), stored)))
            throw new InvalidOperationException("Too many notices wait for the store");
        return await stored.Task.WaitAsync(cancellationToken);
    }

    /// <summary>Goes on where the process before this one ended.</summary>
    public async Task StartAsync(CancellationToken cancellationToken)
    {
        _clock.NotBefore(await _store.ReadAsync(NoticeRows.Clock, cancellationToken));
        _loop.Start(RunAsync);
        await _webhooks.StartAsync();
    }

    /// <summary>Ends the loop after the write that runs; what was raised by then is stored.</summary>
    public async Task StopAsync(CancellationToken cancellationToken)
    {
        await _loop.StopAsync(cancellationToken);
        await _webhooks.StopAsync(cancellationToken);
    }

    /// <summary>Ends the loop also where it was not stopped, as after a start that failed.</summary>
    public void Dispose() => _loop.Dispose();

    private async Task RunAsync()
    {
        while (true)
        {
            TimeSpan? wait;
            try
            {
                wait = await TurnAsync();
            }
            catch (Exception e) when ((e is OperationCanceledException or ObjectDisposedException) && _loop.Stopping.IsCancellationRequested)
            {
                return; // The writer has ended, as after a start that failed.
            }
            catch (Exception e)
            {
                Log.NoticesFailed(_logger, e); // Full disk, broken store: what was taken waits, what is on the board stays there.
                if (StoreErrors.Classify(e) == StoreError.Statement)
                    Drop(e);
                wait = AfterFailure;
            }
            if (_loop.Stopping.IsCancellationRequested)
                return;
            await WaitAsync(wait);
        }
    }

    /// <returns>How long nothing is due; null: until something is raised.</returns>
    private async Task<TimeSpan?> TurnAsync()
    {
        while (true)
        {
            while (_batch.Count < MaxBatch && _board.Raised.TryRead(out RaisedNotice? raised))
                _batch.Add(raised);
            if (_batch.Count == 0 && _board.CrossingsLost)
                await AddLostAsync();
            for (int i = 0; i < _batch.Count; i++)
                _batch[i] = await FillAsync(_batch[i]);
            ServerMailOrigin origin = await _accounts.ServerMailOriginAsync(_writer.From, CancellationToken.None);
            NoticeResult result = await _queue.RunAsync(context => _writer.Write(context, _batch, origin), CancellationToken.None, static done => done.Enqueue());
            Tell(result);
            _batch.Clear();
            long now = _clock.Now;
            if (_board.Raised.Count > 0 || _board.CrossingsLost || result.NextDue <= now)
                continue;
            return result.NextDue is { } due ? TimeSpan.FromMilliseconds(due - now) : null;
        }
    }

    /// <summary>Takes crossings from the store that never came to the board, or were lost with it: the board is empty.</summary>
    private async Task AddLostAsync()
    {
        _board.CrossingsLost = false; // What is lost from now on says so again.
        List<LimitCrossing> lost = await _store.ReadAsync(static db => CrossingRows.Unnoticed(db, MaxBatch), CancellationToken.None);
        _batch.AddRange(lost.Select(NoticeHooks.Of));
        if (lost.Count == MaxBatch)
            _board.CrossingsLost = true;
    }

    /// <summary>What the store refuses for its own sake would be refused again and again, and everything behind it would wait.</summary>
    private void Drop(Exception cause)
    {
        _metrics.DroppedNotices.Add(_batch.Count, "fault");
        foreach (RaisedNotice raised in _batch)
            raised.Stored?.TrySetException(cause);
        _batch.Clear();
    }

    /// <summary>Looks for the sources of what is new; a repetition keeps those of the first.</summary>
    private async Task<RaisedNotice> FillAsync(RaisedNotice raised)
    {
        if (_board.Raised.Count > MaxBatch || await _store.ReadAsync(db => NoticeRows.Open(db, raised.Notice, _writer.Since) is not null, CancellationToken.None))
            return raised; // Or far behind: what is known at once is better than all of it late.
        return raised with { Notice = await _sources.FillAsync(raised.Notice, raised.At, CancellationToken.None) };
    }

    private void Tell(NoticeResult result)
    {
        foreach (QueuedMessage mail in result.Mails)
        {
            _metrics.NoticeMails.Increment();
            _mailLog.Write(new MailEvent(MailEventKind.Notice, mail.Id) { Recipient = mail.Recipients[0].ForwardPath });
        }
        if (result.ForWebhooks)
            _webhooks.Wake();
        if (result.Flooded > 0)
            _metrics.DroppedNotices.Add(result.Flooded, "flood");
        if (result.Dropped > 0)
            _metrics.DroppedNotices.Add(result.Dropped, "webhook");
        (string, string)[] mails = [.. result.Mails.Select(static m => (m.Recipients[0].ForwardPath.Text, m.Id.ToString()))];
        for (int i = 0; i < _batch.Count; i++)
            _batch[i].Stored?.TrySetResult(new StoredNotice(result.Ids[i].ToString(), mails));
    }

    private async Task WaitAsync(TimeSpan? wait)
    {
        using var bound = CancellationTokenSource.CreateLinkedTokenSource(_loop.Stopping);
        Task raised = _batch.Count > 0 ? Task.Delay(Timeout.Infinite, bound.Token) : _board.Raised.WaitToReadAsync(bound.Token).AsTask();
        Task due = Task.Delay(wait ?? Timeout.InfiniteTimeSpan, _time, bound.Token);
        await Task.WhenAny(raised, due);
        await bound.CancelAsync();
    }
}
