using System.Collections.Immutable;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Queue;

namespace RelayGate.Admin;

/// <summary>Records of the decision log and the queue as JSON: names in camelCase, words of enumerations as <c>partly-failed</c>.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    Converters =
    [
        typeof(WordConverter<Verdict>), typeof(WordConverter<RecordOutcome>), typeof(WordConverter<RecordKind>), typeof(WordConverter<RecipientState>),
        typeof(WordConverter<QueueState>), typeof(WordConverter<HoldReason>), typeof(WordConverter<QueueOrderOutcome>), typeof(WordConverter<DsnReturn>),
        typeof(WordConverter<DsnNotify>),
    ])]
[JsonSerializable(typeof(MessageItem))]
[JsonSerializable(typeof(MessageRecord))]
[JsonSerializable(typeof(QueueItem))]
[JsonSerializable(typeof(QueueEntry))]
[JsonSerializable(typeof(QueueOrderResult))]
[JsonSerializable(typeof(RefusalItem))]
[JsonSerializable(typeof(ScriptUsage))]
[JsonSerializable(typeof(ScriptView))]
internal sealed partial class RecordJson : JsonSerializerContext
{
    public static JsonNode ToNode<T>(T value, JsonTypeInfo<T> type) => JsonSerializer.SerializeToNode(value, type)!;

    public static JsonObject List<T>(ImmutableArray<T> items, JsonTypeInfo<T> type, string? next) => AdminJson.List(items, item => ToNode(item, type), next);
}

internal sealed class WordConverter<T>() : JsonStringEnumConverter<T>(JsonNamingPolicy.KebabCaseLower, allowIntegerValues: false)
    where T : struct, Enum;
