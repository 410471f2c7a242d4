using System.Diagnostics;
using RelayGate.Accounts;
using RelayGate.Core.Policy;
using RelayGate.Queue;
using RelayGate.Tests.Fakes;

namespace RelayGate.Tests.Submission;

/// <summary>Promise 4, attacked: parallel sessions that race for the last message of a limit.</summary>
public class LastMessageRaceTests
{
    private const int Sessions = 64;

    [Fact]
    public async Task Sixty_four_sessions_racing_for_the_last_message_get_one_through_also_over_a_restart()
    {
        using var folder = new TempFolder();
        var time = new ManualTimeProvider();
        await using (TestGateway gateway = await StartAsync(folder, time))
        {
            await AddMailboxAsync(gateway, "1/h", OverLimitAction.Refuse);
            Assert.Equal(1, await RaceAsync(gateway));
            Assert.Equal(0, await RaceAsync(gateway));
            await gateway.StopAsync();
        }
        await using TestGateway again = await StartAsync(folder, time);
        Assert.Equal(0, await RaceAsync(again));
        Assert.True((await again.Get<AccountAdministration>().SetLimitAsync(new AccountKey(Level.Mailbox, "info@shop.test"), null, "2/h", null, default)).IsOk);
        Assert.Equal(1, await RaceAsync(again));
    }

    /// <summary>All are answered with 250; one is counted, and each hour one more, over a restart as well.</summary>
    [Fact]
    public async Task Sixty_four_sessions_racing_at_a_limit_that_holds_get_one_through_in_an_hour()
    {
        using var folder = new TempFolder();
        var time = new ManualTimeProvider();
        await using (TestGateway gateway = await StartAsync(folder, time))
        {
            await AddMailboxAsync(gateway, "1/h", OverLimitAction.Hold);
            Assert.Equal(Sessions, await RaceAsync(gateway));
            await IsHeldAsync(gateway, Sessions - 1);
            await gateway.StopAsync();
        }
        await using TestGateway again = await StartAsync(folder, time);
        Assert.Equal(Sessions, await RaceAsync(again));
        await IsHeldAsync(again, 2 * Sessions - 1);
        for (int released = 1; released <= 3; released++)
        {
            time.Advance(TimeSpan.FromMinutes(59));
            await IsHeldAsync(again, 2 * Sessions - released);
            time.Advance(TimeSpan.FromMinutes(2));
            await IsHeldAsync(again, 2 * Sessions - 1 - released);
        }
    }

    /// <summary>Once the releaser has come to rest.</summary>
    private static async Task IsHeldAsync(TestGateway gateway, long messages)
    {
        long began = Stopwatch.GetTimestamp();
        HoldReleaser releaser = gateway.Get<HoldReleaser>();
        while (!releaser.IsIdle || gateway.Get<UsageTable>().Holds.Total != messages)
        {
            Assert.True(Stopwatch.GetElapsedTime(began) < TimeSpan.FromSeconds(10), $"{gateway.Get<UsageTable>().Holds.Total} are held, not {messages}");
            await Task.Delay(1);
        }
        UsageView view = await gateway.Get<UsageTable>().SnapshotAsync([new AccountKey(Level.Mailbox, "info@shop.test")], default);
        Assert.Equal(1, view.Rings[0].Used(LimitUnit.Messages, LimitWindow.Hour, view.Now));
    }

    private static async Task AddMailboxAsync(TestGateway gateway, string limit, OverLimitAction over)
    {
        AccountAdministration accounts = gateway.Get<AccountAdministration>();
        Assert.True((await accounts.AddPlanAsync("basic", default)).IsOk);
        Assert.True((await accounts.AddSubscriptionAsync("acme", new SubscriptionChange(Plan: "basic"), default)).IsOk);
        Assert.True((await accounts.AddDomainAsync("shop.test", new DomainChange(Subscription: "acme"), default)).IsOk);
        Assert.True((await accounts.AddMailboxAsync("info@shop.test", "secret", default)).IsOk);
        Assert.True((await accounts.SetLimitAsync(new AccountKey(Level.Mailbox, "info@shop.test"), null, limit, over, default)).IsOk);
    }

    private static Task<TestGateway> StartAsync(TempFolder folder, TimeProvider time) =>
        TestGateway.StartAsync(configure: o => o.Sessions.PerIdentity = Sessions, time: time, folder: folder);

    /// <summary>All sessions stand at the final dot before the first of them sends it, unless MAIL is refused already.</summary>
    /// <returns>How many were answered with 250.</returns>
    private static async Task<int> RaceAsync(TestGateway gateway)
    {
        var clients = new List<TestClient>();
        var refused = new List<string>();
        for (int i = 0; i < Sessions; i++)
        {
            TestClient client = await TestClient.LogInAsync(gateway.Local);
            clients.Add(client);
            string mail = await client.CommandAsync("MAIL FROM:<info@shop.test>");
            if (mail[0] != '2')
            {
                refused.Add(mail);
                continue;
            }
            await client.CommandAsync("RCPT TO:<ann@example.net>", "250");
            await client.CommandAsync("DATA", "354");
            await client.SendAsync("From: info@shop.test\r\n\r\nx\r\n");
        }
        string[] replies = refused.Count > 0 ? [] : await Task.WhenAll(clients.Select(client => Task.Run(() => client.CommandAsync("."))));
        foreach (TestClient client in clients)
            await client.DisposeAsync();
        Assert.True(refused.Count is 0 or Sessions);
        Assert.All([.. refused, .. replies.Where(reply => reply[0] != '2')], reply => Assert.StartsWith("451 4.7.1", reply, StringComparison.Ordinal));
        return replies.Count(reply => reply[0] == '2');
    }
}
