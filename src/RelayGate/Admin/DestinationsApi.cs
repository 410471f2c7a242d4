using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Http;
using RelayGate.Core.Mail;
using RelayGate.Core.Messages;
using RelayGate.Queue;

namespace RelayGate.Admin;

/// <summary>Destinations that nothing is delivered to, by hand: recipient domains and providers.</summary>
internal sealed class DestinationsApi(SuspendedDestinations destinations, WaitingMail waiting, ProviderNames providers)
{
    private const int MaxCounted = 10_000;
    private const int MaxProvider = 255; // Characters.

    public void Map(AdminDispatcher api)
    {
        api.ReadAll("queue/suspended", ListAsync);
        api.Change(HttpMethods.Post, "queue/suspend", async r =>
        {
            WaitKey key = Key(await r.BodyAsync("domain", "provider"));
            if (key.Kind == "provider")
                providers.Check(key.Text[(key.Kind.Length + 1)..]);
            return await destinations.SuspendAsync(key, r.Caller.ToString(), r.Aborted) switch
            {
                DestinationOutcome.TooMany => throw new ProblemException(Problem.Conflict($"{SuspendedDestinations.Max} destinations are suspended already")),
                var outcome => Answer(key, outcome),
            };
        });
        api.Change(HttpMethods.Post, "queue/resume", async r =>
        {
            WaitKey key = Key(await r.BodyAsync("domain", "provider"));
            int waits = await waiting.CountAsync(key, MaxCounted, r.Aborted);
            DestinationOutcome outcome = await destinations.ResumeAsync(key, r.Caller.ToString(), r.Aborted);
            if (outcome == DestinationOutcome.Unchanged && waits == 0)
                throw MessagesApi.NotFound($"{key} is not suspended; see: relaygate queue suspended");
            JsonObject answer = Answer(key, outcome);
            answer["recipients"] = waits;
            return answer;
        });
    }

    /// <summary>As it is listed, in <c>status</c> too.</summary>
    public static JsonObject Json(SuspendedDestination destination) => new()
    {
        ["destination"] = destination.Key.Text[(destination.Key.Kind.Length + 1)..],
        ["kind"] = destination.Key.Kind == "to" ? "domain" : "provider",
        ["since"] = AdminJson.Time(destination.Since),
        ["by"] = destination.By,
    };

    private static JsonObject Answer(WaitKey key, DestinationOutcome outcome) => new()
    {
        ["destination"] = key.Text[(key.Kind.Length + 1)..],
        ["kind"] = key.Kind == "to" ? "domain" : "provider",
        ["changed"] = outcome == DestinationOutcome.Done,
    };

    private static WaitKey Key(RequestBody body) => (body.Text("domain"), body.Text("provider")) switch
    {
        ({ } domain, null) => Domain.TryParse(domain, out Domain? name) ? WaitKey.To(name.Value) : throw AdminRequest.Bad($"'{Accounts.AccountNames.Printable(domain)}' is no domain"),
        (null, { Length: > 0 and <= MaxProvider } provider) when !provider.Any(static c => char.IsWhiteSpace(c) || PrintableText.IsUnsafe(c)) => WaitKey.Provider(provider.ToLowerInvariant()),
        _ => throw AdminRequest.Bad("name either a domain or a provider, such as google"),
    };

    private async Task<JsonNode?> ListAsync(AdminRequest r)
    {
        var items = new JsonArray();
        foreach (SuspendedDestination destination in destinations.All)
        {
            JsonObject item = Json(destination);
            item["recipients"] = await waiting.CountAsync(destination.Key, MaxCounted, r.Aborted);
            items.Add(item);
        }
        return new JsonObject { ["items"] = items };
    }
}
