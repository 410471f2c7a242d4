using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Storage;

namespace RelayGate.Queue;

/// <summary>Tells of held messages why they wait, and about when they are released: from their place among those that wait with them and the pace of the limit.</summary>
/// <remarks>An estimate: others may be released by hand or given up, and limits may change. It looks at <see cref="MaxSenders"/> senders of an object at most.</remarks>
public sealed class HoldForecast(SqliteRelayStore store, UsageTable usage, SenderLookup lookup, TimeSpan giveUpAfter)
{
    /// <summary>Senders whose messages are counted to find a place; more are taken to have one each turn.</summary>
    private const int MaxSenders = 200;

    private const string Select = "select id, held, held_since, held_at, held_for, held_note from message where seq = ? and held <> 0";
    private const string CountOwn = "select count(*) from message where held = 4 and held_at = ? and held_for = ? and seq < ?";
    private const string NextSender = "select held_for from message where held = 4 and held_at = ? and held_for > ? order by held_for limit 1";
    private const string CountOf = "select count(*) from (select 1 from message where held = 4 and held_at = ? and held_for = ? limit ?)";

    /// <summary>Adds to each held message of a page why it is held.</summary>
    public async Task<QueuePage> AddAsync(QueuePage page, CancellationToken cancellationToken)
    {
        if (page.Items.All(static item => item.Held is null))
            return page;
        var items = page.Items.ToBuilder();
        for (int i = 0; i < items.Count; i++)
        {
            if (items[i].Held is not null && QueueId.TryParse(items[i].Ref, out QueueId id))
                items[i] = items[i] with { Hold = await OfAsync(id, cancellationToken) };
        }
        return page with { Items = items.DrainToImmutable() };
    }

    /// <returns>Null when the message is not held.</returns>
    public async Task<QueueHold?> OfAsync(QueueId id, CancellationToken cancellationToken)
    {
        (QueueHold Hold, AccountKey? At, HeldOffer? Offer)? found = await store.ReadRawAsync(connection => Read(connection, id), cancellationToken);
        if (found is not ({ } hold, var at, var offer) || at is not { } key || offer is null)
            return found?.Hold;
        SenderAccount account = await lookup(offer.Identity, offer.Envelope.ReversePath, offer.Message.From, cancellationToken);
        UsageView view = await usage.SnapshotAsync([.. account.Levels.Select(static level => level.Key)], cancellationToken);
        DateTimeOffset? about = HoldEstimate.Of(account, view, offer.Envelope, offer.Message, key, hold.Ahead ?? 0);
        return hold with { ReleaseAbout = about is { } time && (hold.ExpiresAt is null || time < hold.ExpiresAt) ? time : null };
    }

    private (QueueHold, AccountKey?, HeldOffer?)? Read(StoreConnection connection, QueueId id)
    {
        if (QueueLookup.Seq(connection, id) is not { } seq)
            return null;
        SqliteStatement row = connection.Prepared(Select).Bind(1, seq);
        if (!row.Step())
            return null;
        var reason = (HoldReason)row.Int64(1);
        (DateTimeOffset? since, string? at, string? sender, string? note) =
            (row.NullableInt64(2) is { } time ? RecordReader.Time(time) : null, row.NullableText(3), row.NullableText(4), row.NullableText(5));
        row.Reset();
        var hold = new QueueHold(reason, QueueHold.Words(reason, at, note), since, ExpiresAt: reason > HoldReason.Fault ? id.Timestamp + giveUpAfter : null);
        if (reason != HoldReason.Limit || at is null)
            return (hold, null, null);
        AccountKey key = HoldKey.Parse(at);
        hold = hold with { At = key.ToString(), Ahead = Ahead(connection, at, sender ?? "", seq) };
        try
        {
            return (hold, key, HeldOffer.Read(connection, seq));
        }
        catch (Exception e) when (e is FormatException or ArgumentException)
        {
            return (hold, key, null); // Nobody can tell; the releaser parks it when its turn comes.
        }
    }

    /// <summary>Its sender's older messages, and of each other sender as many as have a turn before it.</summary>
    private static long Ahead(StoreConnection connection, string at, string sender, long seq)
    {
        long own = Count(connection.Prepared(CountOwn).Bind(1, at).Bind(2, sender).Bind(3, seq));
        long ahead = own;
        string after = "";
        for (int i = 0; i < MaxSenders && Next(connection, at, after) is { } other; i++)
        {
            after = other;
            if (other != sender)
                ahead += Count(connection.Prepared(CountOf).Bind(1, at).Bind(2, other).Bind(3, own + 1));
        }
        return ahead;
    }

    private static string? Next(StoreConnection connection, string at, string after)
    {
        SqliteStatement select = connection.Prepared(NextSender).Bind(1, at).Bind(2, after);
        string? next = select.Step() ? select.Text(0) : null;
        select.Reset();
        return next;
    }

    private static long Count(SqliteStatement select)
    {
        select.Step();
        long count = select.Int64(0);
        select.Reset();
        return count;
    }
}
