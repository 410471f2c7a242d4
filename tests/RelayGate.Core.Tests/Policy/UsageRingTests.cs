using FsCheck;
using FsCheck.Fluent;
using RelayGate.Core.Policy;

namespace RelayGate.Core.Tests.Policy;

public class UsageRingTests
{
    private static readonly DateTimeOffset Start = new(2026, 11, 23, 14, 0, 30, TimeSpan.Zero);

    [Fact]
    public void An_unused_ring_is_empty_and_has_room_now()
    {
        var ring = new UsageRing();

        Assert.Equal(0, ring.Used(LimitUnit.Messages, LimitWindow.Hour, Start));
        Assert.Equal(Start, ring.WhenAtMost(0, LimitUnit.Messages, LimitWindow.Hour, Start));
        Assert.Equal(DateTimeOffset.MinValue, ring.Newest);
    }

    [Theory]
    [InlineData(LimitWindow.Hour, 60, 3)] // 15:00:30: the minute of 14:00 is the oldest of 61.
    [InlineData(LimitWindow.Hour, 61, 0)]
    [InlineData(LimitWindow.Day, 24 * 60, 3)]
    [InlineData(LimitWindow.Day, 25 * 60, 0)]
    public void Usage_leaves_the_window_with_its_bucket(LimitWindow window, int minutesLater, int used)
    {
        var ring = new UsageRing();
        for (int i = 0; i < 3; i++)
            ring.Add(2, Start);

        Assert.Equal(used, ring.Used(LimitUnit.Messages, window, Start.AddMinutes(minutesLater)));
        Assert.Equal(2 * used, ring.Used(LimitUnit.Recipients, window, Start.AddMinutes(minutesLater)));
    }

    [Fact]
    public void Room_comes_back_when_the_oldest_bucket_leaves()
    {
        var ring = new UsageRing();
        ring.Add(1, Start);
        ring.Add(1, Start.AddMinutes(10));

        Assert.Equal(new DateTimeOffset(2026, 11, 23, 15, 1, 0, TimeSpan.Zero), ring.WhenAtMost(1, LimitUnit.Messages, LimitWindow.Hour, Start.AddMinutes(12)));
        Assert.Equal(new DateTimeOffset(2026, 11, 23, 15, 11, 0, TimeSpan.Zero), ring.WhenAtMost(0, LimitUnit.Messages, LimitWindow.Hour, Start.AddMinutes(12)));
        Assert.Equal(new DateTimeOffset(2026, 11, 24, 15, 0, 0, TimeSpan.Zero), ring.WhenAtMost(0, LimitUnit.Messages, LimitWindow.Day, Start.AddMinutes(12)));
        Assert.Equal(DateTimeOffset.MaxValue, ring.WhenAtMost(-1, LimitUnit.Messages, LimitWindow.Hour, Start));
    }

    [Fact]
    public void A_clock_that_steps_back_neither_frees_nor_moves_usage()
    {
        var ring = new UsageRing();
        ring.Add(1, Start);
        ring.Add(1, Start.AddHours(-5));

        Assert.Equal(2, ring.Used(LimitUnit.Messages, LimitWindow.Hour, Start.AddHours(-5)));
        Assert.Equal(2, ring.Used(LimitUnit.Messages, LimitWindow.Hour, Start.AddMinutes(59)));
    }

    [Fact]
    public void A_copy_is_not_changed_by_later_use()
    {
        var ring = new UsageRing();
        ring.Add(1, Start);
        UsageRing copy = ring.Copy();
        ring.Add(5, Start.AddMinutes(1));

        Assert.Equal(1, copy.Used(LimitUnit.Recipients, LimitWindow.Hour, Start));
        Assert.Equal(6, ring.Used(LimitUnit.Recipients, LimitWindow.Hour, Start));
    }

    [Fact]
    public void The_largest_stored_form_is_within_its_bound()
    {
        var ring = new UsageRing();
        for (int hour = 0; hour < 26; hour++)
        {
            for (int minute = 0; minute < 60; minute += hour < 24 ? 60 : 1)
            {
                ring.Add(int.MaxValue, Start.AddHours(hour).AddMinutes(minute));
                ring.Add(int.MaxValue, Start.AddHours(hour).AddMinutes(minute));
            }
        }

        Assert.InRange(ring.ToBytes().Length, 300, UsageRing.MaxOctets);
        Assert.InRange(UsageRing.MaxOctets, 0, 2048);
    }

    [Theory]
    [InlineData("")]
    [InlineData("00")]
    [InlineData("02")]
    [InlineData("01")]
    [InlineData("0100000000000000000000000000000000000000")]
    [InlineData("01FFFFFFFFFFFFFFFF00000000000000000000")]
    [InlineData("0100000000000000003E000000000000000000")]
    [InlineData("01000000000000000001FFFFFFFFFFFF")]
    public void Stored_usage_that_cannot_be_right_is_a_format_error(string hex) =>
        Assert.Throws<FormatException>(() => UsageRing.FromBytes(Convert.FromHexString(hex)));

    /// <summary>Each step is a move of the clock in seconds (also back) and a number of recipients, offered against a limit.</summary>
    [Fact]
    public void No_hour_holds_more_than_the_limit_and_none_is_refused_that_a_minute_more_would_allow() =>
        Prop.ForAll(Schedules(), schedule => FollowsThePlainCount(schedule, LimitUnit.Messages) && FollowsThePlainCount(schedule, LimitUnit.Recipients))
            .QuickCheckThrowOnFailure();

    [Fact]
    public void What_is_stored_and_read_back_answers_alike() =>
        Prop.ForAll(Schedules(), schedule =>
        {
            (UsageRing ring, DateTimeOffset now) = Run(schedule);
            UsageRing read = UsageRing.FromBytes(ring.ToBytes());
            return read.Newest == ring.Newest && Questions(read, now).SequenceEqual(Questions(ring, now))
                && read.ToBytes().AsSpan().SequenceEqual(ring.ToBytes());
        }).QuickCheckThrowOnFailure();

    [Fact]
    public void What_is_taken_back_again_leaves_no_trace() =>
        Prop.ForAll(Schedules(), Gen.Choose(0, 100_000).ToArbitrary(), (schedule, later) =>
        {
            (UsageRing ring, DateTimeOffset now) = Run(schedule);
            UsageRing with = ring.Copy();
            with.Add(3, now);
            DateTimeOffset counted = now > with.Newest ? now : with.Newest;
            now += TimeSpan.FromSeconds(later);
            ring.Add(1, now);
            with.Add(1, now);
            with.Remove(3, counted);
            return Questions(with, now).SequenceEqual(Questions(ring, now));
        }).QuickCheckThrowOnFailure();

    [Fact]
    public void At_the_promised_time_usage_has_fallen_and_just_before_it_has_not() =>
        Prop.ForAll(Schedules(), schedule =>
        {
            (UsageRing ring, DateTimeOffset now) = Run(schedule);
            foreach (LimitWindow window in Enum.GetValues<LimitWindow>())
            {
                for (long target = 0; target < ring.Used(LimitUnit.Messages, window, now); target++)
                {
                    DateTimeOffset when = ring.WhenAtMost(target, LimitUnit.Messages, window, now);
                    if (ring.Used(LimitUnit.Messages, window, when) > target || ring.Used(LimitUnit.Messages, window, when.AddTicks(-1)) <= target)
                        return false;
                }
            }
            return true;
        }).QuickCheckThrowOnFailure();

    private static Arbitrary<(int Limit, (int Seconds, int Recipients)[] Steps)> Schedules()
    {
        Gen<int> seconds = Gen.Frequency((6, Gen.Choose(0, 20)), (6, Gen.Choose(20, 400)), (1, Gen.Choose(3000, 4000)), (1, Gen.Choose(-4000, 0)), (1, Gen.Choose(80_000, 100_000)));
        Gen<(int Seconds, int Recipients)> step = from s in seconds from r in Gen.Choose(1, 3) select (s, r);
        return (from limit in Gen.Choose(1, 12) from steps in step.ArrayOf() select (limit, steps)).ToArbitrary();
    }

    private static (UsageRing Ring, DateTimeOffset Now) Run((int Limit, (int Seconds, int Recipients)[] Steps) schedule)
    {
        var ring = new UsageRing();
        DateTimeOffset now = Start;
        foreach ((int seconds, int recipients) in schedule.Steps)
        {
            now = now.AddSeconds(seconds);
            ring.Add(recipients, now);
        }
        return (ring, now);
    }

    private static IEnumerable<long> Questions(UsageRing ring, DateTimeOffset now) =>
        from window in Enum.GetValues<LimitWindow>()
        from unit in Enum.GetValues<LimitUnit>()
        from later in new[] { 0, 1, 30, 59, 60, 61, 1439, 1500 }
        select ring.Used(unit, window, now.AddMinutes(later));

    private static bool FollowsThePlainCount((int Limit, (int Seconds, int Recipients)[] Steps) schedule, LimitUnit unit)
    {
        var ring = new UsageRing();
        var accepted = new List<(DateTimeOffset At, int Cost)>();
        DateTimeOffset now = Start;
        DateTimeOffset clock = Start; // The usage clock: never behind what it has shown.
        foreach ((int seconds, int recipients) in schedule.Steps)
        {
            now = now.AddSeconds(seconds);
            DateTimeOffset usageNow = now < ring.Newest ? ring.Newest : now;
            clock = usageNow > clock ? usageNow : clock;
            int cost = unit == LimitUnit.Messages ? 1 : recipients;
            bool fits = ring.Used(unit, LimitWindow.Hour, clock) + cost <= schedule.Limit;
            int Sum(TimeSpan window) => accepted.Where(message => message.At > clock - window).Sum(message => message.Cost);
            if (fits && Sum(TimeSpan.FromMinutes(60)) + cost > schedule.Limit)
                return false; // 60 minutes would hold too much.
            if (!fits && Sum(TimeSpan.FromMinutes(61)) + cost <= schedule.Limit)
                return false; // Refused although even 61 minutes have room.
            if (!fits)
                continue;
            ring.Add(recipients, clock);
            accepted.Add((clock, cost));
        }
        return true;
    }
}
