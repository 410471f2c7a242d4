using System.Net;
using RelayGate.Configuration;
using RelayGate.Hosting;

namespace RelayGate.Tests.Submission;

/// <summary>Nothing relays without an identity: every door × what a stranger does there × every form of sender × every form of recipient.</summary>
public class OpenRelayTests
{
    private const string BadLogin = "AUTH PLAIN AGluZm9Ac2hvcC50ZXN0AHdyb25n"; // info@shop.test, wrong.

    private static readonly RelayForms Forms = new("relay.test", "shop.test");

    /// <summary>Listener, and how far TLS is there.</summary>
    private static readonly string[] Doors = ["loopback", "loopback StartTls", "loopback StartTls, in TLS", "implicit TLS", "unix, strange uid", "network None", "network StartTls"];

    private static readonly string[] Attempts =
        ["nothing", "wrong password", "unknown login", "AUTH cancelled", "AUTH malformed", "AUTH of an unknown mechanism", "right password where AUTH is not offered", "a listed network's HELO name"];

    public static TheoryData<string, string> Strangers()
    {
        var data = new TheoryData<string, string>();
        foreach (string door in Doors)
        {
            foreach (string attempt in Attempts.Where(attempt => !attempt.StartsWith("right", StringComparison.Ordinal) || door is "loopback StartTls" or "network None" or "network StartTls"))
                data.Add(door, attempt);
        }
        return data;
    }

    [Theory]
    [MemberData(nameof(Strangers))]
    public async Task Nobody_without_an_identity_relays_in_any_form(string door, string attempt)
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        await host.ExecuteAsync("delete from system_user");

        List<string> taken = [];
        foreach (string sender in Forms.Senders)
        {
            await using TestClient client = await EnterAsync(host, door);
            await TryToBeSomebodyAsync(host, client, attempt);
            taken.AddRange(await OfferAsync(client, sender));
        }

        Assert.Empty(taken);
        Assert.Equal([0L], await host.QueryAsync("select count(*) from message", row => row.GetInt64(0)));
        Assert.Equal([0L], await host.QueryAsync("select count(*) from decision where verdict = 0", row => row.GetInt64(0)));
    }

    /// <summary>The same table sees what is taken: it is not its client that makes everything fail.</summary>
    [Theory]
    [InlineData("loopback", true)]
    [InlineData("loopback StartTls, in TLS", true)]
    [InlineData("implicit TLS", true)]
    [InlineData("unix, strange uid", true)] // A login on that socket replaces the uid.
    [InlineData("unix, own uid", false)]
    [InlineData("listed network", false)]
    public async Task Somebody_with_an_identity_does(string door, bool logsIn)
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        if (door == "unix, strange uid")
            await host.ExecuteAsync("delete from system_user");
        await using TestClient client = await EnterAsync(host, door);
        if (logsIn)
            await client.LogInAsync();

        List<string> taken = await OfferAsync(client, "relay-probe@shop.test");

        Assert.Contains("<relay-probe@shop.test> to <relay-probe@example.net>", taken);
        Assert.Contains("<relay-probe@shop.test> to <relay-probe%example.net@shop.test>", taken);
    }

    [Theory]
    [InlineData("relay-probe@example.com")]
    [InlineData("")]
    [InlineData("relay-probe@[127.0.0.1]")]
    [InlineData("\"relay-probe@shop.test\"@example.com")]
    [InlineData("@shop.test:relay-probe@example.com")]
    public async Task A_listed_network_of_no_subscription_relays_for_no_foreign_sender(string sender)
    {
        await using SubmissionHost host = await SubmissionHost.StartAsync();
        Assert.True((await host.Administration.AddNetworkAsync("203.0.113.0/24", null, false, false, default)).IsOk);
        await using TestClient client = host.ConnectFrom(IPAddress.Parse("203.0.113.9"));
        await client.GreetAsync();

        Assert.Empty(await OfferAsync(client, sender));
    }

    private static async Task<TestClient> EnterAsync(SubmissionHost host, string door)
    {
        TestClient client = door switch
        {
            "loopback" => await TestClient.ConnectAsync(host.Local),
            "loopback StartTls" or "loopback StartTls, in TLS" => await TestClient.ConnectAsync(host.StartTls),
            "implicit TLS" => await TestClient.ConnectAsync(host.Implicit),
            "unix, strange uid" or "unix, own uid" => await TestClient.ConnectAsync(host.Unix),
            "listed network" => host.ConnectFrom(IPAddress.Parse("192.0.2.9")),
            "network None" => host.ConnectFrom(IPAddress.Parse("203.0.113.9")),
            _ => host.ConnectFrom(IPAddress.Parse("203.0.113.9"), ListenerTls.StartTls),
        };
        if (door == "implicit TLS")
            await client.StartTlsAsync();
        await client.GreetAsync();
        if (door != "loopback StartTls, in TLS")
            return client;
        await client.StartTlsAfterAsync("STARTTLS");
        await client.CommandAsync("EHLO client.test", "250-");
        return client;
    }

    /// <summary>What is not a proof of anything.</summary>
    private static async Task TryToBeSomebodyAsync(SubmissionHost host, TestClient client, string attempt)
    {
        switch (attempt)
        {
            case "wrong password":
                await FailAsync(host, client, BadLogin);
                break;
            case "unknown login":
                await FailAsync(host, client, TestClient.AuthPlain("nobody@shop.test", "secret"));
                break;
            case "AUTH cancelled":
                if ((await client.CommandAsync("AUTH PLAIN")).StartsWith("334", StringComparison.Ordinal))
                    await client.CommandAsync("*", "501 ");
                break;
            case "AUTH malformed":
                await client.CommandAsync("AUTH PLAIN !!!", "5");
                break;
            case "AUTH of an unknown mechanism":
                await client.CommandAsync("AUTH EXTERNAL cm9vdA==", "5");
                break;
            case "right password where AUTH is not offered":
                await client.CommandAsync(TestClient.AuthPlain("info@shop.test", "secret"), "5");
                break;
            case "a listed network's HELO name":
                await client.CommandAsync("EHLO [192.0.2.9]", "250");
                break;
        }
    }

    private static async Task FailAsync(SubmissionHost host, TestClient client, string auth) =>
        Assert.DoesNotContain("235", (await host.AdvanceUntilAsync(client.CommandAsync(auth)))[..3], StringComparison.Ordinal);

    /// <summary>Offers one sender with every recipient, then data: after a refused MAIL all that follows is refused (RFC 2920 §3.1).</summary>
    /// <returns>What was taken as far as RCPT, or further.</returns>
    private static async Task<List<string>> OfferAsync(TestClient client, string sender)
    {
        List<string> taken = [];
        await client.CommandAsync($"MAIL FROM:<{sender}>");
        foreach (string recipient in Forms.Recipients)
        {
            if ((await client.CommandAsync($"RCPT TO:<{recipient}>")).StartsWith('2'))
                taken.Add($"<{sender}> to <{recipient}>");
        }
        if (taken.Count > 0)
            return taken;
        if (!(await client.CommandAsync("DATA")).StartsWith('5'))
            taken.Add($"DATA of <{sender}>");
        await client.SendAsync("BDAT 6 LAST\r\nhello\n");
        if (!(await client.ReadAsync()).StartsWith('5'))
            taken.Add($"BDAT of <{sender}>");
        return taken;
    }
}
