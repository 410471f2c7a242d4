using System.Net;
using System.Text.Json.Nodes;
using RelayGate.Accounts;
using RelayGate.Configuration;
using RelayGate.Core.Policy;
using RelayGate.Egress;
using RelayGate.Queue;

namespace RelayGate.Admin;

/// <summary>Local addresses that mail leaves from: whose they are, whether this host has them, when they were used, and as which a probe saw them.</summary>
internal sealed class AddressesApi(AccountAdministration accounts, EgressUses uses, WaitingMail waiting, EgressStates states, EgressStateViews views, AddressProbe probe)
{
    /// <summary>Waiting recipients are counted up to here.</summary>
    private const int MaxCounted = 100_000;

    public void Map(AdminDispatcher api)
    {
        api.Change("POST", "addresses", async r =>
        {
            RequestBody body = await r.BodyAsync("address", "helo", "shared");
            return await JsonAsync(AdminJson.Value(await accounts.AddAddressAsync(body.RequiredText("address"), body.Text("helo"), body.Flag("shared"), r.Aborted, r.Caller.ToString())), r.Aborted);
        });
        api.Change("PATCH", "addresses/{name}", async r =>
        {
            RequestBody body = await r.BodyAsync("helo", "shared");
            string? helo = body.Has("helo") ? body.Text("helo") ?? "none" : null;
            return await JsonAsync(AdminJson.Value(await accounts.SetAddressAsync(r.Route("name"), helo, body.Has("shared") ? body.Flag("shared") : null, r.Aborted, r.Caller.ToString())), r.Aborted);
        });
        api.ReadAll("addresses", ListAsync);
        api.ReadAll("addresses/{name}", async r => await JsonAsync(AdminJson.Value(await accounts.ShowAddressAsync(r.Route("name"), states.Addresses(), r.Aborted)), r.Aborted));
        api.Change("DELETE", "addresses/{name}", async r => Json(AdminJson.Value(await accounts.RemoveAddressAsync(r.Route("name"), r.Aborted, r.Caller.ToString()))));
        api.Change("POST", "addresses/{name}/probe", ProbeAsync);
    }

    private async Task<JsonNode?> ListAsync(AdminRequest r)
    {
        Page<AddressView> page = AdminJson.Value(await accounts.ListAddressesAsync(r.Query("cursor"), r.Limit, states.Addresses(), r.Aborted));
        var items = new JsonArray();
        foreach (AddressView address in page.Items)
            items.Add((JsonNode)await JsonAsync(address, r.Aborted));
        return new JsonObject { ["items"] = items, ["nextCursor"] = page.Next };
    }

    private async Task<JsonNode?> ProbeAsync(AdminRequest r)
    {
        RequestBody body = await r.BodyAsync("to");
        AddressView address = AdminJson.Value(await accounts.ShowAddressAsync(r.Route("name"), states.Addresses(), r.Aborted));
        string to = body.Text("to") ?? AdminJson.Value(await accounts.ListSettingsAsync(r.Aborted)).First(static s => s.Name == "Egress:Probe").Value;
        if (to.Length == 0)
            throw AdminRequest.Bad($"Nobody is configured to ask; name one (--to smtp://mx.example.net) or configure one: relaygate setting set Egress:Probe smtp://HOST:PORT");
        if (!ProbeTarget.TryParse(to, out ProbeTarget? target))
            throw AdminRequest.Bad($"'{AccountNames.Printable(to)}' is nobody to ask: {ProbeTarget.Remedy}");
        AddressSighting sighting = await probe(IPAddress.Parse(address.Address), address.Helo, target, r.Aborted);
        if (sighting.Fault is null)
            await uses.ProbedAsync(IPAddress.Parse(address.Address), sighting.SeenAs, target.ToString(), r.Aborted);
        return new JsonObject
        {
            ["address"] = address.Address,
            ["asked"] = target.ToString(),
            ["local"] = sighting.Local,
            ["seenAs"] = sighting.SeenAs,
            ["isBehindNat"] = sighting.SeenAs is null ? null : sighting.SeenAs != sighting.Local,
            ["said"] = sighting.Said,
            ["fault"] = sighting.Fault,
        };
    }

    private static JsonObject Json(AddressView a) => new()
    {
        ["address"] = a.Address,
        ["helo"] = a.Helo,
        ["heloOrigin"] = a.HeloOrigin,
        ["shared"] = a.IsShared,
        ["server"] = a.IsServer,
        ["subscription"] = a.Subscription,
        ["draining"] = AdminJson.TimeOrNull(a.DrainingSince),
    };

    private async Task<JsonObject> JsonAsync(AddressView a, CancellationToken cancellationToken)
    {
        IPAddress address = IPAddress.Parse(a.Address);
        EgressUse use = await uses.OfAsync(address, cancellationToken);
        JsonObject json = Json(a);
        json["users"] = new JsonArray([.. a.Users.Select(static user => (JsonNode)user)]);
        json["present"] = SystemChoice.Is(address) ? null : use.MissingSince is null;
        json["missingSince"] = AdminJson.TimeOrNull(SystemChoice.Is(address) ? null : use.MissingSince);
        json["lastUse"] = AdminJson.TimeOrNull(use.LastUse);
        json["waiting"] = await waiting.CountAsync(WaitKey.Ip(address), MaxCounted, cancellationToken);
        json["public"] = use.Public;
        json["probedBy"] = use.ProbedBy;
        json["probedAt"] = AdminJson.TimeOrNull(use.ProbedAt);
        return await views.AddAsync(json, cancellationToken);
    }
}
