using System.Net;
using RelayGate.Accounts;
using RelayGate.Configuration;
using RelayGate.Core.Policy;
using RelayGate.Submission;

namespace RelayGate.Tests.Submission;

/// <summary>Guessing passwords: slowed, then refused for a time, and never who is right.</summary>
public sealed class GuessingTests
{
    private static readonly IPAddress Guesser = IPAddress.Parse("198.51.100.1");
    private static readonly IPAddress Elsewhere = IPAddress.Parse("198.51.100.2");

    [Fact]
    public async Task After_many_failures_an_address_is_refused_for_a_time_and_others_are_not()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync(o => o.Logins.FailuresBeforeRefusal = 5);
        Guess(host, Guesser, 5, i => $"made-up-{i}@shop.test");

        await using TestClient refused = await InTlsAsync(host, Guesser);
        string right = await host.AdvanceUntilAsync(refused.CommandAsync(TestClient.AuthPlain("info@shop.test", "secret")));
        string wrong = await host.AdvanceUntilAsync(refused.CommandAsync(TestClient.AuthPlain("info@shop.test", "wrong")));

        Assert.StartsWith("454 4.7.0", right, StringComparison.Ordinal);
        Assert.Equal(right, wrong); // Whether it was right is not told.
        Assert.Equal(2, host.Metrics.Authentications.Value("PLAIN", "refused"));
        await using (TestClient other = await InTlsAsync(host, Elsewhere))
            await other.LogInAsync();
        await using (TestClient local = await TestClient.LogInAsync(host.Local))
            await local.CommandAsync("MAIL FROM:<info@shop.test>", "250");
        host.Time.Advance(new LoginOptions().RefusalTime);
        await using TestClient later = await InTlsAsync(host, Guesser);
        await later.LogInAsync();
    }

    [Fact]
    public async Task A_right_proof_that_is_refused_is_not_told_either()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync(o => o.Logins.FailuresBeforeRefusal = 5);
        Guess(host, Guesser, 5, _ => "info@shop.test");
        await using TestClient client = await InTlsAsync(host, Guesser);

        Assert.StartsWith("454 4.7.0", await new ScramClient("info@shop.test", "secret").RunAsync(client, host.AdvanceUntilAsync), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Who_was_right_before_from_a_refused_address_is_still_let_in()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync(o => o.Logins.FailuresBeforeRefusal = 5);
        await using (TestClient before = await InTlsAsync(host, Guesser))
            await before.LogInAsync();
        await host.Administration.SaveUsesAsync(default);
        Guess(host, Guesser, 6, _ => "info@shop.test");

        await using (TestClient right = await InTlsAsync(host, Guesser))
            await right.LogInAsync();
        await using TestClient other = await InTlsAsync(host, Guesser);
        Assert.StartsWith("454", await host.AdvanceUntilAsync(other.CommandAsync(TestClient.AuthPlain("few@shop.test", "secret"))), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_login_guessed_from_many_addresses_is_refused_to_those_that_fail_often_and_to_nobody_else()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync(o => o.Logins.FailuresBeforeRefusal = 30);
        for (int i = 0; i < 6; i++)
            Guess(host, IPAddress.Parse($"203.0.113.{i + 1}"), 5, _ => "info@shop.test");

        await using (TestClient guesser = await InTlsAsync(host, IPAddress.Parse("203.0.113.1")))
        {
            string reply = await host.AdvanceUntilAsync(guesser.CommandAsync(TestClient.AuthPlain("info@shop.test", "secret")));
            Assert.StartsWith("454 4.7.0", reply, StringComparison.Ordinal);
        }
        Guess(host, Elsewhere, 2, _ => "info@shop.test"); // Mistyped.
        await using TestClient right = await InTlsAsync(host, Elsewhere);
        await right.LogInAsync();
    }

    [Theory]
    [InlineData("info@shop.test", "INFO@shop.test", "\"info\"@shop.test", "\"i\\nfo\"@Shop.test", "info@shop.test")]
    [InlineData("nobody@xn--bcher-kva.test", "nobody@bücher.test", "\"nobody\"@BÜCHER.test", "nobody@XN--bcher-kva.test", "Nobody@xn--bcher-kva.test")]
    public async Task Spellings_of_one_login_stand_in_one_line_whether_it_exists_or_not(string login, params string[] spellings)
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync(o => o.Logins.FailuresBeforeRefusal = 4);
        for (int i = 0; i < spellings.Length; i++)
        {
            TestClient client = host.ConnectFrom(IPAddress.Loopback);
            await client.GreetAsync();
            _ = client.CommandAsync(TestClient.AuthPlain(spellings[i], "wrong")); // Answered late, and the clock stands still.
            await SubmissionHost.UntilAsync(() => host.Metrics.Authentications.Value("PLAIN", "rejected") == i + 1);
        }

        Assert.True(host.Service.Logins.IsGuessed(login));
    }

    [Fact]
    public void The_addresses_of_one_IPv6_customer_drive_no_other_network_out_of_what_is_remembered()
    {
        var uses = new IdentityUses(new Fakes.ManualTimeProvider());
        uses.Used(IdentityUses.Login, "info@shop.test", Guesser);
        for (int i = 0; i < 2 * IdentityUses.MaxAddresses; i++)
            uses.Used(IdentityUses.Login, "info@shop.test", IPAddress.Parse($"2001:db8::{i + 1:x}"));

        Assert.Equal(["2001:db8::/64", "198.51.100.1"], uses.WaitingOf(IdentityUses.Login, "info@shop.test").Addresses);
    }

    [Fact]
    public async Task Uses_are_written_to_an_end_however_fast_new_ones_come()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        using var stop = new CancellationTokenSource();
        IdentityUses uses = host.Service.Directory.Uses;
        uses.Used(IdentityUses.Login, "info@shop.test", null);
        Task load = Task.Run(() =>
        {
            while (!stop.IsCancellationRequested)
                uses.Used(IdentityUses.Login, "info@shop.test", null);
        });

        await host.Administration.SaveUsesAsync(default).WaitAsync(TimeSpan.FromSeconds(10));

        await stop.CancelAsync();
        await load;
    }

    [Fact]
    public async Task On_loopback_two_sites_do_not_lock_each_other_or_themselves_out()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync(o => o.Logins.FailuresBeforeRefusal = 5);
        foreach (string listener in new[] { "local", "unix" })
        {
            for (int i = 0; i < 10; i++)
                host.Service.Logins.Failed(null, "info@shop.test", 1, "info@shop.test");

            await using TestClient hacked = await TestClient.GreetAsync(host.Listener(listener));
            Task<string> slow = hacked.CommandAsync(TestClient.AuthPlain("info@shop.test", "wrong"));
            await using TestClient site = await TestClient.LogInAsync(host.Listener(listener), "few@shop.test"); // With the clock standing still.
            await using TestClient itself = await TestClient.LogInAsync(host.Listener(listener));

            Assert.False(slow.IsCompleted);
            Assert.StartsWith("535 5.7.8", await host.AdvanceUntilAsync(slow), StringComparison.Ordinal);
            Assert.StartsWith("421 4.7.0", await hacked.ReadAsync(), StringComparison.Ordinal); // At the first failure.
        }
    }

    [Fact]
    public async Task Guessing_is_told_once_for_each_time_of_refusal_and_names_no_login_that_does_not_exist()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync(o => o.Logins.FailuresBeforeRefusal = 5);
        var told = new List<GuessingDetected>();
        host.Service.GuessingDetected += told.Add;
        DateTimeOffset since = host.Time.GetUtcNow();

        Guess(host, Guesser, 12, _ => "info@shop.test", known: true);
        Guess(host, Elsewhere, 5, _ => "hunter2");

        Assert.Equal(
            [
                new GuessingDetected(GuessedObject.Address, "198.51.100.1", 5, since), new GuessingDetected(GuessedObject.Login, "info@shop.test", 5, since),
                new GuessingDetected(GuessedObject.Address, "198.51.100.2", 5, since), new GuessingDetected(GuessedObject.Login, "", 5, since),
            ],
            told);
        Assert.Equal(2, host.Metrics.Guessing.Value("address"));
        Assert.Equal(2, host.Metrics.Guessing.Value("login"));
        host.Time.Advance(new LoginOptions().RefusalTime);
        Guess(host, Guesser, 5, _ => "info@shop.test", known: true);
        Assert.Equal(6, told.Count);
    }

    [Fact]
    public void Made_up_logins_and_addresses_fill_no_memory_and_cannot_hide_an_address()
    {
        var throttle = new LoginThrottle(new LoginOptions { FailuresBeforeRefusal = 5 }, new Fakes.ManualTimeProvider());
        for (int i = 0; i < 60_000; i++)
            throttle.Failed(i % 2 == 0 ? $"address 2001:db8:{i >> 8:x}:{i & 255:x}::/64" : null, $"made-up-{i}", 1);

        Assert.InRange(throttle.Remembered, 1, 10_000 + 20_000 + 1024);
    }

    [Fact]
    public async Task Uses_and_failures_of_a_credential_are_shown_after_they_were_written_together()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        string password = await SenderLoginTests.CreateAsync(host, "app", new AccountKey(Level.Mailbox, "info@shop.test"));
        DateTimeOffset first = host.Time.GetUtcNow();
        for (int i = 0; i < 12; i++)
        {
            await using TestClient client = await InTlsAsync(host, IPAddress.Parse($"203.0.113.{i}"));
            await client.LogInAsync("app", password);
        }
        await using (TestClient client = await TestClient.GreetAsync(host.Local))
            await host.AdvanceUntilAsync(client.CommandAsync(TestClient.AuthPlain("app", "wrong")));

        Assert.Equal(0, SenderLoginTests.Value(await host.Administration.ShowSenderAsync("app", default)).Use.Uses);
        await host.Administration.SaveUsesAsync(default);
        await host.Administration.SaveUsesAsync(default);
        IdentityUse use = SenderLoginTests.Value(await host.Administration.ShowSenderAsync("app", default)).Use;

        Assert.Equal((12, 1), (use.Uses, use.Failures));
        Assert.Equal(first, use.LastUse);
        Assert.Equal([.. Enumerable.Range(2, 10).Reverse().Select(i => $"203.0.113.{i}")], use.Addresses);
    }

    private static void Guess(SubmissionHost host, IPAddress address, int times, Func<int, string> login, bool known = false)
    {
        for (int i = 0; i < times; i++)
            host.Service.Logins.Failed(SessionTable.KeyOf(address), login(i), 1, known ? login(i) : null);
    }

    private static async Task<TestClient> InTlsAsync(SubmissionHost host, IPAddress address)
    {
        TestClient client = host.ConnectFrom(address, ListenerTls.StartTls);
        await client.GreetAsync();
        await client.StartTlsAfterAsync("STARTTLS");
        await client.CommandAsync("EHLO x", "250");
        return client;
    }
}
