using Microsoft.Extensions.Logging;
using RelayGate.Core.Notices;
using RelayGate.Dns;
using RelayGate.Queue;
using RelayGate.Storage;
using RelayGate.Telemetry;

namespace RelayGate.Notices;

/// <summary>Attempts what waits for webhooks: one delivery at a time for each, several webhooks at once, so that a dead one delays nobody else.</summary>
public sealed class WebhookSender : IDisposable
{
    private const int MaxAtOnce = 8;
    private const int Gone = 410; // Standard Webhooks: the endpoint wants nothing any more.

    private static readonly TimeSpan AfterFailure = TimeSpan.FromSeconds(10);

    private readonly SqliteRelayStore _store;
    private readonly QueueWriter _queue;
    private readonly RelayGateMetrics _metrics;
    private readonly TimeProvider _time;
    private readonly ILogger<WebhookSender> _logger;
    private readonly NoticeClock _clock;
    private readonly WebhookClient _client;
    private readonly SemaphoreSlim _changed = new(0);
    private readonly Dictionary<string, Task> _running = [];
    private readonly BackgroundLoop _loop = new();

    public WebhookSender(SqliteRelayStore store, QueueWriter queue, OutwardDialer dialer, NoticeClock clock, RelayGateMetrics metrics, TimeProvider time, ILogger<WebhookSender> logger)
    {
        _store = store;
        _queue = queue;
        _metrics = metrics;
        _time = time;
        _logger = logger;
        _clock = clock;
        _client = new WebhookClient(dialer, time);
    }

    public Task StartAsync()
    {
        _loop.Start(RunAsync);
        return Task.CompletedTask;
    }

    /// <summary>Cuts attempts off; they are made again after the next start.</summary>
    public Task StopAsync(CancellationToken cancellationToken) => _loop.StopAsync(cancellationToken);

    /// <summary>Ends the loop also where it was not stopped, as after a start that failed.</summary>
    public void Dispose()
    {
        _loop.Dispose();
        _client.Dispose();
    }

    /// <summary>Something may be due that was not before.</summary>
    internal void Wake() => _changed.Release();

    /// <summary>Makes one attempt now and records it; a failed one is not tried again.</summary>
    internal async Task TestAsync(byte[] id, CancellationToken cancellationToken)
    {
        if (await _store.ReadAsync(db => WebhookRows.Job(db, id, _time.GetUtcNow()), cancellationToken) is { } job)
            await AttemptAsync(job, isTest: true, cancellationToken);
    }

    private async Task RunAsync()
    {
        while (!_loop.Stopping.IsCancellationRequested)
        {
            TimeSpan? wait;
            try
            {
                wait = await StartDueAsync();
            }
            catch (Exception e)
            {
                Log.WebhooksFailed(_logger, e); // Broken store: what waits stays there.
                wait = AfterFailure;
            }
            await WaitAsync(wait);
        }
        await Task.WhenAll(_running.Values);
    }

    /// <returns>How long nothing else is due; null: until something changes.</returns>
    private async Task<TimeSpan?> StartDueAsync()
    {
        foreach (string ended in _running.Where(static r => r.Value.IsCompleted).Select(static r => r.Key).ToArray())
            _running.Remove(ended);
        List<(string Webhook, long Next)> due = await _store.ReadAsync(WebhookRows.Due, CancellationToken.None);
        long now = _clock.Now;
        long? next = null;
        foreach ((string webhook, long at) in due)
        {
            if (_running.ContainsKey(webhook))
                continue;
            if (at > now)
                next = Math.Min(next ?? at, at);
            else if (_running.Count < MaxAtOnce)
                Start(webhook);
        }
        return next is { } known ? TimeSpan.FromMilliseconds(known - now) : null;
    }

    private void Start(string webhook)
    {
        Task attempt = Task.Run(() => AttemptNextAsync(webhook), CancellationToken.None);
        _running.Add(webhook, attempt);
        _ = attempt.ContinueWith(_ => Wake(), CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default); // When it has ended, not before.
    }

    /// <summary>The one place where a fault of an attempt is caught: the delivery stays as it is.</summary>
    private async Task AttemptNextAsync(string webhook)
    {
        try
        {
            if (await _store.ReadAsync(db => WebhookRows.Job(db, webhook, _time.GetUtcNow()), _loop.Stopping) is { } job)
                await AttemptAsync(job, isTest: false, _loop.Stopping);
        }
        catch (OperationCanceledException) when (_loop.Stopping.IsCancellationRequested)
        {
            // It waits in the store.
        }
        catch (Exception e)
        {
            Log.WebhooksFailed(_logger, e);
            await WaitAsync(AfterFailure, isForChange: false);
        }
    }

    private async Task AttemptAsync(WebhookJob job, bool isTest, CancellationToken cancellationToken)
    {
        DateTimeOffset at = _time.GetUtcNow();
        long started = _time.GetTimestamp();
        (int? status, string error) = await _client.SendAsync(job, cancellationToken);
        TimeSpan duration = _time.GetElapsedTime(started);
        TimeSpan? wait = error.Length == 0 || status == Gone || isTest ? null : WebhookSchedule.Next(job.Attempts + 1, Random.Shared.NextDouble());
        WebhookState state = error.Length == 0 ? WebhookState.Delivered : wait is null ? WebhookState.Failed : WebhookState.Waiting;
        long? next = wait is { } known ? _clock.Now + (long)known.TotalMilliseconds : null;
        await _queue.WriteAsync<object?>(db =>
        {
            WebhookRows.Attempted(db, job, state, next, at, duration, status, error);
            if (status == Gone)
                WebhookRows.Disable(db, job.Webhook, "it answered 410: it wants nothing any more");
            return null;
        }, cancellationToken: CancellationToken.None);
        _metrics.WebhookAttempts.Increment(error.Length == 0 ? "delivered" : state == WebhookState.Failed ? "failed" : "deferred");
        if (state == WebhookState.Failed)
            Log.WebhookFailed(_logger, job.Webhook, Core.Mail.QueueId.FromBytes(job.Id).ToString(), error);
    }

    private async Task WaitAsync(TimeSpan? wait, bool isForChange = true)
    {
        using var bound = CancellationTokenSource.CreateLinkedTokenSource(_loop.Stopping);
        Task due = Task.Delay(wait ?? Timeout.InfiniteTimeSpan, _time, bound.Token);
        Task changed = isForChange ? _changed.WaitAsync(bound.Token) : Task.Delay(Timeout.Infinite, bound.Token);
        await Task.WhenAny(due, changed);
        await bound.CancelAsync();
        while (isForChange && _changed.Wait(0, CancellationToken.None))
        {
            // One look is enough for all.
        }
    }
}
