using System.Collections.Immutable;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace RelayGate.Core.Notices;

/// <summary>Writes a notice as the payload of a webhook: type, timestamp and data, as Standard Webhooks asks for.</summary>
public static class NoticePayload
{
    /// <summary>For instance <c>notice.exceeded</c>.</summary>
    public static string Type(NoticeKind kind) => "notice." + NoticeKinds.Word(kind);

    public static byte[] Write(string hostname, KeptNotice kept)
    {
        using var octets = new MemoryStream();
        using (var json = new Utf8JsonWriter(octets, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            json.WriteStartObject();
            json.WriteString("type", Type(kept.Notice.Kind));
            json.WriteString("timestamp", Time(kept.At));
            json.WriteStartObject("data");
            json.WriteString("gateway", hostname);
            WriteFields(json, kept);
            json.WriteEndObject();
            json.WriteEndObject();
        }
        return octets.ToArray();
    }

    /// <summary>What is known of a notice, without what is not.</summary>
    public static void WriteFields(Utf8JsonWriter json, KeptNotice kept)
    {
        Notice notice = kept.Notice;
        json.WriteString("notice", kept.Id);
        json.WriteString("kind", NoticeKinds.Word(notice.Kind));
        json.WriteString("summary", NoticeText.Headline(notice));
        json.WriteString("level", notice.Level);
        json.WriteString("name", notice.Name);
        Text(json, "class", notice.Class);
        Text(json, "subscription", notice.Subscription);
        Text(json, "limit", notice.Limit);
        Number(json, "used", notice.Used);
        Number(json, "refused", notice.Refused);
        Text(json, "nextPossible", notice.NextPossible is { } next ? Time(next) : null);
        Text(json, "ref", notice.Ref);
        Text(json, "by", notice.By);
        Text(json, "remark", notice.Remark);
        WriteSources(json, notice.Sources);
        json.WriteString("at", Time(kept.At));
        json.WriteString("lastAt", Time(kept.LastAt));
        json.WriteNumber("repeats", kept.Repeats);
    }

    /// <summary>An array <c>sources</c>; nothing where there are none.</summary>
    public static void WriteSources(Utf8JsonWriter json, ImmutableArray<NoticeSource> sources)
    {
        if (sources.IsEmpty)
            return;
        json.WriteStartArray("sources");
        foreach (NoticeSource source in sources)
        {
            json.WriteStartObject();
            json.WriteString("what", source.What);
            json.WriteString("name", source.Name);
            Number(json, "messages", source.Messages);
            json.WriteEndObject();
        }
        json.WriteEndArray();
    }

    private static string Time(DateTimeOffset at) => at.UtcDateTime.ToString("yyyy-MM-ddTHH:mm:ss.fffZ", System.Globalization.CultureInfo.InvariantCulture);

    private static void Text(Utf8JsonWriter json, string name, string? value)
    {
        if (value is not null)
            json.WriteString(name, value);
    }

    private static void Number(Utf8JsonWriter json, string name, long? value)
    {
        if (value is { } known)
            json.WriteNumber(name, known);
    }
}
