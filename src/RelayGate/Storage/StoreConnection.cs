using Microsoft.Data.Sqlite;

namespace RelayGate.Storage;

/// <summary>One connection with the statements prepared on it. Used by one thread at a time.</summary>
internal sealed class StoreConnection : IDisposable
{
    internal const int BusySeconds = 10; // Only recovery and a checkpoint that resets the log make others wait.

    private readonly Dictionary<string, SqliteStatement> _statements = new(ReferenceEqualityComparer.Instance);

    private StoreConnection(SqliteConnection connection) => Connection = connection;

    public SqliteConnection Connection { get; }

    /// <summary>Opens an existing file.</summary>
    public static StoreConnection Open(string path, string pragmas)
    {
        var builder = new SqliteConnectionStringBuilder { DataSource = path, Mode = SqliteOpenMode.ReadWrite, Pooling = false, DefaultTimeout = BusySeconds };
        var connection = new SqliteConnection(builder.ConnectionString);
        try
        {
            connection.Open();
            var opened = new StoreConnection(connection);
            opened.Execute($"PRAGMA busy_timeout={BusySeconds * 1000}; {pragmas}");
            return opened;
        }
        catch
        {
            connection.Dispose();
            throw;
        }
    }

    /// <summary>The prepared statement of this text. Texts are constants: they are told apart by reference.</summary>
    public SqliteStatement Prepared(string sql)
    {
        if (!_statements.TryGetValue(sql, out SqliteStatement? statement))
            _statements.Add(sql, statement = new SqliteStatement(Connection.Handle!, sql));
        return statement;
    }

    /// <summary>Runs one or more statements that need no parameters.</summary>
    public void Execute(string sql)
    {
        using SqliteCommand command = Connection.CreateCommand();
        command.CommandText = sql;
        command.ExecuteNonQuery();
    }

    public long Scalar(string sql)
    {
        using SqliteCommand command = Connection.CreateCommand();
        command.CommandText = sql;
        return Convert.ToInt64(command.ExecuteScalar());
    }

    public void Dispose()
    {
        foreach (SqliteStatement statement in _statements.Values)
            statement.Dispose();
        _statements.Clear();
        Connection.Dispose();
    }
}
