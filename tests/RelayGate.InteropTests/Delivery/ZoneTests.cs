using System.Text.Json.Nodes;
using RelayGate.InteropTests.Infrastructure;

namespace RelayGate.InteropTests.Delivery;

/// <summary>Zones as administrators write them, wrong ones too, on a real DNS server (nsd).</summary>
public sealed class ZoneTests(HostedServer host) : IClassFixture<HostedServer>
{
    [HostedTheory]
    [InlineData("alias.example")] // The domain is a CNAME.
    [InlineData("aliased-mx.example")] // The MX host is one (RFC 5321 §5.1 has it resolved, RFC 2181 §10.3 forbids it).
    [InlineData("chain.example")] // CNAME to CNAME to MX to CNAME.
    [InlineData("ghost.example")] // The preferred MX host has no address.
    [InlineData("dead-six.example")] // The preferred MX host has IPv6 alone and is dead.
    [InlineData("lop-sided.example")] // One MX host with a dead IPv6 address and a good IPv4 address.
    [InlineData("many.example")] // 300 MX records: more than a datagram holds.
    [InlineData("wordy.example")] // TXT records of many kilobytes where policies are looked for.
    [InlineData("upper.example")] // Names in upper case.
    [InlineData("half-dead.example")] // Two hosts of equal preference, one of which is dead.
    public async Task Mail_arrives_although_the_zone_is_unusual(string domain)
    {
        await SendAsync("to " + domain, "ann@" + domain);

        SinkMessage message = await host.Mx2.ReceiveAsync($"Subject: to {domain}\r\n", TimeSpan.FromSeconds(60));
        Assert.Equal([$"<ann@{domain}>"], message.Recipients.Select(r => r.Split(' ')[0]));
    }

    [HostedTheory]
    [InlineData("servfail.example")] // The zone cannot be loaded.
    [InlineData("lame.example")] // Delegated to a server that is not there: a referral, which is no answer.
    [InlineData("loop-cname.example")] // CNAMEs in a circle.
    public async Task Mail_waits_while_the_zone_is_broken(string domain)
    {
        string reference = await SendAsync("to " + domain, "ann@" + domain);

        string explanation = "";
        try
        {
            await Eventually.TrueAsync(async () => (explanation = await ExplainAsync(reference)).Contains("deferred", StringComparison.Ordinal), "an attempt that was deferred", TimeSpan.FromSeconds(40));
        }
        catch (TimeoutException e)
        {
            throw new TimeoutException($"{e.Message}:\n{explanation}", e);
        }
        Assert.Contains(reference, await host.Gateway.CliAsync("queue", "list", "--json"), StringComparison.Ordinal);
        await host.Gateway.CliAsync("queue", "delete", reference);
    }

    private Task<string> ExplainAsync(string reference) => host.Gateway.CliAsync("message", "explain", reference);

    /// <returns>The ref of the message.</returns>
    private async Task<string> SendAsync(string subject, string to)
    {
        (await host.RunAsync($"From: info@shop.test\nTo: {to}\nSubject: {subject}\n\nx\n",
            [.. HostedServer.As(HostedServer.AcmeUser), "/usr/local/bin/relaygate-sendmail", "-f", "info@shop.test", "-t", "-i"])).ShouldSucceed();
        JsonNode? record = null;
        await Eventually.TrueAsync(
            async () => (record = (await host.Gateway.CliJsonAsync("message", "list"))["items"]!.AsArray()
                .FirstOrDefault(item => item!.ToJsonString().Contains(to, StringComparison.Ordinal))) is not null,
            "a decision record");
        return record!["ref"]!.GetValue<string>();
    }
}
