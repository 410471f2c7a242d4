using System.Net;
using RelayGate.Core.Policy;
using RelayGate.Delivery;
using RelayGate.Tests.Fakes;

namespace RelayGate.Tests.Delivery;

/// <summary>A session that is kept for the next message may have ended meanwhile: that is no attempt, and never a second delivery.</summary>
public sealed class KeptSessionTests
{
    [Theory]
    [InlineData(false, false)]
    [InlineData(false, true)]
    [InlineData(true, false)]
    [InlineData(true, true)]
    public async Task Sessions_are_kept(bool chunking, bool tls)
    {
        await using FakeNextHop hop = Offering(chunking, tls);
        using var harness = new DeliveryHarness(hop.Url);

        for (int i = 0; i < 3; i++)
            Assert.Equal(OutcomeKind.Delivered, (await harness.AttemptAsync($"{i}\r\n")).Outcomes[0]!.Kind);

        Assert.Equal(1, hop.Connections);
        Assert.Equal(3, hop.Messages.Count);
        Assert.All(hop.Messages, m => Assert.Equal(tls, m.Tls));
    }

    [Theory]
    [InlineData(false, false)]
    [InlineData(false, true)]
    [InlineData(true, false)]
    [InlineData(true, true)]
    public async Task One_that_was_closed_while_idle_is_replaced(bool chunking, bool tls)
    {
        await using FakeNextHop hop = Offering(chunking, tls);
        hop.Script = e => e is { Verb: "content", Connection: 1 } ? new HopAction.RawThenClose("250 2.0.0 Ok\r\n") : null;
        using var harness = new DeliveryHarness(hop.Url);
        await harness.AttemptAsync();

        AttemptResult result = await harness.AttemptAsync();

        Assert.Equal("250 2.0.0 Ok: queued as 2", result.Outcomes[0]!.Text);
    }

    [Theory]
    [InlineData(false, false, "")]
    [InlineData(false, true, "")]
    [InlineData(true, false, "")]
    [InlineData(true, true, "")]
    [InlineData(false, false, "421 4.4.2 Idle too long\r\n")]
    [InlineData(false, true, "421 4.4.2 Idle too long\r\n")]
    [InlineData(true, false, "421 4.4.2 Idle too long\r\n")]
    [InlineData(true, true, "421 4.4.2 Idle too long\r\n")]
    public async Task One_that_ends_at_MAIL_is_replaced(bool chunking, bool tls, string goodbye)
    {
        int mails = 0;
        await using FakeNextHop hop = Offering(chunking, tls);
        hop.Script = e => e.Verb == "MAIL" && ++mails == 2 ? new HopAction.RawThenClose(goodbye) : null;
        using var harness = new DeliveryHarness(hop.Url);
        await harness.AttemptAsync();

        AttemptResult result = await harness.AttemptAsync();

        Assert.Equal("250 2.0.0 Ok: queued as 2", result.Outcomes[0]!.Text);
        Assert.Equal(2, hop.Messages.Count);
    }

    [Fact]
    public async Task One_that_ends_after_MAIL_was_accepted_may_have_taken_the_content_and_is_not_replaced()
    {
        int mails = 0;
        await using FakeNextHop hop = Offering(chunking: true, tls: false);
        hop.Script = e => e.Verb == "RCPT" && ++mails == 2 ? new HopAction.Close() : null;
        using var harness = new DeliveryHarness(hop.Url);
        await harness.AttemptAsync();

        AttemptResult result = await harness.AttemptAsync();

        Assert.Equal(OutcomeKind.Deferred, result.Outcomes[0]!.Kind);
        Assert.Equal(1, hop.Connections);
    }

    [Fact]
    public async Task One_that_answers_MAIL_with_garbage_after_the_content_was_sent_is_not_replaced()
    {
        int mails = 0;
        await using FakeNextHop hop = Offering(chunking: true, tls: false);
        hop.Script = e => e.Verb == "MAIL" && ++mails == 2 ? new HopAction.RawThenUsual("what?\r\n") : null;
        using var harness = new DeliveryHarness(hop.Url);
        await harness.AttemptAsync();

        AttemptResult result = await harness.AttemptAsync();

        Assert.Equal((OutcomeKind.Deferred, "4.5.0"), (result.Outcomes[0]!.Kind, result.Outcomes[0]!.Status));
        Assert.Equal(1, hop.Connections);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task One_that_stalls_costs_its_time_limit_once(bool chunking)
    {
        int mails = 0;
        var stalled = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using FakeNextHop hop = Offering(chunking, tls: false);
        hop.Script = e => e.Verb == "MAIL" && ++mails == 2 && stalled.TrySetResult() ? new HopAction.Stall() : null;
        var time = new ManualTimeProvider();
        using var harness = new DeliveryHarness(hop.Url, time);
        await harness.AttemptAsync();

        Task<AttemptResult> attempt = harness.AttemptAsync();
        await stalled.Task.WaitAsync(TimeSpan.FromSeconds(10));
        time.Advance(TimeSpan.FromMinutes(7));
        AttemptResult result = await attempt;

        Assert.StartsWith("Time limit reached", result.Outcomes[0]!.Text);
        Assert.Equal((OutcomeKind.Deferred, 1), (result.Outcomes[0]!.Kind, hop.Connections));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_421_to_MAIL_goes_on_to_the_next_host(bool chunking)
    {
        await using var dns = new FakeDns();
        await using FakeNextHop first = Offering(chunking, tls: false, IPAddress.Parse("127.0.0.41"));
        first.Script = e => e.Verb == "MAIL" ? new HopAction.RawThenClose("421 4.3.2 Going down\r\n") : null;
        await using FakeNextHop second = Offering(chunking, tls: false, IPAddress.Parse("127.0.0.42"), first.EndPoint.Port);
        dns.Mx("dest.test", 10, "mx1.test").Mx("dest.test", 20, "mx2.test").A("mx1.test", "127.0.0.41").A("mx2.test", "127.0.0.42");
        using var harness = new DeliveryHarness("mx", change: o =>
        {
            o.Delivery.Resolver = dns.EndPoint.ToString();
            o.Delivery.AllowLoopback = true;
            o.Delivery.MxPort = first.EndPoint.Port;
        });

        AttemptResult result = await harness.AttemptAsync();

        Assert.Equal(OutcomeKind.Delivered, result.Outcomes[0]!.Kind);
        Assert.Equal("mx2.test", result.NextHop!.Host);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_refusal_of_MAIL_is_final_although_the_connection_ends_with_it(bool chunking)
    {
        await using FakeNextHop hop = Offering(chunking, tls: false);
        hop.Script = e => e.Verb == "MAIL" ? new HopAction.RawThenClose("550 5.7.1 Not from you\r\n") : null;
        using var harness = new DeliveryHarness(hop.Url);

        AttemptResult result = await harness.AttemptAsync("x\r\n", "b@dest.test", "c@dest.test");

        Assert.All(result.Outcomes, o => Assert.Equal((OutcomeKind.Failed, "550 5.7.1 Not from you"), (o!.Kind, o.Text)));
        Assert.Equal(DeliveryStage.Mail, result.Stage);
    }

    private static FakeNextHop Offering(bool chunking, bool tls, IPAddress? address = null, int port = 0)
    {
        var hop = new FakeNextHop(address, port);
        if (chunking)
            hop.Extensions.Add("CHUNKING");
        if (tls)
            hop.Extensions.Add("STARTTLS");
        return hop;
    }
}
