using System.Collections.Immutable;
using System.Text.Json;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Queue;
using RelayGate.Storage;

namespace RelayGate.Replay;

/// <summary>What a replay needs of one decision record.</summary>
/// <param name="Last">Of merged refusals, when the last one was.</param>
/// <param name="Repeats">How many offers it stands for.</param>
/// <param name="Recipients">Of each; at least 1.</param>
/// <param name="Levels">What it counted at or would have, server first; empty for what never came as far as the limits.</param>
internal sealed record ReplayedRecord(
    QueueId Id, DateTimeOffset At, DateTimeOffset Last, long Repeats, int Recipients, bool WasAccepted, string Identity, bool WasExempt, ImmutableArray<AccountKey> Levels)
{
    /// <summary>The columns that <see cref="Read"/> wants.</summary>
    public const string Columns = "id, kind, verdict, reason, identity, repeats, last_at, levels, detail";

    public static ReplayedRecord Read(SqliteStatement row)
    {
        QueueId id = QueueId.FromBytes(row.Blob(0));
        Verdict verdict = RecordCodes.Verdict(row.Int64(2));
        bool isRefusal = verdict is Verdict.Refuse or Verdict.Defer;
        bool reachedLimits = row.Int64(1) == (long)RecordKind.Offered && (!isRefusal || Reasons.IsOfLimits(row.Text(3)));
        if (!reachedLimits)
            return new ReplayedRecord(id, id.Timestamp, id.Timestamp, 1, 0, false, "", false, []);
        (int recipients, bool wasExempt) = Detail(row.Blob(8));
        return new ReplayedRecord(
            id, id.Timestamp, isRefusal ? RecordReader.Time(row.Int64(6)) : id.Timestamp, row.Int64(5), Math.Max(1, recipients), verdict == Verdict.Accept, row.Text(4), wasExempt,
            ReadLevels(row.Blob(7)));
    }

    /// <summary>The objects of <c>levels</c>, each once (a limit has an entry of its own), then those of <c>beyond</c>.</summary>
    private static ImmutableArray<AccountKey> ReadLevels(ReadOnlySpan<byte> ruling)
    {
        var levels = ImmutableArray.CreateBuilder<AccountKey>(5);
        var json = new Utf8JsonReader(ruling);
        Level level = Level.Server;
        bool isInList = false;
        while (json.Read())
        {
            if (json.TokenType == JsonTokenType.StartArray)
                isInList = true;
            else if (json.TokenType == JsonTokenType.EndArray)
                isInList = false;
            if (!isInList || json.TokenType != JsonTokenType.PropertyName)
                continue;
            if (json.ValueTextEquals("level"u8))
            {
                json.Read();
                level = LevelOf(json.ValueSpan);
            }
            else if (json.ValueTextEquals("name"u8))
            {
                json.Read();
                if (levels.Count == 0 || levels[^1].Level != level || !json.ValueTextEquals(levels[^1].Name))
                    levels.Add(new AccountKey(level, json.GetString()!));
            }
        }
        return levels.DrainToImmutable();
    }

    private static Level LevelOf(ReadOnlySpan<byte> name) => name[0] switch
    {
        (byte)'p' => Level.Plan,
        (byte)'d' => Level.Domain,
        (byte)'m' => Level.Mailbox,
        _ => name.SequenceEqual("server"u8) ? Level.Server : Level.Subscription,
    };

    private static (int Recipients, bool WasExempt) Detail(ReadOnlySpan<byte> detail)
    {
        var json = new Utf8JsonReader(detail);
        bool wasExempt = false;
        json.Read();
        while (json.Read() && json.TokenType == JsonTokenType.PropertyName)
        {
            bool isCount = json.ValueTextEquals("recipients"u8);
            bool isExempt = json.ValueTextEquals("exempt"u8);
            json.Read();
            if (isCount)
                return (json.GetInt32(), wasExempt);
            wasExempt |= isExempt && json.TokenType == JsonTokenType.True;
            json.Skip();
        }
        return (1, wasExempt);
    }
}
