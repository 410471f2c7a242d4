using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using System.Text.Json.Nodes;
using System.Threading.Channels;
using RelayGate.Queue;

namespace RelayGate.Admin;

/// <summary>Orders for many messages that run now, each told line by line to who gave it: <c>{"id":…}</c>, lines <c>{"count":…,"looked":…}</c>, and last its result.</summary>
/// <remarks>One order of each subscription's users at once, and a number of all of them; administrators have a number of their own, which customers do not use up.</remarks>
internal sealed class RunningOrders(QueueAdministration queue, TimeProvider time)
{
    private const int MaxOfAdministrators = 8;
    private const int MaxOfTenants = 32;

    private static readonly TimeSpan BetweenLines = TimeSpan.FromMilliseconds(100);

    private readonly Lock _starting = new();
    private readonly ConcurrentDictionary<string, (AdminCaller By, CancellationTokenSource Stop)> _running = [];

    /// <param name="cancellationToken">Who gave it has gone: it ends after the step that runs.</param>
    public async IAsyncEnumerable<JsonNode> RunAsync(QueueOrderRequest order, AdminCaller by, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        string id = Guid.NewGuid().ToString("N");
        Start(id, by, stop);
        try
        {
            yield return new JsonObject { ["id"] = id };
            var steps = Channel.CreateBounded<QueueOrderProgress>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropOldest, SingleReader = true });
            Task<QueueOrderResult> run = RunAsync(order, steps.Writer, stop.Token);
            long told = 0;
            await foreach (QueueOrderProgress step in steps.Reader.ReadAllAsync(CancellationToken.None))
            {
                if (told != 0 && time.GetElapsedTime(told) < BetweenLines)
                    continue;
                told = time.GetTimestamp();
                if (!cancellationToken.IsCancellationRequested)
                    yield return new JsonObject { ["count"] = step.Count, ["looked"] = step.Looked };
            }
            yield return RecordJson.ToNode(await run, RecordJson.Default.QueueOrderResult);
        }
        finally
        {
            await stop.CancelAsync(); // Also when its reader has gone.
            _running.TryRemove(id, out _);
        }
    }

    /// <summary>Stops an order after the step that runs; its last line then says what was done.</summary>
    /// <returns>False: none of this caller's runs under the id.</returns>
    public bool TryStop(string id, AdminCaller caller)
    {
        if (!_running.TryGetValue(id, out (AdminCaller By, CancellationTokenSource Stop) order) || (!caller.IsAdministrator && order.By.Subscription != caller.Subscription))
            return false;
        try
        {
            order.Stop.Cancel();
            return true;
        }
        catch (ObjectDisposedException)
        {
            return false; // It has just ended.
        }
    }

    /// <exception cref="ProblemException">409: too many run.</exception>
    private void Start(string id, AdminCaller by, CancellationTokenSource stop)
    {
        lock (_starting)
        {
            if (by.Subscription is { } subscription && _running.Values.Any(order => order.By.Subscription == subscription))
                throw new ProblemException(Problem.Conflict($"an order of subscription {subscription} runs already; wait until it ends"));
            int most = by.IsAdministrator ? MaxOfAdministrators : MaxOfTenants;
            if (_running.Values.Count(order => order.By.IsAdministrator == by.IsAdministrator) >= most)
                throw new ProblemException(Problem.Conflict($"{most} orders run already; wait until one ends"));
            _running[id] = (by, stop);
        }
    }

    private async Task<QueueOrderResult> RunAsync(QueueOrderRequest order, ChannelWriter<QueueOrderProgress> steps, CancellationToken stop)
    {
        try
        {
            return await queue.RunAsync(order, stop, step => steps.TryWrite(step));
        }
        finally
        {
            steps.Complete();
        }
    }
}
