using System.Collections.Immutable;
using System.Globalization;
using System.Net;
using System.Text.Json.Nodes;
using RelayGate.Accounts;
using RelayGate.Core.Messages;
using RelayGate.Core.Policy;
using RelayGate.Egress;

namespace RelayGate.Admin;

/// <summary>What keeps mail of local addresses back, and what people order about it; for administrators.</summary>
internal sealed class EgressApi(AccountAdministration accounts, AccountDirectory directory, EgressStates states, EgressControl control, EgressStateViews views, ProviderNames providers, TimeProvider time)
{
    private const int MaxReason = 200;
    private const int MaxConnections = 10_000;

    public void Map(AdminDispatcher api)
    {
        api.Change("POST", "addresses/{name}/rest", async r =>
        {
            RequestBody body = await r.BodyAsync("seconds", "reason");
            AddressView address = await AddressAsync(r);
            await control.RestAsync(IPAddress.Parse(address.Address), Length(body), Reason(body), address.Subscription, r.Caller.ToString(), r.Aborted);
            return await ShowAsync(address, r.Aborted);
        });
        api.Change("POST", "addresses/{name}/drain", async r =>
        {
            await r.BodyAsync();
            if (IPAddress.TryParse(r.Route("name"), out IPAddress? system) && SystemChoice.Is(system))
            {
                throw AdminRequest.Bad($"{SystemChoice.NameOf(system)} cannot drain, as there is no other to choose; name one "
                    + $"(relaygate setting set Egress:IPv{(system.Equals(IPAddress.Any) ? 4 : 6)} ADDRESS), or let nothing leave (relaygate ip rest {system})");
            }
            AddressView address = AdminJson.Value(await accounts.DrainAddressAsync(r.Route("name"), isDraining: true, r.Aborted, r.Caller.ToString()));
            JsonObject answer = await ShowAsync(address, r.Aborted);
            IReadOnlyList<string> choosers = await directory.WhoChoosesAsync(IPAddress.Parse(address.Address), r.Aborted);
            answer["stillChosenBy"] = new JsonArray([.. choosers.Select(static who => (JsonNode)who)]);
            return answer;
        });
        api.Change("POST", "addresses/{name}/resume", async r =>
        {
            RequestBody body = await r.BodyAsync("provider");
            AddressView address = await AddressAsync(r);
            string? provider = body.Text("provider") is { } name ? Provider(name, orAny: false) : null;
            ImmutableArray<EgressState> ended = await control.ResumeAsync(IPAddress.Parse(address.Address), provider, address.Subscription, r.Caller.ToString(), r.Aborted);
            if (provider is not null && ended.IsEmpty)
            {
                providers.Check(provider);
                throw new ProblemException(Problem.NotFound($"nothing is known against {SystemChoice.NameOf(address.Address)} at {provider}; what there is: relaygate ip show {address.Address}"));
            }
            bool drains = provider is null && address.DrainingSince is not null;
            if (drains)
                address = AdminJson.Value(await accounts.DrainAddressAsync(address.Address, isDraining: false, r.Aborted, r.Caller.ToString()));
            JsonObject answer = await ShowAsync(address, r.Aborted);
            answer["ended"] = ended.Length + (drains ? 1 : 0);
            return answer;
        });
        api.ReadAll("egress-states", async r =>
        {
            var items = new List<JsonNode>();
            foreach (EgressState state in states.All().Take(AdminRequest.MaxPage))
                items.Add(EgressStateViews.Json(state, await control.WaitingAsync(state.Key, r.Aborted)));
            return AdminJson.List(items, static item => item);
        });
        api.ReadAll("paces", async r => AdminJson.List(await control.ListPacesAsync(r.Aborted), EgressStateViews.Json));
        api.Change("POST", "paces", async r =>
        {
            RequestBody body = await r.BodyAsync("address", "provider", "pace", "connections", "seconds", "reason");
            (string address, string? subscription) = await TargetAsync(body, r.Aborted);
            int? connections = body.Number("connections");
            if (connections is < 1 or > MaxConnections)
                throw AdminRequest.Bad($"connections is {connections}: a number from 1 to {MaxConnections} is expected");
            DateTimeOffset now = time.GetUtcNow();
            var pace = new EgressPace(
                address, Provider(body.RequiredText("provider"), orAny: true), PerMinute(body.RequiredText("pace")), connections, now, now + Length(body), Reason(body), r.Caller.ToString());
            if (pace.Provider != EgressPace.Any)
                providers.Check(pace.Provider);
            if (!await control.SetPaceAsync(pace, subscription, r.Aborted))
                throw new ProblemException(Problem.Conflict($"there are {EgressControl.MaxPaces} paces already; end one first: relaygate pace cancel ADDRESS PROVIDER"));
            return EgressStateViews.Json(pace);
        });
        api.Change("POST", "paces/cancel", async r =>
        {
            RequestBody body = await r.BodyAsync("address", "provider");
            string address = body.RequiredText("address");
            string provider = Provider(body.RequiredText("provider"), orAny: true);
            if (IPAddress.TryParse(address, out IPAddress? known))
                address = known.ToString();
            string? subscription = address == EgressPace.Any ? null : (await accounts.ShowAddressAsync(address, states.Addresses(), r.Aborted)).Value?.Subscription;
            if (!await control.CancelPaceAsync(address, provider, subscription, r.Caller.ToString(), r.Aborted))
                throw new ProblemException(Problem.NotFound($"no pace is set for {address} at {provider}; what there is: relaygate pace list"));
            return new JsonObject { ["address"] = address, ["provider"] = provider };
        });
    }

    private async Task<AddressView> AddressAsync(AdminRequest r) => AdminJson.Value(await accounts.ShowAddressAsync(r.Route("name"), states.Addresses(), r.Aborted));

    private Task<JsonObject> ShowAsync(AddressView address, CancellationToken cancellationToken) => views.AddAsync(
        new JsonObject
        {
            ["address"] = address.Address,
            ["subscription"] = address.Subscription,
            ["draining"] = address.DrainingSince is { } since ? AdminJson.Time(since) : null,
        },
        cancellationToken);

    /// <summary>The address of a pace, and whose it is.</summary>
    private async Task<(string Address, string? Subscription)> TargetAsync(RequestBody body, CancellationToken cancellationToken)
    {
        string text = body.RequiredText("address");
        if (text == EgressPace.Any)
            return (text, null);
        AddressView address = AdminJson.Value(await accounts.ShowAddressAsync(text, states.Addresses(), cancellationToken));
        return (address.Address, address.Subscription);
    }

    private static int PerMinute(string text) =>
        text.Split('/') is [var number, "min" or "m" or "minute"] && int.TryParse(number, NumberStyles.None, CultureInfo.InvariantCulture, out int pace) && pace is >= 1 and <= EgressStates.MaxPace
            ? pace
            : throw AdminRequest.Bad($"pace is '{text}': 1/min to {EgressStates.MaxPace}/min is expected");

    private static string Provider(string text, bool orAny)
    {
        string name = text.ToLowerInvariant();
        if (name is { Length: > 0 and <= 253 } && (name.All(static c => char.IsAsciiLetterOrDigit(c) || c is '.' or '-' or '_' or ':' or '[' or ']') || (orAny && name == EgressPace.Any)))
            return name;
        throw AdminRequest.Bad($"provider is '{text}': a name such as google or example.net is expected{(orAny ? ", or *" : "")}");
    }

    private static TimeSpan? Length(RequestBody body) => body.Number("seconds") switch
    {
        null => null,
        > 0 and var seconds => TimeSpan.FromSeconds(seconds),
        var wrong => throw AdminRequest.Bad($"seconds is {wrong}: a number above 0 is expected"),
    };

    private static string? Reason(RequestBody body)
    {
        if (body.Text("reason") is not { Length: > 0 } reason)
            return null;
        if (reason.Length > MaxReason)
            throw AdminRequest.Bad($"reason has {reason.Length} characters: at most {MaxReason} are expected");
        return PrintableText.Clean(reason, '?');
    }
}
