using RelayGate.InteropTests.Infrastructure;

namespace RelayGate.InteropTests.Delivery;

/// <summary>Promise 2: when a subscription's address is gone, its mail waits; it never leaves from another address.</summary>
public sealed class ExclusiveAddressTests(HostedServer host) : IClassFixture<HostedServer>
{
    [HostedFact]
    public async Task Mail_waits_while_the_address_is_missing_and_leaves_from_it_when_it_is_back()
    {
        await host.Inside.RemoveAddressAsync(HostedServer.AcmeIPv4 + "/24");
        (await host.RunAsync("From: info@shop.test\nTo: ann@example.com\nSubject: address gone\n\nx\n",
            [.. HostedServer.As(HostedServer.AcmeUser), "/usr/local/bin/relaygate-sendmail", "-t", "-i"])).ShouldSucceed();
        (await host.RunAsync("From: info@blog.test\nTo: ann@example.com\nSubject: others go on\n\nx\n",
            [.. HostedServer.As(HostedServer.BetaUser), "/usr/local/bin/relaygate-sendmail", "-t", "-i"])).ShouldSucceed();

        await host.Mx1.ReceiveAsync("Subject: others go on\r\n");
        await Eventually.TrueAsync(
            async () => (await host.Gateway.CliAsync("queue", "list", "--json")).Contains(HostedServer.AcmeIPv4, StringComparison.Ordinal)
                || (await ExplainFirstAsync()).Contains(HostedServer.AcmeIPv4, StringComparison.Ordinal),
            "an attempt that names the address");
        Assert.DoesNotContain(host.Mx1.Messages, static m => m.Text.Contains("Subject: address gone\r\n", StringComparison.Ordinal));

        await host.Inside.AddAddressAsync(HostedServer.AcmeIPv4 + "/24");
        SinkMessage message = await host.Mx1.ReceiveAsync("Subject: address gone\r\n", TimeSpan.FromSeconds(90));
        Assert.Equal(HostedServer.AcmeIPv4, message.Client.ToString());
    }

    [HostedFact]
    public async Task An_exclusive_address_cannot_be_given_to_two_subscriptions()
    {
        ProgramResult result = await host.Gateway.TryCliAsync("subscription", "add", "gamma", "--plan", "basic", "--ipv4", HostedServer.AcmeIPv4);

        result.ShouldExit(5).ShouldSay("acme");
    }

    private async Task<string> ExplainFirstAsync()
    {
        string reference = (await host.Gateway.CliJsonAsync("queue", "list"))["items"]!.AsArray()[0]!["ref"]!.GetValue<string>();
        return await host.Gateway.CliAsync("message", "explain", reference);
    }
}
