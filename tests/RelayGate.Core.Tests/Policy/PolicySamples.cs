using System.Collections.Immutable;
using System.Net;
using RelayGate.Core.Mail;
using RelayGate.Core.Messages;
using RelayGate.Core.Policy;

namespace RelayGate.Core.Tests.Policy;

/// <summary>Senders, envelopes and usage that the tests of the policy begin with.</summary>
internal static class PolicySamples
{
    public static readonly DateTimeOffset Now = new(2026, 11, 23, 14, 2, 0, TimeSpan.Zero);

    public static readonly MailboxAddress Info = MailboxAddress.Parse("info@shop.test");

    public static AccountKey[] Keys { get; } =
    [
        AccountKey.Server, new(Level.Plan, "basic"), new(Level.Subscription, "shop"), new(Level.Domain, "shop.test"), new(Level.Mailbox, "info@shop.test"),
    ];

    /// <summary>A login of info@shop.test, without any limit.</summary>
    public static SenderAccount Login { get; } = new()
    {
        Identity = new SenderIdentity(IdentityKind.Login, "info@shop.test", IPAddress.Loopback),
        Subscription = "shop",
        Plan = "basic",
        Levels = [.. Keys.Select(key => new LevelLimit(key, LimitSet.Unlimited, "Limits:Defaults"))],
        SenderMode = SenderMode.Correct,
        Mailbox = Info,
        DefaultSender = Info,
        ReversePathOwner = DomainOwner.Own,
        MaxMessageOctets = 10_000,
        MaxRecipients = 1000,
    };

    /// <summary>A process of the subscription's system user; counted at server, plan and subscription.</summary>
    public static SenderAccount Uid { get; } = Login with
    {
        Identity = new SenderIdentity(IdentityKind.Uid, "shopuser", Process: new PeerProcess(1001, 1001, 7)),
        SenderMode = SenderMode.Trust,
        Mailbox = null,
        OwnedDomains = ["shop.test"],
        DefaultSender = MailboxAddress.Parse("shopuser@shop.test"),
        Levels = Login.Levels[..3],
    };

    public static MessageFacts Facts { get; } = new() { Octets = 2000, FromFields = 1, From = [Info] };

    public static SenderAccount Limited(SenderAccount account, Level level, string limits, OverLimitAction action = OverLimitAction.Refuse)
    {
        Assert.True(LimitSet.TryParse(limits, out LimitSet? set));
        int index = account.Levels.ToList().FindIndex(l => l.Key.Level == level);
        return account with { Levels = account.Levels.SetItem(index, account.Levels[index] with { Limits = set, Origin = "own", Action = action }) };
    }

    public static Envelope From(string reversePath, int recipients = 1) => new(
        reversePath.Length == 0 ? ReversePath.Null : new ReversePath(Address(reversePath)),
        [.. Enumerable.Range(0, recipients).Select(i => new EnvelopeRecipient(new ForwardPath(MailboxAddress.Parse($"to{i}@dest.test"))))]);

    /// <summary>A view in which each level has sent this many messages, one recipient each, a minute ago.</summary>
    public static UsageView Used(SenderAccount account, params int[] messages)
    {
        ImmutableArray<UsageRing> rings = [.. account.Levels.Select(_ => new UsageRing())];
        for (int level = 0; level < messages.Length; level++)
        {
            for (int i = 0; i < messages[level]; i++)
                rings[level].Add(1, Now.AddMinutes(-1));
        }
        return new UsageView(rings, Now);
    }

    private static MailboxAddress Address(string text)
    {
        Assert.True(MailboxAddress.TryParse(text, out MailboxAddress? address, allowUnqualified: true));
        return address;
    }
}
