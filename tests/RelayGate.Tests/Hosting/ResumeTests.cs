using System.Data.Common;
using RelayGate.Accounts;
using RelayGate.Core.Policy;
using RelayGate.Queue;
using RelayGate.Storage;
using RelayGate.Tests.Fakes;
using RelayGate.Tests.Submission;

namespace RelayGate.Tests.Hosting;

public sealed class ResumeTests
{
    /// <summary>Queued mail of what is suspended is passed over, at every level, while others' goes on; resumed, it goes on at once.</summary>
    [Theory]
    [InlineData(Level.Plan, "basic", "info@news.test")]
    [InlineData(Level.Subscription, "acme", "info@news.test")]
    [InlineData(Level.Domain, "shop.test", "info@blog.test")]
    [InlineData(Level.Mailbox, "info@shop.test", "other@shop.test")]
    public async Task Queued_mail_of_what_is_suspended_waits_and_goes_on_at_resume(Level level, string name, string other)
    {
        await using var hop = new FakeNextHop { Script = e => e.Line.Contains("<b@example.org>", StringComparison.Ordinal) && _isDeferring ? new HopAction.Raw("451 4.3.0 Later\r\n") : null };
        var time = new ManualTimeProvider();
        await using TestGateway gateway = await TestGateway.StartAsync(hop.Url, o => o.Notices.Administrator = "", time); // Who is told of the suspension gets mail.
        AccountAdministration accounts = gateway.Get<AccountAdministration>();
        await AddAsync(accounts, "basic", "acme", "info@shop.test", "other@shop.test", "info@blog.test");
        await AddAsync(accounts, "large", "globex", "info@news.test");
        await OfferAsync(gateway, "info@shop.test", "b@example.org");
        await UntilAttemptedAsync(gateway.Get<SqliteRelayStore>());
        _isDeferring = false;

        var key = new AccountKey(level, name);
        Assert.True((await accounts.SetSuspendedAsync(key, true, default)).IsOk);
        time.Advance(TimeSpan.FromMinutes(10));
        await OfferAsync(gateway, other, "c@example.org");
        Assert.StartsWith($"MAIL FROM:<{other}>", (await hop.NextAsync()).Mail, StringComparison.Ordinal);
        time.Advance(TimeSpan.FromMinutes(10));
        await gateway.Get<QueueWriter>().WriteAsync(static _ => 0, static _ => { }, default); // Whatever had been picked is leased or in flight now.
        Assert.Empty(hop.Messages);
        if (level == Level.Mailbox)
            Assert.Contains("queue delete --mailbox info@shop.test", (await accounts.RemoveMailboxAsync(name, default)).Error!.Message, StringComparison.Ordinal);
        Assert.True((await accounts.SetSuspendedAsync(key, false, default)).IsOk);

        ReceivedMessage message = await hop.NextAsync();
        Assert.StartsWith("RCPT TO:<b@example.org>", Assert.Single(message.Rcpts), StringComparison.Ordinal);
    }

    /// <summary>Queued mail of a mailbox waits as well where the other domain that it names, in envelope or From, is suspended.</summary>
    [Theory]
    [InlineData("info@shop.test", "Ann <x@blog.test>")]
    [InlineData("info@shop.test", "x@sub.blog.test")]
    [InlineData("x@blog.test", "info@shop.test")]
    public async Task Queued_mail_that_names_a_suspended_domain_of_its_own_waits(string reversePath, string from)
    {
        await using var hop = new FakeNextHop { Script = e => e.Line.Contains("<b@example.org>", StringComparison.Ordinal) && _isDeferring ? new HopAction.Raw("451 4.3.0 Later\r\n") : null };
        var time = new ManualTimeProvider();
        await using TestGateway gateway = await TestGateway.StartAsync(hop.Url, o => (o.Sender.Owned, o.Notices.Administrator) = (OwnedAddresses.Subscription, ""), time);
        AccountAdministration accounts = gateway.Get<AccountAdministration>();
        await AddAsync(accounts, "basic", "acme", "info@shop.test", "info@blog.test");
        await OfferAsync(gateway, "info@shop.test", "b@example.org", reversePath, from);
        await UntilAttemptedAsync(gateway.Get<SqliteRelayStore>());
        _isDeferring = false;

        var key = new AccountKey(Level.Domain, "blog.test");
        Assert.True((await accounts.SetSuspendedAsync(key, true, default)).IsOk);
        time.Advance(TimeSpan.FromMinutes(10));
        await OfferAsync(gateway, "info@shop.test", "c@example.org");
        Assert.StartsWith("RCPT TO:<c@example.org>", Assert.Single((await hop.NextAsync()).Rcpts), StringComparison.Ordinal);
        Assert.Empty(hop.Messages);
        Assert.True((await accounts.SetSuspendedAsync(key, false, default)).IsOk);

        Assert.StartsWith("RCPT TO:<b@example.org>", Assert.Single((await hop.NextAsync()).Rcpts), StringComparison.Ordinal);
    }

    private volatile bool _isDeferring = true;

    private static async Task AddAsync(AccountAdministration accounts, string plan, string subscription, params string[] mailboxes)
    {
        Assert.True((await accounts.AddPlanAsync(plan, default)).IsOk);
        Assert.True((await accounts.AddSubscriptionAsync(subscription, new SubscriptionChange(Plan: plan), default)).IsOk);
        foreach (string domain in mailboxes.Select(static m => m[(m.IndexOf('@') + 1)..]).Distinct())
            Assert.True((await accounts.AddDomainAsync(domain, new DomainChange(Subscription: subscription), default)).IsOk);
        foreach (string mailbox in mailboxes)
            Assert.True((await accounts.AddMailboxAsync(mailbox, "secret", default)).IsOk);
    }

    private static async Task OfferAsync(TestGateway gateway, string login, string recipient, string? reversePath = null, string? from = null)
    {
        await using TestClient client = await TestClient.LogInAsync(gateway.Local, login);
        Assert.StartsWith("250 ", await client.OfferAsync($"From: {from ?? login}\r\n\r\nhello\r\n", reversePath ?? login, recipient), StringComparison.Ordinal);
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
