using RelayGate.Accounts;
using RelayGate.Admin;
using RelayGate.Core.Mail;
using RelayGate.Queue;
using RelayGate.Tests.Queue;
using RelayGate.Tests.Fakes;
using RelayGate.Tests.Submission;

namespace RelayGate.Tests.Admin;

public sealed class AdminAuthorityTests
{
    private const int OwnUid = 61001;
    private const uint Group = 61002;

    [Theory]
    [InlineData(0, 5u)]
    [InlineData(OwnUid, 5u)]
    [InlineData(61007, Group)]
    public async Task Root_our_own_uid_and_the_group_administrate(int uid, uint group)
    {
        await using TestGateway gateway = await TestGateway.StartAsync();

        AdminCaller caller = await Authority(gateway).RecogniseAsync(new ControlPeer(1, uid, [5, group]), default);

        Assert.True(caller.IsAdministrator);
        Assert.Null(caller.Subscription);
    }

    [Fact]
    public async Task A_subscriptions_uid_sees_its_own_and_a_stranger_nothing()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        AccountAdministration accounts = gateway.Get<AccountAdministration>();
        await accounts.AddPlanAsync("basic", default);
        AdminResult<SubscriptionView> added = await accounts.AddSubscriptionAsync("acme", new SubscriptionChange(Plan: "basic", SystemUsers: ["#61008"]), default);
        Assert.True(added.IsOk, added.Error?.Message);

        AdminCaller caller = await Authority(gateway).RecogniseAsync(new ControlPeer(1, 61008, [5]), default);

        Assert.False(caller.IsAdministrator);
        Assert.Equal("acme", caller.Subscription);
        ProblemException refused = await Assert.ThrowsAsync<ProblemException>(async () => await Authority(gateway).RecogniseAsync(new ControlPeer(1, 61009, [5]), default));
        Assert.Equal(403, refused.Problem.Status);
    }

    /// <summary>Many sites run as a shared uid: who asks with it is not known to be the subscription that was given it.</summary>
    [Fact]
    public async Task A_uid_that_many_sites_share_sees_nothing()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        AccountAdministration accounts = gateway.Get<AccountAdministration>();
        AdminResult<SubscriptionView> added = await accounts.AddSubscriptionAsync("acme", new SubscriptionChange(SystemUsers: ["#61008"], SharedUid: true), default);
        Assert.True(added.IsOk, added.Error?.Message);

        ProblemException refused = await Assert.ThrowsAsync<ProblemException>(async () => await Authority(gateway).RecogniseAsync(new ControlPeer(1, 61008, [5]), default));

        Assert.Equal(403, refused.Problem.Status);
    }

    /// <summary>A new customer may get the name, and the uid, of one who has left: what that one sent is not the new one's to read.</summary>
    [Fact]
    public async Task Who_has_the_name_of_a_subscription_that_was_removed_sees_nothing_from_before()
    {
        var time = new ManualTimeProvider();
        await using TestGateway gateway = await TestGateway.StartAsync(time: time);
        AccountAdministration accounts = gateway.Get<AccountAdministration>();
        QueueAdministration queue = gateway.Get<QueueAdministration>();
        string before = await SendAsync();
        Assert.True((await queue.DeleteAsync(QueueSelection.OfSubscription("acme"), false, null, default)).Count == 1);
        Assert.True((await accounts.RemoveMailboxAsync("info@shop.test", default)).IsOk);
        Assert.True((await accounts.RemoveDomainAsync("shop.test", default)).IsOk);
        Assert.True((await accounts.RemoveSubscriptionAsync("acme", default)).IsOk);
        time.Advance(TimeSpan.FromHours(1));
        string after = await SendAsync();

        AdminCaller caller = await Authority(gateway).RecogniseAsync(new ControlPeer(1, 61008, [5]), default);
        MessageLog log = gateway.Get<MessageLog>();

        Assert.Equal([after], (await log.ListAsync(caller.Narrow(new MessageQuery()), caller.Subscription, default))!.Items.Select(static i => i.Ref));
        Assert.Equal((true, false), (caller.MaySee(Id(after)), caller.MaySee(Id(before))));

        async Task<string> SendAsync()
        {
            Assert.True((await accounts.AddSubscriptionAsync("acme", new SubscriptionChange(SystemUsers: ["#61008"]), default)).IsOk);
            Assert.True((await accounts.AddDomainAsync("shop.test", new DomainChange(Subscription: "acme"), default)).IsOk);
            Assert.True((await accounts.AddMailboxAsync("info@shop.test", "secret", default)).IsOk);
            await using TestClient client = await TestClient.LogInAsync(gateway.Local);
            return TestClient.RefOf(await client.OfferAsync("From: info@shop.test\r\n\r\nhello\r\n"));
        }
    }

    private static QueueId Id(string text) => QueueId.TryParse(text, out QueueId id) ? id : throw new FormatException(text);

    private static AdminAuthority Authority(TestGateway gateway) => new(gateway.Get<AccountDirectory>(), OwnUid, Group);
}
