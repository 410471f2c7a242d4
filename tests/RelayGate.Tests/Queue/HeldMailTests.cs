using System.Diagnostics;
using System.Net;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Queue;

namespace RelayGate.Tests.Queue;

/// <summary>Mail over a limit that holds: taken, counted at release, released by itself, oldest first and in turn.</summary>
public sealed class HeldMailTests : IDisposable
{
    private readonly QueueFixture _queue = new();
    private readonly Dictionary<string, string> _limits = [];
    private readonly Dictionary<string, OverLimitAction> _actions = [];
    private HoldReleaser? _releaser;

    public HeldMailTests()
    {
        _queue.MailLog.Start();
        _queue.AccountOf = identity => Account(identity.Name);
    }

    [Fact]
    public async Task What_is_over_the_limit_is_taken_counts_nothing_and_goes_when_the_window_has_room()
    {
        Hold("mailbox info@acme.test", "2/h");
        Start();
        QueueId[] ids = [await OfferAsync("info@acme.test"), await OfferAsync("info@acme.test"), await OfferAsync("info@acme.test"), await OfferAsync("info@acme.test")];

        Assert.Equal(2, await _queue.Count("message", "held = 4"));
        Assert.Equal(2, await UsedAsync("info@acme.test"));
        MessageRecord held = (await RecordAsync(ids[2]))!;
        Assert.Equal((Verdict.Hold, RecordOutcome.Held, Reasons.LimitReached), (held.Verdict, held.Outcome, held.Reason));
        Assert.StartsWith("250 2.0.0 Held: mailbox info@acme.test hourly limit 2/2 messages, released about ", held.Reply, StringComparison.Ordinal);

        _queue.Time.Advance(TimeSpan.FromMinutes(59));
        await _queue.Writer.WriteAsync(_ => 0);
        Assert.Equal(2, await _queue.Count("message", "held = 4"));
        _queue.Time.Advance(TimeSpan.FromMinutes(2));
        await UntilHeldAsync(0);

        Assert.Equal(2, await UsedAsync("info@acme.test"));
        Assert.Equal(RecordOutcome.Queued, (await RecordAsync(ids[3]))!.Outcome);
        Assert.Equal([("released", "the gateway")], (await RecordAsync(ids[2]))!.Orders.Select(static o => (o.What, o.By)));
    }

    [Fact]
    public async Task A_release_by_hand_may_exceed_the_limit_and_is_counted_and_recorded()
    {
        Hold("mailbox info@acme.test", "1/h");
        await OfferAsync("info@acme.test");
        QueueId held = await OfferAsync("info@acme.test");

        QueueOrderResult released = await _queue.NewAdministration().ReleaseAsync(QueueSelection.Of(held), dryRun: false, null, default, "uid 0");

        Assert.Equal(1, released.Count);
        Assert.Equal(2, await UsedAsync("info@acme.test"));
        Assert.Equal(0, _queue.Usage.Holds.Total);
        Assert.Equal([("released", "uid 0")], (await RecordAsync(held))!.Orders.Select(static o => (o.What, o.By)));
    }

    private void Hold(string key, string limit)
    {
        _limits[key] = limit;
        _actions[key] = OverLimitAction.Hold;
    }

    private void Start() => _releaser = _queue.NewReleaser();

    private SenderAccount Account(string mailbox)
    {
        string domain = mailbox[(mailbox.IndexOf('@') + 1)..], subscription = domain[..domain.IndexOf('.')];
        AccountKey[] keys =
        [
            AccountKey.Server, new(Level.Plan, "basic"), new(Level.Subscription, subscription), new(Level.Domain, domain), new(Level.Mailbox, mailbox),
        ];
        return _queue.Account(subscription) with
        {
            Identity = new SenderIdentity(IdentityKind.Login, mailbox, IPAddress.Loopback),
            Mailbox = MailboxAddress.Parse(mailbox),
            Levels = [.. keys.Select(LevelOf)],
        };
    }

    private LevelLimit LevelOf(AccountKey key)
    {
        Assert.True(LimitSet.TryParse(_limits.GetValueOrDefault(key.ToString(), "unlimited"), out LimitSet? limits));
        return new LevelLimit(key, limits, "own", _actions.GetValueOrDefault(key.ToString()));
    }

    private async Task<QueueId> OfferAsync(string mailbox, params string[] recipients)
    {
        OfferedMessage message = _queue.Message(Account(mailbox), recipients);
        OfferResult result = await _queue.OfferAsync(message);
        Assert.Equal(OfferOutcome.Committed, result.Outcome);
        return message.Id;
    }

    private async Task<long> UsedAsync(string mailbox)
    {
        UsageView view = await _queue.Usage.SnapshotAsync([new AccountKey(Level.Mailbox, mailbox)], default);
        return view.Rings[0].Used(LimitUnit.Messages, LimitWindow.Hour, view.Now);
    }

    private Task<MessageRecord?> RecordAsync(QueueId id) => new MessageLog(_queue.Store, _queue.Writer.Feed).ShowAsync(id, null, default);

    private async Task UntilHeldAsync(long count)
    {
        long started = Stopwatch.GetTimestamp();
        while (await _queue.Count("message", "held = 4") != count)
        {
            Assert.True(Stopwatch.GetElapsedTime(started) < TimeSpan.FromSeconds(10), "what is held does not change");
            await Task.Yield();
        }
    }

    public void Dispose()
    {
        _releaser?.Dispose();
        _queue.Dispose();
    }
}
