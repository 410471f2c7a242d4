using System.Collections.Immutable;
using Microsoft.Extensions.Logging;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Storage;
using RelayGate.Telemetry;

namespace RelayGate.Queue;

/// <summary>A held message that has become too old.</summary>
/// <param name="Why">What it was held for, in words.</param>
public sealed record HeldForTooLong(QueuedMessage Message, string Why);

/// <summary>What of the held mail is too old.</summary>
/// <param name="OldestLeft">From when on the age of the oldest counts that is not; null when there is none.</param>
public sealed record HeldPage(ImmutableArray<HeldForTooLong> TooOld, DateTimeOffset? OldestLeft);

/// <summary>Finds held mail by its age. By an index over what is held and may expire: not what was parked by hand or by a fault.</summary>
public sealed class HeldMail(SqliteRelayStore store, QueueWriter writer, ILogger<HeldMail> logger)
{
    private const string SelectOldest = "select seq, id, held, held_at, held_note, null from message where held > 3 and requeued_at is null order by id limit ?";

    private const string SelectOldestRequeued =
        "select seq, id, held, held_at, held_note, requeued_at from message where held > 3 and requeued_at is not null order by requeued_at limit ?";

    /// <summary>The oldest messages, those whose age counts from before a time, with their content; to be released by the caller. What cannot be read is parked.</summary>
    public async Task<HeldPage> OldestAsync(DateTimeOffset before, int count)
    {
        while (true)
        {
            var unreadable = new List<long>();
            HeldPage page = await store.ReadRawAsync(connection => Oldest(connection, before, count, unreadable), CancellationToken.None);
            if (unreadable.Count > 0)
                await writer.ParkAsync(unreadable);
            if (unreadable.Count == 0 || !page.TooOld.IsEmpty)
                return page;
        }
    }

    private HeldPage Oldest(StoreConnection connection, DateTimeOffset before, int count, List<long> unreadable)
    {
        var found = new List<(long Seq, string Why)>();
        DateTimeOffset? left = null;
        foreach (string sql in (string[])[SelectOldest, SelectOldestRequeued])
        {
            SqliteStatement row = connection.Prepared(sql).Bind(1, count);
            while (row.Step())
            {
                DateTimeOffset at = row.NullableInt64(5) is { } requeued ? RecordReader.Time(requeued) : QueueId.FromBytes(row.Blob(1)).Timestamp;
                if (at >= before)
                {
                    left = left < at ? left : at;
                    row.Reset();
                    break;
                }
                found.Add((row.Int64(0), QueueHold.Words((HoldReason)row.Int64(2), row.NullableText(3), row.NullableText(4))));
            }
        }
        var old = ImmutableArray.CreateBuilder<HeldForTooLong>(found.Count);
        foreach ((long seq, string why) in found)
        {
            try
            {
                if (QueueReader.Message(connection, seq) is { } message)
                    old.Add(new HeldForTooLong(message, why));
            }
            catch (Exception e) when (e is FormatException or ArgumentException)
            {
                Log.MessageUnreadable(logger, seq, e);
                unreadable.Add(seq);
            }
        }
        return new HeldPage(old.ToImmutable(), left);
    }
}
