using System.Text.Json;
using RelayGate.Tests.Sendmail;

namespace RelayGate.Tests.Submission;

/// <summary>What the decision record says of the process that sent a message over the unix socket.</summary>
public class PeerRecordTests
{
    [Fact]
    public async Task The_record_tells_which_process_sent_a_message()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        SendmailResult result = await SendmailRun.RunAsync(host.Unix.ToString()!, "From: info@shop.test\nTo: ann@example.net\n\nx\n", "-t", "-i");
        Assert.Equal((0, ""), (result.ExitCode, result.Error));

        JsonElement process = await ProcessAsync(host);
        Assert.Equal(SubmissionHost.Uid, process.GetProperty("uid").GetInt32());
        Assert.Equal(SendmailRun.Executable, process.GetProperty("executable").GetString());
        Assert.Equal(Environment.CurrentDirectory, process.GetProperty("workingDirectory").GetString());
        Assert.Equal(Environment.ProcessId, process.GetProperty("parents")[0].GetProperty("pid").GetInt32());
    }

    [Fact]
    public async Task A_login_on_the_unix_socket_leaves_the_process_in_the_record()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        await using TestClient client = await TestClient.LogInAsync(host.Unix);
        Assert.StartsWith("250 2.0.0", await client.OfferAsync("From: info@shop.test\r\n\r\nx"), StringComparison.Ordinal);

        Assert.Equal(Environment.ProcessId, (await ProcessAsync(host)).GetProperty("pid").GetInt32());
    }

    private static async Task<JsonElement> ProcessAsync(SubmissionHost host)
    {
        string detail = Assert.Single(await host.QueryAsync("select detail from decision", row => row.GetString(0)));
        return JsonDocument.Parse(detail).RootElement.GetProperty("process");
    }
}
