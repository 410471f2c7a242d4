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
        string? subscription = null;
        try
        {
            subscription = SubscriptionOf(new AccountWrite(db), stored);
        }
        catch (AdminException) when (onlySubscription is not null)
        {
            // As if it were another's.
        }
        return onlySubscription is null || subscription == onlySubscription
            ? new ReportTarget(stored, subscription, settings.EnforceLimits, settings.ReportPeriod)
            : throw AdminException.NotFound($"There is no {stored} in subscription {onlySubscription}");
    }, cancellationToken);
}

/// <summary>What a report must know of the object it is about.</summary>
/// <param name="Key">In its stored form.</param>
/// <param name="Subscription">That it is or is below; null for server and plans.</param>
/// <param name="Period">Reports:Period.</param>
public sealed record ReportTarget(AccountKey Key, string? Subscription, bool LimitsEnforced, ReportPeriod Period);
