using System.Net;
using System.Security.Authentication;
using System.Text;

namespace RelayGate.Tests.Submission;

/// <summary>What a session does about time, errors, floods, TLS and the end of the gateway.</summary>
public class SmtpSessionTests
{
    [Fact]
    public async Task After_twenty_errors_the_session_ends_and_late_ones_are_answered_late()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        await using TestClient client = await TestClient.GreetAsync(host.Local);
        for (int i = 0; i < 10; i++)
            Assert.StartsWith("500 5.5.1", await client.CommandAsync("FOO"), StringComparison.Ordinal);
        for (int i = 10; i < 20; i++)
        {
            Task<string> reply = client.CommandAsync("FOO");
            Assert.StartsWith("500 5.5.1", await host.AdvanceUntilAsync(reply), StringComparison.Ordinal);
        }
        Assert.StartsWith("421 4.7.0", await client.ReadAsync(), StringComparison.Ordinal);
        Assert.Equal("(closed)", await client.ReadAsync());
    }

    [Fact]
    public async Task An_idle_client_is_told_and_closed()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        await using TestClient client = await TestClient.GreetAsync(host.Local);

        Assert.StartsWith("421 4.4.2", await host.AdvanceUntilAsync(client.ReadAsync()), StringComparison.Ordinal);
        Assert.Equal("(closed)", await client.ReadAsync());
    }

    [Fact]
    public async Task A_command_that_drips_in_gets_no_more_time_than_an_idle_one()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        await using TestClient client = await TestClient.GreetAsync(host.Local);
        Task<string> reply = client.ReadAsync();
        DateTimeOffset start = host.Time.GetUtcNow();
        while (!reply.IsCompleted && host.Time.GetUtcNow() - start < TimeSpan.FromMinutes(10))
        {
            await client.DripAsync("N");
            host.Time.Advance(TimeSpan.FromMinutes(1));
            await Task.WhenAny(reply, Task.Delay(20));
        }
        Assert.StartsWith("421 4.4.2", await reply, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Stopping_tells_idle_sessions_at_once()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        await using TestClient tcp = await TestClient.GreetAsync(host.Local);
        await using TestClient unix = await TestClient.GreetAsync(host.Unix);

        Task stopped = host.StopAsync();

        Assert.StartsWith("421 4.3.2", await tcp.ReadAsync(), StringComparison.Ordinal);
        Assert.StartsWith("421 4.3.2", await unix.ReadAsync(), StringComparison.Ordinal);
        await stopped.WaitAsync(TimeSpan.FromSeconds(10));
    }

    [Fact]
    public async Task More_sessions_than_the_limit_are_turned_away()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync(o => o.Sessions.Max = 2);
        TestClient first = await TestClient.GreetAsync(host.Local);
        await using TestClient second = await TestClient.GreetAsync(host.Local);
        await using TestClient third = await TestClient.ConnectAsync(host.Local);
        Assert.StartsWith("421 4.3.2", await third.ReadAsync(), StringComparison.Ordinal);

        Assert.StartsWith("221", await first.CommandAsync("QUIT"), StringComparison.Ordinal);
        Assert.Equal("(closed)", await first.ReadAsync());
        await SubmissionHost.UntilAsync(() => host.Metrics.OpenSessions == 1);
        await using TestClient fourth = await TestClient.GreetAsync(host.Local);
    }

    [Fact]
    public async Task Two_hundred_idle_and_dripping_clients_delay_nobody()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        var others = new List<TestClient>();
        for (int i = 0; i < 200; i++)
        {
            TestClient client = await TestClient.ConnectAsync(i % 3 == 0 ? host.Implicit : host.Local); // A third stalls in the TLS handshake.
            if (i % 3 == 1)
                await client.SendAsync("EHL");
            others.Add(client);
        }

        // The clock stands still, so that none of them is ended by a deadline: what the quick one gets done, it gets done beside all 200.
        await SubmissionHost.UntilAsync(() => host.Metrics.OpenSessions == 200);
        await using TestClient quick = await TestClient.LogInAsync(host.Local);
        Assert.StartsWith("250 2.0.0", await quick.OfferAsync("From: info@shop.test\r\n\r\nx"), StringComparison.Ordinal);
        Assert.Equal(201, host.Metrics.OpenSessions);
        foreach (TestClient client in others)
            await client.DisposeAsync();
        await SubmissionHost.UntilAsync(() => host.Metrics.OpenSessions == 1);
    }

    [Fact]
    public async Task Random_octets_crash_nothing_and_leave_nothing_open()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        var random = new Random(4711);
        string[] starts = ["", "EHLO x\r\n", "EHLO x\r\nAUTH LOGIN\r\n", "EHLO x\r\nBDAT 100\r\n", "EHLO x\r\nSTARTTLS\r\n"];
        for (int i = 0; i < 60; i++)
        {
            await using TestClient client = await TestClient.ConnectAsync(i % 2 == 0 ? host.StartTls : host.Implicit);
            byte[] octets = new byte[random.Next(1, 5000)];
            random.NextBytes(octets);
            try
            {
                await client.SendAsync([.. Encoding.ASCII.GetBytes(starts[i % starts.Length]), .. octets, .. "\r\n"u8]);
            }
            catch (IOException) // The server has closed already.
            {
            }
            client.Cut(reset: i % 4 == 0);
        }
        await using (TestClient last = await TestClient.GreetAsync(host.StartTls)) // Connections are taken in their order: those before it have been.
            await last.CommandAsync("QUIT", "221");
        await using (TestClient last = await TestClient.ConnectAsync(host.Implicit))
            await last.StartTlsAsync();
        await SubmissionHost.UntilAsync(() => host.Metrics.OpenSessions == 0);
        Assert.Empty(host.Errors);
    }

    [Fact]
    public async Task STARTTLS_drops_what_was_buffered_and_what_was_said()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        await using TestClient client = await TestClient.GreetAsync(host.StartTls);

        // The injected commands stand in the same packet as STARTTLS.
        await client.SendAsync("STARTTLS\r\nEHLO evil.test\r\nNOOP\r\n");
        Assert.StartsWith("220 2.0.0", await client.ReadAsync(), StringComparison.Ordinal);
        using var tls = await client.StartTlsAsync();

        Assert.StartsWith("503 5.5.1", await client.CommandAsync("MAIL FROM:<a@shop.test>"), StringComparison.Ordinal); // EHLO is forgotten.
        string ehlo = await client.CommandAsync("EHLO client.test");
        Assert.DoesNotContain("STARTTLS", ehlo, StringComparison.Ordinal);
        Assert.Contains("AUTH PLAIN LOGIN SCRAM-SHA-256", ehlo, StringComparison.Ordinal);
        Assert.StartsWith("503 5.5.1", await client.CommandAsync("STARTTLS"), StringComparison.Ordinal);
        Assert.True(tls.SslProtocol is SslProtocols.Tls12 or SslProtocols.Tls13);
        Assert.StartsWith("221 2.0.0", await client.CommandAsync("QUIT"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Plain_text_after_the_reply_to_STARTTLS_is_no_command()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        await using TestClient client = await TestClient.GreetAsync(host.StartTls);
        Assert.StartsWith("220 2.0.0", await client.CommandAsync("STARTTLS"), StringComparison.Ordinal);
        await client.DripAsync("EHLO evil.test\r\nNOOP\r\n");

        Assert.DoesNotContain("250", await client.ReadToEndAsync(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_handshake_that_stalls_is_ended_after_ten_seconds()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        await using TestClient client = await TestClient.ConnectAsync(host.Implicit);
        await SubmissionHost.UntilAsync(() => host.Metrics.OpenSessions == 1);

        Assert.Equal("(closed)", await host.AdvanceUntilAsync(client.ReadAsync()));
    }

    [Fact]
    public async Task Implicit_TLS_speaks_SMTP_inside()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        await using TestClient client = await TestClient.ConnectAsync(host.Implicit);
        using var tls = await client.StartTlsAsync();
        Assert.StartsWith("220 relay.test", await client.ReadAsync(), StringComparison.Ordinal);
        Assert.EndsWith("AUTH PLAIN LOGIN SCRAM-SHA-256", await client.CommandAsync("EHLO x"), StringComparison.Ordinal);

        await host.AdvanceUntilAsync(client.ReadAsync()); // 421 by the deadline works through TLS too.
    }

    [Fact]
    public async Task A_client_that_takes_no_replies_is_cut()
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        await using TestClient client = await TestClient.ConnectAsync(host.Local);
        byte[] noops = Encoding.ASCII.GetBytes(string.Concat(Enumerable.Repeat("HELP\r\n", 20)));
        Task sending = Task.Run(async () =>
        {
            try
            {
                for (int i = 0; i < 100_000; i++)
                    await client.SendAsync(noops);
            }
            catch (Exception error) when (error is IOException or OperationCanceledException)
            {
                // Cut, as it should be.
            }
        });
        await host.AdvanceUntilAsync(sending);
        await SubmissionHost.UntilAsync(() => host.Metrics.OpenSessions == 0);
    }
}
