using System.Data.Common;
using Microsoft.Data.Sqlite;
using RelayGate.Core.Mail;
using RelayGate.Queue;
using SQLitePCL;

namespace RelayGate.Storage;

/// <summary>The embedded store: one SQLite file with accounts, queue, usage and decision log (DESIGN §6).</summary>
public sealed class SqliteRelayStore : IDisposable
{
    public const string FileName = "relaygate.db";

    private const int PageOctets = 8192;
    private const string CommonPragmas = "PRAGMA foreign_keys=ON; PRAGMA temp_store=MEMORY; PRAGMA wal_autocheckpoint=0; PRAGMA synchronous=FULL;";
    private const string WritePragmas = CommonPragmas + "PRAGMA cache_size=-32768; PRAGMA journal_size_limit=67108864; PRAGMA secure_delete=OFF;";
    private const string ReadPragmas = CommonPragmas + "PRAGMA cache_size=-8192; PRAGMA query_only=ON;";

    private readonly StoreReaders _readers;
    private int _generation = 1;

    private SqliteRelayStore(string path)
    {
        Path = path;
        _readers = new StoreReaders(this);
    }

    /// <summary>The database file.</summary>
    public string Path { get; }

    /// <summary>Rises when the file was closed after broken I/O: connections of an older generation are closed before they are used again.</summary>
    internal int Generation => Volatile.Read(ref _generation);

    /// <summary>Opens the store in a folder, and creates it (mode 0600) when there is none.</summary>
    /// <param name="dataDirectory">An existing folder.</param>
    /// <exception cref="StoreUnusableException">Unreadable, corrupt, not ours, or written by a newer program; one line for the administrator.</exception>
    public static SqliteRelayStore Open(string dataDirectory)
    {
        string path = System.IO.Path.Combine(dataDirectory, FileName);
        try
        {
            Create(path);
            using (StoreConnection connection = StoreConnection.Open(path, ""))
                Prepare(connection, path);
        }
        catch (Exception e) when (e is SqliteException or IOException or UnauthorizedAccessException)
        {
            throw new StoreUnusableException(Explain(path, e), e);
        }
        return new SqliteRelayStore(path);
    }

    /// <summary>Runs a read on one of the read threads, in a read transaction of its own. One page of results, at most 100 ms.</summary>
    public Task<T> ReadAsync<T>(Func<DbConnection, T> read, CancellationToken cancellationToken) =>
        _readers.ReadAsync(connection => read(connection.Connection), cancellationToken);

    /// <summary>One chunk of a body that is in the store; empty when it has gone.</summary>
    public async Task<ReadOnlyMemory<byte>> ReadChunkAsync(QueueId id, int sequence, CancellationToken cancellationToken) =>
        await _readers.ReadAsync(connection => QueueReader.Chunk(connection, id, sequence), cancellationToken);

    /// <summary>Closes the read threads. The writer, which holds a connection of its own, is stopped before.</summary>
    public void Dispose() => _readers.Dispose();

    internal Task<T> ReadRawAsync<T>(Func<StoreConnection, T> read, CancellationToken cancellationToken) => _readers.ReadAsync(read, cancellationToken);

    internal StoreConnection OpenReadConnection() => StoreConnection.Open(Path, ReadPragmas);

    internal StoreConnection OpenWriteConnection() => StoreConnection.Open(Path, WritePragmas);

    /// <summary>
    /// Opens the file again after broken I/O. Recovery reads the log, and a checkpoint moves all of it into the database file and empties it:
    /// after a failed sync the kernel may have forgotten pages of the log, and nothing may be appended behind such a gap.
    /// </summary>
    /// <exception cref="SqliteException">Still broken.</exception>
    internal StoreConnection Reopen()
    {
        Interlocked.Increment(ref _generation);
        StoreConnection connection = OpenWriteConnection();
        try
        {
            if (connection.Scalar("PRAGMA user_version") != StoreSchema.Version)
                throw new SqliteException("The database file was replaced", raw.SQLITE_NOTADB);
            int result = raw.sqlite3_wal_checkpoint_v2(connection.Connection.Handle, null, raw.SQLITE_CHECKPOINT_TRUNCATE, out _, out _);
            if (result != raw.SQLITE_OK)
                throw new SqliteException("The log could not be moved into the database file", result);
            return connection;
        }
        catch
        {
            connection.Dispose();
            throw;
        }
    }

    private static void Create(string path)
    {
        if (File.Exists(path))
            return;
        // SQLite gives its log and index the mode of the database file.
        var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write, UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite };
        using var file = new FileStream(path, options);
    }

    private static void Prepare(StoreConnection connection, string path)
    {
        // SQLite opens what it may not write for reading alone, and would say so at the first message.
        if (raw.sqlite3_db_readonly(connection.Connection.Handle, "main") != 0)
            throw new StoreUnusableException(NotWritable(path));
        long version = connection.Scalar("PRAGMA user_version");
        if (version > StoreSchema.Version)
            throw new StoreUnusableException($"{path} was written by a newer RelayGate (schema {version}, this program knows {StoreSchema.Version}): start that version, or move the file away");
        if (version == 0 && connection.Scalar("select count(*) from sqlite_schema") == 0)
        {
            connection.Execute($"PRAGMA page_size={PageOctets}; PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;");
            // One transaction: a crash leaves an empty file or a whole schema.
            connection.Execute($"begin immediate; {StoreSchema.Ddl} PRAGMA application_id={StoreSchema.ApplicationId}; PRAGMA user_version={StoreSchema.Version}; commit;");
            return;
        }
        if (connection.Scalar("PRAGMA application_id") != StoreSchema.ApplicationId || version == 0)
            throw new StoreUnusableException($"{path} is a database of another program: move it away, or name another DataDirectory");
        if (version < StoreSchema.Version)
            throw new StoreUnusableException($"{path} was written before the first release (schema {version}, this program knows {StoreSchema.Version}): move the file away");
        connection.Execute("PRAGMA journal_mode=WAL;");
        foreach (string table in Tables(connection))
            connection.Execute($"select * from {table} limit 1"); // All columns, so the table and no index: meets a damaged file now rather than at the first message.
    }

    private static List<string> Tables(StoreConnection connection)
    {
        var tables = new List<string>();
        SqliteStatement select = connection.Prepared("select name from sqlite_schema where type = 'table' and name not like 'sqlite%'");
        while (select.Step())
            tables.Add(select.Text(0));
        return tables;
    }

    /// <summary>One line for the administrator about a fault that a use of the store met.</summary>
    internal string Explain(SqliteException error) => Explain(Path, error);

    private static string Explain(string path, Exception e) => e switch
    {
        SqliteException sqlite => (sqlite.SqliteErrorCode & 0xff) switch
        {
            raw.SQLITE_NOTADB => $"{path} is not a database: move it away, or restore it from a backup",
            raw.SQLITE_CORRUPT => $"{path} is damaged: restore it from a backup, or move it away with its -wal and -shm files",
            raw.SQLITE_CANTOPEN or raw.SQLITE_PERM or raw.SQLITE_READONLY or raw.SQLITE_AUTH => NotWritable(path),
            raw.SQLITE_FULL => $"{path} cannot be written: no space left on the device",
            raw.SQLITE_BUSY or raw.SQLITE_LOCKED => $"{path} is in use by another program",
            _ => $"{path} cannot be read: {OneLine(sqlite.Message)}",
        },
        _ => $"{path} cannot be opened: {OneLine(e.Message)}",
    };

    private static string NotWritable(string path) =>
        $"{path} cannot be opened for writing: check owner and mode of the file and its folder, and whether its file system is mounted read-only";

    private static string OneLine(string text) => text.ReplaceLineEndings(" ");
}
