using System.Collections.Immutable;
using System.Runtime.InteropServices;
using System.Text.Json;
using RelayGate.Core.Mail;
using RelayGate.Core.Replies;
using RelayGate.Storage;

namespace RelayGate.Queue;

/// <summary>Reads what next hops have refused, newest first: the evidence of a blocked address.</summary>
/// <remarks>
/// An attempt that went from host to host has a refusal for each host that refused; a page has all of an attempt, so it may be a few longer than asked.
/// Found by index: time, class (the gravest of each attempt) and subscription. Everything else looks at <see cref="MaxScanned"/> attempts a read at most.
/// <c>onlySubscription</c> keeps the reader to one subscription, whatever was asked for.
/// </remarks>
public sealed class RefusalLog(SqliteRelayStore store)
{
    /// <summary>Refused attempts that one read looks at, at most.</summary>
    public const int MaxScanned = 5_000;

    /// <summary>Refused attempts that are put into groups, at most; in reads of <see cref="MaxScanned"/>.</summary>
    public const int MaxGrouped = 100_000;

    /// <summary>Groups at most.</summary>
    public const int MaxGroups = 1_000;

    private const string Columns = "id, started_at, position, stage, next_hop, local, provider, class, subscription, results, refusals";
    private const string Range = "class is not null and (started_at, id, position) < (?1, ?2, ?3) and started_at >= ?4";
    private const string Order = "order by started_at desc, id desc, position desc";
    private const string SelectAll = $"select {Columns} from attempt where {Range} {Order}";
    private const string SelectOfClass = $"select {Columns} from attempt where {Range} and class = ?5 {Order}";
    private const string SelectOfSubscription = $"select {Columns} from attempt where {Range} and subscription = ?5 {Order}";

    /// <summary>One page, newest first.</summary>
    /// <returns>Null when the cursor is not one of ours.</returns>
    public async Task<RefusalPage?> ListAsync(RefusalQuery query, string? onlySubscription, CancellationToken cancellationToken)
    {
        if (!TryStart(query, out Place start))
            return null;
        if (!MessageLog.TryScope(query.Subscription, onlySubscription, out string? subscription))
            return new RefusalPage([], null);
        int limit = Math.Clamp(query.Limit, 1, MessageLog.MaxPage);
        var items = ImmutableArray.CreateBuilder<RefusalItem>();
        Place? next = await store.ReadRawAsync(
            connection => Read(connection, query, subscription, start, item =>
            {
                items.Add(item);
                return items.Count < limit;
            }),
            cancellationToken);
        return new RefusalPage(items.ToImmutable(), next?.ToString());
    }

    /// <summary>All of a span in groups, in short reads.</summary>
    /// <param name="keys">At least one.</param>
    /// <returns>Null when the cursor is not one of ours.</returns>
    public async Task<RefusalGroups?> GroupAsync(RefusalQuery query, ImmutableArray<RefusalKey> keys, string? onlySubscription, CancellationToken cancellationToken)
    {
        if (!TryStart(query, out Place start))
            return null;
        if (!MessageLog.TryScope(query.Subscription, onlySubscription, out string? subscription))
            return new RefusalGroups([], true, null);
        var groups = new Dictionary<string, RefusalGroup>(StringComparer.Ordinal);
        bool isFull = false;
        Place? at = start;
        for (int read = 0; read < MaxGrouped && at is { } from; read += MaxScanned)
        {
            at = await store.ReadRawAsync(
                connection => Read(connection, query, subscription, from, item =>
                {
                    isFull |= !Add(groups, keys, item);
                    return true;
                }),
                cancellationToken);
        }
        return new RefusalGroups(
            [.. groups.Values.OrderByDescending(static g => g.Attempts).ThenByDescending(static g => g.LastAt)], at is null && !isFull,
            at is { } end ? RecordReader.Time(end.StartedAt) : null);
    }

    private static bool TryStart(RefusalQuery query, out Place start)
    {
        start = new Place(long.MaxValue, new QueueId(UInt128.MaxValue), int.MaxValue);
        if (query.Cursor is { } cursor && !Place.TryParse(cursor, out start))
            return false;
        if (query.Until is { } until && until.ToUnixTimeMilliseconds() + 1 is var end && end < start.StartedAt)
            start = new Place(end, default, 0);
        return true;
    }

    /// <summary>Looks at attempts from a place on.</summary>
    /// <param name="found">Is given each refusal; false: enough, once all of the same attempt were given.</param>
    /// <returns>Where to go on; null at the end.</returns>
    private static Place? Read(StoreConnection connection, RefusalQuery query, string? subscription, Place from, Func<RefusalItem, bool> found)
    {
        bool byClass = subscription is null && query.Class is not null;
        SqliteStatement row = connection.Prepared(subscription is not null ? SelectOfSubscription : byClass ? SelectOfClass : SelectAll)
            .Bind(1, from.StartedAt).Bind(2, from.Id.ToBytes()).Bind(3, from.Position).Bind(4, query.Since?.ToUnixTimeMilliseconds() ?? 0);
        if (subscription is not null)
            row.Bind(5, subscription);
        else if (byClass)
            row.Bind(5, (long)query.Class!.Value);
        int scanned = 0;
        try
        {
            while (row.Step())
            {
                bool goesOn = true;
                foreach (RefusalItem item in Items(row, query))
                    goesOn &= found(item);
                if (!goesOn || ++scanned == MaxScanned)
                    return new Place(row.Int64(1), QueueId.FromBytes(row.Blob(0)), row.Int32(2));
            }
            return null;
        }
        finally
        {
            row.Reset();
        }
    }

    /// <summary>What is looked for of an attempt: of each host that was passed, and of the last one the first recipient that it refused so.</summary>
    private static List<RefusalItem> Items(SqliteStatement row, RefusalQuery query)
    {
        var items = new List<RefusalItem>(1);
        var id = QueueId.FromBytes(row.Blob(0));
        if (id.Timestamp < query.MessagesSince)
            return items;
        DateTimeOffset at = RecordReader.Time(row.Int64(1));
        string subscription = row.NullableText(8) ?? "";
        if (!row.IsNull(10))
        {
            foreach (RecordedRefusal passed in RecordReader.Refusals(row, 10))
            {
                if (passed.Class is not { } about)
                    continue;
                var item = new RefusalItem(
                    id.ToString(), at, about, passed.HostProvider, passed.Local, passed.NextHop, passed.Stage, subscription, passed.Recipient, passed.Recipients, passed.Result,
                    passed.Reply, passed.Status, passed.Code, passed.List, passed.Url, passed.Rule);
                if (Matches(item, passed.Provider, query))
                    items.Add(item);
            }
        }
        if (query.Ip is { } ip && row.Text(5) != ip)
            return items;
        int last = items.Count;
        using JsonDocument results = JsonDocument.Parse(row.Blob(9).ToArray());
        foreach (JsonElement element in results.RootElement.EnumerateArray())
        {
            RecordedResult result = RecordReader.Result(element);
            if (result.Class is not { } about || result.NextHop is not null)
                continue;
            var item = new RefusalItem(
                id.ToString(), at, about, row.Text(6), row.Text(5), row.Text(4), row.Text(3), subscription, result.Recipient, 1, result.Result, result.Reply, result.Status, result.Code,
                result.List, result.Url, result.Rule);
            if (!Matches(item, result.Provider, query))
                continue;
            if (items.Count == last)
                items.Add(item);
            else
                items[last] = items[last] with { Recipients = items[last].Recipients + 1 };
        }
        return items;
    }

    /// <param name="behind">Who refused by the reply's own word, or null.</param>
    private static bool Matches(RefusalItem item, string? behind, RefusalQuery query) =>
        (query.Class is not { } wanted || item.Class == ReplyClassNames.NameOf(wanted))
        && (query.Ip is not { } ip || item.Ip == ip)
        && (query.Words.IsEmpty || query.Words.Any(words => item.Reply.Contains(words, StringComparison.OrdinalIgnoreCase)))
        && (query.Provider is not { } by || by.Equals(item.Provider, StringComparison.OrdinalIgnoreCase) || by.Equals(behind, StringComparison.OrdinalIgnoreCase))
        && (query.List is not { } list || list.Equals(item.List, StringComparison.OrdinalIgnoreCase))
        && (query.RecipientDomain is not { } domain || DomainOf(item.Recipient).Equals(domain, StringComparison.OrdinalIgnoreCase));

    private static string DomainOf(string recipient) => recipient[(recipient.LastIndexOf('@') + 1)..].ToLowerInvariant();

    /// <returns>False: there are too many groups for one more.</returns>
    private static bool Add(Dictionary<string, RefusalGroup> groups, ImmutableArray<RefusalKey> keys, RefusalItem item)
    {
        ImmutableArray<string> values = [.. keys.Select(key => key switch
        {
            RefusalKey.Ip => item.Ip,
            RefusalKey.Provider => item.Provider,
            RefusalKey.Class => item.Class,
            RefusalKey.List => item.List ?? "",
            RefusalKey.Subscription => item.Subscription,
            RefusalKey.Domain => DomainOf(item.Recipient),
            _ => item.Code ?? "",
        })];
        string key = string.Join('\n', values);
        if (groups.Count >= MaxGroups && !groups.ContainsKey(key))
            return false;
        ref RefusalGroup? group = ref CollectionsMarshal.GetValueRefOrAddDefault(groups, key, out _);
        group = group is null
            ? new RefusalGroup(values, 1, item.Recipients, item.At, item.At, item)
            : group with { Attempts = group.Attempts + 1, Recipients = group.Recipients + item.Recipients, FirstAt = item.At };
        return true;
    }

    /// <summary>An attempt, as the place where a page ends.</summary>
    private readonly record struct Place(long StartedAt, QueueId Id, int Position)
    {
        public override string ToString() => $"{StartedAt}-{Id}-{Position}";

        public static bool TryParse(string text, out Place place)
        {
            place = default;
            string[] parts = text.Split('-');
            if (parts.Length != 3 || !long.TryParse(parts[0], out long at) || !QueueId.TryParse(parts[1], out QueueId id) || !int.TryParse(parts[2], out int position))
                return false;
            place = new Place(at, id, position);
            return true;
        }
    }
}
