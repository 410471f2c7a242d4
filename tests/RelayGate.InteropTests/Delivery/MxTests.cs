using System.Text.Json.Nodes;
using RelayGate.InteropTests.Infrastructure;

namespace RelayGate.InteropTests.Delivery;

/// <summary>Delivery by MX with a real DNS server (nsd), by IPv4 and IPv6, from addresses that belong to one subscription each.</summary>
public sealed class MxTests(HostedServer host) : IClassFixture<HostedServer>
{
    [HostedFact]
    public async Task Mail_goes_to_the_MX_host_from_the_subscriptions_address_with_its_name()
    {
        await SendAsync("to MX", "ann@second.example");

        SinkMessage message = await host.Mx2.ReceiveAsync("Subject: to MX\r\n");
        Assert.Equal((HostedServer.AcmeIPv4, "mail.shop.test"), (message.Client.ToString(), message.Helo));
    }

    [HostedFact]
    public async Task The_next_MX_host_is_tried_when_the_preferred_one_is_dead()
    {
        await SendAsync("to the second MX", "ann@prefer.example");

        await host.Mx1.ReceiveAsync("Subject: to the second MX\r\n");
    }

    [HostedFact]
    public async Task A_domain_without_MX_is_its_own_MX()
    {
        await SendAsync("implicit", "ann@implicit.example");

        await host.Mx2.ReceiveAsync("Subject: implicit\r\n");
    }

    [HostedFact]
    public async Task A_host_with_IPv6_alone_is_reached_from_the_subscriptions_IPv6_address()
    {
        await SendAsync("by IPv6", "ann@six.example");

        SinkMessage message = await host.Mx2Six.ReceiveAsync("Subject: by IPv6\r\n");
        Assert.Equal(HostedServer.AcmeIPv6, message.Client.ToString());
    }

    [HostedFact]
    public async Task A_subscription_without_IPv6_waits_when_the_host_has_nothing_else()
    {
        string reference = await SendAsync("beta by IPv6", "ann@six.example", HostedServer.BetaUser, "info@blog.test");

        await Eventually.TrueAsync(
            async () => (await ExplainAsync(reference)).Contains("IPv6", StringComparison.OrdinalIgnoreCase), "an attempt that names the missing family");
        Assert.Contains(reference, (await host.Gateway.CliJsonAsync("queue", "list"))["items"]!.ToJsonString(), StringComparison.Ordinal);
        Assert.DoesNotContain(host.Mx2Six.Messages, static m => m.Text.Contains("beta by IPv6", StringComparison.Ordinal));
        await host.Gateway.CliAsync("queue", "delete", reference);
    }

    [HostedTheory]
    [InlineData("null.example", "5.1.10")]
    [InlineData("missing.example", "5.1.2")]
    [InlineData("empty.example", "5.")]
    public async Task Mail_that_can_never_arrive_comes_back_as_one_report(string domain, string status)
    {
        await SendAsync("never " + domain, "ann@" + domain, HostedServer.AcmeUser, "info@example.com");

        SinkMessage report = (await host.Mx1.ReceiveAsync(m => m.Text.Contains($"ann@{domain}", StringComparison.Ordinal)))[0];
        Assert.Equal(("<>", "<info@example.com>"), (report.ReversePath, report.Recipients[0].Split(' ')[0]));
        Assert.StartsWith("multipart/report", report.Field("Content-Type"), StringComparison.Ordinal);
        Assert.Contains($"Status: {status}", report.Body, StringComparison.Ordinal);
        Assert.Contains("Action: failed", report.Body, StringComparison.Ordinal);
        Assert.StartsWith("auto-", report.Field("Auto-Submitted"), StringComparison.Ordinal);
    }

    [HostedFact]
    public async Task An_MX_host_on_loopback_is_not_dialled()
    {
        string reference = await SendAsync("to loopback", "ann@loop.example");

        await Eventually.TrueAsync(
            async () => (await ExplainAsync(reference)).Contains("127.0.0.1", StringComparison.Ordinal)
                || (await ExplainAsync(reference)).Contains("loopback", StringComparison.Ordinal),
            "an attempt that says why");
    }

    [HostedFact]
    public async Task Each_recipient_has_a_result_of_its_own()
    {
        host.Mx2.Reply = static line => line.StartsWith("RCPT TO:<bad@", StringComparison.OrdinalIgnoreCase) ? "550 5.1.1 No such user" : null;

        (await host.RunAsync("From: info@example.com\nSubject: two results\n\nx\n",
            [.. HostedServer.As(HostedServer.AcmeUser), "/usr/local/bin/relaygate-sendmail", "-finfo@example.com", "bad@second.example", "good@second.example"])).ShouldSucceed();

        SinkMessage message = await host.Mx2.ReceiveAsync("Subject: two results\r\n");
        Assert.Equal(["<good@second.example>"], message.Recipients.Select(static r => r.Split(' ')[0]));
        SinkMessage report = (await host.Mx1.ReceiveAsync(static m => m.ReversePath == "<>" && m.Text.Contains("bad@second.example", StringComparison.Ordinal)))[0];
        Assert.Contains("550 5.1.1 No such user", report.Body, StringComparison.Ordinal);
        Assert.DoesNotContain("good@second.example", report.Body, StringComparison.Ordinal);
    }

    private async Task<string> ExplainAsync(string reference) => await host.Gateway.CliAsync("message", "explain", reference);

    /// <summary>Sends with the sendmail command.</summary>
    /// <returns>The ref of the message.</returns>
    private async Task<string> SendAsync(string subject, string to, string user = HostedServer.AcmeUser, string from = "info@shop.test")
    {
        ProgramResult result = await host.RunAsync($"From: {from}\nTo: {to}\nSubject: {subject}\n\nx\n",
            [.. HostedServer.As(user), "/usr/local/bin/relaygate-sendmail", "-f", from, "-t", "-i"]);
        result.ShouldSucceed();
        JsonNode? record = null;
        await Eventually.TrueAsync(
            async () => (record = (await host.Gateway.CliJsonAsync("message", "list"))["items"]!.AsArray()
                .FirstOrDefault(item => item!.ToJsonString().Contains(to, StringComparison.Ordinal))) is not null,
            "a decision record");
        return record!["ref"]!.GetValue<string>();
    }
}
