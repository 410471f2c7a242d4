using System.Globalization;
using RelayGate.Core.Policy;
using RelayGate.Storage;

namespace RelayGate.Reports;

/// <summary>A statement that gives rows of one hour in the order of their names: hour, at most so many, and what <see cref="Bind"/> adds.</summary>
/// <param name="Bind">Binds the name from behind which on, and the one up to which (null: to the end), both as <paramref name="Name"/> gives them.</param>
/// <param name="Name">Names of rows; their order is that of the rows.</param>
/// <param name="Add">Adds a row; true where a limit refused or held.</param>
internal sealed record HistoryQuery(
    string Sql, Action<SqliteStatement, string, string?> Bind, Func<SqliteStatement, string> Name, Func<HistorySum, SqliteStatement, bool> Add)
{
    private const int UidDigits = 10;

    /// <param name="onlyOver">Those alone that a limit of their own refused or held mail of.</param>
    public static HistoryQuery Objects(Level level, bool onlyOver = false) => new(
        onlyOver ? HistorySql.ObjectsOver : HistorySql.Objects, (row, after, upTo) => BindRange(row.Bind(3, (long)level), after, upTo), static row => row.Text(0),
        static (sum, row) =>
        {
            sum.AddObject(row, 1);
            return row.Int64(8) > 0;
        });

    /// <param name="subscription">"": all.</param>
    public static HistoryQuery Addresses(string subscription) => new(
        HistorySql.Addresses, (row, after, upTo) => BindRange(row.Bind(3, subscription), after, upTo), static row => row.Text(0), AddSource(1));

    /// <summary>Names are the uid with leading zeros, a blank and the script.</summary>
    /// <param name="subscription">"": all.</param>
    public static HistoryQuery Scripts(string subscription) => new(
        HistorySql.Scripts,
        (row, after, upTo) =>
        {
            (int uid, string script) = after.Length == 0 ? (int.MinValue, "") : Script(after);
            (long lastUid, string lastScript) = upTo is null ? (long.MaxValue, "") : Script(upTo);
            row.Bind(3, uid).Bind(4, script).Bind(5, lastUid).Bind(6, lastScript).Bind(7, subscription);
        },
        static row => string.Create(CultureInfo.InvariantCulture, $"{row.Int64(0):D10} {row.Text(1)}"), AddSource(2));

    /// <summary>What a name of <see cref="Scripts"/> is made of.</summary>
    public static (int Uid, string Script) Script(string name) => (int.Parse(name.AsSpan(0, UidDigits), CultureInfo.InvariantCulture), name[(UidDigits + 1)..]);

    private static Func<HistorySum, SqliteStatement, bool> AddSource(int column) => (sum, row) =>
    {
        sum.AddSource(row, column);
        return false;
    };

    /// <summary>A blob comes behind every text.</summary>
    private static void BindRange(SqliteStatement row, string after, string? upTo)
    {
        row.Bind(4, after);
        if (upTo is not null)
            row.Bind(5, upTo);
        else
            row.Bind(5, ReadOnlySpan<byte>.Empty);
    }
}
