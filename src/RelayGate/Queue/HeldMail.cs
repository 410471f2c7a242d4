using System.Collections.Immutable;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Storage;

namespace RelayGate.Queue;

/// <summary>A held message that has become too old.</summary>
/// <param name="Why">What it was held for, in words.</param>
public sealed record HeldForTooLong(QueuedMessage Message, string Why);

/// <summary>What of the held mail is too old.</summary>
/// <param name="OldestLeft">Arrival of the oldest that is not; null when there is none.</param>
public sealed record HeldPage(ImmutableArray<HeldForTooLong> TooOld, DateTimeOffset? OldestLeft);

/// <summary>Finds held mail by its age. By an index over what is held and may expire: not what was parked by hand or by a fault.</summary>
public sealed class HeldMail(SqliteRelayStore store)
{
    private const string SelectOldest = "select seq, id, held, held_at, held_note from message where held > 3 order by id limit ?";

    /// <summary>The oldest messages that came before a time, with their content; to be released by the caller.</summary>
    public Task<HeldPage> OldestAsync(DateTimeOffset before, int count) => store.ReadRawAsync(connection => Oldest(connection, before, count), CancellationToken.None);

    private static HeldPage Oldest(StoreConnection connection, DateTimeOffset before, int count)
    {
        var found = new List<(long Seq, string Why)>();
        DateTimeOffset? left = null;
        SqliteStatement row = connection.Prepared(SelectOldest).Bind(1, count);
        while (row.Step())
        {
            DateTimeOffset at = QueueId.FromBytes(row.Blob(1)).Timestamp;
            if (at >= before)
            {
                left = at;
                row.Reset();
                break;
            }
            found.Add((row.Int64(0), QueueHold.Words((HoldReason)row.Int64(2), row.NullableText(3), row.NullableText(4))));
        }
        var old = ImmutableArray.CreateBuilder<HeldForTooLong>(found.Count);
        foreach ((long seq, string why) in found)
        {
            if (QueueReader.Message(connection, seq) is { } message)
                old.Add(new HeldForTooLong(message, why));
        }
        return new HeldPage(old.ToImmutable(), left);
    }
}
