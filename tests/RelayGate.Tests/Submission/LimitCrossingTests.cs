using System.Collections.Concurrent;
using RelayGate.Accounts;
using RelayGate.Core.Policy;
using RelayGate.Queue;
using RelayGate.Tests.Fakes;

namespace RelayGate.Tests.Submission;

/// <summary>Who is told that a limit is nearly used up, exceeded, or free again: once for each crossing.</summary>
public sealed class LimitCrossingTests : IAsyncLifetime, IDisposable
{
    private const string Message = "From: info@shop.test\r\n\r\nhello\r\n";
    private static readonly AccountKey Info = new(Level.Mailbox, "info@shop.test");

    private readonly TempFolder _folder = new();
    private readonly ManualTimeProvider _time = new();
    private readonly ConcurrentQueue<LimitCrossing> _told = [];
    private TestGateway _gateway = null!;

    [Fact]
    public async Task A_limit_warns_once_is_exceeded_once_and_recovers()
    {
        await StartAsync();
        await SetAsync("10/h", null);
        await SendAsync(7);
        Assert.Empty(_told);
        await SendAsync(2);
        Assert.Equal(["Warning mailbox info@shop.test 10/h 8 acme"], Told());

        await SendAsync(1); // The last one that fits is no excess.
        Assert.Empty(Told());
        await RefuseAsync();
        await RefuseAsync();
        await UntilAsync(1);
        Assert.Equal(["Exceeded mailbox info@shop.test 10/h 10 acme"], Told());

        _time.Advance(TimeSpan.FromMinutes(62));
        await UntilAsync(1);
        Assert.Equal(["Recovered mailbox info@shop.test 10/h 0 acme"], Told());
        await SendAsync(8);
        Assert.Equal(["Warning mailbox info@shop.test 10/h 8 acme"], Told());
    }

    [Fact]
    public async Task What_was_told_is_not_told_again_after_a_restart()
    {
        await StartAsync();
        await SetAsync("4/h", null);
        await SendAsync(4);
        Assert.Equal(["Warning mailbox info@shop.test 4/h 4 acme"], Told());
        await _gateway.StopAsync();
        await _gateway.DisposeAsync();

        await StartAsync();
        await RefuseAsync();
        await UntilAsync(1);
        Assert.Equal(["Exceeded mailbox info@shop.test 4/h 4 acme"], Told());
        await _gateway.StopAsync();
        await _gateway.DisposeAsync();

        _time.Advance(TimeSpan.FromMinutes(62));
        await StartAsync();
        _time.Advance(TimeSpan.FromMinutes(1));
        await UntilAsync(1);
        Assert.Equal(["Recovered mailbox info@shop.test 4/h 0 acme"], Told());
    }

    [Fact]
    public async Task The_share_is_its_own_and_none_is_no_warning()
    {
        await StartAsync();
        await SetAsync("4/h", 50);
        await SendAsync(2);
        Assert.Equal(["Warning mailbox info@shop.test 4/h 2 acme"], Told());

        await SetAsync("6/h", 0);
        await SendAsync(4);
        Assert.Empty(Told());
        await RefuseAsync();
        await UntilAsync(1);
        Assert.Equal(["Exceeded mailbox info@shop.test 6/h 6 acme"], Told());
    }

    [Fact]
    public async Task A_limit_that_is_not_enforced_tells_of_its_excess_as_well()
    {
        await StartAsync();
        await SetAsync("2/h", 0);
        Assert.True((await _gateway.Get<AccountAdministration>().SetLimitAsync(Info, null, new LimitChange(Enforce: false), default)).IsOk);
        await SendAsync(5);
        Assert.Equal(["Exceeded mailbox info@shop.test 2/h 3 acme"], Told());
    }

    public Task InitializeAsync() => Task.CompletedTask;

    public async Task DisposeAsync() => await _gateway.DisposeAsync();

    public void Dispose() => _folder.Dispose();

    private async Task StartAsync()
    {
        _gateway = await TestGateway.StartAsync(time: _time, folder: _folder);
        _gateway.Get<QueueWriter>().LimitCrossed += _told.Enqueue;
        AccountAdministration accounts = _gateway.Get<AccountAdministration>();
        await accounts.AddSubscriptionAsync("acme", new SubscriptionChange(), default);
        await accounts.AddDomainAsync("shop.test", new DomainChange(Subscription: "acme"), default);
        await accounts.AddMailboxAsync("info@shop.test", "secret", default);
    }

    private async Task SetAsync(string value, int? warnAt) =>
        Assert.True((await _gateway.Get<AccountAdministration>().SetLimitAsync(Info, null, new LimitChange(value, WarnAt: warnAt), default)).IsOk);

    private async Task SendAsync(int messages)
    {
        await using TestClient client = await TestClient.LogInAsync(_gateway.Local);
        for (int i = 0; i < messages; i++)
            Assert.StartsWith("250 ", await client.OfferAsync(Message), StringComparison.Ordinal);
    }

    private async Task RefuseAsync()
    {
        await using TestClient client = await TestClient.LogInAsync(_gateway.Local);
        await client.CommandAsync("MAIL FROM:<info@shop.test>", "451 4.7.1");
    }

    private async Task UntilAsync(int told)
    {
        await SubmissionHost.UntilAsync(() => _told.Count >= told);
        await _gateway.Get<QueueWriter>().WriteAsync(static _ => true); // Nothing more comes behind it.
    }

    private string[] Told()
    {
        string[] told = [.. _told.Select(static c => $"{c.Kind} {c.Key} {c.Limit} {c.Used} {c.Subscription}")];
        _told.Clear();
        return told;
    }
}
