using System.Globalization;
using System.Text.Json.Nodes;
using RelayGate.Accounts;
using RelayGate.Core.Policy;
using RelayGate.Queue;

namespace RelayGate.Admin;

/// <summary>What scripts and programs of this machine send. A subscription's own user sees those of its own mail; blocking is for administrators.</summary>
internal sealed class ScriptsApi(ScriptLog log, AccountAdministration accounts, TenantTurns turns, TimeProvider time)
{
    private static readonly TimeSpan DefaultSince = TimeSpan.FromDays(1);
    private static readonly TimeSpan DefaultShown = TimeSpan.FromDays(7);

    public void Map(AdminDispatcher api)
    {
        api.Read("scripts", async r =>
        {
            if (!MessageLog.TryScope(r.Query("subscription"), r.Caller.Subscription, out string? subscription))
                throw new ProblemException(Problem.NotFound($"There is no subscription '{AccountNames.Printable(r.Query("subscription")!)}'; see: relaygate subscription list"));
            int? uid = r.Query("uid") is { } user ? Uid(user) : null;
            ScriptPage page = await turns.RunAsync(
                r, () => log.ListAsync(Since(r, DefaultSince), subscription, uid, r.Limit, r.Query("cursor"), r.Aborted, isTenant: !r.Caller.IsAdministrator))
                ?? throw AdminRequest.Bad("the cursor is not one that a page gave");
            return RecordJson.List(page.Items, RecordJson.Default.ScriptUsage, page.NextCursor);
        });
        api.Read("scripts/{uid}/{script}", async r =>
        {
            var key = new ScriptKey(Uid(r.Route("uid")), r.Route("script"));
            ScriptView view = await turns.RunAsync(r, () => log.ShowAsync(key, Since(r, DefaultShown), r.Caller.Subscription, r.Aborted))
                ?? throw new ProblemException(Problem.NotFound($"nothing was sent by {AccountNames.Printable(key.ToString())}; see: relaygate script list"));
            return RecordJson.ToNode(view, RecordJson.Default.ScriptView);
        });
        Order(api, "block", isBlocked: true);
        Order(api, "unblock", isBlocked: false);
    }

    private void Order(AdminDispatcher api, string verb, bool isBlocked) => api.Change("POST", $"scripts/{verb}", async r =>
    {
        RequestBody body = await r.BodyAsync("uid", "script");
        var key = new ScriptKey(Uid(body.RequiredText("uid")), body.RequiredText("script"));
        ScriptChange change = AdminJson.Value(await accounts.SetScriptBlockedAsync(key, isBlocked, r.Aborted, r.Caller.ToString()));
        return new JsonObject { ["uid"] = change.Key.Uid, ["script"] = change.Key.Script, ["isBlocked"] = isBlocked, ["isChanged"] = change.IsChanged };
    });

    private DateTimeOffset Since(AdminRequest r, TimeSpan whenAbsent)
    {
        DateTimeOffset since = r.Time("since") ?? time.GetUtcNow() - whenAbsent;
        return since > r.Caller.Since ? since : r.Caller.Since; // What is older was another subscription's of this name.
    }

    /// <summary>A number, <c>#number</c>, or a user's name.</summary>
    private static int Uid(string user) => int.TryParse(user.AsSpan(user.StartsWith('#') ? 1 : 0), NumberStyles.None, CultureInfo.InvariantCulture, out int number) ? number
        : SystemUserDatabase.TryFind(user, out SystemUserEntry? entry) ? entry.Uid
        : throw new ProblemException(Problem.NotFound($"this host has no user '{AccountNames.Printable(user)}'"));
}
