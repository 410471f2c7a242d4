using System.Collections.Immutable;
using RelayGate.Core.Mail;
using RelayGate.Storage;
using RelayGate.Telemetry;

namespace RelayGate.Queue;

/// <summary>What administrators and subscriptions do with queued messages: look, hold, release, retry, delete, return to the sender, put back.</summary>
/// <remarks>
/// Orders for many go through the writer in steps of at most <see cref="MaxRows"/> rows, so that mail goes on meanwhile; what enters the queue
/// while an order runs may or may not be caught by it (suspend the subscription first to catch all). An attempt that is in flight may finish,
/// and may so deliver what was held or deleted: the result counts these. One that still waits for a connection does not begin any more.
/// <c>onlySubscription</c> keeps the caller to one subscription: what belongs to another is as if it were not there.
/// </remarks>
public sealed class QueueAdministration(
    SqliteRelayStore store, QueueWriter writer, QueueScheduler scheduler, SenderLookup lookup, HoldForecast forecast, MessageEnder ender, MailLog log, TimeProvider time,
    EgressLookup egress)
{
    /// <summary>Items of a page at most.</summary>
    public const int MaxPage = 1000;

    /// <summary>Messages that one page looks at, at most.</summary>
    public const int MaxScanned = 2_000;

    /// <summary>Rows of recipients that one write changes, unless a single message has more.</summary>
    public const int MaxRows = 500;

    /// <summary>Octets of a body that are shown by default.</summary>
    public const int DefaultBodyOctets = 64 * 1024;

    /// <summary>Octets of a message that are copied by default, and at most.</summary>
    public const int DefaultContentOctets = 1024 * 1024;
    public const int MaxContentOctets = 256 * 1024 * 1024;

    /// <summary>One page of the queue.</summary>
    /// <returns>Null when the cursor is not one of ours.</returns>
    public async Task<QueuePage?> ListAsync(QueueQuery query, string? onlySubscription, CancellationToken cancellationToken)
    {
        if (!MessageLog.TryScope(query.Subscription, onlySubscription, out string? subscription))
            return new QueuePage([], null);
        string? first = subscription;
        if (subscription is null && query.Filter.CountedAt is { } sender && (first = await NextOfSenderAsync(sender, "", cancellationToken)) is null)
            return new QueuePage([], null);
        QueueCursor? cursor = query.Cursor is { } text ? QueueCursor.TryParse(text) : First(query.Filter, first);
        if (cursor is null)
            return null;
        if (subscription is not null && (cursor.Phase is QueuePhase.All or QueuePhase.AllHeld || (cursor.Phase != QueuePhase.Failed && cursor.Subscription != subscription)))
            return null;
        return await forecast.AddAsync(await store.ReadRawAsync(connection => ReadPage(connection, query, subscription, cursor), cancellationToken), cancellationToken);
    }

    /// <summary>One message with its envelope and content, also one that failed while its content is kept.</summary>
    /// <param name="maxBodyOctets">The body is cut there.</param>
    /// <returns>Null when it is not there, or not the caller's.</returns>
    public async Task<QueueEntry?> ShowAsync(
        QueueId id, string? onlySubscription, CancellationToken cancellationToken, int maxBodyOctets = DefaultBodyOctets)
    {
        QueueEntry? entry = await store.ReadRawAsync(connection => QueueLookup.Entry(connection, id, onlySubscription, maxBodyOctets), cancellationToken);
        return entry?.Held is null ? entry : entry with { Hold = await forecast.OfAsync(id, cancellationToken) };
    }

    /// <summary>Copies the octets of a message, or a part of them, as they leave.</summary>
    /// <param name="max">It is cut there.</param>
    /// <param name="begin">Gets the size of the whole part before the first octet, and gives where they go.</param>
    /// <returns>False: it is not there, or not the caller's.</returns>
    public async Task<bool> CopyContentAsync(
        QueueId id, string? onlySubscription, ContentPart part, int max, Func<long, Stream> begin, CancellationToken cancellationToken)
    {
        if (await store.ReadRawAsync(connection => QueueLookup.Content(connection, id, onlySubscription), cancellationToken) is not { } content)
            return false;
        long header = part == ContentPart.Body ? 0 : content.Header.Length;
        long body = part == ContentPart.Headers ? 0 : content.BodyOctets;
        Stream target = begin(header + body);
        int left = max;
        if (header > 0)
            await WriteAsync(content.Header);
        if (body > 0 && content.Body is { } inline)
            await WriteAsync(inline);
        for (int number = 0; body > 0 && content.Body is null && left > 0; number++)
        {
            byte[]? chunk = await store.ReadRawAsync(connection => QueueReader.Chunk(connection, id, number), cancellationToken);
            if (chunk is null)
                break; // It ends here, or was deleted meanwhile.
            await WriteAsync(chunk);
        }
        return true;

        async Task WriteAsync(byte[] octets)
        {
            int some = Math.Min(left, octets.Length);
            left -= some;
            await target.WriteAsync(octets.AsMemory(0, some), cancellationToken);
        }
    }

    /// <summary>Whether mail of a domain or mailbox is in the queue, or was a while ago.</summary>
    public async Task<bool> HasMailOfAsync(string sender, CancellationToken cancellationToken) => await NextOfSenderAsync(sender, "", cancellationToken) is not null;

    /// <summary>Carries out an order.</summary>
    /// <param name="progress">Hears after each step how far it is; must not block.</param>
    /// <param name="cancellationToken">Ends it after the step that runs: what was done then stands in the result.</param>
    public Task<QueueOrderResult> RunAsync(QueueOrderRequest request, CancellationToken cancellationToken, Action<QueueOrderProgress>? progress = null) =>
        new QueueOrderRun(store, writer, scheduler, lookup, ender, log, time, egress, request, progress).RunAsync(cancellationToken);

    private static QueueCursor First(QueueFilter filter, string? subscription) => filter.IsOfFailed ? QueueCursor.Failed : subscription is null
        ? filter.IsOfHeld ? QueueCursor.AllHeld : QueueCursor.All
        : filter.IsOfHeld ? QueueCursor.Held(subscription) : QueueCursor.Waiting(subscription);

    /// <summary>The next subscription that has mail of the domain or mailbox that is looked for, so that nobody else's is walked through.</summary>
    private Task<string?> NextOfSenderAsync(string sender, string after, CancellationToken cancellationToken) =>
        store.ReadRawAsync(connection => MailOfSender.Next(connection, sender, after), cancellationToken);

    private static QueuePage ReadPage(StoreConnection connection, QueueQuery query, string? subscription, QueueCursor cursor)
    {
        if (query.Id is { } id)
        {
            QueueItem? one = QueueLookup.Seq(connection, id) is { } found ? QueueLookup.Item(connection, found, query.Filter) : null;
            bool matches = one is not null && (subscription is null || one.Subscription == subscription);
            return new QueuePage(matches ? [one!] : [], null);
        }
        int limit = Math.Clamp(query.Limit, 1, MaxPage);
        var items = ImmutableArray.CreateBuilder<QueueItem>();
        QueueCursor? next = cursor;
        for (int scanned = 0; next is not null && scanned < MaxScanned; scanned += limit)
        {
            QueueCursor from = next;
            (List<(long Seq, QueueCursor Behind)> found, next) = from.Read(connection, limit);
            foreach ((long seq, QueueCursor behind) in found)
            {
                if (QueueLookup.Item(connection, seq, query.Filter) is not { } item || (from.Phase == QueuePhase.Failed && subscription is not null && item.Subscription != subscription))
                    continue;
                items.Add(item);
                if (items.Count == limit)
                    return new QueuePage(items.DrainToImmutable(), behind.ToString());
            }
            if (next is null && from.Phase == QueuePhase.Waiting && query.Filter.State is null)
                next = QueueCursor.Held(from.Subscription);
            if (next is null && subscription is null && from.Phase != QueuePhase.Failed && from.Subscription.Length > 0 && query.Filter.CountedAt is { } sender
                && MailOfSender.Next(connection, sender, from.Subscription) is { } other)
                next = First(query.Filter, other);
        }
        return new QueuePage(items.DrainToImmutable(), next?.ToString());
    }
}
