using System.Collections.Immutable;
using System.Net;
using System.Runtime.InteropServices;
using RelayGate.Core.Policy;
using RelayGate.Storage;

namespace RelayGate.Queue;

/// <summary>What one batch adds to the hourly history: gathered in memory, written once for each object and source address.</summary>
/// <remarks>For the writer's thread. An hour is one of the wall clock (UTC), that of the commit.</remarks>
internal sealed class UsageHistory
{
    public const string Ddl = """
        -- Every object's mail by class. Hour: hours since 1970 UTC. Refused: attempts; held: messages that were taken and held; bounced: recipients
        -- that failed for good; exempt: those of its messages that no limit held for; over: offers that a limit of this very object refused or held.
        create table usage_hour (
          hour integer not null,
          level integer not null,
          name text not null,
          class integer not null,
          messages integer not null,
          recipients integer not null,
          refused integer not null,
          exempt integer not null,
          held integer not null,
          bounced integer not null,
          over integer not null,
          primary key (hour, level, name, class)
        ) without rowid;
        create index usage_hour_over on usage_hour (hour, level, name) where over > 0;

        -- Where mail came from over TCP: an IPv4 address or IPv6 /64, or 'other' beyond the bound. Subscription '': all of them, and strangers.
        create table address_hour (
          hour integer not null,
          subscription text not null,
          address text not null,
          messages integer not null,
          recipients integer not null,
          refused integer not null,
          primary key (hour, subscription, address)
        ) without rowid;

        """;

    private const string UpsertObject = """
        insert into usage_hour (hour, level, name, class, messages, recipients, refused, exempt, held, bounced, over) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        on conflict (hour, level, name, class) do update set
          messages = messages + excluded.messages, recipients = recipients + excluded.recipients, refused = refused + excluded.refused,
          exempt = exempt + excluded.exempt, held = held + excluded.held, bounced = bounced + excluded.bounced, over = over + excluded.over
        """;

    private const string UpsertAddress = """
        insert into address_hour (hour, subscription, address, messages, recipients, refused) values (?, ?, ?, ?, ?, ?)
        on conflict (hour, subscription, address) do update set
          messages = messages + excluded.messages, recipients = recipients + excluded.recipients, refused = refused + excluded.refused
        """;

    private readonly List<(AccountKey Key, HourCounts Counts)> _objects = []; // The key with the class of the message.
    private readonly List<(string? Subscription, IPAddress Address, HourCounts Counts)> _addresses = [];
    private readonly Dictionary<AccountKey, HourCounts> _objectTotals = [];
    private readonly Dictionary<(string Subscription, string Address), HourCounts> _addressTotals = [];
    private readonly AddressBound _bound = new();

    public bool IsEmpty => _objects.Count == 0 && _addresses.Count == 0;

    /// <summary>Adds to every object that an offer counts at, and to the address it came from.</summary>
    /// <param name="stopped">Whose limit refused or held it, or null.</param>
    public void Add(in CountedSender sender, MessageClass messageClass, in HourCounts counts, AccountKey? stopped = null)
    {
        foreach (LevelLimit level in sender.Levels)
        {
            if (level.Key.Class is null)
                Add(level.Key, messageClass, level.Key == stopped?.Object ? counts with { Over = Math.Max(counts.Refused, counts.Held) } : counts);
        }
        if (sender.Client is { } client)
            _addresses.Add((sender.Subscription, ClientNetwork.Of(client), counts));
    }

    public void Add(AccountKey key, MessageClass messageClass, in HourCounts counts) => _objects.Add((key with { Class = messageClass }, counts));

    public (int Objects, int Addresses) Mark() => (_objects.Count, _addresses.Count);

    public void RollBack((int Objects, int Addresses) to)
    {
        CollectionsMarshal.SetCount(_objects, to.Objects);
        CollectionsMarshal.SetCount(_addresses, to.Addresses);
    }

    public void Write(WriteContext context, long hour)
    {
        foreach ((AccountKey key, HourCounts counts) in _objects)
            Sum(_objectTotals, key, counts);
        foreach ((AccountKey key, HourCounts total) in _objectTotals)
            Write(context.Connection, hour, key, total);
        foreach ((string? subscription, IPAddress address, HourCounts counts) in _addresses)
        {
            Sum(_addressTotals, ("", _bound.Admit(context, hour, "", address)), counts);
            if (subscription is not null)
                Sum(_addressTotals, (subscription, _bound.Admit(context, hour, subscription, address)), counts);
        }
        foreach (((string subscription, string address), HourCounts total) in _addressTotals)
            Write(context.Connection, hour, subscription, address, total);
    }

    /// <summary>Takes out of what is stored what <see cref="Add(in CountedSender, MessageClass, in HourCounts, AccountKey?)"/> had added.</summary>
    public static void TakeBack(StoreConnection connection, long hour, in CountedSender sender, MessageClass messageClass, in HourCounts counts, AccountKey? stopped)
    {
        var added = new UsageHistory();
        added.Add(sender, messageClass, counts, stopped);
        foreach ((AccountKey key, HourCounts count) in added._objects)
            Write(connection, hour, key, count.Negated());
        foreach ((string? subscription, IPAddress address, HourCounts count) in added._addresses)
        {
            Write(connection, hour, "", AddressBound.Stored(connection, hour, "", address), count.Negated());
            if (subscription is not null)
                Write(connection, hour, subscription, AddressBound.Stored(connection, hour, subscription, address), count.Negated());
        }
    }

    public void Clear()
    {
        _objects.Clear();
        _addresses.Clear();
        _objectTotals.Clear();
        _addressTotals.Clear();
    }

    /// <summary>Hours since 1970 UTC.</summary>
    public static long HourOf(DateTimeOffset at) => at.ToUnixTimeSeconds() / 3600;

    private static void Write(StoreConnection connection, long hour, AccountKey key, in HourCounts total) =>
        connection.Prepared(UpsertObject).Bind(1, hour).Bind(2, (long)key.Level).Bind(3, key.Name).Bind(4, UsageTable.Number(key.Class))
            .Bind(5, total.Messages).Bind(6, total.Recipients).Bind(7, total.Refused).Bind(8, total.Exempt).Bind(9, total.Held).Bind(10, total.Bounced)
            .Bind(11, total.Over).Execute();

    private static void Write(StoreConnection connection, long hour, string subscription, string address, in HourCounts total) =>
        connection.Prepared(UpsertAddress).Bind(1, hour).Bind(2, subscription).Bind(3, address)
            .Bind(4, total.Messages).Bind(5, total.Recipients).Bind(6, total.Refused).Execute();

    private static void Sum<TKey>(Dictionary<TKey, HourCounts> totals, TKey key, in HourCounts counts)
        where TKey : notnull
    {
        ref HourCounts total = ref CollectionsMarshal.GetValueRefOrAddDefault(totals, key, out _);
        total = total.Plus(counts);
    }
}

/// <summary>What is added to one hour of one object.</summary>
internal readonly record struct HourCounts(int Messages = 0, int Recipients = 0, int Refused = 0, int Exempt = 0, int Held = 0, int Bounced = 0, int Over = 0)
{
    /// <summary>What one decision adds where it counts.</summary>
    public static HourCounts Of(Decision decision, int recipients) => decision.Verdict switch
    {
        Verdict.Accept => new HourCounts(1, recipients, Exempt: decision.IsExempt ? 1 : 0),
        Verdict.Hold => new HourCounts(Held: 1),
        _ => new HourCounts(Refused: 1),
    };

    public HourCounts Negated() => new(-Messages, -Recipients, -Refused, -Exempt, -Held, -Bounced, -Over);

    public HourCounts Plus(in HourCounts other) => new(
        Messages + other.Messages, Recipients + other.Recipients, Refused + other.Refused, Exempt + other.Exempt, Held + other.Held, Bounced + other.Bounced,
        Over + other.Over);
}

/// <summary>Who an offer counts for.</summary>
/// <param name="Levels">Server first; empty for who is not known.</param>
/// <param name="Client">Null on a unix socket.</param>
internal readonly record struct CountedSender(ImmutableArray<LevelLimit> Levels, string? Subscription, IPAddress? Client)
{
    public static CountedSender Of(SenderAccount account) => new(account.Levels, account.Subscription, account.Identity.Client);

    public static CountedSender Of(RefusedOffer refusal) => new(refusal.Account?.Levels ?? [], refusal.Account?.Subscription, refusal.Identity.Client);
}

/// <summary>Bounds the distinct source addresses of one hour: what comes beyond is <see cref="Other"/>.</summary>
internal sealed class AddressBound
{
    /// <summary>Stands for all addresses beyond the bound.</summary>
    public const string Other = "other";

    /// <summary>Distinct addresses of one subscription in one hour.</summary>
    public const int OfSubscription = 200;

    /// <summary>Distinct addresses of one hour, whatever the subscription.</summary>
    public const int OfServer = 10_000;

    /// <summary>Rows of one hour, those with <see cref="Other"/> aside: some 5 MiB of memory.</summary>
    public const int Rows = 30_000;

    private const string SelectOne = "select 1 from address_hour where hour = ? and subscription = ? and address = ?";
    private const string Select = "select subscription, address from address_hour where hour = ?";

    private readonly Dictionary<(string Subscription, IPAddress Address), string> _known = [];
    private readonly Dictionary<string, int> _counts = [];
    private long _hour = -1;

    /// <summary>The text under which an address is stored.</summary>
    public string Admit(WriteContext context, long hour, string subscription, IPAddress address)
    {
        if (hour != _hour)
            Load(context, hour);
        if (_known.TryGetValue((subscription, address), out string? text))
            return text;
        ref int count = ref CollectionsMarshal.GetValueRefOrAddDefault(_counts, subscription, out _);
        if (_known.Count >= Rows || count >= (subscription.Length == 0 ? OfServer : OfSubscription))
            return Other;
        count++;
        return _known[(subscription, address)] = ClientNetwork.Text(address);
    }

    /// <summary>The text under which an address of an hour is stored.</summary>
    public static string Stored(StoreConnection connection, long hour, string subscription, IPAddress address)
    {
        string text = ClientNetwork.Text(address);
        SqliteStatement row = connection.Prepared(SelectOne).Bind(1, hour).Bind(2, subscription).Bind(3, text);
        bool isThere = row.Step();
        row.Reset();
        return isThere ? text : Other;
    }

    /// <summary>After a start, and where the wall clock was set back, the hour has rows already.</summary>
    private void Load(WriteContext context, long hour)
    {
        _known.Clear();
        _counts.Clear();
        _hour = hour;
        SqliteStatement row = context.Prepared(Select).Bind(1, hour);
        while (row.Step())
        {
            string subscription = row.Text(0), text = row.Text(1);
            int slash = text.IndexOf('/', StringComparison.Ordinal);
            if (!IPAddress.TryParse(slash < 0 ? text : text[..slash], out IPAddress? address))
                continue; // "other"
            _known[(subscription, address)] = text;
            CollectionsMarshal.GetValueRefOrAddDefault(_counts, subscription, out _)++;
        }
    }
}
