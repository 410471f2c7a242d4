using System.Text.Json;
using System.Text.Json.Nodes;
using RelayGate.Accounts;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Queue;

namespace RelayGate.Admin;

/// <summary>The decision log and the queue. A subscription's own user reads what belongs to it; orders are for administrators.</summary>
internal sealed class MessagesApi(MessageLog log, QueueAdministration queue, HoldForecast forecast, AccountAdministration accounts)
{
    private static readonly string[] Filters = ["domain", "mailbox", "recipientDomain", "from", "state", "held", "before"];

    public void Map(AdminDispatcher api)
    {
        api.Read("messages", ListAsync);
        api.Read("messages/news", NewsAsync);
        api.Read("messages/{ref}", ShowAsync);
        api.Read("queue", ListQueueAsync);
        api.Read("queue/{ref}", async r => RecordJson.ToNode(
            await queue.ShowAsync(Ref(r), r.Caller.Subscription, r.Aborted) ?? throw NotFound($"message {r.Route("ref")} is not in the queue; what became of it: relaygate message explain {r.Route("ref")}"),
            RecordJson.Default.QueueEntry));
        Order(api, "hold", queue.HoldAsync);
        Order(api, "release", queue.ReleaseAsync);
        Order(api, "retry", queue.RetryAsync);
        Order(api, "delete", queue.DeleteAsync);
        api.Change("POST", "queue/flush", async r =>
            RecordJson.ToNode(await queue.FlushAsync((await r.BodyAsync("dryRun")).Flag("dryRun"), r.Caller.Subscription, r.Aborted, r.Caller.ToString()), RecordJson.Default.QueueOrderResult));
    }

    private void Order(AdminDispatcher api, string verb, Func<QueueSelection, bool, string?, CancellationToken, string, Task<QueueOrderResult>> order) =>
        api.Change("POST", $"queue/{verb}", async r =>
        {
            RequestBody body = await r.BodyAsync(["refs", "subscription", "dryRun", .. Filters]);
            QueueId[] ids = [.. body.Texts("refs").Select(Parse)];
            string? subscription = body.Text("subscription");
            QueueFilter filter = Filter(body.Text);
            bool isFiltered = subscription is not null || filter != new QueueFilter();
            if (ids.Length == 0 && !isFiltered)
                throw AdminRequest.Bad($"name refs, a subscription, or what to look for: {string.Join(", ", Filters)}");
            if (ids.Length > 0 && isFiltered)
                throw AdminRequest.Bad($"name either refs or what to look for (subscription, {string.Join(", ", Filters)}), not both");
            await RequireSubscriptionAsync(r, subscription);
            var selection = new QueueSelection([.. ids], subscription, filter);
            QueueOrderResult result = await order(selection, body.Flag("dryRun"), r.Caller.Subscription, r.Aborted, r.Caller.ToString());
            if (result is { Count: 0, Unchanged: 0 } && isFiltered)
                await RequireSenderAsync(body, filter.CountedAt, r.Aborted);
            if (result.Outcome == QueueOrderOutcome.NotFound)
                throw NotFound($"not in the queue: {string.Join(", ", result.NotFound.Take(5))}{(result.NotFound.Length > 5 ? " and more" : "")}");
            return RecordJson.ToNode(result, RecordJson.Default.QueueOrderResult);
        });

    /// <summary>What to look for in the queue, from a query or a body.</summary>
    private static QueueFilter Filter(Func<string, string?> text) => new()
    {
        RecipientDomain = text("recipientDomain"),
        CountedAt = CountedAt(text),
        Sender = text("from"),
        State = Word(text, "state", QueueState.Active, QueueState.Deferred, QueueState.Held),
        Held = Word(text, "held", [.. Enum.GetValues<HoldReason>().Where(static reason => reason != HoldReason.None)]),
        Before = text("before") is { } before ? AdminRequest.Time("before", before) : null,
    };

    /// <summary>The sender an order is for: a domain with all its mailboxes, or one mailbox.</summary>
    private static string? CountedAt(Func<string, string?> text) => (text("domain"), text("mailbox")) switch
    {
        (null, null) => null,
        ({ } domain, null) => Domain.TryParse(domain, out Domain? name) ? name.Value : throw AdminRequest.Bad($"'{domain}' is no domain"),
        (null, { } mailbox) => MailboxAddress.TryParse(mailbox, out MailboxAddress? address) ? address.Canonical : throw AdminRequest.Bad($"'{mailbox}' is no mailbox"),
        _ => throw AdminRequest.Bad("name either a domain or a mailbox"),
    };

    /// <summary>A name that is neither a subscription nor stands in any record is mistyped. To its own user another's is as if it were not there.</summary>
    private async Task RequireSubscriptionAsync(AdminRequest r, string? name)
    {
        if (name is null || name == r.Caller.Subscription)
            return;
        AdminResult<SubscriptionView> found = await accounts.ShowSubscriptionAsync(name, r.Aborted);
        if (r.Caller.Subscription is not null || (!found.IsOk && !await log.KnowsAsync(name, r.Aborted)))
            throw NotFound($"There is no subscription '{AccountNames.Printable(name)}'; see: relaygate subscription list");
    }

    /// <summary>Of a domain or mailbox that has nothing in the queue: it must at least exist.</summary>
    private async Task RequireSenderAsync(RequestBody body, string? countedAt, CancellationToken cancellationToken)
    {
        if (countedAt is null)
            return;
        bool isMailbox = body.Text("mailbox") is not null;
        bool isThere = isMailbox
            ? (await accounts.ShowMailboxAsync(countedAt, cancellationToken)).IsOk
            : (await accounts.ShowDomainAsync(countedAt, cancellationToken)).IsOk;
        if (!isThere)
            throw NotFound($"There is no {(isMailbox ? "mailbox" : "domain")} {AccountNames.Printable(countedAt)}; see: relaygate {(isMailbox ? "mailbox" : "domain")} list");
    }

    private async Task<JsonNode?> ListAsync(AdminRequest r)
    {
        await RequireSubscriptionAsync(r, r.Query("subscription"));
        MessagePage page = await log.ListAsync(r.Caller.Narrow(Query(r)), r.Caller.Subscription, r.Aborted) ?? throw BadCursor();
        return RecordJson.List(page.Items, RecordJson.Default.MessageItem, page.NextCursor);
    }

    private async Task<JsonNode?> ShowAsync(AdminRequest r)
    {
        MessageRecord record = await log.ShowAsync(Ref(r), r.Caller.Subscription, r.Aborted) ?? throw NotFound($"there is no record {r.Route("ref")}");
        if (record.Pending.Any(static recipient => recipient.Held is not null))
            record = record with { Hold = await forecast.OfAsync(Parse(record.Ref), r.Aborted) };
        return RecordJson.ToNode(record, RecordJson.Default.MessageRecord);
    }

    private async Task<JsonNode?> NewsAsync(AdminRequest r)
    {
        if (r.Query("cursor") is null)
            await RequireSubscriptionAsync(r, r.Query("subscription"));
        MessageNews news = await log.AfterAsync(r.Query("cursor"), Query(r), r.Caller.Subscription, r.Aborted) ?? throw BadCursor();
        JsonObject answer = RecordJson.List([.. news.Items.Where(i => r.Caller.MaySee(Parse(i.Ref)))], RecordJson.Default.MessageItem, news.Cursor);
        answer["gap"] = news.IsGap;
        return answer;
    }

    private async Task<JsonNode?> ListQueueAsync(AdminRequest r)
    {
        await RequireSubscriptionAsync(r, r.Query("subscription"));
        var query = new QueueQuery
        {
            Subscription = r.Query("subscription"),
            Filter = Filter(r.Query),
            Limit = r.Limit,
            Cursor = r.Query("cursor"),
        };
        QueuePage page = await queue.ListAsync(query, r.Caller.Subscription, r.Aborted) ?? throw BadCursor();
        return RecordJson.List(page.Items, RecordJson.Default.QueueItem, page.NextCursor);
    }

    private static MessageQuery Query(AdminRequest r) => new()
    {
        Subscription = r.Query("subscription"),
        Sender = r.Query("from"),
        Recipient = r.Query("to"),
        RecipientDomain = r.Query("toDomain"),
        Verdict = Word<Verdict>(r.Query, "verdict"),
        Outcome = Word<RecordOutcome>(r.Query, "outcome"),
        Reason = Reason(r),
        Identity = r.Query("identity"),
        Since = r.Time("since"),
        Until = r.Time("until"),
        Limit = r.Limit,
        Cursor = r.Query("cursor"),
    };

    private static string? Reason(AdminRequest r) => r.Query("reason") is not { } reason || Reasons.All.Contains(reason) ? r.Query("reason")
        : throw AdminRequest.Bad($"reason is '{reason}': one of {string.Join(", ", Reasons.All)} is expected");

    /// <summary>A word of an enumeration as it is written in answers.</summary>
    /// <param name="allowed">None: all of them.</param>
    private static T? Word<T>(Func<string, string?> query, string name, params ReadOnlySpan<T> allowed) where T : struct, Enum
    {
        if (query(name) is not { } text)
            return null;
        T[] values = allowed.IsEmpty ? Enum.GetValues<T>() : allowed.ToArray();
        foreach (T value in values)
        {
            if (Written(value) == text)
                return value;
        }
        throw AdminRequest.Bad($"{name} is '{text}': one of {string.Join(", ", values.Select(Written))} is expected");

        static string Written(T value) => JsonNamingPolicy.KebabCaseLower.ConvertName(value.ToString());
    }

    /// <summary>The ref that a read names; one from before the caller's time is as if it were not there.</summary>
    private static QueueId Ref(AdminRequest r) => Parse(r.Route("ref")) is var id && r.Caller.MaySee(id) ? id : throw NotFound($"there is no record {r.Route("ref")}");

    private static QueueId Parse(string text) => QueueId.TryParse(text, out QueueId id) ? id
        : throw AdminRequest.Bad($"'{text}' is no ref: it has 26 letters and digits, as at the end of a reply");

    private static ProblemException NotFound(string title) => new(Problem.NotFound(title));

    private static ProblemException BadCursor() => AdminRequest.Bad("the cursor is not one that a page gave");
}
