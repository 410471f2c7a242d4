using System.Text;
using FsCheck;
using FsCheck.Fluent;
using RelayGate.Core.Smtp;

namespace RelayGate.Core.Tests.Smtp;

public class ReplyScannerTests
{
    [Theory]
    [InlineData("250 ok\r\n", 250)]
    [InlineData("250\r\n", 250)]
    [InlineData("250 \r\n", 250)]
    [InlineData("250-a\r\n250-b\r\n250 c\r\n", 250)]
    [InlineData("250-\r\n250\r\n", 250)]
    [InlineData("571 not authorised\r\n", 571)]
    [InlineData("559 x\r\n250 next reply\r\n", 559)]
    public void A_well_formed_reply_ends_at_its_last_line_however_it_arrives(string text, int code)
    {
        byte[] wire = Encoding.Latin1.GetBytes(text);
        var whole = new ReplyScanner();
        Assert.Equal(ReplyScan.Complete, whole.Scan(wire));
        Assert.Equal(code, whole.Code);

        var split = new ReplyScanner();
        for (int length = 0; length < whole.Length; length++)
            Assert.Equal(ReplyScan.Incomplete, split.Scan(wire.AsSpan(0, length)));
        Assert.Equal(ReplyScan.Complete, split.Scan(wire));
        Assert.Equal((whole.Length, whole.Code), (split.Length, split.Code));
    }

    [Theory]
    [InlineData("250 ok\n")]
    [InlineData("\r\n")]
    [InlineData("250-a\r\n251 b\r\n")]
    [InlineData("2x0 ok\r\n")]
    [InlineData("250_ok\r\n")]
    [InlineData("150 ok\r\n")]
    [InlineData("250 a\rb\r\n")]
    [InlineData("260 ok\r\n")]
    public void What_is_not_well_formed_is_refused(string text) =>
        Assert.Equal(ReplyScan.Malformed, new ReplyScanner().Scan(Encoding.Latin1.GetBytes(text)));

    [Fact]
    public void Lines_and_octets_are_bounded()
    {
        Assert.Equal(ReplyScan.Malformed, new ReplyScanner().Scan(new byte[ReplyScanner.MaxLineOctets]));
        Assert.Equal(ReplyScan.Malformed, new ReplyScanner().Scan(Encoding.ASCII.GetBytes(string.Concat(Enumerable.Repeat("250-\r\n", 101)))));
        string line = "250-" + new string('x', 2000) + "\r\n";
        Assert.Equal(ReplyScan.Malformed, new ReplyScanner().Scan(Encoding.ASCII.GetBytes(string.Concat(Enumerable.Repeat(line, 17)))));
        Assert.Equal(ReplyScan.Incomplete, new ReplyScanner().Scan(Encoding.ASCII.GetBytes(string.Concat(Enumerable.Repeat(line, 16)))));
    }

    [Fact]
    public void Random_octets_never_throw_and_a_complete_reply_can_always_be_read() =>
        Prop.ForAll<byte[], string>((octets, text) =>
        {
            byte[] wire = [.. "250-"u8, .. Encoding.UTF8.GetBytes(text ?? ""), .. "\r\n250 "u8, .. octets, .. "\r\n"u8];
            var scanner = new ReplyScanner();
            new ReplyScanner().Scan(octets);
            if (scanner.Scan(wire) != ReplyScan.Complete)
                return true;
            SmtpReply reply = RemoteReply.Read(wire.AsSpan(0, scanner.Length));
            return reply.Code == 250 && reply.Text.Length <= RemoteReply.MaxCharacters && !reply.Text.Any(char.IsControl);
        }).QuickCheckThrowOnFailure();

    [Theory]
    [InlineData("550 5.1.1 no such user\r\n", "550 5.1.1 no such user", "5.1.1")]
    [InlineData("550-5.1.1 no\r\n550-5.1.1 such\r\n550 5.1.1 user\r\n", "550 5.1.1 no such user", "5.1.1")]
    [InlineData("550 no\r\n", "550 no", "5.0.0")]
    [InlineData("550 4.7.1 class does not match\r\n", "550 4.7.1 class does not match", "5.0.0")]
    [InlineData("250\r\n", "250 ", "2.0.0")]
    [InlineData("451 4.7.1 tab\tesc\u001b[0m\r\n", "451 4.7.1 tab esc?[0m", "4.7.1")]
    public void A_reply_becomes_one_clean_line(string wire, string text, string status)
    {
        SmtpReply reply = RemoteReply.Read(Encoding.Latin1.GetBytes(wire));

        Assert.Equal((text, status), (reply.ToString(), RemoteReply.StatusOf(reply)));
    }

    [Fact]
    public void EHLO_keywords_are_read_whatever_their_case()
    {
        EhloKeywords keywords = EhloKeywords.Read(
            "250-mx PIPELINING\r\n250-pipelining\r\n250-SIZE 1000\r\n250-8bitmime\r\n250-AUTH PLAIN\r\n250-X\r\n250-CHUNKING\r\n250 DSN\r\n"u8);

        Assert.Equal(new EhloKeywords(Pipelining: true, Size: true, SizeLimit: 1000, EightBitMime: true, Dsn: true, Chunking: true) { Auth = SaslMechanisms.Plain }, keywords);
        Assert.Equal(EhloKeywords.None, EhloKeywords.Read("250 PIPELINING\r\n"u8)); // The first line greets and offers nothing.
        Assert.Null(EhloKeywords.Read("250-mx\r\n250 SIZE 0\r\n"u8).SizeLimit);
        Assert.Null(EhloKeywords.Read("250-mx\r\n250 SIZE 99999999999999999999999\r\n"u8).SizeLimit);
    }
}
