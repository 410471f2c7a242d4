using RelayGate.InteropTests.Infrastructure;

namespace RelayGate.InteropTests.Policy;

/// <summary>Promise 4, attacked from outside: many sessions race for the last messages of a limit.</summary>
public sealed class RaceTests
{
    private const int Sessions = 48; // Below Sessions:PerIdentity.

    [Fact]
    public async Task Of_many_racing_sessions_exactly_as_many_get_through_as_the_limit_has_room_also_after_a_kill()
    {
        await using SinkServer sink = SinkServer.Start();
        await using GatewayProcess gateway = await GatewayProcess.StartAsync(sink);
        await gateway.AddShopAsync();
        await gateway.CliAsync("limit", "set", "domain", "shop.test", "5/h");

        Assert.Equal(5, await RaceAsync(gateway));
        await gateway.KillAsync();
        await gateway.StartAsync();
        Assert.Equal(0, await RaceAsync(gateway));
        await gateway.CliAsync("limit", "set", "domain", "shop.test", "6/h");
        Assert.Equal(1, await RaceAsync(gateway));

        // A kill may make the next hop see a message twice, but never another message.
        IReadOnlyList<SinkMessage> arrived = await sink.ReceiveAsync(static _ => true, 6);
        await Eventually.TrueAsync(async () => (await gateway.CliJsonAsync("queue", "list"))["items"]!.AsArray().Count == 0, "an empty queue");
        Assert.Equal(6, sink.Messages.Select(static m => m.Field("Message-ID")).Distinct().Count());
        Assert.NotEmpty(arrived);
    }

    /// <summary>All sessions stand at the final dot before the first of them sends it.</summary>
    /// <returns>How many were answered with 250.</returns>
    private static async Task<int> RaceAsync(GatewayProcess gateway)
    {
        var line = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        int ready = 0;
        string?[] replies = await Task.WhenAll(Enumerable.Range(0, Sessions).Select(_ => RunAsync()));
        Assert.All(replies, static r => Assert.True(r!.StartsWith("250 ", StringComparison.Ordinal) || r.StartsWith("451 4.7.1 ", StringComparison.Ordinal), r));
        return replies.Count(static r => r!.StartsWith("250 ", StringComparison.Ordinal));

        async Task<string?> RunAsync()
        {
            using SmtpDialog dialog = await SmtpDialog.ConnectAsync(gateway.Port);
            await dialog.LogInAsync("info@shop.test", GatewayProcess.Password);
            string? refusal = await BeginAsync(dialog);
            if (Interlocked.Increment(ref ready) == Sessions)
                line.SetResult();
            if (refusal is not null)
                return refusal;
            await line.Task.WaitAsync(TimeSpan.FromSeconds(30));
            return await dialog.CommandAsync(".");
        }
    }

    private static async Task<string?> BeginAsync(SmtpDialog dialog)
    {
        foreach (string command in (string[])["MAIL FROM:<info@shop.test>", "RCPT TO:<ann@example.com>", "DATA"])
        {
            string? reply = await dialog.CommandAsync(command);
            if (reply?[0] is '4' or '5')
                return reply;
        }
        await dialog.WriteAsync("From: info@shop.test\r\nSubject: race\r\n\r\nx\r\n");
        return null;
    }
}
