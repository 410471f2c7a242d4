using System.Net;
using Microsoft.Extensions.Logging.Abstractions;
using RelayGate.Core.Policy;
using RelayGate.Queue;
using RelayGate.Tests.Fakes;

namespace RelayGate.Tests.Delivery;

/// <summary>Mail whose address is not on this host waits for it, however short it is gone.</summary>
public sealed class MissingAddressTests
{
    [Fact]
    public async Task An_address_that_is_back_before_anybody_was_told_wakes_the_mail_that_waits_for_it()
    {
        await using var hop = new FakeNextHop();
        await using var gateway = new DeliveryGateway(hop);
        using var watch = new EgressWatch(
            gateway.Local, gateway.Queue.Store, gateway.Queue.Writer, gateway.Queue.Waiting, _ => Task.FromResult<IReadOnlyList<AddressInUse>>([]), (_, _, _, _) => new((EgressChoice?)null), gateway.Queue.Time,
            NullLogger<EgressWatch>.Instance);
        gateway.Local.NoteMissing(IPAddress.Parse("127.0.0.2"));
        await gateway.AcceptAsync("b@example.org");
        await DeliveryGateway.UntilAsync(async () => await gateway.Queue.Count("recipient", "waits_for is not null") == 1);

        await watch.LookAsync(all: false, CancellationToken.None);

        Assert.Equal(IPAddress.Parse("127.0.0.2"), (await hop.NextAsync()).Client);
    }
}
