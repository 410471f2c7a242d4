using System.Text.Json.Nodes;
using RelayGate.Accounts;
using RelayGate.Core.Notices;
using RelayGate.Notices;

namespace RelayGate.Admin;

/// <summary>Webhooks, for administrators: their URLs may be secrets themselves, and stand whole only where one webhook is asked for.</summary>
internal sealed class WebhooksApi(WebhookAdministration webhooks)
{
    private const int MaxOverlapHours = 24 * 30;

    public void Map(AdminDispatcher api)
    {
        api.ReadAll("webhooks", async r => AdminJson.List(await webhooks.ListAsync(r.Aborted), static hook => Json(hook)));
        api.ReadAll("webhooks/{name}", async r => Json(AdminJson.Value(await webhooks.ShowAsync(r.Route("name"), r.Aborted)), withPath: true));
        api.Change("POST", "webhooks", async r =>
        {
            RequestBody body = await r.BodyAsync("name", "url", "events", "subscription", "allowHttp", "allowPrivate", "secret");
            return Json(AdminJson.Value(await webhooks.AddAsync(
                body.RequiredText("name"), body.RequiredText("url"), body.Texts("events"), body.Text("subscription"), body.Flag("allowHttp"), body.Flag("allowPrivate"),
                body.Text("secret"), r.Caller.ToString(), r.Aborted)));
        });
        api.Change("DELETE", "webhooks/{name}", async r => Json(AdminJson.Value(await webhooks.RemoveAsync(r.Route("name"), r.Caller.ToString(), r.Aborted))));
        api.Change("POST", "webhooks/{name}/rotate", async r =>
        {
            RequestBody body = await r.BodyAsync("secret", "overlapHours");
            int? hours = body.Number("overlapHours");
            if (hours is < 0 or > MaxOverlapHours)
                throw AdminRequest.Bad($"overlapHours is {hours}: a number from 0 to {MaxOverlapHours} is expected");
            TimeSpan overlap = hours is { } given ? TimeSpan.FromHours(given) : WebhookAdministration.Overlap;
            return Json(AdminJson.Value(await webhooks.RotateAsync(r.Route("name"), body.Text("secret"), overlap, r.Caller.ToString(), r.Aborted)));
        });
        api.Change("POST", "webhooks/{name}/enable", async r => Json(AdminJson.Value(await webhooks.EnableAsync(r.Route("name"), r.Caller.ToString(), r.Aborted))));
        api.Change("POST", "webhooks/{name}/test", async r => Json(AdminJson.Value(await webhooks.TestAsync(r.Route("name"), r.Aborted))));
        api.ReadAll("webhooks/{name}/deliveries", async r =>
            AdminJson.List(AdminJson.Value(await webhooks.HistoryAsync(r.Route("name"), r.Query("cursor"), r.Limit, r.Aborted)), Json));
        api.Change("POST", "webhook-deliveries/{id}/redeliver", async r => Json(AdminJson.Value(await webhooks.RedeliverAsync(r.Route("id"), r.Caller.ToString(), r.Aborted))));
    }

    private static JsonObject Json(WebhookWithSecret made)
    {
        JsonObject answer = Json(made.View);
        if (made.Secret is { } secret)
            answer["secret"] = secret;
        return answer;
    }

    private static JsonObject Json(WebhookView hook, bool withPath = false) => new()
    {
        ["name"] = hook.Name,
        ["url"] = withPath ? hook.Url : WebhookTarget.WithoutPath(hook.Url),
        ["events"] = hook.Kinds,
        ["subscription"] = hook.Subscription,
        ["allowHttp"] = hook.AllowsHttp,
        ["allowPrivate"] = hook.AllowsPrivate,
        ["disabled"] = hook.Disabled,
        ["createdAt"] = AdminJson.Time(hook.CreatedAt),
        ["secrets"] = hook.Secrets,
        ["waiting"] = hook.Waiting,
    };

    private static JsonObject Json(WebhookDelivery delivery) => new()
    {
        ["id"] = delivery.Id,
        ["webhook"] = delivery.Webhook,
        ["event"] = NoticePayload.Type(delivery.Kind),
        ["at"] = AdminJson.Time(delivery.At),
        ["state"] = AdminJson.Word(delivery.State),
        ["nextAttempt"] = delivery.NextAttempt is { } next ? AdminJson.Time(next) : null,
        ["attempts"] = new JsonArray([.. delivery.Attempts.Select(static a => (JsonNode)new JsonObject
        {
            ["number"] = a.Number,
            ["at"] = AdminJson.Time(a.At),
            ["seconds"] = a.Duration.TotalSeconds,
            ["status"] = a.Status,
            ["error"] = a.Error,
        })]),
    };
}
