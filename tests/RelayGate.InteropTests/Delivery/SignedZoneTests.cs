using System.Text.Json.Nodes;
using RelayGate.InteropTests.Infrastructure;

namespace RelayGate.InteropTests.Delivery;

/// <summary>DANE with real signatures: what a validating resolver says of signed, unsigned and forged zones decides on TLS (RFC 7672).</summary>
public sealed class SignedZoneTests(SignedZones host) : IClassFixture<SignedZones>
{
    [SignedZonesTheory]
    [InlineData("good.test", true)] // The record fits the certificate, which no authority has signed.
    [InlineData("plain.test", false)] // Signed, without TLSA: as ever.
    [InlineData("unsigned.test", false)] // Its TLSA record, which does not fit, is nobody's word.
    public async Task Mail_arrives(string domain, bool isDane)
    {
        string reference = await SendAsync(domain);

        SinkMessage message = await host.Mx.ReceiveAsync($"Subject: to {domain}\r\n");
        Assert.True(message.Tls);
        string explanation = await ExplainAsync(reference);
        Assert.True(explanation.Contains("TLS policy dane ok", StringComparison.Ordinal) == isDane, explanation);
    }

    [SignedZonesTheory]
    [InlineData("wrong.test", "TLS policy dane certificate-not-trusted")]
    [InlineData("alias.test", "TLS policy dane certificate-not-trusted")] // The MX host is an alias of one whose record does not fit.
    [InlineData("forged.test", "SERVFAIL about mx.forged.test")] // The signature of the address does not fit: to be taken for no answer.
    public async Task Mail_waits(string domain, string reason)
    {
        string reference = await SendAsync(domain);

        string explanation = "";
        await Eventually.TrueAsync(async () => (explanation = await ExplainAsync(reference)).Contains("deferred", StringComparison.Ordinal), "an attempt that was deferred", TimeSpan.FromSeconds(40));
        Assert.True(explanation.Contains(reason, StringComparison.Ordinal), explanation);
        Assert.DoesNotContain(host.Mx.Messages, m => m.Text.Contains($"to {domain}", StringComparison.Ordinal));
        await host.Gateway.CliAsync("queue", "delete", reference);
    }

    private Task<string> ExplainAsync(string reference) => host.Gateway.CliAsync("message", "explain", reference);

    /// <returns>The ref of the message.</returns>
    private async Task<string> SendAsync(string domain)
    {
        (await new ProgramRun([.. HostedServer.As(HostedServer.AcmeUser), Repository.Sendmail, "-f", "info@shop.test", "-t", "-i"])
        {
            InputText = $"From: info@shop.test\nTo: ann@{domain}\nSubject: to {domain}\n\nx\n",
            Environment = host.Gateway.SendmailEnvironment,
        }.RunAsync()).ShouldSucceed();
        JsonNode? record = null;
        await Eventually.TrueAsync(
            async () => (record = (await host.Gateway.CliJsonAsync("message", "list"))["items"]!.AsArray()
                .FirstOrDefault(item => item!.ToJsonString().Contains($"ann@{domain}", StringComparison.Ordinal))) is not null,
            "a decision record");
        return record!["ref"]!.GetValue<string>();
    }
}
