using RelayGate.Core.Policy;
using RelayGate.Tests.Fakes;

namespace RelayGate.Tests.Delivery;

/// <summary>
/// How often the gateway waits for the next hop. The fake says nothing until nothing more comes for a while, and then answers all at once: each burst that
/// it reads is one round trip, whatever network lies between.
/// </summary>
public sealed class RoundTripTests
{
    [Theory]
    [InlineData("PIPELINING CHUNKING", 1, 1)]
    [InlineData("PIPELINING CHUNKING", 50, 1)] // MAIL, RCPT and BDAT LAST in one write.
    [InlineData("PIPELINING", 1, 2)] // DATA must be answered before the content goes (RFC 2920 §3.1).
    [InlineData("PIPELINING", 50, 2)]
    [InlineData("", 1, 4)]
    public async Task A_transaction_on_a_kept_session_takes_as_few_round_trips_as_the_next_hop_allows(string extensions, int recipients, int expected)
    {
        await using var hop = new FakeNextHop { Extensions = [.. extensions.Split(' ', StringSplitOptions.RemoveEmptyEntries), "8BITMIME"] };
        await using var wire = new DelayingProxy(hop.EndPoint);
        using var harness = new DeliveryHarness($"smtp://{wire.EndPoint}");
        string[] to = [.. Enumerable.Range(0, recipients).Select(i => $"r{i}@dest.test")];

        await harness.AttemptAsync("Hello\r\n", to);
        int opening = wire.RoundTrips;
        for (int i = 0; i < 3; i++)
            Assert.All((await harness.AttemptAsync("Hello\r\n", to)).Outcomes, o => Assert.Equal(OutcomeKind.Delivered, o!.Kind));

        Assert.Equal(1, hop.Connections);
        Assert.Equal(expected * 3, wire.RoundTrips - opening);
        Assert.Equal(1 + Math.Max(expected, 2), opening); // EHLO follows the greeting, which costs the connection's own round trip. To a host that is not known yet the content goes by DATA.
    }

    [Fact]
    public async Task STARTTLS_costs_its_exchange_one_handshake_and_the_second_EHLO()
    {
        await using var hop = new FakeNextHop { Extensions = ["PIPELINING", "CHUNKING", "STARTTLS"] };
        await using var wire = new DelayingProxy(hop.EndPoint);
        using var harness = new DeliveryHarness($"smtp://{wire.EndPoint}");

        Assert.Equal(OutcomeKind.Delivered, (await harness.AttemptAsync()).Outcomes[0]!.Kind);

        Assert.True(Assert.Single(hop.Messages).Tls);
        Assert.InRange(wire.RoundTrips, 6, 7); // EHLO, STARTTLS, one or two of the handshake, EHLO, two of the transaction.
    }

    /// <summary>What was refused leaves a transaction behind: RSET goes with the next one's commands, where the next hop takes commands in groups.</summary>
    [Fact]
    public async Task RSET_costs_no_round_trip()
    {
        await using var hop = new FakeNextHop { Extensions = ["PIPELINING", "CHUNKING"], Script = static e => e.Line.Contains("no@", StringComparison.Ordinal) ? new HopAction.Raw("550 5.1.1 no\r\n") : null };
        await using var wire = new DelayingProxy(hop.EndPoint);
        using var harness = new DeliveryHarness($"smtp://{wire.EndPoint}");
        await harness.AttemptAsync("x\r\n", "yes@dest.test");
        await harness.AttemptAsync("x\r\n", "no@dest.test");
        int before = wire.RoundTrips;

        Assert.Equal(OutcomeKind.Delivered, (await harness.AttemptAsync("x\r\n", "yes@dest.test")).Outcomes[0]!.Kind);

        Assert.Contains("RSET", hop.Commands);
        Assert.Equal(1, wire.RoundTrips - before);
    }
}
