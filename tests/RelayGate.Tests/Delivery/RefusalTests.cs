using System.Net;
using RelayGate.Core.Policy;
using RelayGate.Core.Replies;
using RelayGate.Delivery;
using RelayGate.Queue;
using RelayGate.Tests.Fakes;

namespace RelayGate.Tests.Delivery;

/// <summary>What next hops refuse, over real sockets: at every stage, in many lines, octet by octet.</summary>
public sealed class RefusalTests
{
    private const string NotAuthorised =
        "550-5.7.1 [192.0.2.10] The IP you're using to send mail is not authorized to\r\n550-5.7.1 send email directly to our servers. Please use the SMTP relay at your\r\n"
        + "550-5.7.1 service provider instead. Learn more at\r\n550 5.7.1 https://support.google.com/mail/?p=NotAuthorizedError d9si21853ad.312 - gsmtp\r\n";

    [Theory]
    [InlineData("mx0a-1.pphosted.com", "connect", "554-mx.pphosted.com ESMTP\r\n554 Blocked - see https://ipcheck.proofpoint.com/?ip=192.0.2.10\r\n", "ip-blocked", "proofpoint", OutcomeKind.Deferred, "4.0.0", "greeting")]
    [InlineData("mx00.gmx.net", "connect", "554-gmx.net (mxgmx115) Nemesis ESMTP Service not available\r\n554-No SMTP service\r\n554-IP address is black listed.\r\n554 For explanation visit https://postmaster.gmx.net/en/error-messages?ip=192.0.2.10&c=bip\r\n", "ip-blocked", "gmx", OutcomeKind.Deferred, "4.0.0", "greeting")]
    [InlineData("mx.cox.net", "EHLO", "554 cox.net 192.0.2.10 rejected - no rDNS - Error Code: CXDNS\r\n", "ptr", "cox", OutcomeKind.Deferred, "4.0.0", "ehlo")]
    [InlineData("outlook-com.olc.protection.outlook.com", "MAIL", "550 5.7.1 Unfortunately, messages from [192.0.2.10] weren't sent. Please contact your Internet service provider since part of their network is on our block list (S3140). You can also refer your provider to http://mail.live.com/mail/troubleshooting.aspx#errors.\r\n", "ip-blocked", "microsoft-consumer", OutcomeKind.Deferred, "4.7.1", "mail")]
    [InlineData("mta5.am0.yahoodns.net", "MAIL", "421 4.7.0 [TSS04] Messages from 192.0.2.10 temporarily deferred due to unexpected volume or user complaints - 4.16.55.1; see https://postmaster.yahooinc.com/error-codes\r\n", "ip-deferred", "yahoo", OutcomeKind.Deferred, "4.7.0", "mail")]
    [InlineData("mx.dest.test", "MAIL", "550 5.7.1 mail not accepted from blacklisted IP [192.0.2.10]\r\n", "ip-blocked", "dest.test", OutcomeKind.Deferred, "4.7.1", "mail")]
    [InlineData("mx.dest.test", "RCPT", "554-5.7.1 Service unavailable;\r\n554-5.7.1 Client host [192.0.2.10] blocked using\r\n554 5.7.1 zen.spamhaus.org; https://www.spamhaus.org/query/ip/192.0.2.10\r\n", "ip-blocked", "dest.test", OutcomeKind.Deferred, "4.7.1", "rcpt")]
    [InlineData("shop-test.mail.protection.outlook.com", "RCPT", "550 5.7.606 Access denied, banned sending IP [192.0.2.10]. To request removal from this list please visit https://sender.office.com/ and follow the directions.\r\n", "ip-blocked", "microsoft-365", OutcomeKind.Deferred, "4.7.606", "rcpt")]
    [InlineData("gmail-smtp-in.l.google.com", "content", NotAuthorised, "ip-blocked", "google", OutcomeKind.Deferred, "4.7.1", "end-of-data")]
    [InlineData("mx.dest.test", "content", "554 5.7.1 Message rejected because of poor reputation of a domain used in message transfer\r\n", "domain-reputation", "dest.test", OutcomeKind.Failed, "5.7.1", "end-of-data")]
    [InlineData("mx.dest.test", "content", "550 5.7.1 Message rejected as spam\r\n", "content", "dest.test", OutcomeKind.Failed, "5.7.1", "end-of-data")]
    [InlineData("mx.dest.test", "RCPT", "550 5.1.1 No such user here\r\n", "invalid-recipient", "dest.test", OutcomeKind.Failed, "5.1.1", "rcpt")]
    [InlineData("mx.dest.test", "RCPT", "552 5.2.2 Mailbox full\r\n", "mailbox-full", "dest.test", OutcomeKind.Failed, "5.2.2", "rcpt")]
    [InlineData("mx.dest.test", "RCPT", "450 4.7.1 Greylisted, try again in 300 seconds\r\n", "greylisted", "dest.test", OutcomeKind.Deferred, "4.7.1", "rcpt")]
    [InlineData("mx.dest.test", "DATA", "451 4.3.0 Something is wrong here\r\n", "transient", "dest.test", OutcomeKind.Deferred, "4.3.0", "data")]
    [InlineData("mx.qq.com", "MAIL", "550 Ip frequency limited [MaNpAc IP: 192.0.2.10]. http://service.mail.qq.com/cgi-bin/help?subtype=1&id=20022&no=1000725\r\n", "rate", "qq", OutcomeKind.Deferred, "4.0.0", "mail")]
    public async Task A_refusal_is_understood_where_it_comes(string host, string verb, string reply, string expected, string provider, OutcomeKind kind, string status, string stage)
    {
        await using var dns = new FakeDns();
        await using var hop = new FakeNextHop(IPAddress.Parse("127.0.0.51")) { Script = e => Is(e, verb) ? new HopAction.Raw(reply) : null, OctetByOctet = true };
        dns.Mx("dest.test", 10, host).A(host, "127.0.0.51");
        using DeliveryHarness harness = Mx(dns, hop);

        AttemptResult result = await harness.AttemptAsync();

        RecipientOutcome outcome = result.Outcomes[0]!;
        Assert.Equal((expected, provider), (ReplyClassNames.NameOf(outcome.Finding!.Class), outcome.Finding.Provider));
        Assert.Equal((kind, status, stage), (outcome.Kind, outcome.Status, DeliveryOutcome.NameOf(result.Stage)));
        Assert.Equal(provider, result.Provider);
        if (verb == "content" && provider == "google")
            Assert.Equal(("NOTAUTHORIZEDERROR", "https://support.google.com/mail/?p=NotAuthorizedError"), (outcome.Finding.Code, outcome.Finding.Url));
    }

    [Theory]
    [InlineData("connect")]
    [InlineData("EHLO")]
    [InlineData("MAIL")]
    public async Task A_refused_address_does_not_knock_at_the_other_hosts_of_the_provider_but_at_those_of_another(string verb)
    {
        await using var dns = new FakeDns();
        await using var first = new FakeNextHop(IPAddress.Parse("127.0.0.52")) { Script = e => Is(e, verb) ? new HopAction.Raw("554 5.7.1 Your IP 192.0.2.10 is blacklisted\r\n") : null };
        await using var second = new FakeNextHop(IPAddress.Parse("127.0.0.53"), first.EndPoint.Port);
        await using var other = new FakeNextHop(IPAddress.Parse("127.0.0.54"), first.EndPoint.Port);
        dns.Mx("dest.test", 10, "mx1.filter.test").Mx("dest.test", 20, "mx2.filter.test").A("mx1.filter.test", "127.0.0.52").A("mx2.filter.test", "127.0.0.53")
            .Mx("more.test", 10, "mx1.filter.test").Mx("more.test", 20, "mx.elsewhere.test").A("mx.elsewhere.test", "127.0.0.54");
        using DeliveryHarness harness = Mx(dns, first);

        AttemptResult refused = await harness.AttemptAsync("x\r\n", "b@dest.test");
        AttemptResult taken = await harness.AttemptAsync("x\r\n", "b@more.test");

        Assert.Equal(OutcomeKind.Deferred, refused.Outcomes[0]!.Kind);
        Assert.Equal(0, second.Connections);
        Assert.Equal(OutcomeKind.Delivered, taken.Outcomes[0]!.Kind);
        Assert.Equal(1, other.Connections);
    }

    [Fact]
    public async Task A_host_that_is_merely_busy_sends_on_to_the_next_one()
    {
        await using var dns = new FakeDns();
        await using var busy = new FakeNextHop(IPAddress.Parse("127.0.0.55")) { Script = e => e.Verb == "connect" ? new HopAction.Raw("421 4.3.2 Down for maintenance\r\n") : null };
        await using var next = new FakeNextHop(IPAddress.Parse("127.0.0.56"), busy.EndPoint.Port);
        dns.Mx("dest.test", 10, "mx1.test").Mx("dest.test", 20, "mx2.test").A("mx1.test", "127.0.0.55").A("mx2.test", "127.0.0.56");
        using DeliveryHarness harness = Mx(dns, busy);

        Assert.Equal(OutcomeKind.Delivered, (await harness.AttemptAsync()).Outcomes[0]!.Kind);
    }

    [Theory]
    [InlineData("452 4.2.2 Mailbox full", 1)]
    [InlineData("452 4.7.1 Too many messages from 192.0.2.10", 1)]
    [InlineData("452 4.5.3 Too many recipients", 2)]
    public async Task Only_a_bound_on_recipients_has_the_rest_sent_at_once(string reply, int transactions)
    {
        await using var hop = new FakeNextHop { Script = e => e.Line.Contains("late@", StringComparison.Ordinal) ? new HopAction.Raw(reply + "\r\n") : null };
        using var harness = new DeliveryHarness(hop.Url);

        AttemptResult result = await harness.AttemptAsync("x\r\n", "now@dest.test", "late@dest.test");

        Assert.Equal([OutcomeKind.Delivered, OutcomeKind.Deferred], result.Outcomes.Select(o => o!.Kind));
        Assert.Equal(transactions, hop.Commands.Count(c => c.StartsWith("MAIL", StringComparison.Ordinal)));
    }

    /// <summary>Who refuses EHLO refuses the HELO that follows.</summary>
    private static bool Is(HopEvent e, string verb) => e.Verb == verb || (verb == "EHLO" && e.Verb == "HELO");

    private static DeliveryHarness Mx(FakeDns dns, FakeNextHop hop) => new("mx", null, o =>
    {
        o.Delivery.Resolver = dns.EndPoint.ToString();
        o.Delivery.AllowLoopback = true;
        o.Delivery.MxPort = hop.EndPoint.Port;
    });
}
