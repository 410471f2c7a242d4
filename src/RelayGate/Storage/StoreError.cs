using Microsoft.Data.Sqlite;
using SQLitePCL;

namespace RelayGate.Storage;

/// <summary>What an error of the store means for the writes that met it.</summary>
internal enum StoreError
{
    /// <summary>The statement is at fault (constraint, bug): only its own write fails.</summary>
    Statement,

    /// <summary>No room on the disk: 452 4.3.1, and it passes by itself.</summary>
    Full,

    /// <summary>Broken I/O or a corrupt file: the store is closed and reopened through recovery before it is written again.</summary>
    Broken,
}

internal static class StoreErrors
{
    public static StoreError Classify(Exception exception) => exception switch
    {
        SqliteException sqlite => Classify(sqlite.SqliteErrorCode),
        ObjectDisposedException or IOException or UnauthorizedAccessException => StoreError.Broken,
        _ => StoreError.Statement,
    };

    private static StoreError Classify(int code) => (code & 0xff) switch
    {
        raw.SQLITE_FULL => StoreError.Full,
        raw.SQLITE_IOERR or raw.SQLITE_CORRUPT or raw.SQLITE_NOTADB or raw.SQLITE_CANTOPEN or raw.SQLITE_READONLY or raw.SQLITE_PERM
            or raw.SQLITE_PROTOCOL or raw.SQLITE_NOMEM or raw.SQLITE_MISUSE or raw.SQLITE_BUSY or raw.SQLITE_LOCKED => StoreError.Broken,
        _ => StoreError.Statement,
    };
}
