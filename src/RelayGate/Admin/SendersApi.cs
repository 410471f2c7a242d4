using System.Text.Json.Nodes;
using RelayGate.Accounts;
using RelayGate.Core.Policy;
using RelayGate.Queue;

namespace RelayGate.Admin;

/// <summary>Senders: credentials beside mailboxes; and the system users that send. A subscription's own user reads what is its own.</summary>
internal sealed class SendersApi(AccountAdministration accounts)
{
    public void Map(AdminDispatcher api)
    {
        api.Change("POST", "senders", CreateAsync);
        api.Read("senders", ListAsync);
        api.Read("senders/{name}", async r => Json(Visible(AdminJson.Value(await accounts.ShowSenderAsync(r.Route("name"), r.Aborted)), r)));
        api.Change("POST", "senders/{name}/rotate", RotateAsync);
        api.Change("POST", "senders/{name}/suspend", async r => Json(AdminJson.Value(await accounts.SetSenderSuspendedAsync(r.Route("name"), true, r.Aborted, r.Caller.ToString()))));
        api.Change("POST", "senders/{name}/resume", async r => Json(AdminJson.Value(await accounts.SetSenderSuspendedAsync(r.Route("name"), false, r.Aborted, r.Caller.ToString()))));
        api.Change("DELETE", "senders/{name}", async r => Json(AdminJson.Value(await accounts.RevokeSenderAsync(r.Route("name"), r.Aborted, r.Caller.ToString()))));
        api.Read("uids", async r => AdminJson.List(
            AdminJson.Value(await accounts.ListUidsAsync(r.Caller.Subscription ?? r.Query("subscription"), r.Query("cursor"), r.Limit, r.Aborted)), Json));
        api.Change("POST", "uids/{name}/suspend", async r => Json(AdminJson.Value(await accounts.SetUidSuspendedAsync(r.Route("name"), true, r.Aborted, r.Caller.ToString()))));
        api.Change("POST", "uids/{name}/resume", async r => Json(AdminJson.Value(await accounts.SetUidSuspendedAsync(r.Route("name"), false, r.Aborted, r.Caller.ToString()))));
    }

    private async Task<JsonNode?> CreateAsync(AdminRequest request)
    {
        RequestBody body = await request.BodyAsync("name", "mailbox", "domain", "subscription", "password");
        AccountKey of = Of(body.Text) ?? throw AdminRequest.Bad("say what the sender is of: one of mailbox, domain, subscription");
        return Json(AdminJson.Value(await accounts.CreateSenderAsync(body.RequiredText("name"), of, body.Text("password"), request.Aborted, request.Caller.ToString())));
    }

    private async Task<JsonNode?> RotateAsync(AdminRequest request)
    {
        RequestBody body = await request.BodyAsync("password", "graceSeconds");
        TimeSpan grace = TimeSpan.FromSeconds(body.Number("graceSeconds") ?? 0);
        return Json(AdminJson.Value(await accounts.RotateSenderAsync(request.Route("name"), body.Text("password"), grace, request.Aborted, request.Caller.ToString())));
    }

    private async Task<JsonNode?> ListAsync(AdminRequest request)
    {
        AccountKey? of = Of(request.Query);
        if (of is { Level: Level.Subscription } asked && !MessageLog.TryScope(asked.Name, request.Caller.Subscription, out _))
            throw new ProblemException(Problem.NotFound($"There is no subscription '{AccountNames.Printable(asked.Name)}'; see: relaygate subscription list"));
        return AdminJson.List(AdminJson.Value(await accounts.ListSendersAsync(of, request.Caller.Subscription, request.Query("cursor"), request.Limit, request.Aborted)), Json);
    }

    private static AccountKey? Of(Func<string, string?> read)
    {
        AccountKey? found = null;
        foreach (Level level in new[] { Level.Mailbox, Level.Domain, Level.Subscription })
        {
            if (read(AdminJson.Word(level)) is not { Length: > 0 } name)
                continue;
            if (found is not null)
                throw AdminRequest.Bad("name one of mailbox, domain, subscription, not several");
            found = new AccountKey(level, name);
        }
        return found;
    }

    /// <summary>What belongs to another subscription is as if it were not there.</summary>
    private static SenderView Visible(SenderView sender, AdminRequest request) => request.Caller.Subscription is not { } own || sender.Subscription == own ? sender
        : throw new ProblemException(Problem.NotFound($"There is no sender '{sender.Name}'; see: relaygate sender list"));

    private static JsonObject Json(NewPassword made)
    {
        JsonObject json = Json(made.Sender);
        if (made.Password is not null)
            json["password"] = made.Password;
        return json;
    }

    private static JsonObject Json(SenderView s)
    {
        var json = new JsonObject
        {
            ["name"] = s.Name,
            ["level"] = AdminJson.Word(s.Of.Level),
            ["object"] = s.Of.Name,
            ["subscription"] = s.Subscription,
            ["createdAt"] = AdminJson.Time(s.CreatedAt),
            ["passwordSetAt"] = AdminJson.Time(s.PasswordSetAt),
            ["oldPasswordUntil"] = AdminJson.TimeOrNull(s.PreviousUntil),
            ["suspended"] = s.IsSuspended,
        };
        AdminJson.Add(json, s.Use);
        return json;
    }

    private static JsonObject Json(UidView u) => new()
    {
        ["uid"] = u.Uid,
        ["name"] = u.Name,
        ["subscription"] = u.Subscription,
        ["shared"] = u.IsShared,
        ["suspended"] = u.IsSuspended,
        ["lastUse"] = AdminJson.TimeOrNull(u.Use.LastUse),
        ["uses"] = u.Use.Uses,
    };
}
