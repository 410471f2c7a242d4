using System.Data.Common;

namespace RelayGate.Accounts;

/// <summary>Short forms of DbCommand for statements with parameters <c>$1</c>, <c>$2</c>…, which SQLite and PostgreSQL both read.</summary>
internal static class DbConnectionExtensions
{
    public static int Execute(this DbConnection connection, string sql, params ReadOnlySpan<object?> values)
    {
        using DbCommand command = Prepare(connection, sql, values);
        return command.ExecuteNonQuery();
    }

    /// <summary>Whether there is at least one row.</summary>
    public static bool Exists(this DbConnection connection, string sql, params ReadOnlySpan<object?> values)
    {
        using DbCommand command = Prepare(connection, sql, values);
        using DbDataReader row = command.ExecuteReader();
        return row.Read();
    }

    /// <summary>The first row, or null.</summary>
    public static T? First<T>(this DbConnection connection, string sql, Func<DbDataReader, T> read, params ReadOnlySpan<object?> values)
        where T : class
    {
        using DbCommand command = Prepare(connection, sql, values);
        using DbDataReader row = command.ExecuteReader();
        return row.Read() ? read(row) : null;
    }

    public static List<T> All<T>(this DbConnection connection, string sql, Func<DbDataReader, T> read, params ReadOnlySpan<object?> values)
    {
        using DbCommand command = Prepare(connection, sql, values);
        using DbDataReader row = command.ExecuteReader();
        var all = new List<T>();
        while (row.Read())
            all.Add(read(row));
        return all;
    }

    public static string? TextOrNull(this DbDataReader row, int column) => row.IsDBNull(column) ? null : row.GetString(column);

    /// <summary>A value of an enumeration kept by its number.</summary>
    public static T? ChoiceOrNull<T>(this DbDataReader row, int column)
        where T : struct, Enum => row.IsDBNull(column) ? null : (T)Enum.ToObject(typeof(T), row.GetInt32(column));

    public static bool Flag(this DbDataReader row, int column) => row.GetInt64(column) != 0;

    private static DbCommand Prepare(DbConnection connection, string sql, ReadOnlySpan<object?> values)
    {
        DbCommand command = connection.CreateCommand();
        command.CommandText = sql;
        for (int i = 0; i < values.Length; i++)
        {
            DbParameter parameter = command.CreateParameter();
            parameter.ParameterName = $"${i + 1}";
            parameter.Value = values[i] ?? DBNull.Value;
            command.Parameters.Add(parameter);
        }
        return command;
    }
}
