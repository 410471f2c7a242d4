using RelayGate.Core.Policy;
using RelayGate.Delivery;
using RelayGate.Tests.Fakes;

namespace RelayGate.Tests.Delivery;

/// <summary>As <see cref="MisbehavingNextHopTests"/>, with TLS and around its start.</summary>
public sealed class MisbehavingTlsTests
{
    [Fact]
    public async Task Silence_inside_the_handshake_costs_the_time_limit_and_the_next_connection_does_without()
    {
        var stalled = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using FakeNextHop hop = Tls(e =>
        {
            if (e.Verb == "handshake")
                stalled.TrySetResult();
            return e.Verb == "STARTTLS" ? new HopAction.RawThenStop("220 2.0.0 Go on\r\n") : null;
        });
        var time = new ManualTimeProvider();
        using var harness = new DeliveryHarness(hop.Url, time);

        Task<AttemptResult> attempt = harness.AttemptAsync();
        await stalled.Task.WaitAsync(TimeSpan.FromSeconds(10));
        time.Advance(TimeSpan.FromMinutes(6));
        AttemptResult result = await attempt;

        Assert.Equal((OutcomeKind.Delivered, null), (result.Outcomes[0]!.Kind, result.Tls));
        Assert.Equal(2, hop.Connections);
    }

    [Theory]
    [InlineData("connect", "220-still\r\n")]
    [InlineData("EHLO", "250-SIZE")]
    [InlineData("content", "250 2.0.0 O")]
    public async Task A_reply_that_is_begun_and_not_ended_costs_the_time_limit(string verb, string octets)
    {
        var stalled = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using FakeNextHop hop = Tls(e =>
        {
            if (e.Verb != verb)
                return null;
            stalled.TrySetResult();
            return new HopAction.RawThenStop(octets);
        });
        var time = new ManualTimeProvider();
        using var harness = new DeliveryHarness(hop.Url, time, o => o.Delivery.Timeouts.Connect = TimeSpan.FromDays(100));

        AttemptResult result = await harness.AttemptUntilOverAsync(time, stalled.Task);

        Assert.StartsWith("Time limit reached", result.Outcomes[0]!.Text);
        Assert.Equal((OutcomeKind.Deferred, 1), (result.Outcomes[0]!.Kind, hop.Connections));
        Assert.Equal(0, harness.Pool.Open);
    }

    private static FakeNextHop Tls(Func<HopEvent, HopAction?> script)
    {
        var hop = new FakeNextHop { Script = script };
        hop.Extensions.Add("STARTTLS");
        return hop;
    }
}
