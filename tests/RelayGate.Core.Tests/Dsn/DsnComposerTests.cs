using System.Collections.Immutable;
using System.Text;
using FsCheck;
using FsCheck.Fluent;
using RelayGate.Core.Dsn;
using RelayGate.Core.Mail;
using RelayGate.Core.Replies;

namespace RelayGate.Core.Tests.Dsn;

public sealed class DsnComposerTests
{
    private const string Original = "Received: x\r\nFrom: info@shop.test\r\nMessage-ID: <1@shop.test>\r\nSubject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\n\r\n";

    private static readonly DateTimeOffset Arrived = new(2026, 11, 21, 9, 0, 0, TimeSpan.Zero);
    private static readonly QueueId Id = QueueId.Create(Arrived, 7, 7);
    private static readonly QueueId OriginalId = QueueId.Create(Arrived, 8, 8);

    private static readonly DsnRecipient Failed = new(
        new ForwardPath(MailboxAddress.Parse("bob@example.org")), "rfc822;bob+2Bold@example.org", DsnAction.Failed, "5.1.1", "mx.example.org",
        "550 5.1.1 User unknown", Arrived.AddMinutes(1));

    [Fact]
    public void A_failure_names_the_recipient_the_reply_and_the_reference()
    {
        ComposedDsn dsn = DsnComposer.Compose(Request(Failed) with { EnvelopeId = "QQ+2B1" });
        string header = Encoding.UTF8.GetString(dsn.HeaderSection);
        string body = Encoding.UTF8.GetString(dsn.Body);

        Assert.StartsWith(
            "From: Mail Delivery System <MAILER-DAEMON@relay.example.net>\r\nTo: <info@shop.test>\r\nSubject: Undelivered mail", header, StringComparison.Ordinal);
        Assert.Contains("\r\nAuto-Submitted: auto-replied\r\n", header, StringComparison.Ordinal);
        Assert.Contains("\r\nReferences: <1@shop.test>\r\n", header, StringComparison.Ordinal);
        Assert.Contains($"\r\nMessage-ID: <{Id}@relay.example.net>\r\n", header, StringComparison.Ordinal);
        Assert.EndsWith("\r\n\r\n", header, StringComparison.Ordinal);
        Assert.Contains(
            "\r\nReporting-MTA: dns; relay.example.net\r\nOriginal-Envelope-Id: QQ+1\r\nArrival-Date: Sat, 21 Nov 2026 09:00:00 +0000\r\n" +
            $"X-RelayGate-Ref: {OriginalId}\r\n\r\n" +
            "Original-Recipient: rfc822; bob+old@example.org\r\nFinal-Recipient: rfc822; bob@example.org\r\nAction: failed\r\nStatus: 5.1.1\r\n" +
            "Remote-MTA: dns; mx.example.org\r\nDiagnostic-Code: smtp; 550 5.1.1 User unknown\r\nLast-Attempt-Date: Sat, 21 Nov 2026 09:01:00 +0000\r\n",
            body, StringComparison.Ordinal);
        Assert.Contains("  bob@example.org\r\n    The address does not exist, or takes no mail any more.\r\n    The mail server mx.example.org said: 550 5.1.1 User unknown\r\n", body, StringComparison.Ordinal);
        Assert.Contains(OriginalId.ToString(), body, StringComparison.Ordinal);
        Assert.Contains("Content-Type: text/rfc822-headers\r\n\r\n" + Original[..^2], body, StringComparison.Ordinal);
        Assert.False(dsn.BodyIs8Bit);
        Assert.False(dsn.HeaderNeedsUtf8);
    }

    [Fact]
    public void A_small_failed_message_is_returned_whole_and_a_large_or_delayed_one_is_not()
    {
        string whole = Body(Request(Failed) with { OriginalBody = "Hello\r\n"u8.ToArray() });
        string large = Body(Request(Failed) with { OriginalBody = new byte[DsnComposer.DefaultMaxReturnedOctets] });
        string delayed = Body(Request(Failed with { Action = DsnAction.Delayed }) with { OriginalBody = "Hello\r\n"u8.ToArray() });

        Assert.Contains("Content-Type: message/rfc822\r\n\r\n" + Original + "Hello\r\n\r\n--", whole, StringComparison.Ordinal);
        Assert.Contains("Content-Type: text/rfc822-headers\r\n", large, StringComparison.Ordinal);
        Assert.Contains("Content-Type: text/rfc822-headers\r\n", delayed, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(DsnAction.Delayed, "Delayed mail", "Action: delayed\r\n")]
    [InlineData(DsnAction.Relayed, "Delivery report", "Action: relayed\r\n")]
    [InlineData(DsnAction.Delivered, "Delivery report", "Action: delivered\r\n")]
    public void Each_action_has_its_words(DsnAction action, string subject, string field)
    {
        ComposedDsn dsn = DsnComposer.Compose(Request(Failed with { Action = action, Status = "?", WillRetryUntil = Arrived.AddDays(4) }));
        string body = Encoding.UTF8.GetString(dsn.Body);

        Assert.Contains($"\r\nSubject: {subject}", Encoding.UTF8.GetString(dsn.HeaderSection), StringComparison.Ordinal);
        Assert.Contains(field, body, StringComparison.Ordinal);
        Assert.Contains(action == DsnAction.Delayed ? "Status: 4.0.0" : "Status: 2.0.0", body, StringComparison.Ordinal);
        Assert.Equal(action == DsnAction.Delayed, body.Contains("Will-Retry-Until: Wed, 25 Nov 2026 09:00:00 +0000\r\n", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData(ReplyClass.InvalidRecipient, "5.1.1", "The address does not exist", "Check the spelling")]
    [InlineData(ReplyClass.MailboxFull, "5.2.2", "The recipient's mailbox is full.", "when there is room")]
    [InlineData(ReplyClass.Rate, "5.7.28", "only so many messages at a time", "in smaller parts")]
    [InlineData(ReplyClass.IpBlocked, "5.7.1", "Neither your message nor the recipient's address is at fault.", "administrator of relay.example.net")]
    [InlineData(ReplyClass.Ptr, "5.7.25", "does not take mail from the address of our server", "administrator of relay.example.net")]
    [InlineData(ReplyClass.DomainReputation, "5.7.1", "mistrusts a domain", "was not broken into")]
    [InlineData(ReplyClass.Authentication, "5.7.26", "could not verify that the message comes from your domain", "SPF, DKIM and DMARC records")]
    [InlineData(ReplyClass.Policy, "5.7.1", "A rule of the recipient's mail server", "ask the recipient in another way")]
    [InlineData(ReplyClass.Content, "5.7.1", "refused the content", "Remove attachments and links")]
    [InlineData(ReplyClass.Tls, "5.7.10", "The encrypted connection", "for administrators to mend")]
    [InlineData(ReplyClass.None, "5.1.10", "The domain of the address does not exist or takes no mail.", "after the @")]
    [InlineData(ReplyClass.None, "5.3.4", "too large", "without large attachments")]
    [InlineData(ReplyClass.None, "5.6.7", "Your sender address has characters beyond ASCII", "without such characters")]
    [InlineData(ReplyClass.None, "5.3.5", "no address to send the message from", "administrator of relay.example.net")]
    [InlineData(ReplyClass.Greylisted, "5.4.7", "All attempts in the time that a message has failed", "again later")]
    [InlineData(ReplyClass.None, "?", "refused the message", "The reply of the mail server says more")]
    public void A_customer_reads_why_and_what_to_do(ReplyClass about, string status, string why, string toDo)
    {
        string text = Body(Request(Failed with { Class = about, Status = status })).Replace("\r\n    ", " ", StringComparison.Ordinal);
        text = text[..text.IndexOf("message/delivery-status", StringComparison.Ordinal)];

        Assert.Contains(why, text, StringComparison.Ordinal);
        Assert.Contains(toDo, text, StringComparison.Ordinal);
        Assert.Contains("What you can do: ", text, StringComparison.Ordinal);
        Assert.Contains("said: 550 5.1.1 User unknown", text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(WaitCause.Paused, "4.7.1", "does not take mail from the address of our server")]
    [InlineData(WaitCause.Pace, "4.4.5", "only so many messages at a time")]
    [InlineData(WaitCause.Missing, "4.3.5", "has not got the address to send the message from")]
    [InlineData(WaitCause.Connection, "4.4.5", "has had no connection free")]
    [InlineData(WaitCause.ByHand, "4.3.2", "The administrator of our server holds such mail back")]
    public void What_waits_for_something_of_ours_blames_no_recipient(WaitCause cause, string status, string why)
    {
        foreach ((DsnAction action, string code) in ((DsnAction, string)[])[(DsnAction.Delayed, status), (DsnAction.Failed, "5.4.7"), (DsnAction.Failed, "5.3.5")])
        {
            string text = Body(Request(Failed with { Action = action, Status = code, Wait = cause, RemoteMta = null, Diagnostic = "x" })).Replace("\r\n    ", " ", StringComparison.Ordinal);

            Assert.Contains(why, text, StringComparison.Ordinal);
            Assert.Contains("Neither your message nor the recipient's address is at fault.", text, StringComparison.Ordinal);
            Assert.Equal(action == DsnAction.Failed, text.Contains("administrator of relay.example.net, who can see the reason", StringComparison.Ordinal) || text.Contains("administrator of relay.example.net can see", StringComparison.Ordinal));
            Assert.DoesNotContain("Check the spelling", text, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Characters_beyond_ASCII_are_named_where_they_are()
    {
        DsnRecipient lacking = Failed with { Status = "5.6.7" };
        string header = Body(Request(lacking) with { Original = "Subject: Gr\u00fc\u00dfe\r\n\r\n"u8.ToArray() }).Replace("\r\n    ", " ", StringComparison.Ordinal);
        string recipient = Body(Request(lacking with { ForwardPath = new ForwardPath(MailboxAddress.Parse("j\u00fcrgen@example.org")) }));

        Assert.Contains("The header of your message has characters beyond ASCII", header, StringComparison.Ordinal);
        Assert.DoesNotContain("Ask the recipient", header, StringComparison.Ordinal);
        Assert.Contains("Ask the recipient for an address without such characters", recipient.Replace("\r\n    ", " ", StringComparison.Ordinal), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("5.6.7")]
    [InlineData("5.6.3")]
    public void What_a_next_hop_lacks_an_extension_for_comes_back_as_its_header_section_in_ASCII(string status)
    {
        DsnRequest request = Request(Failed with { Status = status, ForwardPath = new ForwardPath(MailboxAddress.Parse("j\u00fcrgen@example.org")) }) with
        {
            Original = "Subject: Gr\u00fc\u00dfe\r\n\r\n"u8.ToArray(),
            OriginalBody = "Gr\u00fc\u00dfe\r\n"u8.ToArray(),
        };

        ComposedDsn dsn = DsnComposer.Compose(request);

        Assert.False(dsn.BodyIs8Bit || dsn.HeaderNeedsUtf8);
        Assert.True(Ascii.IsValid(dsn.HeaderSection) && Ascii.IsValid(dsn.Body));
        string body = Encoding.ASCII.GetString(dsn.Body);
        Assert.Contains("Content-Type: text/rfc822-headers; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nSubject: Gr=C3=BC=C3=9Fe\r\n", body, StringComparison.Ordinal);
        Assert.Contains("Final-Recipient: utf-8; j\\x{FC}rgen@example.org\r\n", body, StringComparison.Ordinal);
    }

    [Fact]
    public void A_bound_of_its_own_decides_what_comes_back()
    {
        DsnRequest request = Request(Failed) with { OriginalBody = new byte[2000], MaxReturnedOctets = 1000 };

        Assert.Contains("Content-Type: text/rfc822-headers\r\n", Body(request), StringComparison.Ordinal);
        Assert.DoesNotContain("Message-ID:", Body(request with { MaxReturnedOctets = 60 })[^400..], StringComparison.Ordinal); // Whole fields, no part of one.
    }

    [Fact]
    public void Addresses_beyond_ASCII_are_written_in_the_seven_bit_form()
    {
        DsnRecipient recipient = Failed with { ForwardPath = new ForwardPath(MailboxAddress.Parse("jürgen+x@bücher.test")), OriginalRecipient = "utf-8;j\\x{FC}rgen@b.test" };
        string body = Body(Request(recipient));

        Assert.Contains("Original-Recipient: utf-8; j\\x{FC}rgen@b.test\r\n", body, StringComparison.Ordinal);
        Assert.Contains("Final-Recipient: utf-8; j\\x{FC}rgen\\x{2B}x@b\\x{FC}cher.test\r\n", body, StringComparison.Ordinal);
        Assert.Contains("Content-Transfer-Encoding: quoted-printable\r\n", body, StringComparison.Ordinal);
        Assert.True(Ascii.IsValid(body));
    }

    [Fact]
    public void A_report_to_an_address_that_needs_SMTPUTF8_has_the_media_types_of_RFC_6533()
    {
        DsnRecipient recipient = Failed with { ForwardPath = new ForwardPath(MailboxAddress.Parse("jürgen+x@bücher.test")), Diagnostic = "550 5.1.1 Grüße" };
        DsnRequest request = Request(recipient) with { To = MailboxAddress.Parse("käthe@bücher.test"), Original = "Subject: Grüße\r\n\r\n"u8.ToArray() };
        ComposedDsn dsn = DsnComposer.Compose(request);
        string header = Encoding.UTF8.GetString(dsn.HeaderSection), body = Encoding.UTF8.GetString(dsn.Body);

        Assert.True(dsn.HeaderNeedsUtf8);
        Assert.True(dsn.BodyIs8Bit);
        Assert.Contains("To: <käthe@xn--bcher-kva.test>\r\n", header, StringComparison.Ordinal);
        Assert.Contains("Content-Type: message/global-delivery-status\r\nContent-Transfer-Encoding: 8bit\r\n\r\n", body, StringComparison.Ordinal);
        Assert.Contains("Final-Recipient: utf-8; jürgen+x@bücher.test\r\n", body, StringComparison.Ordinal);
        Assert.Contains("Diagnostic-Code: smtp; 550 5.1.1 Grüße\r\n", body, StringComparison.Ordinal);
        Assert.Contains("Content-Type: message/global-headers\r\nContent-Transfer-Encoding: 8bit\r\n\r\nSubject: Grüße\r\n", body, StringComparison.Ordinal);
        Assert.Contains("Content-Type: message/global\r\n", Body(request with { OriginalBody = "x\r\n"u8.ToArray() }), StringComparison.Ordinal);
        Assert.Contains("Content-Type: message/global-delivery-status\r\n\r\n", Body(Request(Failed) with { To = request.To }), StringComparison.Ordinal); // Nothing in it is 8-bit.
    }

    [Fact]
    public void A_domain_beyond_ASCII_becomes_A_labels() => Assert.Contains(
        "Final-Recipient: rfc822; bob@xn--bcher-kva.test\r\n",
        Body(Request(Failed with { ForwardPath = new ForwardPath(MailboxAddress.Parse("bob@bücher.test")) })), StringComparison.Ordinal);

    [Fact]
    public void A_header_section_that_is_not_ASCII_is_returned_encoded()
    {
        string body = Body(Request(Failed) with { Original = "Subject: Gr\u00fc\u00dfe = x\r\n\r\n"u8.ToArray() });

        Assert.Contains("Content-Transfer-Encoding: quoted-printable\r\n\r\nSubject: Gr=C3=BC=C3=9Fe =3D x\r\n", body, StringComparison.Ordinal);
    }

    [Fact]
    public void The_boundary_does_not_occur_in_the_original()
    {
        string body = Body(Request(Failed) with { OriginalBody = Encoding.ASCII.GetBytes($"--=_{Id}_0\r\n--=_{Id}_0--\r\n") });

        Assert.Equal(4, body.Split($"--=_{Id}_1").Length - 1);
    }

    [Fact]
    public void Whatever_the_next_hop_said_the_report_stays_well_formed() =>
        Prop.ForAll<string, string, byte[]>((diagnostic, remote, original) =>
        {
            byte[] header = [.. "Subject: x\r\nX-Junk: "u8, .. (original ?? []).Where(static o => o is not ((byte)'\r' or (byte)'\n')), .. "\r\n\r\n"u8];
            ComposedDsn dsn = DsnComposer.Compose(
                Request(Failed with { Diagnostic = diagnostic ?? "", RemoteMta = remote }) with { EnvelopeId = remote, Original = header, OriginalBody = original });
            byte[] all = [.. dsn.HeaderSection, .. dsn.Body];
            string text = Encoding.Latin1.GetString(dsn.Body);
            string[] lines = Encoding.Latin1.GetString(all).Split("\r\n");
            string status = text[text.IndexOf("Reporting-MTA", StringComparison.Ordinal)..text.IndexOf("\r\nContent-Type: ", text.IndexOf("Reporting-MTA", StringComparison.Ordinal), StringComparison.Ordinal)];
            return lines.All(static l => l.Length <= 998)
                && Ascii.IsValid(dsn.HeaderSection)
                && (dsn.BodyIs8Bit || Ascii.IsValid(dsn.Body))
                && status.Split("\r\n").All(static l => l.Length == 0 || l[0] is ' ' or '-' || l.Split(':')[0].All(static c => char.IsAsciiLetterOrDigit(c) || c == '-'))
                && status.Split("\r\n").Count(static l => l.StartsWith("Action:", StringComparison.Ordinal)) == 1;
        }).QuickCheckThrowOnFailure();

    [Fact]
    public void A_hostile_reply_cannot_add_fields()
    {
        string body = Body(Request(Failed with { Diagnostic = "550 no\r\nAction: delivered\r\n\r\n--x \x1b[2J\u202e" + new string('y', 5000) }));

        Assert.Contains("Diagnostic-Code: smtp; 550 no Action: delivered --x [2J", body.Replace("\r\n ", " ", StringComparison.Ordinal), StringComparison.Ordinal);
        Assert.DoesNotContain("\r\nAction: delivered", body, StringComparison.Ordinal);
        Assert.InRange(body.Length, 0, 5000);
    }

    private static string Body(DsnRequest request) => Encoding.UTF8.GetString(DsnComposer.Compose(request).Body);

    [Theory]
    [InlineData("A body.\r\n")]
    [InlineData("")]
    [InlineData("Gr\u00fc\u00dfe\r\n\r\n--x\r\nContent-Type: message/rfc822\r\n\r\nmore")]
    public void A_report_that_is_too_large_is_written_again_as_if_the_header_alone_had_been_asked_for(string body)
    {
        DsnRequest alone = Request(Failed) with { From = MailboxAddress.Parse("MAILER-DAEMON@other.test") };
        ComposedDsn whole = DsnComposer.Compose(Request(Failed) with { OriginalBody = Encoding.UTF8.GetBytes(body) });

        ComposedDsn shorter = ShorterDsn.Of((byte[])[.. "DKIM-Signature: v=1; a=rsa-sha256\r\n"u8, .. whole.HeaderSection], whole.Body, whole.HeaderNeedsUtf8, alone.From!)!;

        ComposedDsn expected = DsnComposer.Compose(alone);
        Assert.Equal(Encoding.UTF8.GetString(expected.HeaderSection), Encoding.UTF8.GetString(shorter.HeaderSection));
        Assert.Equal(Encoding.UTF8.GetString(expected.Body), Encoding.UTF8.GetString(shorter.Body));
        Assert.Equal((expected.HeaderNeedsUtf8, expected.BodyIs8Bit), (shorter.HeaderNeedsUtf8, shorter.BodyIs8Bit));
        Assert.Null(ShorterDsn.Of(shorter.HeaderSection, shorter.Body, shorter.HeaderNeedsUtf8, alone.From!));
    }

    [Fact]
    public void What_is_no_report_is_not_made_shorter() =>
        Assert.Null(ShorterDsn.Of("From: a@b.test\r\nContent-Type: text/plain\r\n\r\n"u8.ToArray(), "x\r\n"u8, false, MailboxAddress.Parse("a@b.test")));

    private static DsnRequest Request(params DsnRecipient[] recipients) => new(
        Id, OriginalId, "relay.example.net", MailboxAddress.Parse("info@shop.test"), null, Arrived, Arrived.AddMinutes(2),
        recipients.ToImmutableArray(), Encoding.ASCII.GetBytes(Original), null);
}
