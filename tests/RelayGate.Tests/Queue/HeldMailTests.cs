using System.Collections.Immutable;
using System.Diagnostics;
using System.Net;
using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Queue;

namespace RelayGate.Tests.Queue;

/// <summary>Mail over a limit that holds: taken, counted at release, released by itself, oldest first and in turn.</summary>
public sealed class HeldMailTests : IDisposable
{
    private readonly HoldRig _rig = new();

    [Fact]
    public async Task What_is_over_the_limit_is_taken_counts_nothing_and_goes_when_the_window_has_room()
    {
        _rig.Limit("mailbox info@acme.test", "2/h");
        _rig.Start();
        QueueId[] ids = [await _rig.TakeAsync("info@acme.test"), await _rig.TakeAsync("info@acme.test"), await _rig.TakeAsync("info@acme.test"), await _rig.TakeAsync("info@acme.test")];

        Assert.Equal(2, await _rig.Queue.Count("message", "held = 4"));
        Assert.Equal(2, await _rig.UsedAsync(new(Level.Mailbox, "info@acme.test")));
        MessageRecord held = await _rig.RecordAsync(ids[2]);
        Assert.Equal((Verdict.Hold, RecordOutcome.Held, Reasons.LimitReached), (held.Verdict, held.Outcome, held.Reason));
        Assert.Equal("250 2.0.0 Held: mailbox info@acme.test hourly limit 2/2 messages, released about 13:01 UTC", held.Reply);

        await _rig.AdvanceAsync(TimeSpan.FromMinutes(60));
        Assert.Equal(2, await _rig.Queue.Count("message", "held = 4"));
        await _rig.AdvanceAsync(TimeSpan.FromMinutes(1));

        Assert.Equal(0, await _rig.Queue.Count("message", "held <> 0"));
        Assert.Equal(2, await _rig.UsedAsync(new(Level.Mailbox, "info@acme.test")));
        Assert.Equal(RecordOutcome.Queued, (await _rig.RecordAsync(ids[3])).Outcome);
        Assert.Equal([("released", "the gateway")], (await _rig.RecordAsync(ids[2])).Orders.Select(static o => (o.What, o.By)));
    }

    [Fact]
    public async Task A_release_by_hand_may_exceed_the_limit_and_is_counted_and_recorded()
    {
        _rig.Limit("mailbox info@acme.test", "1/h");
        await _rig.TakeAsync("info@acme.test");
        QueueId held = await _rig.TakeAsync("info@acme.test");

        QueueOrderResult released = await _rig.Queue.NewAdministration().ReleaseAsync(QueueSelection.Of(held), dryRun: false, null, default, "uid 0");

        Assert.Equal(1, released.Count);
        Assert.Equal(2, await _rig.UsedAsync(new(Level.Mailbox, "info@acme.test")));
        Assert.Equal(0, _rig.Queue.Usage.Holds.Total);
        Assert.Equal([("released", "uid 0")], (await _rig.RecordAsync(held)).Orders.Select(static o => (o.What, o.By)));
    }

    [Fact]
    public async Task What_was_held_by_hand_before_it_counted_counts_when_it_is_released()
    {
        _rig.Limit("mailbox info@acme.test", "1/h");
        await _rig.TakeAsync("info@acme.test");
        QueueSelection held = QueueSelection.Of(await _rig.TakeAsync("info@acme.test"));
        QueueAdministration orders = _rig.Queue.NewAdministration();

        await orders.HoldAsync(held, dryRun: false, null, default);
        _rig.Start();
        await _rig.AdvanceAsync(TimeSpan.FromHours(2));
        Assert.Equal(1, await _rig.Queue.Count("message", "held = 2"));
        await orders.ReleaseAsync(held, dryRun: false, null, default);

        Assert.Equal(1, await _rig.UsedAsync(new(Level.Mailbox, "info@acme.test")));
    }

    [Fact]
    public async Task Senders_take_turns_at_a_level_each_with_its_oldest_also_over_a_restart()
    {
        _rig.Limit("domain acme.test", "3/h");
        _rig.Start();
        for (int i = 0; i < 3; i++)
            await _rig.TakeAsync("full@acme.test");
        QueueId[] many = [await _rig.TakeAsync("a@acme.test"), await _rig.TakeAsync("a@acme.test"), await _rig.TakeAsync("a@acme.test"), await _rig.TakeAsync("a@acme.test")];
        QueueId[] few = [await _rig.TakeAsync("b@acme.test"), await _rig.TakeAsync("b@acme.test")];
        QueueId last = await _rig.TakeAsync("c@acme.test");

        await _rig.AdvanceAsync(TimeSpan.FromMinutes(61));
        Assert.Equal([many[0], few[0], last], await _rig.ReleasedAsync([.. many, .. few, last]));
        await _rig.RestartAsync(TimeSpan.FromMinutes(61));
        Assert.Equal([many[0], many[1], many[2], few[0], few[1], last], await _rig.ReleasedAsync([.. many, .. few, last]));
        await _rig.RestartAsync(TimeSpan.FromMinutes(61));

        Assert.Equal(0, await _rig.Queue.Count("message", "held <> 0"));
        Assert.Equal(0, _rig.Queue.Usage.Holds.Total);
    }

    [Theory]
    [InlineData(OverLimitAction.Refuse, Verdict.Defer, "451 4.7.1 subscription acme")]
    [InlineData(OverLimitAction.Reject, Verdict.Refuse, "550 5.7.1 subscription acme")]
    [InlineData(OverLimitAction.Hold, Verdict.Hold, "250 2.0.0 Held: domain acme.test")]
    public async Task Where_several_levels_are_full_the_strictest_decides(OverLimitAction subscription, Verdict verdict, string reply)
    {
        _rig.Limit("domain acme.test", "1/h");
        _rig.Limit("subscription acme", subscription == OverLimitAction.Hold ? "2/h" : "1/h", subscription);
        _rig.Limit("mailbox info@acme.test", "1/h");
        await _rig.TakeAsync("info@acme.test");

        OfferResult result = await _rig.OfferAsync("info@acme.test");

        Assert.Equal(verdict, result.Decision!.Verdict);
        Assert.StartsWith(reply, result.Decision.Reply.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task New_mail_queues_behind_what_waits_although_it_would_fit()
    {
        _rig.Limit("domain acme.test", "6/h:rcpt");
        _rig.Start();
        await _rig.TakeAsync("a@acme.test", "1@x.test", "2@x.test", "3@x.test", "4@x.test");
        QueueId large = await _rig.TakeAsync("a@acme.test", "1@x.test", "2@x.test", "3@x.test");

        OfferResult small = await _rig.OfferAsync("b@acme.test");

        Assert.Equal(Verdict.Hold, small.Decision!.Verdict);
        Assert.StartsWith("250 2.0.0 Held: domain acme.test hourly limit 4/6 recipients, 1 before it, released about ", small.Decision.Reply.ToString(), StringComparison.Ordinal);
        Assert.Equal(2, await _rig.Queue.Count("message", "held = 4"));
        await _rig.AdvanceAsync(TimeSpan.FromMinutes(61));
        Assert.Equal([large], await _rig.ReleasedAsync([large]));
        Assert.Equal(0, await _rig.Queue.Count("message", "held <> 0"));
        Assert.Equal(Verdict.Accept, (await _rig.OfferAsync("b@acme.test")).Decision!.Verdict);
    }

    [Fact]
    public async Task A_message_that_another_level_stops_waits_there_and_lets_others_by()
    {
        _rig.Limit("subscription acme", "2/h");
        _rig.Limit("mailbox a@acme.test", "1/d");
        _rig.Start();
        await _rig.TakeAsync("a@acme.test");
        await _rig.TakeAsync("b@acme.test");
        QueueId stopped = await _rig.TakeAsync("a@acme.test"), other = await _rig.TakeAsync("b@acme.test");
        Assert.Equal(2, _rig.Queue.Usage.Holds.WaitingAt(new(Level.Subscription, "acme")));

        await _rig.AdvanceAsync(TimeSpan.FromMinutes(61));

        Assert.Equal([other], await _rig.ReleasedAsync([stopped, other]));
        Assert.Equal(1, _rig.Queue.Usage.Holds.WaitingAt(new(Level.Mailbox, "a@acme.test")));
        Assert.Equal(0, _rig.Queue.Usage.Holds.WaitingAt(new(Level.Subscription, "acme")));
        await _rig.AdvanceAsync(TimeSpan.FromHours(25));
        Assert.Equal([stopped], await _rig.ReleasedAsync([stopped]));
    }

    [Fact]
    public async Task One_subscription_holds_no_more_than_its_share_and_says_so()
    {
        _rig.Limit("subscription acme", "1/d");
        await _rig.TakeAsync("info@acme.test");
        await Task.WhenAll(Enumerable.Range(0, HeldView.MaxMessages).Select(_ => _rig.TakeAsync("info@acme.test")));

        OfferResult over = await _rig.OfferAsync("info@acme.test");

        Assert.Equal((OfferOutcome.Refused, Verdict.Defer, Reasons.HoldFull), (over.Outcome, over.Decision!.Verdict, over.Decision.Reason));
        Assert.StartsWith("451 4.7.1 Hold is full: subscription acme has 1000 messages or 200 MiB waiting", over.Decision.Reply.ToString(), StringComparison.Ordinal);
        Assert.True(over.Decision.Reply.ToString().Length + 32 < 200);
        Assert.Equal(Verdict.Accept, (await _rig.OfferAsync("info@beta.test")).Decision!.Verdict);
        await _rig.RestartAsync(TimeSpan.FromMinutes(1));
        Assert.Equal(Reasons.HoldFull, (await _rig.OfferAsync("info@acme.test")).Decision!.Reason); // The counts are those of the store.
    }

    [Fact]
    public async Task What_the_policy_would_refuse_when_its_turn_comes_stays_with_the_reason_and_goes_on_when_accounts_change()
    {
        _rig.Limit("mailbox info@acme.test", "1/h");
        _rig.Start();
        await _rig.TakeAsync("info@acme.test");
        QueueId held = await _rig.TakeAsync("info@acme.test");
        _rig.Limit("domain acme.test", "forbidden");

        await _rig.AdvanceAsync(TimeSpan.FromMinutes(61));
        QueueHold why = (await _rig.Queue.Forecast.OfAsync(held, default))!;
        Assert.Equal((HoldReason.Refused, "it would be refused now (sending-forbidden)"), (why.Reason, why.For));
        Assert.Null(why.ReleaseAbout);
        _rig.Limit("domain acme.test", "unlimited");
        _rig.Releaser.Wake(["acme"]);
        await _rig.SettleAsync();

        Assert.Equal([held], await _rig.ReleasedAsync([held]));
    }

    [Fact]
    public async Task What_has_gone_to_another_subscription_stays_and_counts_by_hand_where_it_was_taken()
    {
        _rig.Limit("mailbox info@acme.test", "1/h");
        _rig.Start();
        await _rig.TakeAsync("info@acme.test");
        QueueId held = await _rig.TakeAsync("info@acme.test"), unreadable = await _rig.TakeAsync("info@acme.test");
        _rig.Queue.AccountOf = _ => _rig.Account("info@beta.test"); // As if the domain had been moved.

        await _rig.AdvanceAsync(TimeSpan.FromMinutes(61));
        Assert.Equal("it would be refused now (subscription-changed)", (await _rig.Queue.Forecast.OfAsync(held, default))!.For);
        Assert.Equal(0, await _rig.UsedAsync(new(Level.Subscription, "beta")));
        await _rig.Queue.Writer.WriteAsync(connection => Storage.SqliteRelayStoreTests.Execute(connection, $"delete from decision where hex(id) = '{Convert.ToHexString(unreadable.ToBytes())}'"));
        QueueOrderResult released = await _rig.Queue.NewAdministration().ReleaseAsync(QueueSelection.Where(new QueueFilter { State = QueueState.Held }), dryRun: false, null, default);

        Assert.Equal(2, released.Count);
        Assert.Equal((0, 2, 2), (await _rig.UsedAsync(new(Level.Subscription, "beta")), await _rig.UsedAsync(new(Level.Subscription, "acme")), await _rig.UsedAsync(AccountKey.Server)));
    }

    [Fact]
    public async Task A_release_by_hand_counts_at_the_account_as_it_is_when_it_is_written()
    {
        _rig.Limit("mailbox info@acme.test", "1/h");
        await _rig.TakeAsync("info@acme.test");
        QueueId held = await _rig.TakeAsync("info@acme.test");
        int looks = 0;
        _rig.Queue.AccountOf = identity =>
        {
            SenderAccount account = _rig.Account(identity.Name) with { Version = _rig.Queue.Version };
            if (looks++ > 0)
                return account;
            _rig.Queue.Version = new AccountVersion(7, 7); // Its mailbox is removed after the look.
            return account with { Levels = account.Levels[..^1] };
        };

        await _rig.Queue.NewAdministration().ReleaseAsync(QueueSelection.Of(held), dryRun: false, null, default);

        Assert.Equal((2, 2L), (looks, await _rig.UsedAsync(new(Level.Mailbox, "info@acme.test"))));
    }

    [Fact]
    public async Task Mail_waits_for_no_older_mail_of_another_class()
    {
        _rig.Limit("subscription acme", "2/h");
        _rig.Limit("subscription acme class forward", "1/d");
        _rig.Start();
        await _rig.TakeAsync("info@acme.test", isForward: true);
        await _rig.TakeAsync("info@acme.test", isForward: false);
        QueueId forward = await _rig.TakeAsync("info@acme.test", isForward: true), ordinary = await _rig.TakeAsync("info@acme.test", isForward: false);

        await _rig.AdvanceAsync(TimeSpan.FromMinutes(61));

        Assert.Equal([ordinary], await _rig.ReleasedAsync(forward, ordinary));
        Assert.Equal(1, _rig.Queue.Usage.Holds.WaitingAt(new(Level.Subscription, "acme", MessageClass.Forward)));
        await _rig.AdvanceAsync(TimeSpan.FromHours(25));
        Assert.Equal([forward], await _rig.ReleasedAsync(forward));
    }

    [Fact]
    public async Task A_raised_limit_lets_held_mail_go_at_once()
    {
        _rig.Limit("mailbox info@acme.test", "1/h");
        _rig.Start();
        await _rig.TakeAsync("info@acme.test");
        for (int i = 0; i < 40; i++)
            await _rig.TakeAsync("info@acme.test");
        _rig.Limit("mailbox info@acme.test", "39/h");

        _rig.Releaser.WakeAll();
        await _rig.SettleAsync();

        Assert.Equal(2, await _rig.Queue.Count("message", "held = 4"));
        Assert.Equal(39, await _rig.UsedAsync(new(Level.Mailbox, "info@acme.test")));
    }

    [Fact]
    public async Task The_forecast_knows_who_goes_before_and_about_when()
    {
        _rig.Limit("domain acme.test", "2/h");
        _rig.Start();
        await _rig.TakeAsync("full@acme.test");
        await _rig.TakeAsync("full@acme.test");
        await _rig.TakeAsync("a@acme.test");
        await _rig.TakeAsync("a@acme.test");
        QueueId third = await _rig.TakeAsync("a@acme.test"), other = await _rig.TakeAsync("b@acme.test");

        QueueHold a = (await _rig.Queue.Forecast.OfAsync(third, default))!, b = (await _rig.Queue.Forecast.OfAsync(other, default))!;

        Assert.Equal((3L, 1L), (a.Ahead, b.Ahead)); // Two of its own and one of the other's; one of the first's.
        DateTimeOffset start = _rig.Queue.Time.GetUtcNow();
        Assert.Equal((start.AddMinutes(61), start.AddMinutes(122)), (b.ReleaseAbout, a.ReleaseAbout));
        Assert.Equal((start, start.AddDays(4)), (a.Since, a.ExpiresAt));
        Assert.Equal("domain acme.test", a.At);
    }

    [Fact]
    public async Task Orders_by_filter_do_what_their_count_said()
    {
        _rig.Limit("mailbox a@acme.test", "1/h");
        _rig.Limit("mailbox b@acme.test", "1/h");
        await _rig.TakeAsync("a@acme.test");
        await _rig.TakeAsync("b@acme.test");
        await _rig.TakeAsync("a@acme.test", "x@one.test");
        _rig.Queue.Time.Advance(TimeSpan.FromMinutes(5));
        await _rig.TakeAsync("a@acme.test", "x@two.test");
        await _rig.TakeAsync("b@acme.test", "x@one.test");
        QueueAdministration orders = _rig.Queue.NewAdministration();
        DateTimeOffset before = _rig.Queue.Time.GetUtcNow().AddMinutes(-1);
        (QueueFilter Filter, int Count)[] filters =
        [
            (new QueueFilter { CountedAt = "a@acme.test", Held = HoldReason.Limit }, 2),
            (new QueueFilter { CountedAt = "acme.test", State = QueueState.Held }, 3),
            (new QueueFilter { State = QueueState.Held, RecipientDomain = "one.test" }, 2),
            (new QueueFilter { State = QueueState.Held, Before = before }, 1),
            (new QueueFilter { Held = HoldReason.Limit, Sender = "b@acme.test" }, 1),
            (new QueueFilter { Held = HoldReason.Suspended }, 0),
        ];

        foreach ((QueueFilter filter, int count) in filters)
        {
            Assert.Equal(count, (await orders.ReleaseAsync(QueueSelection.Where(filter), dryRun: true, null, default)).Count);
            Assert.Equal(count, (await orders.ListAsync(new QueueQuery { Filter = filter }, null, default))!.Items.Length);
        }
        Assert.Equal(1, (await orders.DeleteAsync(QueueSelection.Where(filters[3].Filter), dryRun: false, null, default)).Count);
        Assert.Equal(2, (await orders.ReleaseAsync(QueueSelection.Where(filters[1].Filter), dryRun: false, null, default)).Count);

        Assert.Equal(0, _rig.Queue.Usage.Holds.Total);
        Assert.Equal(4, await _rig.Queue.Count("message"));
    }

    [Fact]
    public async Task Queued_mail_of_a_suspended_mailbox_moves_to_hold_and_goes_on_at_resume_with_what_counts_still_to_come()
    {
        _rig.Limit("mailbox a@acme.test", "1/h");
        await _rig.TakeAsync("a@acme.test");
        await _rig.TakeAsync("a@acme.test");
        await _rig.TakeAsync("b@acme.test");
        _rig.Start();
        using SuspendedMail suspended = _rig.Queue.NewSuspendedMail(_rig.Releaser);
        await suspended.Done;

        _rig.Queue.SuspendedSenders.Add("a@acme.test");
        await _rig.Queue.Writer.WriteAsync(connection => Storage.SqliteRelayStoreTests.Execute(connection, "insert into domain (name, subscription) select 'acme.test', 'system'") + Storage.SqliteRelayStoreTests.Execute(connection, "update domain set subscription = 'system'"));
        suspended.Apply();
        await suspended.Done; // Also in the subscription that took the mail, whoever owns the domain now.

        QueueQuery query = new() { Filter = new QueueFilter { CountedAt = "acme.test", Held = HoldReason.Suspended } };
        ImmutableArray<QueueItem> items = (await _rig.Queue.NewAdministration().ListAsync(query, null, default))!.Items;
        Assert.Equal(2, items.Length);
        Assert.All(items, static item => Assert.Equal((QueueState.Held, "sender a@acme.test is suspended"), (item.State, item.Hold!.For)));
        _rig.Queue.SuspendedSenders.Clear();
        suspended.Apply();
        await suspended.Done;
        Assert.Equal(0, await _rig.Queue.Count("message", "held = 6"));
    }

    [Fact]
    public async Task What_a_sender_has_behind_an_older_message_stays_where_it_is_until_that_was_served()
    {
        _rig.Limit("subscription acme", "2/h");
        _rig.Limit("mailbox a@acme.test", "1/d");
        _rig.Start();
        await _rig.TakeAsync("a@acme.test");
        await _rig.TakeAsync("b@acme.test");
        QueueId first = await _rig.TakeAsync("a@acme.test");
        for (int i = 0; i < 80; i++)
            await _rig.TakeAsync("a@acme.test");
        QueueId other = await _rig.TakeAsync("b@acme.test");
        AccountKey subscription = new(Level.Subscription, "acme"), mailbox = new(Level.Mailbox, "a@acme.test");

        await _rig.AdvanceAsync(TimeSpan.FromMinutes(61));
        Assert.Equal([other], await _rig.ReleasedAsync(first, other));
        Assert.Equal((80, 1), (_rig.Queue.Usage.Holds.WaitingAt(subscription), _rig.Queue.Usage.Holds.WaitingAt(mailbox)));
        await _rig.AdvanceAsync(TimeSpan.FromHours(25));

        Assert.Equal([first], await _rig.ReleasedAsync(first));
        Assert.Equal((79, 1), (_rig.Queue.Usage.Holds.WaitingAt(subscription), _rig.Queue.Usage.Holds.WaitingAt(mailbox)));
    }

    [Fact]
    public async Task A_suspension_that_could_not_be_carried_out_is_tried_again()
    {
        _rig.Limit("mailbox a@acme.test", "1/h");
        await _rig.TakeAsync("a@acme.test");
        await _rig.TakeAsync("a@acme.test");
        _rig.Start();
        int faults = 1;
        _rig.Queue.Suspended.Add("acme");
        using var suspended = new SuspendedMail(
            _rig.Queue.Store, _rig.Queue.Writer, _rig.Queue.Scheduler, _rig.Releaser,
            () => faults-- > 0 ? throw new InvalidOperationException("The store is out of order") : _rig.Queue.Suspensions, _rig.Queue.Time, NullLogger<SuspendedMail>.Instance);
        await suspended.Done;
        Assert.Equal(1, await _rig.Queue.Count("message", "held = 4"));

        _rig.Queue.Time.Advance(TimeSpan.FromMinutes(1));
        await suspended.Done;

        Assert.Equal(0, await _rig.Queue.Count("message", "held = 4"));
        Assert.NotEqual(0, await _rig.Queue.Count("message", "held = 6"));
    }

    [Fact]
    public async Task Old_mail_that_cannot_be_read_is_parked_and_holds_up_no_other()
    {
        _rig.Limit("mailbox a@acme.test", "1/h");
        await _rig.TakeAsync("a@acme.test");
        QueueId damaged = await _rig.TakeAsync("a@acme.test"), other = await _rig.TakeAsync("a@acme.test");
        await _rig.Queue.Writer.WriteAsync(connection => Storage.SqliteRelayStoreTests.Execute(connection, $"update message set reverse_path = '<' where hex(id) = '{Convert.ToHexString(damaged.ToBytes())}'"));

        HeldPage page = await new HeldMail(_rig.Queue.Store, _rig.Queue.Writer, NullLogger<HeldMail>.Instance).OldestAsync(_rig.Queue.Time.GetUtcNow().AddDays(1), 1);

        HeldForTooLong old = Assert.Single(page.TooOld);
        old.Message.Release();
        Assert.Equal(other, old.Message.Id);
        Assert.Equal(1, await _rig.Queue.Count("message", "held = 3"));
    }

    public void Dispose() => _rig.Dispose();

}

/// <summary>A queue with accounts made of limits by name, and the engine that releases what is held.</summary>
internal sealed class HoldRig : IDisposable
{
    private readonly Dictionary<string, (string Limit, OverLimitAction Action)> _limits = [];
    private HoldReleaser? _releaser;

    public HoldRig()
    {
        Queue.MailLog.Start();
        Queue.AccountOf = identity => Account(identity.Name);
    }

    public QueueFixture Queue { get; } = new();

    public HoldReleaser Releaser => _releaser!;

    public void Limit(string key, string limit, OverLimitAction action = OverLimitAction.Hold) => _limits[key] = (limit, action);

    public void Start() => _releaser = Queue.NewReleaser();

    /// <summary>Everything of <c>x@acme.test</c> counts at subscription acme.</summary>
    public SenderAccount Account(string mailbox)
    {
        string domain = mailbox[(mailbox.IndexOf('@') + 1)..], subscription = domain[..domain.IndexOf('.')];
        AccountKey[] keys =
        [
            AccountKey.Server, new(Level.Plan, "basic"), new(Level.Subscription, subscription), new(Level.Domain, domain), new(Level.Mailbox, mailbox),
        ];
        return Queue.Account(subscription) with
        {
            Identity = new SenderIdentity(IdentityKind.Login, mailbox, IPAddress.Loopback),
            Mailbox = MailboxAddress.Parse(mailbox),
            Levels = [.. keys.SelectMany(key => (AccountKey[])[key, key with { Class = MessageClass.Forward }])
                .Where(key => key.Class is null || _limits.ContainsKey(key.ToString())).Select(LevelOf)],
        };
    }

    public async Task<OfferResult> OfferAsync(string mailbox, params string[] recipients) => await Queue.OfferAsync(Queue.Message(Account(mailbox), recipients));

    /// <summary>Offers what is taken, held or not.</summary>
    public async Task<QueueId> TakeAsync(string mailbox, params string[] recipients)
    {
        OfferedMessage message = Queue.Message(Account(mailbox), recipients);
        Assert.Equal(OfferOutcome.Committed, (await Queue.OfferAsync(message)).Outcome);
        return message.Id;
    }

    public async Task<QueueId> TakeAsync(string mailbox, bool isForward)
    {
        OfferedMessage message = isForward ? Forward(mailbox) : Queue.Message(Account(mailbox));
        Assert.Equal(OfferOutcome.Committed, (await Queue.OfferAsync(message)).Outcome);
        return message.Id;
    }

    /// <summary>A message that somebody sends on.</summary>
    public OfferedMessage Forward(string mailbox)
    {
        OfferedMessage message = Queue.Message(Account(mailbox));
        byte[] header = [.. "Resent-From: "u8, .. Encoding.ASCII.GetBytes(mailbox), .. "\r\n"u8, .. message.HeaderSection];
        return message with { HeaderSection = header, Facts = message.Facts with { HasResentFields = true } };
    }

    public async Task<long> UsedAsync(AccountKey key)
    {
        UsageView view = await Queue.Usage.SnapshotAsync([key], default);
        return view.Rings[0].Used(LimitUnit.Messages, LimitWindow.Hour, view.Now);
    }

    public async Task<MessageRecord> RecordAsync(QueueId id) => (await new MessageLog(Queue.Store, Queue.Writer.Feed).ShowAsync(id, null, default))!;

    /// <summary>Those of some messages that are not held, in their order.</summary>
    public async Task<QueueId[]> ReleasedAsync(params QueueId[] ids)
    {
        var released = new List<QueueId>();
        foreach (QueueId id in ids)
        {
            if ((await RecordAsync(id)).Outcome != RecordOutcome.Held)
                released.Add(id);
        }
        return [.. released];
    }

    public async Task AdvanceAsync(TimeSpan by)
    {
        await Queue.Writer.WriteAsync(_ => 0); // What the last commit scheduled has set its timer, which a move of the clock in between would lose.
        await SettleAsync();
        Queue.Time.Advance(by);
        await SettleAsync();
    }

    public async Task RestartAsync(TimeSpan stopped)
    {
        _releaser?.Dispose();
        Queue.Reopen(stopped);
        Start();
        await SettleAsync();
    }

    /// <summary>Waits until the engine has done all that is due.</summary>
    public async Task SettleAsync()
    {
        long started = Stopwatch.GetTimestamp();
        while (_releaser is { IsBusy: true })
        {
            Assert.True(Stopwatch.GetElapsedTime(started) < TimeSpan.FromSeconds(10), "the release engine does not come to rest");
            await Queue.Writer.WriteAsync(_ => 0);
        }
    }

    public void Dispose()
    {
        _releaser?.Dispose();
        Queue.Dispose();
    }

    private LevelLimit LevelOf(AccountKey key)
    {
        (string limit, OverLimitAction action) = _limits.GetValueOrDefault(key.ToString(), ("unlimited", OverLimitAction.Refuse));
        Assert.True(LimitSet.TryParse(limit, out LimitSet? limits));
        return new LevelLimit(key, limits, "own", action);
    }
}
