using System.Data.Common;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;

namespace RelayGate.Accounts;

/// <summary>Reads records by the cache, and by the store where a connection is given; notes when one was missing.</summary>
/// <param name="db">Null: from the cache only.</param>
internal ref struct AccountReader(AccountCache cache, DbConnection? db)
{
    private const int MaxLabels = 8;

    private static readonly Func<DbConnection, string, PlanRecord?> LoadPlan = AccountSql.Plan;
    private static readonly Func<DbConnection, string, SubscriptionRecord?> LoadSubscription = AccountSql.Subscription;
    private static readonly Func<DbConnection, string, DomainRecord?> LoadDomain = AccountSql.Domain;
    private static readonly Func<DbConnection, string, MailboxRecord?> LoadMailbox = AccountSql.Mailbox;
    private static readonly Func<DbConnection, string, CredentialRecord?> LoadCredential = CredentialSql.Credential;
    private static readonly Func<DbConnection, string, SystemUserRecord?> LoadSystemUser = AccountSql.SystemUser;
    private static readonly Func<DbConnection, string, ScriptBlocks?> LoadScriptBlocks = Accounts.ScriptBlocks.Read;
    private static readonly Func<DbConnection, string, AddressRecord?> LoadAddress = AccountSql.Address;
    private static readonly Func<DbConnection, string, DkimKeys?> LoadKeys = AccountSql.Keys;
    private static readonly Func<DbConnection, string, NetworkTable?> LoadNetworks = static (db, _) => AccountSql.Networks(db);
    private static readonly Func<DbConnection, string, ObjectLimits?>[] LoadLimits =
        [.. Enum.GetValues<Level>().Select(level => (Func<DbConnection, string, ObjectLimits?>)((db, name) => AccountSql.Limits(db, new AccountKey(level, name))))];

    /// <summary>A record was asked for that the cache does not know, and there was no connection: the answers are worth nothing.</summary>
    public bool IsIncomplete { get; private set; }

    public PlanRecord? Plan(string name) => Get(RecordKind.Plan, name, LoadPlan);

    public SubscriptionRecord? Subscription(string name) => Get(RecordKind.Subscription, name, LoadSubscription);

    public DomainRecord? Domain(string name) => Get(RecordKind.Domain, name, LoadDomain);

    public MailboxRecord? Mailbox(string address) => Get(RecordKind.Mailbox, address, LoadMailbox);

    public CredentialRecord? Credential(string name) => Get(RecordKind.Credential, name, LoadCredential);

    public ScriptBlocks? ScriptBlocks(int uid) => Get(RecordKind.ScriptBlocks, uid.ToString(), LoadScriptBlocks);

    public SystemUserRecord? SystemUser(int uid) => Get(RecordKind.SystemUser, uid.ToString(), LoadSystemUser);

    public AddressRecord? Address(string address) => Get(RecordKind.Address, address, LoadAddress);

    public DkimKeys? Keys(string domain) => Get(RecordKind.Keys, domain, LoadKeys);

    public NetworkTable? Networks() => Get(RecordKind.Networks, "", LoadNetworks);

    public ObjectLimits? Limits(AccountKey key) => Get(RecordKind.ServerLimits + (int)key.Level, key.Name, LoadLimits[(int)key.Level]);

    public EffectiveSettings? Settings()
    {
        AccountCache source = cache;
        return Get(RecordKind.Settings, "", (db, _) => EffectiveSettings.Of(source.Options, AccountSql.Settings(db)));
    }

    /// <summary>The hosted domain at or nearest above a name: a name below a hosted domain belongs to it, unless it is hosted itself.</summary>
    /// <param name="hostname">The server's own name is nobody's, unless it is hosted itself.</param>
    public DomainRecord? HostedAtOrAbove(Domain domain, string hostname)
    {
        if (Domain(domain.Value) is { } exact)
            return exact;
        if (string.Equals(domain.Value, hostname, StringComparison.OrdinalIgnoreCase))
            return null;
        // From the name with at most MaxLabels labels down to two: bounded, whatever the length of the name that was given.
        for (int labels = domain.Value.AsSpan().Count('.'), start = 0; labels >= 2; labels--)
        {
            start = domain.Value.IndexOf('.', start) + 1;
            if (labels <= MaxLabels && Domain(domain.Value[start..]) is { } parent)
                return parent;
        }
        return null;
    }

    private T? Get<T>(RecordKind kind, string name, Func<DbConnection, string, T?> load)
        where T : class
    {
        if (!cache.TryGet(db, kind, name, load, out T? record))
            IsIncomplete = true;
        return record;
    }
}
