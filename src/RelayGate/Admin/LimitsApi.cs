using System.Globalization;
using System.Text.Json.Nodes;
using RelayGate.Accounts;
using RelayGate.Core.Policy;

namespace RelayGate.Admin;

/// <summary>Limits and the settings that can be changed live. A subscription's own user reads the limits of what is the subscription's.</summary>
internal sealed class LimitsApi(AccountAdministration accounts)
{
    private const int MaxDepth = 4; // From the server to a mailbox.

    private static readonly (string Word, LimitParts Part)[] Parts =
        [("value", LimitParts.Limits), ("maxRecipients", LimitParts.MaxRecipients), ("warnAt", LimitParts.WarnAt), ("enforce", LimitParts.Enforcement)];

    public void Map(AdminDispatcher api)
    {
        api.Read("limits", async r => Json(AdminJson.Value(await accounts.ShowLimitAsync(await VisibleAsync(KeyOf(r), r), r.Aborted))));
        api.Read("limits/tree", TreeAsync);
        api.Change("PUT", "limits", SetAsync);
        api.Change("DELETE", "limits", async r =>
        {
            LimitParts parts = LimitParts.None;
            foreach (string part in r.Query("parts")?.Split(',') ?? [])
                parts |= Array.Find(Parts, p => p.Word == part) is { Word: not null } known ? known.Part : throw AdminRequest.Bad($"parts holds '{part}': {string.Join(", ", Parts.Select(static p => p.Word))} are expected");
            return Json(AdminJson.Value(await accounts.UnsetLimitAsync(
                KeyOf(r), Each(r.Query("each")), r.Aborted, r.Caller.ToString(), parts == LimitParts.None ? LimitParts.All : parts)));
        });
        api.Change("POST", "limits/boost", async r =>
        {
            RequestBody body = await r.BodyAsync("level", "name", "class", "amount", "seconds");
            long amount = long.TryParse(body.RequiredText("amount"), NumberStyles.None, CultureInfo.InvariantCulture, out long number) ? number : throw AdminRequest.Bad("amount: digits are expected");
            int seconds = body.Number("seconds") ?? throw AdminRequest.Bad("seconds is missing");
            return Json(AdminJson.Value(await accounts.BoostLimitAsync(KeyOf(body), amount, TimeSpan.FromSeconds(seconds), r.Aborted, r.Caller.ToString())));
        });
        api.Change("DELETE", "limits/boost", async r => Json(AdminJson.Value(await accounts.EndBoostAsync(KeyOf(r), r.Aborted, r.Caller.ToString()))));
        api.Change("POST", "limits/reset", async r =>
            Json(AdminJson.Value(await accounts.ResetLimitAsync(KeyOf(await r.BodyAsync("level", "name", "class")), r.Aborted, r.Caller.ToString()))));
        api.ReadAll("settings", async r => AdminJson.List(AdminJson.Value(await accounts.ListSettingsAsync(r.Aborted)), Json));
        api.Change("PUT", "settings/{name}", async r =>
            Json(AdminJson.Value(await accounts.SetSettingAsync(r.Route("name"), (await r.BodyAsync("value")).RequiredText("value"), r.Aborted, r.Caller.ToString()))));
        api.Change("DELETE", "settings/{name}", async r => Json(AdminJson.Value(await accounts.UnsetSettingAsync(r.Route("name"), r.Aborted, r.Caller.ToString()))));
    }

    private static AccountKey KeyOf(AdminRequest r) => KeyOf(r.Query("level"), r.Query("name"), r.Query("class"));

    private static AccountKey KeyOf(RequestBody body) => KeyOf(body.Text("level"), body.Text("name"), body.Text("class"));

    private static AccountKey KeyOf(string? level, string? name, string? of) =>
        AdminJson.Key(level, name) with { Class = of is null ? null : AdminJson.Choice<MessageClass>("class", of) };

    /// <summary>An object that the caller may read. Of those above his own he learns only that one of them stops his mail, and until when.</summary>
    private async Task<AccountKey> VisibleAsync(AccountKey key, AdminRequest request)
    {
        request.Caller.RequireMayRead(key);
        if (request.Caller.Subscription is { } own)
            AdminJson.Value(await accounts.RequireOwnAsync(key, own, request.Aborted));
        return key;
    }

    /// <summary>The kind of objects that a default is for.</summary>
    private static Level? Each(string? level) =>
        level is null ? null : AdminJson.Choice("each", level, Level.Mailbox, Level.Domain, Level.Subscription);

    private async Task<JsonNode?> SetAsync(AdminRequest r)
    {
        RequestBody body = await r.BodyAsync("level", "name", "each", "class", "value", "over", "maxRecipients", "warnAt", "enforce");
        var change = new LimitChange(
            body.Text("value"), body.Text("over") is { } action ? AdminJson.Choice<OverLimitAction>("over", action) : null,
            body.Number("maxRecipients"), body.Number("warnAt"), body.Has("enforce") ? body.Flag("enforce") : null);
        return Json(AdminJson.Value(await accounts.SetLimitAsync(KeyOf(body), Each(body.Text("each")), change, r.Aborted, r.Caller.ToString())));
    }

    private async Task<JsonNode?> TreeAsync(AdminRequest request)
    {
        int depth = request.Query("depth") is not { } text ? MaxDepth
            : int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int given) ? given : throw AdminRequest.Bad($"depth is '{text}': a number from 0 is expected");
        AccountKey? after = request.Query("cursor") is { } cursor ? Cursor(cursor) : null;
        AccountKey root = request.Query("level") is null && request.Query("name") is null
            ? request.Caller.Subscription is { } own ? new AccountKey(Level.Subscription, own) : AccountKey.Server
            : KeyOf(request.Query("level"), request.Query("name"), null);
        Page<LimitNode> page = AdminJson.Value(await accounts.LimitTreeAsync(await VisibleAsync(root, request), depth, after, request.Limit, request.Aborted));
        JsonObject answer = AdminJson.List(page.Items.SelectMany(static node => Rows(node.Limit, node.Depth)), row => row, page.Next);
        answer["limitsOn"] = page.Items.All(static node => node.Limit.EnforcesAny);
        return answer;
    }

    /// <summary>Level and name, as the object with which a page ended is written.</summary>
    private static AccountKey Cursor(string text)
    {
        string[] parts = text.Split(' ', 2);
        return AdminJson.Key(parts[0], parts.ElementAtOrDefault(1));
    }

    /// <summary>Rows, and what is so for the object as a whole.</summary>
    private static JsonObject Json(LimitView view)
    {
        JsonObject answer = AdminJson.List(Rows(view, 0), row => row);
        answer["object"] = view.Key.ToString();
        answer["limitsOn"] = view.EnforcesAny;
        answer["refused"] = view.Refused;
        answer["refusedThisHour"] = view.RefusedThisHour;
        answer["messages"] = view.Messages;
        answer["exempt"] = view.Exempt;
        answer["held"] = view.Held;
        answer["enforced"] = view.IsEnforced;
        answer["enforcedOrigin"] = view.EnforcementOrigin;
        answer["warnAt"] = view.WarnAt;
        answer["warnAtOrigin"] = view.WarnAtOrigin;
        answer["maxRecipients"] = view.MaxRecipients;
        answer["maxRecipientsOrigin"] = view.MaxRecipientsOrigin;
        answer["boost"] = view.Boost is { } boost ? new JsonObject { ["amount"] = boost.Amount, ["until"] = AdminJson.Time(boost.Until) } : null;
        answer["nextPossible"] = view.NextPossible is { } next ? AdminJson.Time(next) : null;
        answer["stoppedBy"] = view.StoppedBy?.ToString();
        return answer;
    }

    /// <summary>A row for each limit in force, those of classes behind, then one for each default that the object sets for those below it.</summary>
    private static IEnumerable<JsonObject> Rows(LimitView view, int depth)
    {
        foreach (LimitView part in view.Classes.Prepend(view))
        {
            foreach (LimitUse use in part.Uses)
            {
                yield return new JsonObject
                {
                    ["object"] = part.Key.ToString(),
                    ["level"] = AdminJson.Word(part.Key.Level),
                    ["name"] = part.Key.Name,
                    ["class"] = part.Key.Class?.Word(),
                    ["depth"] = depth,
                    ["value"] = part.Value,
                    ["limit"] = use.Limit ?? part.Value,
                    ["origin"] = part.Origin,
                    ["over"] = AdminJson.Word(part.Action),
                    ["enforced"] = part.IsEnforced,
                    ["used"] = use.Used,
                    ["percent"] = use.Percent,
                    ["refused"] = part.Key.Class is null ? view.Refused : null, // Not kept for one class of its limits.
                    ["held"] = part.Held,
                    ["boost"] = part.Boost?.Amount,
                    ["boostUntil"] = part.Boost is { } boost ? AdminJson.Time(boost.Until) : null,
                    ["nextPossible"] = use.NextPossible is { } next ? AdminJson.Time(next) : null,
                };
            }
        }
        foreach (EachLimitView each in view.Each)
        {
            yield return new JsonObject
            {
                ["object"] = $"{view.Key} --each {AdminJson.Word(each.Each)}{(each.Class is { } of ? $" class {of.Word()}" : "")}",
                ["level"] = AdminJson.Word(view.Key.Level),
                ["name"] = view.Key.Name,
                ["class"] = each.Class?.Word(),
                ["depth"] = depth,
                ["each"] = AdminJson.Word(each.Each),
                ["value"] = each.Value,
                ["limit"] = each.Value,
                ["origin"] = LimitsInForce.Own,
                ["over"] = each.Value is null ? null : AdminJson.Word(each.Action),
                ["maxRecipients"] = each.MaxRecipients,
                ["warnAt"] = each.WarnAt,
                ["enforced"] = each.IsEnforced,
            };
        }
    }

    private static JsonObject Json(Setting setting) => new() { ["name"] = setting.Name, ["value"] = setting.Value, ["origin"] = setting.Origin };
}
