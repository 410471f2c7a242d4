using System.Data.Common;
using System.Globalization;
using System.Text.Json;
using RelayGate.Accounts;
using RelayGate.Core.Mail;
using RelayGate.Core.Notices;

namespace RelayGate.Notices;

/// <summary>Notices, who waits for which, and when each receiver was told, in the store.</summary>
internal static class NoticeRows
{
    public const string Columns = "id, kind, level, name, class, subscription, last_at, repeats, detail";

    private const string ClockName = "notice_clock";

    /// <summary>The newest time of the clock of notices that is stored.</summary>
    public static long Clock(DbConnection db) =>
        long.Parse(db.First("select value from setting_state where name = $1", static row => row.GetInt64(0).ToString(CultureInfo.InvariantCulture), ClockName) ?? "0", CultureInfo.InvariantCulture);

    public static void SetClock(DbConnection db, long clock) => db.Execute(
        "insert into setting_state (name, value) values ($1, $2) on conflict (name) do update set value = max(value, excluded.value)", ClockName, clock);

    /// <summary>Adds to the notice of this kind and object that was opened after <paramref name="since"/>.</summary>
    /// <returns>Its id; null when there is none.</returns>
    public static byte[]? Repeat(DbConnection db, Notice notice, DateTimeOffset at, long clock, long since)
    {
        KeptNotice? open = Open(db, notice, since);
        if (open is null || !QueueId.TryParse(open.Id, out QueueId id))
            return null;
        Notice merged = notice with
        {
            Sources = notice.Sources.IsEmpty ? open.Notice.Sources : notice.Sources,
            Ref = notice.Ref ?? open.Notice.Ref,
            Refused = notice.Refused ?? open.Notice.Refused,
            NextPossible = notice.NextPossible ?? open.Notice.NextPossible,
        };
        byte[] octets = id.ToBytes();
        db.Execute(
            "update notice set repeats = repeats + 1, last_clock = $2, last_at = max(last_at, $3), detail = $4 where id = $1",
            octets, clock, at.ToUnixTimeMilliseconds(), Detail(merged));
        return octets;
    }

    /// <summary>
    /// The notice of this kind and object that was opened after a time of the clock of notices. None where the opposite has happened since:
    /// what is exceeded again after it had recovered is news.
    /// </summary>
    public static KeptNotice? Open(DbConnection db, Notice notice, long since)
    {
        string kinds = notice.Kind switch
        {
            NoticeKind.Warning or NoticeKind.Exceeded or NoticeKind.Recovered => "in (2, 3, 4)",
            NoticeKind.Suspended or NoticeKind.Resumed => "in (7, 8)",
            _ => "= $5",
        };
        KeptNotice? last = db.First(
            $"select {Columns} from notice where level = $1 and name = $2 and class = $3 and opened_clock > $4 and kind {kinds} order by last_clock desc, id desc limit 1",
            Read, notice.Level, notice.Name, notice.Class ?? "", since, (int)notice.Kind);
        return last?.Notice.Kind == notice.Kind ? last : null;
    }

    public static void Insert(DbConnection db, byte[] id, Notice notice, DateTimeOffset at, long clock, long tick) => db.Execute(
        "insert into notice (id, kind, level, name, class, subscription, opened_clock, last_clock, last_at, repeats, detail) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, 1, $10)",
        id, (int)notice.Kind, notice.Level, notice.Name, notice.Class ?? "", notice.Subscription, clock, tick, at.ToUnixTimeMilliseconds(), Detail(notice));

    public static string? Contact(DbConnection db, string subscription) =>
        db.First("select contact from subscription where name = $1 and contact is not null", static row => row.GetString(0), subscription);

    /// <summary>Kinds that a subscription's contact is told of; null: those of the settings.</summary>
    public static string? OwnerKinds(DbConnection db, string subscription) =>
        db.First("select kinds from notice_owner where subscription = $1", static row => row.GetString(0), subscription);

    /// <param name="kinds">Null: those of the settings again.</param>
    public static void SetOwnerKinds(DbConnection db, string subscription, string? kinds)
    {
        if (kinds is null)
            db.Execute("delete from notice_owner where subscription = $1", subscription);
        else
            db.Execute("insert into notice_owner (subscription, kinds) values ($1, $2) on conflict (subscription) do update set kinds = excluded.kinds", subscription, kinds);
    }

    /// <summary>Lets a notice wait for its receiver, who is due at the earliest of all times given.</summary>
    public static void Wait(DbConnection db, byte[] notice, NoticeKind kind, string receiver, long clock, TimeSpan period)
    {
        db.Execute("insert into notice_receipt (notice, receiver) values ($1, $2)", notice, receiver);
        DateTimeOffset? mailed = Time(db.First("select mailed_clock from notice_receiver where address = $1 and mailed_clock is not null", Text, receiver));
        DateTimeOffset? told = kind == NoticeKind.Test ? null
            : Time(db.First("select at_clock from notice_told where receiver = $1 and kind = $2", Text, receiver, (int)kind));
        long due = NoticeSchedule.DueAt(kind, Time(clock), told, mailed, period).ToUnixTimeMilliseconds();
        db.Execute("""
            insert into notice_receiver (address, due_clock) values ($1, $2)
            on conflict (address) do update set due_clock = min(coalesce(due_clock, excluded.due_clock), excluded.due_clock)
            """, receiver, due);
    }

    public static List<string> Due(DbConnection db, long clock, int count) => db.All(
        "select address from notice_receiver where due_clock is not null and due_clock <= $1 order by due_clock limit $2", static row => row.GetString(0), clock, count);

    /// <summary>When the next receiver is due; null: nothing waits.</summary>
    public static long? NextDue(DbConnection db) => db.First(
        "select due_clock from notice_receiver where due_clock is not null order by due_clock limit 1", Text) is { } text ? long.Parse(text, CultureInfo.InvariantCulture) : null;

    /// <summary>What waits for a receiver, newest first, at most so many; and how many there are.</summary>
    public static (List<KeptNotice> Notices, int Count) Waiting(DbConnection db, string receiver, int count) => (
        db.All(
            $"select {Columns} from notice where id in (select notice from notice_receipt where receiver = $1 and mail is null order by notice desc limit $2)", Read, receiver, count),
        int.Parse(db.First("select count(*) from notice_receipt where receiver = $1 and mail is null", Text, receiver)!, CultureInfo.InvariantCulture));

    /// <summary>All that waited was told in this mail. Without a mail there was nothing to tell.</summary>
    public static void Told(DbConnection db, string receiver, byte[]? mail, long clock)
    {
        if (mail is null)
        {
            db.Execute("update notice_receiver set due_clock = null where address = $1", receiver);
            return;
        }
        db.Execute("""
            insert into notice_told (receiver, kind, at_clock)
            select distinct $1, kind, $2 from notice where id in (select notice from notice_receipt where receiver = $1 and mail is null) and true
            on conflict (receiver, kind) do update set at_clock = excluded.at_clock
            """, receiver, clock);
        db.Execute("update notice_receipt set mail = $2 where receiver = $1 and mail is null", receiver, mail);
        db.Execute("update notice_receiver set mailed_clock = $2, due_clock = null where address = $1", receiver, clock);
    }

    public static KeptNotice Read(DbDataReader row)
    {
        QueueId id = QueueId.FromBytes((byte[])row.GetValue(0));
        using JsonDocument detail = JsonDocument.Parse(row.GetString(8));
        JsonElement d = detail.RootElement;
        var notice = new Notice
        {
            Kind = (NoticeKind)row.GetInt32(1),
            Level = row.GetString(2),
            Name = row.GetString(3),
            Class = row.GetString(4) is { Length: > 0 } ofClass ? ofClass : null,
            Subscription = row.TextOrNull(5),
            Limit = TextOf(d, "limit"),
            Used = NumberOf(d, "used"),
            Refused = NumberOf(d, "refused"),
            NextPossible = NumberOf(d, "next") is { } next ? Time(next) : null,
            Ref = TextOf(d, "ref"),
            By = TextOf(d, "by"),
            Remark = TextOf(d, "remark"),
            Sources = d.TryGetProperty("sources", out JsonElement sources)
                ? [.. sources.EnumerateArray().Select(static s => new NoticeSource(TextOf(s, "what") ?? "", TextOf(s, "name") ?? "", NumberOf(s, "messages")))]
                : [],
        };
        return new KeptNotice(id.ToString(), id.Timestamp, Time(row.GetInt64(6)), row.GetInt64(7), notice);
    }

    private static string Detail(Notice notice)
    {
        using var octets = new MemoryStream();
        using (var json = new Utf8JsonWriter(octets))
        {
            json.WriteStartObject();
            Write(json, "limit", notice.Limit);
            Write(json, "used", notice.Used);
            Write(json, "refused", notice.Refused);
            Write(json, "next", notice.NextPossible?.ToUnixTimeMilliseconds());
            Write(json, "ref", notice.Ref);
            Write(json, "by", notice.By);
            Write(json, "remark", notice.Remark);
            if (!notice.Sources.IsEmpty)
            {
                json.WriteStartArray("sources");
                foreach (NoticeSource source in notice.Sources)
                {
                    json.WriteStartObject();
                    json.WriteString("what", source.What);
                    json.WriteString("name", source.Name);
                    Write(json, "messages", source.Messages);
                    json.WriteEndObject();
                }
                json.WriteEndArray();
            }
            json.WriteEndObject();
        }
        return System.Text.Encoding.UTF8.GetString(octets.ToArray());
    }

    private static void Write(Utf8JsonWriter json, string name, string? value)
    {
        if (value is not null)
            json.WriteString(name, value);
    }

    private static void Write(Utf8JsonWriter json, string name, long? value)
    {
        if (value is { } known)
            json.WriteNumber(name, known);
    }

    private static string? TextOf(JsonElement element, string name) => element.TryGetProperty(name, out JsonElement value) ? value.GetString() : null;

    private static long? NumberOf(JsonElement element, string name) => element.TryGetProperty(name, out JsonElement value) ? value.GetInt64() : null;

    private static string Text(DbDataReader row) => row.GetInt64(0).ToString(CultureInfo.InvariantCulture);

    private static DateTimeOffset? Time(string? milliseconds) => milliseconds is null ? null : Time(long.Parse(milliseconds, CultureInfo.InvariantCulture));

    private static DateTimeOffset Time(long milliseconds) => DateTimeOffset.FromUnixTimeMilliseconds(milliseconds);
}
