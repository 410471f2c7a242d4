using System.Net;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Tests.Fakes;
using RelayGate.Tests.Storage;

namespace RelayGate.Tests.Delivery;

/// <summary>From the committed message to its end: real store, real sockets, a clock that the test moves.</summary>
public sealed class DeliveryServiceTests
{
    [Fact]
    public async Task A_delivered_message_leaves_the_queue()
    {
        await using var hop = new FakeNextHop();
        await using var gateway = new DeliveryGateway(hop);

        await gateway.AcceptAsync("b@example.org", "c@example.org");

        ReceivedMessage message = await hop.NextAsync();
        Assert.Equal("MAIL FROM:<info@acme.test>", message.Mail.Split(" SIZE")[0]);
        Assert.Equal(2, message.Rcpts.Count);
        await DeliveryGateway.UntilAsync(async () => await gateway.Queue.Count("message") == 0);
        Assert.Equal(1, await gateway.Queue.Count("attempt"));
    }

    [Fact]
    public async Task A_refused_recipient_gets_exactly_one_DSN_that_names_it_alone()
    {
        await using var hop = new FakeNextHop { Script = e => e.Line.Contains("no@", StringComparison.Ordinal) ? new HopAction.Raw("550 5.1.1 No such user\r\n") : null };
        await using var gateway = new DeliveryGateway(hop);

        await gateway.AcceptAsync("yes@example.org", "no@example.org");

        ReceivedMessage[] messages = [await hop.NextAsync(), await hop.NextAsync()];
        ReceivedMessage dsn = messages.Single(m => m.Mail.StartsWith("MAIL FROM:<>", StringComparison.Ordinal));
        Assert.StartsWith("RCPT TO:<info@acme.test>", Assert.Single(dsn.Rcpts));
        Assert.Equal(["no@example.org"], FinalRecipients(dsn));
        Assert.Contains("Action: failed", dsn.Text, StringComparison.Ordinal);
        Assert.Contains("Status: 5.1.1", dsn.Text, StringComparison.Ordinal);
        Assert.Equal("127.0.0.2", dsn.Client.ToString());
        await gateway.UntilSettledAsync();
        Assert.Empty(hop.Messages);
    }

    [Fact]
    public async Task A_DSN_never_causes_another()
    {
        await using var hop = new FakeNextHop { Script = e => e.Verb == "RCPT" ? new HopAction.Raw("550 5.1.1 No such user\r\n") : null };
        await using var gateway = new DeliveryGateway(hop);

        await gateway.AcceptAsync("no@example.org");

        await DeliveryGateway.UntilAsync(async () => await gateway.Queue.Count("attempt") == 2);
        await gateway.UntilSettledAsync();
        Assert.Equal(2, hop.Commands.Count(c => c.StartsWith("MAIL", StringComparison.Ordinal)));
        Assert.Equal(0, await gateway.Queue.Count("recipient", "state = 0"));
    }

    [Fact]
    public async Task A_deferred_message_is_tried_again_and_only_for_those_that_are_left()
    {
        int attempts = 0;
        await using var hop = new FakeNextHop
        {
            Script = e => e.Line.Contains("grey@", StringComparison.Ordinal) && Interlocked.Increment(ref attempts) == 1 ? new HopAction.Raw("450 4.7.1 Greylisted\r\n") : null,
        };
        await using var gateway = new DeliveryGateway(hop);

        await gateway.AcceptAsync("yes@example.org", "grey@example.org");
        ReceivedMessage first = await hop.NextAsync();
        await DeliveryGateway.UntilAsync(async () => await gateway.Queue.Count("attempt") == 1);
        Assert.Equal("450 4.7.1 Greylisted", await gateway.Queue.Text("select last_reply from recipient where position = 1"));
        ReceivedMessage second = await gateway.AdvanceUntilNextAsync(hop, TimeSpan.FromSeconds(30), TimeSpan.FromMinutes(10));

        Assert.StartsWith("RCPT TO:<yes@example.org>", Assert.Single(first.Rcpts));
        Assert.StartsWith("RCPT TO:<grey@example.org>", Assert.Single(second.Rcpts));
        await DeliveryGateway.UntilAsync(async () => await gateway.Queue.Count("message") == 0);
    }

    [Fact]
    public async Task A_message_that_cannot_be_delivered_causes_one_delay_notice_and_after_four_days_one_report()
    {
        await using var hop = new FakeNextHop { Script = e => e.Line.StartsWith("RCPT TO:<b", StringComparison.Ordinal) ? new HopAction.Raw("451 4.3.0 Later\r\n") : null };
        await using var gateway = new DeliveryGateway(hop);

        await gateway.AcceptAsync("b1@example.org", "b2@example.org");
        await DeliveryGateway.UntilAsync(async () => await gateway.Queue.Count("attempt") > 0);
        DateTimeOffset start = gateway.Queue.Time.GetUtcNow();
        ReceivedMessage delay = await gateway.AdvanceUntilNextAsync(hop, TimeSpan.FromMinutes(10), TimeSpan.FromHours(9));
        TimeSpan delayAfter = gateway.Queue.Time.GetUtcNow() - start;
        ReceivedMessage failure = await gateway.AdvanceUntilNextAsync(hop, TimeSpan.FromHours(1), TimeSpan.FromDays(5));

        Assert.Equal(["b1@example.org", "b2@example.org"], FinalRecipients(delay));
        Assert.Contains("Action: delayed", delay.Text, StringComparison.Ordinal);
        Assert.True(delayAfter >= TimeSpan.FromHours(4), $"after {delayAfter}");
        Assert.Equal(["b1@example.org", "b2@example.org"], FinalRecipients(failure));
        Assert.Contains("Status: 5.4.7", failure.Text, StringComparison.Ordinal);
        Assert.Contains("4.3.0 Later", failure.Text, StringComparison.Ordinal);
        await DeliveryGateway.UntilAsync(async () => await gateway.Queue.Count("recipient", "state = 0") == 0);
        gateway.Queue.Time.Advance(TimeSpan.FromDays(1));
        Assert.Empty(hop.Messages);
    }

    [Fact]
    public async Task Each_recipient_has_its_own_delay_notice_whatever_its_domain()
    {
        await using var hop = new FakeNextHop { Script = e => e.Line.StartsWith("RCPT TO:<b@", StringComparison.Ordinal) ? new HopAction.Raw("451 4.3.0 Later\r\n") : null };
        await using var gateway = new DeliveryGateway(hop, o => o.Delivery.Retry.GiveUpAfter = TimeSpan.FromHours(20));

        await gateway.AcceptAsync("b@one.test", "b@two.test");
        await DeliveryGateway.UntilAsync(async () => await gateway.Queue.Count("recipient", "attempts = 1") == 2);
        await gateway.Queue.Writer.WriteAsync(c => SqliteRelayStoreTests.Execute(c, "update recipient set next_attempt = next_attempt + 18000000 where position = 1")); // 5 h.
        var noticed = new List<string>();
        while (noticed.Count < 2)
        {
            ReceivedMessage notice = await gateway.AdvanceUntilNextAsync(hop, TimeSpan.FromMinutes(5), TimeSpan.FromHours(12));
            Assert.Contains("Action: delayed", notice.Text, StringComparison.Ordinal);
            noticed.AddRange(FinalRecipients(notice));
        }

        Assert.Equal(["b@one.test", "b@two.test"], noticed.Order(StringComparer.Ordinal));
        ReceivedMessage next = await gateway.AdvanceUntilNextAsync(hop, TimeSpan.FromMinutes(30), TimeSpan.FromHours(24));
        Assert.Contains("Action: failed", next.Text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(DsnNotify.Never, 550, null)]
    [InlineData(DsnNotify.Success, 550, null)]
    [InlineData(DsnNotify.Delay, 550, null)]
    [InlineData(DsnNotify.Failure, 550, "Action: failed")]
    [InlineData(DsnNotify.Default, 550, "Action: failed")]
    [InlineData(DsnNotify.Default, 250, null)]
    [InlineData(DsnNotify.Failure, 250, null)]
    [InlineData(DsnNotify.Success, 250, "Action: relayed")]
    public async Task NOTIFY_is_obeyed(DsnNotify notify, int code, string? expected)
    {
        await using var hop = new FakeNextHop
        {
            Extensions = ["PIPELINING"],
            Script = e => code != 250 && e.Line.StartsWith("RCPT TO:<b@", StringComparison.Ordinal) ? new HopAction.Raw($"{code} 5.1.1 No\r\n") : null,
        };
        await using var gateway = new DeliveryGateway(hop);

        await gateway.AcceptAsync(new EnvelopeRecipient(new ForwardPath(MailboxAddress.Parse("b@example.org")), notify, "rfc822;orig@example.org"));
        await DeliveryGateway.UntilAsync(async () => await gateway.Queue.Count("attempt") == (expected is null ? 1 : 2));
        await gateway.UntilSettledAsync();

        ReceivedMessage? dsn = hop.Messages.SingleOrDefault(m => m.Mail.StartsWith("MAIL FROM:<>", StringComparison.Ordinal));
        Assert.Equal(expected is not null, dsn is not null);
        if (dsn is null)
            return;
        Assert.Contains(expected!, dsn.Text, StringComparison.Ordinal);
        Assert.Matches("Original-Recipient: rfc822; ?orig@example.org\r\n", dsn.Text);
        Assert.Contains("Original-Envelope-Id: env+1", dsn.Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_next_hop_with_DSN_reports_success_itself()
    {
        await using var hop = new FakeNextHop();
        await using var gateway = new DeliveryGateway(hop);

        await gateway.AcceptAsync(new EnvelopeRecipient(new ForwardPath(MailboxAddress.Parse("b@example.org")), DsnNotify.Success));

        Assert.Equal("RCPT TO:<b@example.org> NOTIFY=SUCCESS", (await hop.NextAsync()).Rcpts[0]);
        await DeliveryGateway.UntilAsync(async () => await gateway.Queue.Count("message") == 0);
        Assert.Empty(hop.Messages);
    }

    [Fact]
    public async Task A_host_with_DSN_that_took_nothing_does_not_keep_the_relayed_report_back()
    {
        await using var dns = new FakeDns();
        await using var first = new FakeNextHop(IPAddress.Parse("127.0.0.33")) { Script = e => e.Verb == "MAIL" ? new HopAction.Raw("450 4.3.2 Not now\r\n") : null };
        await using var second = new FakeNextHop(IPAddress.Parse("127.0.0.34"), first.EndPoint.Port) { Extensions = ["PIPELINING"] };
        dns.Mx("dest.test", 10, "mx1.test").Mx("dest.test", 20, "mx2.test").A("mx1.test", "127.0.0.33").A("mx2.test", "127.0.0.34").A("acme.test", "127.0.0.34");
        await using var gateway = new DeliveryGateway(first, o =>
        {
            o.Delivery.NextHop = "mx";
            o.Delivery.Resolver = dns.EndPoint.ToString();
            o.Delivery.AllowLoopback = true;
            o.Delivery.MxPort = first.EndPoint.Port;
        });

        await gateway.AcceptAsync(new EnvelopeRecipient(new ForwardPath(MailboxAddress.Parse("b@dest.test")), DsnNotify.Success));

        Assert.Equal("RCPT TO:<b@dest.test>", Assert.Single((await second.NextAsync()).Rcpts));
        Assert.Contains("Action: relayed", (await second.NextAsync()).Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_stuck_destination_does_not_hold_up_another()
    {
        await using var dns = new FakeDns();
        await using var stuck = new FakeNextHop(IPAddress.Parse("127.0.0.31"));
        stuck.Script = e => e.Verb == "connect" ? new HopAction.Stall() : null;
        await using var good = new FakeNextHop(IPAddress.Parse("127.0.0.32"), stuck.EndPoint.Port);
        dns.A("stuck.test", "127.0.0.31").A("good.test", "127.0.0.32");
        await using var gateway = new DeliveryGateway(stuck, o =>
        {
            o.Delivery.NextHop = "mx";
            o.Delivery.Resolver = dns.EndPoint.ToString();
            o.Delivery.AllowLoopback = true;
            o.Delivery.MxPort = stuck.EndPoint.Port;
            o.Delivery.Connections.Total = 20;
            o.Delivery.Connections.PerMx = 2;
        });
        for (int i = 0; i < 60; i++)
            await gateway.AcceptAsync($"b{i}@stuck.test");

        await gateway.AcceptAsync("b@good.test");

        await good.NextAsync();
        Assert.InRange(stuck.Connections, 1, 2);
    }

    [Fact]
    public async Task Stop_cuts_off_what_is_stuck_and_loses_nothing()
    {
        var stalled = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var hop = new FakeNextHop { Script = e => e.Verb == "content" && stalled.TrySetResult() ? new HopAction.Stall() : null };
        await using var gateway = new DeliveryGateway(hop);
        await gateway.AcceptAsync("b@example.org");
        await stalled.Task.WaitAsync(TimeSpan.FromSeconds(10));

        using var now = new CancellationTokenSource();
        Task stopping = gateway.Service.StopAsync(now.Token);
        Assert.False(stopping.IsCompleted);
        await now.CancelAsync();
        await stopping.WaitAsync(TimeSpan.FromSeconds(10));

        Assert.Equal(1, await gateway.Queue.Count("recipient", "state = 0"));
    }

    [Fact]
    public async Task Stop_waits_for_a_delivery_that_is_about_to_end()
    {
        var reached = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        using var go = new SemaphoreSlim(0);
        await using var hop = new FakeNextHop();
        hop.Script = e =>
        {
            if (e.Verb == "content")
            {
                reached.TrySetResult();
                go.Wait(TimeSpan.FromSeconds(10));
            }
            return null;
        };
        await using var gateway = new DeliveryGateway(hop);
        await gateway.AcceptAsync("b@example.org");
        await reached.Task.WaitAsync(TimeSpan.FromSeconds(10));

        Task stopping = gateway.Service.StopAsync(CancellationToken.None);
        go.Release();
        await stopping.WaitAsync(TimeSpan.FromSeconds(10));

        Assert.Single(hop.Messages);
        Assert.Equal(0, await gateway.Queue.Count("message"));
    }

    private static string[] FinalRecipients(ReceivedMessage dsn) =>
        [.. dsn.Text.Split("\r\n").Where(l => l.StartsWith("Final-Recipient:", StringComparison.Ordinal)).Select(l => l.Split(';')[1].Trim())];
}
