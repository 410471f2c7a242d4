using RelayGate.Tests.Fakes;

namespace RelayGate.Tests.Delivery;

/// <summary>What happens to a message after it was accepted never counts again.</summary>
public sealed class CountedOnceTests
{
    [Fact]
    public async Task Greylisting_retries_and_the_report_of_a_failure_count_nothing()
    {
        await using var hop = new FakeNextHop();
        int asked = 0;
        hop.Script = e => e.Verb != "RCPT" ? null
            : e.Line.Contains("grey@", StringComparison.Ordinal) && Interlocked.Increment(ref asked) < 3 ? new HopAction.Raw("451 4.7.1 Greylisted, come back later\r\n")
            : e.Line.Contains("unknown@", StringComparison.Ordinal) ? new HopAction.Raw("550 5.1.1 No such user\r\n") : null;
        await using var gateway = new DeliveryGateway(hop);

        await gateway.AcceptAsync("grey@example.org", "unknown@example.net");
        ReceivedMessage first = await gateway.AdvanceUntilNextAsync(hop, TimeSpan.FromMinutes(1), TimeSpan.FromHours(12));
        ReceivedMessage second = await gateway.AdvanceUntilNextAsync(hop, TimeSpan.FromMinutes(1), TimeSpan.FromHours(12));
        await gateway.UntilSettledAsync();

        Assert.Single([first, second], static m => m.Mail.Contains("<>", StringComparison.Ordinal)); // The report.
        Assert.Equal(1, await gateway.Queue.Count("decision", "kind = 3"));
        Assert.True(asked >= 3);
        Assert.Equal(5, await gateway.Queue.Count("usage_hour")); // One hour, one class, five levels.
        Assert.Equal(5, await gateway.Queue.Count("usage_hour", "messages = 1 and recipients = 2 and refused = 0"));
    }
}
