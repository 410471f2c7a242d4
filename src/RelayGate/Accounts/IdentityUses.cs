using System.Data.Common;
using System.Net;
using RelayGate.Core.Policy;

namespace RelayGate.Accounts;

/// <summary>When logins and system users were used last: gathered in memory and written in batches, so that no mail costs a write for it.</summary>
/// <remarks>What was not written when the process died is lost: these are figures for people, not limits.</remarks>
public sealed class IdentityUses(TimeProvider time)
{
    /// <summary>The kind of logins: mailboxes and credentials.</summary>
    public const string Login = "login";

    /// <summary>The kind of system users, by name.</summary>
    public const string Uid = "uid";

    /// <summary>Networks that are remembered of each.</summary>
    public const int MaxAddresses = 10;

    /// <summary>Identities that wait to be written; the uses of more are not noted.</summary>
    private const int MaxWaiting = 10_000;

    private readonly Lock _gate = new();
    private readonly Dictionary<(string Kind, string Name), IdentityUse> _waiting = [];

    /// <summary>Notes a use.</summary>
    /// <param name="name">In its stored form, and only of what exists.</param>
    /// <param name="address">From where; null for the unix socket.</param>
    public void Used(string kind, string name, IPAddress? address)
    {
        string network = address is null ? "unix" : NetworkOf(address);
        lock (_gate)
        {
            IdentityUse? use = Find(kind, name);
            if (use is not null)
                _waiting[(kind, name)] = use with { Uses = use.Uses + 1, LastUse = time.GetUtcNow(), Addresses = WithFirst(use.Addresses, network) };
        }
    }

    /// <summary>Notes a wrong password of a login that exists.</summary>
    public void Failed(string name)
    {
        lock (_gate)
        {
            if (Find(Login, name) is { } use)
                _waiting[(Login, name)] = use with { Failures = use.Failures + 1, LastFailure = time.GetUtcNow() };
        }
    }

    /// <summary>An address as it is remembered: of IPv6 the network of one customer, in which addresses change every day.</summary>
    internal static string NetworkOf(IPAddress address) => ClientNetwork.Text(ClientNetwork.Of(address));

    /// <summary>What is not written yet of one identity.</summary>
    public IdentityUse WaitingOf(string kind, string name)
    {
        lock (_gate)
            return _waiting.GetValueOrDefault((kind, name), IdentityUse.None);
    }

    /// <summary>The identities that wait to be written now.</summary>
    internal (string Kind, string Name)[] Waiting()
    {
        lock (_gate)
            return [.. _waiting.Keys];
    }

    /// <summary>Takes what waits to be written of one identity.</summary>
    internal IdentityUse Take((string Kind, string Name) identity)
    {
        lock (_gate)
            return _waiting.Remove(identity, out IdentityUse? use) ? use : IdentityUse.None;
    }

    /// <summary>Adds to what is stored of one identity; of one that has gone meanwhile nothing is kept.</summary>
    internal static void Write(DbConnection db, string kind, string name, IdentityUse use)
    {
        bool exists = kind == Uid
            ? db.Exists("select 1 from system_user where name = $1", name)
            : db.Exists("select 1 from mailbox where address = $1 union all select 1 from credential where name = $1", name);
        if (!exists)
            return;
        IdentityUse sum = Sum(CredentialSql.UseOf(db, kind, name), use);
        db.Execute(
            """
            insert into identity_use (kind, name, uses, failures, last_use, last_failure, addresses) values ($1, $2, $3, $4, $5, $6, $7)
            on conflict (kind, name) do update set uses = excluded.uses, failures = excluded.failures, last_use = excluded.last_use,
              last_failure = excluded.last_failure, addresses = excluded.addresses
            """,
            kind, name, sum.Uses, sum.Failures, sum.LastUse?.ToUnixTimeMilliseconds(), sum.LastFailure?.ToUnixTimeMilliseconds(), string.Join('\n', sum.Addresses));
    }

    internal static IdentityUse Sum(IdentityUse before, IdentityUse use)
    {
        IReadOnlyList<string> addresses = before.Addresses;
        for (int i = use.Addresses.Count - 1; i >= 0; i--)
            addresses = WithFirst(addresses, use.Addresses[i]);
        return new IdentityUse(before.Uses + use.Uses, before.Failures + use.Failures, use.LastUse ?? before.LastUse, use.LastFailure ?? before.LastFailure, addresses);
    }

    private IdentityUse? Find(string kind, string name) =>
        _waiting.TryGetValue((kind, name), out IdentityUse? use) ? use : _waiting.Count < MaxWaiting ? IdentityUse.None : null;

    private static IReadOnlyList<string> WithFirst(IReadOnlyList<string> addresses, string first) =>
        addresses is [var same, ..] && same == first ? addresses : [first, .. addresses.Where(a => a != first).Take(MaxAddresses - 1)];
}
