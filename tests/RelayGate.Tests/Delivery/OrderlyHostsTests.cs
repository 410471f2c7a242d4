using System.Net;
using RelayGate.Delivery;

namespace RelayGate.Tests.Delivery;

public sealed class OrderlyHostsTests
{
    [Fact]
    public void What_does_not_fit_makes_room_from_the_oldest_on()
    {
        var hosts = new OrderlyHosts(TimeProvider.System);
        for (int i = 0; i <= OrderlyHosts.MaxKnown; i++)
            hosts.KeptStep(Host(i));

        Assert.Equal((false, true, true), (hosts.IsOrderly(Host(0)), hosts.IsOrderly(Host(1)), hosts.IsOrderly(Host(OrderlyHosts.MaxKnown))));
    }

    private static IPEndPoint Host(int number) => new(new IPAddress(0x0A000000L + number), 25);
}
