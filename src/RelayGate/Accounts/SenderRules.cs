using RelayGate.Core.Policy;

namespace RelayGate.Accounts;

/// <summary>A value in force, and where it was set.</summary>
/// <param name="Origin"><c>own</c>, <c>subscription acme</c>, or the setting's name.</param>
public sealed record Ruled<T>(T Value, string Origin)
    where T : struct, Enum;

/// <summary>What is done with senders that do not belong to the identity, and which do. A domain's own value wins over its subscription's, and that over the settings'.</summary>
/// <param name="Sender">For the reverse-path.</param>
public sealed record SenderRules(Ruled<SenderMode> Sender, Ruled<HeaderFromMode> HeaderFrom, Ruled<OwnedAddresses> Owned)
{
    /// <param name="domain">The domain the message counts at, or null.</param>
    internal static SenderRules Of(EffectiveSettings settings, IdentityKind kind, SubscriptionRecord subscription, DomainRecord? domain)
    {
        (SenderMode mode, string setting) = settings.ModeFor(kind);
        string above = domain is null ? "own" : $"subscription {subscription.Name}";
        return new SenderRules(
            InForce(domain?.SenderMode, subscription.SenderMode, above, mode, setting),
            InForce(domain?.HeaderFrom, subscription.HeaderFrom, above, settings.HeaderFrom, "Sender:HeaderFrom"),
            InForce(domain?.Owned, subscription.Owned, above, settings.Owned, "Sender:Owned"));
    }

    private static Ruled<T> InForce<T>(T? domain, T? subscription, string above, T configured, string setting)
        where T : struct, Enum =>
        domain is { } own ? new Ruled<T>(own, "own") : subscription is { } inherited ? new Ruled<T>(inherited, above) : new Ruled<T>(configured, setting);
}
