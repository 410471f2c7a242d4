using System.Data.Common;
using RelayGate.Core.Policy;

namespace RelayGate.Accounts;

/// <summary>One credential (application password) as it is stored.</summary>
/// <param name="Of">The mailbox, domain or subscription it sends for.</param>
/// <param name="Password">SCRAM-SHA-256 record.</param>
/// <param name="PasswordAt">When the password was set, in milliseconds: names this password among all that the credential had.</param>
/// <param name="Previous">The password before, while it is still valid.</param>
internal sealed record CredentialRecord(
    string Name, AccountKey Of, DateTimeOffset CreatedAt, bool IsSuspended, string Password, long PasswordAt, PreviousPassword? Previous)
{
    /// <summary>Whether a password that was set at this time is still one of the credential's.</summary>
    public bool Has(long passwordAt, DateTimeOffset now) => passwordAt == PasswordAt || (PreviousOf(passwordAt) is { } previous && now < previous.Until);

    /// <summary>The password that was replaced, if it was set at this time.</summary>
    public PreviousPassword? PreviousOf(long passwordAt) => Previous is { } previous && passwordAt == previous.At ? previous : null;
}

/// <summary>A password that was replaced with a grace.</summary>
/// <param name="Until">It is good for nothing from then on, in open sessions neither.</param>
internal sealed record PreviousPassword(string Record, long At, DateTimeOffset Until);

/// <summary>When and how an identity was used last.</summary>
/// <param name="Uses">Logins, or mail transactions of a system user.</param>
/// <param name="Failures">Wrong passwords.</param>
/// <param name="Addresses">The last ones, of IPv6 the networks (/64), newest first, at most <see cref="IdentityUses.MaxAddresses"/>.</param>
public sealed record IdentityUse(long Uses, long Failures, DateTimeOffset? LastUse, DateTimeOffset? LastFailure, IReadOnlyList<string> Addresses)
{
    public static IdentityUse None { get; } = new(0, 0, null, null, []);
}

/// <summary>Reads credentials, and when identities were used.</summary>
internal static class CredentialSql
{
    public const string Select =
        "select name, level, object, created_at, suspended, password, password_at, previous, previous_at, previous_until from credential";

    public static CredentialRecord? Credential(DbConnection db, string name) => db.First(Select + " where name = $1", Read, name);

    public static IdentityUse UseOf(DbConnection db, string kind, string name) => db.First(
        "select uses, failures, last_use, last_failure, addresses from identity_use where kind = $1 and name = $2",
        static row => new IdentityUse(
            row.GetInt64(0), row.GetInt64(1), Time(row, 2), Time(row, 3), row.GetString(4).Split('\n', StringSplitOptions.RemoveEmptyEntries)),
        kind, name) ?? IdentityUse.None;

    public static byte[] Salt(DbConnection db) => db.First("select value from secret where name = 'salt'", static row => (byte[])row[0])!;

    public static CredentialRecord Read(DbDataReader row) => new(
        row.GetString(0), new AccountKey((Level)row.GetInt32(1), row.GetString(2)), Time(row, 3)!.Value, row.Flag(4), row.GetString(5), row.GetInt64(6),
        row.IsDBNull(7) ? null : new PreviousPassword(row.GetString(7), row.GetInt64(8), Time(row, 9)!.Value));

    private static DateTimeOffset? Time(DbDataReader row, int column) => row.IsDBNull(column) ? null : DateTimeOffset.FromUnixTimeMilliseconds(row.GetInt64(column));
}
