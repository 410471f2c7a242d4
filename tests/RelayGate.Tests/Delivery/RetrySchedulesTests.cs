using RelayGate.Configuration;
using RelayGate.Core.Policy;
using RelayGate.Core.Replies;
using RelayGate.Delivery;

namespace RelayGate.Tests.Delivery;

public sealed class RetrySchedulesTests
{
    private static readonly DateTimeOffset Start = new(2026, 3, 1, 12, 0, 0, TimeSpan.Zero);

    /// <summary>The waits, in minutes, that follow one another where each attempt ends in the same way.</summary>
    [Theory]
    [InlineData("greylisted", "1 2 4 8 16 32 60 60")]
    [InlineData("transient", "1 2 4 8 16 32 64 128 240 240")]
    [InlineData("connection", "1 2 4 8 16 32 64 128 240 240")]
    [InlineData("local", "1 2 4 8 16 32 64 128 240 240")]
    [InlineData("rate", "5 10 20 40 80 160 240 240")]
    [InlineData("mailbox-full", "30 60 120 240 240")]
    [InlineData("ip-blocked", "15 30 60 120 240 240")]
    [InlineData("ip-deferred", "15 30 60 120 240 240")]
    [InlineData("ptr", "15 30 60 120 240 240")]
    public void Each_class_has_its_waits(string name, string minutes)
    {
        RetrySchedule schedule = new RetrySchedules(new DeliveryOptions()).For("dest.test", Outcome(name));

        int attempts = 0;
        foreach (string wait in minutes.Split(' '))
            Assert.Equal(Start.AddMinutes(int.Parse(wait)), schedule.Next(Start, Start, ++attempts, 0.5));
    }

    [Fact]
    public void One_setting_moves_all_classes_and_a_class_of_its_own_wins_over_provider_and_all()
    {
        var options = new DeliveryOptions { Retry = { First = TimeSpan.FromSeconds(1), Longest = TimeSpan.FromSeconds(20) } };
        options.Providers["google"] = new ProviderOptions { Retry = new RetryOverride { First = TimeSpan.FromSeconds(2), Longest = TimeSpan.FromHours(1), GiveUpAfter = TimeSpan.FromDays(2) } };
        options.Providers["yahoo"] = new ProviderOptions { Connections = 2 };
        options.Retry.Classes["Rate"] = new RetryOverride { First = TimeSpan.FromSeconds(7), GiveUpAfter = TimeSpan.FromDays(1) };
        var schedules = new RetrySchedules(options);

        Assert.Equal((1, 20, 4), Of("", "greylisted"));
        Assert.Equal((20, 20, 4), Of("", "mailbox-full"));
        Assert.Equal((1, 20, 4), Of("yahoo", "transient"));
        Assert.Equal((2, 3600, 2), Of("Google", "transient"));
        Assert.Equal((60, 3600, 2), Of("google", "mailbox-full"));
        Assert.Equal((7, 3600, 1), Of("google", "rate"));
        Assert.Equal((7, 20, 1), Of("nobody.test", "rate"));

        (int First, int Longest, int Days) Of(string provider, string name)
        {
            RetrySchedule schedule = schedules.For(provider, Outcome(name));
            return ((int)schedule.First.TotalSeconds, (int)schedule.Longest.TotalSeconds, (int)schedule.GiveUpAfter.TotalDays);
        }
    }

    /// <summary>RFC 5321 §4.5.4.1: at least two attempts in the first hour, and then every few hours, unless the next hop said that it is of no use.</summary>
    [Theory]
    [InlineData("greylisted")]
    [InlineData("transient")]
    [InlineData("connection")]
    [InlineData("rate")]
    [InlineData("ip-deferred")]
    public void There_are_attempts_enough_in_the_first_hour_and_the_last_is_at_the_end(string name)
    {
        RetrySchedule schedule = new RetrySchedules(new DeliveryOptions()).For("", Outcome(name));
        foreach (double random in (double[])[0, 0.5, 0.999])
        {
            DateTimeOffset now = Start;
            int inFirstHour = 0;
            for (int attempts = 1; schedule.Next(Start, now, attempts, random) is { } next; attempts++)
            {
                Assert.InRange(next - now, TimeSpan.FromTicks(1), schedule.Longest * 1.2);
                now = next;
                inFirstHour += now <= Start.AddHours(1) ? 1 : 0;
            }
            Assert.InRange(inFirstHour, 2, 7);
            Assert.Equal(Start + schedule.GiveUpAfter, now);
        }
    }

    private static RecipientOutcome Outcome(string name) => name switch
    {
        "connection" => RecipientOutcome.Local(OutcomeKind.Deferred, "4.4.1", "No connection"),
        "local" => RecipientOutcome.Local(OutcomeKind.Deferred, "4.3.5", "No address"),
        _ => new RecipientOutcome(OutcomeKind.Deferred, "4.2.0", "450 4.2.0 Later", 450)
        {
            Finding = new ReplyFinding(ReplyClassNames.TryParse(name, out ReplyClass found) ? found : throw new ArgumentException(name), "dest.test"),
        },
    };
}
