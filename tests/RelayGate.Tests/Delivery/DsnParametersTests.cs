using RelayGate.Configuration;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Queue;
using RelayGate.Tests.Fakes;

namespace RelayGate.Tests.Delivery;

/// <summary>What the sender asked for about reports (RFC 3461) and about addresses beyond ASCII (RFC 6531) lasts as long as the message.</summary>
public sealed class DsnParametersTests
{
    [Fact]
    public async Task RET_ENVID_NOTIFY_and_ORCPT_are_passed_on_after_a_retry_too()
    {
        int mails = 0;
        await using var hop = new FakeNextHop { Script = e => e.Verb == "MAIL" && ++mails == 1 ? new HopAction.Raw("451 4.3.0 Later\r\n") : null };
        await using var gateway = new DeliveryGateway(hop);

        await gateway.AcceptAsync(
            new EnvelopeRecipient(new ForwardPath(MailboxAddress.Parse("b@example.org")), DsnNotify.Failure | DsnNotify.Delay, "rfc822;one+2Btwo@example.org"),
            new EnvelopeRecipient(new ForwardPath(MailboxAddress.Parse("c@example.org")), DsnNotify.Never));
        await DeliveryGateway.UntilAsync(async () => await gateway.Queue.Count("attempt") == 1);
        ReceivedMessage message = await gateway.AdvanceUntilNextAsync(hop, TimeSpan.FromSeconds(30), TimeSpan.FromMinutes(10));

        Assert.EndsWith(" ENVID=env+1", message.Mail);
        Assert.Equal(["RCPT TO:<b@example.org> NOTIFY=FAILURE,DELAY ORCPT=rfc822;one+2Btwo@example.org", "RCPT TO:<c@example.org> NOTIFY=NEVER"], message.Rcpts);
    }

    [Fact]
    public async Task RET_HDRS_brings_back_the_header_section_alone()
    {
        await using var hop = new FakeNextHop { Script = e => e.Line.StartsWith("RCPT TO:<b@", StringComparison.Ordinal) ? new HopAction.Raw("550 5.1.1 No\r\n") : null };
        await using var gateway = new DeliveryGateway(hop) { Return = DsnReturn.Headers };

        await gateway.AcceptAsync("b@example.org");

        ReceivedMessage dsn = await hop.NextAsync();
        Assert.Contains("Subject: hello", dsn.Text, StringComparison.Ordinal);
        Assert.DoesNotContain("A body.", dsn.Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_report_about_8_bit_mail_that_is_bounced_is_ASCII()
    {
        await using var hop = new FakeNextHop { Extensions = ["PIPELINING"] };
        await using var gateway = new DeliveryGateway(hop, o => o.Delivery.EightBit = EightBitMode.Bounce);

        OfferedMessage template = gateway.Queue.Message(gateway.Queue.Account(), "Gr\u00fc\u00dfe\r\n", "b@example.org");
        await gateway.Queue.OfferAsync(template with { Facts = template.Facts with { BodyIs8Bit = true } });
        ReceivedMessage dsn = await hop.NextAsync();

        Assert.Contains("Status: 5.6.3", dsn.Text, StringComparison.Ordinal);
        Assert.All(dsn.Content, static octet => Assert.True(octet < 128));
        Assert.Contains("text/rfc822-headers", dsn.Text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("b@example.org", true)]
    [InlineData("j\u00fcrgen@example.org", false)]
    public async Task A_report_about_what_needs_SMTPUTF8_goes_to_a_next_hop_without_it(string recipient, bool utf8Header)
    {
        await using var hop = new FakeNextHop { Extensions = ["PIPELINING"] };
        await using var gateway = new DeliveryGateway(hop);

        OfferedMessage template = gateway.Queue.Message(gateway.Queue.Account(), "Gr\u00fc\u00dfe\r\n", recipient);
        await gateway.Queue.OfferAsync(template with
        {
            Facts = template.Facts with { BodyIs8Bit = true, HeaderNeedsUtf8 = utf8Header },
            Envelope = template.Envelope with { SmtpUtf8 = true },
            HeaderSection = utf8Header ? "From: a@shop.test\r\nSubject: Gr\u00fc\u00dfe\r\n\r\n"u8.ToArray() : template.HeaderSection,
        });
        ReceivedMessage dsn = await hop.NextAsync();

        Assert.DoesNotContain("BODY=8BITMIME", dsn.Mail, StringComparison.Ordinal);
        Assert.Contains("Status: 5.6.7", dsn.Text, StringComparison.Ordinal);
        Assert.All(dsn.Content, static octet => Assert.True(octet < 128));
        Assert.Equal(utf8Header, dsn.Text.Contains("The header of your message", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData(true, OutcomeKind.Delivered)]
    [InlineData(false, OutcomeKind.Failed)]
    public async Task A_report_about_a_message_that_requires_TLS_is_not_given_up_for_it(bool isReport, OutcomeKind outcome)
    {
        await using var hop = new FakeNextHop();
        using var harness = new DeliveryHarness(hop.Url);
        QueuedMessage message = DeliveryHarness.Message(MessageBody.FromBytes("x\r\n"u8.ToArray())) with { RequiresTls = true, IsDsn = isReport };

        Assert.Equal(outcome, (await harness.AttemptAsync(DeliveryHarness.Job(message))).Outcomes[0]!.Kind);
        Assert.All(hop.Messages, static m => Assert.DoesNotContain("REQUIRETLS", m.Mail, StringComparison.Ordinal));
    }

    [Fact]
    public async Task An_address_that_needs_SMTPUTF8_gets_an_ASCII_report_where_the_next_hop_lacks_it()
    {
        await using var hop = new FakeNextHop { Extensions = ["PIPELINING"] };
        await using var gateway = new DeliveryGateway(hop);

        await gateway.AcceptAsync("bücher@example.org", "b@bücher.test");

        ReceivedMessage[] messages = [await hop.NextAsync(), await hop.NextAsync()];
        ReceivedMessage dsn = messages.Single(m => m.Mail == "MAIL FROM:<>");
        Assert.Equal("RCPT TO:<b@xn--bcher-kva.test>", Assert.Single(messages.Single(m => m != dsn).Rcpts));
        Assert.Contains("Status: 5.6.7", dsn.Text, StringComparison.Ordinal);
        Assert.Contains("Final-Recipient: utf-8;b\\x{FC}cher@example.org", dsn.Text.Replace("; ", ";", StringComparison.Ordinal), StringComparison.Ordinal);
        Assert.True(System.Text.Ascii.IsValid(dsn.Content));
    }
}
