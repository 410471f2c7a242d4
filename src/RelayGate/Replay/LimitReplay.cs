using System.Diagnostics;
using System.Runtime.CompilerServices;
using RelayGate.Configuration;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Queue;
using RelayGate.Storage;

namespace RelayGate.Replay;

/// <summary>What-if: puts the mail of some time before the policy once more, with other limits. It reads pages of the decision log and writes nothing.</summary>
/// <remarks>
/// A message is replayed at the time of its MAIL, at the levels it was counted at, and counts if it would be accepted now. The usage at the beginning
/// is what was really accepted in the 25 hours before. Merged refusals are spread evenly from the first to the last. What other limits would have
/// refused is not offered again, and what they would have held is not released again.
/// </remarks>
/// <param name="maxObjects">Of one replay.</param>
public sealed class LimitReplay(SqliteRelayStore store, RelayGateOptions options, TimeProvider time, int maxObjects = LimitReplay.MaxObjects)
{
    /// <summary>Objects of one replay by default, some 250 octets each.</summary>
    public const int MaxObjects = 500_000;

    /// <summary>Objects that a report lists.</summary>
    public const int MaxItems = 1000;

    private const int MaxPage = 2000; // Records of one read.
    private const int RecordsBetweenLooks = 64;
    private const string Select = $"select {ReplayedRecord.Columns} from decision where id > ? and id < ? order by id";

    private static readonly TimeSpan MaxRead = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan LongestWindow = TimeSpan.FromHours(25); // The running hour and the 24 before it.

    /// <summary>Replays up to now. The last step has the report.</summary>
    /// <param name="over">What happens above the proposed limits; null: what happens above those in force.</param>
    /// <param name="since">Replayed and reported from here on.</param>
    /// <exception cref="ReplayException">It cannot be made as asked.</exception>
    public async IAsyncEnumerable<ReplayStep> RunAsync(
        IReadOnlyList<LimitProposal> proposals, OverLimitAction? over, DateTimeOffset since, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        DateTimeOffset until = time.GetUtcNow();
        if (since < DateTimeOffset.UnixEpoch)
            since = DateTimeOffset.UnixEpoch; // Nothing is older.
        DateTimeOffset begin = since - LongestWindow;
        QueueId end = QueueId.Create(until, 0, 0);
        QueueId after = QueueId.Create(begin, 0, 0);
        var objects = new ReplayObjects(store, options, new LimitProposals(proposals, over), maxObjects);
        var run = new ReplayRun(objects, since);
        var page = new List<ReplayedRecord>(MaxPage);
        while (true)
        {
            bool isEnd = await store.ReadRawAsync(connection => ReadPage(connection, after, end, page), cancellationToken);
            await objects.MeetAsync(page, cancellationToken);
            foreach (ReplayedRecord record in page)
                run.Replay(record);
            if (isEnd)
                break;
            after = page[^1].Id;
            yield return new ReplayStep(Math.Clamp((page[^1].At - begin) / (until - begin), 0, 1), run.Records, null);
        }
        run.Finish();
        yield return new ReplayStep(1, run.Records, run.Report(until));
    }

    /// <returns>Whether this was the last page.</returns>
    private static bool ReadPage(StoreConnection connection, QueueId after, QueueId end, List<ReplayedRecord> page)
    {
        page.Clear();
        long started = Stopwatch.GetTimestamp();
        SqliteStatement row = connection.Prepared(Select).Bind(1, after.ToBytes()).Bind(2, end.ToBytes());
        while (row.Step())
        {
            page.Add(ReplayedRecord.Read(row));
            if (page.Count < MaxPage && (page.Count % RecordsBetweenLooks != 0 || Stopwatch.GetElapsedTime(started) < MaxRead))
                continue;
            row.Reset();
            return false;
        }
        return true;
    }
}
