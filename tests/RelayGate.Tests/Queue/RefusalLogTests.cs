using System.Collections.Immutable;
using RelayGate.Core.Replies;
using RelayGate.Queue;
using RelayGate.Tests.Delivery;
using RelayGate.Tests.Fakes;

namespace RelayGate.Tests.Queue;

/// <summary>The evidence: refusals by class, words and time, one by one and in groups.</summary>
public sealed class RefusalLogTests
{
    // Not about our address: that would pause after the first refusal.
    private const string Blocked = "450 4.7.1 Service unavailable; Sender address [info@acme.test] blocked using dbl.spamhaus.org; https://www.spamhaus.org/query/domain/acme.test";

    [Fact]
    public async Task Refusals_are_found_by_class_words_and_domain_and_counted_by_what_they_share()
    {
        await using var hop = new FakeNextHop { Script = e => e.Verb != "RCPT" ? null : e.Line.Contains("no@", StringComparison.Ordinal) ? Raw("550 5.1.1 No such user") : e.Line.Contains("yes@", StringComparison.Ordinal) || e.Line.Contains("acme.test", StringComparison.Ordinal) ? null : Raw(Blocked) };
        await using var gateway = new DeliveryGateway(hop, o => o.Delivery.Retry.First = TimeSpan.FromHours(1));
        await gateway.AcceptAsync("a1@one.test", "no@one.test");
        await gateway.AcceptAsync("a2@one.test");
        await gateway.AcceptAsync("a3@two.test", "a4@two.test");
        await gateway.AcceptAsync("yes@one.test", "no@one.test");
        await DeliveryGateway.UntilAsync(async () => await gateway.Queue.Count("attempt", "results like '%one.test%' or results like '%two.test%'") == 4);
        var log = new RefusalLog(gateway.Queue.Store);

        RefusalPage blocked = (await log.ListAsync(new RefusalQuery { Class = ReplyClass.DomainReputation }, null, default))!;
        RefusalPage words = (await log.ListAsync(new RefusalQuery { Words = ["blacklist", "SPAMHAUS"], RecipientDomain = "two.test" }, null, default))!;
        RefusalGroups groups = (await log.GroupAsync(new RefusalQuery { List = "dbl.spamhaus.org" }, [RefusalKey.Ip, RefusalKey.Class, RefusalKey.Domain], null, default))!;

        Assert.Equal(3, blocked.Items.Length);
        Assert.All(blocked.Items, item => Assert.Equal(("127.0.0.2", "rcpt", "dbl.spamhaus.org", "https://www.spamhaus.org/query/domain/acme.test", "deferred", "4.7.1"), (item.Ip, item.Stage, item.List, item.Url, item.Result, item.Status)));
        Assert.Equal(("a3@two.test", 2), (Assert.Single(words.Items).Recipient, words.Items[0].Recipients));
        Assert.True(groups.IsComplete);
        Assert.Equal([("127.0.0.2 domain-reputation one.test", 2L, 2L), ("127.0.0.2 domain-reputation two.test", 1L, 2L)], groups.Items.Select(g => (string.Join(' ', g.Values), g.Attempts, g.Recipients)));
        Assert.Contains("a3@two.test", words.Items[0].Recipient, StringComparison.Ordinal);
        Assert.Equal("invalid-recipient", Assert.Single((await log.ListAsync(new RefusalQuery { Class = ReplyClass.InvalidRecipient, RecipientDomain = "one.test" }, null, default))!.Items).Class);

        MessageRecord record = (await new MessageLog(gateway.Queue.Store, gateway.Queue.Writer.Feed).ShowAsync(RelayGate.Core.Mail.QueueId.TryParse(words.Items[0].Ref, out var id) ? id : default, null, default))!;
        Assert.Equal(("domain-reputation", "dbl.spamhaus.org", "list-of-domains"), (record.Attempts[0].Results[1].Class, record.Attempts[0].Results[1].List, record.Attempts[0].Results[1].Rule));
    }

    [Fact]
    public async Task Pages_follow_each_other_by_key_and_a_subscription_sees_its_own()
    {
        await using var hop = new FakeNextHop { Script = e => e.Verb == "RCPT" ? Raw(Blocked) : null };
        await using var gateway = new DeliveryGateway(hop, o => o.Delivery.Retry.First = TimeSpan.FromHours(1));
        for (int i = 0; i < 5; i++)
            await gateway.AcceptAsync($"a{i}@one.test");
        await DeliveryGateway.UntilAsync(async () => await gateway.Queue.Count("attempt") == 5);
        var log = new RefusalLog(gateway.Queue.Store);

        var seen = new List<string>();
        foreach (ReplyClass? about in new ReplyClass?[] { ReplyClass.DomainReputation, null })
        {
            string? cursor = null;
            seen.Clear();
            do
            {
                RefusalPage page = (await log.ListAsync(new RefusalQuery { Class = about, Limit = 2, Cursor = cursor }, "acme", default))!;
                seen.AddRange(page.Items.Select(i => i.Ref));
                cursor = page.NextCursor;
            }
            while (cursor is not null);
            Assert.Equal(5, seen.Distinct().Count());
            Assert.Equal(5, seen.Count);
        }
        Assert.Empty((await log.ListAsync(new RefusalQuery(), "other", default))!.Items);
        Assert.Empty((await log.ListAsync(new RefusalQuery { Subscription = "acme" }, "other", default))!.Items);
        Assert.Empty((await log.GroupAsync(new RefusalQuery(), [RefusalKey.Ip], "other", default))!.Items);
        Assert.Empty((await log.ListAsync(new RefusalQuery { MessagesSince = DateTimeOffset.MaxValue }, "acme", default))!.Items);
        Assert.Empty((await log.ListAsync(new RefusalQuery { Since = gateway.Queue.Time.GetUtcNow().AddHours(1) }, null, default))!.Items);
        Assert.Empty((await log.ListAsync(new RefusalQuery { Until = gateway.Queue.Time.GetUtcNow().AddHours(-1) }, null, default))!.Items);
        Assert.Null(await log.ListAsync(new RefusalQuery { Cursor = "nonsense" }, null, default));
    }

    private static HopAction.Raw Raw(string reply) => new(reply + "\r\n");
}
