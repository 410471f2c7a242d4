using System.Text;
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

    [Fact]
    public async Task The_script_of_php_is_proved_by_its_uid_and_its_path_is_what_sendmail_was_told()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        SendmailResult result = await SendmailRun.RunAsync(
            SendmailRun.Executable, host.Unix.ToString()!,
            Encoding.ASCII.GetBytes($"X-PHP-Originating-Script: {SubmissionHost.Uid}:contact.php(3) : eval()'d code\nFrom: info@shop.test\nTo: ann@example.net\n\nx\n"),
            [("SCRIPT_FILENAME", "/var/www/shop\n/contact.php"), ("REMOTE_ADDR", "192.0.2.1")], "-t", "-i");
        Assert.Equal((0, ""), (result.ExitCode, result.Error));

        JsonElement detail = await DetailAsync(host);
        JsonElement script = detail.GetProperty("script"), claims = detail.GetProperty("claims");
        Assert.Equal(("contact.php", true, "/var/www/shop?/contact.php"), (script.GetProperty("name").GetString(), script.GetProperty("proved").GetBoolean(), script.GetProperty("path").GetString()));
        Assert.Equal($"{SubmissionHost.Uid}:contact.php(3) : eval()'d code", script.GetProperty("original").GetString());
        Assert.Equal((Environment.CurrentDirectory, "192.0.2.1"), (claims.GetProperty("directory").GetString(), claims.GetProperty("visitor").GetString()));
        Assert.Contains("X-PHP-Originating-Script:", await host.ContentAsync(await RefAsync(host)), StringComparison.Ordinal); // Nothing is taken out.
    }

    [Fact]
    public async Task A_script_of_another_uid_is_a_claim_of_the_one_who_sends_it()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        await using TestClient client = await TestClient.GreetAsync(host.Unix);
        Assert.StartsWith("250 2.0.0", await client.OfferAsync($"X-PHP-Originating-Script: {SubmissionHost.Uid + 1}:contact.php\r\nFrom: info@shop.test\r\n\r\nx"), StringComparison.Ordinal);

        JsonElement script = (await DetailAsync(host)).GetProperty("script");
        Assert.False(script.GetProperty("proved").GetBoolean());
        Assert.Equal([(SubmissionHost.Uid, "contact.php")], await host.QueryAsync("select uid, script from message", row => (row.GetInt32(0), row.GetString(1))));
    }

    [Fact]
    public async Task Claims_are_offered_and_taken_on_the_unix_socket_alone()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        await using TestClient local = await TestClient.ConnectAsync(host.Local), unix = await TestClient.ConnectAsync(host.Unix);
        await local.ReadAsync();
        await unix.ReadAsync();

        Assert.DoesNotContain("XCLAIM", await local.CommandAsync("EHLO x"), StringComparison.Ordinal);
        await local.CommandAsync("XCLAIM SCRIPT=/x.php", "500 5.5.1");
        await unix.CommandAsync("XCLAIM SCRIPT=/x.php", "503 5.5.1");
        Assert.Contains("XCLAIM", await unix.CommandAsync("EHLO x"), StringComparison.Ordinal);
        await unix.CommandAsync("XCLAIM SCRIPT=/x.php", "250 2.0.0");
        await unix.CommandAsync("MAIL FROM:<info@shop.test>", "250 2.1.0");
        await unix.CommandAsync("XCLAIM SCRIPT=/y.php", "503 5.5.1");
    }

    private static async Task<string> RefAsync(SubmissionHost host) =>
        Core.Mail.QueueId.FromBytes(Assert.Single(await host.QueryAsync("select id from decision", row => (byte[])row[0]))).ToString();

    private static async Task<JsonElement> ProcessAsync(SubmissionHost host) =>
        (await DetailAsync(host)).GetProperty("process");

    private static async Task<JsonElement> DetailAsync(SubmissionHost host) =>
        JsonDocument.Parse(Assert.Single(await host.QueryAsync("select detail from decision", row => row.GetString(0)))).RootElement;
}
