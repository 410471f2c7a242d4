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
internal sealed record ReplayedRecord(
    QueueId Id, DateTimeOffset At, DateTimeOffset Last, long Repeats, int Recipients, bool WasAccepted, string Identity, ReplayedRuling Ruling)
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
            return new ReplayedRecord(id, id.Timestamp, id.Timestamp, 1, 0, false, "", ReplayedRuling.None);
        return new ReplayedRecord(
            id, id.Timestamp, isRefusal ? RecordReader.Time(row.Int64(6)) : id.Timestamp, row.Int64(5), Math.Max(1, RecipientsOf(row.Blob(8))), verdict == Verdict.Accept,
            row.Text(4), ReplayedRuling.Read(row.Blob(7)));
    }

    private static int RecipientsOf(ReadOnlySpan<byte> detail)
    {
        var json = new Utf8JsonReader(detail);
        json.Read();
        while (json.Read() && json.TokenType == JsonTokenType.PropertyName)
        {
            bool isCount = json.ValueTextEquals("recipients"u8);
            json.Read();
            if (isCount)
                return json.GetInt32();
            json.Skip();
        }
        return 1;
    }
}

/// <summary>What the binding decision has left in a record.</summary>
/// <param name="Class">Null: the record does not say.</param>
/// <param name="WasExempt">No limit held for it.</param>
/// <param name="Levels">The objects it counted at or would have, server first; empty for what never came as far as the limits.</param>
internal sealed record ReplayedRuling(MessageClass? Class, bool WasExempt, ImmutableArray<AccountKey> Levels)
{
    public static ReplayedRuling None { get; } = new(null, false, []);

    /// <summary>The objects of <c>levels</c>, each once (a limit has an entry of its own), then those of <c>beyond</c>.</summary>
    public static ReplayedRuling Read(ReadOnlySpan<byte> ruling)
    {
        var json = new Utf8JsonReader(ruling);
        var levels = ImmutableArray.CreateBuilder<AccountKey>(5);
        MessageClass? messageClass = null;
        bool wasExempt = false;
        var level = Level.Server;
        while (json.Read())
        {
            if (json.TokenType != JsonTokenType.PropertyName)
                continue;
            bool isInList = json.CurrentDepth > 1;
            if (isInList && json.ValueTextEquals("level"u8))
            {
                json.Read();
                level = LevelOf(json.ValueSpan);
            }
            else if (isInList && json.ValueTextEquals("name"u8))
            {
                json.Read();
                if (!IsLast(levels, level, ref json) && new AccountKey(level, json.GetString()!) is var key && !levels.Contains(key))
                    levels.Add(key);
            }
            else if (!isInList && json.ValueTextEquals("class"u8))
            {
                json.Read();
                messageClass = ClassOf(ref json);
            }
            else if (!isInList && json.ValueTextEquals("exempt"u8))
            {
                json.Read();
                wasExempt = json.TokenType == JsonTokenType.True;
            }
        }
        return new ReplayedRuling(messageClass, wasExempt, levels.DrainToImmutable());
    }

    /// <summary>Without making a text of the name: an object with several limits has as many entries.</summary>
    private static bool IsLast(ImmutableArray<AccountKey>.Builder levels, Level level, ref Utf8JsonReader json) =>
        levels.Count > 0 && levels[^1].Level == level && json.ValueTextEquals(levels[^1].Name);

    private static Level LevelOf(ReadOnlySpan<byte> name) => name[0] switch
    {
        (byte)'p' => Level.Plan,
        (byte)'d' => Level.Domain,
        (byte)'m' => Level.Mailbox,
        _ => name.SequenceEqual("server"u8) ? Level.Server : Level.Subscription,
    };

    private static MessageClass? ClassOf(ref Utf8JsonReader json)
    {
        foreach (MessageClass value in Enum.GetValues<MessageClass>())
        {
            if (json.ValueTextEquals(value.Word()))
                return value;
        }
        return null;
    }
}
