using System.Text;
using FsCheck;
using FsCheck.Fluent;
using RelayGate.Core.Mail;
using RelayGate.Core.Smtp;

namespace RelayGate.Core.Tests.Smtp;

public class SmtpCommandParserTests
{
    [Theory]
    [InlineData("MAIL FROM:<a@shop.test>", "MAIL FROM:<a@shop.test>")]
    [InlineData("mail from:<a@shop.test> size=123", "MAIL FROM:<a@shop.test> SIZE=123")]
    [InlineData("MAIL FROM: <a@shop.test>  ", "MAIL FROM:<a@shop.test>")]
    [InlineData("MAIL FROM:<>", "MAIL FROM:<>")]
    [InlineData("MAIL FROM:<@relay.test,@b.test:a@shop.test>", "MAIL FROM:<a@shop.test>")]
    [InlineData("MAIL FROM:<\"a > b\"@shop.test> BODY=8BITMIME", "MAIL FROM:<\"a > b\"@shop.test>")]
    [InlineData("MAIL FROM:<a@b.test> AUTH=<> RET=hdrs ENVID=x+2By SMTPUTF8", "MAIL FROM:<a@b.test> SMTPUTF8 RET=HDRS ENVID=x+2By")]
    [InlineData("MAIL FROM:<a@b.test> AUTH=e+3Dmc2@example.com", "MAIL FROM:<a@b.test>")]
    [InlineData("MAIL FROM:<jürgen@müller.test> SMTPUTF8", "MAIL FROM:<jürgen@müller.test> SMTPUTF8")]
    [InlineData("RCPT TO:<a@[192.0.2.1]>", "RCPT TO:<a@[192.0.2.1]>")]
    [InlineData("RCPT TO:<a@[IPv6:2001:db8::1]>", "RCPT TO:<a@[IPv6:2001:db8::1]>")]
    [InlineData("rcpt to:<a@b.test> notify=success,DELAY orcpt=rfc822;a+2Bb@b.test", "RCPT TO:<a@b.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a+2Bb@b.test")]
    [InlineData("RCPT TO:<a@b.test> NOTIFY=NEVER", "RCPT TO:<a@b.test> NOTIFY=NEVER")]
    [InlineData("BDAT 0 LAST", "BDAT 0 LAST")]
    [InlineData("bdat 86 last", "BDAT 86 LAST")]
    [InlineData("BDAT 1000000", "BDAT 1000000")]
    [InlineData("EHLO m.eml", "EHLO m.eml")]
    [InlineData("HELO [127.0.0.1]", "HELO [127.0.0.1]")]
    [InlineData("ehlo what ever (nonsense)", "EHLO what ever (nonsense)")]
    [InlineData("auth plain AGEAYg==", "AUTH PLAIN")]
    [InlineData("DATA \t", "DATA")]
    [InlineData("noop whatever", "NOOP")]
    [InlineData("VRFY someone", "VRFY")]
    [InlineData("StartTls", "STARTTLS")]
    public void Good_lines_are_read(string line, string written)
    {
        Assert.True(SmtpCommandParser.TryParse(Encoding.UTF8.GetBytes(line), false, out SmtpCommand? command, out _));
        Assert.Equal(written, command.ToString());
    }

    [Theory]
    [InlineData("XCLAIM", "XCLAIM")]
    [InlineData("xclaim script=/var/www/a+20b.php PHP=1001:x.php+0A LATER=x", "XCLAIM SCRIPT=/var/www/a+20b.php PHP=1001:x.php?")]
    [InlineData("XCLAIM DIRECTORY=/home/j+C3+BCrgen SITE=shop.test VISITOR=2001:db8::1 POOL=", "XCLAIM DIRECTORY=/home/j+C3+BCrgen SITE=shop.test VISITOR=2001:db8::1")]
    public void Claims_are_read_on_the_unix_socket_alone(string line, string written)
    {
        Assert.True(SmtpCommandParser.TryParse(Encoding.UTF8.GetBytes(line), isLocal: true, out SmtpCommand? command, out _));
        Assert.Equal(written, command.ToString());
        Assert.False(SmtpCommandParser.TryParse(Encoding.UTF8.GetBytes(line), isLocal: false, out _, out SmtpSyntaxError? error));
        Assert.Equal("500 5.5.1 Command unknown", error.Reply.ToString());
    }

    [Theory]
    [InlineData("XCLAIM SCRIPT")]
    [InlineData("XCLAIM =x")]
    [InlineData("XCLAIM SCRIPT=a=b")]
    [InlineData("XCLAIM SCRIPT=a+2")]
    [InlineData("XCLAIM SCRIPT=a+ZZ")]
    public void Claims_that_are_no_xtext_are_refused(string line)
    {
        Assert.False(SmtpCommandParser.TryParse(Encoding.UTF8.GetBytes(line), isLocal: true, out _, out SmtpSyntaxError? error));
        Assert.Equal(501, error.Reply.Code);
    }

    [Fact]
    public void A_claim_is_bounded()
    {
        Assert.True(SmtpCommandParser.TryParse(Encoding.ASCII.GetBytes($"XCLAIM SITE={new string('x', 255)}"), isLocal: true, out _, out _));
        Assert.False(SmtpCommandParser.TryParse(Encoding.ASCII.GetBytes($"XCLAIM SITE={new string('x', 256)}"), isLocal: true, out _, out _));
    }

    [Theory]
    [InlineData("", "500 5.5.1")]
    [InlineData("FOO", "500 5.5.1")]
    [InlineData("MAILFROM:<a@b.test>", "500 5.5.1")]
    [InlineData("MAIL FROM:a@b.test", "501 5.5.4")]
    [InlineData("MAIL TO:<a@b.test>", "501 5.5.4")]
    [InlineData("MAIL FROM:<a@b.test", "501 5.5.4")]
    [InlineData("MAIL FROM:<a@b.test>SIZE=1", "501 5.5.4")]
    [InlineData("MAIL FROM:<a@b.test> SIZE=1 SIZE=2", "501 5.5.4")]
    [InlineData("MAIL FROM:<a@b.test> SIZE=", "501 5.5.4")]
    [InlineData("MAIL FROM:<a@b.test> SIZE=-1", "501 5.5.4")]
    [InlineData("MAIL FROM:<a@b.test> SIZE=9223372036854775808", "501 5.5.4")]
    [InlineData("MAIL FROM:<a@b.test> SIZE=18446744073709551617", "501 5.5.4")]
    [InlineData("MAIL FROM:<a@b.test> SIZE=00000000000000000000000001", "501 5.5.4")]
    [InlineData("MAIL FROM:<a@b.test> BODY=BINARYMIME", "501 5.5.4")]
    [InlineData("MAIL FROM:<a@b.test> SMTPUTF8=1", "501 5.5.4")]
    [InlineData("MAIL FROM:<a@b.test> FOO=1", "555 5.5.4")]
    [InlineData("MAIL FROM:<a@b.test> ENVID=a+0D+0Ab", "501 5.5.4")]
    [InlineData("MAIL FROM:<a@b.test> ENVID=a+2", "501 5.5.4")]
    [InlineData("MAIL FROM:<a@b.test> ENVID=a+2b", "501 5.5.4")]
    [InlineData("MAIL FROM:<a@b.test> AUTH=a=b", "501 5.5.4")]
    [InlineData("MAIL FROM:<a@b.test> NOTIFY=NEVER", "555 5.5.4")]
    [InlineData("MAIL FROM:<jürgen@b.test>", "553 5.6.7")]
    [InlineData("MAIL FROM:<a@b..test>", "501 5.1.7")]
    [InlineData("MAIL FROM:<root>", "501 5.1.7 The reverse-path <root> needs a domain")]
    [InlineData("MAIL FROM:<a b@c.test>", "501 5.1.7")]
    [InlineData("MAIL FROM:<a@b.test\u0001>", "500 5.5.2")]
    [InlineData("RCPT TO:<>", "501 5.1.3")]
    [InlineData("RCPT TO:<@a.test:>", "501 5.1.3")]
    [InlineData("RCPT TO:<@a.test:b>", "501 5.1.3")]
    [InlineData("RCPT TO:<a@b.test,c@d.test>", "501 5.1.3")]
    [InlineData("RCPT TO:<a@[127.1]>", "501 5.1.3")]
    [InlineData("RCPT TO:<root>", "501 5.1.3 The forward-path <root> needs a domain")]
    [InlineData("RCPT TO:<a@b.test> NOTIFY=NEVER,DELAY", "501 5.5.4")]
    [InlineData("RCPT TO:<a@b.test> NOTIFY=,", "501 5.5.4")]
    [InlineData("RCPT TO:<a@b.test> ORCPT=a@b.test", "501 5.5.4")]
    [InlineData("RCPT TO:<a@b.test> ORCPT=rfc822;a+0Ab", "501 5.5.4")]
    [InlineData("RCPT TO:<a@b.test> SIZE=1", "555 5.5.4")]
    [InlineData("EHLO", "501 5.5.4")]
    [InlineData("EHLO a\tb", "500 5.5.2")]
    [InlineData("EHLO a\u0085b", "500 5.5.2")]
    [InlineData("DATA now", "501 5.5.4")]
    [InlineData("QUIT now", "501 5.5.4")]
    [InlineData("AUTH", "501 5.5.4")]
    [InlineData("AUTH PLAIN a b", "501 5.5.4")]
    [InlineData("AUTH PLA+IN", "501 5.5.4")]
    [InlineData("BDAT", "501 5.5.4")]
    [InlineData("BDAT x", "501 5.5.4")]
    [InlineData("BDAT -1", "501 5.5.4")]
    [InlineData("BDAT 99999999999999999999", "501 5.5.4")]
    [InlineData("BDAT 1 FIRST", "501 5.5.4")]
    public void Bad_lines_are_refused(string line, string reply)
    {
        Assert.False(SmtpCommandParser.TryParse(Encoding.UTF8.GetBytes(line), false, out _, out SmtpSyntaxError? error));
        Assert.StartsWith(reply, error.Reply.ToString(), StringComparison.Ordinal);
        Assert.Equal(line.StartsWith("BDAT", StringComparison.Ordinal), error.MustClose); // Its octets cannot be told from commands.
    }

    [Theory]
    [InlineData("MAIL FROM:<acme>")]
    [InlineData("RCPT TO:<root>")]
    [InlineData("RCPT TO:<Postmaster>")]
    public void Unqualified_addresses_are_read_where_they_are_allowed(string line)
    {
        Assert.True(SmtpCommandParser.TryParse(Encoding.ASCII.GetBytes(line), true, out SmtpCommand? command, out _));
        Assert.Equal(line, command.ToString());
    }

    [Theory]
    [InlineData(64, true)]
    [InlineData(65, false)]
    public void The_local_part_has_64_octets_at_most(int octets, bool good) =>
        Assert.Equal(good, SmtpCommandParser.TryParse(Encoding.ASCII.GetBytes($"RCPT TO:<{new string('a', octets)}@b.test>"), false, out _, out _));

    [Fact]
    public void An_overlong_envelope_id_is_refused()
    {
        Assert.True(SmtpCommandParser.TryParse(Encoding.ASCII.GetBytes($"MAIL FROM:<> ENVID={new string('a', 100)}"), false, out _, out _));
        Assert.False(SmtpCommandParser.TryParse(Encoding.ASCII.GetBytes($"MAIL FROM:<> ENVID={new string('a', 101)}"), false, out _, out _));
    }

    [Theory]
    [InlineData("rfc822;", "a", 493, true)]
    [InlineData("rfc822;", "a", 494, false)]
    [InlineData("utf-8;", "\u00fc", 82, true)] // Six octets each as \x{FC}.
    [InlineData("utf-8;", "\u00fc", 83, false)]
    [InlineData("utf-8;", "\u00fc", 240, false)]
    public void An_original_recipient_has_500_octets_at_most_as_it_is_passed_on(string type, string letter, int letters, bool good)
    {
        string line = $"RCPT TO:<a@b.test> ORCPT={type}{string.Concat(Enumerable.Repeat(letter, letters))}";
        Assert.Equal(good, SmtpCommandParser.TryParse(Encoding.UTF8.GetBytes(line), false, out _, out SmtpSyntaxError? error));
        Assert.Equal(good ? null : 501, error?.Reply.Code);
    }

    [Fact]
    public void Invalid_utf8_is_refused()
    {
        byte[] line = [.. "RCPT TO:<"u8, 0xC3, 0x28, .. "@b.test>"u8];
        Assert.False(SmtpCommandParser.TryParse(line, false, out _, out SmtpSyntaxError? error));
        Assert.Equal(500, error.Reply.Code);
    }

    [Fact]
    public void Random_octets_never_throw() =>
        Prop.ForAll<byte[]>(octets => Either(octets)).QuickCheckThrowOnFailure();

    [Fact]
    public void Random_octets_after_a_verb_never_throw()
    {
        string[] starts = ["MAIL FROM:<", "MAIL FROM:<a@b.test> ", "RCPT TO:<", "RCPT TO:<a@b.test> ORCPT=", "RCPT TO:<\"", "EHLO ", "BDAT ", "AUTH ", "MAIL FROM:<@"];
        Prop.ForAll(Gen.Elements(starts).ToArbitrary(), ArbMap.Default.ArbFor<byte[]>(), (start, octets) => Either([.. Encoding.ASCII.GetBytes(start), .. octets]))
            .QuickCheckThrowOnFailure();
    }

    [Fact]
    public void What_was_read_is_written_and_read_again_as_the_same()
    {
        Gen<string> local = Gen.Elements("a", "info", "first.last", "\"a b\"", "\"a\\\"b\"", "x+y", "jürgen", "=?x?=");
        Gen<string> domain = Gen.Elements("shop.test", "[192.0.2.1]", "[IPv6:2001:db8::1]", "müller.test", "a-b.c_d.test");
        Gen<string> path = from l in local from d in domain select $"{l}@{d}";
        Gen<MailCommand> mail =
            from p in path
            from octets in Gen.Elements<long?>(null, 0, long.MaxValue)
            from ret in Gen.Elements(DsnReturn.Unspecified, DsnReturn.Full, DsnReturn.Headers)
            from id in Gen.Elements(null, "x", "a+2Bb")
            select new MailCommand(new ReversePath(MailboxAddress.Parse(p)), octets, true, ret, id);
        Gen<RcptCommand> rcpt =
            from p in path
            from notify in Gen.Elements(DsnNotify.Default, DsnNotify.Never, DsnNotify.Failure, DsnNotify.Success | DsnNotify.Delay)
            from original in Gen.Elements(null, "rfc822;a@b.test")
            select new RcptCommand(new ForwardPath(MailboxAddress.Parse(p)), notify, original);

        Prop.ForAll(mail.ToArbitrary(), command => Again(command) == command).QuickCheckThrowOnFailure();
        Prop.ForAll(rcpt.ToArbitrary(), command => Again(command) == command).QuickCheckThrowOnFailure();
    }

    private static SmtpCommand? Again(SmtpCommand command) =>
        SmtpCommandParser.TryParse(Encoding.UTF8.GetBytes(command.ToString()), false, out SmtpCommand? again, out _) ? again : null;

    private static bool Either(byte[] line) =>
        SmtpCommandParser.TryParse(line, true, out SmtpCommand? command, out SmtpSyntaxError? error) ? command is not null : error!.Reply.Code >= 500;
}
