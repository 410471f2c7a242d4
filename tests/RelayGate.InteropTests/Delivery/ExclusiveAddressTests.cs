using RelayGate.InteropTests.Infrastructure;

namespace RelayGate.InteropTests.Delivery;

/// <summary>Promise 2: when a subscription's address is gone, its mail waits; it never leaves from another address.</summary>
public sealed class ExclusiveAddressTests(HostedServer host) : IClassFixture<HostedServer>
{
    [HostedFact]
    public async Task Mail_waits_while_the_address_is_missing_and_leaves_from_it_when_it_is_back()
    {
        (int missing, int back) = (await CountAsync("egress-missing"), await CountAsync("egress-back"));
        await host.Inside.RemoveAddressAsync(HostedServer.AcmeIPv4 + "/24");
        (await host.RunAsync("From: info@shop.test\nTo: ann@example.com\nSubject: address gone\n\nx\n",
            [.. HostedServer.As(HostedServer.AcmeUser), "/usr/local/bin/relaygate-sendmail", "-t", "-i"])).ShouldSucceed();
        (await host.RunAsync("From: info@blog.test\nTo: ann@example.com\nSubject: others go on\n\nx\n",
            [.. HostedServer.As(HostedServer.BetaUser), "/usr/local/bin/relaygate-sendmail", "-t", "-i"])).ShouldSucceed();

        await host.Mx1.ReceiveAsync("Subject: others go on\r\n");
        await Eventually.TrueAsync(
            async () => (await host.Gateway.CliAsync("queue", "list", "--ip", HostedServer.AcmeIPv4, "--json")).Contains($"ip {HostedServer.AcmeIPv4}", StringComparison.Ordinal),
            "a message that waits for the address");
        Assert.DoesNotContain(host.Mx1.Messages, static m => m.Text.Contains("Subject: address gone\r\n", StringComparison.Ordinal));
        Assert.False((await host.Gateway.CliJsonAsync("ip", "show", HostedServer.AcmeIPv4))["present"]!.GetValue<bool>());
        await Eventually.TrueAsync(async () => await CountAsync("egress-missing") > missing, "the notice that the address is missing");
        Assert.Equal(back, await CountAsync("egress-back"));

        await host.Inside.AddAddressAsync(HostedServer.AcmeIPv4 + "/24");
        SinkMessage message = await host.Mx1.ReceiveAsync("Subject: address gone\r\n", TimeSpan.FromSeconds(20)); // By itself, and not by its next attempt.
        Assert.Equal(HostedServer.AcmeIPv4, message.Client.ToString());
        await Eventually.TrueAsync(async () => await CountAsync("egress-back") > back, "the notice that the address is back");
        Assert.Equal(missing + 1, await CountAsync("egress-missing"));
        await NoMismatchAsync();
    }

    [HostedFact]
    public async Task An_address_that_goes_and_comes_under_way_never_lets_mail_out_elsewhere()
    {
        const int Messages = 30;
        for (int i = 0; i < Messages; i++)
        {
            (await host.RunAsync($"From: info@shop.test\nTo: ann@example.com\nSubject: under way {i}\n\nx\n",
                [.. HostedServer.As(HostedServer.AcmeUser), "/usr/local/bin/relaygate-sendmail", "-t", "-i"])).ShouldSucceed();
            if (i % 6 == 1)
                await host.Inside.RemoveAddressAsync(HostedServer.AcmeIPv4 + "/24");
            else if (i % 6 == 4)
                await host.Inside.AddAddressAsync(HostedServer.AcmeIPv4 + "/24");
        }

        for (int i = 0; i < Messages; i++)
            Assert.Equal(HostedServer.AcmeIPv4, (await host.Mx1.ReceiveAsync($"Subject: under way {i}\r\n", TimeSpan.FromSeconds(30))).Client.ToString());
        await NoMismatchAsync();
    }

    [HostedFact]
    public async Task An_exclusive_address_cannot_be_given_to_two_subscriptions()
    {
        ProgramResult result = await host.Gateway.TryCliAsync("subscription", "add", "gamma", "--plan", "basic", "--ipv4", HostedServer.AcmeIPv4);

        result.ShouldExit(5).ShouldSay("acme");
    }

    /// <summary>Notices of a kind about the address.</summary>
    private async Task<int> CountAsync(string kind) => (await host.Gateway.CliJsonAsync("notice", "list", "--event", kind))["items"]!.AsArray()
        .Count(static n => n!.ToJsonString().Contains(HostedServer.AcmeIPv4, StringComparison.Ordinal));

    private async Task NoMismatchAsync() => Assert.Equal(
        "ok", (await host.Gateway.CliJsonAsync("doctor"))["items"]!.AsArray().First(static f => f!["check"]!.GetValue<string>() == "egress")!["result"]!.GetValue<string>());
}
