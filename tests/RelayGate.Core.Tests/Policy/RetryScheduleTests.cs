using FsCheck;
using FsCheck.Fluent;
using RelayGate.Core.Policy;

namespace RelayGate.Core.Tests.Policy;

public class RetryScheduleTests
{
    private static readonly DateTimeOffset Start = new(2026, 3, 1, 12, 0, 0, TimeSpan.Zero);
    private static readonly RetrySchedule Schedule = new(TimeSpan.FromMinutes(1), TimeSpan.FromHours(4), TimeSpan.FromDays(4));

    [Theory]
    [InlineData(1, 1)]
    [InlineData(2, 2)]
    [InlineData(3, 4)]
    [InlineData(8, 128)]
    [InlineData(9, 240)]
    [InlineData(50, 240)]
    [InlineData(int.MaxValue, 240)]
    public void Waits_double_up_to_the_longest(int attempts, double minutes) =>
        Assert.Equal(Start.AddMinutes(minutes), Schedule.Next(Start, Start, attempts, 0.5));

    [Fact]
    public void Random_spreads_the_wait_by_a_fifth_either_way()
    {
        Assert.Equal(Start.AddSeconds(48), Schedule.Next(Start, Start, 1, 0));
        Assert.InRange(Schedule.Next(Start, Start, 1, 0.999)!.Value, Start.AddSeconds(71.9), Start.AddSeconds(72));
    }

    [Fact]
    public void The_last_attempt_is_at_the_end_and_then_it_gives_up()
    {
        DateTimeOffset late = Start.AddDays(4).AddMinutes(-5);

        Assert.Equal(Start.AddDays(4), Schedule.Next(Start, late, 30, 0.5));
        Assert.Null(Schedule.Next(Start, Start.AddDays(4), 31, 0.5));
        Assert.Null(Schedule.Next(Start, Start.AddDays(9), 1, 0.5));
    }

    [Fact]
    public void Retries_always_go_forward_and_always_end() =>
        Prop.ForAll<PositiveInt, PositiveInt, NormalFloat>((first, longest, random) =>
        {
            var schedule = new RetrySchedule(TimeSpan.FromSeconds(first.Get), TimeSpan.FromSeconds(longest.Get), TimeSpan.FromDays(4));
            double number = Math.Abs(random.Get) % 1;
            DateTimeOffset now = Start;
            for (int attempts = 1; attempts < 600_000; attempts++)
            {
                if (schedule.Next(Start, now, attempts, number) is not { } next)
                    return true;
                if (next <= now)
                    return false;
                now = next;
            }
            return false;
        }).Check(Config.QuickThrowOnFailure.WithMaxTest(30));

    [Theory]
    [InlineData(DeliveryStage.Rcpt, 250, OutcomeKind.Delivered)]
    [InlineData(DeliveryStage.Rcpt, 251, OutcomeKind.Delivered)]
    [InlineData(DeliveryStage.Rcpt, 450, OutcomeKind.Deferred)]
    [InlineData(DeliveryStage.Rcpt, 550, OutcomeKind.Failed)]
    [InlineData(DeliveryStage.Rcpt, 421, OutcomeKind.NextHost)]
    [InlineData(DeliveryStage.Rcpt, 354, OutcomeKind.NextHost)]
    [InlineData(DeliveryStage.Greeting, 554, OutcomeKind.NextHost)]
    [InlineData(DeliveryStage.Ehlo, 550, OutcomeKind.NextHost)]
    [InlineData(DeliveryStage.Mail, 451, OutcomeKind.NextHost)]
    [InlineData(DeliveryStage.Mail, 550, OutcomeKind.Failed)]
    [InlineData(DeliveryStage.Data, 354, OutcomeKind.Delivered)]
    [InlineData(DeliveryStage.Data, 250, OutcomeKind.NextHost)]
    [InlineData(DeliveryStage.Data, 554, OutcomeKind.Failed)]
    [InlineData(DeliveryStage.EndOfData, 250, OutcomeKind.Delivered)]
    [InlineData(DeliveryStage.EndOfData, 421, OutcomeKind.Deferred)]
    [InlineData(DeliveryStage.EndOfData, 354, OutcomeKind.Deferred)]
    [InlineData(DeliveryStage.EndOfData, 554, OutcomeKind.Failed)]
    public void A_reply_has_its_meaning_at_each_stage(DeliveryStage stage, int code, OutcomeKind expected) =>
        Assert.Equal(expected, DeliveryOutcome.OfReply(stage, code));
}
