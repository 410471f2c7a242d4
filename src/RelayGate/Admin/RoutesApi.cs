using System.Text.Json.Nodes;
using RelayGate.Accounts;
using RelayGate.Core.Mail;
using RelayGate.Core.Tls;

namespace RelayGate.Admin;

/// <summary>Where mail goes next: routes of the server, of subscriptions and to recipient domains. Passwords come in and never go out.</summary>
internal sealed class RoutesApi(AccountAdministration accounts, RouteTest test)
{
    public void Map(AdminDispatcher api)
    {
        api.Change("PUT", "routes", async r =>
        {
            RequestBody body = await r.BodyAsync("subscription", "domain", "nextHop", "login", "password", "tls");
            var change = new RouteChange(
                body.Text("nextHop"), body.Has("login") ? body.Text("login") ?? "none" : null, body.Text("password"), body.Has("tls") ? body.Text("tls") ?? "default" : null);
            return Json(AdminJson.Value(await accounts.SetRouteAsync(body.Text("subscription"), body.Text("domain"), change, r.Aborted, r.Caller.ToString())));
        });
        api.ReadAll("routes", async r => AdminJson.List(AdminJson.Value(await accounts.ListRoutesAsync(r.Query("cursor"), r.Limit, r.Aborted)), Json));
        api.ReadAll("routes/one", async r => Json(AdminJson.Value(await accounts.ShowRouteAsync(r.Query("subscription"), r.Query("domain"), r.Aborted))));
        api.Change("DELETE", "routes/one", async r =>
            Json(AdminJson.Value(await accounts.RemoveRouteAsync(r.Query("subscription"), r.Query("domain"), r.Aborted, r.Caller.ToString()))));
        api.ReadAll("routes/test", TestAsync);
    }

    private async Task<JsonNode?> TestAsync(AdminRequest r)
    {
        string to = r.Query("to") ?? throw AdminRequest.Bad("to is missing: the recipient, such as ann@example.com");
        if (!MailboxAddress.TryParse(to, out MailboxAddress? recipient) && !MailboxAddress.TryParse($"postmaster@{to}", out recipient))
            throw AdminRequest.Bad($"to is '{AccountNames.Printable(to)}': a recipient such as ann@example.com, or a domain, is expected");
        if (r.Query("subscription") is { } subscription)
            AdminJson.Value(await accounts.ShowSubscriptionAsync(subscription, r.Aborted));
        RoutePlan plan = await test(r.Query("subscription"), recipient, r.Aborted);
        return new JsonObject
        {
            ["route"] = Json(plan.Route),
            ["egress"] = plan.Egress,
            ["fault"] = plan.Fault,
            ["stops"] = new JsonArray([.. plan.Stops.Select(static s => (JsonNode)new JsonObject
            {
                ["host"] = s.Host,
                ["remote"] = s.Remote,
                ["provider"] = s.Provider,
                ["local"] = s.Local,
                ["helo"] = s.Helo,
                ["tls"] = s.Tls,
                ["implicitTls"] = s.IsImplicitTls,
                ["whyNot"] = s.WhyNot,
            })]),
        };
    }

    private static JsonObject Json(RouteView route) => new()
    {
        ["for"] = route.Key.ToString(),
        ["subscription"] = route.Key.Subscription.Length > 0 ? route.Key.Subscription : null,
        ["domain"] = route.Key.Domain.Length > 0 ? route.Key.Domain : null,
        ["nextHop"] = route.NextHop,
        ["login"] = route.Login,
        ["tls"] = route.Tls?.Word(),
        ["origin"] = route.Origin,
    };
}
