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
            NoticeKind.EgressMissing or NoticeKind.EgressBack => "in (20, 21)",
            NoticeKind.IpBlocked or NoticeKind.IpRecovered => "in (23, 24)",
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
    /// <param name="isOwner">Told as the contact of the notice's subscription, not as the administrator.</param>
    public static void Wait(DbConnection db, byte[] id, Notice notice, string receiver, bool isOwner, long clock, TimeSpan period)
    {
        long since = clock - (long)period.TotalMilliseconds;
        if (db.Execute("insert or ignore into notice_receipt (notice, receiver, owner) values ($1, $2, $3)", id, receiver, isOwner ? 1 : 0) == 0)
            return;
        DateTimeOffset? mailed = Time(db.First("select mailed_clock from notice_receiver where address = $1 and mailed_clock is not null", Text, receiver));
        DateTimeOffset? told = notice.Kind == NoticeKind.Test ? null : Time(db.First("""
            select told_clock from notice_receipt where receiver = $1 and told_clock is not null and notice in (
              select id from notice where level = $2 and name = $3 and class = $4 and kind = $5 and last_clock > $6)
            order by told_clock desc limit 1
            """, Text, receiver, notice.Level, notice.Name, notice.Class ?? "", (int)notice.Kind, since - (long)period.TotalMilliseconds)); // What waited a period was told after it.
        int mails = db.All("select 1 from notice_sent where receiver = $1 and at_clock > $2 limit $3", static row => row.GetInt32(0), receiver, since, NoticeSchedule.MaxAtOnce).Count;
        long due = NoticeSchedule.DueAt(notice.Kind, Time(clock), told, mailed, mails, period).ToUnixTimeMilliseconds();
        db.Execute("""
            insert into notice_receiver (address, due_clock) values ($1, $2)
            on conflict (address) do update set due_clock = min(coalesce(due_clock, excluded.due_clock), excluded.due_clock)
            """, receiver, due);
    }

    /// <summary>Some of what waits for a receiver who is no longer the one to be told: the administrator or a contact has changed since.</summary>
    /// <param name="isAdministrator">Whether the receiver is the administrator now.</param>
    public static List<(byte[] Id, Notice Notice, bool IsOwner)> Misplaced(DbConnection db, string receiver, bool isAdministrator, int count)
    {
        var wrong = new List<(byte[], Notice, bool)>();
        List<(bool IsOwner, string? Subscription)> groups = db.All(
            "select distinct r.owner, n.subscription from notice_receipt r join notice n on n.id = r.notice where r.receiver = $1 and r.mail is null",
            static row => (row.Flag(0), row.TextOrNull(1)), receiver);
        foreach ((bool isOwner, string? subscription) in groups)
        {
            if (isOwner ? OwnerOf(db, subscription)?.Text == receiver : isAdministrator)
                continue;
            wrong.AddRange(db.All(
                $"select {Columns} from notice where subscription is $3 and id in (select notice from notice_receipt where receiver = $1 and mail is null and owner = $2) limit $4",
                row => ((byte[])row.GetValue(0), Read(row).Notice, isOwner), receiver, isOwner ? 1 : 0, subscription, count - wrong.Count));
        }
        return wrong;
    }

    /// <summary>The contact of a subscription; null: nobody.</summary>
    public static MailboxAddress? OwnerOf(DbConnection db, string? subscription) =>
        subscription is not null && Contact(db, subscription) is { } contact && MailboxAddress.TryParse(contact, out MailboxAddress? owner) ? owner : null;

    /// <summary>A notice does not wait for this receiver any more.</summary>
    public static void Unwait(DbConnection db, byte[] id, string receiver) =>
        db.Execute("delete from notice_receipt where notice = $1 and receiver = $2 and mail is null", id, receiver);

    public static List<string> Due(DbConnection db, long clock, int count) => db.All(
        "select address from notice_receiver where due_clock is not null and due_clock <= $1 order by due_clock limit $2", static row => row.GetString(0), clock, count);

    /// <summary>When the next receiver is due; null: nothing waits.</summary>
    public static long? NextDue(DbConnection db) => db.First(
        "select due_clock from notice_receiver where due_clock is not null order by due_clock limit 1", Text) is { } text ? long.Parse(text, CultureInfo.InvariantCulture) : null;

    /// <summary>What waits for a receiver, at most so many: of each kind the newest, so that many of one kind hide no other; and how many there are.</summary>
    public static (List<KeptNotice> Notices, int Count) Waiting(DbConnection db, string receiver, int count) => (
        db.All($"""
            select {Columns} from notice where id in (
              select n.id from notice_receipt r join notice n on n.id = r.notice where r.receiver = $1 and r.mail is null
              order by row_number() over (partition by n.kind order by n.id desc), n.id desc limit $2)
            """, Read, receiver, count),
        int.Parse(db.First("select count(*) from notice_receipt where receiver = $1 and mail is null", Text, receiver)!, CultureInfo.InvariantCulture));

    /// <summary>Nothing waits for this receiver.</summary>
    public static void NotDue(DbConnection db, string receiver) => db.Execute("update notice_receiver set due_clock = null where address = $1", receiver);

    /// <summary>All that waited was told in this mail.</summary>
    public static void Told(DbConnection db, string receiver, byte[] mail, long clock, TimeSpan period)
    {
        db.Execute("update notice_receipt set mail = $2, told_clock = $3 where receiver = $1 and mail is null", receiver, mail, clock);
        db.Execute("update notice_receiver set mailed_clock = $2, due_clock = null where address = $1", receiver, clock);
        db.Execute("delete from notice_sent where receiver = $1 and at_clock <= $2", receiver, clock - (long)period.TotalMilliseconds);
        db.Execute("insert or ignore into notice_sent (receiver, at_clock) values ($1, $2)", receiver, clock);
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
            NoticePayload.WriteSources(json, notice.Sources);
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
