using System.Text.Json.Nodes;
using RelayGate.Accounts;
using RelayGate.Configuration;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;

namespace RelayGate.Tests.Submission;

/// <summary>Who may send as whom, over the wire: what leaves, what the record says of it, and who signs.</summary>
public class SenderRulesTests
{
    private const string Message = "From: info@shop.test\r\nSubject: x\r\n\r\nbody";
    private const string Foreign = "From: Ann <ann@bank.example>\r\nSubject: x\r\n\r\nbody";

    [Theory]
    [InlineData("mailbox", "info@shop.test")]
    [InlineData("aliases", "info@shop.test sales@shop.test sales@second.test")]
    [InlineData("inherit", "info@shop.test sales@shop.test sales@second.test")] // The default.
    [InlineData("domain", "info@shop.test sales@shop.test sales@second.test few@shop.test x@shop.test x@sub.shop.test")]
    [InlineData("subscription", "info@shop.test sales@shop.test sales@second.test few@shop.test x@shop.test x@sub.shop.test x@second.test")]
    public async Task A_mailbox_sends_as_what_it_owns_and_else_as_itself(string owned, string its)
    {
        await using SubmissionHost host = await StartAsync();
        Ok(await host.Administration.SetDomainAsync("shop.test", new(Owned: owned), default));
        Ok(await host.Administration.SetMailboxAsync("info@shop.test", new(Aliases: ["Sales@shop.test", "sales@second.test"]), default));
        await using TestClient client = await TestClient.LogInAsync(host.Local);
        foreach (string sender in "info@shop.test sales@shop.test sales@second.test few@shop.test x@shop.test x@sub.shop.test x@second.test x@elsewhere.test".Split(' '))
        {
            Assert.StartsWith("250 2.0.0", await client.OfferAsync(Message, sender), StringComparison.Ordinal);
            string expected = its.Split(' ').Contains(sender) ? sender : "info@shop.test";
            Assert.Equal(expected, (await host.QueryAsync("select reverse_path from message order by seq desc limit 1", row => row.GetString(0)))[0]);
        }
        await client.CommandAsync("MAIL FROM:<x@other.test>", "550 5.7.1"); // Another subscription's, in every set.
    }

    [Fact]
    public async Task An_alias_counts_at_once_in_open_sessions_and_logs_nobody_in()
    {
        await using SubmissionHost host = await StartAsync(o => o.Sender.Login = SenderMode.Reject);
        await using TestClient client = await TestClient.LogInAsync(host.Local);
        await client.CommandAsync("MAIL FROM:<sales@shop.test>", "553 5.7.1");

        Ok(await host.Administration.SetMailboxAsync("info@shop.test", new(Aliases: ["sales@shop.test"]), default));
        await client.CommandAsync("MAIL FROM:<SALES@Shop.Test>", "250");
        await client.CommandAsync("RSET", "250");
        await using TestClient second = await TestClient.GreetAsync(host.Local);
        Assert.StartsWith("535 5.7.8", await host.AdvanceUntilAsync(second.CommandAsync(TestClient.AuthPlain("sales@shop.test", "secret"))), StringComparison.Ordinal);

        Ok(await host.Administration.SetMailboxAsync("info@shop.test", new(RemoveAliases: ["sales@shop.test"]), default));
        await client.CommandAsync("MAIL FROM:<sales@shop.test>", "553 5.7.1");
    }

    [Theory]
    [InlineData("off", "From: Ann <ann@bank.example>\r\nSubject", "+Received +Date +Message-ID", null, null)]
    [InlineData("sender", "Sender: <info@shop.test>\r\n", "+Received +Sender +Date +Message-ID", "Sender  -> info@shop.test", null)]
    [InlineData("rewrite", "From: Ann <info@shop.test>\r\nSubject", "+Received +Reply-To +Date +Message-ID +DKIM ~From", "From ann@bank.example -> info@shop.test", "shop.test")]
    public async Task A_foreign_author_is_treated_as_his_domain_is_told_and_the_record_says_so(string mode, string content, string changes, string? correction, string? signedBy)
    {
        await using SubmissionHost host = await StartAsync();
        Ok(await host.Administration.SetSubscriptionAsync("acme", new(HeaderFrom: "refuse"), default));
        Ok(await host.Administration.SetDomainAsync("shop.test", new(HeaderFrom: mode), default));
        await using TestClient client = await TestClient.LogInAsync(host.Local);

        string reply = await client.OfferAsync(Foreign);

        Assert.StartsWith("250 2.0.0", reply, StringComparison.Ordinal);
        string stored = await host.ContentAsync(TestClient.RefOf(reply));
        Assert.Contains(content, stored, StringComparison.Ordinal);
        Assert.EndsWith("Subject: x\r\n\r\nbody\r\n", stored, StringComparison.Ordinal);
        Assert.Equal(mode == "rewrite", stored.Contains("\r\nReply-To: Ann <ann@bank.example>\r\n", StringComparison.Ordinal));
        JsonNode record = await RecordAsync(host, reply);
        Assert.Equal(changes.Split(' ').Order(), record["headerChanges"]!.AsArray().Select(c => c!.ToString().Split("-Signature ")[0]).Order());
        Assert.Equal(correction, record["corrections"]?.AsArray().Select(c => $"{c!["what"]} {c["original"]} -> {c["replacement"]}").Single());
        Assert.Equal(signedBy is null ? null : $"d={signedBy} s=rg1", record["signatures"]?[0]?.ToString());
        Assert.Equal("ann@bank.example", record["from"]!.ToString());
    }

    [Fact]
    public async Task A_foreign_author_is_refused_with_a_reason_of_its_own()
    {
        await using SubmissionHost host = await StartAsync(o => o.Sender.HeaderFrom = HeaderFromMode.Refuse);
        await using TestClient client = await TestClient.LogInAsync(host.Local);

        Assert.StartsWith("550 5.7.1 The From field names an address that is not this login's; use info@shop.test; ref ", await client.OfferAsync(Foreign), StringComparison.Ordinal);
        Assert.StartsWith("550 5.7.1", await client.OfferAsync("From: info@shop.test, ann@bank.example\r\n\r\nx"), StringComparison.Ordinal);
        Assert.StartsWith("550 5.7.1", await client.OfferAsync("From: \"Ann <ann@bank.example>\" <info@shop.test>\r\n\r\nx"), StringComparison.Ordinal);
        Assert.Equal(["from-not-owned", "from-not-owned", "from-not-owned"], await host.QueryAsync("select reason from decision", row => row.GetString(0)));
        Assert.StartsWith("250 2.0.0", await client.OfferAsync(Message), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("sender")]
    [InlineData("rewrite")]
    [InlineData("off")]
    public async Task An_author_of_another_subscription_is_refused_whatever_the_mode(string mode)
    {
        await using SubmissionHost host = await StartAsync();
        Ok(await host.Administration.SetSubscriptionAsync("acme", new(SenderMode: "trust", HeaderFrom: mode, Owned: "subscription"), default));
        Ok(await host.Administration.AddDomainAsync("b\u00fccher.test", new(Subscription: "other"), default));
        await using TestClient client = await TestClient.LogInAsync(host.Local);
        foreach (string author in (string[])["a@other.test", "a@OTHER.test", "a@sub.other.test", "info@shop.test, a@other.test", "a@other.test <info@shop.test>",
            "=?utf-8?q?x_=3Ca=40other.test=3E?= <info@shop.test>", "a@B\u00c3\u009cCHER.test", "a@xn--bcher-kva.test", "a@XN--BCHER-KVA.TEST"])
            Assert.StartsWith("550 5.7.1 The domain of the From field belongs to another subscription", await client.OfferAsync($"From: {author}\r\n\r\nx"), StringComparison.Ordinal);
        await client.CommandAsync("MAIL FROM:<a@B\u00c3\u009cCHER.test> SMTPUTF8", "550 5.7.1");
        Assert.StartsWith("550 5.6.0", await client.OfferAsync("From: a@bu\u00cc\u0088cher.test\r\n\r\nx"), StringComparison.Ordinal); // Not in NFC.
    }

    [Theory]
    [InlineData("www-data@vps123.example", Message, "info@shop.test", "shop.test")]
    [InlineData("www-data@vps123.example", Foreign, "#@shop.test", "shop.test")]
    [InlineData("www-data@vps123.example", "From: a@second.test\r\n\r\nx", "a@second.test", "second.test")]
    [InlineData("www-data", "From: a@second.test\r\n\r\nx", "a@second.test", "second.test")] // No -f at all.
    [InlineData("news@second.test", Foreign, "news@second.test", "second.test")]
    [InlineData("", Foreign, "", null)]
    public async Task PHPs_missing_or_foreign_sender_ends_as_an_address_of_the_subscription(string given, string message, string leavesAs, string? countedAt)
    {
        await using SubmissionHost host = await StartAsync(o => o.Sender.Local = SenderMode.Correct);
        await using TestClient client = await TestClient.GreetAsync(host.Unix);
        Assert.StartsWith("250 2.0.0", await client.OfferAsync(message, given), StringComparison.Ordinal);

        string user = SystemUserDatabase.TryFind(SubmissionHost.Uid, out SystemUserEntry? entry) ? entry.Name : $"uid-{SubmissionHost.Uid}";
        Assert.Equal((leavesAs.Replace("#", user, StringComparison.Ordinal), given), Assert.Single(await host.QueryAsync(
            "select m.reverse_path, d.sender from message m join decision d on d.id = m.id", row => (row.GetString(0), row.GetString(1)))));
        Assert.Equal(countedAt, Assert.Single(await host.QueryAsync("select counted_at from recipient", row => row.IsDBNull(0) ? null : row.GetString(0))));
    }

    [Theory]
    [InlineData("second.test", "trust", "250", "x@elsewhere.example")] // The author's domain says it, which the message counts at.
    [InlineData("second.test", "correct", "250", "a@second.test")]
    [InlineData("second.test", "reject", "553 5.7.1", null)]
    [InlineData("shop.test", "trust", "553 5.7.1", null)]
    public async Task A_domains_mode_holds_for_local_mail_that_counts_at_it(string domain, string mode, string reply, string? leavesAs)
    {
        await using SubmissionHost host = await StartAsync();
        Ok(await host.Administration.SetSubscriptionAsync("acme", new(SenderMode: "reject"), default));
        Ok(await host.Administration.SetDomainAsync(domain, new(SenderMode: mode), default));
        await using TestClient client = await TestClient.GreetAsync(host.Unix);

        Assert.StartsWith(reply, await client.OfferAsync("From: a@second.test\r\n\r\nx", "x@elsewhere.example"), StringComparison.Ordinal);
        Assert.Equal(leavesAs is null ? [] : [leavesAs], await host.QueryAsync("select reverse_path from message", row => row.GetString(0)));
    }

    [Fact]
    public async Task A_Sender_of_any_domain_of_the_subscription_stays_for_local_mail()
    {
        await using SubmissionHost host = await StartAsync(o => o.Sender.HeaderFrom = HeaderFromMode.Sender);
        await using TestClient client = await TestClient.GreetAsync(host.Unix);
        string own = await client.OfferAsync("Sender: news@second.test\r\n" + Foreign, "info@shop.test");
        string foreign = await client.OfferAsync("Sender: Eve <eve@evil.example>\r\n" + Foreign, "info@shop.test");

        Assert.Contains("\r\nSender: news@second.test\r\n", await host.ContentAsync(TestClient.RefOf(own)), StringComparison.Ordinal);
        Assert.Contains("\r\nSender: <info@shop.test>\r\n", await host.ContentAsync(TestClient.RefOf(foreign)), StringComparison.Ordinal);
        Assert.Equal("Eve <eve@evil.example>", (await RecordAsync(host, foreign))["corrections"]![0]!["original"]!.ToString());
    }

    [Fact]
    public async Task Mail_in_the_name_of_a_suspended_domain_of_its_own_is_refused()
    {
        await using SubmissionHost host = await StartAsync(o => o.Sender.Owned = OwnedAddresses.Subscription);
        Ok(await host.Administration.SetSuspendedAsync(new AccountKey(Level.Domain, "second.test"), true, default));
        await using TestClient client = await TestClient.LogInAsync(host.Local);

        await client.CommandAsync("MAIL FROM:<x@second.test>", "550 5.7.1 domain second.test is suspended");
        Assert.StartsWith("550 5.7.1 domain second.test is suspended", await client.OfferAsync("From: x@second.test\r\n\r\nx"), StringComparison.Ordinal);
    }

    private static async Task<SubmissionHost> StartAsync(Action<RelayGateOptions>? configure = null)
    {
        SubmissionHost host = await SubmissionHost.StartAsync(configure);
        Ok(await host.Administration.AddDomainAsync("second.test", new(Subscription: "acme"), default));
        Ok(await host.Administration.CreateKeyAsync("shop.test", "rg1", null, default));
        return host;
    }

    private static async Task<JsonNode> RecordAsync(SubmissionHost host, string reply)
    {
        Assert.True(QueueId.TryParse(TestClient.RefOf(reply), out QueueId id));
        return JsonNode.Parse(Assert.Single(await host.QueryAsync("select detail from decision where id = $1", row => row.GetString(0), id.ToBytes())))!;
    }

    private static void Ok<T>(AdminResult<T> result)
        where T : class => Assert.True(result.IsOk, result.Error?.Message);
}
