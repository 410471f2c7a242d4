using RelayGate.Core.Policy;
using RelayGate.Queue;

namespace RelayGate.Tests.Queue;

/// <summary>Steps of the wall clock, as NTP makes them after a boot: an hour of usage stays an hour.</summary>
public sealed class UsageClockTests : IDisposable
{
    private readonly QueueFixture _queue = new();

    [Theory]
    [InlineData(5)]
    [InlineData(-5)]
    [InlineData(24 * 400)]
    [InlineData(-24 * 400)]
    public async Task A_step_gives_no_room_and_takes_none(int hours)
    {
        await _queue.AcceptAsync(Account());
        _queue.Time.StepWallClock(TimeSpan.FromHours(hours));

        Assert.Equal(OfferOutcome.Refused, await OfferAsync());
        _queue.Time.Advance(TimeSpan.FromMinutes(59));
        Assert.Equal(OfferOutcome.Refused, await OfferAsync());
        _queue.Time.Advance(TimeSpan.FromMinutes(3));
        Assert.Equal(OfferOutcome.Committed, await OfferAsync());
    }

    [Theory]
    [InlineData(5)]
    [InlineData(-5)]
    [InlineData(24 * 400)]
    [InlineData(-24 * 400)]
    public async Task A_step_and_a_restart_give_no_room_and_take_none(int hours)
    {
        await _queue.AcceptAsync(Account());
        _queue.Time.Advance(TimeSpan.FromMinutes(10));
        _queue.Time.StepWallClock(TimeSpan.FromHours(hours));
        _queue.Reopen(TimeSpan.FromMinutes(10));

        Assert.Equal(OfferOutcome.Refused, await OfferAsync());
        _queue.Time.Advance(TimeSpan.FromMinutes(39));
        Assert.Equal(OfferOutcome.Refused, await OfferAsync());
        _queue.Time.Advance(TimeSpan.FromMinutes(3));
        Assert.Equal(OfferOutcome.Committed, await OfferAsync());
    }

    [Fact]
    public async Task A_wall_clock_that_is_behind_at_the_start_keeps_an_hour_for_no_longer_than_an_hour()
    {
        await _queue.AcceptAsync(Account());
        _queue.Time.StepWallClock(TimeSpan.FromDays(400));
        _queue.Reopen();
        _queue.Time.StepWallClock(TimeSpan.FromDays(-800)); // Set while nobody looked.
        _queue.Reopen();

        Assert.Equal(OfferOutcome.Refused, await OfferAsync());
        _queue.Time.Advance(TimeSpan.FromMinutes(62));
        Assert.Equal(OfferOutcome.Committed, await OfferAsync());
    }

    [Theory]
    [InlineData(60)]
    [InlineData(-60)]
    public async Task A_step_is_noted_within_a_minute_though_nothing_is_offered(int minutes)
    {
        await _queue.AcceptAsync(Account());
        _queue.Time.StepWallClock(TimeSpan.FromMinutes(minutes));
        _queue.Time.Advance(TimeSpan.FromMinutes(1));

        await _queue.Writer.WriteAsync(_ => 0);

        Assert.Equal(1, await _queue.Count("setting_state w join setting_state u", $"w.name = 'usage_wall_clock' and u.name = 'usage_clock' and w.value - u.value = {minutes * 60_000}"));
    }

    [Fact]
    public async Task The_time_that_a_refusal_names_and_the_hours_of_reports_are_those_of_the_wall_clock()
    {
        await _queue.AcceptAsync(Account());
        _queue.Time.StepWallClock(TimeSpan.FromMinutes(300));
        DateTimeOffset now = _queue.Time.GetUtcNow();

        OfferResult refused = await _queue.OfferAsync(_queue.Message(Account()));

        Assert.InRange(refused.Decision!.NextPossible!.Value, now.AddMinutes(59), now.AddMinutes(62));
        Assert.Contains($"next possible {refused.Decision.NextPossible.Value:HH:mm} UTC", refused.Decision.Reply.ToString(), StringComparison.Ordinal);
        Assert.Equal(1, await _queue.Count("usage_hour", $"hour = {now.ToUnixTimeSeconds() / 3600} and level = 2 and refused = 1"));
    }

    public void Dispose() => _queue.Dispose();

    private SenderAccount Account() => _queue.Account(limit: "1/h");

    private async Task<OfferOutcome> OfferAsync() => (await _queue.OfferAsync(_queue.Message(Account()))).Outcome;
}
