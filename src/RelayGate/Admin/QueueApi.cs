using System.Collections.Immutable;
using System.Net;
using System.Runtime.CompilerServices;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Http;
using RelayGate.Accounts;
using RelayGate.Configuration;
using RelayGate.Core.Mail;
using RelayGate.Core.Messages;
using RelayGate.Core.Policy;
using RelayGate.Queue;

namespace RelayGate.Admin;

/// <summary>The queue. A subscription's own user sees, retries and deletes what belongs to it; other orders are for administrators.</summary>
internal sealed class QueueApi(MessageLog log, QueueAdministration queue, AccountAdministration accounts, TimeProvider time)
{
    private const int MaxReason = 200; // Characters.

    private static readonly string[] Filters = ["domain", "mailbox", "recipientDomain", "from", "script", "ip", "reason", "state", "held", "before"];
    private static readonly QueueOrder[] OfTenants = [QueueOrder.Retry, QueueOrder.Delete];

    private readonly RunningOrders _running = new(queue, time);

    public void Map(AdminDispatcher api)
    {
        api.Read("queue", ListAsync);
        api.Read("queue/{ref}", async r => RecordJson.ToNode(
            await queue.ShowAsync(MessagesApi.Ref(r), r.Caller.Subscription, r.Aborted) ?? throw NotInQueue(r),
            RecordJson.Default.QueueEntry));
        api.Read("queue/{ref}/content", ContentAsync);
        foreach (QueueOrder order in Enum.GetValues<QueueOrder>())
            api.ChangeOwn(HttpMethods.Post, $"queue/{AdminJson.Word(order)}", r => OrderAsync(r, order));
        api.StreamOwn("queue/orders", r => RunAsync(r, r.Aborted));
        api.ChangeOwn(HttpMethods.Delete, "queue/orders/{id}", r => Task.FromResult<JsonNode?>(
            _running.TryStop(r.Route("id"), r.Caller) ? new JsonObject() : throw MessagesApi.NotFound("no such order runs")));
    }

    private async Task<JsonNode?> ListAsync(AdminRequest r)
    {
        await MessagesApi.RequireSubscriptionAsync(r, r.Query("subscription"), accounts, log);
        var query = new QueueQuery
        {
            Subscription = r.Query("subscription"),
            Filter = Seen(r, Filter(r.Query)),
            Limit = r.Limit,
            Cursor = r.Query("cursor"),
        };
        QueuePage page = await queue.ListAsync(query, r.Caller.Subscription, r.Aborted) ?? throw MessagesApi.BadCursor();
        return RecordJson.List(page.Items, RecordJson.Default.QueueItem, page.NextCursor);
    }

    /// <summary>The octets of a message as they leave, or a part of them, up to a bound.</summary>
    private async Task<JsonNode?> ContentAsync(AdminRequest r)
    {
        ContentPart part = r.Query("part") is { } word ? AdminJson.Choice<ContentPart>("part", word) : ContentPart.Raw;
        int max = r.Query("max") is not { } text ? QueueAdministration.DefaultContentOctets
            : int.TryParse(text, out int number) && number is >= 1 and <= QueueAdministration.MaxContentOctets ? number
            : throw AdminRequest.Bad($"max is '{text}': a number of octets from 1 to {QueueAdministration.MaxContentOctets} is expected");
        bool isThere = await queue.CopyContentAsync(MessagesApi.Ref(r), r.Caller.Subscription, part, max, Begin, r.Aborted);
        return isThere ? null : throw NotInQueue(r);

        Stream Begin(long octets)
        {
            r.Response.ContentType = part == ContentPart.Raw ? "message/rfc822" : "application/octet-stream";
            r.Response.Headers.CacheControl = "no-store";
            r.Response.Headers["X-Octets"] = octets.ToString(System.Globalization.CultureInfo.InvariantCulture); // Of the whole part, also where it is cut.
            return r.Response.Body;
        }
    }

    private async Task<JsonNode?> OrderAsync(AdminRequest r, QueueOrder order)
    {
        RequestBody body = await r.BodyAsync(["refs", "subscription", "dryRun", "text", "toIp", .. Filters]);
        QueueOrderRequest request = await RequestAsync(r, order, body);
        QueueOrderResult result = await queue.RunAsync(request, r.Aborted);
        await CheckAsync(r, request, body, result.Count + result.Unchanged > 0);
        if (result.Outcome == QueueOrderOutcome.NotFound)
            throw MessagesApi.NotFound($"not in the queue: {string.Join(", ", result.NotFound.Take(5))}{(result.NotFound.Length > 5 ? " and more" : "")}");
        if (result is { NotAllowed: > 0, Count: 0 })
            throw new ProblemException(Problem.Conflict($"{string.Join(" and ", request.To)} is neither the own address of whose mail this is, nor shared, nor the server's; see: relaygate ip list"));
        return RecordJson.ToNode(result, RecordJson.Default.QueueOrderResult);
    }

    private async IAsyncEnumerable<JsonNode> RunAsync(AdminRequest r, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        RequestBody body = await r.BodyAsync(["order", "subscription", "dryRun", "text", "toIp", .. Filters]);
        QueueOrderRequest request = await RequestAsync(r, AdminJson.Choice<QueueOrder>("order", body.RequiredText("order")), body);
        bool isFirst = true;
        await foreach (JsonNode line in _running.RunAsync(request, r.Caller, cancellationToken))
        {
            if (isFirst)
                await CheckAsync(r, request, body, isThere: false);
            isFirst = false;
            yield return line;
        }
    }

    /// <summary>What is ordered by whom, from a body.</summary>
    private async Task<QueueOrderRequest> RequestAsync(AdminRequest r, QueueOrder order, RequestBody body)
    {
        if (!r.Caller.IsAdministrator && !OfTenants.Contains(order))
            throw new ProblemException(Problem.Forbidden($"uid {r.Caller.Peer.Uid} may only retry and delete mail of subscription {r.Caller.Subscription}"));
        QueueId[] ids = [.. body.Texts("refs").Select(MessagesApi.Parse)];
        string? subscription = body.Text("subscription");
        QueueFilter filter = Filter(body.Text);
        bool isFiltered = subscription is not null || filter != new QueueFilter();
        if (ids.Length == 0 && !isFiltered && order != QueueOrder.Flush)
            throw AdminRequest.Bad($"name refs, a subscription, or what to look for: {string.Join(", ", Filters)}");
        if (ids.Length > 0 && isFiltered)
            throw AdminRequest.Bad($"name either refs or what to look for (subscription, {string.Join(", ", Filters)}), not both");
        string? text = body.Text("text");
        if (text is not null && order != QueueOrder.Bounce)
            throw AdminRequest.Bad("text: only the sender of what is returned (bounce) is told anything");
        if (text is not null && (string.IsNullOrWhiteSpace(text) || text.Length > QueueOrderRequest.MaxText || text.Any(PrintableText.IsUnsafe)))
            throw AdminRequest.Bad($"text: one line of 1 to {QueueOrderRequest.MaxText} printable characters is expected");
        await MessagesApi.RequireSubscriptionAsync(r, subscription, accounts, log);
        ImmutableArray<IPAddress> to = Addresses(body, order);
        foreach (IPAddress address in to)
        {
            if ((await accounts.ShowAddressAsync(address.ToString(), [], r.Aborted)).Value is { DrainingSince: not null })
                throw new ProblemException(Problem.Conflict($"{address} drains: no mail is to choose it; name another, or end that first (relaygate ip resume {address})"));
        }
        return new QueueOrderRequest(order, new QueueSelection([.. ids], subscription, Seen(r, filter)))
        {
            DryRun = body.Flag("dryRun"),
            OnlySubscription = r.Caller.Subscription,
            By = r.Caller.ToString(),
            Text = text ?? QueueOrderRequest.DefaultText,
            To = to,
        };
    }

    /// <summary>Where queued mail is to leave from: one address of each family at most.</summary>
    private static ImmutableArray<IPAddress> Addresses(RequestBody body, QueueOrder order)
    {
        ImmutableArray<IPAddress> to = [.. body.Texts("toIp").Select(static text => ListenerEndpoint.TryParseAddress(text, out IPAddress? address)
            ? address
            : throw AdminRequest.Bad($"toIp has '{AccountNames.Printable(text)}': an IP address such as 192.0.2.11 is expected"))];
        if (!to.IsEmpty && order != QueueOrder.Rebind)
            throw AdminRequest.Bad("toIp: only what is rebound gets another address");
        return to.Select(static a => a.AddressFamily).Distinct().Count() == to.Length ? to : throw AdminRequest.Bad("toIp: one address of each family at most is expected");
    }

    /// <summary>Of a domain or mailbox that has nothing in the queue: it must at least exist.</summary>
    private async Task CheckAsync(AdminRequest r, QueueOrderRequest request, RequestBody body, bool isThere)
    {
        if (isThere || request.Selection.Filter.CountedAt is not { } sender || !r.Caller.IsAdministrator)
            return;
        bool isMailbox = body.Text("mailbox") is not null;
        bool isKnown = isMailbox ? (await accounts.ShowMailboxAsync(sender, r.Aborted)).IsOk : (await accounts.ShowDomainAsync(sender, r.Aborted)).IsOk;
        if (!isKnown && !await queue.HasMailOfAsync(sender, r.Aborted))
            throw MessagesApi.NotFound($"There is no {(isMailbox ? "mailbox" : "domain")} {AccountNames.Printable(sender)}; see: relaygate {(isMailbox ? "mailbox" : "domain")} list");
    }

    /// <summary>What is older than the caller's time belongs to another subscription of the same name.</summary>
    private static QueueFilter Seen(AdminRequest r, QueueFilter filter) => r.Caller.Since == default ? filter : filter with { Since = r.Caller.Since };

    /// <summary>What to look for in the queue, from a query or a body.</summary>
    private static QueueFilter Filter(Func<string, string?> text) => new()
    {
        RecipientDomain = text("recipientDomain") is { } to ? Domain.TryParse(to, out Domain? domain) ? domain.Value : throw AdminRequest.Bad($"recipientDomain: '{AccountNames.Printable(to)}' is no domain: a name such as example.net is expected") : null,
        CountedAt = CountedAt(text),
        Sender = text("from"),
        Script = text("script"),
        EgressAddress = text("ip") is { } ip ? ListenerEndpoint.TryParseAddress(ip, out IPAddress? address) ? address : throw AdminRequest.Bad($"ip: '{AccountNames.Printable(ip)}' is no IP address: one such as 192.0.2.11 is expected") : null,
        Reason = text("reason") is not { } reason ? null
            : reason.Length is > 0 and <= MaxReason ? reason : throw AdminRequest.Bad($"reason: 1 to {MaxReason} characters of a reply, or the name of a class such as ip-blocked, are expected"),
        State = MessagesApi.Word<QueueState>(text, "state"),
        Held = MessagesApi.Word(text, "held", [.. Enum.GetValues<HoldReason>().Where(static reason => reason != HoldReason.None)]),
        Before = text("before") is { } before ? AdminRequest.Time("before", before) : null,
    };

    /// <summary>The sender an order is for: a domain with all its mailboxes, or one mailbox.</summary>
    private static string? CountedAt(Func<string, string?> text) => (text("domain"), text("mailbox")) switch
    {
        (null, null) => null,
        ({ } domain, null) => Domain.TryParse(domain, out Domain? name) ? name.Value : throw AdminRequest.Bad($"domain: '{AccountNames.Printable(domain)}' is no domain: a name such as shop.test is expected"),
        (null, { } mailbox) => MailboxAddress.TryParse(mailbox, out MailboxAddress? address) ? address.Canonical : throw AdminRequest.Bad($"mailbox: '{AccountNames.Printable(mailbox)}' is no mailbox: an address such as info@shop.test is expected"),
        _ => throw AdminRequest.Bad("name either a domain or a mailbox"),
    };

    private static ProblemException NotInQueue(AdminRequest r) =>
        MessagesApi.NotFound($"message {r.Route("ref")} is not in the queue; what became of it: relaygate message explain {r.Route("ref")}");
}
