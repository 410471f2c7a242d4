using Microsoft.Data.Sqlite;
using RelayGate.Hosting;
using RelayGate.Storage;
using RelayGate.Tests.Fakes;

namespace RelayGate.Tests.Hosting;

/// <summary>A store with one page destroyed, of any table or of an index that is read at the start: it ends in one line with the remedy.</summary>
public sealed class DamagedStoreTests
{
    [Fact]
    public async Task A_damaged_table_ends_the_start_in_one_line_with_the_remedy()
    {
        using var folder = new TempFolder();
        List<(string Type, string Name, long Root)> all = await MakeAsync(folder);
        byte[] whole = await File.ReadAllBytesAsync(FileIn(folder));
        Assert.Contains(all, static part => part.Name == "subscription");

        foreach ((string type, string name, long root) in all)
        {
            byte[] damaged = [.. whole];
            damaged.AsSpan((int)((root - 1) * 8192), 8192).Fill(0x5A);
            using var other = new TempFolder();
            Directory.CreateDirectory(other.File("data"), UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
            await File.WriteAllBytesAsync(FileIn(other), damaged);
            Exception? error = await Record.ExceptionAsync(async () => await (await TestGateway.StartAsync(folder: other)).DisposeAsync());

            string line = error is GatewayStartException ? error.Message : $"{error}";
            Assert.True(line.Contains($"{SqliteRelayStore.FileName} is damaged: restore it from a backup", StringComparison.Ordinal) && !line.Contains('\n'), $"{type} {name}: {line}");
        }
    }

    private static string FileIn(TempFolder folder) => Path.Combine(folder.File("data"), SqliteRelayStore.FileName);

    private static async Task<List<(string Type, string Name, long Root)>> MakeAsync(TempFolder folder)
    {
        await using (await TestGateway.StartAsync(folder: folder))
        {
        }
        var all = new List<(string, string, long)>();
        await using var connection = new SqliteConnection(new SqliteConnectionStringBuilder { DataSource = FileIn(folder), Pooling = false }.ToString());
        await connection.OpenAsync();
        await using SqliteCommand command = connection.CreateCommand();
        command.CommandText = "pragma wal_checkpoint(truncate); select type, name, rootpage from sqlite_schema where type = 'table' or name in ('mailbox_suspended', 'message_id')";
        await using SqliteDataReader rows = await command.ExecuteReaderAsync();
        await rows.NextResultAsync();
        while (await rows.ReadAsync())
            all.Add((rows.GetString(0), rows.GetString(1), rows.GetInt64(2)));
        return all;
    }
}
