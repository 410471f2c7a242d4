using System.Collections.Concurrent;
using System.Net.Sockets;
using System.Security.Cryptography;
using RelayGate.InteropTests.Infrastructure;

namespace RelayGate.InteropTests.Crash;

/// <summary>Promise 1: what was answered with 250 arrives, whenever the process is killed.</summary>
public sealed class KillTests
{
    private const int Kills = 24;
    private const int Clients = 8;

    [Fact]
    public async Task Every_acknowledged_message_arrives_over_two_dozen_kills()
    {
        await using SinkServer sink = SinkServer.Start();
        await using GatewayProcess gateway = await GatewayProcess.StartAsync(sink, static s =>
            s["Limits"] = new System.Text.Json.Nodes.JsonObject { ["Enforce"] = false });
        await gateway.AddShopAsync();
        var acknowledged = new ConcurrentDictionary<string, bool>(StringComparer.Ordinal);
        using var over = new CancellationTokenSource();
        Task[] clients = [.. Enumerable.Range(0, Clients).Select(n => SubmitAsync(gateway.Port, n, acknowledged, over.Token))];

        for (int kill = 1; kill <= Kills; kill++)
        {
            // The moment differs in what the gateway is doing: by number of acknowledgements, not by the clock.
            int goal = acknowledged.Count + RandomNumberGenerator.GetInt32(1, 120);
            await Eventually.TrueAsync(() => acknowledged.Count >= goal, $"{goal} acknowledgements before kill {kill}");
            await gateway.KillAsync();
            await gateway.StartAsync(); // Bounded: a restart that needs repair by hand fails here.
        }
        await over.CancelAsync();
        await Task.WhenAll(clients);

        await Eventually.TrueAsync(
            async () => (await gateway.CliJsonAsync("queue", "list"))["items"]!.AsArray().Count == 0, "an empty queue", TimeSpan.FromSeconds(60));
        HashSet<string> arrived = [.. sink.Messages.Select(static m => m.Field("Message-ID")!)];
        string[] lost = [.. acknowledged.Keys.Where(id => !arrived.Contains(id))];
        Assert.True(lost.Length == 0, $"{lost.Length} of {acknowledged.Count} acknowledged messages were lost, for example {lost.FirstOrDefault()}");
        Assert.True(acknowledged.Count >= Kills);
    }

    /// <summary>Sends one message after the other, over as many connections as it takes, and notes those that were answered with 250.</summary>
    private static async Task SubmitAsync(int port, int client, ConcurrentDictionary<string, bool> acknowledged, CancellationToken over)
    {
        string body = new('x', 60);
        body = string.Join("\r\n", Enumerable.Repeat(body, 1 + (client * 20)));
        for (int number = 0; !over.IsCancellationRequested;)
        {
            try
            {
                using SmtpDialog dialog = await SmtpDialog.ConnectAsync(port);
                await dialog.LogInAsync("info@shop.test", GatewayProcess.Password);
                while (!over.IsCancellationRequested)
                {
                    string id = $"<{client}.{number++}@shop.test>";
                    string? reply = await dialog.SendAsync("info@shop.test", "ann@example.com", $"From: info@shop.test\r\nMessage-ID: {id}\r\n\r\n{body}");
                    if (reply is null)
                        break;
                    if (reply.StartsWith("250 ", StringComparison.Ordinal))
                        acknowledged[id] = true;
                }
            }
            catch (Exception e) when (e is IOException or SocketException or Xunit.Sdk.XunitException)
            {
                // Killed under our hands, or not up again yet: connect again. A refusal would leave the goal unreached.
                using var pace = new PeriodicTimer(TimeSpan.FromMilliseconds(20));
                await pace.WaitForNextTickAsync(CancellationToken.None);
            }
        }
    }
}
