using System.Net;
using System.Text.Json.Nodes;
using RelayGate.Core.Replies;
using RelayGate.Egress;

namespace RelayGate.Admin;

/// <summary>Adds to addresses how they stand at each provider, with what waits.</summary>
internal sealed class EgressStateViews(EgressStates states, EgressControl control)
{
    private const int MaxShown = 100; // Of one address.

    public static JsonObject Json(EgressState state, int waiting) => new()
    {
        ["address"] = state.Key.Address.ToString(),
        ["provider"] = state.Key.Provider.Length == 0 ? null : state.Key.Provider,
        ["state"] = AdminJson.Word(state.Condition),
        ["class"] = state.Class == ReplyClass.None ? null : ReplyClassNames.NameOf(state.Class),
        ["since"] = AdminJson.Time(state.Since),
        ["until"] = state.Until is { } until ? AdminJson.Time(until) : null,
        ["repetition"] = state.Repetition,
        ["perMinute"] = state.PerMinute,
        ["connections"] = state.Connections,
        ["why"] = state.Why,
        ["list"] = state.List,
        ["url"] = state.Url,
        ["subscription"] = state.Subscription,
        ["by"] = state.By,
        ["waiting"] = waiting,
    };

    public static JsonObject Json(EgressPace pace) => new()
    {
        ["address"] = pace.Address,
        ["provider"] = pace.Provider,
        ["pace"] = $"{pace.PerMinute}/min",
        ["connections"] = pace.Connections,
        ["since"] = AdminJson.Time(pace.Since),
        ["until"] = pace.Until is { } until ? AdminJson.Time(until) : null,
        ["reason"] = pace.Reason,
        ["by"] = pace.By,
    };

    /// <summary>To an address as it is told: <c>state</c> in a word, <c>states</c>, and the <c>paces</c> set by hand that hold for it.</summary>
    public async Task<JsonObject> AddAsync(JsonObject address, CancellationToken cancellationToken)
    {
        var list = new JsonArray();
        bool rests = false;
        var paces = new JsonArray();
        IPAddress local = IPAddress.Parse((string)address["address"]!);
        foreach (EgressState state in states.All(local).Take(MaxShown))
        {
            rests |= state.Condition == EgressCondition.Resting;
            list.Add(Json(state, await control.WaitingAsync(state.Key, cancellationToken)));
        }
        address["state"] = rests ? "resting" : address["draining"] is not null ? "draining" : "ok";
        foreach (EgressPace pace in states.PacesOf(local).Take(MaxShown))
        {
            JsonObject json = Json(pace);
            json["waiting"] = await control.WaitingAsync(local, pace, cancellationToken);
            paces.Add((JsonNode)json);
        }
        address["states"] = list;
        address["paces"] = paces;
        return address;
    }
}
