using System.Diagnostics;
using System.Text;
using System.Text.Json.Nodes;
using RelayGate.InteropTests.Infrastructure;
using Xunit.Abstractions;

namespace RelayGate.InteropTests.Storm;

/// <summary>
/// A storm over an internet of which a fifth of all domains misbehaves: every message ends delivered once or with one report, and good domains get theirs.
/// RELAYGATE_STORM=MESSAGES/DOMAINS makes it larger (100000/5000).
/// </summary>
public sealed class StormTests(ITestOutputHelper output)
{
    private const int Clients = 8;

    [InteropFact("nsd")]
    public async Task Every_message_ends_delivered_once_or_with_one_report()
    {
        int[] size = [.. (Environment.GetEnvironmentVariable("RELAYGATE_STORM") ?? "10000/1000").Split('/').Select(int.Parse)];
        await using StormInternet internet = await StormInternet.StartAsync(size[1]);
        // Domains that never reply hold connections for half a minute each: those that get well in time must have had their turn.
        await using GatewayProcess gateway = await StartAsync(internet, TimeSpan.FromSeconds(Math.Max(30, size[0] / 250)));

        long started = Stopwatch.GetTimestamp();
        await SubmitAsync(gateway, internet, size[0], size[1]);
        output.WriteLine($"{size[0]} messages to {size[1]} domains accepted after {Stopwatch.GetElapsedTime(started).TotalSeconds:0.0} s");
        await SettleAsync(gateway, internet, TimeSpan.FromSeconds(240 + (size[0] / 100)));
        output.WriteLine($"settled after {Stopwatch.GetElapsedTime(started).TotalSeconds:0.0} s");

        Check(internet, duplicatesAllowed: 0);
        Assert.Contains("relaygate_egress_mismatch_total 0", await MetricsAsync(gateway), StringComparison.Ordinal);
    }

    [InteropFact("nsd")]
    public async Task A_kill_in_the_storm_repeats_only_what_was_in_flight_and_reports_nothing_twice()
    {
        const int Messages = 2000, Domains = 200, Connections = 40;
        await using StormInternet internet = await StormInternet.StartAsync(Domains);
        await using GatewayProcess gateway = await StartAsync(internet, TimeSpan.FromSeconds(30), Connections);
        internet.Closed = true;
        await SubmitAsync(gateway, internet, Messages, Domains);
        internet.Closed = false;

        const int Kills = 3;
        for (int kill = 1; kill <= Kills; kill++)
        {
            int goal = internet.Tally.Expected * kill / 8;
            await Eventually.TrueAsync(() => internet.Tally.Confirmed >= goal, $"{goal} deliveries before kill {kill}", TimeSpan.FromSeconds(90));
            await gateway.KillAsync();
            await gateway.StartAsync();
        }
        await SettleAsync(gateway, internet, TimeSpan.FromSeconds(240));

        // A delivery is in flight until its outcome is on disk: at most one for each connection, and what one commit takes.
        Check(internet, duplicatesAllowed: Kills * Connections * 2);
    }

    private static async Task<GatewayProcess> StartAsync(StormInternet internet, TimeSpan giveUpAfter, int connections = 500)
    {
        var gateway = new GatewayProcess("mx");
        JsonObject delivery = gateway.Settings["Delivery"]!.AsObject();
        delivery["Resolver"] = internet.Resolver;
        delivery["AllowLoopback"] = true;
        delivery["MxPort"] = internet.Port;
        delivery["Retry"] = new JsonObject { ["First"] = "00:00:01", ["Longest"] = "00:00:05", ["GiveUpAfter"] = giveUpAfter.ToString("c") };
        delivery["Timeouts"] = new JsonObject { ["Connect"] = "00:00:05", ["Reply"] = "00:00:05", ["Data"] = "00:00:30" };
        delivery["Connections"] = new JsonObject { ["Total"] = connections };
        gateway.Settings["Limits"] = new JsonObject { ["Enforce"] = false };
        gateway.Settings["Dsn"] = new JsonObject { ["PerSender"] = 0, ["Backscatter"] = 0 };
        await gateway.StartAsync();
        await gateway.AddShopAsync();
        return gateway;
    }

    private static Task SubmitAsync(GatewayProcess gateway, StormInternet internet, int messages, int domains) =>
        Task.WhenAll(Enumerable.Range(0, Clients).Select(async client =>
        {
            using SmtpDialog dialog = await SmtpDialog.ConnectAsync(gateway.Port);
            await dialog.LogInAsync("info@shop.test", GatewayProcess.Password);
            for (int number = client; number < messages; number += Clients)
            {
                string id = $"<storm.{number}@shop.test>";
                // Every fifth message goes to three domains.
                int[] targets = number % 5 == 0 ? [.. new[] { number % domains, (number * 7 + 1) % domains, (number * 13 + 2) % domains }.Distinct()] : [number % domains];
                var commands = new StringBuilder("MAIL FROM:<info@shop.test>\r\n");
                foreach (int target in targets)
                {
                    string recipient = $"u{number}@{StormInternet.NameOf(target)}";
                    internet.Tally.Expect(id, recipient);
                    commands.Append($"RCPT TO:<{recipient}>\r\n");
                }
                await dialog.WriteAsync(commands + "DATA\r\n");
                for (int reply = 0; reply < targets.Length + 1; reply++)
                    Assert.StartsWith("250", await dialog.ReplyAsync(), StringComparison.Ordinal);
                Assert.StartsWith("354", await dialog.ReplyAsync(), StringComparison.Ordinal);
                await dialog.WriteAsync($"From: info@shop.test\r\nSubject: storm\r\nMessage-ID: {id}\r\n\r\nBody of {number}\r\n..\r\n.\r\n");
                Assert.StartsWith("250", await dialog.ReplyAsync(), StringComparison.Ordinal);
            }
        }));

    private static async Task SettleAsync(GatewayProcess gateway, StormInternet internet, TimeSpan bound)
    {
        try
        {
            await Eventually.TrueAsync(() => internet.Tally.Settled == internet.Tally.Expected, "an end of every message", bound);
        }
        catch (TimeoutException e)
        {
            string open = string.Join("\n", internet.Tally.All.Where(f => f.Fate.Confirmed + f.Fate.Reports == 0).Take(10)
                .Select(f => $"{f.Id} {f.Recipient} {StormInternet.KindOf(f.Recipient)}"));
            throw new TimeoutException($"{internet.Tally.Settled} of {internet.Tally.Expected} have ended; open, for example:\n{open}\n{gateway.Said}", e);
        }
        await Eventually.TrueAsync(async () => (await gateway.CliJsonAsync("queue", "list"))["items"]!.AsArray().Count == 0, "an empty queue", TimeSpan.FromSeconds(60));
    }

    /// <param name="duplicatesAllowed">Confirmed deliveries more than one, over all recipients.</param>
    private void Check(StormInternet internet, int duplicatesAllowed)
    {
        foreach (IGrouping<StormKind, StormFate> kind in internet.Tally.All.GroupBy(f => StormInternet.KindOf(f.Recipient), f => f.Fate).OrderBy(g => g.Key))
            output.WriteLine($"{kind.Key,-36}{kind.Count(),8} recipients, {kind.Sum(f => f.Confirmed),8} delivered, {kind.Sum(f => f.Reports),7} reported, {kind.Sum(f => f.Unconfirmed),6} taken without a reply");
        Assert.Empty(internet.Tally.Strange);
        string[] wrong = [.. internet.Tally.All.Where(f => StormInternet.KindOf(f.Recipient).Delivers() ? f.Fate.Confirmed == 0 || f.Fate.Reports > 0 : f.Fate is not { Confirmed: 0, Reports: 1 })
            .Select(f => $"{f.Id} {f.Recipient} {StormInternet.KindOf(f.Recipient)}: {f.Fate.Confirmed} deliveries, {f.Fate.Reports} reports")];
        Assert.True(wrong.Length == 0, $"{wrong.Length} ended wrongly, for example\n{string.Join("\n", wrong.Take(20))}");
        int duplicates = internet.Tally.All.Sum(f => Math.Max(0, f.Fate.Confirmed - 1));
        output.WriteLine($"{duplicates} confirmed deliveries more than one");
        Assert.True(duplicates <= duplicatesAllowed, $"{duplicates} deliveries were confirmed and repeated");
    }

    private static async Task<string> MetricsAsync(GatewayProcess gateway)
    {
        using var client = new HttpClient();
        return await client.GetStringAsync(new Uri($"http://{gateway.AdminEndpoint}/metrics"));
    }
}
