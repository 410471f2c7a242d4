using System.Collections.Immutable;
using System.Text.Json;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Storage;

namespace RelayGate.Queue;

/// <summary>Reads what <see cref="RecordRows"/> and <see cref="AttemptRows"/> have written.</summary>
internal static class RecordReader
{
    /// <summary>Columns of a decision in the order of the methods below.</summary>
    public const string Columns =
        "id, kind, verdict, outcome, reason, subscription, identity, sender, recipients, octets, repeats, last_at, levels, detail";

    private const int Reason = 4;
    private const int Identity = 6;
    private const int Sender = 7;
    private const int Recipients = 8;
    private const int Levels = 12;
    private const int Detail = 13;
    private const int MaxListed = 3; // Recipients of an item.

    public static QueueId Id(SqliteStatement row) => QueueId.FromBytes(row.Blob(0));

    /// <summary>Whether a record is one that is looked for; its time and subscription were looked at by the index.</summary>
    public static bool Matches(SqliteStatement row, MessageQuery query) =>
        (query.Outcome is not { } outcome || row.Int64(3) == (long)outcome)
        && (query.Verdict is not { } verdict || row.Int64(2) == RecordCodes.Of(verdict))
        && (query.Reason is not { } reason || row.Text(Reason) == reason)
        && (query.Identity is not { } identity || IsIdentity(row.Text(Identity), identity))
        && (query.Sender is not { } sender || IsAddress(row.Text(Sender), sender))
        && (query.Recipient is not { } recipient || row.Text(Recipients).Split('\n').Any(r => IsAddress(r, recipient)))
        && (query.RecipientDomain is not { } domain || row.Text(Recipients).Split('\n').Any(r => IsAddress(r, "@" + domain)));

    public static MessageItem Item(SqliteStatement row)
    {
        string[] recipients = Lines(row.Text(Recipients));
        using JsonDocument ruling = Json(row, Levels);
        using JsonDocument detail = Json(row, Detail);
        QueueId id = Id(row);
        return new MessageItem(
            id.ToString(), (RecordKind)row.Int64(1), id.Timestamp, Time(row.Int64(11)), row.Text(Identity), row.NullableText(5), row.Text(Sender),
            [.. recipients.Take(MaxListed)], Int32(detail.RootElement, "recipients") ?? recipients.Length, RecordCodes.Verdict(row.Int64(2)),
            (RecordOutcome)row.Int64(3), row.Text(Reason), Text(ruling.RootElement, "reply") ?? "", row.Int64(9), row.Int64(10));
    }

    public static MessageRecord Record(SqliteStatement row)
    {
        string[] recipients = Lines(row.Text(Recipients));
        using JsonDocument ruling = Json(row, Levels);
        using JsonDocument detail = Json(row, Detail);
        JsonElement d = detail.RootElement;
        QueueId id = Id(row);
        return new MessageRecord
        {
            Ref = id.ToString(),
            Kind = (RecordKind)row.Int64(1),
            Original = Text(d, "original"),
            At = id.Timestamp,
            LastAt = Time(row.Int64(11)),
            Identity = row.Text(Identity),
            Process = ProcessRecord.Read(d),
            Credential = Text(d, "credential"),
            Script = ScriptRecord.Read(d),
            Claims = ScriptRecord.ReadClaims(d),
            Client = Text(d, "client"),
            Listener = Text(d, "listener"),
            Protocol = Text(d, "protocol"),
            Helo = Text(d, "helo"),
            Tls = Text(d, "tls"),
            Subscription = row.NullableText(5),
            Plan = Text(d, "plan"),
            Claimed = Flag(d, "claimed"),
            Class = Text(ruling.RootElement, "class"),
            Exempt = Flag(ruling.RootElement, "exempt"),
            Stage = Text(d, "stage"),
            Sender = row.Text(Sender),
            ReversePath = Text(d, "reversePath"),
            Corrections = List(d, "corrections", c => new RecordedCorrection(
                Text(c, "what") ?? "", Text(c, "original") ?? "", Text(c, "replacement") ?? "", Text(c, "why") ?? "")),
            Recipients = [.. recipients],
            RecipientCount = Int32(d, "recipients") ?? recipients.Length,
            EnvelopeId = Text(d, "envelopeId"),
            From = Text(d, "from"),
            Subject = Text(d, "subject"),
            MessageId = Text(d, "messageId"),
            PhpScript = Text(d, "phpScript"),
            Octets = row.Int64(9),
            HeaderChanges = List(d, "headerChanges", c => c.GetString() ?? ""),
            Signatures = List(d, "signatures", s => s.GetString() ?? ""),
            Unsigned = d.TryGetProperty("unsigned", out JsonElement u) ? new Unsigned(Text(u, "why") ?? "", Text(u, "domain")) : null,
            Egress = d.TryGetProperty("egress", out JsonElement e) ? new RecordedEgress(Text(e, "why") ?? "", Text(e, "ipv4"), Text(e, "ipv6"), Text(e, "helo") ?? "", Text(e, "ipv6OffBy"), e.TryGetProperty("system", out _) ? true : null) : null,
            Verdict = RecordCodes.Verdict(row.Int64(2)),
            Reason = row.Text(Reason),
            Reply = Text(ruling.RootElement, "reply") ?? "",
            Levels = List(ruling.RootElement, "levels", Level),
            NextPossible = Moment(ruling.RootElement, "next"),
            Repeats = row.Int64(10),
            Outcome = (RecordOutcome)row.Int64(3),
        };
    }

    public static RecordedAttempt Attempt(SqliteStatement row)
    {
        using JsonDocument results = Json(row, 7);
        var list = ImmutableArray.CreateBuilder<RecordedResult>();
        foreach (JsonElement r in results.RootElement.EnumerateArray())
            list.Add(Result(r));
        return new RecordedAttempt(
            Time(row.Int64(0)), row.Int64(1) / 1000.0, row.Text(2), row.Text(3), row.Text(4), row.Text(5), row.NullableText(6), list.DrainToImmutable())
        {
            Report = row.NullableText(8),
            Provider = row.Text(9),
            TlsPolicy = row.NullableText(10),
            WaitsFor = row.NullableText(12),
            Refusals = row.IsNull(11) ? [] : Refusals(row, 11),
        };
    }

    /// <summary>One recipient's result, as <see cref="AttemptRows"/> has written it.</summary>
    public static RecordedResult Result(JsonElement r) => new(
        Int32(r, "position") ?? 0, Text(r, "recipient") ?? "", Text(r, "result") ?? "", Text(r, "reply") ?? "", Text(r, "status"), Moment(r, "next"),
        Text(r, "class"), Text(r, "code"), Text(r, "list"), Text(r, "url"), Text(r, "rule"))
    {
        Provider = Text(r, "provider"),
        NextHop = Text(r, "nextHop"),
        Remote = Text(r, "remote"),
        Local = Text(r, "local"),
    };

    /// <summary>How earlier hosts of an attempt ended, as <see cref="AttemptRows"/> has written it.</summary>
    public static ImmutableArray<RecordedRefusal> Refusals(SqliteStatement row, int column)
    {
        using JsonDocument refusals = Json(row, column);
        return
        [
            .. refusals.RootElement.EnumerateArray().Select(static r => new RecordedRefusal(
                Text(r, "stage") ?? "", Text(r, "nextHop") ?? "", Text(r, "remote") ?? "", Text(r, "local") ?? "", Text(r, "provider") ?? Text(r, "host") ?? "",
                Text(r, "recipient") ?? "", Int32(r, "recipients") ?? 1, Text(r, "result") ?? "", Text(r, "reply") ?? "", Text(r, "status"), Text(r, "class"), Text(r, "code"),
                Text(r, "list"), Text(r, "url"), Text(r, "rule"))
            {
                HostProvider = Text(r, "host") ?? "",
            }),
        ];
    }

    public static DateTimeOffset Time(long milliseconds) => DateTimeOffset.FromUnixTimeMilliseconds(milliseconds);

    private static RecordedLevel Level(JsonElement level) => new(
        Text(level, "level") ?? "", Text(level, "name") ?? "", Text(level, "class"), Text(level, "limit"), Text(level, "origin") ?? "",
        level.GetProperty("used").GetInt64(), level.GetProperty("after").GetInt64(), Flag(level, "stopped"));

    private static bool IsIdentity(string identity, string wanted) =>
        identity.Equals(wanted, StringComparison.OrdinalIgnoreCase)
        || (identity.IndexOf(' ') is var blank and >= 0 && identity.AsSpan(blank + 1).Equals(wanted, StringComparison.OrdinalIgnoreCase));

    private static bool IsAddress(string address, string wanted) => wanted.StartsWith('@')
        ? address.EndsWith(wanted, StringComparison.OrdinalIgnoreCase)
        : address.Equals(wanted, StringComparison.OrdinalIgnoreCase);

    private static string[] Lines(string text) => text.Length == 0 ? [] : text.Split('\n');

    private static JsonDocument Json(SqliteStatement row, int column) => JsonDocument.Parse(row.Blob(column).ToArray());

    private static string? Text(JsonElement element, string name) => element.TryGetProperty(name, out JsonElement value) ? value.GetString() : null;

    private static int? Int32(JsonElement element, string name) => element.TryGetProperty(name, out JsonElement value) ? value.GetInt32() : null;

    private static bool Flag(JsonElement element, string name) => element.TryGetProperty(name, out JsonElement value) && value.GetBoolean();

    private static DateTimeOffset? Moment(JsonElement element, string name) => element.TryGetProperty(name, out JsonElement value) ? Time(value.GetInt64()) : null;

    private static ImmutableArray<T> List<T>(JsonElement element, string name, Func<JsonElement, T> read) =>
        element.TryGetProperty(name, out JsonElement list) ? [.. list.EnumerateArray().Select(read)] : [];
}
