using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using RelayGate.Core.Policy;
using RelayGate.Storage;

namespace RelayGate.Reports;

/// <summary>Sums the hourly history by name. Reads for at most 50 ms at a time and holds a bounded number of names, however many there are.</summary>
/// <remarks>
/// Rows lie by hour and then by name. So all hours are read side by side, from one name up to another, as far as what is held stays small; then from
/// there on. Each name comes out once, with the figures of all hours.
/// </remarks>
internal sealed class HistoryReader(SqliteRelayStore store)
{
    /// <summary>Names that are held at once at most: some 2 MiB.</summary>
    public const int MaxNames = 10_000;

    private const int MaxRows = 512; // Of one hour at a time.

    private static readonly TimeSpan MaxRead = TimeSpan.FromMilliseconds(50);

    /// <summary>The oldest hour that is kept; null: nothing is.</summary>
    public Task<long?> OldestAsync(CancellationToken cancellationToken) => store.ReadRawAsync(
        static connection =>
        {
            SqliteStatement select = connection.Prepared(HistorySql.Oldest);
            select.Step();
            long? oldest = select.NullableInt64(0);
            select.Reset();
            return oldest;
        },
        cancellationToken);

    /// <summary>How many objects have a limit that has been exceeded and has not recovered.</summary>
    public Task<long> OverNowAsync(CancellationToken cancellationToken) => store.ReadRawAsync(
        static connection =>
        {
            SqliteStatement select = connection.Prepared(HistorySql.OverNow).Bind(1, (long)CrossingKind.Exceeded);
            select.Step();
            long count = select.Int64(0);
            select.Reset();
            return count;
        },
        cancellationToken);

    /// <summary>One object, by class.</summary>
    /// <returns>The sum of all, and that of each class.</returns>
    public async Task<(HistorySum Sum, HistorySum[] Classes)> ObjectAsync(AccountKey key, HourRange hours, CancellationToken cancellationToken)
    {
        var sum = new HistorySum();
        HistorySum[] classes = [.. Enumerable.Range(0, MessageClasses.Count).Select(static _ => new HistorySum())];
        await EachHourAsync(hours, (connection, hour) =>
        {
            bool isOver = false;
            SqliteStatement row = connection.Prepared(HistorySql.Object).Bind(1, hour).Bind(2, (long)key.Level).Bind(3, key.Name);
            while (row.Step())
            {
                sum.AddObject(row, 0);
                if (row.Int64(0) is var number && number >= 0 && number < classes.Length)
                    classes[number].AddObject(row, 0);
                isOver |= row.Int64(7) > 0;
            }
            if (isOver)
                sum.AddHourOver();
        }, cancellationToken);
        return (sum, classes);
    }

    /// <summary>Everything that a statement finds, by name.</summary>
    public async IAsyncEnumerable<Dictionary<string, HistorySum>> AllAsync(HistoryQuery query, HourRange hours, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        string after = "";
        while (true)
        {
            var page = new Page(query, after);
            await EachHourAsync(hours, page.Read, cancellationToken);
            yield return page.Names;
            if (page.UpTo is not { } upTo)
                yield break;
            after = upTo;
        }
    }

    /// <summary>Objects that another statement names, in pages.</summary>
    /// <param name="names">Above, from behind, at most.</param>
    /// <param name="active">The object above: where it has nothing in an hour, those below have nothing either.</param>
    public async IAsyncEnumerable<Dictionary<string, HistorySum>> BelowAsync(
        Level level, string names, AccountKey active, HourRange hours, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        const int PageOfNames = 200;
        string after = "";
        while (true)
        {
            List<string> page = await store.ReadRawAsync(connection => Names(connection, names, active.Name, after, PageOfNames), cancellationToken);
            if (page.Count == 0)
                yield break;
            var sums = new Dictionary<string, HistorySum>();
            int next = 0;
            long begun = -1;
            await EachHourAsync(hours, (connection, hour) =>
            {
                if (begun != hour)
                    (begun, next) = (hour, Has(connection, active, hour) ? 0 : page.Count);
                long started = Stopwatch.GetTimestamp();
                for (; next < page.Count && Stopwatch.GetElapsedTime(started) < MaxRead; next++)
                    AddObject(connection, hour, level, page[next], sums);
                return next == page.Count;
            }, cancellationToken);
            yield return sums;
            after = page[^1];
        }
    }

    /// <summary>Those of some names of which a statement finds a row.</summary>
    /// <param name="exists">Name, above.</param>
    public async Task FilterAsync(Dictionary<string, HistorySum> names, string exists, string above, CancellationToken cancellationToken)
    {
        foreach (string[] some in names.Keys.Chunk(2000))
        {
            List<string> others = await store.ReadRawAsync(connection => some.Where(name => !Exists(connection, exists, name, above)).ToList(), cancellationToken);
            foreach (string other in others)
                names.Remove(other);
        }
    }

    /// <summary>The order in which SQLite has texts: that of their UTF-8 octets.</summary>
    internal static int Compare(string left, string right)
    {
        int common = left.AsSpan().CommonPrefixLength(right);
        if (common == left.Length || common == right.Length)
            return left.Length - right.Length;
        char l = left[common], r = right[common];
        return char.IsSurrogate(l) == char.IsSurrogate(r) ? l - r : char.IsSurrogate(l) ? 1 : -1;
    }

    private Task EachHourAsync(HourRange hours, Action<StoreConnection, long> read, CancellationToken cancellationToken) => EachHourAsync(
        hours,
        (connection, hour) =>
        {
            read(connection, hour);
            return true;
        },
        cancellationToken);

    /// <param name="read">False: there is more of this hour.</param>
    private async Task EachHourAsync(HourRange hours, Func<StoreConnection, long, bool> read, CancellationToken cancellationToken)
    {
        long hour = hours.Begin;
        while (hour < hours.End)
        {
            long next = hour;
            hour = await store.ReadRawAsync(
                connection =>
                {
                    long started = Stopwatch.GetTimestamp();
                    while (next < hours.End && read(connection, next) && ++next < hours.End && Stopwatch.GetElapsedTime(started) < MaxRead)
                    {
                    }
                    return next;
                },
                cancellationToken);
        }
    }

    private static void AddObject(StoreConnection connection, long hour, Level level, string name, Dictionary<string, HistorySum> sums)
    {
        SqliteStatement row = connection.Prepared(HistorySql.Object).Bind(1, hour).Bind(2, (long)level).Bind(3, name);
        HistorySum? sum = null;
        bool isOver = false;
        while (row.Step())
        {
            sum ??= CollectionsMarshal.GetValueRefOrAddDefault(sums, name, out _) ??= new HistorySum();
            sum.AddObject(row, 0);
            isOver |= row.Int64(7) > 0;
        }
        if (isOver)
            sum!.AddHourOver();
    }

    private static bool Has(StoreConnection connection, AccountKey key, long hour)
    {
        SqliteStatement row = connection.Prepared(HistorySql.Object).Bind(1, hour).Bind(2, (long)key.Level).Bind(3, key.Name);
        bool has = row.Step();
        row.Reset();
        return has;
    }

    private static bool Exists(StoreConnection connection, string sql, string name, string above)
    {
        SqliteStatement row = connection.Prepared(sql).Bind(1, name).Bind(2, above);
        bool exists = row.Step();
        row.Reset();
        return exists;
    }

    private static List<string> Names(StoreConnection connection, string sql, string above, string after, int count)
    {
        var names = new List<string>(count);
        SqliteStatement row = connection.Prepared(sql).Bind(1, above).Bind(2, after).Bind(3, count);
        while (row.Step())
            names.Add(row.Text(0));
        return names;
    }

    /// <summary>The names from one on, up to where they become too many.</summary>
    private sealed class Page(HistoryQuery query, string after)
    {
        /// <summary>The last name that all hours were read to; null: to the end.</summary>
        public string? UpTo { get; private set; }

        public Dictionary<string, HistorySum> Names { get; } = [];

        public void Read(StoreConnection connection, long hour)
        {
            SqliteStatement row = connection.Prepared(query.Sql).Bind(1, hour).Bind(2, MaxRows);
            query.Bind(row, after, UpTo);
            string? name = null, before = null;
            HistorySum current = new();
            bool isOver = false;
            int rows = 0;
            while (row.Step())
            {
                rows++;
                if (query.Name(row) is var found && found != name)
                {
                    if (name is not null)
                        Add(name, current, isOver);
                    (before, name, current, isOver) = (name, found, new HistorySum(), false);
                }
                isOver |= query.Add(current, row);
            }
            if (rows == MaxRows && before is not null)
                Cut(before); // The last one may have more rows.
            else if (name is not null)
                Add(name, current, isOver);
            if (Names.Count > MaxNames)
                Cut(Names.Keys.Order(Comparer<string>.Create(Compare)).ElementAt(MaxNames / 2));
        }

        private void Add(string name, HistorySum sum, bool isOver)
        {
            if (isOver)
                sum.AddHourOver();
            ref HistorySum? known = ref CollectionsMarshal.GetValueRefOrAddDefault(Names, name, out bool exists);
            if (exists)
                known!.Add(sum);
            else
                known = sum;
        }

        /// <summary>What comes behind this name is for the next page.</summary>
        private void Cut(string upTo)
        {
            UpTo = upTo;
            foreach (string name in Names.Keys)
            {
                if (Compare(name, upTo) > 0)
                    Names.Remove(name);
            }
        }
    }
}

/// <param name="Begin">Hours since 1970 UTC.</param>
/// <param name="End">The first hour that does not belong to it.</param>
internal readonly record struct HourRange(long Begin, long End);
