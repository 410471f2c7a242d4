using System.Net;

namespace RelayGate.Tests.Submission;

/// <summary>Promise 3: each refusal of mail names a record that says why.</summary>
public class RefusalTests
{
    private const string Message = "From: info@shop.test\r\nSubject: x\r\n\r\nbody";

    [Fact]
    public async Task A_recipient_refused_alone_has_a_record_beside_that_of_the_message()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync(o => o.Postmaster = "");
        await host.ExecuteAsync("update subscription set contact = null");
        await using TestClient client = await TestClient.GreetAsync(host.Unix);
        await client.CommandAsync("MAIL FROM:<info@shop.test>", "250");
        string utf8 = TestClient.RefOf(await client.CommandAsync("RCPT TO:<\u00c3\u00bc@example.net>", "553 5.6.7"));
        string nobody = TestClient.RefOf(await client.CommandAsync("RCPT TO:<root>", "550 5.1.1"));
        await client.CommandAsync("RCPT TO:<ann@example.net>", "250");
        await client.CommandAsync("DATA", "354");
        string accepted = TestClient.RefOf(await client.CommandAsync(Message + "\r\n.", "250"));

        Assert.Equal((1, 2), (host.Metrics.Messages.Total, host.Metrics.RecipientRefusals.Total));
        Assert.Equal(
            [(accepted, "accepted", "ann@example.net", 2L), (nobody, "no-local-contact", "root", 9L), (utf8, "smtputf8-needed", "\u00fc@example.net", 9L)],
            await RecordsAsync(host));
    }

    [Fact]
    public async Task Recipients_over_the_limit_have_one_record_for_the_transaction()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync(o => (o.MaxRecipients, o.Limits.Enforce) = (100, false));
        await using TestClient client = await TestClient.LogInAsync(host.Local);
        await client.CommandAsync("MAIL FROM:<info@shop.test>", "250");
        for (int i = 0; i < 100; i++)
            await client.CommandAsync($"RCPT TO:<r{i}@example.net>", "250 2.1.5");
        string refused = TestClient.RefOf(await client.CommandAsync("RCPT TO:<r100@example.net>", "452 4.5.3 Too many recipients: at most 100 in one message; ref "));
        Assert.Equal(refused, TestClient.RefOf(await client.CommandAsync("RCPT TO:<r101@example.net>", "452 4.5.3")));
        await client.CommandAsync("DATA", "354");
        string accepted = TestClient.RefOf(await client.CommandAsync(Message + "\r\n.", "250"));

        List<(string Ref, string Reason, string, long)> records = await RecordsAsync(host);
        Assert.Equal([(accepted, "accepted"), (refused, "too-many-recipients")], records.Select(r => (r.Ref, r.Reason)));
        Assert.Equal((1, 2), (host.Metrics.Messages.Total, host.Metrics.RecipientRefusals.Value("too-many-recipients")));
    }

    [Fact]
    public async Task However_many_recipients_are_over_the_limit_the_others_get_their_mail()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync(o => (o.MaxRecipients, o.Limits.Enforce) = (100, false));
        await using TestClient client = await TestClient.LogInAsync(host.Local);
        string rcpts = string.Concat(Enumerable.Range(0, 12_000).Select(i => $"RCPT TO:<r{i}@example.net>\r\n"));
        Task sending = client.SendAsync($"MAIL FROM:<info@shop.test>\r\n{rcpts}DATA\r\n");
        Assert.StartsWith("250 2.1.0", await client.ReadAsync(), StringComparison.Ordinal);
        for (int i = 0; i < 12_000; i++)
            Assert.StartsWith(i < 100 ? "250 2.1.5" : "452 4.5.3", await client.ReadAsync(), StringComparison.Ordinal);
        await sending;

        Assert.StartsWith("354", await client.ReadAsync(), StringComparison.Ordinal);
        await client.CommandAsync(Message + "\r\n.", "250");
        await client.CommandAsync("NOOP", "250");
    }

    [Fact]
    public async Task Sessions_over_the_limit_of_an_identity_have_a_record_each()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync(o => o.Sessions.PerIdentity = 1);
        await using TestClient first = await TestClient.LogInAsync(host.Local);
        await using TestClient second = await TestClient.GreetAsync(host.Local);
        string atLogin = TestClient.RefOf(await second.CommandAsync(TestClient.AuthPlain("info@shop.test", "secret"), "421 4.7.0"));
        await using TestClient network = host.ConnectFrom(IPAddress.Parse("192.0.2.7"));
        await network.GreetAsync();
        await network.CommandAsync("MAIL FROM:<info@shop.test>", "250");
        await using TestClient again = host.ConnectFrom(IPAddress.Parse("192.0.2.7"));
        await again.GreetAsync();
        string atMail = TestClient.RefOf(await again.CommandAsync("MAIL FROM:<info@shop.test>", "421 4.7.0"));

        List<(string Ref, string Reason, string, long)> records = await RecordsAsync(host);
        Assert.Equal(new HashSet<(string, string)> { (atLogin, "too-many-sessions"), (atMail, "too-many-sessions") }, records.Select(r => (r.Ref, r.Reason)).ToHashSet());
    }

    [Theory]
    [InlineData("BDAT 2000001 LAST\r\n")] // Twice what a message may have, and one more.
    [InlineData("BDAT 1\r\nxBDAT 2000001\r\n")]
    [InlineData("DATA\r\n")]
    public async Task What_is_too_large_to_be_read_has_a_record(string command)
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        await using TestClient client = await TestClient.LogInAsync(host.Local);
        await client.CommandAsync("MAIL FROM:<info@shop.test>", "250");
        await client.CommandAsync("RCPT TO:<ann@example.net>", "250");
        await client.SendAsync(command);
        if (command == "DATA\r\n")
        {
            await client.ReadAsync();
            for (int i = 0; i < 40; i++)
                await client.DripAsync(new string('x', 100_000));
        }
        string said = await client.ReadToEndAsync();

        (string Ref, string Reason, string, long) record = Assert.Single(await RecordsAsync(host));
        Assert.Equal("message-too-large", record.Reason);
        Assert.EndsWith($"closing; ref {record.Ref}\n", said.Replace("any message may be;", "closing;", StringComparison.Ordinal), StringComparison.Ordinal);
    }

    /// <summary>Ref, reason, recipients and outcome of every record, by reason.</summary>
    private static Task<List<(string Ref, string Reason, string Recipients, long Outcome)>> RecordsAsync(SubmissionHost host) => host.QueryAsync(
        "select id, reason, recipients, outcome from decision order by reason, id",
        row => (Core.Mail.QueueId.FromBytes((byte[])row[0]).ToString(), row.GetString(1), row.GetString(2), row.GetInt64(3)));
}
