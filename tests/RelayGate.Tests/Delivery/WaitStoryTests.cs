using System.Net;
using RelayGate.Configuration;
using RelayGate.Core.Mail;
using RelayGate.Core.Replies;
using RelayGate.Egress;
using RelayGate.Queue;
using RelayGate.Tests.Fakes;

namespace RelayGate.Tests.Delivery;

/// <summary>What people are told of mail that waits: for what, until when, and afterwards that it did.</summary>
public sealed class WaitStoryTests
{
    private const string Blocked = "550 5.7.1 Service unavailable, Client host [203.0.113.7] blocked using zen.spamhaus.org\r\n";

    private static readonly IPAddress A = IPAddress.Parse("127.0.0.2");

    [Fact]
    public async Task The_queue_shows_the_attempts_that_were_made_what_mail_waits_for_and_when_that_ends()
    {
        await using var hop = new FakeNextHop { Script = e => e.Verb == "MAIL" ? new HopAction.Raw(Blocked) : null };
        await using DeliveryGateway gateway = Gateway(hop);

        await gateway.AcceptAsync("refused@dest.test");
        await UntilWaitingAsync(gateway, 1);
        await gateway.AcceptAsync("put-off@dest.test");
        await UntilWaitingAsync(gateway, 2);

        EgressState pause = Assert.Single(gateway.States.All());
        await DeliveryGateway.UntilAsync(async () => await gateway.Queue.Count("egress_state") == 1);
        QueueAdministration queue = gateway.Queue.NewAdministration();
        QueuePage page = (await queue.ListAsync(new QueueQuery { Filter = Filter("ip-blocked") }, null, default))!;
        Assert.Equal([("refused@dest.test", 1), ("put-off@dest.test", 0)], page.Items.Select(i => (i.Recipients[0], i.Attempts)));
        Assert.All(page.Items, item =>
        {
            Assert.Equal($"ip 127.0.0.2 {pause.Key.Provider}", item.WaitsFor);
            Assert.True(item.NextAttempt >= pause.Until!.Value.AddMilliseconds(-1), $"{item.NextAttempt} {pause.Until}"); // Not when the notice of the delay is due.
            Assert.True(item.NextAttempt <= pause.Until.Value.AddSeconds(30));
        });
        Assert.StartsWith("4.7.1 127.0.0.2 at ", page.Items[1].LastReply, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_record_tells_once_for_each_cause_that_a_message_waited_and_keeps_it()
    {
        await using var hop = new FakeNextHop();
        await using DeliveryGateway gateway = Gateway(hop);
        DateTimeOffset start = gateway.Queue.Time.GetUtcNow();
        await gateway.Control.RestAsync(A, null, null, null, "uid 0", default);

        await gateway.AcceptAsync("one@dest.test");
        await DeliveryGateway.UntilAsync(async () => await gateway.Queue.Count("recipient", "waits_for = 'ip 127.0.0.2'") == 1);
        Assert.Null(Assert.Single((await gateway.Queue.NewAdministration().ListAsync(new QueueQuery(), null, default))!.Items).NextAttempt);
        gateway.Queue.Time.Advance(TimeSpan.FromSeconds(1)); // What is told is told apart by its time.
        await gateway.Queue.Destinations.SuspendAsync(WaitKey.To("dest.test"), "uid 0", default);
        await gateway.Control.ResumeAsync(A, null, null, "uid 0", default);
        await AdvanceUntilAsync(gateway, async () => await gateway.Queue.Count("recipient", "waits_for = 'to dest.test'") == 1);
        gateway.Queue.Time.Advance(TimeSpan.FromSeconds(1));
        await gateway.Control.RestAsync(A, null, null, null, "uid 0", default);
        await gateway.Queue.Destinations.ResumeAsync(WaitKey.To("dest.test"), "uid 0", default);
        await AdvanceUntilAsync(gateway, async () => await gateway.Queue.Count("recipient", "waits_for = 'ip 127.0.0.2'") == 1);
        await gateway.Control.ResumeAsync(A, null, null, "uid 0", default);
        await AdvanceUntilAsync(gateway, async () => await gateway.Queue.Count("message") == 0);

        var log = new MessageLog(gateway.Queue.Store, gateway.Queue.Writer.Feed);
        string named = (await log.ListAsync(new MessageQuery(), null, default))!.Items[^1].Ref;
        MessageRecord record = (await log.ShowAsync(QueueId.TryParse(named, out QueueId id) ? id : default, null, default))!;
        Assert.Equal([("put-off", "ip 127.0.0.2"), ("put-off", "to dest.test"), ("end-of-data", null)], record.Attempts.Select(a => (a.Stage, a.WaitsFor)));
        Assert.Equal(("deferred", "4.3.2"), (record.Attempts[0].Results[0].Result, record.Attempts[0].Results[0].Status));
        Assert.Equal(1, Assert.Single(record.States).Attempts);
        Assert.True(start <= record.Attempts[0].At);
    }

    [Fact]
    public async Task A_rest_with_an_end_is_shown_with_that_end()
    {
        await using var hop = new FakeNextHop();
        await using DeliveryGateway gateway = Gateway(hop);
        DateTimeOffset end = gateway.Queue.Time.GetUtcNow().AddHours(9);
        await gateway.Control.RestAsync(A, TimeSpan.FromHours(9), null, null, "uid 0", default);

        await gateway.AcceptAsync("one@dest.test");
        await DeliveryGateway.UntilAsync(async () => await gateway.Queue.Count("recipient", "waits_for = 'ip 127.0.0.2'") == 1);

        QueueItem item = Assert.Single((await gateway.Queue.NewAdministration().ListAsync(new QueueQuery(), null, default))!.Items);
        Assert.Equal(end.ToUnixTimeMilliseconds(), item.NextAttempt!.Value.ToUnixTimeMilliseconds());
        Assert.Equal(end.ToUnixTimeMilliseconds(), (await gateway.Queue.NewAdministration().ShowAsync(QueueId.TryParse(item.Ref, out QueueId id) ? id : default, null, default))!.Recipients[0].NextAttempt!.Value.ToUnixTimeMilliseconds());
    }

    private static QueueFilter Filter(string reason) => new() { Reason = reason };

    private static DeliveryGateway Gateway(FakeNextHop hop) => new(hop, options => options.Delivery.Retry.DelayNoticeAfter = TimeSpan.FromMinutes(10));

    private static Task UntilWaitingAsync(DeliveryGateway gateway, int recipients) =>
        DeliveryGateway.UntilAsync(async () => await gateway.Queue.Count("recipient", "waits_for is not null") == recipients);

    private static async Task AdvanceUntilAsync(DeliveryGateway gateway, Func<Task<bool>> condition)
    {
        for (int i = 0; i < 300 && !await condition(); i++)
        {
            gateway.Queue.Time.Advance(TimeSpan.FromSeconds(1));
            await Task.Delay(20);
        }
        Assert.True(await condition());
    }
}
