using System.Text.Json;
using System.Text.Json.Nodes;
using RelayGate.Accounts;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;
using RelayGate.Queue;

namespace RelayGate.Admin;

/// <summary>The decision log. A subscription's own user reads what belongs to it.</summary>
internal sealed class MessagesApi(MessageLog log, HoldForecast forecast, AccountAdministration accounts)
{
    public void Map(AdminDispatcher api)
    {
        api.Read("messages", ListAsync);
        api.Read("messages/news", NewsAsync);
        api.Read("messages/{ref}", ShowAsync);
    }

    private Task RequireSubscriptionAsync(AdminRequest r, string? name) => RequireSubscriptionAsync(r, name, accounts, log);

    /// <summary>A name that is neither a subscription nor stands in any record is mistyped. To its own user another's is as if it were not there.</summary>
    internal static async Task RequireSubscriptionAsync(AdminRequest r, string? name, AccountAdministration accounts, MessageLog log)
    {
        if (name is null || name == r.Caller.Subscription)
            return;
        AdminResult<SubscriptionView> found = await accounts.ShowSubscriptionAsync(name, r.Aborted);
        if (r.Caller.Subscription is not null || (!found.IsOk && !await log.KnowsAsync(name, r.Aborted)))
            throw NotFound($"There is no subscription '{AccountNames.Printable(name)}'; see: relaygate subscription list");
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
    internal static T? Word<T>(Func<string, string?> query, string name, params ReadOnlySpan<T> allowed) where T : struct, Enum
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
    internal static QueueId Ref(AdminRequest r) => Parse(r.Route("ref")) is var id && r.Caller.MaySee(id) ? id : throw NotFound($"there is no record {r.Route("ref")}");

    internal static QueueId Parse(string text) => QueueId.TryParse(text, out QueueId id) ? id
        : throw AdminRequest.Bad($"'{text}' is no ref: it has 26 letters and digits, as at the end of a reply");

    internal static ProblemException NotFound(string title) => new(Problem.NotFound(title));

    internal static ProblemException BadCursor() => AdminRequest.Bad("the cursor is not one that a page gave");
}
