using System.Diagnostics;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Queue;
using RelayGate.Tests.Fakes;

namespace RelayGate.Tests.Queue;

/// <summary>Promises 1 and 4 at the store: a process killed between commit and reply loses nothing that it acknowledged, and forgets no usage.</summary>
public sealed class StoreCrashTests : IDisposable
{
    private const int Rounds = 8;
    private const string Done = "delivered ";

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private readonly TempFolder _folder = new();

    [Fact]
    public async Task What_was_acknowledged_before_a_kill_is_in_the_store_and_what_was_recorded_as_delivered_is_not_delivered_again()
    {
        var accepted = new HashSet<string>();
        var delivered = new HashSet<string>();
        for (int round = 0; round < Rounds; round++)
        {
            await KillAsync(accepted, delivered, 50 + 40 * round);

            using var queue = new QueueFixture(_folder.Path); // Recovery, without repair by hand.
            HashSet<string> recorded = await IdsAsync(queue, "decision");
            HashSet<string> waiting = await IdsAsync(queue, "message");
            Assert.Empty(accepted.Except(recorded));
            Assert.Empty(accepted.Except(delivered).Except(waiting).Except(await IdsAsync(queue, "attempt")));
            Assert.Empty(delivered.Intersect(waiting));
            Assert.Equal(0, await queue.Count("recipient", "message not in (select seq from message)"));
            UsageView usage = await queue.Usage.SnapshotAsync([AccountKey.Server], default);
            Assert.Equal(recorded.Count, usage.Rings[0].Used(LimitUnit.Messages, LimitWindow.Hour, usage.Now));
        }
        Assert.NotEmpty(delivered);
    }

    public void Dispose() => _folder.Dispose();

    /// <summary>Offers and delivers until it is killed, and says what is durable.</summary>
    internal static async Task RunChildAsync(string folder)
    {
        using var queue = new QueueFixture(folder);
        SenderAccount account = queue.Account();
        _ = queue.Scheduler;
        Task delivering = Task.Run(async () =>
        {
            while (await queue.Scheduler.TakeAsync(CancellationToken.None) is { } job)
            {
                await queue.EndAsync(job, DeliveryResult.Delivered);
                Console.WriteLine(Done + job.Message.Id);
            }
        });
        await Task.WhenAll(Enumerable.Range(0, 8).Select(async _ =>
        {
            while (true)
            {
                OfferedMessage message = queue.Message(account);
                if ((await queue.OfferAsync(message)).Outcome == OfferOutcome.Committed)
                    Console.WriteLine(message.Id);
            }
        }));
        await delivering;
    }

    /// <summary>Runs the child until it has acknowledged so many messages, kills it, and notes all that it said.</summary>
    private async Task KillAsync(HashSet<string> accepted, HashSet<string> delivered, int after)
    {
        var start = new ProcessStartInfo(Environment.ProcessPath is { } dotnet && Path.GetFileName(dotnet) == "dotnet" ? dotnet : "dotnet")
        {
            UseShellExecute = false,
            RedirectStandardOutput = true,
            ArgumentList = { "exec", typeof(StoreCrashTests).Assembly.Location, "store-crash", _folder.Path },
        };
        using Process child = Process.Start(start)!;
        using var patience = new CancellationTokenSource(Patience);
        try
        {
            int said = 0;
            while (await child.StandardOutput.ReadLineAsync(patience.Token) is { } line)
            {
                bool whole = line.StartsWith(Done, StringComparison.Ordinal) ? line.Length == Done.Length + 26 : line.Length == 26;
                if (!whole)
                    continue; // Cut off by the kill: never acknowledged.
                if (line.StartsWith(Done, StringComparison.Ordinal))
                    delivered.Add(line[Done.Length..]);
                else
                    accepted.Add(line);
                if (++said == after)
                    child.Kill();
            }
        }
        finally
        {
            if (!child.HasExited)
                child.Kill();
            await child.WaitForExitAsync(CancellationToken.None);
        }
    }

    private static Task<HashSet<string>> IdsAsync(QueueFixture queue, string table) => queue.Store.ReadRawAsync(
        connection =>
        {
            var ids = new HashSet<string>();
            using var select = new RelayGate.Storage.SqliteStatement(connection.Connection.Handle!, $"select id from {table}");
            while (select.Step())
                ids.Add(QueueId.FromBytes(select.Blob(0)).ToString());
            return ids;
        },
        default);
}
