using Microsoft.Extensions.Logging.Abstractions;
using RelayGate.Core.Mail;
using RelayGate.Delivery;
using RelayGate.Queue;
using RelayGate.Tests.Fakes;

namespace RelayGate.Tests.Delivery;

/// <summary>The end of held mail that has become too old.</summary>
public sealed class HeldExpiryTests
{
    [Fact]
    public async Task What_was_held_during_its_attempt_is_not_given_up_before_the_attempt_has_ended()
    {
        await using var hop = new FakeNextHop();
        using var asked = new SemaphoreSlim(0);
        using var answer = new ManualResetEventSlim();
        hop.Script = e =>
        {
            if (e.Verb != "MAIL")
                return null;
            asked.Release();
            answer.Wait(TimeSpan.FromSeconds(20));
            return null;
        };
        await using var gateway = new DeliveryGateway(hop);
        await gateway.AcceptAsync("bob@p.test");
        Assert.True(await asked.WaitAsync(TimeSpan.FromSeconds(10)));
        gateway.Queue.Suspended.Add("acme");
        await gateway.Queue.Scheduler.HoldSuspendedAsync([1]);
        gateway.Queue.Time.Advance(TimeSpan.FromSeconds(2));
        using var expiry = new HeldExpiry(
            new HeldMail(gateway.Queue.Store, gateway.Queue.Writer, NullLogger<HeldMail>.Instance), gateway.Service, TimeSpan.FromSeconds(1), gateway.Queue.Time, NullLogger<HeldExpiry>.Instance);

        DateTimeOffset? oldest = await expiry.ExpireAsync().WaitAsync(TimeSpan.FromSeconds(10));

        Assert.NotNull(oldest);
        Assert.Equal(1, await gateway.Queue.Count("recipient", "state = 0"));
        answer.Set();
        await hop.NextAsync();
        await gateway.UntilSettledAsync();
        Assert.Equal(1, await gateway.Queue.Count("decision", "outcome = 5"));
        Assert.Equal(1, await gateway.Queue.Count("decision")); // No DSN.
        Assert.Null(await expiry.ExpireAsync());
    }
}
