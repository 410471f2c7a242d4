using RelayGate.Storage;

namespace RelayGate.Accounts;

public sealed partial class AccountAdministration
{
    /// <summary>What was changed by hand, newest first.</summary>
    /// <param name="target">An object as the list names it (<c>mailbox info@shop.test</c>); null: all of them.</param>
    /// <param name="onlySubscription">What its own user may see; null: everything.</param>
    /// <param name="after">Number of the row after which to go on, or null.</param>
    public async Task<AdminResult<Page<AuditEntry>>> ListAuditAsync(
        string? target, string? onlySubscription, DateTimeOffset since, string? after, int count, CancellationToken cancellationToken)
    {
        long number = long.MaxValue;
        if (after is not null && !long.TryParse(after, out number))
            return new AdminResult<Page<AuditEntry>>(null, new AdminError(AdminErrorKind.Invalid, "the cursor is not one that a page gave"));
        return await ListAsync(
            count,
            (db, rows) => AuditRows.Read(db, target, onlySubscription, since, number, rows),
            static entry => entry.Number.ToString(),
            cancellationToken);
    }
}
