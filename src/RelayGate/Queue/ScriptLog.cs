using System.Collections.Immutable;
using System.Diagnostics;
using System.Globalization;
using RelayGate.Core.Policy;
using RelayGate.Storage;

namespace RelayGate.Queue;

/// <summary>Reads what scripts and programs of this machine sent, and which of them are blocked.</summary>
/// <remarks>In reads of at most 50 ms, however many scripts and hours there are.</remarks>
public sealed class ScriptLog(SqliteRelayStore store, TimeProvider time)
{
    /// <summary>Scripts that one list adds up; the rest are left out.</summary>
    public const int MaxScripts = 100_000;

    /// <summary>Messages that <see cref="ShowAsync"/> lists.</summary>
    public const int MaxMessages = 20;

    /// <summary>Uids that are looked at for one subscription.</summary>
    public const int MaxUids = 1000;

    private static readonly TimeSpan Longest = TimeSpan.FromDays(366);
    private static readonly (int From, int To)[] AllUids = [(int.MinValue, int.MaxValue)];

    /// <summary>How long one read may take: others wait for the connection.</summary>
    internal TimeSpan MaxRead { get; init; } = TimeSpan.FromMilliseconds(50);

    private const int RowsBetweenLooks = 64;

    /// <summary>From behind a uid, script and subscription, up to a uid.</summary>
    private const string SelectHour = """
        select uid, script, subscription, messages, recipients, refused, held, claimed, path, first_at, last_at from script_hour
        where hour = ?1 and (uid, script, subscription) > (?2, ?3, ?4) and uid <= ?5 order by uid, script, subscription
        """;

    private const string SelectScript = """
        select uid, script, subscription, messages, recipients, refused, held, claimed, path, first_at, last_at from script_hour
        where hour = ? and uid = ? and script = ? and subscription >= ? and subscription <= ?
        """;

    private const string SelectOldest = "select min(hour) from script_hour";

    /// <summary>The uids of a subscription, and those that many share.</summary>
    private const string SelectUids = "select uid from system_user where subscription = ?1 union select uid from system_user where shared <> 0 order by uid limit ?2";

    private const string SelectMessages = "select " + RecordReader.Columns + " from decision where uid = ? and script = ? and id >= ? order by id desc limit 200";
    private const string CountWaiting = "select count(*) from message where held = ? and held_at = ?";
    private const string SelectBlock = "select at, whom from script_block where uid = ? and script = ?";

    /// <summary>Scripts by what they sent, most first.</summary>
    /// <param name="subscription">Only what was sent for it; null: everything.</param>
    /// <param name="uid">Only of this user; null: of all.</param>
    /// <param name="cursor">Where a page ended, or null.</param>
    /// <param name="isTenant">The subscription itself asks: only its own uids and the shared ones are looked at.</param>
    /// <returns>Null when the cursor is not one of ours.</returns>
    public async Task<ScriptPage?> ListAsync(DateTimeOffset since, string? subscription, int? uid, int limit, string? cursor, CancellationToken cancellationToken, bool isTenant = false)
    {
        (long Sent, ScriptKey Key)? after = null;
        if (cursor is not null && (after = ReadCursor(cursor)) is null)
            return null;
        var found = new Dictionary<ScriptKey, ScriptUsage>();
        (int, int)[] uids = uid is { } one ? [(one, one)] : isTenant ? await UidsAsync(subscription!, cancellationToken) : AllUids;
        var place = new Place(await HoursAsync(since, cancellationToken), uids);
        while (!place.IsEnd)
        {
            await store.ReadRawAsync(
                connection =>
                {
                    ReadSome(connection, place, subscription, since, found);
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
        long[] all = await HoursAsync(since, cancellationToken);
        for (int next = 0; next < all.Length;)
        {
            await store.ReadRawAsync(
                connection =>
                {
                    long started = Stopwatch.GetTimestamp();
                    do
                        ReadHour(connection, all[next], key, subscription, since, hours, sum);
                    while (++next < all.Length && Stopwatch.GetElapsedTime(started) < MaxRead);
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
        SqliteStatement row = connection.Prepared(SelectScript).Bind(1, hour).Bind(2, key.Uid).Bind(3, key.Script).Bind(4, subscription ?? "").Bind(5, subscription ?? "\uffff");
        while (row.Step())
        {
            ScriptUsage usage = Read(row);
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

    /// <summary>Reads on from a place for as long as one read may take.</summary>
    private void ReadSome(StoreConnection connection, Place place, string? subscription, DateTimeOffset since, Dictionary<ScriptKey, ScriptUsage> found)
    {
        long started = Stopwatch.GetTimestamp();
        int rows = 0;
        do
        {
            SqliteStatement row = connection.Prepared(SelectHour)
                .Bind(1, place.Hour).Bind(2, (long)place.After.Uid).Bind(3, place.After.Script).Bind(4, place.Subscription).Bind(5, (long)place.UpTo);
            while (row.Step())
            {
                if (subscription is null || row.Text(2) == subscription)
                    Add(found, Read(row), since);
                if (++rows % RowsBetweenLooks != 0 || Stopwatch.GetElapsedTime(started) < MaxRead)
                    continue;
                (place.After, place.Subscription) = (new ScriptKey(row.Int32(0), row.Text(1)), row.Text(2));
                row.Reset();
                return;
            }
            place.Next();
        }
        while (!place.IsEnd && Stopwatch.GetElapsedTime(started) < MaxRead);
    }

    private Task<(int, int)[]> UidsAsync(string subscription, CancellationToken cancellationToken) => store.ReadRawAsync(
        connection =>
        {
            var uids = new List<(int, int)>();
            SqliteStatement row = connection.Prepared(SelectUids).Bind(1, subscription).Bind(2, MaxUids);
            while (row.Step())
                uids.Add((row.Int32(0), row.Int32(0)));
            return uids.ToArray();
        },
        cancellationToken);

    /// <summary>The hours from a time on of which something is kept.</summary>
    private async Task<long[]> HoursAsync(DateTimeOffset since, CancellationToken cancellationToken)
    {
        DateTimeOffset now = time.GetUtcNow();
        long? oldest = await store.ReadRawAsync(
            connection =>
            {
                SqliteStatement select = connection.Prepared(SelectOldest);
                select.Step();
                long? hour = select.NullableInt64(0);
                select.Reset();
                return hour;
            },
            cancellationToken);
        if (oldest is not { } kept)
            return [];
        long first = Math.Max(kept, UsageHistory.HourOf(now - since > Longest ? now - Longest : since)), last = UsageHistory.HourOf(now);
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

    /// <summary>Where reading has come to: in each hour the uids in turn.</summary>
    private sealed class Place
    {
        private readonly long[] _hours;
        private readonly (int From, int To)[] _uids;
        private int _hour;
        private int _uid;

        public Place(long[] hours, (int From, int To)[] uids)
        {
            (_hours, _uids) = (hours, uids);
            if (!IsEnd)
                After = new ScriptKey(_uids[0].From, "");
        }

        public bool IsEnd => _hour >= _hours.Length || _uids.Length == 0;

        public long Hour => _hours[_hour];

        public int UpTo => _uids[_uid].To;

        /// <summary>Read already.</summary>
        public ScriptKey After { get; set; }

        public string Subscription { get; set; } = "";

        public void Next()
        {
            if (++_uid == _uids.Length)
                (_uid, _hour) = (0, _hour + 1);
            (After, Subscription) = (new ScriptKey(_uids[_uid].From, ""), "");
        }
    }
}
