using RelayGate.Accounts;
using RelayGate.Core.Notices;
using RelayGate.Notices;
using RelayGate.Queue;
using RelayGate.Tests.Fakes;
using RelayGate.Tests.Submission;

namespace RelayGate.Tests.Delivery;

/// <summary>In whose name the gateway writes itself, and whose key signs it: the server's, else the sender's own, never another's.</summary>
public sealed class OwnMailOriginTests
{
    [Theory]
    [InlineData("", "relay.test", null)]
    [InlineData("shop.test=acme", "shop.test", "shop.test")]
    [InlineData("shop.test=acme relay.test=system", "relay.test", "relay.test")]
    [InlineData("relay.test=other", "relay.test", null)] // Hosted by a customer: his key is not the server's.
    [InlineData("shop.test=acme relay.test=other", "shop.test", "shop.test")]
    [InlineData("test.test=acme", "relay.test", null)] // A key of a domain that has no part in the message.
    public async Task A_report_is_signed_by_the_servers_key_or_by_the_senders_own(string keys, string from, string? signer)
    {
        await using var hop = new FakeNextHop { Script = Refuse };
        await using TestGateway gateway = await TestGateway.StartAsync(hop.Url);
        await AddAccountsAsync(gateway, keys);

        await using TestClient client = await TestClient.LogInAsync(gateway.Local);
        Assert.StartsWith("250", await client.OfferAsync("From: info@shop.test\r\nSubject: hello\r\n\r\nHello."), StringComparison.Ordinal);
        ReceivedMessage dsn = await hop.NextAsync();

        Assert.Equal("RCPT TO:<info@shop.test> NOTIFY=NEVER", dsn.Rcpts[0]);
        Assert.Contains($"\r\nFrom: Mail Delivery System <MAILER-DAEMON@{from}>\r\n", "\r\n" + dsn.Text, StringComparison.Ordinal);
        AssertSigned(dsn, signer);
        MessageItem item = (await gateway.Get<MessageLog>().ListAsync(new MessageQuery(), null, default))!.Items.Single(i => i.Kind == RelayGate.Queue.RecordKind.Dsn);
        Assert.True(Core.Mail.QueueId.TryParse(item.Ref, out Core.Mail.QueueId id));
        MessageRecord record = (await gateway.Get<MessageLog>().ShowAsync(id, null, default))!;
        Assert.Equal(signer is null ? "" : $"d={signer} s=k", string.Join(", ", record.Signatures));
    }

    [Fact]
    public async Task A_report_to_a_sender_of_another_subscription_or_of_none_has_no_key_of_theirs()
    {
        await using var hop = new FakeNextHop { Script = Refuse };
        await using TestGateway gateway = await TestGateway.StartAsync(hop.Url, o => o.Sender.Login = Core.Policy.SenderMode.Trust);
        await AddAccountsAsync(gateway, "other.test=other");

        await using TestClient client = await TestClient.LogInAsync(gateway.Local);
        Assert.StartsWith("250", await client.OfferAsync("From: info@shop.test\r\nSubject: hello\r\n\r\nHello.", "bounces@elsewhere.example"), StringComparison.Ordinal);
        ReceivedMessage dsn = await hop.NextAsync();

        Assert.Equal("RCPT TO:<bounces@elsewhere.example> NOTIFY=NEVER", dsn.Rcpts[0]);
        AssertSigned(dsn, null);
    }

    [Theory]
    [InlineData("relay.test=system", "relay.test")]
    [InlineData("relay.test=other", null)]
    [InlineData("", null)]
    public async Task A_notice_is_signed_by_the_servers_key(string keys, string? signer)
    {
        await using var hop = new FakeNextHop();
        await using TestGateway gateway = await TestGateway.StartAsync(hop.Url);
        await AddAccountsAsync(gateway, keys);

        gateway.Get<NoticeBoard>().Raise(new Notice { Kind = NoticeKind.Exceeded, Level = "domain", Name = "shop.test", Subscription = "acme", Limit = "200/h" });
        ReceivedMessage mail = await hop.NextAsync();

        Assert.Contains("\r\nFrom: RelayGate <relaygate@relay.test>\r\n", "\r\n" + mail.Text, StringComparison.Ordinal);
        AssertSigned(mail, signer);
    }

    private static HopAction.Raw? Refuse(HopEvent e) =>
        e.Verb == "RCPT" && e.Line.Contains("<ann@", StringComparison.Ordinal) ? new HopAction.Raw("550 5.1.1 No such user\r\n") : null;

    private static void AssertSigned(ReceivedMessage mail, string? signer)
    {
        string header = mail.Text[..mail.Text.IndexOf("\r\n\r\n", StringComparison.Ordinal)];
        if (signer is null)
            Assert.DoesNotContain("DKIM-Signature:", header, StringComparison.Ordinal);
        else
            Assert.StartsWith($"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;\r\n\td={signer}; s=k;", header, StringComparison.Ordinal);
    }

    /// <param name="keys">Domains with a key, and whose they are.</param>
    private static async Task AddAccountsAsync(TestGateway gateway, string keys)
    {
        AccountAdministration accounts = gateway.Get<AccountAdministration>();
        Assert.True((await accounts.AddPlanAsync("basic", default)).IsOk);
        foreach (string name in (string[])["acme", "other"])
            Assert.True((await accounts.AddSubscriptionAsync(name, new SubscriptionChange(Plan: "basic"), default)).IsOk);
        Assert.True((await accounts.AddDomainAsync("shop.test", new DomainChange(Subscription: "acme"), default)).IsOk);
        Assert.True((await accounts.AddMailboxAsync("info@shop.test", "secret", default)).IsOk);
        foreach (string[] key in keys.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(static k => k.Split('=')))
        {
            if (key[0] != "shop.test")
                Assert.True((await accounts.AddDomainAsync(key[0], new DomainChange(Subscription: key[1]), default)).IsOk);
            Assert.True((await accounts.CreateKeyAsync(key[0], "k", null, default)).IsOk);
        }
    }
}
