using System.Net;
using System.Text;
using RelayGate.Core.Dkim;
using RelayGate.Core.Mail;
using RelayGate.Core.Messages;
using RelayGate.Core.Policy;
using RelayGate.Core.Smtp;
using RelayGate.Core.Tests.Dkim;

namespace RelayGate.Core.Tests.Messages;

public sealed class MessagePreparerTests
{
    private static readonly DateTimeOffset At = new(2026, 11, 1, 9, 5, 7, TimeSpan.FromHours(-3.5));
    private static readonly QueueId Id = QueueId.Create(At, 1, 2);
    private static readonly DkimKey Key = DkimKey.Generate(Domain.Parse("shop.test"), "rg1");

    private static readonly TraceField Trace = new(
        "client.example.net", IPAddress.Parse("192.0.2.7"), null, "relay.example.net", "ESMTPSA", "TLS 1.3 TLS_AES_128_GCM_SHA256", Id,
        new ForwardPath(MailboxAddress.Parse("bob@example.org")), At);

    private static readonly string TraceText =
        "Received: from client.example.net ([192.0.2.7])\r\n\tby relay.example.net (RelayGate) with ESMTPSA (TLS 1.3 TLS_AES_128_GCM_SHA256)\r\n" +
        $"\tid {Id}\r\n\tfor <bob@example.org>; Sun, 1 Nov 2026 09:05:07 -0330\r\n";

    private const string Complete = "From: Ann <ann@shop.test>\r\nDate: yesterday\r\nMessage-ID: <1@x>\r\n";

    [Fact]
    public void The_trace_field_goes_on_top_and_all_else_stays()
    {
        const string Odd = "X-Odd:\t a \r\n\tb\r\nTo:c\r\nx-odd: \xff\r\n" + Complete;
        PreparedHeader prepared = Prepare(Odd);

        Assert.Equal(TraceText + Odd + "\r\n", Encoding.Latin1.GetString(prepared.Octets));
        Assert.Equal(["+Received"], prepared.Changes);
    }

    [Theory]
    [InlineData("Bcc: x@y\r\n", "-Bcc")]
    [InlineData("BCC:\r\n x@y,\r\n\tz@y\r\n", "-Bcc")]
    [InlineData("Resent-Bcc: x@y\r\n", "-Resent-Bcc")]
    [InlineData("Bcc : x@y\r\n", "-Bcc")]
    public void Bcc_is_dropped_wherever_it_stands(string bcc, string change)
    {
        foreach (string fields in new[] { bcc + Complete, Complete + bcc, "To: b\r\n" + bcc + Complete })
        {
            PreparedHeader prepared = Prepare(fields);

            Assert.Equal(TraceText + fields.Replace(bcc, "", StringComparison.Ordinal) + "\r\n", Encoding.Latin1.GetString(prepared.Octets));
            Assert.Equal(["+Received", change], prepared.Changes);
        }
    }

    [Fact]
    public void What_is_missing_is_added_below_the_trace_field()
    {
        PreparedHeader prepared = Prepare("To: b\r\n");

        Assert.Equal(
            TraceText + $"From: <info@shop.test>\r\nDate: Sun, 1 Nov 2026 09:05:07 -0330\r\nMessage-ID: <{Id}@shop.test>\r\nTo: b\r\n\r\n",
            Encoding.Latin1.GetString(prepared.Octets));
        Assert.Equal(["+Received", "+From", "+Date", "+Message-ID"], prepared.Changes);
    }

    [Fact]
    public void Changes_are_counted_by_field_name_and_the_list_has_an_end()
    {
        string fields = "From: a@shop.test\r\nDate: x\r\nMessage-ID: <1@x>\r\n"
            + string.Concat(Enumerable.Repeat("a : x\r\nBcc: x\r\n", 10_000))
            + string.Concat(Enumerable.Range(0, 100).Select(i => $"n{i} : x\r\n"))
            + new string('b', 5000) + " : x\r\n";

        IReadOnlyList<string> changes = Prepare(fields).Changes;
        Assert.Equal(["+Received", "~a (10000)", "-Bcc (10000)", "~n0"], changes.Take(4));
        Assert.Equal("and 54 more", changes[^1]);
        Assert.Equal(51, changes.Count);
        Assert.All(changes, change => Assert.InRange(change.Length, 1, 120));
    }

    [Fact]
    public void Empty_Message_IDs_are_dropped_for_the_one_that_is_added() =>
        Assert.Equal(["+Received", "+Date", "+Message-ID", "-Message-ID (2)"], Prepare("From: a@shop.test\r\nMessage-ID:\r\nMessage-ID: \r\n").Changes);

    [Theory]
    [InlineData("From: a@other.example\r\nDate: d\r\n", "<#@other.example>")] // The header From's domain, else the hostname.
    [InlineData("From: a@[192.0.2.1]\r\nDate: d\r\n", "<#@relay.example.net>")]
    [InlineData("From: a@other.example\r\nDate: d\r\nMessage-ID: \r\n", "<#@other.example>")]
    public void Message_ID_names_the_domain_of_the_author(string fields, string messageId)
    {
        PreparedHeader prepared = Prepare(fields);

        Assert.Contains($"Message-ID: {messageId.Replace("#", Id.ToString(), StringComparison.Ordinal)}\r\n", Encoding.Latin1.GetString(prepared.Octets), StringComparison.Ordinal);
        Assert.Single(Encoding.Latin1.GetString(prepared.Octets).Split("\r\n"), static l => l.StartsWith("Message-ID", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("root (Cron Daemon)", "root@shop.test (Cron Daemon)")]
    [InlineData("\"(Cron Daemon)\" <root>", "\"(Cron Daemon)\" <root@shop.test>")]
    public void An_unqualified_From_gets_the_domain_of_the_reverse_path(string from, string qualified)
    {
        PreparedHeader prepared = Prepare($"To: root\r\nFrom: {from}\r\nDate: d\r\nMessage-ID: <1@x>\r\n");

        Assert.Contains($"\r\nTo: root\r\nFrom: {qualified}\r\nDate: d\r\n", Encoding.Latin1.GetString(prepared.Octets), StringComparison.Ordinal);
        Assert.Equal(["+Received", "~From"], prepared.Changes);
    }

    [Fact]
    public void A_notification_without_From_gets_the_name_that_notifications_have()
    {
        PreparedHeader prepared = Prepare("To: b\r\n", decision: Accept(ReversePath.Null));

        Assert.Contains("From: <MAILER-DAEMON@relay.example.net>\r\n", Encoding.Latin1.GetString(prepared.Octets), StringComparison.Ordinal);
    }

    [Fact]
    public void Obsolete_blanks_before_the_colon_and_an_mbox_separator_go()
    {
        PreparedHeader prepared = Prepare("From ann Sat Nov 21 09:05:07 2026\r\nSubject \t: x\r\n" + Complete);

        Assert.Equal(TraceText + "Subject: x\r\n" + Complete + "\r\n", Encoding.Latin1.GetString(prepared.Octets));
        Assert.Equal(["+Received", "-mbox separator", "~Subject"], prepared.Changes);
    }

    [Fact]
    public void A_message_without_header_section_gets_one() =>
        Assert.EndsWith($"Message-ID: <{Id}@shop.test>\r\n\r\n", Encoding.Latin1.GetString(Prepare("").Octets), StringComparison.Ordinal);

    [Fact]
    public void Signatures_cover_the_octets_that_are_stored()
    {
        byte[] body = "Hello  \r\n"u8.ToArray();
        Decision decision = Accept() with { SigningKeys = [Key, Key with { Selector = "rg2" }] };
        PreparedHeader prepared = MessagePreparer.Prepare(
            HeaderSection.Parse("Bcc: b@x\r\nSubject :x\r\n"u8.ToArray()), decision, Trace, () => RelaxedBodyHash.Of(body));

        Assert.Null(SlowVerifier.Verify([.. prepared.Octets, .. body], Key.Rsa));
        Assert.Equal(["+DKIM-Signature d=shop.test s=rg1", "+DKIM-Signature d=shop.test s=rg2"], prepared.Changes.TakeLast(2));
        Assert.StartsWith("DKIM-Signature:", Encoding.Latin1.GetString(prepared.Octets), StringComparison.Ordinal);
    }

    [Fact]
    public void Without_keys_or_with_two_From_fields_nothing_is_signed_and_the_body_is_not_hashed()
    {
        static byte[] Hash() => throw new InvalidOperationException();
        Decision decision = Accept() with { SigningKeys = [Key] };

        MessagePreparer.Prepare(HeaderSection.Parse("From: a@shop.test\r\n"u8.ToArray()), Accept(), Trace, Hash);
        MessagePreparer.Prepare(HeaderSection.Parse("From: a@shop.test\r\nFrom: b@shop.test\r\n"u8.ToArray()), decision, Trace, Hash);
    }

    [Theory]
    [InlineData("client.example.net", "from client.example.net ([192.0.2.7])")]
    [InlineData("[192.0.2.9]", "from [192.0.2.9] ([192.0.2.7])")]
    [InlineData("", "from [192.0.2.7] ([192.0.2.7])")]
    [InlineData("a b)\r\nX: y", "from [192.0.2.7] (helo=a b???X: y)")]
    [InlineData("b\u00fccher.test", "from xn--bcher-kva.test ([192.0.2.7])")]
    public void The_clients_name_is_cleaned(string helo, string written) =>
        Assert.StartsWith($"Received: {written}\r\n\tby relay.example.net", (Trace with { HeloName = helo }).Format(), StringComparison.Ordinal);

    [Fact]
    public void A_unix_socket_is_named_by_its_uid() => Assert.StartsWith(
        "Received: by relay.example.net (RelayGate, from uid 1001) with ESMTP\r\n\tid ",
        (Trace with { Client = null, Uid = 1001, Protocol = "ESMTP", Tls = null }).Format(), StringComparison.Ordinal);

    [Fact]
    public void An_IPv6_client_is_written_as_a_tagged_literal() => Assert.Contains(
        "([IPv6:2001:db8::1])", (Trace with { Client = IPAddress.Parse("2001:db8::1%3") }).Format(), StringComparison.Ordinal);

    private static PreparedHeader Prepare(string fields, Decision? decision = null) => MessagePreparer.Prepare(
        HeaderSection.Parse(Encoding.Latin1.GetBytes(fields)), decision ?? Accept(), Trace, static () => []);

    private static Decision Accept(ReversePath? reversePath = null) => new()
    {
        Verdict = Verdict.Accept,
        Reason = Reasons.Accepted,
        Reply = SmtpReply.Parse("250 2.0.0 OK"),
        ReversePath = reversePath ?? new ReversePath(MailboxAddress.Parse("info@shop.test")),
    };
}
