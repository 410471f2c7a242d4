using System.Text;
using RelayGate.Configuration;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Delivery;
using RelayGate.Queue;
using RelayGate.Tests.Fakes;

namespace RelayGate.Tests.Delivery;

public sealed class SmtpClientSessionTests
{
    [Fact]
    public async Task A_message_arrives_octet_for_octet_with_its_envelope()
    {
        await using var hop = new FakeNextHop();
        using var harness = new DeliveryHarness(hop.Url);

        AttemptResult result = await harness.AttemptAsync("Hello\r\n.dot\r\n..two\r\n\r\n.\r\nend\r\n", "b@dest.test", "c@dest.test");

        ReceivedMessage message = await hop.NextAsync();
        Assert.All(result.Outcomes, o => Assert.Equal((OutcomeKind.Delivered, "2.0.0"), (o!.Kind, o.Status)));
        Assert.Equal("250 2.0.0 Ok: queued as 1", result.Outcomes[0]!.Text);
        Assert.Equal(DeliveryHarness.Header + "Hello\r\n.dot\r\n..two\r\n\r\n.\r\nend\r\n", message.Text);
        Assert.StartsWith("MAIL FROM:<a@shop.test> SIZE=", message.Mail);
        Assert.Equal(["RCPT TO:<b@dest.test>", "RCPT TO:<c@dest.test>"], message.Rcpts);
        Assert.Equal("mail.shop.test", message.Hello);
        Assert.Equal(DeliveryStage.EndOfData, result.Stage);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Content_arrives_unchanged_by_DATA_and_by_BDAT(bool chunking)
    {
        await using var hop = new FakeNextHop();
        if (chunking)
            hop.Extensions = [.. hop.Extensions, "CHUNKING"];
        using var harness = new DeliveryHarness(hop.Url);
        var random = new Random(7);
        foreach (int octets in new[] { 0, 1, 900, 5_000, 20_000, 100_000, 700_000 })
        {
            var body = new StringBuilder();
            while (body.Length < octets)
                body.Append(random.Next(4) == 0 ? "." : "").Append('x', random.Next(300)).Append("\r\n");
            DeliveryJob job = DeliveryHarness.Job(body.ToString());

            AttemptResult result = await harness.AttemptAsync(job);

            ReceivedMessage message = await hop.NextAsync();
            Assert.Equal(OutcomeKind.Delivered, result.Outcomes[0]!.Kind);
            Assert.Equal(DeliveryHarness.Header + body, message.Text);
        }
        Assert.Equal(1, hop.Connections);
    }

    [Fact]
    public async Task A_body_in_the_store_is_sent_chunk_by_chunk_and_dots_are_stuffed_across_chunks()
    {
        await using var hop = new FakeNextHop();
        using var harness = new DeliveryHarness(hop.Url);
        var first = new byte[MessageBody.ChunkOctets];
        Array.Fill(first, (byte)'a');
        "\r\n"u8.CopyTo(first.AsSpan(^2));
        harness.Chunks.Add(first);
        harness.Chunks.Add("..start\r\n.end\r\n"u8.ToArray());
        QueuedMessage stored = DeliveryHarness.Message(MessageBody.InStore(first.Length + 15));

        AttemptResult result = await harness.AttemptAsync(DeliveryHarness.Job(stored));

        ReceivedMessage message = await hop.NextAsync();
        Assert.Equal(OutcomeKind.Delivered, result.Outcomes[0]!.Kind);
        Assert.EndsWith("aa\r\n..start\r\n.end\r\n", message.Text);
        Assert.Equal(stored.Octets, message.Content.Length);
    }

    [Fact]
    public async Task With_PIPELINING_the_envelope_is_one_write_and_the_session_is_kept()
    {
        await using var hop = new FakeNextHop();
        using var harness = new DeliveryHarness(hop.Url);

        for (int i = 0; i < 3; i++)
            await harness.AttemptAsync("x\r\n", [.. Enumerable.Range(0, 250).Select(n => $"r{n}@dest.test")]);

        Assert.Equal(1, hop.Connections);
        Assert.Equal([100, 100, 50, 100, 100, 50, 100, 100, 50], hop.Messages.Select(m => m.Rcpts.Count)); // RFC 5321 §4.5.3.1.8: every server takes 100.
        Assert.Equal(250, hop.Messages.Take(3).SelectMany(m => m.Rcpts).Distinct().Count());
        Assert.DoesNotContain("RSET", hop.Commands);
    }

    [Fact]
    public async Task Each_recipient_has_its_own_result()
    {
        await using var hop = new FakeNextHop
        {
            Script = e => e.Line switch
            {
                "RCPT TO:<no@dest.test>" => new HopAction.Raw("550-5.1.1 no\r\n550 5.1.1 such user\r\n"),
                "RCPT TO:<later@dest.test>" => new HopAction.Raw("450 4.2.0 greylisted\r\n"),
                _ => null,
            },
        };
        using var harness = new DeliveryHarness(hop.Url);

        AttemptResult result = await harness.AttemptAsync("x\r\n", "yes@dest.test", "no@dest.test", "later@dest.test");

        Assert.Equal([OutcomeKind.Delivered, OutcomeKind.Failed, OutcomeKind.Deferred], result.Outcomes.Select(o => o!.Kind));
        Assert.Equal("550 5.1.1 no such user", result.Outcomes[1]!.Text);
        Assert.Equal("4.2.0", result.Outcomes[2]!.Status);
        Assert.Equal(["RCPT TO:<yes@dest.test>"], (await hop.NextAsync()).Rcpts);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_session_goes_on_after_all_recipients_were_refused(bool pipelining)
    {
        await using var hop = new FakeNextHop { Script = e => e.Line.Contains("no@", StringComparison.Ordinal) ? new HopAction.Raw("550 5.1.1 no\r\n") : null };
        if (!pipelining)
            hop.Extensions = ["8BITMIME"];
        using var harness = new DeliveryHarness(hop.Url);

        AttemptResult refused = await harness.AttemptAsync("x\r\n", "no@dest.test");
        AttemptResult taken = await harness.AttemptAsync("x\r\n", "yes@dest.test");

        Assert.Equal(OutcomeKind.Failed, refused.Outcomes[0]!.Kind);
        Assert.Equal(OutcomeKind.Delivered, taken.Outcomes[0]!.Kind);
        Assert.Equal(1, hop.Connections);
        Assert.Single(hop.Messages);
    }

    [Fact]
    public async Task A_354_although_all_recipients_were_refused_delivers_nothing()
    {
        await using var hop = new FakeNextHop
        {
            Script = e => e.Verb switch { "RCPT" => new HopAction.Raw("550 5.1.1 no\r\n"), "DATA" => new HopAction.Raw("354 go on\r\n"), _ => null },
        };
        using var harness = new DeliveryHarness(hop.Url);

        AttemptResult result = await harness.AttemptAsync();

        Assert.Equal(OutcomeKind.Failed, result.Outcomes[0]!.Kind);
        Assert.Contains(".", hop.Commands);
        Assert.Empty(hop.Messages);
    }

    [Fact]
    public async Task A_server_that_knows_only_HELO_gets_HELO_and_no_parameters()
    {
        await using var hop = new FakeNextHop { Script = e => e.Verb == "EHLO" ? new HopAction.Raw("502 5.5.1 What?\r\n") : null };
        using var harness = new DeliveryHarness(hop.Url);

        AttemptResult result = await harness.AttemptAsync();

        ReceivedMessage message = await hop.NextAsync();
        Assert.Equal(OutcomeKind.Delivered, result.Outcomes[0]!.Kind);
        Assert.Equal("MAIL FROM:<a@shop.test>", message.Mail);
        Assert.Equal(["EHLO mail.shop.test", "HELO mail.shop.test"], hop.Commands.Take(2));
    }

    [Fact]
    public async Task Replies_split_by_octet_are_understood()
    {
        await using var hop = new FakeNextHop { OctetByOctet = true };
        using var harness = new DeliveryHarness(hop.Url);

        AttemptResult result = await harness.AttemptAsync("x\r\n", "b@dest.test", "c@dest.test");

        Assert.All(result.Outcomes, o => Assert.Equal(OutcomeKind.Delivered, o!.Kind));
    }

    [Theory]
    [InlineData(DsnNotify.Never, " NOTIFY=NEVER")]
    [InlineData(DsnNotify.Success | DsnNotify.Delay, " NOTIFY=SUCCESS,DELAY")]
    [InlineData(DsnNotify.Success | DsnNotify.Failure | DsnNotify.Delay, " NOTIFY=SUCCESS,FAILURE,DELAY")]
    [InlineData(DsnNotify.Default, "")]
    public async Task DSN_parameters_are_passed_on_where_they_are_offered(DsnNotify notify, string expected)
    {
        await using var hop = new FakeNextHop();
        using var harness = new DeliveryHarness(hop.Url);
        QueuedMessage message = DeliveryHarness.Message(MessageBody.FromBytes("x\r\n"u8.ToArray())) with { Return = DsnReturn.Headers, EnvelopeId = "QQ314159" };
        var job = new DeliveryJob(message, [DeliveryHarness.Recipient("b@dest.test", notify: notify, original: "rfc822;bob@dest.test")]);

        AttemptResult result = await harness.AttemptAsync(job);
        hop.Extensions = ["PIPELINING"];
        harness.Pool.CloseIdle();
        AttemptResult without = await harness.AttemptAsync(job);

        ReceivedMessage received = await hop.NextAsync();
        Assert.EndsWith(" RET=HDRS ENVID=QQ314159", received.Mail);
        Assert.Equal($"RCPT TO:<b@dest.test>{expected} ORCPT=rfc822;bob@dest.test", received.Rcpts[0]);
        Assert.Equal("MAIL FROM:<a@shop.test>", (await hop.NextAsync()).Mail);
        Assert.True(result.Outcomes[0]!.DsnPassedOn);
        Assert.False(without.Outcomes[0]!.DsnPassedOn);
    }

    [Fact]
    public async Task Eight_bit_content_is_declared_and_goes_unchanged_where_8BITMIME_is_missing_unless_it_is_to_bounce()
    {
        await using var hop = new FakeNextHop();
        using var harness = new DeliveryHarness(hop.Url);
        DeliveryJob job = DeliveryHarness.Job(DeliveryHarness.Message(MessageBody.FromBytes([0xe4, 13, 10])) with { BodyIs8Bit = true });

        await harness.AttemptAsync(job);
        Assert.Contains(" BODY=8BITMIME", (await hop.NextAsync()).Mail);

        hop.Extensions = ["PIPELINING"];
        harness.Pool.CloseIdle();
        await harness.AttemptAsync(job);
        ReceivedMessage unchanged = await hop.NextAsync();
        Assert.DoesNotContain("BODY", unchanged.Mail);
        Assert.Equal(0xe4, unchanged.Content[^3]);

        harness.Options.Delivery.EightBit = EightBitMode.Bounce;
        AttemptResult bounced = await harness.AttemptAsync(job);
        Assert.Equal((OutcomeKind.Failed, "5.6.3"), (bounced.Outcomes[0]!.Kind, bounced.Outcomes[0]!.Status));
    }

    [Fact]
    public async Task SMTPUTF8_is_asked_for_only_when_needed_and_its_absence_fails_only_those_who_need_it()
    {
        await using var hop = new FakeNextHop();
        using var harness = new DeliveryHarness(hop.Url);

        await harness.AttemptAsync("x\r\n", "b@dest.test");
        Assert.DoesNotContain("SMTPUTF8", (await hop.NextAsync()).Mail);
        await harness.AttemptAsync("x\r\n", "bücher@dest.test", "b@bücher.test");
        ReceivedMessage utf8 = await hop.NextAsync();
        Assert.Contains(" SMTPUTF8", utf8.Mail);
        Assert.Equal(["RCPT TO:<bücher@dest.test>", "RCPT TO:<b@bücher.test>"], utf8.Rcpts);

        hop.Extensions = ["PIPELINING"];
        harness.Pool.CloseIdle();
        AttemptResult result = await harness.AttemptAsync("x\r\n", "bücher@dest.test", "b@bücher.test");
        Assert.Equal([OutcomeKind.Failed, OutcomeKind.Delivered], result.Outcomes.Select(o => o!.Kind));
        Assert.Equal("5.6.7", result.Outcomes[0]!.Status);
        Assert.Equal(["RCPT TO:<b@xn--bcher-kva.test>"], (await hop.NextAsync()).Rcpts);

        QueuedMessage header = DeliveryHarness.Message(MessageBody.FromBytes("x\r\n"u8.ToArray()), "Subject: ü\r\n\r\n") with { HeaderNeedsUtf8 = true };
        AttemptResult all = await harness.AttemptAsync(DeliveryHarness.Job(header, "b@dest.test"));
        Assert.Equal("5.6.7", all.Outcomes[0]!.Status);
    }

    [Fact]
    public async Task A_message_over_the_SIZE_of_the_next_hop_fails_without_being_sent()
    {
        await using var hop = new FakeNextHop { Extensions = ["SIZE 60"] };
        using var harness = new DeliveryHarness(hop.Url);

        AttemptResult result = await harness.AttemptAsync(new string('x', 100) + "\r\n");

        Assert.Equal((OutcomeKind.Failed, "5.3.4"), (result.Outcomes[0]!.Kind, result.Outcomes[0]!.Status));
        Assert.DoesNotContain(hop.Commands, c => c.StartsWith("MAIL", StringComparison.Ordinal));
    }

    [Fact]
    public async Task The_null_reverse_path_is_sent_as_such()
    {
        await using var hop = new FakeNextHop { Extensions = [] };
        using var harness = new DeliveryHarness(hop.Url);

        await harness.AttemptAsync(DeliveryHarness.Job(DeliveryHarness.Message(MessageBody.FromBytes("x\r\n"u8.ToArray()), reversePath: null)));

        Assert.Equal("MAIL FROM:<>", (await hop.NextAsync()).Mail);
    }

    [Fact]
    public async Task Recipients_over_the_next_hops_limit_go_in_a_second_transaction_at_once()
    {
        int inTransaction = 0;
        await using var hop = new FakeNextHop
        {
            Script = e => e.Verb switch
            {
                "MAIL" => Reset(),
                "RCPT" => ++inTransaction > 3 ? new HopAction.Raw("452 4.5.3 Too many recipients\r\n") : null,
                _ => null,
            },
        };
        HopAction? Reset()
        {
            inTransaction = 0;
            return null;
        }
        using var harness = new DeliveryHarness(hop.Url);

        AttemptResult result = await harness.AttemptAsync("x\r\n", [.. Enumerable.Range(0, 8).Select(n => $"r{n}@dest.test")]);

        Assert.All(result.Outcomes, o => Assert.Equal(OutcomeKind.Delivered, o!.Kind));
        Assert.Equal([3, 3, 2], hop.Messages.Select(m => m.Rcpts.Count));
        Assert.Equal(8, hop.Messages.SelectMany(m => m.Rcpts).Distinct().Count());
    }
}
