using System.Collections.Immutable;
using System.Globalization;
using RelayGate.Core.Policy;
using RelayGate.Storage;

namespace RelayGate.Queue;

/// <summary>Reads what scripts and programs of this machine sent, and which of them are blocked.</summary>
/// <remarks>Hour by hour, each a read of its own, so that none is long however many scripts there are.</remarks>
public sealed class ScriptLog(SqliteRelayStore store, TimeProvider time)
{
    /// <summary>Scripts that one list adds up; the rest are left out.</summary>
    public const int MaxScripts = 100_000;

    /// <summary>Messages that <see cref="ShowAsync"/> lists.</summary>
    public const int MaxMessages = 20;

    private static readonly TimeSpan Longest = TimeSpan.FromDays(366);

    private const string SelectHour = """
        select uid, script, subscription, messages, recipients, refused, held, claimed, path, first_at, last_at from script_hour where hour = ? and uid >= ? and uid <= ?
        """;

    private const string SelectScript = """
        select uid, script, subscription, messages, recipients, refused, held, claimed, path, first_at, last_at from script_hour where hour = ? and uid = ? and script = ?
        """;

    private const string SelectMessages = "select " + RecordReader.Columns + " from decision where uid = ? and script = ? and id >= ? order by id desc limit 200";
    private const string CountWaiting = "select count(*) from message where held = ? and held_at = ?";
    private const string SelectBlock = "select at, whom from script_block where uid = ? and script = ?";

    /// <summary>Scripts by what they sent, most first.</summary>
    /// <param name="subscription">Only what was sent for it; null: everything.</param>
    /// <param name="uid">Only of this user; null: of all.</param>
    /// <param name="cursor">Where a page ended, or null.</param>
    /// <returns>Null when the cursor is not one of ours.</returns>
    public async Task<ScriptPage?> ListAsync(DateTimeOffset since, string? subscription, int? uid, int limit, string? cursor, CancellationToken cancellationToken)
    {
        (long Sent, ScriptKey Key)? after = null;
        if (cursor is not null && (after = ReadCursor(cursor)) is null)
            return null;
        var found = new Dictionary<ScriptKey, ScriptUsage>();
        foreach (long hour in Hours(since))
        {
            await store.ReadRawAsync(
                connection =>
                {
                    SqliteStatement row = connection.Prepared(SelectHour).Bind(1, hour).Bind(2, (long)(uid ?? int.MinValue)).Bind(3, (long)(uid ?? int.MaxValue));
                    while (row.Step())
                    {
                        if (subscription is null || row.Text(2) == subscription)
                            Add(found, Read(row), since);
                    }
                    return true;
                },
                cancellationToken);
        }
        ScriptUsage[] ordered = [.. found.Values
            .Where(s => after is not { } a || Compare(s, a.Sent, a.Key) > 0)
            .Order(Comparer<ScriptUsage>.Create(static (a, b) => Compare(a, Sent(b), b.Key)))
            .Take(Math.Clamp(limit, 1, MessageLog.MaxPage) + 1)];
        ScriptUsage[] page = ordered[..Math.Min(ordered.Length, Math.Clamp(limit, 1, MessageLog.MaxPage))];
        ImmutableArray<ScriptUsage> items = await store.ReadRawAsync(
            connection => page.Select(s => s with { IsBlocked = Block(connection, s.Key) is not null || Block(connection, s.Key with { Script = ScriptKey.Any }) is not null }).ToImmutableArray(),
            cancellationToken);
        return new ScriptPage(items, ordered.Length > page.Length ? WriteCursor(page[^1]) : null);
    }

    /// <summary>One script: by hour, its last messages, and whether it is blocked.</summary>
    /// <returns>Null when nothing is known of it.</returns>
    public async Task<ScriptView?> ShowAsync(ScriptKey key, DateTimeOffset since, string? subscription, CancellationToken cancellationToken)
    {
        var hours = ImmutableArray.CreateBuilder<ScriptHour>();
        var sum = new Dictionary<ScriptKey, ScriptUsage>();
        foreach (long[] some in Hours(since).Chunk(200))
        {
            await store.ReadRawAsync(
                connection =>
                {
                    foreach (long hour in some)
                        ReadHour(connection, hour, key, subscription, since, hours, sum);
                    return true;
                },
                cancellationToken);
        }
        return await store.ReadRawAsync(
            connection =>
            {
                List<(string Ref, MessageItem Item, MessageRecord Record)> last = Messages(connection, key, since, subscription);
                ScriptBlock? block = Block(connection, key) ?? Block(connection, key with { Script = ScriptKey.Any });
                if (sum.Count == 0 && last.Count == 0 && (block is null || subscription is not null))
                    return null;
                MessageRecord? newest = last.Count > 0 ? last[0].Record : null;
                return new ScriptView(
                    key.Uid, key.Script, sum.GetValueOrDefault(key), block, newest?.Script, newest?.Process, newest?.Claims,
                    hours.ToImmutable(), [.. last.Select(static m => m.Item)], block is null ? 0 : Waiting(connection, key.Uid, block.Script));
            },
            cancellationToken);
    }

    private static void ReadHour(
        StoreConnection connection, long hour, ScriptKey key, string? subscription, DateTimeOffset since, ImmutableArray<ScriptHour>.Builder hours,
        Dictionary<ScriptKey, ScriptUsage> sum)
    {
        ScriptHour? one = null;
        SqliteStatement row = connection.Prepared(SelectScript).Bind(1, hour).Bind(2, key.Uid).Bind(3, key.Script);
        while (row.Step())
        {
            ScriptUsage usage = Read(row);
            if (subscription is not null && usage.Subscription != subscription)
                continue;
            Add(sum, usage, since);
            one = one is null
                ? new ScriptHour(DateTimeOffset.FromUnixTimeSeconds(hour * 3600), usage.Messages, usage.Recipients, usage.Refused, usage.Held)
                : one with { Messages = one.Messages + usage.Messages, Recipients = one.Recipients + usage.Recipients, Refused = one.Refused + usage.Refused, Held = one.Held + usage.Held };
        }
        if (one is not null)
            hours.Add(one);
    }

    private static List<(string Ref, MessageItem Item, MessageRecord Record)> Messages(StoreConnection connection, ScriptKey key, DateTimeOffset since, string? subscription)
    {
        var found = new List<(string, MessageItem, MessageRecord)>();
        SqliteStatement row = connection.Prepared(SelectMessages).Bind(1, key.Uid).Bind(2, key.Script).Bind(3, Core.Mail.QueueId.Create(since, 0, 0).ToBytes());
        while (row.Step())
        {
            MessageItem item = RecordReader.Item(row);
            if (found.Count < MaxMessages && (subscription is null || item.Subscription == subscription))
                found.Add((item.Ref, item, RecordReader.Record(row)));
        }
        return found;
    }

    private static ScriptBlock? Block(StoreConnection connection, ScriptKey key)
    {
        SqliteStatement row = connection.Prepared(SelectBlock).Bind(1, key.Uid).Bind(2, key.Script);
        ScriptBlock? block = row.Step() ? new ScriptBlock(key.Script, RecordReader.Time(row.Int64(0)), row.Text(1)) : null;
        row.Reset();
        return block;
    }

    private static long Waiting(StoreConnection connection, int uid, string blocked)
    {
        SqliteStatement row = connection.Prepared(CountWaiting).Bind(1, (long)HoldReason.Script).Bind(2, Suspensions.ScriptAt(uid, blocked));
        row.Step();
        long waiting = row.Int64(0);
        row.Reset();
        return waiting;
    }

    private long[] Hours(DateTimeOffset since)
    {
        DateTimeOffset now = time.GetUtcNow();
        long first = (now - since > Longest ? now - Longest : since).ToUnixTimeSeconds() / 3600, last = now.ToUnixTimeSeconds() / 3600;
        return first > last ? [] : [.. Enumerable.Range(0, (int)(last - first + 1)).Select(i => first + i)];
    }

    private static ScriptUsage Read(SqliteStatement row) => new(
        row.Int32(0), row.Text(1), row.Text(2), row.NullableText(8), row.Int64(3), row.Int64(4), row.Int64(5), row.Int64(6), row.Int64(7),
        RecordReader.Time(row.Int64(9)), RecordReader.Time(row.Int64(10)), IsBlocked: false);

    /// <summary>Of the first hour only what is not wholly before the time asked for.</summary>
    private static void Add(Dictionary<ScriptKey, ScriptUsage> found, ScriptUsage usage, DateTimeOffset since)
    {
        if (usage.LastSeen < since)
            return;
        if (found.TryGetValue(usage.Key, out ScriptUsage? known))
            found[usage.Key] = known.Plus(usage);
        else if (found.Count < MaxScripts)
            found.Add(usage.Key, usage);
    }

    private static long Sent(ScriptUsage s) => s.Messages + s.Held + s.Refused;

    /// <summary>Most first; of those that sent as many by uid and name.</summary>
    private static int Compare(ScriptUsage a, long sent, ScriptKey key) =>
        Sent(a) != sent ? sent.CompareTo(Sent(a)) : a.Uid != key.Uid ? a.Uid.CompareTo(key.Uid) : string.CompareOrdinal(a.Script, key.Script);

    private static string WriteCursor(ScriptUsage last) => string.Create(CultureInfo.InvariantCulture, $"{Sent(last)}.{last.Uid}.{Uri.EscapeDataString(last.Script)}");

    private static (long, ScriptKey)? ReadCursor(string text) =>
        text.Split('.', 3) is [var sent, var uid, var script]
        && long.TryParse(sent, NumberStyles.None, CultureInfo.InvariantCulture, out long count) && int.TryParse(uid, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int number)
            ? (count, new ScriptKey(number, Uri.UnescapeDataString(script)))
            : null;
}
