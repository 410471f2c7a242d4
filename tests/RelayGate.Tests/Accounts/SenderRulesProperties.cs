using System.Net;
using System.Text;
using FsCheck;
using FsCheck.Fluent;
using RelayGate.Accounts;
using RelayGate.Core.Mail;
using RelayGate.Core.Messages;
using RelayGate.Core.Policy;
using RelayGate.Tests.Fakes;

namespace RelayGate.Tests.Accounts;

/// <summary>Whoever sends as whomever, under whatever rules: what leaves belongs to him, and is signed by whom it names.</summary>
public sealed class SenderRulesProperties : IAsyncLifetime
{
    private static readonly string[] Domains = ["shop.test", "second.test", "b\u00fccher.test", "rival.test"];
    private static readonly string[] Senders =
    [
        "", "root", "info@shop.test", "INFO@Shop.Test", "sales@second.test", "x@shop.test", "x@sub.shop.test", "x@second.test", "x@B\u00dcCHER.test", "x@xn--bcher-kva.test",
        "x@rival.test", "x@elsewhere.example", "x@[192.0.2.1]", "x@relay.test",
    ];

    private TestGateway _gateway = null!;
    private AccountAdministration _accounts = null!;
    private AccountDirectory _directory = null!;

    public async Task InitializeAsync()
    {
        _gateway = await TestGateway.StartAsync();
        _accounts = _gateway.Get<AccountAdministration>();
        _directory = _gateway.Get<AccountDirectory>();
        foreach (string name in (string[])["acme", "rival"])
            Assert.True((await _accounts.AddSubscriptionAsync(name, new(), default)).IsOk);
        foreach (string domain in Domains)
        {
            Assert.True((await _accounts.AddDomainAsync(domain, new(Subscription: domain == "rival.test" ? "rival" : "acme"), default)).IsOk);
            Assert.True((await _accounts.CreateKeyAsync(domain, "rg1", null, default)).IsOk);
        }
        Assert.True((await _accounts.AddMailboxAsync("info@shop.test", new MailboxChange("secret", ["sales@second.test"]), default)).IsOk);
        Assert.True((await _accounts.SetSubscriptionAsync("acme", new(SystemUsers: ["#4711"]), default)).IsOk);
        Assert.True((await _accounts.AddNetworkAsync("192.0.2.0/24", "acme", false, false, default)).IsOk);
    }

    public async Task DisposeAsync() => await _gateway.DisposeAsync();

    private sealed record Case(int Identity, int Mode, int HeaderFrom, int Owned, int RuledDomain, string ReversePath, string From, string Sender);

    [Fact]
    public void What_leaves_belongs_to_the_sender_and_is_signed_by_the_domain_of_its_author() =>
        Prop.ForAll(Cases().ToArbitrary(), TryOne).Check(Config.QuickThrowOnFailure.WithMaxTest(300));

    private void TryOne(Case c) => TryOneAsync(c).GetAwaiter().GetResult();

    private async Task TryOneAsync(Case c)
    {
        string mode = ((SenderMode)c.Mode).ToString();
        string headerFrom = ((HeaderFromMode)c.HeaderFrom).ToString();
        string owned = ((OwnedAddresses)c.Owned).ToString();
        // The rules of one domain, those of the others are what everybody else's are.
        Assert.True((await _accounts.SetDomainAsync(Domains[c.RuledDomain], new(SenderMode: mode, HeaderFrom: headerFrom, Owned: owned), default)).IsOk);
        SenderIdentity identity = c.Identity switch
        {
            0 => new SenderIdentity(IdentityKind.Login, "info@shop.test", IPAddress.Loopback),
            1 => await _directory.IdentifyAsync(null, new PeerProcess(4711, 4711, 1), default),
            _ => new SenderIdentity(IdentityKind.Network, "192.0.2.0/24", IPAddress.Parse("192.0.2.9")),
        };
        if (!MailboxAddress.TryParse(c.ReversePath, out MailboxAddress? given, allowUnqualified: identity.IsLocal) && c.ReversePath.Length > 0)
            return;
        var envelope = new Envelope(new ReversePath(given), [new EnvelopeRecipient(new ForwardPath(MailboxAddress.Parse("to@dest.example")))], SmtpUtf8: true);
        HeaderSection header = HeaderSection.Parse(Encoding.UTF8.GetBytes((c.From.Length == 0 ? "" : $"From: {c.From}\r\n") + (c.Sender.Length == 0 ? "" : $"Sender: {c.Sender}\r\n") + "Subject: x\r\n"));
        MessageFacts facts = header.ToFacts(1, default);

        (AccountLookup lookup, Decision decision) = await _directory.DecideAsync(identity, envelope, facts, default);
        if (!decision.IsTaken || lookup.Account.Subscription == "rival") // A listed network speaks for the domain of its MAIL FROM.
            return;
        SenderAccount account = lookup.Account;
        var trace = new TraceField("c", IPAddress.Loopback, null, "relay.test", "ESMTP", null, QueueId.Create(DateTimeOffset.UnixEpoch, 1, 2), null, DateTimeOffset.UnixEpoch);
        HeaderSection written = HeaderSection.Parse(MessagePreparer.Prepare(header, decision, trace, static () => new byte[32]).Octets);
        MessageFacts left = written.ToFacts(1, default);

        // Never in the name of another subscription, and one author that everybody can read.
        Assert.Equal(1, left.FromFields);
        Assert.False(left.FromUnreadable);
        Assert.DoesNotContain(left.From, a => Named(a, "rival.test"));
        Assert.False(decision.ReversePath.Address is { } path && Named(path, "rival.test"));
        // What the modes promise.
        Assert.True(account.SenderMode == SenderMode.Trust || decision.ReversePath.Address is not { } leaves || account.Owns(leaves), $"{decision.ReversePath} leaves under {account.SenderMode}");
        bool isOurs = left.From is [var only] && only.Canonical == "mailer-daemon@relay.test";
        SenderAccount judge = (await _directory.LookUpAsync(identity, envelope.ReversePath, left.From, default)).Account;
        if (account.HeaderFromMode is HeaderFromMode.Rewrite or HeaderFromMode.Refuse)
            Assert.True(isOurs || judge.OwnsAll(left.From) || left.From.All(static a => a.Canonical.EndsWith("@relay.test", StringComparison.Ordinal)), $"{string.Join(", ", left.From.Select(a => a.Text))} under {account.HeaderFromMode}");
        // The key is that of the author as he leaves, and nobody's but the subscription's.
        Assert.All(decision.SigningKeys, key => Assert.True(Named(left.From[0], key.Domain.Value), $"{left.From[0]} signed by {key.Domain}"));
        Assert.Equal(judge.SigningDomain, account.SigningDomain);
        // What is decided bindingly is what was prepared.
        Assert.Equal(decision.HeaderFrom, RelayPolicy.Decide(account, lookup.Usage, envelope, facts).HeaderFrom);
    }

    private static bool Named(MailboxAddress address, string domain) =>
        address.Domain is { } of && (of.Value == domain || of.Value.EndsWith("." + domain, StringComparison.Ordinal));

    private static Gen<Case> Cases()
    {
        Gen<string> author = Gen.Elements([.. Senders, "Ann <x@elsewhere.example>", "\"root\" <root>", "info@shop.test, x@elsewhere.example", "x@elsewhere.example, x@second.test",
            "x@second.test, x@elsewhere.example", "x@rival.test <info@shop.test>", "Team: x@shop.test, x@second.test;"]);
        return
            from identity in Gen.Choose(0, 2)
            from mode in Gen.Choose(0, 2)
            from headerFrom in Gen.Choose(0, 3)
            from owned in Gen.Choose(0, 3)
            from ruled in Gen.Choose(0, 2)
            from reversePath in Gen.Elements(Senders)
            from address in author
            from sender in Gen.Elements("", "", "x@second.test", "x@rival.test", "info@shop.test")
            select new Case(identity, mode, headerFrom, owned, ruled, reversePath, address, sender);
    }
}
