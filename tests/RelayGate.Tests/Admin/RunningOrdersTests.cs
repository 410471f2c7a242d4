using System.Text.Json.Nodes;
using RelayGate.Admin;
using RelayGate.Queue;
using RelayGate.Tests.Queue;

namespace RelayGate.Tests.Admin;

public sealed class RunningOrdersTests : IDisposable
{
    private static readonly QueueOrderRequest Flush = new(QueueOrder.Flush, QueueSelection.All());
    private static readonly AdminCaller Root = new(new ControlPeer(1, 0, []), true, null);

    private readonly QueueFixture _queue = new();
    private readonly List<IAsyncEnumerator<JsonNode>> _open = [];

    public void Dispose() => _queue.Dispose();

    [Fact]
    public async Task Customers_have_one_order_each_and_shut_no_administrator_out()
    {
        var orders = new RunningOrders(_queue.NewAdministration(), _queue.Time);
        await StartAsync(orders, Tenant("acme"));
        ProblemException second = await Assert.ThrowsAsync<ProblemException>(() => StartAsync(orders, Tenant("acme")));
        Assert.Equal(409, second.Problem.Status);
        for (int i = 1; i < 32; i++)
            await StartAsync(orders, Tenant($"sub{i}"));
        await Assert.ThrowsAsync<ProblemException>(() => StartAsync(orders, Tenant("late")));

        for (int i = 0; i < 8; i++)
            await StartAsync(orders, Root);
        await Assert.ThrowsAsync<ProblemException>(() => StartAsync(orders, Root));

        foreach (IAsyncEnumerator<JsonNode> order in _open)
            await order.DisposeAsync();
        await StartAsync(orders, Tenant("acme"));
        await StartAsync(orders, Root);
    }

    private static AdminCaller Tenant(string subscription) => new(new ControlPeer(1, 61008, []), false, subscription);

    /// <summary>As far as its first line.</summary>
    private async Task StartAsync(RunningOrders orders, AdminCaller by)
    {
        IAsyncEnumerator<JsonNode> lines = orders.RunAsync(Flush with { OnlySubscription = by.Subscription }, by, default).GetAsyncEnumerator();
        Assert.True(await lines.MoveNextAsync());
        _open.Add(lines);
    }
}
