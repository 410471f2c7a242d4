using System.Text;
using FsCheck;
using FsCheck.Fluent;
using RelayGate.Core.Messages;

namespace RelayGate.Core.Tests.Messages;

public sealed class HeaderSectionTests
{
    [Theory]
    [InlineData("Subject: a\r\nTo: b\r\n\r\nbody", new[] { "Subject: a\r\n", "To: b\r\n" }, "body")]
    [InlineData("Subject: a\r\n b\r\n\tc\r\nTo: d\r\n", new[] { "Subject: a\r\n b\r\n\tc\r\n", "To: d\r\n" }, "")]
    [InlineData("Subject: a\r\n \r\nTo: d\r\n\r\nx", new[] { "Subject: a\r\n \r\n", "To: d\r\n" }, "x")] // A line of blanks continues (RFC 5322 §4.2).
    [InlineData("\r\nbody", new string[0], "body")]
    [InlineData("", new string[0], "")]
    [InlineData("Subject:\r\n\r\n", new[] { "Subject:\r\n" }, "")]
    [InlineData("To: a\r\nTo: b\r\nto: c\r\n\r\n", new[] { "To: a\r\n", "To: b\r\n", "to: c\r\n" }, "")]
    [InlineData("X-B\xe4r: a\r\n", new[] { "X-B\xe4r: a\r\n" }, "", true)]
    [InlineData("Subject : a\r\n", new[] { "Subject : a\r\n" }, "")]
    [InlineData("From x@y Sat Jan  1\r\nTo: b\r\n", new[] { "From x@y Sat Jan  1\r\n", "To: b\r\n" }, "")]
    [InlineData("To: b\r\nFrom x@y Sat Jan  1\r\n", new[] { "To: b\r\n", "From x@y Sat Jan  1\r\n" }, "", true)]
    [InlineData("hello world\r\n", new[] { "hello world\r\n" }, "", true)]
    [InlineData(" folded\r\nTo: b\r\n", new[] { " folded\r\n", "To: b\r\n" }, "", true)]
    [InlineData(": no name\r\n", new[] { ": no name\r\n" }, "", true)]
    [InlineData("Sub ject: a\r\n", new[] { "Sub ject: a\r\n" }, "", true)]
    [InlineData("To: a\nBcc: b\r\n", new[] { "To: a\nBcc: b\r\n" }, "", true)]
    [InlineData("To: a\rBcc: b\r\n", new[] { "To: a\rBcc: b\r\n" }, "", true)]
    [InlineData("To: a\0\r\n", new[] { "To: a\0\r\n" }, "", true)]
    [InlineData("To: a", new[] { "To: a" }, "")]
    public void Fields_are_cut_where_they_end(string octets, string[] fields, string body, bool isMalformed = false)
    {
        byte[] all = Encoding.Latin1.GetBytes(octets);
        HeaderSection header = HeaderSection.Parse(all);

        Assert.Equal(fields, FieldsOf(header));
        Assert.Equal(body, Encoding.Latin1.GetString(all.AsSpan(header.BodyOffset)));
        Assert.Equal(isMalformed, header.IsMalformed);
        Assert.Equal(isMalformed, Facts(octets).HeaderIsMalformed);
    }

    [Fact]
    public void Fields_together_are_the_section_octet_for_octet() =>
        Prop.ForAll<List<byte>>(octets =>
        {
            // Random octets rarely hold line ends and colons, so half of them become such.
            byte[] all = [.. octets.Select(static o => (o & 7) switch { 0 => (byte)'\r', 1 => (byte)'\n', 2 => (byte)':', 3 => (byte)' ', _ => o })];
            HeaderSection header = HeaderSection.Parse(all);
            string fields = string.Concat(FieldsOf(header));
            string end = header.BodyOffset > header.Octets.Length ? "\r\n" : "";
            return fields + end + Encoding.Latin1.GetString(all.AsSpan(header.BodyOffset)) == Encoding.Latin1.GetString(all);
        }).QuickCheckThrowOnFailure();

    [Fact]
    public void Facts_name_what_policy_and_record_need()
    {
        MessageFacts facts = Facts(
            "X-PHP-Originating-Script: 1001:mailer.php(12) : eval()'d code\r\nReceived: a\r\nReceived: b\r\nbcc: x@y.test\r\n" +
            "From: Ann <ann@shop.test>\r\nFrom: bob@shop.test\r\nMESSAGE-ID: <1@shop.test>\r\n" +
            "Subject: =?UTF-8?Q?Gr=C3=BC=C3=9Fe?=\r\n =?utf-8?B?IGF1cyBL?= =?utf-8?b?w7ZsbiA=?=\tx\r\n");

        Assert.Equal(2, facts.FromFields);
        Assert.Equal(["ann@shop.test"], facts.From.Select(static a => a.Text));
        Assert.Equal("1001:mailer.php(12) : eval()'d code", facts.PhpScript);
        Assert.Equal(2, facts.ReceivedFields);
        Assert.False(facts.HasDate);
        Assert.True(facts.HasMessageId);
        Assert.Equal("<1@shop.test>", facts.MessageId);
        Assert.Equal("Grüße aus Köln x", facts.Subject);
        Assert.False(facts.HeaderNeedsUtf8);
        Assert.Equal(61, facts.LongestLine);
        Assert.Equal(5000, facts.Octets);
    }

    [Theory]
    [InlineData("Subject: Grüße\r\n", true)]
    [InlineData("Bcc: ü@x.test\r\nTo: a@b.test\r\n", false)] // Dropped, so it needs nothing.
    public void Utf8_in_the_header_section_needs_SMTPUTF8(string header, bool needed) =>
        Assert.Equal(needed, HeaderSection.Parse(Encoding.UTF8.GetBytes(header)).ToFacts(1, default).HeaderNeedsUtf8);

    [Fact]
    public void Latin1_in_the_header_section_does_not_need_SMTPUTF8() => Assert.False(Facts("Subject: Gr\xfc\xdfe\r\n").HeaderNeedsUtf8);

    [Fact]
    public void Texts_of_facts_are_one_clean_line_of_bounded_length()
    {
        MessageFacts facts = Facts("Subject: a\x1b[31mb\r\n\t" + new string('c', 500) + "\r\nMessage-ID: " + new string('d', 900) + "\r\n");

        Assert.StartsWith("a [31mb c", facts.Subject, StringComparison.Ordinal);
        Assert.Equal(200, facts.Subject!.Length);
        Assert.Equal(255, facts.MessageId!.Length);
    }

    private static MessageFacts Facts(string header) => HeaderSection.Parse(Encoding.Latin1.GetBytes(header)).ToFacts(5000, new BodyFacts(false, 10));

    private static List<string> FieldsOf(HeaderSection header)
    {
        var fields = new List<string>();
        foreach (HeaderField field in header.Fields)
            fields.Add(Encoding.Latin1.GetString(header.OctetsOf(field)));
        return fields;
    }
}
