using System.Data.Common;
using RelayGate.Accounts;
using RelayGate.Core.Mail;
using RelayGate.Core.Notices;
using RelayGate.Queue;
using RelayGate.Storage;

namespace RelayGate.Notices;

/// <param name="Mails">Whom it was told, with the ref of the mail; null while it waits for the digest.</param>
public sealed record ToldNotice(KeptNotice Kept, IReadOnlyList<(string Receiver, string? Ref)> Mails);

/// <summary>What people were told, and what waits to be told.</summary>
public sealed class NoticeLog(SqliteRelayStore store, QueueWriter queue, TimeProvider time)
{
    /// <summary>Newest first.</summary>
    /// <param name="kind">Null: all.</param>
    /// <param name="subscription">Only about what is this subscription's; null: all.</param>
    /// <param name="since">Not before.</param>
    /// <param name="before">Id of the notice after which to go on, or null.</param>
    public Task<Page<ToldNotice>> ListAsync(NoticeKind? kind, string? subscription, DateTimeOffset since, QueueId? before, int count, CancellationToken cancellationToken) =>
        store.ReadAsync(db =>
        {
            byte[] from = QueueId.Create(since < DateTimeOffset.UnixEpoch ? DateTimeOffset.UnixEpoch : since, 0, 0).ToBytes();
            byte[] below = before?.ToBytes() ?? [.. Enumerable.Repeat((byte)0xff, 16)];
            string sql = $"select {NoticeRows.Columns} from notice where id >= $1 and id < $2"
                + (subscription is null ? "" : " and subscription = $4") + (kind is null ? "" : " and kind = $5") + " order by id desc limit $3";
            List<KeptNotice> found = db.All(sql, NoticeRows.Read, from, below, count + 1, subscription ?? "", (int)(kind ?? default));
            string? next = found.Count > count ? found[count - 1].Id : null;
            return new Page<ToldNotice>([.. found.Take(count).Select(kept => new ToldNotice(kept, Mails(db, kept.Id)))], next);
        }, cancellationToken);

    public Task<ToldNotice?> ShowAsync(QueueId id, CancellationToken cancellationToken) => store.ReadAsync(db =>
        db.First($"select {NoticeRows.Columns} from notice where id = $1", NoticeRows.Read, id.ToBytes()) is { } kept ? new ToldNotice(kept, Mails(db, kept.Id)) : null, cancellationToken);

    /// <summary>Says which kinds the contact of a subscription is told of.</summary>
    /// <param name="kinds">Words; <c>all</c> or <c>none</c> alone; empty: what the settings say, again.</param>
    /// <returns>The kinds as words with commas, or <c>all</c>, <c>none</c>, <c>default</c>.</returns>
    public async Task<AdminResult<string>> SetOwnerKindsAsync(string subscription, IReadOnlyList<string> kinds, string by, CancellationToken cancellationToken)
    {
        string text = string.Join(',', kinds);
        if (text.Length > 0 && NoticeKinds.ParseList(text) is null)
            return new AdminResult<string>(null, new AdminError(AdminErrorKind.Invalid, $"'{AccountNames.Printable(text)}' names no events: use all, none, or {NoticeKinds.Words}"));
        DateTimeOffset now = time.GetUtcNow();
        bool isKnown = await queue.WriteAsync(db =>
        {
            if (!db.Exists("select 1 from subscription where name = $1", subscription))
                return false;
            AuditRows.Add(db, now, by, "notice owner", $"subscription {subscription}", subscription, NoticeRows.OwnerKinds(db, subscription) ?? "default", text.Length > 0 ? text : "default");
            NoticeRows.SetOwnerKinds(db, subscription, text.Length > 0 ? text : null);
            return true;
        }, cancellationToken: cancellationToken);
        return isKnown
            ? new AdminResult<string>(text.Length > 0 ? text : "default", null)
            : new AdminResult<string>(null, new AdminError(AdminErrorKind.NotFound, $"There is no subscription '{AccountNames.Printable(subscription)}'; see: relaygate subscription list"));
    }

    private static List<(string Receiver, string? Ref)> Mails(DbConnection db, string id) => QueueId.TryParse(id, out QueueId notice)
        ? db.All(
            "select receiver, mail from notice_receipt where notice = $1 order by receiver limit 10",
            static row => (row.GetString(0), row.IsDBNull(1) ? null : QueueId.FromBytes((byte[])row.GetValue(1)).ToString()), notice.ToBytes())
        : [];
}
