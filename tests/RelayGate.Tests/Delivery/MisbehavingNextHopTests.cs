using System.Text;
using RelayGate.Core.Policy;
using RelayGate.Delivery;
using RelayGate.Tests.Fakes;

namespace RelayGate.Tests.Delivery;

/// <summary>What a hostile or broken next hop does costs its time limit and nothing else, and is never taken for a delivery. The table of it all: <see cref="MisbehaviourCatalogue"/>.</summary>
public sealed class MisbehavingNextHopTests
{
    public static TheoryData<string, DeliveryStage> Stages { get; } = new()
    {
        { "connect", DeliveryStage.Greeting },
        { "EHLO", DeliveryStage.Ehlo },
        { "MAIL", DeliveryStage.Mail },
        { "RCPT", DeliveryStage.Rcpt },
        { "DATA", DeliveryStage.Data },
        { "content", DeliveryStage.EndOfData },
    };

    [Theory]
    [MemberData(nameof(Stages))]
    public async Task A_close_at_any_stage_defers(string verb, DeliveryStage stage)
    {
        await using var hop = new FakeNextHop { Script = e => e.Verb == verb ? new HopAction.Close() : null };
        using var harness = new DeliveryHarness(hop.Url);

        AttemptResult result = await harness.AttemptAsync();

        Assert.Equal((OutcomeKind.Deferred, "4.4.2"), (result.Outcomes[0]!.Kind, result.Outcomes[0]!.Status));
        Assert.Equal(stage, result.Stage);
        Assert.Equal(0, harness.Pool.Open);
    }

    [Theory]
    [MemberData(nameof(Stages))]
    public async Task Silence_at_any_stage_costs_the_time_limit_and_defers(string verb, DeliveryStage stage)
    {
        var stalled = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var hop = new FakeNextHop { Script = e => e.Verb == verb && stalled.TrySetResult() ? new HopAction.Stall() : null };
        hop.Extensions = []; // Command by command, so that the client is where the server is.
        var time = new ManualTimeProvider();
        using var harness = new DeliveryHarness(hop.Url, time, o => o.Delivery.Timeouts.Connect = TimeSpan.FromDays(100));

        AttemptResult result = await harness.AttemptUntilOverAsync(time, stalled.Task, within: TimeSpan.FromMinutes(4));

        Assert.Equal((OutcomeKind.Deferred, "4.4.2"), (result.Outcomes[0]!.Kind, result.Outcomes[0]!.Status));
        Assert.Equal(stage, result.Stage);
        Assert.StartsWith("Time limit reached", result.Outcomes[0]!.Text);
        Assert.Equal(0, harness.Pool.Open);
    }

    [Fact]
    public async Task Pipelined_content_whose_replies_are_lost_is_deferred_and_not_sent_elsewhere()
    {
        await using var hop = new FakeNextHop { Script = e => e.Verb == "MAIL" ? new HopAction.Close() : null };
        hop.Extensions = ["PIPELINING", "CHUNKING"];
        using var harness = new DeliveryHarness(hop.Url);

        AttemptResult result = await harness.AttemptAsync();

        Assert.Equal(OutcomeKind.Deferred, result.Outcomes[0]!.Kind);
        Assert.Equal(1, hop.Connections);
    }

    [Fact]
    public async Task A_refusal_at_BDAT_is_each_accepted_recipients_result()
    {
        await using var hop = new FakeNextHop
        {
            Script = e => e.Verb == "content" ? new HopAction.Raw("554 5.7.1 spam\r\n") : e.Line.Contains("no@", StringComparison.Ordinal) ? new HopAction.Raw("550 5.1.1 no\r\n") : null,
        };
        hop.Extensions = ["PIPELINING", "CHUNKING"];
        using var harness = new DeliveryHarness(hop.Url);

        AttemptResult result = await harness.AttemptAsync("x\r\n", "no@dest.test", "b@dest.test");

        Assert.Equal(["550 5.1.1 no", "554 5.7.1 spam"], result.Outcomes.Select(o => o!.Text));
    }

    [Fact]
    public async Task A_long_reply_within_the_bounds_is_kept_cut_and_clean()
    {
        string lines = string.Concat(Enumerable.Range(0, 50).Select(_ => "550-5.7.1 \u001b[31mred\u0085\t" + new string('y', 400) + "\r\n")) + "550 5.7.1 end\r\n";
        await using var hop = new FakeNextHop { Script = e => e.Verb == "RCPT" ? new HopAction.Raw(lines) : null };
        using var harness = new DeliveryHarness(hop.Url);

        RecipientOutcome outcome = (await harness.AttemptAsync()).Outcomes[0]!;

        Assert.Equal((OutcomeKind.Failed, "5.7.1", 550), (outcome.Kind, outcome.Status, outcome.Code));
        Assert.InRange(outcome.Text.Length, 400, 520);
        Assert.DoesNotContain(outcome.Text, char.IsControl);
    }

    [Fact]
    public async Task A_stray_reply_after_a_message_is_not_taken_for_the_next_one()
    {
        await using var hop = new FakeNextHop { Script = e => e.Verb == "content" && e.Connection == 1 ? new HopAction.RawThenUsual("250 2.0.0 one too many\r\n") : null };
        using var harness = new DeliveryHarness(hop.Url);

        await harness.AttemptAsync();
        AttemptResult second = await harness.AttemptAsync();

        Assert.Equal("250 2.0.0 Ok: queued as 2", second.Outcomes[0]!.Text);
        Assert.Equal(2, hop.Connections);
    }

    [Fact]
    public async Task A_421_at_RCPT_ends_the_session_and_defers_all_that_were_not_decided()
    {
        await using var hop = new FakeNextHop
        {
            Script = e => e.Line switch
            {
                "RCPT TO:<a@dest.test>" => new HopAction.Raw("550 5.1.1 no\r\n"),
                "RCPT TO:<c@dest.test>" => new HopAction.RawThenClose("421 4.3.2 going down\r\n"),
                _ => null,
            },
        };
        using var harness = new DeliveryHarness(hop.Url);

        AttemptResult result = await harness.AttemptAsync("x\r\n", "a@dest.test", "b@dest.test", "c@dest.test", "d@dest.test");

        Assert.Equal([OutcomeKind.Failed, OutcomeKind.Deferred, OutcomeKind.Deferred, OutcomeKind.Deferred], result.Outcomes.Select(o => o!.Kind));
        Assert.Equal("421 4.3.2 going down", result.Outcomes[1]!.Text);
        Assert.Empty(hop.Messages);
    }

    [Fact]
    public async Task A_kept_session_that_the_next_hop_closed_meanwhile_is_replaced_without_an_attempt_being_lost()
    {
        int mails = 0;
        await using var hop = new FakeNextHop { Script = e => e.Verb == "MAIL" && ++mails == 2 ? new HopAction.Close() : null };
        using var harness = new DeliveryHarness(hop.Url);
        await harness.AttemptAsync("x\r\n");

        AttemptResult result = await harness.AttemptAsync("y\r\n");

        Assert.Equal(OutcomeKind.Delivered, result.Outcomes[0]!.Kind);
        Assert.Equal(2, hop.Connections);
    }

    [Theory]
    [InlineData("4")]
    [InlineData("5")]
    public async Task A_refusing_greeting_defers_and_never_bounces(string first)
    {
        await using var hop = new FakeNextHop { Script = e => e.Verb == "connect" ? new HopAction.RawThenClose($"{first}54 {first}.7.1 Your address is listed\r\n") : null };
        using var harness = new DeliveryHarness(hop.Url);

        RecipientOutcome outcome = (await harness.AttemptAsync()).Outcomes[0]!;

        Assert.Equal((OutcomeKind.Deferred, "4.7.1"), (outcome.Kind, outcome.Status));
        Assert.Contains("Your address is listed", outcome.Text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("MAIL", "550 5.7.1 no\r\n", OutcomeKind.Failed)]
    [InlineData("MAIL", "451 4.7.1 later\r\n", OutcomeKind.Deferred)]
    [InlineData("DATA", "554 5.7.1 no\r\n", OutcomeKind.Failed)]
    [InlineData("DATA", "451 4.7.1 later\r\n", OutcomeKind.Deferred)]
    [InlineData("content", "554 5.7.1 no\r\n", OutcomeKind.Failed)]
    [InlineData("content", "452 4.3.1 full\r\n", OutcomeKind.Deferred)]
    public async Task A_refusal_at_each_stage_has_its_meaning(string verb, string reply, OutcomeKind expected)
    {
        await using var hop = new FakeNextHop { Script = e => e.Verb == verb && e.Connection == 1 ? new HopAction.Raw(reply) : null };
        using var harness = new DeliveryHarness(hop.Url);

        AttemptResult result = await harness.AttemptAsync("x\r\n", "a@dest.test", "b@dest.test");

        Assert.All(result.Outcomes, o => Assert.Equal((expected, reply.TrimEnd()), (o!.Kind, o.Text)));
    }

    [Fact]
    public async Task Nobody_there_defers_with_4_4_1()
    {
        string url;
        await using (var hop = new FakeNextHop())
            url = hop.Url;
        using var harness = new DeliveryHarness(url);

        RecipientOutcome outcome = (await harness.AttemptAsync()).Outcomes[0]!;

        Assert.Equal((OutcomeKind.Deferred, "4.4.1"), (outcome.Kind, outcome.Status));
    }

    [Fact]
    public async Task STARTTLS_protects_the_session_and_drops_what_was_injected_after_the_220()
    {
        await using var hop = new FakeNextHop { Script = e => e.Verb == "STARTTLS" ? new HopAction.RawThenUsual("250 injected\r\n") : null };
        hop.Extensions = [.. hop.Extensions, "STARTTLS"];
        using var harness = new DeliveryHarness(hop.Url);

        AttemptResult result = await harness.AttemptAsync(new string('.', 500) + "\r\n" + string.Concat(Enumerable.Repeat("line\r\n.\r\n", 50_000)));

        ReceivedMessage message = await hop.NextAsync();
        Assert.Equal(OutcomeKind.Delivered, result.Outcomes[0]!.Kind);
        Assert.True(message.Tls);
        Assert.StartsWith("TLS 1.", result.Tls);
        Assert.Equal(2, hop.Commands.Count(c => c.StartsWith("EHLO", StringComparison.Ordinal)));
        Assert.EndsWith("line\r\n.\r\n", message.Text);
    }

    [Fact]
    public async Task A_failed_handshake_reconnects_once_without_TLS()
    {
        await using var hop = new FakeNextHop { Script = e => e.Verb == "STARTTLS" ? new HopAction.FailHandshake() : null };
        hop.Extensions = [.. hop.Extensions, "STARTTLS"];
        using var harness = new DeliveryHarness(hop.Url);

        AttemptResult result = await harness.AttemptAsync();

        Assert.Equal(OutcomeKind.Delivered, result.Outcomes[0]!.Kind);
        Assert.Null(result.Tls);
        Assert.Equal(2, hop.Connections);
        Assert.Single(hop.Commands, "STARTTLS");
    }
}
