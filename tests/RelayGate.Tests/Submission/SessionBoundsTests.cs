using System.Net;
using System.Text;
using RelayGate.Configuration;
using RelayGate.Core.Policy;

namespace RelayGate.Tests.Submission;

/// <summary>One client takes neither all sessions nor all time (RELIABILITY 22, 23).</summary>
public class SessionBoundsTests
{
    [Fact]
    public async Task A_uid_is_counted_when_it_connects()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync(o => o.Sessions.PerIdentity = 1);
        TestClient first = await TestClient.GreetAsync(host.Unix);
        await using TestClient second = await TestClient.ConnectAsync(host.Unix);
        string reply = await second.ReadAsync();

        Assert.StartsWith("421 4.7.0", reply, StringComparison.Ordinal);
        Assert.Equal("(closed)", await second.ReadAsync());
        Assert.Equal(["too-many-sessions"], await host.QueryAsync("select reason from decision where subscription = 'acme'", row => row.GetString(0)));
        TestClient.RefOf(reply);
        await first.DisposeAsync();
        await SubmissionHost.UntilAsync(() => host.Metrics.OpenSessions == 0);
        await using TestClient third = await TestClient.GreetAsync(host.Unix);
    }

    [Fact]
    public async Task Sessions_without_identity_leave_room_for_those_who_have_one()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync(o => o.Sessions.Max = 20);
        var anonymous = new List<TestClient>();
        for (int i = 0; i < 18; i++)
            anonymous.Add(await TestClient.GreetAsync(host.Local));
        await using TestClient refused = await TestClient.ConnectAsync(host.Local);
        Assert.StartsWith("421 4.3.2", await refused.ReadAsync(), StringComparison.Ordinal);
        await using TestClient refusedInTls = await TestClient.ConnectAsync(host.Implicit);
        Assert.Equal("(closed)", await refusedInTls.ReadAsync());

        await using TestClient unix = await TestClient.GreetAsync(host.Unix);
        await anonymous[0].LogInAsync();
        await using TestClient next = await TestClient.GreetAsync(host.Local);
        foreach (TestClient client in anonymous)
            await client.DisposeAsync();
    }

    [Fact]
    public async Task Each_client_of_a_network_is_counted_for_itself()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync(o => o.Sessions.PerIdentity = 1);
        await using TestClient one = await FromNetworkAsync(host, "192.0.2.1", "250 2.1.0");
        await using TestClient other = await FromNetworkAsync(host, "192.0.2.2", "250 2.1.0");
        await using TestClient again = await FromNetworkAsync(host, "192.0.2.1", "421 4.7.0");
    }

    [Fact]
    public async Task On_implicit_TLS_nothing_is_said_in_plain_text()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync(o => o.Sessions.Max = 1);
        await using TestClient first = await TestClient.GreetAsync(host.Local);
        await using TestClient second = await TestClient.ConnectAsync(host.Implicit);

        Assert.Equal("(closed)", await second.ReadAsync());
    }

    [Fact]
    public async Task Who_nobody_knows_and_who_does_not_stop_sending_MAIL_is_dropped()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        await using TestClient client = await TestClient.GreetAsync(host.Local);
        for (int i = 0; i < 20; i++)
        {
            Task<string> reply = client.CommandAsync($"MAIL FROM:<a@d{i}.example.net>");
            Assert.StartsWith("530 5.7.0", i < 10 ? await reply : await host.AdvanceUntilAsync(reply), StringComparison.Ordinal);
        }
        Assert.StartsWith("421 4.7.0", await client.ReadAsync(), StringComparison.Ordinal);
        Assert.Equal("(closed)", await client.ReadAsync());
    }

    [Theory]
    [InlineData("RCPT TO:<ann@example.net>\r\n", 0, 10_020)]
    [InlineData("BDAT 2000000\r\n", 2_000_000, 21)]
    public async Task After_a_refusal_only_so_much_is_excused(string command, int octets, int times)
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        await using TestClient client = await TestClient.GreetAsync(host.Local);
        await client.CommandAsync("MAIL FROM:<info@shop.test>", "530 5.7.0");
        byte[] sent = [.. Encoding.ASCII.GetBytes(command), .. new byte[octets]];
        Task sending = Task.Run(async () =>
        {
            try
            {
                for (int i = 0; i < times; i++)
                    await client.SendAsync(sent);
            }
            catch (IOException) // Dropped before the end, as it should be.
            {
            }
        });
        string replies = await host.AdvanceUntilAsync(client.ReadToEndAsync());
        await sending;

        Assert.EndsWith("421 4.7.0 Too many errors, closing\n", replies, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Octets_of_a_refused_chunk_that_do_not_come_are_waited_for_no_longer_than_a_command()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync(o => o.Sessions.Idle = TimeSpan.FromSeconds(10));
        await using TestClient client = await TestClient.GreetAsync(host.Local);
        await client.SendAsync("BDAT 3 LAST\r\n");
        Task<string> end = client.ReadAsync();
        for (int i = 0; i < 15 && !end.IsCompleted; i++)
        {
            host.Time.Advance(TimeSpan.FromSeconds(1));
            await Task.WhenAny(end, Task.Delay(50)); // Lets the session notice; how long it takes does not matter.
        }

        Assert.StartsWith("421 4.4.2", await end.WaitAsync(TimeSpan.FromSeconds(10)), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_known_client_that_is_refused_over_and_over_is_dropped_too()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        await using TestClient client = await TestClient.LogInAsync(host.Local);
        await host.Administration.SetSuspendedAsync(new AccountKey(Level.Subscription, "acme"), true, CancellationToken.None);
        await client.SendAsync(string.Concat(Enumerable.Repeat("MAIL FROM:<info@shop.test>\r\n", 230)));

        string replies = await host.AdvanceUntilAsync(client.ReadToEndAsync());
        Assert.EndsWith("421 4.7.0 Too many errors, closing\n", replies, StringComparison.Ordinal);
        // 200 commands that move no mail, EHLO among them, and twenty more.
        Assert.Equal(219, replies.Split('\n').Count(line => line.StartsWith("550 5.7.1", StringComparison.Ordinal)));
    }

    [Fact]
    public async Task Who_guesses_does_not_keep_the_right_password_of_the_same_address_out()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        var address = IPAddress.Parse("198.51.100.1");
        for (int i = 0; i < 10; i++)
            host.Service.Logins.Failed(RelayGate.Submission.SessionTable.KeyOf(address), "info@shop.test", 1);
        var guessers = new List<TestClient>();
        for (int i = 0; i < 6; i++)
        {
            TestClient guesser = await InTlsAsync(host, address);
            guessers.Add(guesser);
            await guesser.SendAsync(TestClient.AuthPlain("info@shop.test", "wrong") + "\r\n");
            await SubmissionHost.UntilAsync(() => host.Metrics.Authentications.Value("PLAIN", "rejected") == guessers.Count);
        }

        await using TestClient right = await InTlsAsync(host, address);
        await right.LogInAsync(); // The guessers wait for their answers: the clock stands still.
        foreach (TestClient guesser in guessers)
            await guesser.DisposeAsync();
    }

    [Fact]
    public async Task More_sessions_of_an_address_make_no_more_guesses()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        var address = IPAddress.Parse("198.51.100.1");
        var answers = new List<Task<string>>();
        for (int i = 0; i < 24; i++)
        {
            TestClient guesser = await InTlsAsync(host, address);
            answers.Add(guesser.CommandAsync(TestClient.AuthPlain("info@shop.test", "wrong")));
            await SubmissionHost.UntilAsync(() => host.Metrics.Authentications.Value("PLAIN", "rejected") == answers.Count);
        }
        host.Time.Advance(TimeSpan.FromSeconds(11));

        await SubmissionHost.UntilAsync(() => answers.Count(a => a.IsCompleted) == 5); // After 1, 2.5, 5, 7.5 and 10 s.
        await using (TestClient right = await InTlsAsync(host, address))
            await right.LogInAsync();
        await using (TestClient elsewhere = await InTlsAsync(host, IPAddress.Parse("198.51.100.2")))
        {
            Task<string> answer = elsewhere.CommandAsync(TestClient.AuthPlain("few@shop.test", "wrong")); // A login that nobody guesses.
            await SubmissionHost.UntilAsync(() => host.Metrics.Authentications.Value("PLAIN", "rejected") == answers.Count + 1);
            host.Time.Advance(TimeSpan.FromSeconds(1));
            Assert.StartsWith("535", await answer, StringComparison.Ordinal);
        }
        Assert.Equal(5, answers.Count(a => a.IsCompleted));
        host.Time.Advance(TimeSpan.FromSeconds(60));
        foreach (string answer in await Task.WhenAll(answers))
            Assert.StartsWith("535 5.7.8", answer, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Who_hangs_up_after_a_wrong_password_is_counted_until_it_would_have_been_answered()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync(o => o.Sessions.PerAddress = 1);
        var address = IPAddress.Parse("198.51.100.1");
        using var hangUp = new CancellationTokenSource();
        await using TestClient guesser = await InTlsAsync(host, address, hangUp.Token);
        await guesser.SendAsync(TestClient.AuthPlain("info@shop.test", "wrong") + "\r\n");
        await SubmissionHost.UntilAsync(() => host.Metrics.Authentications.Value("PLAIN", "rejected") == 1);
        await hangUp.CancelAsync();

        await using (TestClient next = host.ConnectFrom(address))
            Assert.StartsWith("421 4.7.0", await next.ReadAsync(), StringComparison.Ordinal);
        host.Time.Advance(TimeSpan.FromSeconds(1));
        await SubmissionHost.UntilAsync(() => host.Metrics.OpenSessions == 0);
        await using TestClient last = await InTlsAsync(host, address);
        await last.LogInAsync();
    }

    [Fact]
    public async Task On_loopback_the_login_that_is_guessed_is_slowed_and_not_the_address()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        for (int i = 0; i < 4; i++)
            host.Service.Logins.Failed(null, "info@shop.test", 1);
        await using TestClient guesser = await TestClient.GreetAsync(host.Local);
        Task<string> slow = guesser.CommandAsync(TestClient.AuthPlain("info@shop.test", "wrong"));
        await SubmissionHost.UntilAsync(() => host.Metrics.Authentications.Value("PLAIN", "rejected") == 1);
        await using TestClient other = await TestClient.GreetAsync(host.Local);
        Task<string> prompt = other.CommandAsync(TestClient.AuthPlain("few@shop.test", "wrong"));
        await SubmissionHost.UntilAsync(() => host.Metrics.Authentications.Value("PLAIN", "rejected") == 2);

        host.Time.Advance(TimeSpan.FromSeconds(1));
        Assert.StartsWith("535 5.7.8", await prompt, StringComparison.Ordinal);
        await using TestClient right = await TestClient.LogInAsync(host.Local);
        Assert.False(slow.IsCompleted);
        host.Time.Advance(TimeSpan.FromSeconds(9));
        Assert.StartsWith("535 5.7.8", await slow, StringComparison.Ordinal);
    }

    private static async Task<TestClient> FromNetworkAsync(SubmissionHost host, string address, string reply)
    {
        TestClient client = host.ConnectFrom(IPAddress.Parse(address));
        await client.GreetAsync();
        await client.CommandAsync("MAIL FROM:<info@shop.test>", reply);
        return client;
    }

    private static async Task<TestClient> InTlsAsync(SubmissionHost host, IPAddress address, CancellationToken hungUp = default)
    {
        TestClient client = host.ConnectFrom(address, ListenerTls.StartTls, hungUp);
        await client.GreetAsync();
        await client.StartTlsAfterAsync("STARTTLS");
        await client.CommandAsync("EHLO x", "250");
        return client;
    }
}
