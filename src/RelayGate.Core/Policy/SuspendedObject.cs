namespace RelayGate.Core.Policy;

/// <summary>Who is suspended: an object with limits, a credential or a system user.</summary>
/// <param name="Kind">plan, subscription, domain, mailbox, credential or uid.</param>
/// <param name="Name">As in <see cref="AccountKey"/>; name of the credential; name of the system user.</param>
public readonly record struct SuspendedObject(string Kind, string Name)
{
    public const string CredentialKind = "credential";
    public const string UidKind = "uid";

    public static SuspendedObject Of(AccountKey key) => new(key.Level.ToString().ToLowerInvariant(), key.Name);

    /// <summary>As people write it: <c>mailbox info@shop.test</c>, <c>credential shop-cron</c>.</summary>
    public override string ToString() => $"{Kind} {Name}";
}
