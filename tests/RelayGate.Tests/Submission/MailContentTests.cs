using RelayGate.Submission;

namespace RelayGate.Tests.Submission;

/// <summary>What mail content costs in memory, and what happens when there is none, or the writer is busy.</summary>
public class MailContentTests
{
    private const string Message = "From: info@shop.test\r\nSubject: x\r\n\r\nbody";

    [Fact]
    public async Task When_memory_is_short_bodies_go_to_the_store_early()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        await using TestClient client = await TestClient.LogInAsync(host.Local);
        MemoryBudget memory = host.Service.ContentMemory;
        string body = string.Concat(Enumerable.Range(0, 20_000).Select(i => $"line {i}\r\n"));
        const long Large = SubmissionLimits.ContentMemory / 2;

        Assert.True(memory.TryTake(Large)); // All that large messages may have.
        Assert.False(memory.TryTake(1));
        string reply = await client.OfferAsync("From: info@shop.test\r\n\r\n" + body[..^2]);
        Assert.StartsWith("250 2.0.0", reply, StringComparison.Ordinal);
        Assert.EndsWith("\r\n\r\n" + body, await host.ContentAsync(TestClient.RefOf(reply)), StringComparison.Ordinal);
        Assert.True((await host.QueryAsync("select number from chunk", row => 1)).Count > 1);
        Assert.Equal(Large, memory.Used); // Nothing is kept of what a message has taken.
    }

    [Fact]
    public async Task Without_any_memory_clients_are_told_to_come_back()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        await using TestClient client = await TestClient.LogInAsync(host.Local);
        MemoryBudget memory = host.Service.ContentMemory;

        Assert.True(memory.TryTakeFirst(SubmissionLimits.ContentMemory));
        Assert.StartsWith("452 4.3.1", await client.OfferAsync(Message), StringComparison.Ordinal);
        memory.Return(SubmissionLimits.ContentMemory);
        Assert.StartsWith("250 2.0.0", await client.OfferAsync(Message), StringComparison.Ordinal);
        Assert.Equal(0, memory.Used);
    }

    [Theory]
    [InlineData("MAIL FROM:<info@shop.test>", 300_000)] // One chunk is in the store, and the rest in memory.
    [InlineData("MAIL FROM:<info@shop.test>", 250_000)] // All is in memory.
    [InlineData("MAIL FROM:<info@shop.test> SIZE=900000", 100)] // Hardly anything was sent.
    public async Task Large_uploads_that_stand_still_keep_nobody_from_sending(string mail, int octets)
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync(o => (o.Sessions.PerIdentity, o.Limits.Enforce) = (1000, false));
        var stalled = new List<TestClient>();
        string sent = $"From: info@shop.test\r\n\r\n{new string('x', octets)}\r\n";
        for (int i = 0; i < 140; i++)
        {
            TestClient client = await TestClient.LogInAsync(host.Local);
            stalled.Add(client);
            await client.CommandAsync(mail, "250");
            await client.CommandAsync("RCPT TO:<ann@example.net>", "250");
            await client.CommandAsync("DATA", "354");
            await client.SendAsync(sent);
        }

        await using TestClient other = await TestClient.LogInAsync(host.Local);
        Assert.StartsWith("250 2.0.0", await other.OfferAsync(Message), StringComparison.Ordinal);
        Assert.StartsWith("250 2.0.0", await other.OfferAsync(sent + new string('x', 100_000)), StringComparison.Ordinal);
        Assert.InRange(host.Service.ContentMemory.Used, 1, SubmissionLimits.ContentMemory);
        foreach (TestClient client in stalled)
            await client.DisposeAsync();
        await SubmissionHost.UntilAsync(() => host.Service.ContentMemory.Used == 0);
    }

    [Theory]
    [InlineData(10)]
    [InlineData(400_000)] // Its first chunk is not written in time.
    public async Task A_writer_that_stands_still_is_answered_for_and_the_session_goes_on(int octets)
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        await using TestClient client = await TestClient.LogInAsync(host.Local);
        await client.CommandAsync("MAIL FROM:<info@shop.test>", "250");
        await client.CommandAsync("RCPT TO:<ann@example.net>", "250");
        await client.CommandAsync("DATA", "354");
        Task<string> reply;
        using (host.StopWriter())
        {
            await client.SendAsync($"From: info@shop.test\r\n\r\n{new string('x', octets)}\r\n.\r\n");
            reply = client.ReadAsync();
            await host.AdvanceUntilAsync(reply);
        }
        Assert.StartsWith("451 4.3.2", await reply, StringComparison.Ordinal);
        Assert.StartsWith("250 2.0.0", await client.OfferAsync(Message), StringComparison.Ordinal);
        Assert.Single(await host.QueryAsync("select id from message", row => 1));
    }
}
