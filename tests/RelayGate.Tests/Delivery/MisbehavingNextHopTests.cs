using System.Text;
using RelayGate.Core.Policy;
using RelayGate.Delivery;
using RelayGate.Tests.Fakes;

namespace RelayGate.Tests.Delivery;

/// <summary>What a hostile or broken next hop does costs its time limit and nothing else, and is never taken for a delivery.</summary>
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
    public async Task A_reset_at_any_stage_defers(string verb, DeliveryStage stage)
    {
        await using var hop = new FakeNextHop { Script = e => e.Verb == verb ? new HopAction.Reset() : null };
        using var harness = new DeliveryHarness(hop.Url);

        AttemptResult result = await harness.AttemptAsync();

        Assert.Equal(OutcomeKind.Deferred, result.Outcomes[0]!.Kind);
        Assert.True(result.Stage <= stage);
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

    [Theory]
    [MemberData(nameof(Stages))]
    public async Task A_reply_that_never_ends_is_cut_off_at_its_bound(string verb, DeliveryStage stage)
    {
        string code = verb == "connect" ? "220" : verb == "DATA" ? "354" : "250";
        foreach (string octets in new[] { $"{code}-more\r\n", new string('2', 100), "\0", "250" })
        {
            await using var hop = new FakeNextHop { Script = e => e.Verb == verb ? new HopAction.Endless(octets) : null };
            using var harness = new DeliveryHarness(hop.Url);

            AttemptResult result = await harness.AttemptAsync();

            Assert.Equal(OutcomeKind.Deferred, result.Outcomes[0]!.Kind);
            Assert.Equal((stage, "4.5.0"), (result.Stage, result.Outcomes[0]!.Status));
        }
    }

    [Theory]
    [InlineData("250 ok\n")] // a bare LF
    [InlineData("250\0ok\r\n")]
    [InlineData("250 o\rk\r\n")]
    [InlineData("2500 ok\r\n")]
    [InlineData("25 ok\r\n")]
    [InlineData("\r\n")]
    [InlineData("650 ok\r\n")]
    [InlineData("199 ok\r\n")]
    [InlineData("260 ok\r\n")]
    [InlineData("250-ok\r\n251 ok\r\n")] // the code changes
    [InlineData("250-ok\r\n550 no\r\n")]
    [InlineData("250+ok\r\n")]
    [InlineData("OK\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\n")]
    [InlineData(" 250 ok\r\n")]
    public async Task A_reply_that_is_not_well_formed_is_no_delivery_at_any_stage(string reply)
    {
        foreach (string verb in new[] { "connect", "MAIL", "RCPT", "content" })
        {
            await using var hop = new FakeNextHop { Script = e => e.Verb == verb ? new HopAction.Raw(reply) : null };
            using var harness = new DeliveryHarness(hop.Url);

            AttemptResult result = await harness.AttemptAsync();

            Assert.Equal((verb, OutcomeKind.Deferred, "4.5.0"), (verb, result.Outcomes[0]!.Kind, result.Outcomes[0]!.Status));
        }
    }

    [Theory]
    [InlineData("connect", "354 what\r\n")]
    [InlineData("connect", "250 what\r\n")]
    [InlineData("EHLO", "220 what\r\n")]
    [InlineData("EHLO", "251 what\r\n")]
    [InlineData("EHLO", "354 what\r\n")]
    [InlineData("MAIL", "354 what\r\n")]
    [InlineData("RCPT", "354 what\r\n")]
    [InlineData("DATA", "250 what\r\n")]
    [InlineData("content", "354 what\r\n")]
    public async Task A_positive_reply_of_the_wrong_class_is_no_delivery(string verb, string reply)
    {
        await using var hop = new FakeNextHop { Script = e => e.Verb == verb ? new HopAction.Raw(reply) : null };
        using var harness = new DeliveryHarness(hop.Url);

        AttemptResult result = await harness.AttemptAsync();

        Assert.Equal(OutcomeKind.Deferred, result.Outcomes[0]!.Kind);
    }

    [Fact]
    public async Task A_positive_reply_to_HELO_other_than_250_is_no_delivery()
    {
        await using var hop = new FakeNextHop
        {
            Script = e => e.Verb switch { "EHLO" => new HopAction.Raw("502 5.5.1 no\r\n"), "HELO" => new HopAction.Raw("251 what\r\n"), _ => null },
        };
        using var harness = new DeliveryHarness(hop.Url);

        Assert.Equal((OutcomeKind.Deferred, "4.5.0"), await OutcomeAsync(harness));
        Assert.Empty(hop.Messages);

        static async Task<(OutcomeKind, string)> OutcomeAsync(DeliveryHarness harness)
        {
            RecipientOutcome outcome = (await harness.AttemptAsync()).Outcomes[0]!;
            return (outcome.Kind, outcome.Status);
        }
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
    public async Task A_huge_line_is_refused()
    {
        await using var hop = new FakeNextHop { Script = e => e.Verb == "content" ? new HopAction.Raw("250 " + new string('x', 3000) + "\r\n") : null };
        using var harness = new DeliveryHarness(hop.Url);

        Assert.Equal("4.5.0", (await harness.AttemptAsync()).Outcomes[0]!.Status);
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
    public async Task A_reply_before_the_content_was_sent_delivers_nothing()
    {
        await using var hop = new FakeNextHop { Script = e => e.Verb == "DATA" ? new HopAction.Raw("354 go on\r\n250 2.0.0 already yours\r\n") : null };
        using var harness = new DeliveryHarness(hop.Url);

        AttemptResult result = await harness.AttemptAsync();

        Assert.Equal((OutcomeKind.Deferred, "4.5.0"), (result.Outcomes[0]!.Kind, result.Outcomes[0]!.Status));
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
    public async Task A_next_hop_that_stops_reading_the_content_costs_the_time_limit()
    {
        var stalled = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var hop = new FakeNextHop();
        hop.Script = e =>
        {
            if (e.Verb != "DATA")
                return null;
            stalled.TrySetResult();
            return new HopAction.RawThenStop("354 go on\r\n");
        };
        var time = new ManualTimeProvider();
        using var harness = new DeliveryHarness(hop.Url, time);

        Task<AttemptResult> attempt = harness.AttemptAsync(string.Concat(Enumerable.Repeat(new string('x', 998) + "\r\n", 20_000)));
        await stalled.Task.WaitAsync(TimeSpan.FromSeconds(10));
        time.Advance(TimeSpan.FromHours(1));
        AttemptResult result = await attempt;

        Assert.Equal((OutcomeKind.Deferred, "4.4.2"), (result.Outcomes[0]!.Kind, result.Outcomes[0]!.Status));
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

    [Fact]
    public async Task A_refused_STARTTLS_goes_on_in_plain_text()
    {
        await using var hop = new FakeNextHop { Script = e => e.Verb == "STARTTLS" ? new HopAction.Raw("454 4.7.0 not now\r\n") : null };
        hop.Extensions = [.. hop.Extensions, "STARTTLS"];
        using var harness = new DeliveryHarness(hop.Url);

        Assert.Equal(OutcomeKind.Delivered, (await harness.AttemptAsync()).Outcomes[0]!.Kind);
        Assert.Equal(1, hop.Connections);
    }
}
