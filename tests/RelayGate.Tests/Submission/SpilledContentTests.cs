using System.Text;
using RelayGate.Accounts;
using RelayGate.Submission;
using RelayGate.Tests.Fakes;

namespace RelayGate.Tests.Submission;

/// <summary>Content that went to the store in pieces, because it was large or memory short, reaches the next hop octet for octet.</summary>
public class SpilledContentTests
{
    [Theory]
    [InlineData(3, false)]
    [InlineData(20_000, false)]
    [InlineData(20_000, true)]
    [InlineData(70_000, false)]
    [InlineData(70_000, true)]
    public async Task A_message_taken_while_memory_was_short_is_delivered(int lines, bool chunking)
    {
        await using var hop = new FakeNextHop();
        if (chunking)
            hop.Extensions.Add("CHUNKING");
        await using TestGateway gateway = await TestGateway.StartAsync(hop.Url);
        AccountAdministration accounts = gateway.Get<AccountAdministration>();
        Assert.True((await accounts.AddPlanAsync("basic", default)).IsOk);
        Assert.True((await accounts.AddSubscriptionAsync("acme", new SubscriptionChange(Plan: "basic"), default)).IsOk);
        Assert.True((await accounts.AddDomainAsync("shop.test", new DomainChange(Subscription: "acme"), default)).IsOk);
        Assert.True((await accounts.AddMailboxAsync("info@shop.test", "secret", default)).IsOk);
        string body = string.Concat(Enumerable.Range(0, lines).Select(i => $"line {i}\r\n"));

        Assert.True(gateway.Get<SubmissionService>().ContentMemory.TryTake(SubmissionLimits.ContentMemory / 2)); // All that large messages may have.
        await using TestClient client = await TestClient.LogInAsync(gateway.Local);
        Assert.StartsWith("250 2.0.0", await client.OfferAsync("From: info@shop.test\r\n\r\n" + body[..^2]), StringComparison.Ordinal);

        ReceivedMessage message = await hop.NextAsync();
        Assert.EndsWith("\r\n\r\n" + body, Encoding.Latin1.GetString(message.Content), StringComparison.Ordinal);
    }
}
