using System.Net;
using Microsoft.Extensions.Logging.Abstractions;
using RelayGate.Configuration;
using RelayGate.Core.Mail;
using RelayGate.Core.Messages;
using RelayGate.Egress;
using RelayGate.Queue;
using RelayGate.Tests.Fakes;
using RelayGate.Tests.Queue;

namespace RelayGate.Tests.Delivery;

/// <summary>Promise 000-2: a provider's refusal of one address costs nobody else anything, bounces nobody, and ends by itself. Real store, real sockets.</summary>
public sealed class EgressStateTests
{
    private const string Blocked = "550 5.7.1 Service unavailable, Client host [203.0.113.7] blocked using zen.spamhaus.org; https://check.spamhaus.org/\r\n";

    private static readonly IPAddress A = IPAddress.Parse("127.0.0.2");
    private static readonly IPAddress B = IPAddress.Parse("127.0.0.3");
    private static readonly EgressKey AAtP = new(A, "provider-p.test");

    [Fact]
    public async Task Promise_000_2_only_mail_of_the_blocked_address_to_that_provider_waits()
    {
        await using var world = new World();
        world.P.Script = e => e.Verb == "MAIL" && e.Line.Contains("acme", StringComparison.Ordinal) ? new HopAction.Raw(Blocked) : null;
        var news = new List<EgressNews>();
        world.Gateway.Control.News += news.Add;

        await world.AcceptAsync("acme", A, "one@p.test");
        await DeliveryGateway.UntilAsync(() => Task.FromResult(news.Count == 1));
        int connections = world.P.Connections;
        await world.AcceptAsync("acme", A, "two@p.test", "two@q.test");
        await world.AcceptAsync("other", B, "three@p.test");

        ReceivedMessage atQ = await world.Q.NextAsync();
        ReceivedMessage atP = await world.P.NextAsync();
        Assert.Equal(("127.0.0.2", "127.0.0.3"), (atQ.Client.ToString(), atP.Client.ToString()));
        Assert.StartsWith("RCPT TO:<three@p.test>", Assert.Single(atP.Rcpts));
        await DeliveryGateway.UntilAsync(async () => await world.Queue.Count("recipient", "waits_for = 'ip 127.0.0.2 provider-p.test' and attempts = uncounted and state = 0") == 2);
        Assert.Equal(connections + 1, world.P.Connections); // The other's alone: nothing was dialled for what waits.
        Assert.Equal(0, await world.Queue.Count("recipient", "state = 2"));
        EgressState state = world.Gateway.States.Find(AAtP)!;
        Assert.Equal((EgressCondition.Paused, "zen.spamhaus.org"), (state.Condition, state.List));
        Assert.Equal((false, "acme"), (news[0].IsEnded, news[0].State.Subscription));
        Assert.Equal(1, await world.Queue.Count("attempt", "stage = 'mail'")); // The evidence.
    }

    [Fact]
    public async Task After_the_pause_one_message_goes_first_and_a_refusal_renews_the_pause_longer()
    {
        await using var world = new World();
        int mails = 0;
        bool isBlocked = true;
        world.P.Script = e => e.Verb == "MAIL" && Interlocked.Increment(ref mails) > 0 && Volatile.Read(ref isBlocked) ? new HopAction.Raw(Blocked) : null;
        await world.AcceptAsync("acme", A, "0@p.test");
        await world.UntilWaitingAsync(1);
        for (int i = 1; i < 5; i++)
            await world.AcceptAsync("acme", A, $"{i}@p.test");
        await world.UntilWaitingAsync(5);
        Assert.Equal(1, Volatile.Read(ref mails));
        DateTimeOffset until = world.Gateway.States.Find(AAtP)!.Until!.Value;

        await world.AdvanceUntilAsync(() => Volatile.Read(ref mails) == 2);
        await world.UntilWaitingAsync(5);
        Assert.Equal(2, Volatile.Read(ref mails));
        EgressState renewed = world.Gateway.States.Find(AAtP)!;
        Assert.Equal(2, renewed.Repetition);
        Assert.True(renewed.Until - renewed.Since > until - world.Start);

        Volatile.Write(ref isBlocked, false);
        await world.AdvanceUntilAsync(() => world.P.Messages.Count == 5);
        Assert.Null(world.Gateway.States.Find(AAtP));
        await DeliveryGateway.UntilAsync(async () => await world.Queue.Count("egress_state") == 0);
        Assert.Equal(0, await world.Queue.Count("recipient", "state = 2 and address like '%@p.test'"));
    }

    [Fact]
    public async Task A_pause_that_is_ended_by_hand_lets_its_mail_go_at_once_and_says_who_did_it()
    {
        await using var world = new World();
        bool isBlocked = true;
        world.P.Script = e => e.Verb == "MAIL" && Volatile.Read(ref isBlocked) ? new HopAction.Raw(Blocked) : null;
        await world.AcceptAsync("acme", A, "one@p.test");
        await world.UntilWaitingAsync(1);
        Volatile.Write(ref isBlocked, false);

        Assert.Single(await world.Gateway.Control.ResumeAsync(A, "provider-p.test", "acme", "uid 0", default));

        await world.AdvanceUntilAsync(() => world.P.Messages.Count == 1, TimeSpan.FromSeconds(1));
        Assert.Equal(1, await world.Queue.Count("audit", "what = 'resume' and object = 'ip 127.0.0.2 at provider-p.test' and whom = 'uid 0'"));
        Assert.Equal(0, await world.Queue.Count("egress_state"));
    }

    [Fact]
    public async Task What_is_rebound_while_the_old_address_is_being_refused_does_not_wait_for_the_old_address()
    {
        await using var world = new World();
        using var asked = new SemaphoreSlim(0);
        using var answer = new ManualResetEventSlim();
        int mails = 0;
        world.P.Script = e =>
        {
            if (e.Verb != "MAIL" || Interlocked.Increment(ref mails) > 1)
                return null;
            asked.Release();
            answer.Wait(TimeSpan.FromSeconds(20));
            return new HopAction.Raw(Blocked);
        };
        await world.AcceptAsync("acme", A, "one@p.test");
        Assert.True(await asked.WaitAsync(TimeSpan.FromSeconds(10)));
        world.Queue.Egress = DeliveryHarness.EgressFrom(B.ToString());

        Assert.Equal(1, (await world.Queue.NewAdministration().OrderAsync(QueueOrder.Rebind, QueueSelection.OfSubscription("acme"))).Count);
        answer.Set();

        await world.AdvanceUntilAsync(() => world.P.Messages.Count == 1, TimeSpan.FromSeconds(1));
        Assert.Equal("127.0.0.3", (await world.P.NextAsync()).Client.ToString());
        Assert.True(world.Queue.Time.GetUtcNow() - world.Start < TimeSpan.FromHours(1)); // The pause is longer.
        Assert.Equal(EgressCondition.Paused, world.Gateway.States.Find(AAtP)!.Condition);
    }

    [Fact]
    public async Task What_waits_for_a_resting_address_uses_no_connection_and_stops_nobody_else()
    {
        await using var world = new World();
        await world.Gateway.Control.RestAsync(A, null, "looks bad", "acme", "uid 0", default);
        for (int i = 0; i < 2000; i++)
            await world.AcceptAsync("acme", A, $"{i}@p.test");
        await world.AcceptAsync("other", B, "one@p.test");

        ReceivedMessage message = await world.P.NextAsync();
        Assert.Equal("127.0.0.3", message.Client.ToString());
        await world.UntilWaitingAsync(2000, "ip 127.0.0.2");
        Assert.Equal(1, world.P.Connections);
        Assert.Equal(0, await world.Queue.Count("attempt", "stage not in ('end-of-data', 'put-off')"));

        await world.Gateway.Control.ResumeAsync(A, null, "acme", "uid 0", default);
        await world.AdvanceUntilAsync(() => world.P.Messages.Count >= 500, TimeSpan.FromSeconds(1));
        Assert.All(world.P.Messages, m => Assert.Equal("127.0.0.2", m.Client.ToString()));
    }

    [Fact]
    public async Task What_waits_for_an_address_is_told_of_after_a_while_and_given_up_in_the_end_with_5_4_7()
    {
        await using var world = new World();
        await world.Gateway.Control.RestAsync(A, null, null, null, "uid 0", default);
        await world.AcceptAsync("acme", A, "one@p.test"); // Its reports leave from the same address, and wait too.
        await world.UntilWaitingAsync(1, "ip 127.0.0.2");

        await world.AdvanceUntilAsync(() => world.Queue.Count("recipient", "delay_noticed = 1").GetAwaiter().GetResult() == 1);
        Assert.True(world.Queue.Time.GetUtcNow() - world.Start < TimeSpan.FromHours(5));
        await world.AdvanceUntilAsync(() => world.Queue.Count("recipient", "state = 2 and address = 'one@p.test'").GetAwaiter().GetResult() == 1, TimeSpan.FromHours(2));

        Assert.True(world.Queue.Time.GetUtcNow() - world.Start >= TimeSpan.FromDays(4));
        Assert.Contains("5.4.7", await world.Queue.Text("select results from attempt where stage <> 'put-off'"), StringComparison.Ordinal);
        Assert.Equal(2, await world.Queue.Count("decision", "kind = 3"));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(6)]
    public async Task What_waits_is_given_up_at_the_age_of_its_provider_and_its_sender_is_told_that_time(int days)
    {
        await using var world = new World(options =>
            options.Delivery.Providers["provider-p.test"] = new ProviderOptions { Retry = new RetryOverride { GiveUpAfter = TimeSpan.FromDays(days) } });
        await world.Gateway.Control.RestAsync(A, null, null, null, "uid 0", default);
        await world.AcceptAsync("acme", A, "one@p.test");
        await world.UntilWaitingAsync(1, "ip 127.0.0.2");

        await world.AdvanceUntilAsync(() => world.Queue.Count("recipient", "state = 2 and address = 'one@p.test'").GetAwaiter().GetResult() == 1, TimeSpan.FromHours(3));

        Assert.InRange(world.Queue.Time.GetUtcNow() - world.Start, TimeSpan.FromDays(days), TimeSpan.FromDays(days) + TimeSpan.FromHours(6));
        Assert.Equal(1, await world.Queue.Count("attempt", "stage <> 'put-off' and id = (select id from message where seq = 1)")); // The end alone.
        string notice = await world.Queue.Text("select cast(body as text) from message where seq = 2");
        Assert.Contains($"Will-Retry-Until: {MailDate.Format(world.Start.AddDays(days))}", notice, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_record_of_what_waits_names_the_report_of_its_delay_or_the_bound_that_kept_it_from_being_sent()
    {
        await using var world = new World(options => options.Dsn.PerSender = 1);
        await world.Gateway.Control.RestAsync(A, null, "looks bad", null, "uid 0", default);
        await world.AcceptAsync("acme", A, "one@p.test");
        await world.AcceptAsync("acme", A, "two@p.test");
        await world.UntilWaitingAsync(2, "ip 127.0.0.2");

        await world.AdvanceUntilAsync(() => world.Queue.Count("recipient", "delay_noticed = 1").GetAwaiter().GetResult() == 2, TimeSpan.FromMinutes(20));

        var log = new MessageLog(world.Queue.Store, world.Queue.Writer.Feed);
        RecordedAttempt[] entries = [.. (await Task.WhenAll(new[] { 1, 2 }.Select(async seq =>
        {
            QueueId id = QueueId.FromBytes(Convert.FromHexString(await world.Queue.Text($"select hex(id) from message where seq = {seq}")));
            MessageRecord record = (await log.ShowAsync(id, null, default))!;
            Assert.Equal(0, Assert.Single(record.States).Attempts);
            Assert.Equal(2, record.Attempts.Length); // When it was put off first, and when the notice was due.
            return record.Attempts[1];
        }))).OrderByDescending(static a => a.Report == "per-sender")];
        Assert.All(entries, static a => Assert.Equal(("put-off", "The address 127.0.0.2 rests: looks bad"), (a.Stage, Assert.Single(a.Results).Reply)));
        Assert.Equal("per-sender", entries[0].Report);
        Assert.True(QueueId.TryParse(entries[1].Report, out QueueId report));
        Assert.Equal(RecordKind.Dsn, (await log.ShowAsync(report, null, default))!.Kind);
    }

    [Fact]
    public async Task A_restart_keeps_pauses_rests_and_paces()
    {
        using var queue = new QueueFixture();
        (EgressStates states, EgressControl control) = await StartAsync(queue);
        Assert.NotNull(states.Ask(AAtP, default, out _));
        EgressGrant grant = states.Ask(AAtP, default, out _)!.Value;
        states.Refused(grant, new Core.Replies.ReplyFinding(Core.Replies.ReplyClass.IpBlocked, "provider-p.test", List: "zen.spamhaus.org"), "550 blocked", "acme");
        await control.RestAsync(B, TimeSpan.FromHours(5), "reason", null, "uid 0", default);
        await control.SetPaceAsync(new EgressPace("*", "slow.test", 10, 2, queue.Time.GetUtcNow(), null, null, "uid 0"), null, default);
        EgressState[] before = [.. states.All()];
        await DeliveryGateway.UntilAsync(async () => await queue.Count("egress_state") == 2);
        control.Dispose();

        queue.Reopen(TimeSpan.FromMinutes(5));
        (states, control) = await StartAsync(queue);

        Assert.Equal(before.Select(s => s.ToString()), states.All().Select(s => s.ToString()));
        Assert.Null(states.Ask(AAtP, default, out PutOff? wait));
        Assert.Equal("ip 127.0.0.2 provider-p.test", wait!.WaitsFor.Text);
        Assert.Null(states.Ask(new EgressKey(B, "elsewhere.test"), default, out wait));
        Assert.Equal("ip 127.0.0.3", wait!.WaitsFor.Text);
        Assert.NotNull(states.Ask(new EgressKey(A, "slow.test"), default, out _));
        Assert.Null(states.Ask(new EgressKey(A, "slow.test"), default, out wait));
        control.Dispose();
    }

    /// <summary>The reply was said to another's message. Administrators read it at the address.</summary>
    [Fact]
    public async Task What_one_subscription_was_told_does_not_reach_the_senders_of_another()
    {
        await using var world = new World();
        int mails = 0;
        world.P.Script = e => e.Verb == "MAIL" && Interlocked.Increment(ref mails) == 1
            ? new HopAction.Raw("550 5.7.1 Client host [203.0.113.7] blocked using zen.spamhaus.org; mail of <ann@secret-customer.test> refused; https://check.spamhaus.org/query?of=secret-customer.test\r\n") : null;
        await world.AcceptAsync("acme", A, "one@p.test");
        await world.UntilWaitingAsync(1);
        await world.AcceptAsync("other", A, "two@p.test");
        await world.UntilWaitingAsync(2);

        Assert.Contains("secret-customer", world.Gateway.States.Find(AAtP)!.Why, StringComparison.Ordinal);
        Assert.Contains("secret-customer", await world.Queue.Text("select last_reply from recipient where address = 'one@p.test'"), StringComparison.Ordinal); // His own.
        string told = await world.Queue.Text("select last_reply from recipient where address = 'two@p.test'");
        Assert.Matches("^4.7.1 127.0.0.2 at provider-p.test is paused until .* UTC: ip-blocked by zen.spamhaus.org, see https://check.spamhaus.org/query$", told);
        Assert.Equal(0, await world.Queue.Count("attempt", "subscription = 'other' and results like '%secret-customer%'"));
    }

    [Fact]
    public async Task What_waits_behind_a_slow_pace_goes_on_when_a_faster_one_is_set()
    {
        await using var world = new World();
        await world.Gateway.Control.SetPaceAsync(new EgressPace("*", "*", 1, null, world.Start, null, null, "uid 0"), null, default);
        for (int i = 0; i < 30; i++)
            await world.AcceptAsync("acme", A, $"{i}@p.test");
        await world.P.NextAsync();
        await world.UntilWaitingAsync(29);

        await world.Gateway.Control.SetPaceAsync(new EgressPace("*", "*", 10_000, null, world.Start, null, null, "uid 0"), null, default);

        await world.AdvanceUntilAsync(() => world.P.Messages.Count == 29, TimeSpan.FromSeconds(1));
        Assert.True(world.Queue.Time.GetUtcNow() - world.Start < TimeSpan.FromMinutes(2));
    }

    /// <summary>Of what waits, pairs that nothing was sent at since the start are known to the store alone.</summary>
    [Fact]
    public async Task What_waited_behind_a_pace_before_a_restart_goes_on_when_the_pace_ends()
    {
        using var queue = new QueueFixture();
        (EgressStates _, EgressControl control) = await StartAsync(queue);
        await control.SetPaceAsync(new EgressPace("*", "slow.test", 1, null, queue.Time.GetUtcNow(), null, null, "uid 0"), null, default);
        foreach (string provider in new[] { "slow.test", "other.test" })
        {
            await queue.OfferAsync(queue.Message(queue.Account(), (string[])["one@p.test"]));
            await queue.Writer.WriteAsync(db =>
            {
                using System.Data.Common.DbCommand update = db.CreateCommand();
                update.CommandText = $"update recipient set waits_for = 'ip 127.0.0.2 {provider}' where waits_for is null";
                return update.ExecuteNonQuery();
            });
        }
        control.Dispose();
        queue.Reopen();
        (_, control) = await StartAsync(queue);

        Assert.True(await control.CancelPaceAsync("*", "slow.test", null, "uid 0", default));

        await DeliveryGateway.UntilAsync(async () => await queue.Count("recipient", "waits_for is null") == 1);
        Assert.Equal(1, await queue.Count("recipient", "waits_for = 'ip 127.0.0.2 other.test'"));
        control.Dispose();
    }

    /// <summary>Orders and what replies and time have changed may be stored in one batch.</summary>
    [Fact]
    public async Task What_is_ordered_while_a_state_changes_is_the_same_after_a_restart()
    {
        using var queue = new QueueFixture();
        (EgressStates states, EgressControl control) = await StartAsync(queue);
        EgressGrant[] grants = [states.Ask(AAtP, default, out _)!.Value, states.Ask(AAtP, default, out _)!.Value];
        states.Refused(grants[0], new Core.Replies.ReplyFinding(Core.Replies.ReplyClass.Rate, "provider-p.test"), "451 slow down", "acme");
        await control.RestAsync(B, TimeSpan.FromHours(1), null, null, "uid 0", default);
        await DeliveryGateway.UntilAsync(async () => await queue.Count("egress_state") == 2);
        using var go = new ManualResetEventSlim();
        Task<bool> stalled = queue.Writer.RunAsync(_ => go.Wait(TimeSpan.FromSeconds(20)), default);

        Task<System.Collections.Immutable.ImmutableArray<EgressState>> resumed = control.ResumeAsync(A, null, null, "uid 0", default);
        states.Refused(grants[1], new Core.Replies.ReplyFinding(Core.Replies.ReplyClass.IpBlocked, "provider-p.test"), "550 blocked", "acme"); // Stored behind the order.
        Task<EgressState> rested = control.RestAsync(B, null, "again", null, "uid 0", default);
        queue.Time.Advance(TimeSpan.FromHours(2)); // The rest of before ends, behind the order.
        go.Set();
        Assert.True(await stalled);
        await resumed;
        await rested;
        await queue.Writer.RunAsync(static _ => true, default);
        string[] before = [.. states.All().Select(static s => s.ToString())];
        control.Dispose();
        queue.Reopen();
        (states, control) = await StartAsync(queue);

        Assert.Contains("again", Assert.Single(before), StringComparison.Ordinal);
        Assert.Equal(before, states.All().Select(static s => s.ToString()));
        control.Dispose();
    }

    private static async Task<(EgressStates States, EgressControl Control)> StartAsync(QueueFixture queue)
    {
        var states = new EgressStates(queue.Time);
        var control = new EgressControl(queue.Store, queue.Writer, queue.Waiting, states, queue.Time, NullLogger<EgressControl>.Instance);
        await control.StartAsync(default);
        return (states, control);
    }

    /// <summary>Two providers, two addresses of ours.</summary>
    private sealed class World : IAsyncDisposable
    {
        private readonly FakeDns _dns = new();

        public World(Action<RelayGateOptions>? change = null)
        {
            P = new FakeNextHop(IPAddress.Parse("127.0.1.1"));
            Q = new FakeNextHop(IPAddress.Parse("127.0.1.2"), P.EndPoint.Port);
            _dns.Mx("p.test", 10, "mx.provider-p.test").A("mx.provider-p.test", "127.0.1.1").Mx("q.test", 10, "mx.provider-q.test").A("mx.provider-q.test", "127.0.1.2");
            Gateway = new DeliveryGateway(P, options =>
            {
                options.Delivery.NextHop = "mx";
                options.Delivery.MxPort = P.EndPoint.Port;
                options.Delivery.Resolver = _dns.EndPoint.ToString();
                options.Delivery.AllowLoopback = true;
                change?.Invoke(options);
            });
            Start = Queue.Time.GetUtcNow();
        }

        public FakeNextHop P { get; }

        public FakeNextHop Q { get; }

        public DeliveryGateway Gateway { get; }

        public DateTimeOffset Start { get; }

        public QueueFixture Queue => Gateway.Queue;

        public async Task AcceptAsync(string subscription, IPAddress from, params string[] recipients)
        {
            Queue.Egress = DeliveryHarness.EgressFrom(from.ToString());
            Assert.Equal(OfferOutcome.Committed, (await Queue.OfferAsync(Queue.Message(Queue.Account(subscription), recipients))).Outcome);
        }

        public Task UntilWaitingAsync(int recipients, string cause = "ip 127.0.0.2 provider-p.test") =>
            DeliveryGateway.UntilAsync(async () => await Queue.Count("recipient", $"waits_for = '{cause}' and attempts = uncounted") == recipients);

        /// <summary>Moves the clock until something is so; what is under way ends before each step.</summary>
        public async Task AdvanceUntilAsync(Func<bool> condition, TimeSpan? step = null)
        {
            for (int i = 0; i < 1000 && !condition(); i++)
            {
                Queue.Time.Advance(step ?? TimeSpan.FromMinutes(2));
                await Queue.Count("message");
                await Task.Delay(20);
                await DeliveryGateway.UntilAsync(() => Task.FromResult(Queue.Scheduler.InFlight == 0));
            }
            Assert.True(condition());
        }

        public async ValueTask DisposeAsync()
        {
            await Gateway.DisposeAsync();
            await P.DisposeAsync();
            await Q.DisposeAsync();
            await _dns.DisposeAsync();
        }
    }
}
