using System.Data.Common;
using System.Runtime.InteropServices;
using Microsoft.Data.Sqlite;
using RelayGate.Storage;
using RelayGate.Tests.Fakes;

namespace RelayGate.Tests.Storage;

public sealed class SqliteRelayStoreTests : IDisposable
{
    private readonly TempFolder _folder = new();

    private string File => Path.Combine(_folder.Path, SqliteRelayStore.FileName);

    [Fact]
    public async Task A_new_store_has_the_schema_and_belongs_to_us_alone()
    {
        using SqliteRelayStore store = SqliteRelayStore.Open(_folder.Path);

        Assert.Equal(8192, await Pragma(store, "page_size"));
        Assert.Equal(2, await Pragma(store, "auto_vacuum"));
        Assert.Equal(StoreSchema.Version, await Pragma(store, "user_version"));
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, System.IO.File.GetUnixFileMode(File));
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, System.IO.File.GetUnixFileMode(File + "-wal"));
    }

    [Fact]
    public async Task A_store_opens_again()
    {
        SqliteRelayStore.Open(_folder.Path).Dispose();

        using SqliteRelayStore store = SqliteRelayStore.Open(_folder.Path);

        Assert.Equal(StoreSchema.Version, await Pragma(store, "user_version"));
    }

    [Theory]
    [InlineData(99, "written by a newer RelayGate (schema 99, ")]
    [InlineData(1, "written before the first release (schema 1, ")]
    public void A_database_of_another_version_is_refused_in_one_line(int version, string why)
    {
        SqliteRelayStore.Open(_folder.Path).Dispose();
        Change($"PRAGMA user_version={version}");

        StoreUnusableException e = Assert.Throws<StoreUnusableException>(() => SqliteRelayStore.Open(_folder.Path));

        Assert.Contains(why, e.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', e.Message);
    }

    [Fact]
    public void A_file_that_is_no_database_is_refused_in_one_line()
    {
        System.IO.File.WriteAllText(File, string.Concat(Enumerable.Repeat("this is not a database\n", 1000)));

        StoreUnusableException e = Assert.Throws<StoreUnusableException>(() => SqliteRelayStore.Open(_folder.Path));

        Assert.EndsWith("is not a database: move it away, or restore it from a backup", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_database_of_another_program_is_refused()
    {
        Change("create table other (x)");

        StoreUnusableException e = Assert.Throws<StoreUnusableException>(() => SqliteRelayStore.Open(_folder.Path));

        Assert.Contains("another program", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_damaged_file_is_refused_in_one_line()
    {
        SqliteRelayStore.Open(_folder.Path).Dispose();
        using (FileStream stream = System.IO.File.OpenWrite(File))
        {
            stream.Position = 8192; // All pages but the first become rubbish.
            var rubbish = new byte[stream.Length - 8192];
            Array.Fill(rubbish, (byte)0xa5);
            stream.Write(rubbish);
        }

        StoreUnusableException e = Assert.Throws<StoreUnusableException>(() => SqliteRelayStore.Open(_folder.Path));

        Assert.Contains("is damaged: restore it from a backup", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_folder_in_the_place_of_the_file_is_refused_in_one_line()
    {
        Directory.CreateDirectory(File);

        StoreUnusableException e = Assert.Throws<StoreUnusableException>(() => SqliteRelayStore.Open(_folder.Path));

        Assert.Contains("cannot be opened", e.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("777", "444")] // The file.
    [InlineData("555", "666")] // The folder, where the log is to be.
    public void A_store_that_may_not_be_written_is_refused_in_one_line(string folder, string file)
    {
        SqliteRelayStore.Open(_folder.Path).Dispose();
        System.IO.File.SetUnixFileMode(File, (UnixFileMode)Convert.ToInt32(file, 8));
        System.IO.File.SetUnixFileMode(_folder.Path, (UnixFileMode)Convert.ToInt32(folder, 8));

        StoreUnusableException? refused = AsNobody(() => Assert.Throws<StoreUnusableException>(() => SqliteRelayStore.Open(_folder.Path)));

        Assert.Equal(
            $"{File} cannot be opened for writing: check owner and mode of the file and its folder, and whether its file system is mounted read-only", refused?.Message);
        System.IO.File.SetUnixFileMode(_folder.Path, (UnixFileMode)Convert.ToInt32("700", 8));
    }

    [Fact]
    public async Task A_read_that_throws_leaves_the_readers_usable()
    {
        using SqliteRelayStore store = SqliteRelayStore.Open(_folder.Path);

        for (int i = 0; i < 10; i++)
            await Assert.ThrowsAsync<InvalidOperationException>(() => store.ReadAsync<int>(_ => throw new InvalidOperationException("reader"), default));

        Assert.Equal(StoreSchema.Version, await Pragma(store, "user_version"));
    }

    [Fact]
    public async Task Reads_cannot_write()
    {
        using SqliteRelayStore store = SqliteRelayStore.Open(_folder.Path);

        await Assert.ThrowsAsync<SqliteException>(() => store.ReadAsync(connection => Execute(connection, "delete from message"), default));
    }

    public void Dispose() => _folder.Dispose();

    internal static int Execute(DbConnection connection, string sql)
    {
        using DbCommand command = connection.CreateCommand();
        command.CommandText = sql;
        return command.ExecuteNonQuery();
    }

    private static Task<long> Pragma(SqliteRelayStore store, string name) => store.ReadAsync(
        connection =>
        {
            using DbCommand command = connection.CreateCommand();
            command.CommandText = $"PRAGMA {name}";
            return Convert.ToInt64(command.ExecuteScalar());
        },
        default);

    /// <summary>Runs on a thread that the file system takes for another user's: root may write everything.</summary>
    private static T? AsNobody<T>(Func<T> action)
    {
        T? result = default;
        Exception? failure = null;
        var thread = new Thread(() =>
        {
            if (Environment.IsPrivilegedProcess)
                _ = SetFileSystemUser(65534); // Gives back the one before.
            failure = Record.Exception(() => result = action());
        });
        thread.Start();
        thread.Join();
        return failure is null ? result : throw failure;
    }

    [DllImport("libc", EntryPoint = "setfsuid")]
    private static extern int SetFileSystemUser(int uid);

    private void Change(string sql)
    {
        using var connection = new SqliteConnection($"Data Source={File};Pooling=False");
        connection.Open();
        Execute(connection, sql);
    }
}
