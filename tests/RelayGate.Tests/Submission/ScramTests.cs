using RelayGate.Core.Policy;

namespace RelayGate.Tests.Submission;

/// <summary>AUTH SCRAM-SHA-256 over sockets.</summary>
public sealed class ScramTests
{
    [Fact]
    public async Task A_mailbox_and_a_credential_log_in_and_send()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        string password = await SenderLoginTests.CreateAsync(host, "app", new AccountKey(Level.Mailbox, "info@shop.test"));
        foreach ((string login, string secret) in new[] { ("info@shop.test", "secret"), ("INFO@Shop.Test", "secret"), ("app", password), ("App", password) })
        {
            await using TestClient client = await TestClient.GreetAsync(host.Local);
            Assert.StartsWith("235 2.7.0", await new ScramClient(login, secret).RunAsync(client), StringComparison.Ordinal);
            Assert.StartsWith("250", await client.OfferAsync("From: info@shop.test\r\n\r\n"), StringComparison.Ordinal);
            await client.CommandAsync("AUTH PLAIN =", "503 5.5.1");
        }
        Assert.Equal(4, host.Metrics.Authentications.Value("SCRAM-SHA-256", "accepted"));
    }

    [Fact]
    public async Task With_a_grace_either_password_is_proved_and_the_open_session_of_the_old_one_ends_with_it()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        string old = await SenderLoginTests.CreateAsync(host, "app", new AccountKey(Level.Mailbox, "info@shop.test"));
        string next = SenderLoginTests.Value(await host.Administration.RotateSenderAsync("app", null, TimeSpan.FromHours(1), default)).Password!;
        await using TestClient withOld = await TestClient.GreetAsync(host.Local);
        await using TestClient withNew = await TestClient.GreetAsync(host.Local);

        Assert.StartsWith("235", await new ScramClient("app", old).RunAsync(withOld), StringComparison.Ordinal);
        Assert.StartsWith("235", await new ScramClient("app", next).RunAsync(withNew), StringComparison.Ordinal);
        host.Time.Advance(TimeSpan.FromHours(1));
        await host.Administration.EndGracesAsync(default);

        await using TestClient late = await TestClient.GreetAsync(host.Local);
        Assert.StartsWith("535", await new ScramClient("app", old).RunAsync(late, host.AdvanceUntilAsync), StringComparison.Ordinal);
        await using TestClient still = await TestClient.GreetAsync(host.Local);
        Assert.StartsWith("235", await new ScramClient("app", next).RunAsync(still), StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_unknown_login_looks_as_a_known_one_with_a_wrong_password_and_keeps_its_salt()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        SenderLoginTests.Value(await host.Administration.AddMailboxAsync("new@shop.test", "secret", default));
        var replies = new List<string>();
        var shown = new Dictionary<string, string>();
        foreach (string login in new[] { "new@shop.test", "nobody@shop.test", "nobody", "no body", "nobody@shop.test", "new@shop.test" })
        {
            await using TestClient client = await TestClient.GreetAsync(host.Local);
            var scram = new ScramClient(login, "wrong");
            replies.Add(await scram.RunAsync(client, host.AdvanceUntilAsync));
            Assert.EndsWith(",i=100000", scram.Shown, StringComparison.Ordinal);
            Assert.Equal(scram.Shown, shown.GetValueOrDefault(login, scram.Shown));
            shown[login] = scram.Shown;
        }
        Assert.Equal("535 5.7.8 Login or password is wrong", Assert.Single(replies.Distinct()));
        Assert.Single(shown.Values.Select(s => s.Length).Distinct());
        Assert.Equal(4, shown.Values.Distinct().Count());

        // A login that comes to be has the salt that it was shown with before.
        SenderLoginTests.Value(await host.Administration.AddMailboxAsync("nobody@shop.test", "secret", default));
        await using TestClient now = await TestClient.GreetAsync(host.Local);
        var right = new ScramClient("nobody@shop.test", "secret");
        Assert.StartsWith("235", await right.RunAsync(now), StringComparison.Ordinal);
        Assert.Equal(shown["nobody@shop.test"], right.Shown);
    }

    [Fact]
    public async Task Unknown_logins_and_wrong_passwords_cost_the_same_hashes()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        SenderLoginTests.Value(await host.Administration.AddMailboxAsync("new@shop.test", "secret", default));
        SenderLoginTests.Value(await host.Administration.CreateSenderAsync("app", new AccountKey(Level.Mailbox, "new@shop.test"), "secret", default));
        SenderLoginTests.Value(await host.Administration.RotateSenderAsync("app", "next", TimeSpan.FromHours(1), default));
        foreach (string mechanism in new[] { "PLAIN", "LOGIN", "SCRAM" })
        {
            foreach (string login in new[] { "new@shop.test", "app", "nobody@shop.test", "nobody", "no body at all" })
            {
                long before = host.PasswordHashes;
                await using TestClient client = await TestClient.GreetAsync(host.Local);
                string reply = mechanism switch
                {
                    "PLAIN" => await host.AdvanceUntilAsync(client.CommandAsync(TestClient.AuthPlain(login, "wrong"))),
                    "LOGIN" => await LogInAsync(client, login, host.AdvanceUntilAsync),
                    _ => await new ScramClient(login, "wrong").RunAsync(client, host.AdvanceUntilAsync),
                };
                Assert.StartsWith("535 5.7.8", reply, StringComparison.Ordinal);
                Assert.Equal((login, mechanism == "SCRAM" ? 0 : 1), (login, host.PasswordHashes - before));
            }
        }
    }

    [Fact]
    public async Task What_is_malformed_cancelled_or_oversize_is_answered_with_5yz_and_the_session_goes_on()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        await using TestClient client = await TestClient.GreetAsync(host.Local);
        string first = new ScramClient("info@shop.test", "secret").First;

        await client.CommandAsync("AUTH SCRAM-SHA-256 " + ScramClient.Encode("p=tls-unique,,n=info@shop.test,r=abc"), "501 5.5.2");
        await client.CommandAsync("AUTH SCRAM-SHA-256 !!!", "501 5.5.2");
        await client.CommandAsync("AUTH SCRAM-SHA-256-PLUS " + first, "504 5.5.4");
        await client.CommandAsync("AUTH SCRAM-SHA-256", "334 ");
        await client.CommandAsync("*", "501 5.7.0");
        await client.CommandAsync("AUTH SCRAM-SHA-256 " + first, "334 ");
        await client.CommandAsync("*", "501 5.7.0");
        await client.CommandAsync("AUTH SCRAM-SHA-256 " + first, "334 ");
        await client.CommandAsync(new string('x', 20_000), "500 5.5.6");
        await client.CommandAsync("AUTH SCRAM-SHA-256 " + first, "334 ");
        await client.CommandAsync(ScramClient.Encode("c=biws"), "501 5.5.2");
        await client.CommandAsync("MAIL FROM:<info@shop.test>", "530 5.7.0");

        // Right, and then cancelled or with something to say: not logged in.
        await using TestClient second = await TestClient.GreetAsync(host.Local);
        foreach ((string last, string reply) in new[] { ("*", "501 5.7.0"), ("eHg=", "501 5.5.2") })
        {
            var right = new ScramClient("info@shop.test", "secret");
            string challenge = ScramClient.Decode(await second.CommandAsync("AUTH SCRAM-SHA-256 " + right.First, "334 "));
            await second.CommandAsync(ScramClient.Encode(right.Final(challenge)), "334 ");
            await second.CommandAsync(last, reply);
            await second.CommandAsync("MAIL FROM:<info@shop.test>", "530 5.7.0");
        }
        Assert.StartsWith("235", await new ScramClient("info@shop.test", "secret", "y,,").RunAsync(second), StringComparison.Ordinal);
    }

    private static async Task<string> LogInAsync(TestClient client, string login, Func<Task<string>, Task<string>> wait)
    {
        await client.CommandAsync("AUTH LOGIN", "334 ");
        await client.CommandAsync(ScramClient.Encode(login), "334 ");
        return await wait(client.CommandAsync(ScramClient.Encode("wrong")));
    }
}
