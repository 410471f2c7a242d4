using System.Text.Json.Nodes;
using RelayGate.Accounts;
using RelayGate.Core.Policy;

namespace RelayGate.Admin;

/// <summary>Limits and the settings that can be changed live.</summary>
internal sealed class LimitsApi(AccountAdministration accounts)
{
    /// <summary>Objects of one tree; more are cut, and the answer says so.</summary>
    private const int MaxTree = 1000;

    public void Map(AdminDispatcher api)
    {
        api.ReadAll("limits", async r => AdminJson.List(Rows(AdminJson.Value(await accounts.ShowLimitAsync(AdminJson.Key(r.Query("level"), r.Query("name")), r.Aborted)), 0), row => row));
        api.ReadAll("limits/tree", TreeAsync);
        api.Change("PUT", "limits", async r =>
        {
            RequestBody body = await r.BodyAsync("level", "name", "each", "value", "over");
            Level? each = Each(body.Text("each"));
            OverLimitAction? over = body.Text("over") is { } action ? AdminJson.Choice<OverLimitAction>("over", action) : null;
            LimitView limit = AdminJson.Value(await accounts.SetLimitAsync(AdminJson.Key(body.Text("level"), body.Text("name")), each, body.RequiredText("value"), over, r.Aborted, r.Caller.ToString()));
            return AdminJson.List(Rows(limit, 0), row => row);
        });
        api.Change("DELETE", "limits", async r =>
        {
            Level? each = Each(r.Query("each"));
            LimitView limit = AdminJson.Value(await accounts.UnsetLimitAsync(AdminJson.Key(r.Query("level"), r.Query("name")), each, r.Aborted, r.Caller.ToString()));
            return AdminJson.List(Rows(limit, 0), row => row);
        });
        api.ReadAll("settings", async r => AdminJson.List(AdminJson.Value(await accounts.ListSettingsAsync(r.Aborted)), Json));
        api.Change("PUT", "settings/{name}", async r =>
            Json(AdminJson.Value(await accounts.SetSettingAsync(r.Route("name"), (await r.BodyAsync("value")).RequiredText("value"), r.Aborted, r.Caller.ToString()))));
        api.Change("DELETE", "settings/{name}", async r => Json(AdminJson.Value(await accounts.UnsetSettingAsync(r.Route("name"), r.Aborted, r.Caller.ToString()))));
    }

    /// <summary>The kind of objects that a default is for.</summary>
    private static Level? Each(string? level) =>
        level is null ? null : AdminJson.Choice("each", level, Level.Mailbox, Level.Domain, Level.Subscription);

    private async Task<JsonNode?> TreeAsync(AdminRequest request)
    {
        var rows = new List<JsonObject>();
        int left = MaxTree;
        await AddAsync(AdminJson.Key(request.Query("level") ?? "server", request.Query("name")), 0);
        JsonObject answer = AdminJson.List(rows, row => row);
        if (left <= 0)
            answer["cut"] = true;
        return answer;

        async Task AddAsync(AccountKey key, int depth)
        {
            rows.AddRange(Rows(AdminJson.Value(await accounts.ShowLimitAsync(key, request.Aborted)), depth));
            string? after = null;
            do
            {
                if (key.Level == Level.Mailbox)
                    return;
                Page<AccountKey> page = AdminJson.Value(await accounts.ListBelowAsync(key, after, AccountAdministration.MaxPage, request.Aborted));
                foreach (AccountKey below in page.Items)
                {
                    if (--left <= 0)
                        return;
                    await AddAsync(below, depth + 1);
                }
                after = page.Next;
            }
            while (after is not null && left > 0);
        }
    }

    /// <summary>A row for each limit in force, then one for each default that the object sets for those below it.</summary>
    private static IEnumerable<JsonObject> Rows(LimitView view, int depth)
    {
        foreach (LimitUse use in view.Uses)
        {
            yield return new JsonObject
            {
                ["object"] = view.Key.ToString(),
                ["level"] = AdminJson.Word(view.Key.Level),
                ["name"] = view.Key.Name,
                ["depth"] = depth,
                ["value"] = view.Value,
                ["limit"] = use.Limit ?? view.Value,
                ["origin"] = view.Origin,
                ["over"] = AdminJson.Word(view.Action),
                ["used"] = use.Used,
                ["refused"] = view.Refused,
                ["nextPossible"] = use.NextPossible is { } next ? AdminJson.Time(next) : null,
            };
        }
        foreach (EachLimitView each in view.Each)
        {
            yield return new JsonObject
            {
                ["object"] = $"{view.Key} --each {AdminJson.Word(each.Each)}",
                ["level"] = AdminJson.Word(view.Key.Level),
                ["name"] = view.Key.Name,
                ["depth"] = depth,
                ["each"] = AdminJson.Word(each.Each),
                ["value"] = each.Value,
                ["limit"] = each.Value,
                ["origin"] = "own",
                ["over"] = AdminJson.Word(each.Action),
            };
        }
    }

    private static JsonObject Json(Setting setting) => new() { ["name"] = setting.Name, ["value"] = setting.Value, ["origin"] = setting.Origin };
}
