using System.Net;
using System.Text;
using FsCheck;
using FsCheck.Fluent;
using RelayGate.Core.Dkim;
using RelayGate.Core.Mail;
using RelayGate.Core.Messages;
using RelayGate.Core.Policy;
using RelayGate.Core.Smtp;
using RelayGate.Core.Tests.Dkim;

namespace RelayGate.Core.Tests.Messages;

/// <summary>How an address that is owned is put in for the author, or beside him.</summary>
public class HeaderFromPreparerTests
{
    private static readonly DateTimeOffset At = new(2026, 11, 1, 9, 5, 7, TimeSpan.Zero);
    private static readonly MailboxAddress Info = MailboxAddress.Parse("info@shop.test");
    private static readonly TraceField Trace = new("c", IPAddress.Loopback, null, "relay.example.net", "ESMTPA", null, QueueId.Create(At, 1, 2), null, At);

    [Theory]
    [InlineData(" Ann <ann@bank.example>\r\n", " Ann <info@shop.test>\r\n")]
    [InlineData("Ann<ann@bank.example>\r\n", " Ann <info@shop.test>\r\n")]
    [InlineData(" ann@bank.example\r\n", " <info@shop.test>\r\n")]
    [InlineData(" <ann@bank.example>\r\n", " <info@shop.test>\r\n")]
    [InlineData(" \"Ann, of the Bank\" <ann@bank.example>\r\n", " \"Ann, of the Bank\" <info@shop.test>\r\n")]
    [InlineData(" =?utf-8?Q?J=C3=BCrgen?= =?utf-8?B?TcO8bGxlcg==?= <j@bank.example>\r\n", " =?utf-8?Q?J=C3=BCrgen?= =?utf-8?B?TcO8bGxlcg==?= <info@shop.test>\r\n")]
    [InlineData(" =?utf-8?Q?J=C3=BCrgen?=\r\n\t=?utf-8?Q?M?= <j@bank.example>\r\n", " =?utf-8?Q?J=C3=BCrgen?=\r\n\t=?utf-8?Q?M?= <info@shop.test>\r\n")]
    [InlineData(" J\u00c3\u00bcrgen <j@bank.example>\r\n", " J\u00c3\u00bcrgen <info@shop.test>\r\n")] // Raw UTF-8, as old shops write.
    [InlineData(" Ann Q. Public <ann@bank.example>\r\n", " Ann Q. Public <info@shop.test>\r\n")]
    [InlineData(" ann@bank.example (Ann Public)\r\n", " Ann Public <info@shop.test>\r\n")] // The old form.
    [InlineData(" ann@bank.example (=?utf-8?Q?J=C3=BCrgen?=)\r\n", " =?utf-8?Q?J=C3=BCrgen?= <info@shop.test>\r\n")]
    [InlineData(" ann@bank.example (Ann, \"the\" Boss)\r\n", " \"Ann, \\\"the\\\" Boss\" <info@shop.test>\r\n")]
    [InlineData(" Ann (from sales) <ann@bank.example>\r\n", " Ann <info@shop.test>\r\n")]
    [InlineData(" The Team: ann@bank.example, bob@bank.example;\r\n", " The Team <info@shop.test>\r\n")] // A group (RFC 6854).
    [InlineData(" Ann <ann@bank.example>, Bob <bob@bank.example>\r\n", " Ann <info@shop.test>\r\n")]
    [InlineData(" ann@bank.example, Bob <bob@bank.example>\r\n", " <info@shop.test>\r\n")]
    [InlineData(" ann@bank.example <ann@bank.example>\r\n", " \"ann@bank.example\" <info@shop.test>\r\n")] // No address any more, but a name.
    [InlineData(" \"x <ceo@bank.example>\" <ann@bank.example>\r\n", " <info@shop.test>\r\n")] // Some readers would show it as the address.
    [InlineData(" =?utf-8?Q?x_=3Cceo=40bank.example=3E?= <ann@bank.example>\r\n", " <info@shop.test>\r\n")]
    public void The_name_of_the_author_is_kept_where_it_is_only_a_name(string from, string rewritten)
    {
        string header = $"To: b\r\nFrom:{from}Date: d\r\nMessage-ID: <1@x>\r\n";
        PreparedHeader prepared = Prepare(header, HeaderFromMode.Rewrite);

        Assert.EndsWith($"Reply-To:{from}To: b\r\nFrom:{rewritten}Date: d\r\nMessage-ID: <1@x>\r\n\r\n", Encoding.Latin1.GetString(prepared.Octets), StringComparison.Ordinal);
        Assert.Equal(["+Received", "+Reply-To"], prepared.Changes.Take(2));
        Assert.StartsWith("~From", Assert.Single(prepared.Changes.Skip(2)), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("Reply-To: x@y\r\n")]
    [InlineData("reply-to:\r\n")]
    public void A_Reply_To_that_is_there_stays(string replyTo)
    {
        PreparedHeader prepared = Prepare($"From: Ann <ann@bank.example>\r\n{replyTo}Date: d\r\nMessage-ID: <1@x>\r\n", HeaderFromMode.Rewrite);

        Assert.EndsWith($"\r\nFrom: Ann <info@shop.test>\r\n{replyTo}Date: d\r\nMessage-ID: <1@x>\r\n\r\n", Encoding.Latin1.GetString(prepared.Octets), StringComparison.Ordinal);
        Assert.Equal(["+Received", "~From"], prepared.Changes);
    }

    [Theory]
    [InlineData("", "Sender: <info@shop.test>\r\n", "", "+Sender")]
    [InlineData("SENDER: eve@evil.example\r\n", "", "SENDER: <info@shop.test>\r\n", "~SENDER")]
    public void The_Sender_is_named_once(string before, string added, string after, string change)
    {
        string header = "From: Ann <ann@bank.example>\r\n#Date: d\r\nMessage-ID: <1@x>\r\n";
        PreparedHeader prepared = Prepare(header.Replace("#", before, StringComparison.Ordinal), HeaderFromMode.Sender);

        Assert.EndsWith("\r\n" + added + header.Replace("#", after, StringComparison.Ordinal) + "\r\n", Encoding.Latin1.GetString(prepared.Octets), StringComparison.Ordinal);
        Assert.Equal(["+Received", change], prepared.Changes);
    }

    [Fact]
    public void Further_Sender_fields_go() => Assert.Equal(
        ["+Received", "~Sender", "-Sender (2)"],
        Prepare("Sender: a@x\r\nFrom: ann@bank.example\r\nSender: b@x\r\nSender: c@x\r\nDate: d\r\nMessage-ID: <1@x>\r\n", HeaderFromMode.Sender).Changes);

    [Theory]
    [InlineData("Date: d\r\nMessage-ID: <1@x>\r\nFrom: Ann <ann@bank.example>")] // Cut off in the field.
    [InlineData("Date: d\r\nMessage-ID: <1@x>\r\nReply-To: r@x\r\nFrom: Ann <ann@bank.example>")]
    public void A_header_section_without_its_last_line_end_gets_it(string header)
    {
        string text = Encoding.Latin1.GetString(Prepare(header, HeaderFromMode.Rewrite).Octets);

        Assert.EndsWith("\r\nFrom: Ann <info@shop.test>\r\n\r\n", text, StringComparison.Ordinal);
        Assert.Equal(text.Length - 4, text.IndexOf("\r\n\r\n", StringComparison.Ordinal));
    }

    [Fact]
    public void A_long_author_makes_no_line_longer_than_998()
    {
        string name = "\"" + new string('x', 970) + "\"";
        string text = Encoding.Latin1.GetString(Prepare($"From: {name} <ann@bank.example>\r\n", HeaderFromMode.Rewrite).Octets);

        Assert.All(text.Split("\r\n"), line => Assert.InRange(line.Length, 0, 998));
    }

    [Fact]
    public void The_rewritten_author_is_what_is_signed()
    {
        DkimKey key = DkimKey.Generate(Domain.Parse("shop.test"), "rg1");
        PreparedHeader prepared = MessagePreparer.Prepare(
            HeaderSection.Parse("From: Ann <ann@bank.example>\r\nSubject: x\r\n"u8.ToArray()), Accept(HeaderFromMode.Rewrite) with { SigningKeys = [key] }, Trace,
            static () => RelaxedBodyHash.Of("Hello\r\n"u8.ToArray()));

        Assert.Null(SlowVerifier.Verify([.. prepared.Octets, .. "Hello\r\n"u8], key.Rsa));
        Assert.Contains("Message-ID: <" + Trace.Id + "@shop.test>", Encoding.Latin1.GetString(prepared.Octets), StringComparison.Ordinal);
    }

    /// <summary>Whatever the author looked like: one From, nothing in it that could be another address, and all other octets as they were.</summary>
    [Fact]
    public void A_rewritten_From_names_one_address_and_all_else_stays() =>
        Prop.ForAll(FromValues().ToArbitrary(), Gen.Elements("", "Subject: x\r\n", "X-Odd:\t a \r\n\tb\r\n", "Reply-To: r@x\r\n", "Received: from a by b\r\n").ToArbitrary(), (value, other) =>
        {
            HeaderSection original = HeaderSection.Parse(Encoding.UTF8.GetBytes($"Date: d\r\n{other}From:{value}\r\nMessage-ID: <1@x>\r\n"));
            MessageFacts facts = original.ToFacts(1, default);
            if (original.IsMalformed || facts.FromUnreadable || facts.FromFields != 1)
                return; // Refused.
            HeaderSection written = HeaderSection.Parse(MessagePreparer.Prepare(original, Accept(HeaderFromMode.Rewrite), Trace, static () => []).Octets);
            MessageFacts read = written.ToFacts(1, default);
            Assert.False(written.IsMalformed);
            Assert.Equal(1, read.FromFields);
            Assert.False(read.FromUnreadable);
            Assert.Equal("info@shop.test", Assert.Single(read.From).Text);
            Assert.Equal(
                Fields(original, FieldName.From),
                Fields(written, FieldName.From, FieldName.ReplyTo).Where(field => !field.StartsWith("Received: from c ", StringComparison.Ordinal)).Concat(other.StartsWith("Reply-To", StringComparison.Ordinal) ? [other] : []).OrderBy(static f => f, StringComparer.Ordinal));
            Assert.Equal(other.StartsWith("Reply-To", StringComparison.Ordinal) ? " r@x\r\n" : facts.UnqualifiedFrom is null ? value + "\r\n" : "", Value(written, FieldName.ReplyTo));
        }).QuickCheckThrowOnFailure();

    private static IEnumerable<string> Fields(HeaderSection header, params FieldName[] without)
    {
        var fields = new List<string>();
        foreach (ref readonly HeaderField field in header.Fields)
        {
            if (!without.Contains(field.Name))
                fields.Add(Encoding.UTF8.GetString(header.OctetsOf(field)));
        }
        return fields.OrderBy(static f => f, StringComparer.Ordinal);
    }

    private static string Value(HeaderSection header, FieldName name) => header.TryFind(name, out HeaderField field) ? Encoding.UTF8.GetString(header.ValueOf(field)) : "";

    private static Gen<string> FromValues()
    {
        Gen<string> piece = Gen.Elements(
            " ", " ", "Ann", "\"Ann B.\"", "\"a \\\" b\"", "=?utf-8?Q?J=C3=BC?=", "=?utf-8?B?PGNlb0BiYW5rLmV4YW1wbGU+?=", "=?utf-8?q?=", "(note)", "(a (b) c)", "(ceo@bank.example)", "ü", "\r\n\t",
            "<", ">", ",", ";", ":", "@", ".", "ann@bank.example", "<ann@bank.example>", "<info@shop.test>", "\"x@y\"", "\"<x@y>\"", "[192.0.2.1]", "root", "\\");
        return Gen.Choose(1, 7).SelectMany(count => piece.ListOf(count)).Select(static pieces => " " + string.Concat(pieces));
    }

    private static PreparedHeader Prepare(string fields, HeaderFromMode mode) =>
        MessagePreparer.Prepare(HeaderSection.Parse(Encoding.Latin1.GetBytes(fields)), Accept(mode), Trace, static () => []);

    private static Decision Accept(HeaderFromMode mode) => new()
    {
        Verdict = Verdict.Accept,
        Reason = Reasons.Accepted,
        Reply = SmtpReply.Parse("250 2.0.0 OK"),
        ReversePath = new ReversePath(Info),
        HeaderFrom = new HeaderFromTreatment(mode, Info),
    };
}
