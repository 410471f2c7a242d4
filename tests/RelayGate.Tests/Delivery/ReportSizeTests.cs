using System.Text;
using RelayGate.Core.Dsn;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Queue;
using RelayGate.Tests.Fakes;
using RelayGate.Tests.Queue;

namespace RelayGate.Tests.Delivery;

/// <summary>Mail of our own: what becomes of a report that a next hop does not take, and of what was asked for it over a restart.</summary>
public sealed class ReportSizeTests
{
    [Fact]
    public async Task A_report_that_is_too_large_for_its_next_hop_arrives_with_the_header_section_alone()
    {
        await using var hop = new FakeNextHop();
        hop.Extensions = ["PIPELINING", "SIZE 5000", "ENHANCEDSTATUSCODES", "8BITMIME"];
        await using var gateway = new DeliveryGateway(hop);
        string body = string.Concat(Enumerable.Repeat("A line of the body.\r\n", 400));

        Assert.Equal(OfferOutcome.Committed, (await gateway.Queue.OfferAsync(gateway.Queue.Message(gateway.Queue.Account(), body, ["bob@p.test"]))).Outcome);

        ReceivedMessage report = await hop.NextAsync();
        await gateway.UntilSettledAsync();
        Assert.Equal("RCPT TO:<info@acme.test>", Assert.Single(report.Rcpts));
        Assert.Contains("Status: 5.3.4", report.Text, StringComparison.Ordinal);
        Assert.Contains("\r\nContent-Type: text/rfc822-headers\r\n", report.Text, StringComparison.Ordinal);
        Assert.Contains("Subject: hello", report.Text, StringComparison.Ordinal);
        Assert.DoesNotContain("A line of the body.", report.Text, StringComparison.Ordinal);
        Assert.Equal(2, await gateway.Queue.Count("decision", "kind = 3")); // The one that was too large tells of the other.
        Assert.Equal(1, await gateway.Queue.Count("attempt", "report is not null and id in (select id from decision where kind = 3)"));
    }

    [Fact]
    public async Task A_report_that_is_too_large_even_so_is_not_written_for_ever()
    {
        await using var hop = new FakeNextHop();
        hop.Extensions = ["PIPELINING", "SIZE 10", "ENHANCEDSTATUSCODES", "8BITMIME"];
        await using var gateway = new DeliveryGateway(hop);

        await gateway.AcceptAsync("bob@p.test");

        await DeliveryGateway.UntilAsync(async () => await gateway.Queue.Count("attempt") == 3);
        await gateway.UntilSettledAsync();
        Assert.Equal(2, await gateway.Queue.Count("decision", "kind = 3"));
        Assert.Empty(hop.Messages);
    }

    [Fact]
    public async Task What_TLS_is_asked_for_is_kept_over_a_restart_for_reports_and_other_mail_of_our_own()
    {
        using var queue = new QueueFixture();
        _ = queue.Scheduler;
        OfferedMessage message = await queue.AcceptAsync(queue.Account());
        DeliveryJob job = await queue.TakeAsync();
        var original = new DeliveryJob(job.Message with { RequiresTls = true }, job.Recipients);
        var dsn = new PreparedDsn(queue.NewId(), new ForwardPath(message.Envelope.ReversePath.Address!), "Subject: failed\r\n\r\n"u8.ToArray(), "It failed.\r\n"u8.ToArray(), false, false);
        await queue.Writer.CompleteAsync(original, queue.Attempt(original, DeliveryResult.Failed), dsn);
        QueuedMessage tlsReport = OwnMail.Make(
            queue.NewId(), "", dsn.Recipient, EgressChoice.SystemDefault, new ComposedDsn("Subject: TLS\r\n\r\n"u8.ToArray(), Encoding.ASCII.GetBytes("x\r\n"), false, false), [],
            queue.Time.GetUtcNow()) with
        { IgnoresTlsPolicies = true };
        await queue.Writer.RunAsync(context => OwnMail.Insert(context, tlsReport, RecordKind.Notice, "tls-report", queue.Time.GetUtcNow(), "{}"u8), CancellationToken.None);

        queue.Reopen(TimeSpan.FromMinutes(2));

        QueuedMessage[] again = [(await queue.TakeAsync()).Message, (await queue.TakeAsync()).Message];
        Assert.Equal((true, false), again.Where(m => m.Id == dsn.Id).Select(static m => (m.RequiresTls, m.IgnoresTlsPolicies)).Single());
        Assert.Equal((false, true), again.Where(m => m.Id == tlsReport.Id).Select(static m => (m.RequiresTls, m.IgnoresTlsPolicies)).Single());
    }
}
