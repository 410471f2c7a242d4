using RelayGate.InteropTests.Infrastructure;

namespace RelayGate.InteropTests.Delivery;

/// <summary>A next hop that refuses, stalls or fails for a while.</summary>
public sealed class RetryTests
{
    [Fact]
    public async Task A_greylisted_message_arrives_once_after_the_retry()
    {
        await using SinkServer sink = SinkServer.Start();
        int attempts = 0;
        sink.Reply = line => line.StartsWith("RCPT", StringComparison.Ordinal) && Interlocked.Increment(ref attempts) == 1 ? "450 4.7.1 Greylisted, come back" : null;
        await using GatewayProcess gateway = await GatewayProcess.StartAsync(sink);
        await gateway.AddShopAsync();

        string reference = await SendAsync(gateway, "greylisted");

        await sink.ReceiveAsync("Subject: greylisted\r\n");
        await Eventually.TrueAsync(async () => (await gateway.CliJsonAsync("queue", "list"))["items"]!.AsArray().Count == 0, "an empty queue");
        Assert.Single(sink.Messages);
        string explanation = await gateway.CliAsync("message", "explain", reference);
        Assert.Contains("450 4.7.1 Greylisted, come back", explanation, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_connection_that_closes_after_the_final_dot_is_no_success()
    {
        await using SinkServer sink = SinkServer.Start();
        int ends = 0;
        sink.Reply = line => line == "." && Interlocked.Increment(ref ends) == 1 ? "421 4.3.2 Closing" : null;
        await using GatewayProcess gateway = await GatewayProcess.StartAsync(sink);
        await gateway.AddShopAsync();

        await SendAsync(gateway, "closed at the dot");

        await sink.ReceiveAsync("Subject: closed at the dot\r\n");
    }

    [Fact]
    public async Task Held_mail_stays_until_it_is_released_and_deleted_mail_never_leaves()
    {
        await using SinkServer sink = SinkServer.Start();
        bool open = false;
        sink.Reply = line => Volatile.Read(ref open) || !line.StartsWith("MAIL", StringComparison.Ordinal) ? null : "451 4.3.0 Not now";
        await using GatewayProcess gateway = await GatewayProcess.StartAsync(sink);
        await gateway.AddShopAsync();
        string held = await SendAsync(gateway, "held"), deleted = await SendAsync(gateway, "deleted"), free = await SendAsync(gateway, "free");

        await gateway.CliAsync("queue", "hold", held);
        await gateway.CliAsync("queue", "delete", deleted);
        await gateway.CliAsync("queue", "retry", free); // Before the sink takes mail: the next retry is due by itself at any time.
        Volatile.Write(ref open, true);
        await sink.ReceiveAsync("Subject: free\r\n");
        Assert.Single(sink.Messages);
        await gateway.CliAsync("queue", "release", held);

        await sink.ReceiveAsync("Subject: held\r\n");
        Assert.DoesNotContain(sink.Messages, static m => m.Text.Contains("Subject: deleted\r\n", StringComparison.Ordinal));
        Assert.Empty((await gateway.CliJsonAsync("queue", "list"))["items"]!.AsArray());
    }

    /// <returns>The ref of the reply.</returns>
    private static async Task<string> SendAsync(GatewayProcess gateway, string subject)
    {
        using SmtpDialog dialog = await SmtpDialog.ConnectAsync(gateway.Port);
        await dialog.LogInAsync("info@shop.test", GatewayProcess.Password);
        string? reply = await dialog.SendAsync("info@shop.test", "ann@example.com", $"From: info@shop.test\r\nSubject: {subject}\r\n\r\nx");
        Assert.StartsWith("250 2.0.0", reply, StringComparison.Ordinal);
        return reply!.Split("; ref ")[1];
    }
}
