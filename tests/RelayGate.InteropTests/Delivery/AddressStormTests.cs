using System.Net.Sockets;
using RelayGate.InteropTests.Infrastructure;

namespace RelayGate.InteropTests.Delivery;

/// <summary>Promise 2 under load: four subscriptions send at once, by IPv4 and IPv6, while an address goes away and comes back.</summary>
public sealed class AddressStormTests(HostedServer host) : IClassFixture<HostedServer>
{
    private const int Each = 120;

    private static readonly (string Name, string Domain, string IPv4, string? IPv6)[] Senders =
    [
        ("acme", "shop.test", HostedServer.AcmeIPv4, HostedServer.AcmeIPv6),
        ("beta", "blog.test", HostedServer.BetaIPv4, null),
        ("gamma", "gamma.test", "203.0.113.13", "2001:db8::13"),
        ("delta", "delta.test", "203.0.113.14", "2001:db8::14"),
    ];

    [HostedFact]
    public async Task Every_message_leaves_from_an_address_of_its_own_subscription()
    {
        foreach ((string name, string domain, string ipv4, string? ipv6) in Senders)
        {
            if (name is "gamma" or "delta")
            {
                await host.Inside.AddAddressAsync(ipv4 + "/24");
                await host.Inside.AddAddressAsync(ipv6 + "/64");
                await host.Gateway.CliAsync("subscription", "add", name, "--plan", "basic", "--ipv4", ipv4, "--ipv6", ipv6!);
                await host.Gateway.CliAsync("domain", "add", domain, "--subscription", name);
            }
            if (name != "acme")
                await host.Gateway.AddMailboxAsync($"info@{domain}", GatewayProcess.Password);
            foreach (string target in (string[])[$"mailbox info@{domain}", $"domain {domain}", $"subscription {name}"])
                await host.Gateway.CliAsync(["limit", "set", .. target.Split(' '), "100000/h"]);
        }

        Task[] storms = [.. Senders.Select(s => Task.Run(() => SubmitAsync(s.Domain, s.IPv6 is null ? ["both.example", "second.example"] : ["both.example", "second.example", "six.example"])))];
        await Eventually.TrueAsync(() => All().Count(m => m.ReversePath == "<info@gamma.test>") > Each / 10, "the first messages of gamma");
        await host.Inside.RemoveAddressAsync("203.0.113.13/24"); // In flight.
        await Task.WhenAll(storms);
        await Eventually.TrueAsync(() => Senders.Where(s => s.Name != "gamma").All(s => All().Count(m => m.ReversePath == $"<info@{s.Domain}>") >= Each), "all that have their addresses", TimeSpan.FromSeconds(60));
        await host.Inside.AddAddressAsync("203.0.113.13/24");
        try
        {
            await Eventually.TrueAsync(() => All().Select(Subject).Distinct().Count() >= Each * Senders.Length, "every message", TimeSpan.FromSeconds(90));
        }
        catch (TimeoutException e)
        {
            throw new TimeoutException($"{e.Message}, {All().Select(Subject).Distinct().Count()} came\n{await host.Gateway.CliAsync("queue", "list")}\n{await host.Gateway.CliAsync("ip", "list")}", e);
        }

        foreach ((string _, string domain, string ipv4, string? ipv6) in Senders)
        {
            SinkMessage[] own = [.. All().Where(m => m.ReversePath == $"<info@{domain}>")];
            Assert.All(own, m => Assert.Contains(m.Client.ToString(), (string[])[ipv4, ipv6 ?? ipv4]));
            Assert.Equal(Each, own.Select(Subject).Distinct().Count());
            Assert.Contains(own, m => m.Client.ToString() == ipv4);
            Assert.True(ipv6 is null || own.Any(m => m.Client.ToString() == ipv6), $"nothing of {domain} by IPv6");
        }
        ProgramResult metrics = await new ProgramRun(host.Inside.Inside("curl", "-s", $"http://{host.Gateway.AdminEndpoint}/metrics")).RunAsync();
        metrics.ShouldSucceed().ShouldSay("relaygate_egress_mismatch_total 0");
    }

    private IEnumerable<SinkMessage> All() => host.Mx1.Messages.Concat(host.Mx2.Messages).Concat(host.Mx2Six.Messages).Where(static m => m.Field("Subject")?.StartsWith("storm ", StringComparison.Ordinal) == true);

    private static string Subject(SinkMessage message) => message.Field("Subject")!;

    private async Task SubmitAsync(string domain, string[] targets)
    {
        using SmtpDialog dialog = await SmtpDialog.ConnectAsync(new UnixDomainSocketEndPoint(host.Gateway.SubmitSocket));
        await dialog.LogInAsync($"info@{domain}", GatewayProcess.Password);
        for (int i = 0; i < Each; i++)
        {
            string? reply = await dialog.SendAsync($"info@{domain}", $"u{i}@{targets[i % targets.Length]}", $"From: info@{domain}\r\nSubject: storm {domain} {i}\r\n\r\nx");
            Assert.StartsWith("250", reply, StringComparison.Ordinal);
        }
    }
}
