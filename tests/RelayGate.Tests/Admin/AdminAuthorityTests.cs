using RelayGate.Accounts;
using RelayGate.Admin;
using RelayGate.Tests.Fakes;

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

    private static AdminAuthority Authority(TestGateway gateway) => new(gateway.Get<AccountDirectory>(), OwnUid, Group);
}
