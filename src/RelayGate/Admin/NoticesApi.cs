using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using RelayGate.Accounts;
using RelayGate.Core.Mail;
using RelayGate.Core.Notices;
using RelayGate.Notices;

namespace RelayGate.Admin;

/// <summary>What people were told. A subscription's own user reads what is about its own, without the other receivers.</summary>
internal sealed class NoticesApi(NoticeLog log, NoticeService notices)
{
    public void Map(AdminDispatcher api)
    {
        api.Read("notices", ListAsync);
        api.Read("notices/{id}", async r =>
            QueueId.TryParse(r.Route("id"), out QueueId id) && r.Caller.MaySee(id) && await log.ShowAsync(id, r.Aborted) is { } told
            && (r.Caller.IsAdministrator || told.Kept.Notice.Subscription == r.Caller.Subscription)
                ? Json(told, r.Caller)
                : throw new ProblemException(Problem.NotFound($"there is no notice {AccountNames.Printable(r.Route("id"))}; see: relaygate notice list")));
        api.Change("PUT", "notices/owners/{name}", async r => new JsonObject
        {
            ["subscription"] = r.Route("name"),
            ["events"] = AdminJson.Value(await log.SetOwnerKindsAsync(r.Route("name"), (await r.BodyAsync("events")).Texts("events"), r.Caller.ToString(), r.Aborted)),
        });
        api.Change("POST", "notices/test", async r =>
        {
            if (notices.Administrator is not { } administrator)
                throw new ProblemException(Problem.Conflict("nobody is told of notices by mail: set RelayGate:Postmaster or RelayGate:Notices:Administrator"));
            StoredNotice stored = await notices.TestAsync(r.Aborted);
            return new JsonObject { ["notice"] = stored.Id, ["to"] = administrator.Text, ["ref"] = stored.Mails.FirstOrDefault(m => m.Receiver == administrator.Text).Ref };
        });
    }

    private async Task<JsonNode?> ListAsync(AdminRequest r)
    {
        NoticeKind? kind = r.Query("event") is not { } word ? null : NoticeKinds.Parse(word)
            ?? throw AdminRequest.Bad($"event is '{AccountNames.Printable(word)}': one of {NoticeKinds.Words} is expected");
        QueueId? before = r.Query("cursor") is not { } cursor ? null : QueueId.TryParse(cursor, out QueueId id) ? id : throw AdminRequest.Bad("the cursor is not one that a page gave");
        DateTimeOffset since = r.Time("since") is { } given && given > r.Caller.Since ? given : r.Caller.Since;
        string? subscription = r.Caller.Subscription ?? r.Query("subscription");
        return AdminJson.List(await log.ListAsync(kind, subscription, since, before, r.Limit, r.Aborted), told => Json(told, r.Caller));
    }

    private static JsonObject Json(ToldNotice told, AdminCaller caller)
    {
        using var octets = new MemoryStream();
        using (var json = new Utf8JsonWriter(octets))
        {
            json.WriteStartObject();
            NoticePayload.WriteFields(json, told.Kept);
            json.WriteEndObject();
        }
        var answer = (JsonObject)JsonNode.Parse(Encoding.UTF8.GetString(octets.ToArray()))!;
        answer["sentence"] = NoticeText.Sentence(told.Kept.Notice);
        answer["more"] = caller.IsAdministrator ? NoticeText.More(told.Kept.Notice) : NoticeText.MoreForOwner(told.Kept);
        answer["stop"] = caller.IsAdministrator ? NoticeText.Stop(told.Kept.Notice) : null;
        if (caller.IsAdministrator)
            answer["mails"] = new JsonArray([.. told.Mails.Select(static m => (JsonNode)new JsonObject { ["to"] = m.Receiver, ["ref"] = m.Ref })]);
        return answer;
    }
}
