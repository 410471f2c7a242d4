using Microsoft.Data.Sqlite;

namespace RelayGate.Benchmarks;

/// <summary>
/// The same insert by <see cref="SqliteCommand"/> and by a prepared statement of SQLite's own, on one connection.
/// <c>dotnet run -c Release --project tests/RelayGate.Benchmarks -- statements</c>
/// </summary>
internal static class StatementBenchmark
{
    private const int Rows = 200_000;
    private const string Insert = "insert into t (id, a, b, c, d, e, f, g) values (?, ?, ?, ?, ?, ?, ?, ?)";

    public static void Run()
    {
        string path = Path.Combine(Directory.CreateTempSubdirectory("rg-bench-").FullName, "t.db");
        using var connection = new SqliteConnection($"Data Source={path};Pooling=False");
        connection.Open();
        Execute(connection, "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; create table t (id blob primary key, a int, b int, c text, d text, e text, f blob, g int) without rowid");
        byte[] blob = new byte[600];
        for (int round = 0; round < 3; round++)
        {
            Measure("DbCommand", connection, () => ByCommand(connection, blob));
            Measure("raw statement", connection, () => ByStatement(connection, blob));
        }
        connection.Dispose();
        Directory.Delete(Path.GetDirectoryName(path)!, recursive: true);
    }

    private static void Measure(string name, SqliteConnection connection, Action run)
    {
        Execute(connection, "delete from t; begin");
        TimeSpan cpu = Environment.CpuUsage.TotalTime;
        long allocated = GC.GetTotalAllocatedBytes();
        run();
        cpu = Environment.CpuUsage.TotalTime - cpu;
        allocated = GC.GetTotalAllocatedBytes() - allocated;
        Execute(connection, "commit");
        Console.WriteLine($"{name,-14} {cpu.TotalMicroseconds / Rows:N2} us CPU, {allocated / Rows} octets allocated per row of 8 columns");
    }

    private static void ByCommand(SqliteConnection connection, byte[] blob)
    {
        using SqliteCommand command = connection.CreateCommand();
        command.CommandText = "insert into t (id, a, b, c, d, e, f, g) values ($1, $2, $3, $4, $5, $6, $7, $8)";
        for (int i = 1; i <= 8; i++)
            command.Parameters.Add(new SqliteParameter { ParameterName = $"${i}" });
        command.Prepare();
        for (int n = 0; n < Rows; n++)
        {
            command.Parameters[0].Value = Id(n);
            command.Parameters[1].Value = 2L;
            command.Parameters[2].Value = (long)n;
            command.Parameters[3].Value = "accepted";
            command.Parameters[4].Value = "login info@shop.test";
            command.Parameters[5].Value = "customer@example.org";
            command.Parameters[6].Value = blob;
            command.Parameters[7].Value = 1L;
            command.ExecuteNonQuery();
        }
    }

    private static void ByStatement(SqliteConnection connection, byte[] blob)
    {
        using var statement = new Storage.SqliteStatement(connection.Handle!, Insert);
        for (int n = 0; n < Rows; n++)
        {
            statement.Bind(1, Id(n)).Bind(2, 2L).Bind(3, (long)n).Bind(4, "accepted").Bind(5, "login info@shop.test").Bind(6, "customer@example.org").Bind(7, blob).Bind(8, 1L)
                .Execute();
        }
    }

    private static byte[] Id(int n)
    {
        byte[] id = new byte[16];
        System.Buffers.Binary.BinaryPrimitives.WriteInt32BigEndian(id, n);
        return id;
    }

    private static void Execute(SqliteConnection connection, string sql)
    {
        using SqliteCommand command = connection.CreateCommand();
        command.CommandText = sql;
        command.ExecuteNonQuery();
    }
}
