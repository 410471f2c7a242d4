using System.Net;
using System.Security.Cryptography;
using System.Text;
using RelayGate.Configuration;
using RelayGate.Core.Policy;
using RelayGate.Submission;

namespace RelayGate.Tests.Submission;

/// <summary>From the wire to the store: what is accepted is there as it was sent, and nothing else is.</summary>
public class SubmissionTests
{
    private const string Message = "From: info@shop.test\r\nSubject: x\r\n\r\nbody";

    [Fact]
    public async Task A_body_is_stored_octet_for_octet()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        await using TestClient client = await TestClient.LogInAsync(host.Local);
        string body = "  leading\r\n\r\n\r\ntrailing \t\r\n.\r\n..x\r\n\u00ff\u00fe8-bit\r\n" + new string('x', 5000) + "\r\n\r\n";
        string stuffed = string.Join("\r\n", body.Split("\r\n").Select(line => line.StartsWith('.') ? "." + line : line));

        string reply = await client.OfferAsync("From: info@shop.test\r\n\r\n" + stuffed[..^2]);

        Assert.StartsWith("250 2.0.0", reply, StringComparison.Ordinal);
        string content = await host.ContentAsync(TestClient.RefOf(reply));
        Assert.Equal(body, content[(content.IndexOf("\r\n\r\n", StringComparison.Ordinal) + 4)..]);
        Assert.StartsWith("Received: from client.test", content, StringComparison.Ordinal);
        Assert.Contains("with ESMTPA", content, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(256 * 1024)]
    [InlineData(256 * 1024 + 1)]
    [InlineData(900_000)]
    public async Task A_large_body_is_stored_octet_for_octet_in_chunks(int octets)
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        await using TestClient client = await TestClient.LogInAsync(host.Local);
        var random = new Random(octets);
        var body = new StringBuilder();
        while (body.Length < octets - 100)
            body.Append(random.Next()).Append(random.Next(3) == 0 ? "\r\n" : " ");
        body.Append('x', octets - 2 - body.Length).Append("\r\n");

        string reply = await client.OfferAsync("From: info@shop.test\r\n\r\n" + body.ToString(0, octets - 2));

        Assert.StartsWith("250 2.0.0", reply, StringComparison.Ordinal);
        string content = await host.ContentAsync(TestClient.RefOf(reply));
        Assert.Equal(body.ToString(), content[(content.IndexOf("\r\n\r\n", StringComparison.Ordinal) + 4)..]);
    }

    [Fact]
    public async Task A_body_in_one_octet_chunks_is_stored_as_it_was()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        await using TestClient client = await TestClient.LogInAsync(host.Local);
        await client.CommandAsync("MAIL FROM:<info@shop.test>", "250");
        await client.CommandAsync("RCPT TO:<ann@example.net>", "250");
        string text = "From: info@shop.test\r\n\r\n.\r\n..\r\nno end";
        foreach (char c in text)
        {
            await client.SendAsync($"BDAT 1\r\n{c}");
            Assert.StartsWith("250 2.0.0", await client.ReadAsync(), StringComparison.Ordinal);
        }
        string reply = await client.CommandAsync("BDAT 0 LAST", "250 2.0.0");

        Assert.EndsWith("\r\n\r\n.\r\n..\r\nno end", await host.ContentAsync(TestClient.RefOf(reply)), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_message_that_was_cut_off_is_not_there(bool reset)
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        foreach (string start in (string[])["DATA\r\nFrom: info@shop.test\r\n\r\ntext\r\n", "DATA\r\nFrom: info@shop.test\r\n\r\ntext\r\n.\r", "BDAT 10 LAST\r\nFrom: a"])
        {
            TestClient client = await TestClient.LogInAsync(host.Local);
            await client.CommandAsync("MAIL FROM:<info@shop.test>", "250");
            await client.CommandAsync("RCPT TO:<ann@example.net>", "250");
            await client.SendAsync(start);
            client.Cut(reset);
        }
        await SubmissionHost.UntilAsync(() => host.Metrics.OpenSessions == 0);

        Assert.Empty(await host.QueryAsync("select id from message", row => 1));
        Assert.Empty(host.Errors);
    }

    [Fact]
    public async Task A_hundred_recipients_are_accepted()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync(o => o.Limits.Enforce = false);
        await using TestClient client = await TestClient.LogInAsync(host.Local);
        string reply = await client.OfferAsync(Message, recipients: [.. Enumerable.Range(0, 100).Select(i => $"r{i}@example.net")]);

        Assert.StartsWith("250 2.0.0", reply, StringComparison.Ordinal);
        Assert.Equal(100, (await host.QueryAsync("select address from recipient", row => row.GetString(0))).Distinct().Count());
    }

    [Fact]
    public async Task A_UTF8_original_recipient_is_kept_in_the_form_that_every_next_hop_understands()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        await using TestClient client = await TestClient.LogInAsync(host.Local);
        await client.CommandAsync("MAIL FROM:<info@shop.test> SMTPUTF8", "250");
        await client.CommandAsync("RCPT TO:<ann@example.net> ORCPT=utf-8;\u00c3\u00bc@x.test", "250");
        await client.CommandAsync("DATA", "354");
        await client.CommandAsync(Message + "\r\n.", "250 2.0.0");

        Assert.Equal([@"utf-8;\x{FC}@x.test"], await host.QueryAsync("select original_recipient from recipient", row => row.GetString(0)));
    }

    [Fact]
    public async Task Too_many_recipients_are_refused_alone()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync(o => (o.MaxRecipients, o.Limits.Enforce) = (100, false));
        await using TestClient client = await TestClient.LogInAsync(host.Local);
        await client.CommandAsync("MAIL FROM:<info@shop.test>", "250");
        for (int i = 0; i < 100; i++)
            await client.CommandAsync($"RCPT TO:<r{i}@example.net>", "250 2.1.5");
        await client.CommandAsync("RCPT TO:<r100@example.net>", "452 4.5.3");
        await client.CommandAsync("RCPT TO:<r7@EXAMPLE.net>", "250 2.1.5"); // It is there already.
        await client.CommandAsync("RCPT TO:<R7@example.net>", "452 4.5.3"); // Another mailbox, for all we know.
        await client.CommandAsync("DATA", "354");
        await client.CommandAsync(Message + "\r\n.", "250 2.0.0");

        Assert.Equal(100, (await host.QueryAsync("select address from recipient", row => row.GetString(0))).Count);
    }

    [Fact]
    public async Task More_recipients_than_the_limit_leaves_refuse_the_whole_message()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        await using TestClient client = await TestClient.LogInAsync(host.Local, "few@shop.test"); // 2/h:rcpt
        await client.CommandAsync("MAIL FROM:<few@shop.test>", "250");
        await client.CommandAsync("RCPT TO:<a@example.net>", "250");
        await client.CommandAsync("RCPT TO:<b@example.net>", "250");
        string refusal = await client.CommandAsync("RCPT TO:<c@example.net>", "550 5.7.1");
        Assert.Equal(refusal, await client.CommandAsync("RCPT TO:<d@example.net>"));
        Assert.Equal(refusal, await client.CommandAsync("DATA"));
        await client.CommandAsync("DATA", "503");

        // The limit itself is untouched.
        string reply = await client.OfferAsync(Message.Replace("info", "few", StringComparison.Ordinal), "few@shop.test", "a@example.net", "b@example.net");
        Assert.StartsWith("250 2.0.0", reply, StringComparison.Ordinal);
        string full = await client.CommandAsync("MAIL FROM:<few@shop.test>", "451 4.7.1");
        Assert.InRange(full.Length, 1, 200);
    }

    [Fact]
    public async Task A_refused_chunk_is_read_before_its_refusal()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        await using TestClient client = await TestClient.LogInAsync(host.Local, "few@shop.test");
        await client.CommandAsync("MAIL FROM:<few@shop.test>", "250");
        foreach (string recipient in (string[])["a", "b", "c"])
            await client.CommandAsync($"RCPT TO:<{recipient}@example.net>");
        await client.SendAsync("BDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n");
        Assert.StartsWith("550 5.7.1", await client.ReadAsync(), StringComparison.Ordinal);
        Assert.StartsWith("503 5.5.1", await client.ReadAsync(), StringComparison.Ordinal);
        Assert.StartsWith("250 2.0.0", await client.ReadAsync(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Every_refusal_with_a_ref_has_its_record()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        await using TestClient client = await TestClient.GreetAsync(host.Local);
        var refs = new List<string> { TestClient.RefOf(await client.CommandAsync("MAIL FROM:<info@shop.test>", "530 5.7.0")) };
        await client.LogInAsync();
        refs.Add(TestClient.RefOf(await client.CommandAsync("MAIL FROM:<a@other.test>", "550 5.7.1")));
        refs.Add(TestClient.RefOf(await client.OfferAsync("From: a@other.test\r\n\r\nx")));
        refs.Add(TestClient.RefOf(await client.OfferAsync("From: info@shop.test\r\nFrom: info@shop.test\r\n\r\nx")));
        refs.Add(TestClient.RefOf(await client.OfferAsync("From: info@shop.test\r\n\r\nx\0y")));
        refs.Add(TestClient.RefOf(await client.OfferAsync("Subject: no author\r\n\r\nx")));
        refs.Add(TestClient.RefOf(await client.OfferAsync($"From: info@shop.test\r\n\r\n{new string('x', 1_000_000)}")));

        List<(string Id, string Reason)> records = await host.QueryAsync(
            "select hex(id), reason from decision order by id", row => (row.GetString(0), row.GetString(1)));
        Assert.Equal(
            ["authentication-required", "sender-of-other-subscription", "sender-of-other-subscription", "two-from-fields", "nul-in-data", "no-from-field", "message-too-large"],
            refs.Select(id => records.Single(record => record.Id == Hex(id)).Reason));
        Assert.Empty(await host.QueryAsync("select id from message", row => 1));
    }

    [Fact]
    public async Task A_network_client_with_bare_line_ends_is_refused_and_its_session_goes_on()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        await using TestClient client = host.ConnectFrom(IPAddress.Parse("192.0.2.77"));
        await client.GreetAsync();
        string reply = await client.OfferAsync("From: info@shop.test\r\n\r\na\n.\nb");
        Assert.StartsWith("550 5.6.0", reply, StringComparison.Ordinal);
        Assert.StartsWith("250 2.0.0", await client.OfferAsync(Message), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_foreign_client_gets_nothing_without_TLS_and_login()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        await using TestClient client = host.ConnectFrom(IPAddress.Parse("198.51.100.1"), ListenerTls.StartTls);
        Assert.StartsWith("220", await client.ReadAsync(), StringComparison.Ordinal);
        string ehlo = await client.CommandAsync("EHLO x");
        Assert.EndsWith("250 STARTTLS", ehlo, StringComparison.Ordinal);
        await client.CommandAsync(TestClient.AuthPlain("info@shop.test", "secret"), "538 5.7.11");
        await client.CommandAsync("MAIL FROM:<info@shop.test>", "530 5.7.0");
        using var tls = await client.StartTlsAfterAsync("STARTTLS");
        await client.CommandAsync("EHLO x", "250-");
        await client.CommandAsync("MAIL FROM:<info@shop.test>", "530 5.7.0");
        await client.LogInAsync();
        string reply = await client.OfferAsync(Message);
        Assert.Contains("with ESMTPSA", await host.ContentAsync(TestClient.RefOf(reply)), StringComparison.Ordinal);
    }

    [Fact]
    public async Task REQUIRETLS_is_offered_over_TLS_alone_and_kept_with_the_message()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        await using TestClient client = host.ConnectFrom(IPAddress.Parse("198.51.100.1"), ListenerTls.StartTls);
        await client.ReadAsync();
        Assert.DoesNotContain("REQUIRETLS", await client.CommandAsync("EHLO x"), StringComparison.Ordinal);
        await client.CommandAsync("MAIL FROM:<info@shop.test> REQUIRETLS", "530 5.7.0");
        using var tls = await client.StartTlsAfterAsync("STARTTLS");
        Assert.Contains("250-REQUIRETLS", await client.CommandAsync("EHLO x"), StringComparison.Ordinal);
        await client.LogInAsync();
        await client.CommandAsync("MAIL FROM:<info@shop.test> REQUIRETLS=1", "501 5.5.4");
        foreach ((string parameter, string field, long flags) in new (string, string, long)[]
            { (" REQUIRETLS", "", 128), (" REQUIRETLS", "TLS-Required: No\r\n", 128), ("", "tls-required: NO\r\n", 2048), ("", "TLS-Required: Yes\r\n", 0), ("", "TLS-Required: No\r\nTLS-Required: No\r\n", 0) })
        {
            await client.CommandAsync($"MAIL FROM:<info@shop.test>{parameter}", "250");
            await client.CommandAsync("RCPT TO:<a@dest.test>", "250");
            await client.CommandAsync("DATA", "354");
            string reply = await client.CommandAsync($"From: info@shop.test\r\n{field}\r\nHello\r\n.", "250");
            Assert.True(Core.Mail.QueueId.TryParse(TestClient.RefOf(reply), out Core.Mail.QueueId id));
            Assert.Equal([flags], await host.QueryAsync("select flags & 2176 from message where id = $1", static row => row.GetInt64(0), id.ToBytes()));
        }
    }

    [Fact]
    public async Task A_client_on_loopback_needs_no_TLS_at_a_STARTTLS_listener()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        await using TestClient client = host.ConnectFrom(IPAddress.Loopback, ListenerTls.StartTls); // LoopbackTls: None
        Assert.StartsWith("220", await client.ReadAsync(), StringComparison.Ordinal);
        Assert.DoesNotContain("STARTTLS", await client.CommandAsync("EHLO x"), StringComparison.Ordinal);
        await client.CommandAsync("STARTTLS", "502 5.5.1");
        await client.LogInAsync(); // Allowed without TLS on loopback.
    }

    [Fact]
    public async Task Wrong_passwords_are_answered_late_and_end_the_session()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        await using TestClient client = await TestClient.GreetAsync(host.Local);
        for (int i = 0; i < 3; i++)
        {
            string login = i == 1 ? "nobody@shop.test" : "info@shop.test"; // Both answers are the same.
            Task<string> reply = client.CommandAsync(TestClient.AuthPlain(login, "wrong"));
            Assert.Equal("535 5.7.8 Login or password is wrong", await host.AdvanceUntilAsync(reply));
        }
        Assert.StartsWith("421 4.7.0", await client.ReadAsync(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Sessions_of_one_login_are_bounded()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync(o => o.Sessions.PerIdentity = 1);
        await using TestClient first = await TestClient.LogInAsync(host.Local);
        await using TestClient second = await TestClient.GreetAsync(host.Local);
        await second.CommandAsync(TestClient.AuthPlain("info@shop.test", "secret"), "421 4.7.0");
        await using TestClient other = await TestClient.LogInAsync(host.Local, "few@shop.test");
    }

    [Fact]
    public async Task Sessions_of_one_address_are_bounded_but_not_on_loopback()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync(o => o.Sessions.PerAddress = 1);
        await using TestClient first = host.ConnectFrom(IPAddress.Parse("2001:db8::1"));
        await first.GreetAsync();
        await using TestClient second = host.ConnectFrom(IPAddress.Parse("2001:db8::2")); // The same /64.
        Assert.StartsWith("421 4.7.0", await second.ReadAsync(), StringComparison.Ordinal);
        await using TestClient third = host.ConnectFrom(IPAddress.Parse("2001:db8:1::1"));
        await third.GreetAsync();
        await using TestClient fourth = await TestClient.GreetAsync(host.Local);
        await using TestClient fifth = await TestClient.GreetAsync(host.Local);
    }

    [Fact]
    public async Task The_uid_at_the_other_end_of_the_socket_is_the_identity_until_a_login_replaces_it()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        await using TestClient client = await TestClient.GreetAsync(host.Unix);
        string byUid = await client.OfferAsync("Subject: x\r\n\r\nx", "someone@elsewhere.test");
        await client.LogInAsync();
        string byLogin = await client.OfferAsync(Message);

        List<string> identities = await host.QueryAsync("select identity from decision order by id", row => row.GetString(0));
        Assert.StartsWith("250", byUid, StringComparison.Ordinal);
        Assert.StartsWith("250", byLogin, StringComparison.Ordinal);
        Assert.Equal(2, identities.Count);
        Assert.Contains(identities, identity => identity.StartsWith("uid ", StringComparison.Ordinal));
        Assert.Contains("login info@shop.test", identities);
    }

    [Fact]
    public async Task Local_mail_to_users_without_domain_goes_to_the_contact()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        await using TestClient client = await TestClient.GreetAsync(host.Unix);
        await client.CommandAsync("MAIL FROM:<acme>", "250");
        await client.CommandAsync($"RCPT TO:<{Environment.UserName}>", "250 2.1.5"); // A user of acme.
        await client.CommandAsync("RCPT TO:<nobody-knows>", "250 2.1.5");
        await client.CommandAsync("DATA", "354");
        await client.CommandAsync("Subject: cron\r\n\r\nx\r\n.", "250");

        Assert.Equal(["owner@shop.test", "postmaster@relay.test"], await host.QueryAsync("select address from recipient order by position", row => row.GetString(0)));
        Assert.DoesNotContain("acme", (await host.QueryAsync("select reverse_path from message", row => row.GetString(0)))[0].Split('@').Skip(1));
    }

    [Fact]
    public async Task Commands_in_any_order_get_one_reply_each_with_a_code_and_its_enhanced_code()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync(o => o.Limits.Enforce = false);
        string[] commands =
        [
            "EHLO x", "HELO x", "MAIL FROM:<info@shop.test>", "MAIL FROM:<>", "MAIL FROM:<acme>", "MAIL FROM:<a@other.test>", "RCPT TO:<ann@example.net>",
            "RCPT TO:<root>", "RCPT TO:<>", "DATA", "BDAT 3\r\nx", "BDAT 0 LAST", "BDAT 27 LAST\r\nFrom: info@shop.test\r\n\r\n\0", "RSET", "NOOP", "VRFY x",
            "HELP", "EXPN x", "STARTTLS", "AUTH PLAIN =", "AUTH FOO", TestClient.AuthPlain("info@shop.test", "secret"), "FOO", "MAIL FROM:<a",
        ];
        for (int seed = 0; seed < 60; seed++)
        {
            var random = new Random(seed);
            await using TestClient client = await TestClient.ConnectAsync(host.Unix);
            await client.ReadAsync();
            int errors = 0;
            for (int i = 0; i < 60 && errors < 9; i++)
            {
                string command = i == 0 ? "EHLO x" : commands[random.Next(commands.Length)];
                string reply = await client.CommandAsync(command);
                if (reply.StartsWith("354", StringComparison.Ordinal))
                    reply = await client.CommandAsync(Message + "\r\n.");
                else if (command is "EHLO x" or "HELO x" && reply.StartsWith("250", StringComparison.Ordinal))
                    continue; // RFC 2034 §4: these have none.
                Assert.Matches(@"^(?<class>[245])\d\d \k<class>\.\d+\.\d+ ", reply);
                errors += reply[0] == '5' ? 1 : 0;
            }
        }
        Assert.Empty(host.Errors);
    }

    [Theory]
    [InlineData(1, "250 2.0.0")]
    [InlineData(2, "250 2.0.0")]
    [InlineData(3, "451 4.3.0")]
    public async Task A_message_is_prepared_again_when_accounts_change_twice_at_most(int changes, string reply)
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        await using TestClient client = await TestClient.LogInAsync(host.Local);
        host.AccountChanges = changes;

        Assert.StartsWith(reply, await client.OfferAsync(Message), StringComparison.Ordinal);
        Assert.Single(await host.QueryAsync("select id from decision", row => 1));
    }

    [Fact]
    public async Task Suspension_and_resumption_hold_in_open_sessions()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        await using TestClient client = await TestClient.LogInAsync(host.Local);
        Assert.StartsWith("250", await client.OfferAsync(Message), StringComparison.Ordinal);
        var subscription = new AccountKey(Level.Subscription, "acme");

        // In the middle of a transaction: what counts is what holds at the end of data.
        await client.CommandAsync("MAIL FROM:<info@shop.test>", "250");
        await client.CommandAsync("RCPT TO:<ann@example.net>", "250");
        await client.CommandAsync("DATA", "354");
        await host.Administration.SetSuspendedAsync(subscription, true, CancellationToken.None);
        await client.CommandAsync(Message + "\r\n.", "550 5.7.1");
        await client.CommandAsync("MAIL FROM:<info@shop.test>", "550 5.7.1");
        await using TestClient other = await TestClient.LogInAsync(host.Local); // AUTH succeeds.
        await other.CommandAsync("MAIL FROM:<info@shop.test>", "550 5.7.1");

        await host.Administration.SetSuspendedAsync(subscription, false, CancellationToken.None);
        Assert.StartsWith("250", await client.OfferAsync(Message), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Without_room_on_disk_clients_are_told_to_come_back()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync(o => o.Storage.MinimumFree = long.MaxValue);
        await using TestClient client = await TestClient.LogInAsync(host.Local);
        Assert.StartsWith("452 4.3.1", await client.OfferAsync(Message), StringComparison.Ordinal);
        string large = $"From: info@shop.test\r\n\r\n{new string('x', 400_000)}";
        Assert.StartsWith("452 4.3.1", await client.OfferAsync(large), StringComparison.Ordinal);
        await client.CommandAsync("NOOP", "250");
    }

    [Fact]
    public async Task A_guesser_from_one_address_is_slowed_and_another_address_is_not()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        for (int i = 0; i < 4; i++)
        {
            await using TestClient guesser = host.ConnectFrom(IPAddress.Parse("198.51.100.1"), ListenerTls.StartTls);
            await guesser.GreetAsync();
            using var tls = await guesser.StartTlsAfterAsync("STARTTLS");
            await guesser.CommandAsync("EHLO x", "250");
            for (int j = 0; j < 3; j++)
            {
                DateTimeOffset start = host.Time.GetUtcNow();
                Task<string> reply = guesser.CommandAsync(TestClient.AuthPlain("info@shop.test", "wrong"));
                while (!reply.IsCompleted)
                {
                    await Task.WhenAny(reply, Task.Delay(20));
                    if (!reply.IsCompleted)
                        host.Time.Advance(TimeSpan.FromSeconds(1));
                }
                Assert.StartsWith("535 5.7.8", await reply, StringComparison.Ordinal);
                Assert.InRange(host.Time.GetUtcNow() - start, TimeSpan.FromSeconds(Math.Min(10, 3 * i + j + 1)), TimeSpan.FromMinutes(10));
            }
        }
        await using TestClient right = await TestClient.LogInAsync(host.Local); // At once, with the clock standing still.
    }

    [Fact]
    public async Task Mail_data_that_trickles_has_a_last_moment()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        await using TestClient client = await TestClient.LogInAsync(host.Local);
        await client.CommandAsync("MAIL FROM:<info@shop.test>", "250");
        await client.CommandAsync("RCPT TO:<ann@example.net>", "250");
        await client.CommandAsync("DATA", "354");
        Task<string> reply = client.ReadAsync();
        DateTimeOffset start = host.Time.GetUtcNow();
        while (!reply.IsCompleted && host.Time.GetUtcNow() - start < TimeSpan.FromHours(2))
        {
            await client.DripAsync("x\r\n");
            host.Time.Advance(TimeSpan.FromMinutes(1)); // Less than Idle.
            await Task.WhenAny(reply, Task.Delay(20));
        }
        Assert.StartsWith("421 4.4.2", await reply, StringComparison.Ordinal);
        Assert.InRange(host.Time.GetUtcNow() - start, TimeSpan.FromMinutes(25), TimeSpan.FromMinutes(60));
    }

    [Theory]
    [InlineData("Subject: x\r\n\r\nbody", "\r\nFrom: <[^@]+@shop.test>\r\n")]
    [InlineData("From: root (Cron Daemon)\r\n\r\nbody", "\r\nFrom: root@shop.test .Cron Daemon.\r\n")]
    [InlineData("From: www@shop.test\r\n\r\nbody", "\r\nFrom: www@shop.test\r\n")]
    public async Task Local_mail_is_signed_with_the_key_of_the_From_it_leaves_with(string message, string from)
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        using var rsa = RSA.Create(1024);
        await host.ExecuteAsync(
            "insert into dkim_key (domain, selector, private_key, created_at) values ('shop.test', 'rg1', $1, 0)", rsa.ExportPkcs8PrivateKeyPem());
        await using TestClient client = await TestClient.GreetAsync(host.Unix);
        string reply = await client.OfferAsync(message, "www-data", "ann@example.net");

        Assert.StartsWith("250 2.0.0", reply, StringComparison.Ordinal);
        string content = await host.ContentAsync(TestClient.RefOf(reply));
        Assert.StartsWith("DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;\r\n\td=shop.test; s=rg1;", content, StringComparison.Ordinal);
        Assert.Matches(from, content);
    }

    private static string Hex(string queueId)
    {
        Assert.True(Core.Mail.QueueId.TryParse(queueId, out Core.Mail.QueueId id));
        return Convert.ToHexString(id.ToBytes());
    }
}
