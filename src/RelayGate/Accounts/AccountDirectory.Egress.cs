using System.Collections.Immutable;
using System.Net;
using System.Net.Sockets;
using RelayGate.Core.Policy;
using RelayGate.Storage;

namespace RelayGate.Accounts;

/// <summary>What delivery asks of egress and routes at each attempt.</summary>
public sealed partial class AccountDirectory
{
    /// <summary>Where mail goes next. Never blocks.</summary>
    public RouteTable Routes => _routes;

    /// <summary>The subscription that an address is exclusive to; null: none.</summary>
    public async Task<string?> OwnerOfAsync(IPAddress address, CancellationToken cancellationToken)
    {
        string name = address.ToString();
        return (await _store.ReadAsync(db => new AccountReader(_cache, db).Address(name), cancellationToken))?.Owner;
    }

    /// <summary>The server's own address of a family, as it is set now; null: none.</summary>
    public async ValueTask<IPAddress?> ServerAddressAsync(AddressFamily family, CancellationToken cancellationToken)
    {
        EffectiveSettings settings = new AccountReader(_cache, null).Settings() ?? await _store.ReadAsync(db => new AccountReader(_cache, db).Settings()!, cancellationToken);
        return family == AddressFamily.InterNetwork ? settings.IPv4 : settings.IPv6;
    }

    /// <summary>Who has switched IPv6 off for mail of a subscription, as it is told; null: it is on.</summary>
    public async ValueTask<string?> IPv6OffByAsync(string subscription, CancellationToken cancellationToken)
    {
        var reader = new AccountReader(_cache, null);
        string? off = IPv6OffBy(ref reader, subscription);
        if (!reader.IsIncomplete)
            return off;
        return await _store.ReadAsync(
            db =>
            {
                var full = new AccountReader(_cache, db);
                return IPv6OffBy(ref full, subscription);
            },
            cancellationToken);
    }

    /// <summary>From where mail of a subscription would leave that is accepted now.</summary>
    /// <param name="subscription">"": mail of the server itself.</param>
    /// <param name="domain">The sender's; one that is not the subscription's counts as none.</param>
    public async ValueTask<EgressChoice> EgressOfAsync(string subscription, string? domain, CancellationToken cancellationToken) => await _store.ReadAsync(
        db =>
        {
            var reader = new AccountReader(_cache, db);
            EffectiveSettings settings = reader.Settings()!;
            return reader.Subscription(subscription) is { } known
                ? EgressChooser.Choose(ref reader, settings, known, DomainOf(ref reader, subscription, domain))
                : EgressChooser.OfServer(ref reader, settings);
        },
        cancellationToken);

    /// <summary>Who chooses an address for new mail, for people: those who have no other of its family choose it also while it is drained. At most 100.</summary>
    public async Task<IReadOnlyList<string>> WhoChoosesAsync(IPAddress address, CancellationToken cancellationToken) => await _store.ReadAsync<IReadOnlyList<string>>(
        db =>
        {
            const string Users = """
                select name, null from subscription where ipv4 = $1 or ipv6 = $1
                union all select subscription, name from domain where ipv4 = $1 or ipv6 = $1 order by 1, 2 limit 100
                """;
            var reader = new AccountReader(_cache, db);
            EffectiveSettings settings = reader.Settings()!;
            List<string> found = Has(EgressChooser.OfServer(ref reader, settings)) ? ["the server"] : [];
            foreach ((string name, string? domain) in db.All(Users, static row => (row.GetString(0), row.TextOrNull(1)), address.ToString()))
            {
                if (reader.Subscription(name) is { } known && Has(EgressChooser.Choose(ref reader, settings, known, DomainOf(ref reader, name, domain))))
                    found.Add(domain is null ? $"subscription {name}" : $"domain {domain}");
            }
            return found;
            bool Has(EgressChoice choice) => address.Equals(choice.IPv4?.Address) || address.Equals(choice.IPv6?.Address);
        },
        cancellationToken);

    /// <summary>From where queued mail of a subscription is to leave from now on, by the order of an administrator.</summary>
    /// <param name="to">Addresses in place of those it would have now, one of each family at most; empty: none.</param>
    /// <returns>Null: one of them is neither its own, nor shared, nor the server's.</returns>
    public async ValueTask<EgressChoice?> RebindAsync(string subscription, string? domain, ImmutableArray<IPAddress> to, CancellationToken cancellationToken)
    {
        EgressChoice choice = await EgressOfAsync(subscription, domain, cancellationToken);
        if (to.IsEmpty)
            return choice;
        return await _store.ReadAsync(
            db =>
            {
                var reader = new AccountReader(_cache, db);
                EgressChoice chosen = choice with { Why = "by-hand" };
                foreach (IPAddress address in to)
                {
                    if (EgressChooser.ByHand(ref reader, reader.Settings()!, address, subscription, DomainOf(ref reader, subscription, domain)) is not { } own)
                        return null;
                    chosen = address.AddressFamily == AddressFamily.InterNetwork ? chosen with { IPv4 = own } : chosen with { IPv6 = own };
                }
                return chosen;
            },
            cancellationToken);
    }

    private static DomainRecord? DomainOf(ref AccountReader reader, string subscription, string? domain) =>
        domain is not null && reader.Domain(domain) is { } known && known.Subscription == subscription ? known : null;

    private static string? IPv6OffBy(ref AccountReader reader, string subscription)
    {
        EffectiveSettings? settings = reader.Settings();
        SubscriptionRecord? record = reader.Subscription(subscription);
        return settings is null ? null : EgressChooser.IPv6OffBy(settings, record) switch
        {
            null => null,
            "server" => "this server (Egress:IPv6Enabled)",
            _ => $"subscription {subscription}",
        };
    }
}
