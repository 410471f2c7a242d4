using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Storage;

namespace RelayGate.Queue;

/// <summary>Tells of held messages why they wait, and about when they are released: from their place among those that wait with them and the pace of the limit.</summary>
/// <remarks>An estimate: others may be released by hand or given up, and limits may change. It looks at 200 senders of an object at most.</remarks>
public sealed class HoldForecast(SqliteRelayStore store, UsageTable usage, SenderLookup lookup, TimeSpan giveUpAfter)
{
    private const string Select = "select id, held, held_since, held_at, held_for, held_note, requeued_at from message where seq = ? and held <> 0";

    /// <summary>Adds to each held message of a page why it is held.</summary>
    public async Task<QueuePage> AddAsync(QueuePage page, CancellationToken cancellationToken)
    {
        if (page.Items.All(static item => item.Held is null))
            return page;
        var items = page.Items.ToBuilder();
        var lines = new HoldLines();
        for (int i = 0; i < items.Count; i++)
        {
            if (items[i].Held is not null && QueueId.TryParse(items[i].Ref, out QueueId id))
                items[i] = items[i] with { Hold = await OfAsync(id, lines, cancellationToken) };
        }
        return page with { Items = items.DrainToImmutable() };
    }

    /// <returns>Null when the message is not held.</returns>
    public Task<QueueHold?> OfAsync(QueueId id, CancellationToken cancellationToken) => OfAsync(id, new HoldLines(), cancellationToken);

    private async Task<QueueHold?> OfAsync(QueueId id, HoldLines lines, CancellationToken cancellationToken)
    {
        (QueueHold Hold, AccountKey? At, HeldOffer? Offer)? found = await store.ReadRawAsync(connection => Read(connection, id, lines), cancellationToken);
        if (found is not ({ } hold, var at, var offer) || at is not { } key || offer is null)
            return found?.Hold;
        SenderAccount account = await lookup(offer.Identity, offer.Envelope.ReversePath, offer.Message.From, cancellationToken);
        UsageView view = await usage.SnapshotAsync([.. account.Levels.Select(static level => level.Key)], cancellationToken);
        DateTimeOffset? about = HoldEstimate.Of(account, view, offer.Envelope, offer.Message, key, hold.Ahead ?? 0);
        return hold with { ReleaseAbout = about is { } time && (hold.ExpiresAt is null || time < hold.ExpiresAt) ? time : null };
    }

    private (QueueHold, AccountKey?, HeldOffer?)? Read(StoreConnection connection, QueueId id, HoldLines lines)
    {
        if (QueueLookup.Seq(connection, id) is not { } seq)
            return null;
        SqliteStatement row = connection.Prepared(Select).Bind(1, seq);
        if (!row.Step())
            return null;
        var reason = (HoldReason)row.Int64(1);
        (DateTimeOffset? since, string? at, string? sender, string? note) =
            (row.NullableInt64(2) is { } time ? RecordReader.Time(time) : null, row.NullableText(3), row.NullableText(4), row.NullableText(5));
        DateTimeOffset agedFrom = row.NullableInt64(6) is { } requeued ? RecordReader.Time(requeued) : id.Timestamp;
        row.Reset();
        var hold = new QueueHold(reason, QueueHold.Words(reason, at, note), since, ExpiresAt: reason > HoldReason.Fault ? agedFrom + giveUpAfter : null);
        if (reason != HoldReason.Limit || at is null)
            return (hold, null, null);
        AccountKey key = HoldKey.Parse(at);
        hold = hold with { At = key.ToString(), Ahead = lines.Ahead(connection, at, sender ?? "", seq) };
        try
        {
            return (hold, key, HeldOffer.Read(connection, seq));
        }
        catch (Exception e) when (e is FormatException or ArgumentException)
        {
            return (hold, key, null); // Nobody can tell; the releaser parks it when its turn comes.
        }
    }
}
