using System.Net;
using RelayGate.Accounts;
using RelayGate.Core.Policy;

namespace RelayGate.Tests.Submission;

/// <summary>What each kind of identity may send as, over the wire.</summary>
public class IdentityTests
{
    private const string Message = "From: info@shop.test\r\nSubject: x\r\n\r\nbody";

    [Theory]
    [InlineData("someone@elsewhere.test")]
    [InlineData("")]
    public async Task A_network_without_subscription_sends_only_for_domains_hosted_here(string sender)
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        Assert.True((await host.Administration.AddNetworkAsync("203.0.113.0/24", null, false, false, default)).IsOk);
        await using TestClient client = host.ConnectFrom(IPAddress.Parse("203.0.113.9"));
        await client.GreetAsync();
        TestClient.RefOf(await client.CommandAsync($"MAIL FROM:<{sender}>", "530 5.7.0"));
        Assert.StartsWith("250 2.0.0", await client.OfferAsync(Message), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(false, "550 5.7.1")]
    [InlineData(true, "250 2.0.0")]
    public async Task Only_a_network_that_is_trusted_with_all_may_write_for_other_subscriptions(bool trustsAll, string reply)
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        Assert.True((await host.Administration.AddNetworkAsync("203.0.113.0/24", "acme", false, trustsAll, default)).IsOk);
        await using TestClient client = host.ConnectFrom(IPAddress.Parse("203.0.113.9"));
        await client.GreetAsync();

        Assert.StartsWith(reply, await client.OfferAsync("From: a@other.test\r\n\r\nx", "info@shop.test"), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(false, "451 4.7.1")]
    [InlineData(true, "250 2.1.0")]
    public async Task An_exempt_network_is_counted_and_not_stopped(bool isExempt, string second)
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        Assert.True((await host.Administration.SetLimitAsync(new AccountKey(Level.Subscription, "acme"), null, "1/h", null, default)).IsOk);
        Assert.True((await host.Administration.AddNetworkAsync("203.0.113.0/24", "acme", isExempt, false, default)).IsOk);
        await using TestClient client = host.ConnectFrom(IPAddress.Parse("203.0.113.9"));
        await client.GreetAsync();
        Assert.StartsWith("250 2.0.0", await client.OfferAsync(Message), StringComparison.Ordinal);

        await client.CommandAsync("MAIL FROM:<info@shop.test>", second);
    }

    [Theory]
    [InlineData("1/h", "550 5.7.1", OverLimitAction.Reject)]
    [InlineData("1/d", "451 4.7.1", OverLimitAction.Refuse)]
    public async Task A_full_limit_answers_as_it_was_set(string limit, string reply, OverLimitAction action)
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        Assert.True((await host.Administration.SetLimitAsync(new AccountKey(Level.Mailbox, "info@shop.test"), null, limit, action, default)).IsOk);
        await using TestClient client = await TestClient.LogInAsync(host.Local);
        Assert.StartsWith("250 2.0.0", await client.OfferAsync(Message), StringComparison.Ordinal);
        await client.CommandAsync("MAIL FROM:<info@shop.test>", reply);
    }

    [Theory]
    [InlineData(null, null, "250", "info@shop.test")] // Correct, by the configuration.
    [InlineData("reject", null, "553 5.7.1", null)]
    [InlineData("trust", null, "250", "x@elsewhere.test")]
    [InlineData("reject", "trust", "250", "x@elsewhere.test")] // The domain of the login says more than its subscription.
    [InlineData("trust", "reject", "553 5.7.1", null)]
    public async Task Sender_modes_of_subscription_and_domain_hold(string? subscription, string? domain, string reply, string? leavesAs)
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        Assert.True((await host.Administration.SetSubscriptionAsync("acme", new(SenderMode: subscription), default)).IsOk);
        Assert.True((await host.Administration.SetDomainAsync("shop.test", new(SenderMode: domain), default)).IsOk);
        await using TestClient client = await TestClient.LogInAsync(host.Local);
        await client.CommandAsync("MAIL FROM:<x@elsewhere.test>", reply);
        if (leavesAs is null)
            return;
        await client.CommandAsync("RCPT TO:<ann@example.net>", "250");
        await client.CommandAsync("DATA", "354");
        await client.CommandAsync(Message + "\r\n.", "250 2.0.0");
        Assert.Equal([leavesAs], await host.QueryAsync("select reverse_path from message", row => row.GetString(0)));
    }

    [Fact]
    public async Task Mail_that_loops_is_refused()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        await using TestClient client = await TestClient.LogInAsync(host.Local);
        string received = string.Concat(Enumerable.Repeat("Received: from a by b\r\n", 101));
        Assert.StartsWith("554 5.4.6", await client.OfferAsync(received + Message), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Bcc_is_dropped_from_chunks_too()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        await using TestClient client = await TestClient.LogInAsync(host.Local);
        await client.CommandAsync("MAIL FROM:<info@shop.test>", "250");
        await client.CommandAsync("RCPT TO:<ann@example.net>", "250");
        string message = "From: info@shop.test\r\nBcc: secret@example.net\r\n\r\nx\r\n";
        string reply = await client.CommandAsync($"BDAT {message.Length} LAST\r\n{message[..^2]}", "250 2.0.0");

        Assert.DoesNotContain("secret@example.net", await host.ContentAsync(TestClient.RefOf(reply)), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_changed_password_counts_at_once()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        await using (TestClient first = await TestClient.LogInAsync(host.Local)) // Is remembered now.
            Assert.True((await host.Administration.SetMailboxAsync("info@shop.test", new("another"), default)).IsOk);
        await using TestClient second = await TestClient.GreetAsync(host.Local);
        Assert.StartsWith("535 5.7.8", await host.AdvanceUntilAsync(second.CommandAsync(TestClient.AuthPlain("info@shop.test", "secret"))), StringComparison.Ordinal);
        await second.LogInAsync(password: "another");
    }

    [Theory]
    [InlineData(Level.Mailbox, "info@shop.test", true)]
    [InlineData(Level.Mailbox, "info@shop.test", false)]
    [InlineData(Level.Plan, "basic", true)]
    [InlineData(Level.Plan, "basic", false)]
    public async Task A_suspension_stops_a_transaction_at_its_next_command(Level level, string name, bool isBeforeRcpt)
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        await using TestClient client = await TestClient.LogInAsync(host.Local);
        await client.CommandAsync("MAIL FROM:<info@shop.test>", "250");
        if (!isBeforeRcpt)
            await client.CommandAsync("RCPT TO:<ann@example.net>", "250");

        Assert.True((await host.Administration.SetSuspendedAsync(new AccountKey(level, name), true, default)).IsOk);

        if (isBeforeRcpt)
            await client.CommandAsync("RCPT TO:<ann@example.net>", "550 5.7.1");
        await client.CommandAsync("DATA", "550 5.7.1");
        Assert.True((await host.Administration.SetSuspendedAsync(new AccountKey(level, name), false, default)).IsOk);
        Assert.StartsWith("250 2.0.0", await client.OfferAsync(Message), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Too_many_recipients_for_a_domain_that_only_the_From_field_tells_are_refused_for_good()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        Assert.True((await host.Administration.SetLimitAsync(new AccountKey(Level.Domain, "shop.test"), null, new LimitChange(MaxRecipients: 2), default)).IsOk);
        await using TestClient client = await TestClient.GreetAsync(host.Unix);
        await client.CommandAsync("MAIL FROM:<www>", "250"); // No -f.
        for (int i = 0; i < 3; i++)
            await client.CommandAsync($"RCPT TO:<to{i}@example.net>", "250");
        await client.CommandAsync("DATA", "354");

        await client.CommandAsync(Message + "\r\n.", "550 5.5.3");
    }

    [Fact]
    public async Task A_shared_uid_sends_as_whom_the_domain_says_and_the_record_says_claimed()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        await host.ExecuteAsync("update system_user set shared = 1");
        await using TestClient client = await TestClient.GreetAsync(host.Unix);
        Assert.StartsWith("250 2.0.0", await client.OfferAsync("From: a@other.test\r\n\r\nx", "a@other.test"), StringComparison.Ordinal);

        Assert.Equal([("other", true)], await host.QueryAsync(
            "select subscription, detail from decision", row => (row.GetString(0), row.GetString(1).Contains("\"claimed\":true", StringComparison.Ordinal))));
    }
}
