using RelayGate.Core.Policy;
using RelayGate.Delivery;
using RelayGate.Queue;
using RelayGate.Tests.Fakes;

namespace RelayGate.Tests.Delivery;

/// <summary>CHUNKING (RFC 3030) with a next hop, with PIPELINING and without.</summary>
public sealed class BdatTests
{
    [Theory]
    [InlineData(false, 100)]
    [InlineData(true, 100)]
    [InlineData(false, 200_000)]
    [InlineData(true, 200_000)] // Too large to be sent along with the envelope.
    public async Task The_content_goes_in_one_chunk_of_its_size_with_nothing_stuffed(bool pipelining, int octets)
    {
        await using FakeNextHop hop = Chunking(pipelining);
        using var harness = new DeliveryHarness(hop.Url);
        string body = ".\r\n..\r\n" + new string('x', octets) + "\r\nno line end";

        AttemptResult result = await harness.AttemptAsync(body, "b@dest.test", "c@dest.test");

        ReceivedMessage message = await hop.NextAsync();
        Assert.All(result.Outcomes, o => Assert.Equal(OutcomeKind.Delivered, o!.Kind));
        Assert.Equal(DeliveryHarness.Header + body, message.Text);
        Assert.Contains($"BDAT {message.Content.Length} LAST", hop.Commands);
        Assert.DoesNotContain("DATA", hop.Commands);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_body_in_the_store_goes_chunk_by_chunk(bool pipelining)
    {
        await using FakeNextHop hop = Chunking(pipelining);
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
