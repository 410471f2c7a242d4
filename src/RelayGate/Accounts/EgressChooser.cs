using System.Net;
using RelayGate.Configuration;
using RelayGate.Core.Policy;

namespace RelayGate.Accounts;

/// <summary>Chooses from where mail leaves: the domain's pinned address, else the subscription's pair, else the server's (DESIGN §7). Fails closed.</summary>
internal static class EgressChooser
{
    /// <param name="domain">The sender's domain of this subscription, or null.</param>
    public static EgressChoice Choose(ref AccountReader reader, EffectiveSettings settings, SubscriptionRecord subscription, DomainRecord? domain) =>
        Addresses(ref reader, settings, subscription, domain) with { IPv6OffBy = IPv6OffBy(settings, subscription) };

    /// <summary>From where mail leaves that is nobody's but the server's.</summary>
    public static EgressChoice OfServer(ref AccountReader reader, EffectiveSettings settings) =>
        OfServer(settings, Server(ref reader, settings, settings.IPv4, ""), Server(ref reader, settings, settings.IPv6, "")) with
        {
            IPv6OffBy = settings.IPv6Enabled ? null : "server",
        };

    /// <summary>An address of a subscription's, a shared one or the server's own, by hand; null: it is not for this subscription's mail.</summary>
    public static EgressAddress? ByHand(ref AccountReader reader, EffectiveSettings settings, IPAddress address, string subscription, DomainRecord? domain) =>
        Own(ref reader, settings, address.ToString(), subscription, domain)
            ?? (address.Equals(settings.IPv4) || address.Equals(settings.IPv6) ? Server(ref reader, settings, address, subscription) : null);

    /// <summary>Whether a subscription's mail leaves by IPv6: its own switch, else the server's.</summary>
    /// <param name="subscription">Null: mail of the server itself.</param>
    /// <returns>Who has switched it off: <c>server</c> or <c>subscription</c>; null: it is on.</returns>
    public static string? IPv6OffBy(EffectiveSettings settings, SubscriptionRecord? subscription) => subscription?.IPv6Egress switch
    {
        true => null,
        false => "subscription",
        null => settings.IPv6Enabled ? null : "server",
    };

    private static EgressChoice Addresses(ref AccountReader reader, EffectiveSettings settings, SubscriptionRecord subscription, DomainRecord? domain)
    {
        EgressAddress? server4 = Server(ref reader, settings, settings.IPv4, subscription.Name);
        EgressAddress? server6 = Server(ref reader, settings, settings.IPv6, subscription.Name);
        if (settings.Mode == EgressMode.Explicit)
            return OfServer(settings, server4, server6);
        EgressAddress? own4 = Own(ref reader, settings, domain?.IPv4 ?? subscription.IPv4, subscription.Name, domain);
        EgressAddress? own6 = Own(ref reader, settings, domain?.IPv6 ?? subscription.IPv6, subscription.Name, domain);
        bool hasPin = (domain?.IPv4 ?? domain?.IPv6) is not null;
        if (!hasPin && subscription.IPv4 is null && subscription.IPv6 is null)
        {
            return settings.NoAddress == MissingFamilyMode.Server
                ? OfServer(settings, server4, server6)
                : new EgressChoice(null, null, settings.Hostname, "no-address");
        }
        string why = hasPin ? "domain-address" : "subscription-address";
        return settings.MissingFamily == MissingFamilyMode.Server
            ? Filled(settings, own4 ?? server4, own6 ?? server6, why)
            : new EgressChoice(own4, own6, settings.Hostname, why);
    }

    private static EgressChoice OfServer(EffectiveSettings settings, EgressAddress? server4, EgressAddress? server6) =>
        settings.MissingFamily == MissingFamilyMode.Server || (settings.IPv4 is null && settings.IPv6 is null)
            ? Filled(settings, server4, server6, "server-address")
            : new EgressChoice(server4, server6, settings.Hostname, "server-address");

    /// <summary>Lets the system choose where an address is missing and the server has none configured; not where it has one that is another's now.</summary>
    private static EgressChoice Filled(EffectiveSettings settings, EgressAddress? ipv4, EgressAddress? ipv6, string why)
    {
        bool isWithheld = (ipv4 is null && settings.IPv4 is not null) || (ipv6 is null && settings.IPv6 is not null);
        return new EgressChoice(ipv4, ipv6, settings.Hostname, why, IsSystemDefault: (ipv4 is null || ipv6 is null) && !isWithheld);
    }

    /// <summary>Null when the address was given to another subscription: its mail alone leaves from there. Null, too, while it is drained.</summary>
    private static EgressAddress? Server(ref AccountReader reader, EffectiveSettings settings, IPAddress? address, string subscription)
    {
        if (address is null)
            return null;
        AddressRecord? record = reader.Address(address.ToString());
        return (record?.Owner is { } owner && owner != subscription) || record?.DrainingSince is not null ? null : new EgressAddress(address, record?.Helo ?? settings.Hostname);
    }

    /// <summary>Null when the address is not, or no longer, the subscription's to use, or is drained. It greets with its own name, or (Egress:Greeting) with the domain's.</summary>
    private static EgressAddress? Own(ref AccountReader reader, EffectiveSettings settings, string? address, string subscription, DomainRecord? domain)
    {
        if (address is null || reader.Address(address) is not { } record || !(record.IsShared || record.Owner == subscription) || record.DrainingSince is not null)
            return null;
        string helo = settings.Greeting == EgressGreeting.Domain && domain is not null ? domain.Name : record.Helo ?? settings.Hostname;
        return new EgressAddress(record.Address, helo);
    }
}
