using System.Data.Common;
using RelayGate.Core.Policy;
using RelayGate.Queue;
using RelayGate.Storage;

namespace RelayGate.Accounts;

/// <summary>Adds, changes, lists and removes accounts. Changes go through the writer and are seen by the directory with their commit.</summary>
/// <remarks>
/// The file for each kind of object: <c>.Plans</c>, <c>.Subscriptions</c>, <c>.Domains</c>, <c>.Mailboxes</c>, <c>.Addresses</c>, <c>.Networks</c>,
/// <c>.Keys</c>, <c>.Limits</c>, <c>.Settings</c>. Lists are in pages by key (1 to <see cref="MaxPage"/> items).
/// </remarks>
public sealed partial class AccountAdministration
{
    /// <summary>Most items of one page.</summary>
    public const int MaxPage = 1000;

    private readonly SqliteRelayStore _store;
    private readonly QueueWriter _writer;
    private readonly AccountDirectory _directory;
    private readonly UsageTable _usage;
    private readonly TimeProvider _time;

    public AccountAdministration(SqliteRelayStore store, QueueWriter writer, AccountDirectory directory, UsageTable usage, TimeProvider time)
    {
        _store = store;
        _writer = writer;
        _directory = directory;
        _usage = usage;
        _time = time;
    }

    /// <summary>Suspends an object or lets it go on; effective with the commit, in open sessions too.</summary>
    /// <param name="key">Plan, subscription, domain or mailbox.</param>
    /// <returns>The key in its stored form.</returns>
    public Task<AdminResult<object>> SetSuspendedAsync(AccountKey key, bool suspended, CancellationToken cancellationToken, string by = AuditRows.Gateway) => WriteAsync<object>(write =>
    {
        AccountKey stored = AccountNames.Key(key);
        (string table, string column) = stored.Level switch
        {
            Level.Plan => ("plan", "name"),
            Level.Subscription => ("subscription", "name"),
            Level.Domain => ("domain", "name"),
            Level.Mailbox => ("mailbox", "address"),
            _ => throw AdminException.Invalid("The server cannot be suspended; stop it, or set its limit: relaygate limit set server forbidden"),
        };
        string? subscription = Touch(write, stored);
        bool was = write.Db.Exists($"select 1 from {table} where {column} = $1 and suspended <> 0", stored.Name);
        write.Suspension(stored.Level.ToString().ToLowerInvariant(), stored.Name, subscription, was, suspended);
        write.Db.Execute($"update {table} set suspended = $2 where {column} = $1", stored.Name, suspended ? 1 : 0);
        write.TouchSuspended();
        return stored;
    }, by, cancellationToken);

    /// <summary>Notes a change of an existing object with the subscription it is below.</summary>
    /// <returns>That subscription; null for server and plans.</returns>
    private static string? Touch(AccountWrite write, AccountKey key)
    {
        string? subscription = SubscriptionOf(write, key);
        if (subscription is null)
            write.Touch(key);
        else
            write.Touch(key, subscription);
        return subscription;
    }

    /// <summary>The subscription that an existing object is or is below; null for server and plans.</summary>
    private static string? SubscriptionOf(AccountWrite write, AccountKey key)
    {
        switch (key.Level)
        {
            case Level.Plan:
                write.Plan(key.Name);
                return null;
            case Level.Subscription:
                return write.Subscription(key.Name).Name;
            case Level.Domain:
                return write.Domain(key.Name).Subscription;
            case Level.Mailbox:
                return write.Domain(write.Mailbox(key.Name).Domain).Subscription;
            default:
                return null;
        }
    }

    /// <summary>Runs a change on the writer's thread; an <see cref="AdminException"/> rolls it back and becomes the result's error.</summary>
    private Task<AdminResult<T>> WriteAsync<T>(Func<AccountWrite, T> write, string by, CancellationToken cancellationToken)
        where T : class => WriteAsync((change, _) => write(change), by, cancellationToken);

    private async Task<AdminResult<T>> WriteAsync<T>(Func<AccountWrite, WriteContext, T> write, string by, CancellationToken cancellationToken)
        where T : class
    {
        try
        {
            DateTimeOffset now = _time.GetUtcNow();
            (T value, _) = await _writer.RunAsync(
                context =>
                {
                    var change = new AccountWrite(context.Connection.Connection, by, now);
                    return (Value: write(change, context), change.Change);
                },
                cancellationToken,
                done => _directory.Apply(done.Change));
            return new AdminResult<T>(value, null);
        }
        catch (AdminException e)
        {
            return new AdminResult<T>(null, e.Error);
        }
    }

    private async Task<AdminResult<T>> ReadAsync<T>(Func<DbConnection, T> read, CancellationToken cancellationToken)
        where T : class
    {
        try
        {
            return new AdminResult<T>(await _store.ReadAsync(read, cancellationToken), null);
        }
        catch (AdminException e)
        {
            return new AdminResult<T>(null, e.Error);
        }
    }

    /// <summary>Reads one more row than asked for, to know whether there is a next page.</summary>
    private async Task<AdminResult<Page<T>>> ListAsync<T>(int count, Func<DbConnection, int, List<T>> read, Func<T, string> keyOf, CancellationToken cancellationToken)
    {
        int size = Math.Clamp(count, 1, MaxPage);
        return await ReadAsync(
            db =>
            {
                List<T> items = read(db, size + 1);
                bool isLast = items.Count <= size;
                return isLast ? new Page<T>(items, null) : new Page<T>(items[..size], keyOf(items[size - 1]));
            },
            cancellationToken);
    }

    /// <summary>Whether an object is a subscription's own: itself, or a domain or mailbox of it. Others are not found, whether they exist or not.</summary>
    public Task<AdminResult<object>> RequireOwnAsync(AccountKey key, string subscription, CancellationToken cancellationToken) =>
        ReadAsync<object>(db => VisibleOwner(db, AccountNames.Key(key), subscription)!, cancellationToken);

    /// <param name="key">In its stored form.</param>
    /// <param name="onlySubscription">Objects of others are as if they were not there; null: all are looked at.</param>
    /// <returns>Null: of no subscription.</returns>
    private static string? VisibleOwner(DbConnection db, AccountKey key, string? onlySubscription)
    {
        string? subscription = null;
        try
        {
            subscription = SubscriptionOf(new AccountWrite(db), key);
        }
        catch (AdminException) when (onlySubscription is not null)
        {
            // As if it were another's.
        }
        return onlySubscription is null || subscription == onlySubscription ? subscription
            : throw AdminException.NotFound($"There is no {key} in subscription {onlySubscription}");
    }

    /// <summary>A value of the settings in force, as the writer's own transaction has it.</summary>
    private EffectiveSettings Settings(DbConnection db) => EffectiveSettings.Of(_directory.Cache.Options, AccountSql.Settings(db));

    /// <summary>Runs a check or a slow computation that belongs to a change, before the writer is asked.</summary>
    private static AdminError? Check(Action check)
    {
        try
        {
            check();
            return null;
        }
        catch (AdminException e)
        {
            return e.Error;
        }
    }
}
