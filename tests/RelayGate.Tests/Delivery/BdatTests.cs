using RelayGate.Core.Policy;
using RelayGate.Delivery;
using RelayGate.Queue;
using RelayGate.Tests.Fakes;

namespace RelayGate.Tests.Delivery;

/// <summary>CHUNKING (RFC 3030) with a next hop, with PIPELINING and without.</summary>
public sealed class BdatTests
{
    [Theory]
    [InlineData(true, 100, true)]
    [InlineData(true, 200_000, false)] // Too large to be sent along with the envelope: BDAT would save nothing.
    [InlineData(false, 100, false)]
    public async Task Where_it_saves_a_round_trip_the_content_goes_by_BDAT_with_nothing_stuffed(bool pipelining, int octets, bool byBdat)
    {
        await using FakeNextHop hop = Chunking(pipelining);
        using var harness = new DeliveryHarness(hop.Url);
        string body = ".\r\n..\r\n" + new string('x', octets) + (byBdat ? "\r\nno line end" : "\r\n");
        await harness.AttemptAsync("x\r\n");
        await hop.NextAsync();
        Assert.Contains("DATA", hop.Commands); // A host is not sent all in one flight before it has shown that it keeps step.
        hop.Commands.Clear();

        AttemptResult result = await harness.AttemptAsync(body, "b@dest.test", "c@dest.test");

        ReceivedMessage message = await hop.NextAsync();
        Assert.All(result.Outcomes, o => Assert.Equal(OutcomeKind.Delivered, o!.Kind));
        Assert.Equal(DeliveryHarness.Header + body, message.Text);
        Assert.Equal((byBdat, !byBdat), (hop.Commands.Contains($"BDAT {message.Content.Length} LAST"), hop.Commands.Contains("DATA")));
    }

    /// <summary>Its next reply may be taken for another's, so that it is believed only behind a 354.</summary>
    [Fact]
    public async Task A_host_that_gets_out_of_step_later_is_sent_mail_by_DATA_for_a_day()
    {
        await using FakeNextHop hop = Chunking(pipelining: true);
        hop.Extensions.Remove("8BITMIME");
        await using var wire = new DelayingProxy(hop.EndPoint); // What the hop says comes together.
        var time = new ManualTimeProvider();
        using var harness = new DeliveryHarness($"smtp://{wire.EndPoint}", time);
        await harness.AttemptAsync("1\r\n");
        Assert.Equal(OutcomeKind.Delivered, (await harness.AttemptAsync("2\r\n")).Outcomes[0]!.Kind);
        hop.Script = static e => e.Verb switch { "MAIL" => new HopAction.Raw("250 Ok\r\n250 Ok\r\n"), "RCPT" => new HopAction.Raw("250 Ok\r\n"), "content" => new HopAction.Raw("554 5.7.1 Spam\r\n"), _ => null };

        RecipientOutcome surplus = (await harness.AttemptAsync("3\r\n")).Outcomes[0]!;

        Assert.Equal((OutcomeKind.Deferred, "4.5.0"), (surplus.Kind, surplus.Status));
        hop.Script = static _ => null;
        foreach ((TimeSpan after, bool byBdat) in new[] { (TimeSpan.Zero, false), (TimeSpan.FromHours(23), false), (TimeSpan.FromHours(1), false), (TimeSpan.Zero, true) })
        {
            time.Advance(after);
            hop.Commands.Clear();
            Assert.Equal(OutcomeKind.Delivered, (await harness.AttemptAsync("4\r\n")).Outcomes[0]!.Kind);
            Assert.Equal((after, byBdat), (after, !hop.Commands.Contains("DATA")));
        }
    }

    /// <summary>It ends the session, which says nothing of the order of what it said before.</summary>
    [Theory]
    [InlineData("DATA", "554 5.7.1 Refused\r\n421 4.3.2 Going down\r\n")]
    [InlineData("RSET", "421 4.7.0 Too many errors\r\n")]
    [InlineData("content", "250 2.0.0 Ok\r\n421 4.4.2 Idle too long\r\n")]
    public async Task A_host_that_says_421_is_not_out_of_step(string verb, string replies)
    {
        await using FakeNextHop hop = Chunking(pipelining: true);
        using var harness = new DeliveryHarness(hop.Url);
        hop.Script = e => e.Verb == verb ? new HopAction.RawThenClose(replies) : e.Verb == "DATA" && verb == "RSET" ? new HopAction.Raw("554 5.7.1 Refused\r\n") : null;
        await harness.AttemptAsync("1\r\n");
        hop.Script = static _ => null;
        await harness.AttemptAsync("2\r\n");
        hop.Commands.Clear();

        Assert.Equal(OutcomeKind.Delivered, (await harness.AttemptAsync("3\r\n")).Outcomes[0]!.Kind);

        Assert.DoesNotContain("DATA", hop.Commands);
    }

    /// <summary>All of the message has left, also when its last part fills a write: nobody knows whether it was taken, so that it is not sent elsewhere at once.</summary>
    [Theory]
    [InlineData(256 * 1024)]
    [InlineData(256 * 1024 - 20)]
    public async Task A_reset_after_the_whole_content_defers(int octets)
    {
        await using FakeNextHop hop = Chunking(pipelining: true);
        await using FakeNextHop other = Chunking(pipelining: true);
        hop.Script = static e => e.Verb == "content" ? new HopAction.Reset() : null;
        Assert.True(NextHopText.TryParse($"{hop.Url} {other.Url}", out var hosts));
        using var harness = new DeliveryHarness("mx", routes: () => new RouteTable([], [new Route(RouteKey.Server, hosts.Value)]));

        AttemptResult result = await harness.AttemptAsync(new string('x', octets - 2) + "\r\n");

        Assert.Equal((OutcomeKind.Deferred, DeliveryStage.EndOfData), (result.Outcomes[0]!.Kind, result.Stage));
        Assert.Equal((1, 0), (hop.Connections, other.Connections));
    }

    [Fact]
    public async Task A_body_in_the_store_goes_chunk_by_chunk()
    {
        await using FakeNextHop hop = Chunking(pipelining: true);
        using var harness = new DeliveryHarness(hop.Url);
        var first = new byte[MessageBody.ChunkOctets];
        Array.Fill(first, (byte)'.');
        harness.Chunks.Add(first);
        harness.Chunks.Add("\r\n.end\r\n"u8.ToArray());
        QueuedMessage stored = DeliveryHarness.Message(MessageBody.InStore(first.Length + 8));

        AttemptResult result = await harness.AttemptAsync(DeliveryHarness.Job(stored));

        ReceivedMessage message = await hop.NextAsync();
        Assert.Equal(OutcomeKind.Delivered, result.Outcomes[0]!.Kind);
        Assert.Equal(stored.Octets, message.Content.Length);
        Assert.EndsWith("...\r\n.end\r\n", message.Text);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task After_all_recipients_were_refused_the_session_goes_on_and_nothing_was_delivered(bool pipelining)
    {
        await using FakeNextHop hop = Chunking(pipelining);
        hop.Script = e => e.Line.Contains("no@", StringComparison.Ordinal) ? new HopAction.Raw("550 5.1.1 no\r\n") : null;
        using var harness = new DeliveryHarness(hop.Url);

        AttemptResult refused = await harness.AttemptAsync("x\r\n", "no@dest.test");
        AttemptResult taken = await harness.AttemptAsync("y\r\n", "yes@dest.test");

        Assert.Equal(OutcomeKind.Failed, refused.Outcomes[0]!.Kind);
        Assert.Equal(OutcomeKind.Delivered, taken.Outcomes[0]!.Kind);
        Assert.EndsWith("y\r\n", (await hop.NextAsync()).Text);
        Assert.Equal((1, 0), (hop.Connections, hop.Messages.Count));
    }

    [Theory]
    [InlineData(false, "550 5.7.1 Not from you\r\n", OutcomeKind.Failed)]
    [InlineData(true, "550 5.7.1 Not from you\r\n", OutcomeKind.Failed)]
    [InlineData(false, "451 4.7.1 Later\r\n", OutcomeKind.Deferred)]
    [InlineData(true, "451 4.7.1 Later\r\n", OutcomeKind.Deferred)]
    public async Task After_a_refusal_of_MAIL_the_session_goes_on(bool pipelining, string reply, OutcomeKind expected)
    {
        int mails = 0;
        await using FakeNextHop hop = Chunking(pipelining);
        hop.Script = e => e.Verb == "MAIL" && ++mails == 1 ? new HopAction.Raw(reply) : null;
        using var harness = new DeliveryHarness(hop.Url);

        AttemptResult refused = await harness.AttemptAsync("x\r\n", "b@dest.test", "c@dest.test");
        AttemptResult taken = await harness.AttemptAsync("y\r\n");

        Assert.All(refused.Outcomes, o => Assert.Equal((expected, reply.TrimEnd()), (o!.Kind, o.Text)));
        Assert.Equal(DeliveryStage.Mail, refused.Stage);
        Assert.Equal(OutcomeKind.Delivered, taken.Outcomes[0]!.Kind);
        Assert.Equal(1, hop.Connections);
    }

    private static FakeNextHop Chunking(bool pipelining) => new() { Extensions = pipelining ? ["PIPELINING", "CHUNKING", "8BITMIME"] : ["CHUNKING", "8BITMIME"] };
}
