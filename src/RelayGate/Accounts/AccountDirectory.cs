using System.Collections.Immutable;
using System.Data.Common;
using System.Net;
using System.Runtime.CompilerServices;
using System.Text;
using RelayGate.Configuration;
using RelayGate.Core.Mail;
using RelayGate.Core.Messages;
using RelayGate.Core.Policy;
using RelayGate.Queue;
using RelayGate.Storage;

namespace RelayGate.Accounts;

/// <summary>Answers "who is this and what may it do" from a bounded cache of immutable records over the store.</summary>
public sealed partial class AccountDirectory : IDisposable
{
    private const int CachedRecords = 200_000;
    private const int CachedSenders = 20_000;
    private const int MaxComposeTries = 3;
    private const int CachedUsers = 1000;
    private static readonly TimeSpan UserCacheTime = TimeSpan.FromSeconds(10);

    /// <summary>No version is ever this: what is stamped with it is prepared again.</summary>
    private static readonly AccountVersion Unsettled = new(-1, -1);

    private readonly SqliteRelayStore _store;
    private readonly UsageTable _usage;
    private readonly TimeProvider _time;
    private readonly AccountCache _cache;
    private readonly PasswordChecker _passwords;
    private readonly BoundedCache<SenderQuestion, CachedSender> _senders = new(CachedSenders);
    private readonly BoundedCache<int, CachedUser> _users = new(CachedUsers);

    public AccountDirectory(SqliteRelayStore store, UsageTable usage, RelayGateOptions options, TimeProvider time)
    {
        _store = store;
        _usage = usage;
        _time = time;
        _cache = new AccountCache(options, CachedRecords);
        _passwords = new PasswordChecker(time);
        Uses = new IdentityUses(time);
        (_suspended, _salt, _routes) = ReadState(store, options);
    }

    private volatile Suspensions _suspended;
    private volatile RouteTable _routes;

    private sealed record CachedSender(SenderAccount Account, AccountKey[] Keys, AccountStamp Stamp);

    private sealed record CachedUser(string? Name, long Since);

    /// <summary>Accounts were suspended or resumed: queued mail may have to go on. Raised on the writer's thread after the commit.</summary>
    public event Action? SuspensionChanged;

    /// <summary>Accounts, limits or settings have changed: of these subscriptions, or (null) of everybody. Raised on the writer's thread after the commit.</summary>
    public event Action<IReadOnlyCollection<string>?>? Changed;

    /// <summary>Somebody was suspended or resumed by hand. Raised on the writer's thread after the commit; must not block.</summary>
    public event Action<SuspensionNews>? SuspensionTold;

    internal AccountCache Cache => _cache;

    /// <summary>Password hashes computed so far.</summary>
    internal long PasswordHashes => _passwords.Hashes;

    /// <summary>The identity of a client that did not log in: its uid, a listed network, or none.</summary>
    public async ValueTask<SenderIdentity> IdentifyAsync(IPAddress? client, PeerProcess? process, CancellationToken cancellationToken)
    {
        if (process is not null)
            return new SenderIdentity(IdentityKind.Uid, UserName(process.Uid) ?? $"#{process.Uid}", client, process);
        if (client is null)
            return SenderIdentity.Anonymous(client);
        var reader = new AccountReader(_cache, null);
        NetworkTable? networks = reader.Networks();
        if (reader.IsIncomplete)
            networks = await _store.ReadAsync(db => new AccountReader(_cache, db).Networks(), cancellationToken);
        return networks?.Find(client) is { } network
            ? new SenderIdentity(IdentityKind.Network, network.Network.ToString(), client)
            : SenderIdentity.Anonymous(client);
    }

    /// <summary>The subscription whose own system user this is; null for a stranger, and for a uid that many sites share, which speaks for none.</summary>
    internal async ValueTask<SubscriptionRecord?> SubscriptionOfUserAsync(int uid, CancellationToken cancellationToken)
    {
        SenderIdentity identity = await IdentifyAsync(null, new PeerProcess(uid), cancellationToken);
        return await _store.ReadAsync(db =>
        {
            var reader = new AccountReader(_cache, db);
            return SenderComposer.UserOf(ref reader, identity) is { IsShared: false } user ? reader.Subscription(user.Subscription) : null;
        }, cancellationToken);
    }

    /// <summary>Looks up all that the policy must know, with the last known usage for the early decision.</summary>
    /// <param name="from">All addresses of the header From: default while it is not known, empty when there is none.</param>
    public ValueTask<AccountLookup> LookUpAsync(
        SenderIdentity identity, ReversePath reversePath, ImmutableArray<MailboxAddress> from, CancellationToken cancellationToken) =>
        LookUpAsync(identity, reversePath, from, [], cancellationToken);

    /// <summary>Looks a message's sender up and decides by the last known usage. The From that is going to be written counts and signs like any other.</summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public async ValueTask<(AccountLookup Lookup, Decision Decision)> DecideAsync(
        SenderIdentity identity, Envelope envelope, MessageFacts facts, CancellationToken cancellationToken)
    {
        ImmutableArray<MailboxAddress> others = facts.Sender.AddRange(facts.ResentBy);
        AccountLookup lookup = await LookUpAsync(identity, envelope.ReversePath, facts.From, others, cancellationToken);
        Decision decision = RelayPolicy.Decide(lookup.Account, lookup.Usage, envelope, facts);
        if (!decision.IsTaken || MessagePreparer.WrittenAuthor(facts, decision) is not { } author)
            return (lookup, decision);
        lookup = await LookUpAsync(identity, envelope.ReversePath, [author], others, cancellationToken);
        return (lookup, RelayPolicy.Decide(lookup.Account, lookup.Usage, envelope, facts with { Class = decision.Class }));
    }

    /// <param name="others">Further addresses that the policy will ask the owner of.</param>
    private ValueTask<AccountLookup> LookUpAsync(
        SenderIdentity identity, ReversePath reversePath, ImmutableArray<MailboxAddress> from, ImmutableArray<MailboxAddress> others, CancellationToken cancellationToken)
    {
        SenderQuestion question = SenderQuestion.Of(identity, reversePath, from);
        bool isSimple = question.Covers(from) && question.Covers(others);
        if (!_senders.TryGet(question, out CachedSender cached) || cached.Stamp != _cache.StampOf(cached.Account.Subscription) || !isSimple || HasEnded(cached.Account))
            return LookUpSlowlyAsync(question, identity, reversePath, from, others, isSimple, cancellationToken);
        SenderAccount account = ReferenceEquals(cached.Account.Identity, identity) ? cached.Account : cached.Account with { Identity = identity };
        ValueTask<UsageView> usage = _usage.SnapshotAsync(cached.Keys, cancellationToken);
        return usage.IsCompletedSuccessfully
            ? ValueTask.FromResult(new AccountLookup(account, usage.Result))
            : WithUsageAsync(account, usage);
    }

    /// <summary>Whether nothing has changed since an account was looked up, so that it need not be again.</summary>
    public bool IsCurrent(SenderAccount account) => account.Version == _cache.VersionOf(account.Subscription) && !HasEnded(account);

    private bool HasEnded(SenderAccount account) => account.Until is { } until && until <= _time.GetUtcNow();

    /// <summary>The current version for a subscription; a prepared message with another one is prepared again.</summary>
    public AccountVersion VersionOf(string? subscription) => _cache.VersionOf(subscription);

    /// <summary>Where mail to a user of this machine goes (an unqualified recipient): the contact of the subscription that owns the user, else Postmaster, else null.</summary>
    public async ValueTask<MailboxAddress?> LocalContactAsync(string user, CancellationToken cancellationToken)
    {
        string? contact = await _store.ReadAsync(db => AccountSql.ContactOfUser(db, user), cancellationToken);
        return MailboxAddress.TryParse(contact ?? _cache.Options.Postmaster, out MailboxAddress? address) ? address : null;
    }

    /// <summary>What would be decided of a message now, by the same look-up and the same rules; nothing is counted or recorded.</summary>
    /// <param name="from">What stands in the From field, in one line; null: the same as in the reverse-path.</param>
    public async ValueTask<(SenderAccount Account, Decision Decision, Unsigned? Unsigned)> ExplainAsync(
        SenderIdentity identity, Envelope envelope, string? from, CancellationToken cancellationToken)
    {
        from ??= envelope.ReversePath.Text;
        MessageFacts facts = from.Length == 0
            ? new MessageFacts { FromFields = 1 }
            : HeaderSection.Parse(Encoding.UTF8.GetBytes($"From: {from}\r\n")).ToFacts(0, default);
        facts = facts with { HasDate = true, HasMessageId = true, Octets = envelope.DeclaredOctets ?? 0 };
        (AccountLookup lookup, Decision decision) = await DecideAsync(identity, envelope, facts, cancellationToken);
        Unsigned? unsigned = decision.IsTaken ? Unsigned.Of(lookup.Account, MessagePreparer.AuthorOf(facts, decision)) : null;
        return (lookup.Account, decision, unsigned);
    }

    /// <summary>Whose queued mail waits. Never blocks.</summary>
    public Suspensions Suspended => _suspended;

    /// <summary>Whether mail of a subscription may leave from an address: not from one that was given to another.</summary>
    public async ValueTask<bool> MayLeaveFromAsync(string subscription, IPAddress local, CancellationToken cancellationToken)
    {
        string name = (local.IsIPv4MappedToIPv6 ? local.MapToIPv4() : local).ToString();
        var reader = new AccountReader(_cache, null);
        AddressRecord? address = reader.Address(name);
        if (reader.IsIncomplete)
            address = await _store.ReadAsync(db => new AccountReader(_cache, db).Address(name), cancellationToken);
        return address?.Owner is null || address.Owner == subscription;
    }

    /// <summary>Forgets what was read from a store that has been opened again.</summary>
    public void Forget()
    {
        _cache.Reset();
        (_suspended, _, _routes) = ReadState(_store, _cache.Options);
    }

    public void Dispose() => _passwords.Dispose();

    /// <summary>Makes a committed change seen. On the writer's thread, before the next batch.</summary>
    internal void Apply(AccountChange change)
    {
        _cache.Apply(change);
        if (change.Suspended is { } suspended)
        {
            _suspended = suspended;
            SuspensionChanged?.Invoke();
        }
        if (change.Routes is { } routes)
            _routes = routes;
        if (change.Suspension is { } news)
            SuspensionTold?.Invoke(news);
        foreach ((RecordKind kind, string name) in change.Records)
        {
            if (kind is RecordKind.Mailbox or RecordKind.Credential)
                _passwords.Forget(name);
        }
        Changed?.Invoke(change.IsShared ? null : change.Subscriptions);
    }

    private async ValueTask<AccountLookup> LookUpSlowlyAsync(
        SenderQuestion question, SenderIdentity identity, ReversePath reversePath, ImmutableArray<MailboxAddress> from, ImmutableArray<MailboxAddress> others,
        bool isSimple, CancellationToken cancellationToken)
    {
        SenderAccount? account = null;
        for (int i = 0; i < MaxComposeTries; i++)
        {
            long changes = _cache.Changes;
            account = Compose(null, identity, reversePath, from, others)
                ?? await _store.ReadAsync(db => Compose(db, identity, reversePath, from, others)!, cancellationToken);
            SenderAccount composed = account;
            bool kept = _cache.TryKeep(changes, () =>
            {
                AccountStamp stamp = _cache.StampOf(composed.Subscription);
                composed = composed with { Version = stamp.Version };
                if (isSimple)
                    _senders.Add(question, new CachedSender(composed, KeysOf(composed), stamp), _senders.StampOf(question));
            });
            if (kept)
                return await WithUsageAsync(composed, _usage.SnapshotAsync(KeysOf(composed), cancellationToken));
        }
        return await WithUsageAsync(account! with { Version = Unsettled }, _usage.SnapshotAsync(KeysOf(account), cancellationToken));
    }

    private SenderAccount? Compose(
        DbConnection? db, SenderIdentity identity, ReversePath reversePath, ImmutableArray<MailboxAddress> from, ImmutableArray<MailboxAddress> others)
    {
        var reader = new AccountReader(_cache, db);
        SenderAccount account = SenderComposer.Compose(ref reader, identity, reversePath, from, others, _time.GetUtcNow());
        return reader.IsIncomplete ? null : account;
    }

    private static (Suspensions Suspended, byte[] Salt, RouteTable Routes) ReadState(SqliteRelayStore store, RelayGateOptions options)
    {
        using StoreConnection connection = store.OpenReadConnection();
        DbConnection db = connection.Connection;
        return (AccountSql.Suspensions(db), CredentialSql.Salt(db), RouteSql.Table(db, options.Delivery.ConfiguredNextHop));
    }

    private static AccountKey[] KeysOf(SenderAccount account) => [.. account.Levels.Select(static level => level.Key)];

    private static async ValueTask<AccountLookup> WithUsageAsync(SenderAccount account, ValueTask<UsageView> usage) => new(account, await usage);

    /// <summary>Asks the system at most every ten seconds for one uid: PHP opens a connection for each mail.</summary>
    internal string? UserName(int uid)
    {
        if (_users.TryGet(uid, out CachedUser cached) && _time.GetElapsedTime(cached.Since) < UserCacheTime)
            return cached.Name;
        string? name = SystemUserDatabase.TryFind(uid, out SystemUserEntry? entry) ? entry.Name : null;
        _users.Add(uid, new CachedUser(name, _time.GetTimestamp()), _users.StampOf(uid));
        return name;
    }
}

/// <param name="Usage">Copies of the last known usage, for the early decision only.</param>
public sealed record AccountLookup(SenderAccount Account, UsageView Usage);
