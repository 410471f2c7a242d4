using System.Text.Json.Nodes;
using RelayGate.Accounts;
using RelayGate.Storage;

namespace RelayGate.Admin;

/// <summary>The list of what was changed by hand. A subscription's own user reads what was changed of it.</summary>
internal sealed class AuditApi(AccountAdministration accounts)
{
    public void Map(AdminDispatcher api) => api.Read("audit", async r =>
    {
        DateTimeOffset since = r.Time("since") is { } given && given > r.Caller.Since ? given : r.Caller.Since;
        return AdminJson.List(AdminJson.Value(await accounts.ListAuditAsync(r.Query("object"), r.Caller.Subscription, since, r.Query("cursor"), r.Limit, r.Aborted)), Json);
    });

    private static JsonObject Json(AuditEntry entry) => new()
    {
        ["number"] = entry.Number,
        ["at"] = AdminJson.Time(entry.At),
        ["by"] = entry.By,
        ["what"] = entry.What,
        ["object"] = entry.Target,
        ["subscription"] = entry.Subscription,
        ["before"] = entry.Before,
        ["after"] = entry.After,
    };
}
