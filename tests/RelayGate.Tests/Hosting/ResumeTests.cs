using System.Data.Common;
using RelayGate.Accounts;
using RelayGate.Core.Policy;
using RelayGate.Storage;
using RelayGate.Tests.Fakes;
using RelayGate.Tests.Submission;

namespace RelayGate.Tests.Hosting;

public sealed class ResumeTests
{
    /// <summary>Mail that became due while its subscription was suspended does not wait for the next look at the store.</summary>
    [Fact]
    public async Task Resumed_mail_goes_on_at_once()
    {
        int mails = 0;
        await using var hop = new FakeNextHop
        {
            Script = e => e.Verb == "MAIL" && Interlocked.Increment(ref mails) == 1 ? new HopAction.Raw("451 4.3.0 Later\r\n") : null,
        };
        var time = new ManualTimeProvider();
        await using TestGateway gateway = await TestGateway.StartAsync(hop.Url, time: time);
        AccountAdministration accounts = gateway.Get<AccountAdministration>();
        Assert.True((await accounts.AddPlanAsync("basic", default)).IsOk);
        Assert.True((await accounts.AddSubscriptionAsync("acme", new SubscriptionChange(Plan: "basic"), default)).IsOk);
        Assert.True((await accounts.AddDomainAsync("shop.test", new DomainChange(Subscription: "acme"), default)).IsOk);
        Assert.True((await accounts.AddMailboxAsync("info@shop.test", "secret", default)).IsOk);
        await using TestClient client = await TestClient.LogInAsync(gateway.Local);
        Assert.StartsWith("250 ", await client.OfferAsync("From: info@shop.test\r\n\r\nhello\r\n", recipients: "b@example.org"), StringComparison.Ordinal);
        await UntilAttemptedAsync(gateway.Get<SqliteRelayStore>());

        var acme = new AccountKey(Level.Subscription, "acme");
        Assert.True((await accounts.SetSuspendedAsync(acme, true, default)).IsOk);
        time.Advance(TimeSpan.FromMinutes(10));
        Assert.Empty(hop.Messages);
        Assert.True((await accounts.SetSuspendedAsync(acme, false, default)).IsOk);

        ReceivedMessage message = await hop.NextAsync();
        Assert.StartsWith("RCPT TO:<b@example.org>", Assert.Single(message.Rcpts), StringComparison.Ordinal);
    }

    private static async Task UntilAttemptedAsync(SqliteRelayStore store)
    {
        using var bound = new CancellationTokenSource(TimeSpan.FromSeconds(20));
        while (await store.ReadAsync(Attempts, bound.Token) == 0)
            await Task.Yield();
    }

    private static long Attempts(DbConnection db)
    {
        using DbCommand command = db.CreateCommand();
        command.CommandText = "select coalesce(max(attempts), 0) from recipient";
        return (long)command.ExecuteScalar()!;
    }
}
