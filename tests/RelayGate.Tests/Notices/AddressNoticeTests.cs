using RelayGate.Accounts;
using RelayGate.Tests.Fakes;
using RelayGate.Tests.Submission;

namespace RelayGate.Tests.Notices;

/// <summary>What people are told of an address that a provider refuses, through a whole gateway.</summary>
public sealed class AddressNoticeTests
{
    [Fact]
    public async Task The_end_of_a_pause_is_told_to_those_who_were_told_of_its_begin()
    {
        bool isBlocked = true;
        await using var hop = new FakeNextHop();
        hop.Script = e => Volatile.Read(ref isBlocked) && e.Verb == "MAIL" && e.Line.Contains("info@shop.test", StringComparison.Ordinal)
            ? new HopAction.Raw("554 5.7.1 Client host [127.0.0.11] blocked using zen.spamhaus.org\r\n") : null;
        var time = new ManualTimeProvider();
        await using TestGateway gateway = await TestGateway.StartAsync(hop.Url, o => o.Egress.IPv4 = "127.0.0.9", time);
        AccountAdministration accounts = gateway.Get<AccountAdministration>();
        Assert.True((await accounts.AddSubscriptionAsync("acme", new SubscriptionChange(IPv4: "127.0.0.11", Contact: "owner@shop.test"), default)).IsOk);
        Assert.True((await accounts.AddDomainAsync("shop.test", new DomainChange(Subscription: "acme"), default)).IsOk);
        Assert.True((await accounts.AddMailboxAsync("info@shop.test", "secret", default)).IsOk);
        await using (TestClient client = await TestClient.LogInAsync(gateway.Local))
            await client.OfferAsync("From: info@shop.test\r\n\r\nhello\r\n");
        string[] told = [ReceiverOf(await hop.NextAsync()), ReceiverOf(await hop.NextAsync())];
        Assert.Equal(["owner@shop.test", "postmaster@relay.test"], told.Order());

        Volatile.Write(ref isBlocked, false);
        for (int i = 0; i < 100 && hop.Messages.Count(IsEnd) < 2; i++)
        {
            time.Advance(TimeSpan.FromMinutes(5)); // The pause is of two hours and some minutes, and good news wait for the digest.
            await Task.Delay(50);
        }

        ReceivedMessage[] ends = [.. hop.Messages.Where(IsEnd)];
        Assert.Equal(told.Order(), ends.Select(ReceiverOf).Order());
        Assert.All(ends, static mail =>
        {
            Assert.Contains("ip-recovered: address 127.0.0.11 at ", mail.Text, StringComparison.Ordinal);
            Assert.Contains("relaygate ip show 127.0.0.11", mail.Text, StringComparison.Ordinal);
        });
        Assert.Contains(hop.Messages, static mail => mail.Mail.Contains("info@shop.test", StringComparison.Ordinal));

        static bool IsEnd(ReceivedMessage mail) => mail.Text.Contains("is refused no more. The mail that waited for it goes on.", StringComparison.Ordinal);
        static string ReceiverOf(ReceivedMessage mail) => mail.Rcpts[0].Split('<', '>')[1];
    }
}
