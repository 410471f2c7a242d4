using System.Data.Common;
using System.Security.Cryptography;
using RelayGate.Accounts;
using RelayGate.Configuration;
using RelayGate.Core.Mail;
using RelayGate.Core.Notices;
using RelayGate.Queue;
using RelayGate.Storage;

namespace RelayGate.Notices;

/// <summary>Adds, lists, rotates, tests and removes webhooks, and shows what was delivered to them.</summary>
public sealed class WebhookAdministration(SqliteRelayStore store, QueueWriter queue, WebhookSender sender, NoticeClock clock, RelayGateOptions options, TimeProvider time)
{
    /// <summary>How long the secret before a new one is signed with as well, unless something else is said.</summary>
    public static readonly TimeSpan Overlap = TimeSpan.FromHours(24);

    /// <param name="kinds">Words for kinds; none: all.</param>
    /// <param name="secret">Null: one is made, and shown this once.</param>
    public Task<AdminResult<WebhookWithSecret>> AddAsync(
        string name, string url, IReadOnlyList<string> kinds, string? subscription, bool allowsHttp, bool allowsPrivate, string? secret, string by, CancellationToken cancellationToken) =>
        WriteAsync((db, now) =>
        {
            AccountNames.Name(name, "webhook");
            if (WebhookRows.Find(db, name, now) is not null)
                throw AdminException.Conflict($"There is a webhook '{name}' already; remove it first: relaygate webhook remove {name}");
            if (WebhookRows.All(db, now).Count >= WebhookRows.MaxWebhooks)
                throw AdminException.Conflict($"{WebhookRows.MaxWebhooks} webhooks are there, and more are not possible");
            Uri target = WebhookTarget.Parse(url, allowsHttp, allowsPrivate);
            if (subscription is not null && !db.Exists("select 1 from subscription where name = $1", subscription))
                throw AdminException.NotFound($"There is no subscription '{AccountNames.Printable(subscription)}'; see: relaygate subscription list");
            (byte[] key, string? shown) = KeyOf(secret);
            var hook = new WebhookView(name, target.AbsoluteUri, Kinds(kinds), subscription, allowsHttp, allowsPrivate, null, now, 1, 0);
            WebhookRows.Insert(db, hook);
            WebhookRows.AddSecret(db, name, key, now, now);
            AuditRows.Add(db, now, by, "add", $"webhook {name}", null, "", $"host={target.Host} kinds={hook.Kinds}{(subscription is null ? "" : $" subscription={subscription}")}{(allowsHttp ? " allow-http" : "")}{(allowsPrivate ? " allow-private" : "")}");
            return new WebhookWithSecret(hook, shown);
        }, cancellationToken);

    public async Task<IReadOnlyList<WebhookView>> ListAsync(CancellationToken cancellationToken) =>
        await store.ReadAsync(db => WebhookRows.All(db, time.GetUtcNow()), cancellationToken);

    public Task<AdminResult<WebhookView>> ShowAsync(string name, CancellationToken cancellationToken) =>
        ReadAsync(db => Known(db, name, time.GetUtcNow()), cancellationToken);

    public Task<AdminResult<WebhookView>> RemoveAsync(string name, string by, CancellationToken cancellationToken) => WriteAsync((db, now) =>
    {
        WebhookView hook = Known(db, name, now);
        WebhookRows.Remove(db, hook, now, by);
        return hook;
    }, cancellationToken);

    /// <summary>Gives a webhook a new secret. Until <paramref name="overlap"/> is over, deliveries are signed with the old one as well.</summary>
    public Task<AdminResult<WebhookWithSecret>> RotateAsync(string name, string? secret, TimeSpan overlap, string by, CancellationToken cancellationToken) => WriteAsync((db, now) =>
    {
        Known(db, name, now);
        (byte[] key, string? shown) = KeyOf(secret);
        WebhookRows.AddSecret(db, name, key, now, now + overlap);
        AuditRows.Add(db, now, by, "rotate", $"webhook {name}", null, "", $"overlap={overlap:c}");
        return new WebhookWithSecret(Known(db, name, now), shown);
    }, cancellationToken);

    /// <summary>Lets a webhook that answered 410 have deliveries again.</summary>
    public async Task<AdminResult<WebhookView>> EnableAsync(string name, string by, CancellationToken cancellationToken)
    {
        AdminResult<WebhookView> result = await WriteAsync((db, now) =>
        {
            WebhookView hook = Known(db, name, now);
            WebhookRows.Disable(db, name, null);
            AuditRows.Add(db, now, by, "enable", $"webhook {name}", null, hook.Disabled ?? "", "enabled");
            return Known(db, name, now);
        }, cancellationToken);
        sender.Wake();
        return result;
    }

    /// <summary>Makes one attempt with a test event at once, and says what came of it.</summary>
    public async Task<AdminResult<WebhookDelivery>> TestAsync(string name, CancellationToken cancellationToken)
    {
        DateTimeOffset at = time.GetUtcNow();
        byte[] id = OwnMail.NewId(at).ToBytes();
        var kept = new KeptNotice(QueueId.FromBytes(id).ToString(), at, at, 1, new Notice { Kind = NoticeKind.Test, Level = "server", Name = "" });
        AdminResult<WebhookView> known = await WriteAsync((db, now) =>
        {
            WebhookView hook = Known(db, name, now);
            WebhookRows.InsertDelivery(db, id, name, NoticeKind.Test, NoticePayload.Write(options.Hostname, kept), null);
            return hook;
        }, cancellationToken);
        if (!known.IsOk)
            return new AdminResult<WebhookDelivery>(null, known.Error);
        await sender.TestAsync(id, cancellationToken);
        return await ReadAsync(db => WebhookRows.Delivery(db, id) ?? throw AdminException.NotFound($"Webhook {name} was removed"), cancellationToken);
    }

    /// <summary>What was delivered to a webhook, newest first.</summary>
    /// <param name="before">Id of the delivery after which to go on, or null.</param>
    public Task<AdminResult<Page<WebhookDelivery>>> HistoryAsync(string name, string? before, int count, CancellationToken cancellationToken) => ReadAsync(db =>
    {
        Known(db, name, time.GetUtcNow());
        byte[]? below = before is null ? null : QueueId.TryParse(before, out QueueId id) ? id.ToBytes() : throw AdminException.Invalid("the cursor is not one that a page gave");
        List<WebhookDelivery> items = WebhookRows.Deliveries(db, name, below, count + 1);
        return items.Count <= count ? new Page<WebhookDelivery>(items, null) : new Page<WebhookDelivery>(items[..count], items[count - 1].Id);
    }, cancellationToken);

    /// <summary>Delivers once more, whatever came of it before; with the same id, so that the receiver can tell.</summary>
    public async Task<AdminResult<WebhookDelivery>> RedeliverAsync(string delivery, string by, CancellationToken cancellationToken)
    {
        AdminResult<WebhookDelivery> result = await WriteAsync((db, now) =>
        {
            if (!QueueId.TryParse(delivery, out QueueId id) || WebhookRows.Delivery(db, id.ToBytes()) is not { } known)
                throw AdminException.NotFound($"There is no delivery {AccountNames.Printable(delivery)}; see: relaygate webhook history NAME");
            if (Known(db, known.Webhook, now).Disabled is { } why)
                throw AdminException.Conflict($"Webhook {known.Webhook} is disabled ({why}); enable it first: relaygate webhook enable {known.Webhook}");
            WebhookRows.Redeliver(db, id.ToBytes(), clock.Now);
            AuditRows.Add(db, now, by, "redeliver", $"webhook {known.Webhook}", null, known.State.ToString().ToLowerInvariant(), delivery);
            return WebhookRows.Delivery(db, id.ToBytes())!;
        }, cancellationToken);
        sender.Wake();
        return result;
    }

    private static WebhookView Known(DbConnection db, string name, DateTimeOffset now) =>
        WebhookRows.Find(db, name, now) ?? throw AdminException.NotFound($"There is no webhook '{AccountNames.Printable(name)}'; see: relaygate webhook list");

    private static string Kinds(IReadOnlyList<string> words)
    {
        if (words.Count == 0)
            return "all";
        string text = string.Join(',', words);
        return NoticeKinds.ParseList(text) is { IsEmpty: false } kinds ? string.Join(',', kinds.Select(NoticeKinds.Word))
            : throw AdminException.Invalid($"'{AccountNames.Printable(text)}' names no events: use {NoticeKinds.Words}");
    }

    private static (byte[] Key, string? Shown) KeyOf(string? secret)
    {
        if (secret is not null)
            return (WebhookSecret.Parse(secret) ?? throw AdminException.Invalid($"the secret must be {WebhookSecret.Prefix} and {WebhookSecret.MinOctets} to {WebhookSecret.MaxOctets} octets in base64"), null);
        byte[] key = RandomNumberGenerator.GetBytes(32);
        return (key, WebhookSecret.Write(key));
    }

    private async Task<AdminResult<T>> WriteAsync<T>(Func<DbConnection, DateTimeOffset, T> write, CancellationToken cancellationToken)
        where T : class
    {
        try
        {
            DateTimeOffset now = time.GetUtcNow();
            return new AdminResult<T>(await queue.WriteAsync(db => write(db, now), cancellationToken: cancellationToken), null);
        }
        catch (AdminException e)
        {
            return new AdminResult<T>(null, e.Error);
        }
    }

    private async Task<AdminResult<T>> ReadAsync<T>(Func<DbConnection, T> read, CancellationToken cancellationToken)
        where T : class
    {
        try
        {
            return new AdminResult<T>(await store.ReadAsync(read, cancellationToken), null);
        }
        catch (AdminException e)
        {
            return new AdminResult<T>(null, e.Error);
        }
    }
}
