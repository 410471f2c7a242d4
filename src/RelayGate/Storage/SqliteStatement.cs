using System.Text;
using Microsoft.Data.Sqlite;
using SQLitePCL;

namespace RelayGate.Storage;

/// <summary>One prepared statement, bound and stepped without the layers of ADO.NET: on the writer's path these cost more than SQLite itself.</summary>
/// <remarks>Used by one thread. Parameters count from 1 and columns from 0, as SQLite has them. Spans of a row hold until the next step.</remarks>
internal sealed class SqliteStatement : IDisposable
{
    private const int MaxStackOctets = 512;

    private readonly sqlite3 _db;
    private readonly sqlite3_stmt _statement;

    public SqliteStatement(sqlite3 db, string sql)
    {
        _db = db;
        Check(raw.sqlite3_prepare_v3(db, sql, raw.SQLITE_PREPARE_PERSISTENT, out _statement));
    }

    public SqliteStatement Bind(int index, long value)
    {
        Check(raw.sqlite3_bind_int64(_statement, index, value));
        return this;
    }

    public SqliteStatement Bind(int index, long? value) => value is { } known ? Bind(index, known) : BindNull(index);

    public SqliteStatement Bind(int index, bool value) => Bind(index, value ? 1L : 0L);

    public SqliteStatement Bind(int index, ReadOnlySpan<byte> blob)
    {
        Check(blob.IsEmpty ? raw.sqlite3_bind_zeroblob(_statement, index, 0) : raw.sqlite3_bind_blob(_statement, index, blob));
        return this;
    }

    public SqliteStatement Bind(int index, string? text)
    {
        if (text is null)
            return BindNull(index);
        if (text.Length > MaxStackOctets / 3)
            return BindUtf8(index, Encoding.UTF8.GetBytes(text));
        Span<byte> utf8 = stackalloc byte[MaxStackOctets];
        return BindUtf8(index, utf8[..Encoding.UTF8.GetBytes(text, utf8)]);
    }

    public SqliteStatement BindUtf8(int index, ReadOnlySpan<byte> text)
    {
        Check(text.IsEmpty ? raw.sqlite3_bind_text(_statement, index, "") : raw.sqlite3_bind_text(_statement, index, text));
        return this;
    }

    public SqliteStatement BindNull(int index)
    {
        Check(raw.sqlite3_bind_null(_statement, index));
        return this;
    }

    /// <summary>Goes to the next row. False at the end, when the statement is ready to be bound again.</summary>
    public bool Step()
    {
        int result = raw.sqlite3_step(_statement);
        if (result == raw.SQLITE_ROW)
            return true;
        if (result != raw.SQLITE_DONE)
        {
            SqliteException failure = Failure(result);
            raw.sqlite3_reset(_statement);
            throw failure;
        }
        raw.sqlite3_reset(_statement);
        return false;
    }

    /// <summary>Runs a statement without rows and returns the number of rows it changed.</summary>
    public int Execute()
    {
        while (Step())
        {
        }
        return raw.sqlite3_changes(_db);
    }

    /// <summary>Leaves a statement before its last row, so that it holds no read transaction open.</summary>
    public void Reset() => raw.sqlite3_reset(_statement);

    public bool IsNull(int column) => raw.sqlite3_column_type(_statement, column) == raw.SQLITE_NULL;

    public long Int64(int column) => raw.sqlite3_column_int64(_statement, column);

    public int Int32(int column) => raw.sqlite3_column_int(_statement, column);

    public long? NullableInt64(int column) => IsNull(column) ? null : Int64(column);

    public string Text(int column) => raw.sqlite3_column_text(_statement, column).utf8_to_string() ?? "";

    public string? NullableText(int column) => IsNull(column) ? null : Text(column);

    public ReadOnlySpan<byte> Blob(int column) => raw.sqlite3_column_blob(_statement, column);

    public void Dispose() => _statement.Dispose();

    private void Check(int result)
    {
        if (result != raw.SQLITE_OK)
            throw Failure(result);
    }

    private SqliteException Failure(int result) =>
        new($"SQLite error {result}: {raw.sqlite3_errmsg(_db).utf8_to_string()}", result & 0xff, raw.sqlite3_extended_errcode(_db));
}
