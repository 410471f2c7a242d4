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
        OfServer(settings, Server(ref reader, settings, settings.IPv4, "")?.Address, Server(ref reader, settings, settings.IPv6, "")?.Address) with
        {
            IPv6OffBy = settings.IPv6Enabled ? null : "server",
        };

    /// <summary>An address of a subscription's, a shared one or the server's own, by hand; null: it is not for this subscription's mail, or is drained.</summary>
    public static EgressAddress? ByHand(ref AccountReader reader, EffectiveSettings settings, IPAddress address, string subscription, DomainRecord? domain)
    {
        Candidate? known = Own(ref reader, settings, address.ToString(), subscription, domain)
            ?? (address.Equals(settings.IPv4) || address.Equals(settings.IPv6) ? Server(ref reader, settings, address, subscription) : null);
        return known is { IsDraining: false } ? known.Value.Address : null;
    }

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
        Candidate? server4 = Server(ref reader, settings, settings.IPv4, subscription.Name);
        Candidate? server6 = Server(ref reader, settings, settings.IPv6, subscription.Name);
        if (settings.Mode == EgressMode.Explicit)
            return OfServer(settings, server4?.Address, server6?.Address);
        bool hasPin = (domain?.IPv4 ?? domain?.IPv6) is not null;
        if (!hasPin && subscription.IPv4 is null && subscription.IPv6 is null)
        {
            return settings.NoAddress == MissingFamilyMode.Server
                ? OfServer(settings, server4?.Address, server6?.Address)
                : new EgressChoice(null, null, settings.Hostname, "no-address");
        }
        Candidate? own4 = Own(ref reader, settings, domain?.IPv4, subscription.IPv4, subscription.Name, domain);
        Candidate? own6 = Own(ref reader, settings, domain?.IPv6, subscription.IPv6, subscription.Name, domain);
        string why = hasPin ? "domain-address" : "subscription-address";
        return settings.MissingFamily == MissingFamilyMode.Server
            ? Filled(settings, Better(own4, server4), Better(own6, server6), why)
            : new EgressChoice(own4?.Address, own6?.Address, settings.Hostname, why);
    }

    private static EgressChoice OfServer(EffectiveSettings settings, EgressAddress? server4, EgressAddress? server6) =>
        settings.SystemMayChoose
            ? Filled(settings, server4, server6, "server-address")
            : new EgressChoice(server4, server6, settings.Hostname, "server-address");

    /// <summary>Lets the system choose where an address is missing and the server has none configured; not where it has one that is another's now.</summary>
    private static EgressChoice Filled(EffectiveSettings settings, EgressAddress? ipv4, EgressAddress? ipv6, string why)
    {
        bool isWithheld = (ipv4 is null && settings.IPv4 is not null) || (ipv6 is null && settings.IPv6 is not null);
        return new EgressChoice(ipv4, ipv6, settings.Hostname, why, IsSystemDefault: (ipv4 is null || ipv6 is null) && !isWithheld);
    }

    /// <summary>The first, unless it is missing or drained and the second is better: a drained address is chosen where there is no other of its family.</summary>
    private static EgressAddress? Better(Candidate? first, Candidate? second) => (first is null or { IsDraining: true } && second is { IsDraining: false } ? second : first ?? second)?.Address;

    /// <summary>Null when the address was given to another subscription: its mail alone leaves from there.</summary>
    private static Candidate? Server(ref AccountReader reader, EffectiveSettings settings, IPAddress? address, string subscription)
    {
        if (address is null)
            return null;
        AddressRecord? record = reader.Address(address.ToString());
        return record?.Owner is { } owner && owner != subscription
            ? null
            : new Candidate(new EgressAddress(address, record?.Helo ?? settings.Hostname), record?.DrainingSince is not null);
    }

    /// <summary>The domain's address, else the subscription's; the subscription's, too, while the domain's is drained.</summary>
    private static Candidate? Own(ref AccountReader reader, EffectiveSettings settings, string? pinned, string? common, string subscription, DomainRecord? domain)
    {
        Candidate? first = Own(ref reader, settings, pinned ?? common, subscription, domain);
        return pinned is not null && first is { IsDraining: true } && Own(ref reader, settings, common, subscription, domain) is { IsDraining: false } other ? other : first;
    }

    /// <summary>Null when the address is not, or no longer, the subscription's to use. It greets with its own name, or (Egress:Greeting) with the domain's.</summary>
    private static Candidate? Own(ref AccountReader reader, EffectiveSettings settings, string? address, string subscription, DomainRecord? domain)
    {
        if (address is null || reader.Address(address) is not { } record || !(record.IsShared || record.Owner == subscription))
            return null;
        string helo = settings.Greeting == EgressGreeting.Domain && domain is not null ? domain.Name : record.Helo ?? settings.Hostname;
        return new Candidate(new EgressAddress(record.Address, helo), record.DrainingSince is not null);
    }

    private readonly record struct Candidate(EgressAddress Address, bool IsDraining);
}
