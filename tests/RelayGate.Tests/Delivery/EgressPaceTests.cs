using System.Net;
using FsCheck;
using FsCheck.Fluent;
using RelayGate.Core.Policy;
using RelayGate.Core.Replies;
using RelayGate.Egress;
using RelayGate.Queue;
using RelayGate.Tests.Fakes;

namespace RelayGate.Tests.Delivery;

/// <summary>The pace of an address at a provider is a real limit, by hand or learned, whoever asks and in whatever order.</summary>
public sealed class EgressPaceTests
{
    private static readonly EgressKey Pair = new(IPAddress.Parse("192.0.2.11"), "p.test");

    private readonly ManualTimeProvider _time = new();

    [Fact]
    public void In_no_minute_do_more_messages_go_than_the_pace_says_whatever_the_schedule() =>
        Prop.ForAll(
            Gen.Choose(1, 30).Zip(Gen.ListOf(Gen.Choose(0, 3), 400)).Zip(Gen.ListOf(Gen.Choose(0, 20_000), 400)).ToArbitrary(),
            schedule =>
            {
                ((int pace, List<int> kinds), List<int> gaps) = schedule;
                var time = new ManualTimeProvider();
                EgressStates states = Paced(time, pace);
                var waiting = new List<DateTimeOffset>();
                var gone = new List<DateTimeOffset>();
                foreach ((int kind, int gap) in kinds.Zip(gaps))
                {
                    time.Advance(TimeSpan.FromMilliseconds(kind == 0 ? gap : gap / 20));
                    // A new message, one whose time has come, or one that was hurried by hand.
                    DateTimeOffset slot = kind == 1 && waiting.Find(at => at <= time.GetUtcNow()) is var due && due != default ? due : kind == 2 && waiting.Count > 0 ? waiting[0] : default;
                    waiting.Remove(slot);
                    if (states.Ask(Pair, slot, out PutOff? wait) is { } grant)
                    {
                        gone.Add(time.GetUtcNow());
                        states.Release(grant);
                    }
                    else
                    {
                        Assert.True(wait!.Until > time.GetUtcNow());
                        waiting.Add(wait.Until);
                    }
                }
                for (int i = 0; i + pace < gone.Count; i++)
                    Assert.True(gone[i + pace] - gone[i] >= TimeSpan.FromMinutes(1));
            }).QuickCheckThrowOnFailure();

    [Fact]
    public async Task Many_workers_at_once_do_not_exceed_the_pace_and_all_get_slots_of_their_own()
    {
        EgressStates states = Paced(_time, 10);
        var slots = new System.Collections.Concurrent.ConcurrentBag<DateTimeOffset>();
        int gone = 0;

        await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => Task.Run(() =>
        {
            for (int i = 0; i < 50; i++)
            {
                if (states.Ask(Pair, default, out PutOff? wait) is not null)
                    Interlocked.Increment(ref gone);
                else
                    slots.Add(wait!.Until);
            }
        })));

        Assert.Equal(1, gone);
        Assert.Equal(399, slots.Distinct().Count());
        Assert.True(slots.Max() - _time.GetUtcNow() <= TimeSpan.FromMinutes(40));
    }

    [Fact]
    public void What_has_a_slot_goes_then_and_what_is_new_does_not_go_before_it()
    {
        EgressStates states = Paced(_time, 6);
        Assert.NotNull(states.Ask(Pair, default, out _));
        Assert.Null(states.Ask(Pair, default, out PutOff? first));
        Assert.Equal(_time.GetUtcNow().AddSeconds(10), first!.Until);

        _time.Advance(TimeSpan.FromSeconds(10));
        Assert.Null(states.Ask(Pair, default, out PutOff? second));
        Assert.NotNull(states.Ask(Pair, first.Until, out _));
        Assert.Null(states.Ask(Pair, first.Until, out _)); // A slot is used once.
        _time.Advance(TimeSpan.FromSeconds(10));
        Assert.NotNull(states.Ask(Pair, second!.Until, out _));
    }

    [Fact]
    public void Beyond_an_hour_of_slots_the_rest_comes_back_in_about_an_hour_and_not_all_at_once()
    {
        EgressStates states = Paced(_time, 1);
        var until = new List<TimeSpan>();
        for (int i = 0; i < 1000; i++)
        {
            if (states.Ask(Pair, default, out PutOff? wait) is null)
                until.Add(wait!.Until - _time.GetUtcNow());
        }

        Assert.Equal(60, until.Take(60).Distinct().Count());
        Assert.All(until.Skip(60), wait => Assert.InRange(wait, TimeSpan.FromMinutes(50), TimeSpan.FromMinutes(80)));
        Assert.True(until.Skip(60).Distinct().Count() > 900);
    }

    [Fact]
    public void What_meets_no_free_connection_gives_its_slot_back_for_a_later_one()
    {
        EgressStates states = Paced(_time, 6, connections: 1);
        EgressGrant running = states.Ask(Pair, default, out _)!.Value;
        Assert.Null(states.Ask(Pair, default, out PutOff? first));
        _time.Advance(first!.Until - _time.GetUtcNow());
        Assert.Null(states.Ask(Pair, first.Until, out PutOff? second));
        Assert.True(second!.Until > first.Until);
        states.Release(running);

        Assert.Null(states.Ask(Pair, first.Until, out _)); // Not once more.
        _time.Advance(second.Until - _time.GetUtcNow());
        Assert.NotNull(states.Ask(Pair, second.Until, out _));
    }

    [Fact]
    public void Slots_are_bounded_over_all_pairs_and_who_has_none_comes_back_in_about_an_hour()
    {
        var states = new EgressStates(_time);
        states.SetPaces([new EgressPace(EgressPace.Any, EgressPace.Any, EgressStates.MaxPace, null, _time.GetUtcNow(), null, null, "uid 0")]);
        EgressKey[] keys = [.. Enumerable.Range(0, 20).Select(static i => new EgressKey(IPAddress.Parse("192.0.2.11"), $"p{i}.test"))];
        int given = 0;
        TimeSpan longest = TimeSpan.Zero;
        for (int i = 0; i < EgressStates.MaxSlots * 5 / 4; i++)
        {
            if (states.Ask(keys[i % keys.Length], default, out PutOff? wait) is not null)
                continue;
            TimeSpan length = wait!.Until - _time.GetUtcNow();
            if (length < TimeSpan.FromMinutes(50))
                given++;
            longest = length > longest ? length : longest;
        }
        Assert.Equal(EgressStates.MaxSlots, given);
        Assert.InRange(longest, TimeSpan.FromMinutes(50), TimeSpan.FromMinutes(80));

        _time.Advance(TimeSpan.FromMinutes(30)); // They are over, and forgotten as their pairs are used.
        foreach (EgressKey key in keys)
            states.Ask(key, default, out _);
        Assert.Null(states.Ask(keys[0], default, out PutOff? next));
        Assert.InRange(next!.Until - _time.GetUtcNow(), TimeSpan.Zero, TimeSpan.FromMinutes(1));
    }

    /// <summary>Looking for pairs that nobody uses is looking at all of them: not for each message.</summary>
    [Fact]
    public void Pairs_that_do_not_fit_are_not_followed_and_find_room_when_others_are_idle()
    {
        var states = new EgressStates(_time);
        EgressKey KeyOf(int i) => new(IPAddress.Parse("192.0.2.11"), $"p{i}.test");
        for (int i = 0; i < EgressStates.MaxPairs; i++)
            states.Release(states.Ask(KeyOf(i), default, out _)!.Value);
        for (int i = 0; i < 50_000; i++) // Would look at three milliards.
            states.Release(states.Ask(KeyOf(EgressStates.MaxPairs + i), default, out _)!.Value);
        EgressKey late = KeyOf(-1);
        Refuse(late);
        Assert.Null(states.Find(late));

        _time.Advance(TimeSpan.FromMinutes(11));
        Refuse(late);
        Assert.NotNull(states.Find(late));

        void Refuse(EgressKey key) => states.Refused(states.Ask(key, default, out _)!.Value, new ReplyFinding(ReplyClass.Rate, "p.test"), "421 4.7.0 too fast", "acme");
    }

    [Fact]
    public void Too_fast_halves_the_pace_and_success_raises_it_again_until_it_is_what_it_was()
    {
        var states = new EgressStates(_time);
        EgressGrant last = default;
        for (int i = 0; i < 40; i++)
            last = states.Ask(Pair, default, out _)!.Value;

        (WaitKey waitsFor, DateTimeOffset until) = states.Refused(last, new ReplyFinding(ReplyClass.Rate, "p.test"), "421 4.7.0 too fast", "acme");

        EgressState slowed = states.Find(Pair)!;
        Assert.Equal((EgressCondition.Slowed, 20, 20, 40), (slowed.Condition, slowed.PerMinute!.Value, slowed.Connections!.Value, slowed.Before!.Value));
        Assert.InRange(slowed.Until!.Value - _time.GetUtcNow(), TimeSpan.FromMinutes(30), TimeSpan.FromMinutes(90));
        Assert.Equal("ip 192.0.2.11 p.test", waitsFor.Text);
        Assert.InRange(until, _time.GetUtcNow(), _time.GetUtcNow().AddHours(1));
        states.Refused(last, new ReplyFinding(ReplyClass.Rate, "p.test"), "421 4.7.0 too fast", "acme"); // Was on its way already.
        Assert.Equal(20, states.Find(Pair)!.PerMinute);

        for (int i = 0; i < 40; i++)
            states.Release(last);
        var paces = new List<int>();
        for (int i = 0; i < 10 && states.Find(Pair) is not null; i++)
        {
            _time.Advance(TimeSpan.FromSeconds(61));
            EgressGrant grant = states.Ask(Pair, default, out _)!.Value;
            states.Succeeded(grant);
            states.Release(grant);
            paces.Add(states.Find(Pair)?.PerMinute ?? 0);
        }
        Assert.Equal([24, 28, 32, 36, 0], paces);
    }

    [Fact]
    public void However_often_it_is_too_fast_one_message_a_minute_and_one_connection_are_left()
    {
        var states = new EgressStates(_time);
        for (int i = 0; i < 8; i++)
        {
            EgressGrant grant = states.Ask(Pair, default, out _)!.Value;
            states.Refused(grant, new ReplyFinding(ReplyClass.Rate, "p.test"), "421 4.7.0 too fast", "acme");
            states.Release(grant);
            _time.Advance(TimeSpan.FromMinutes(2));
        }

        Assert.Equal((1, 1), (states.Find(Pair)!.PerMinute!.Value, states.Find(Pair)!.Connections!.Value));
        EgressGrant held = states.Ask(Pair, default, out _)!.Value;
        _time.Advance(TimeSpan.FromMinutes(2));
        Assert.Null(states.Ask(Pair, default, out PutOff? wait)); // The one connection is in use.
        Assert.True(wait!.Until > _time.GetUtcNow());
        states.Release(held);
        _time.Advance(TimeSpan.FromMinutes(2));
        Assert.NotNull(states.Ask(Pair, wait.Until, out _));
    }

    [Fact]
    public void A_pace_by_hand_wins_over_the_learned_one_until_it_ends()
    {
        var states = new EgressStates(_time);
        EgressGrant grant = states.Ask(Pair, default, out _)!.Value;
        states.Refused(grant, new ReplyFinding(ReplyClass.Rate, "p.test") { Pause = TimeSpan.FromHours(10) }, "421 4.7.0 too fast", "acme");
        states.Release(grant);
        states.SetPaces([new EgressPace("*", "p.test", 600, null, _time.GetUtcNow(), _time.GetUtcNow().AddHours(1), null, "uid 0"), new EgressPace("*", "*", 1, null, _time.GetUtcNow(), null, null, "uid 0")]);

        for (int i = 0; i < 5; i++)
        {
            Assert.NotNull(states.Ask(Pair, default, out _));
            _time.Advance(TimeSpan.FromMilliseconds(100));
        }
        _time.Advance(TimeSpan.FromHours(1));
        Assert.NotNull(states.Ask(Pair, default, out _));
        _time.Advance(TimeSpan.FromSeconds(30));
        Assert.Null(states.Ask(Pair, default, out _));
        Assert.NotNull(states.Ask(Pair with { Address = IPAddress.Parse("192.0.2.12") }, default, out _)); // Each pair has its own.
    }

    [Theory]
    [InlineData(ReplyClass.IpBlocked, 1, 2, 2)]
    [InlineData(ReplyClass.IpBlocked, 3, 8, 8)]
    [InlineData(ReplyClass.Ptr, 2, 4, 4)]
    [InlineData(ReplyClass.IpBlocked, 100, 24, 24)]
    [InlineData(ReplyClass.IpDeferred, 5, 2, 4)]
    [InlineData(ReplyClass.Rate, 1, 0.5, 1.5)]
    public void Each_class_has_its_length(ReplyClass replyClass, int repetition, double fewestHours, double mostHours)
    {
        Assert.Equal(TimeSpan.FromHours(fewestHours), PauseSchedule.LengthOf(replyClass, repetition, 0));
        Assert.InRange(PauseSchedule.LengthOf(replyClass, repetition, 0.999999), TimeSpan.FromHours(fewestHours), TimeSpan.FromHours(mostHours));
    }

    private static EgressStates Paced(TimeProvider time, int pace, int? connections = null)
    {
        var states = new EgressStates(time);
        states.SetPaces([new EgressPace(Pair.Address.ToString(), Pair.Provider, pace, connections, time.GetUtcNow(), null, null, "uid 0")]);
        return states;
    }
}
