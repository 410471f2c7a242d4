using System.Collections.Immutable;
using RelayGate.Core.Policy;

namespace RelayGate.Accounts;

/// <summary>What delivery asks of egress and routes at each attempt.</summary>
public sealed partial class AccountDirectory
{
    /// <summary>Where mail goes next. Never blocks.</summary>
    public RouteTable Routes => _routes;

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
