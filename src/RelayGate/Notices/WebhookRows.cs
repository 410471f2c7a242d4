using System.Data.Common;
using System.Globalization;
using RelayGate.Accounts;
using RelayGate.Core.Mail;
using RelayGate.Core.Notices;
using RelayGate.Storage;

namespace RelayGate.Notices;

/// <summary>Webhooks, their secrets and deliveries in the store.</summary>
internal static class WebhookRows
{
    /// <summary>Webhooks at most.</summary>
    public const int MaxWebhooks = 100;

    /// <summary>Deliveries that may wait for one webhook; what comes beyond is dropped and counted.</summary>
    public const int MaxWaiting = 1000;

    /// <summary>Attempts of one delivery that are kept: redeliveries by hand add to them.</summary>
    public const int MaxAttempts = 30;

    private const string SelectView = """
        select name, url, kinds, subscription, allow_http, allow_private, disabled, created_at,
          (select count(*) from webhook_secret where webhook = name and (until is null or until > $1)),
          (select count(*) from webhook_delivery where webhook = name and next_clock is not null)
        from webhook
        """;

    private const string SelectDelivery = "select id, webhook, kind, state, next_clock from webhook_delivery";

    public static WebhookView? Find(DbConnection db, string name, DateTimeOffset now) =>
        db.First(SelectView + " where name = $2", View, now.ToUnixTimeMilliseconds(), name);

    public static List<WebhookView> All(DbConnection db, DateTimeOffset now) => db.All(SelectView + " order by name", View, now.ToUnixTimeMilliseconds());

    /// <summary>Those that are only told of what is one subscription's.</summary>
    public static List<WebhookView> Of(DbConnection db, string subscription, DateTimeOffset now) =>
        db.All(SelectView + " where subscription = $2 order by name", View, now.ToUnixTimeMilliseconds(), subscription);

    public static void Insert(DbConnection db, WebhookView hook) => db.Execute(
        "insert into webhook (name, url, kinds, subscription, allow_http, allow_private, created_at) values ($1, $2, $3, $4, $5, $6, $7)",
        hook.Name, hook.Url, hook.Kinds, hook.Subscription, hook.AllowsHttp ? 1 : 0, hook.AllowsPrivate ? 1 : 0, hook.CreatedAt.ToUnixTimeMilliseconds());

    /// <summary>Gives a webhook a secret; those it has end at <paramref name="until"/>, those that have ended go.</summary>
    public static void AddSecret(DbConnection db, string name, byte[] key, DateTimeOffset now, DateTimeOffset until)
    {
        db.Execute("update webhook_secret set until = min(coalesce(until, $2), $2) where webhook = $1", name, until.ToUnixTimeMilliseconds());
        db.Execute("delete from webhook_secret where webhook = $1 and until <= $2", name, now.ToUnixTimeMilliseconds());
        db.Execute("insert into webhook_secret (webhook, number, key) select $1, coalesce(max(number), 0) + 1, $2 from webhook_secret where webhook = $1", name, key);
    }

    public static void Disable(DbConnection db, string name, string? why) => db.Execute("update webhook set disabled = $2 where name = $1", name, why);

    /// <summary>Removes a webhook with its history; it stands in the audit list.</summary>
    public static void Remove(DbConnection db, WebhookView hook, DateTimeOffset now, string by)
    {
        string name = hook.Name;
        db.Execute("delete from webhook_attempt where delivery in (select id from webhook_delivery where webhook = $1)", name);
        db.Execute("delete from webhook_delivery where webhook = $1", name);
        db.Execute("delete from webhook_secret where webhook = $1", name);
        db.Execute("delete from webhook where name = $1", name);
        AuditRows.Add(db, now, by, "remove", $"webhook {name}", null, $"host={new Uri(hook.Url).Host} kinds={hook.Kinds}{(hook.Subscription is { } only ? $" subscription={only}" : "")}", "");
    }

    /// <summary>The webhooks that work, with what waits for each.</summary>
    public static List<WebhookBacklog> Backlogs(DbConnection db) => db.All(SelectView + " where disabled is null", View, 0L)
        .ConvertAll(static hook => new WebhookBacklog(hook.Name, NoticeKinds.ParseList(hook.Kinds) ?? [], hook.Subscription) { Waiting = hook.Waiting });

    /// <summary>Lets a notice wait for each webhook that wants its kind.</summary>
    /// <returns>How many were dropped, because too many wait for their webhook.</returns>
    public static int Enqueue(DbConnection db, List<WebhookBacklog> hooks, KeptNotice kept, string hostname, long clock)
    {
        int dropped = 0;
        byte[]? payload = null;
        foreach (WebhookBacklog hook in hooks)
        {
            if (!hook.Kinds.Contains(kept.Notice.Kind) || (hook.Subscription is { } only && only != kept.Notice.Subscription))
                continue;
            if (++hook.Waiting > MaxWaiting)
                dropped++;
            else
                InsertDelivery(db, Queue.OwnMail.NewId(kept.At).ToBytes(), hook.Name, kept.Notice.Kind, payload ??= NoticePayload.Write(hostname, kept), clock);
        }
        return dropped;
    }

    /// <param name="next">By the clock of notices; null: it is attempted by who inserts it.</param>
    public static void InsertDelivery(DbConnection db, byte[] id, string webhook, NoticeKind kind, byte[] payload, long? next) => db.Execute(
        "insert into webhook_delivery (id, webhook, kind, payload, state, attempts, next_clock) values ($1, $2, $3, $4, $5, 0, $6)",
        id, webhook, (int)kind, payload, (int)WebhookState.Waiting, next);

    /// <summary>Of each webhook, when its next delivery is due, by the clock of notices.</summary>
    public static List<(string Webhook, long Next)> Due(DbConnection db) => db.All(
        "select name, (select min(next_clock) from webhook_delivery where webhook = name and next_clock is not null) as next from webhook where disabled is null and next is not null",
        static row => (row.GetString(0), row.GetInt64(1)));

    /// <summary>The delivery that is due first.</summary>
    public static WebhookJob? Job(DbConnection db, string webhook, DateTimeOffset now)
    {
        byte[]? id = db.First(
            "select id from webhook_delivery where webhook = $1 and next_clock is not null order by next_clock, id limit 1", static row => (byte[])row.GetValue(0), webhook);
        return id is null ? null : Job(db, id, now);
    }

    public static WebhookJob? Job(DbConnection db, byte[] id, DateTimeOffset now)
    {
        return db.First(
            "select d.webhook, w.url, w.allow_http, w.allow_private, d.payload, d.attempts, d.next_clock from webhook_delivery d join webhook w on w.name = d.webhook where d.id = $1",
            row => new WebhookJob(
                id, row.GetString(0), new Uri(row.GetString(1)), row.Flag(2), row.Flag(3), Keys(db, row.GetString(0), now), (byte[])row.GetValue(4), row.GetInt32(5),
                row.IsDBNull(6) ? null : row.GetInt64(6)), id);
    }

    /// <summary>Records an attempt and where its delivery stands since.</summary>
    /// <param name="next">When it is tried again, by the clock of notices; null: it has ended.</param>
    public static void Attempted(DbConnection db, WebhookJob job, WebhookState state, long? next, DateTimeOffset at, TimeSpan duration, int? status, string error)
    {
        byte[] id = job.Id;
        if (!db.Exists("select 1 from webhook_delivery where id = $1", id))
            return; // Its webhook was removed while the attempt ran.
        db.Execute( // Unless it is to be delivered once more since the attempt began.
            "update webhook_delivery set state = $2, attempts = attempts + 1, next_clock = $3 where id = $1 and attempts = $4 and next_clock is $5",
            id, (int)state, next, job.Attempts, job.Next);
        db.Execute("""
            insert into webhook_attempt (delivery, number, at, duration, status, error)
            select $1, coalesce(max(number), 0) + 1, $2, $3, $4, $5 from webhook_attempt where delivery = $1
            """, id, at.ToUnixTimeMilliseconds(), (long)duration.TotalMilliseconds, status, error);
        db.Execute("delete from webhook_attempt where delivery = $1 and number <= (select max(number) from webhook_attempt where delivery = $1) - $2", id, MaxAttempts);
    }

    /// <summary>Makes a delivery wait again, with all its attempts before it.</summary>
    public static void Redeliver(DbConnection db, byte[] id, long clock) =>
        db.Execute("update webhook_delivery set state = $2, attempts = 0, next_clock = $3 where id = $1", id, (int)WebhookState.Waiting, clock);

    public static WebhookDelivery? Delivery(DbConnection db, byte[] id) => db.First(SelectDelivery + " where id = $1", row => ReadDelivery(db, row), id);

    /// <summary>Newest first.</summary>
    /// <param name="below">Only those with a smaller id; null: from the newest on.</param>
    public static List<WebhookDelivery> Deliveries(DbConnection db, string webhook, byte[]? below, int count) => db.All(
        SelectDelivery + " where webhook = $1" + (below is null ? "" : " and id < $3") + " order by id desc limit $2", row => ReadDelivery(db, row),
        below is null ? [webhook, count] : [webhook, count, below]);

    private static List<byte[]> Keys(DbConnection db, string webhook, DateTimeOffset now) => db.All(
        "select key from webhook_secret where webhook = $1 and (until is null or until > $2) order by number desc", static row => (byte[])row.GetValue(0),
        webhook, now.ToUnixTimeMilliseconds());

    private static WebhookDelivery ReadDelivery(DbConnection db, DbDataReader row)
    {
        var id = (byte[])row.GetValue(0);
        QueueId known = QueueId.FromBytes(id);
        return new WebhookDelivery(
            known.ToString(), row.GetString(1), (NoticeKind)row.GetInt32(2), known.Timestamp, (WebhookState)row.GetInt32(3), row.IsDBNull(4) ? null : Time(row.GetInt64(4)),
            db.All(
                "select number, at, duration, status, error from webhook_attempt where delivery = $1 order by number",
                static a => new WebhookAttempt(a.GetInt32(0), Time(a.GetInt64(1)), TimeSpan.FromMilliseconds(a.GetInt64(2)), a.IsDBNull(3) ? null : a.GetInt32(3), a.GetString(4)), id));
    }

    private static WebhookView View(DbDataReader row) => new(
        row.GetString(0), row.GetString(1), row.GetString(2), row.TextOrNull(3), row.Flag(4), row.Flag(5), row.TextOrNull(6), Time(row.GetInt64(7)),
        Convert.ToInt32(row.GetInt64(8), CultureInfo.InvariantCulture), row.GetInt64(9));

    private static DateTimeOffset Time(long milliseconds) => DateTimeOffset.FromUnixTimeMilliseconds(milliseconds);
}
