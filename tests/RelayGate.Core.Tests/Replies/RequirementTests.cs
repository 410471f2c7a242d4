using RelayGate.Core.Policy;
using RelayGate.Core.Replies;
using RelayGate.Core.Smtp;

namespace RelayGate.Core.Tests.Replies;

/// <summary>Replies that a hosting administrator meets when an address is blocked, word for word, at the stage where they come.</summary>
public class RequirementTests
{
    private static readonly ReplyRules Rules = ReplyRuleReader.Read(ReplyRuleReader.BuiltIn).Rules!;

    [Theory]
    [InlineData("hotmail-com.olc.protection.outlook.com", "mail", "ip-blocked", "microsoft-consumer", "S3140",
        "550 5.7.1 Unfortunately, messages from [192.0.2.10] weren't sent. Please contact your Internet service provider since part of their network is on our block list (S3140). You can also refer your provider to http://mail.live.com/mail/troubleshooting.aspx#errors.")]
    [InlineData("hotmail-com.olc.protection.outlook.com", "mail", "ip-blocked", "microsoft-consumer", "SC-001",
        "550 SC-001 (BAY004-MC1F12) Unfortunately, messages from 192.0.2.10 weren't sent. Please contact your Internet service provider.")]
    [InlineData("gmail-smtp-in.l.google.com", "end-of-data", "ip-blocked", "google", "NOTAUTHORIZEDERROR",
        "550-5.7.1 [192.0.2.10] The IP you're using to send mail is not authorized to\n550-5.7.1 send email directly to our servers. Please use the SMTP relay at your\n550-5.7.1 service provider instead. Learn more at\n550 5.7.1 https://support.google.com/mail/?p=NotAuthorizedError d9si21853ad.312 - gsmtp")]
    [InlineData("mx0a-0012.pphosted.com", "greeting", "ip-blocked", "proofpoint", null, "554 Blocked - see https://ipcheck.proofpoint.com/?ip=192.0.2.10")]
    [InlineData("mx.dest.test", "greeting", "ip-blocked", "proofpoint", null, "554-mx.dest.test\n554 Blocked - see https://ipcheck.proofpoint.com/?ip=192.0.2.10")]
    [InlineData("mx.dest.test", "rcpt", "ip-blocked", "proofpoint", null, "550 5.7.1 Service unavailable; client [192.0.2.10] blocked using prs.proofpoint.com")]
    [InlineData("mta5.am0.yahoodns.net", "mail", "ip-deferred", "yahoo", "TSS04",
        "421 4.7.0 [TSS04] Messages from 192.0.2.10 temporarily deferred due to unexpected volume or user complaints - 4.16.55.1; see https://postmaster.yahooinc.com/error-codes")]
    [InlineData("mx.dest.test", "mail", "ip-blocked", "dest.test", null, "550 5.7.1 mail not accepted from blacklisted IP [192.0.2.10]")]
    [InlineData("mx.dest.test", "end-of-data", "domain-reputation", "dest.test", null, "554 5.7.1 Message rejected because of the poor reputation of a domain used in message transfer")]
    public void Symptoms_of_a_blocked_address_are_recognised(string host, string stage, string expected, string provider, string? code, string reply)
    {
        ReplyFinding found = Classify(host, stage, reply);

        Assert.Equal((expected, provider, code), (ReplyClassNames.NameOf(found.Class), found.Provider, found.Code));
    }

    /// <summary>One and the same code means different things: who says it and what is said come first.</summary>
    [Theory]
    [InlineData("gmail-smtp-in.l.google.com", "421 4.7.28 Gmail has detected an unusual amount of mail", "rate")]
    [InlineData("gmail-smtp-in.l.google.com", "421 4.7.27 Your email has been rate limited because SPF authentication didn't pass", "authentication")]
    [InlineData("mx.dest.test", "450 4.7.27 Sender has a null MX", "transient")]
    [InlineData("mx.dest.test", "550 5.1.1 mail not accepted from blacklisted IP", "ip-blocked")]
    [InlineData("mx.dest.test", "550 5.7.1 No such user here", "invalid-recipient")]
    [InlineData("mx.dest.test", "451 4.7.1 Greylisted, please try again in 300 seconds", "greylisted")]
    [InlineData("mx.dest.test", "550 5.7.1 Greylisted for ever", "policy")]
    [InlineData("mx.dest.test", "554 5.7.1 Service unavailable; Client host [192.0.2.10] blocked using zen.spamhaus.org; Error: open resolver; https://check.spamhaus.org/returnc/pub/1/", "transient")]
    [InlineData("mx.dest.test", "550 5.7.1 <a@shop.test>: Sender address rejected: blacklisted by recipient", "policy")]
    [InlineData("mx.dest.test", "452 4.5.3 Too many recipients", "transient")]
    [InlineData("mx.dest.test", "451 4.3.0 Out of luck", "transient")]
    [InlineData("mx.dest.test", "550 Out of luck", "refused")]
    [InlineData("mx00.emig.gmx.net", "550-Requested action not taken: mailbox unavailable\n550 Reject due to policy restrictions.", "policy")]
    public void Provider_and_text_come_before_the_code(string host, string reply, string expected) =>
        Assert.Equal(expected, ReplyClassNames.NameOf(Classify(host, "rcpt", reply).Class));

    [Theory]
    [InlineData("alt1.gmail-smtp-in.l.google.com", "google")]
    [InlineData("SHOP-TEST.mail.protection.outlook.com.", "microsoft-365")]
    [InlineData("shop-test.p-v1.mx.microsoft", "microsoft-365")]
    [InlineData("outlook-com.olc.protection.outlook.com", "microsoft-consumer")]
    [InlineData("evilgoogle.com", "evilgoogle.com")]
    [InlineData("mx1.mail.dest.test", "mail.dest.test")]
    [InlineData("mx.dest.test", "dest.test")]
    [InlineData("dest.test", "dest.test")]
    [InlineData("localhost", "localhost")]
    [InlineData("[192.0.2.1]", "[192.0.2.1]")]
    public void A_host_tells_who_runs_it(string host, string expected) => Assert.Equal(expected, Rules.ProviderOf(host));

    [Theory]
    [InlineData("550 5.7.1 Blocked using zen.spamhaus.org, see https://www.spamhaus.org/query/ip/192.0.2.10.", "https://www.spamhaus.org/query/ip/192.0.2.10")]
    [InlineData("550 5.7.1 Blocked (www.spamhaus.org/query/ip/192.0.2.10)", "www.spamhaus.org/query/ip/192.0.2.10")]
    [InlineData("550 5.7.1 Blocked <HTTP://lists.test/x?y=1>; write to abuse@lists.test/x", "HTTP://lists.test/x?y=1")]
    [InlineData("550 5.7.1 192.0.2.0/24 and http:// are no pages", null)]
    public void The_page_that_helps_is_found(string reply, string? expected) => Assert.Equal(expected, Classify("mx.dest.test", "rcpt", reply).Url);

    private static ReplyFinding Classify(string host, string stage, string reply)
    {
        Assert.True(ReplyRuleReader.TryStage(stage, out DeliveryStage at));
        return Rules.Classify(Rules.ProviderOf(host), at, ReplyRuleReader.TryReply(reply)!);
    }
}
