using RelayGate.Core.Policy;
using RelayGate.Core.Reports;

namespace RelayGate.Accounts;

public sealed partial class AccountAdministration
{
    /// <summary>What a report must know of the object it is about.</summary>
    /// <param name="key">Null: the server, or where only one subscription may be looked at, that.</param>
    /// <param name="onlySubscription">Objects of others are not found; null: all are.</param>
    public Task<AdminResult<ReportTarget>> FindReportTargetAsync(AccountKey? key, string? onlySubscription, CancellationToken cancellationToken) => ReadAsync(db =>
    {
        EffectiveSettings settings = Settings(db);
        AccountKey stored = key is { } given ? AccountNames.Key(given) : onlySubscription is null ? AccountKey.Server : new AccountKey(Level.Subscription, onlySubscription);
        string? subscription = VisibleOwner(db, stored, onlySubscription);
        SubscriptionRecord? owner = subscription is null ? null : AccountSql.Subscription(db, subscription);
        return new ReportTarget(stored, owner?.Contact, owner is null ? default : NextHour(owner.Since), settings.EnforceLimits, settings.ReportPeriod);
    }, cancellationToken);

    /// <summary>The hour in which another subscription may still have had the name is not this one's.</summary>
    private static DateTimeOffset NextHour(DateTimeOffset since) => since.ToUnixTimeMilliseconds() <= 0 ? default : ReportPeriods.EndOfHour(since);
}

/// <summary>What a report must know of the object it is about.</summary>
/// <param name="Key">In its stored form.</param>
/// <param name="Contact">Of the subscription that it is or is below, or null.</param>
/// <param name="Since">The first whole hour of that subscription: what was before is none of its owner's business.</param>
/// <param name="Period">Reports:Period.</param>
public sealed record ReportTarget(AccountKey Key, string? Contact, DateTimeOffset Since, bool LimitsEnforced, ReportPeriod Period);
