namespace RelayGate.Accounts;

/// <summary>The tables of plans, subscriptions, domains, mailboxes, addresses, networks, limits and keys.</summary>
internal static class AccountSchema
{
    /// <summary>Runs once, when the store is created, after the tables of queue and records.</summary>
    public const string Ddl = "";
}
