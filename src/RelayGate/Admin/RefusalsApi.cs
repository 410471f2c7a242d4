using System.Collections.Immutable;
using System.Net;
using System.Text.Json;
using System.Text.Json.Nodes;
using RelayGate.Accounts;
using RelayGate.Configuration;
using RelayGate.Core.Replies;
using RelayGate.Queue;

namespace RelayGate.Admin;

/// <summary>What next hops have refused. A subscription's own user reads what belongs to it.</summary>
internal sealed class RefusalsApi(RefusalLog log, TenantTurns turns)
{
    private const int MaxWords = 200;

    public void Map(AdminDispatcher api)
    {
        api.Read("refusals", ListAsync);
        api.Read("refusals/groups", GroupAsync);
    }

    private async Task<JsonNode?> ListAsync(AdminRequest r)
    {
        RefusalPage page = await turns.RunAsync(r, () => log.ListAsync(Query(r), r.Caller.Subscription, r.Aborted)) ?? throw AdminRequest.Bad("the cursor is not one that a page gave");
        return RecordJson.List(page.Items, RecordJson.Default.RefusalItem, page.NextCursor);
    }

    private async Task<JsonNode?> GroupAsync(AdminRequest r)
    {
        ImmutableArray<RefusalKey> keys = Keys(r.Query("by") ?? throw AdminRequest.Bad($"by is missing: {KeyNames} with commas are expected"));
        RefusalGroups groups = await turns.RunAsync(r, () => log.GroupAsync(Query(r), keys, r.Caller.Subscription, r.Aborted)) ?? throw AdminRequest.Bad("the cursor is not one that a page gave");
        JsonObject answer = AdminJson.List(groups.Items, group => Written(group, keys), null);
        answer["isComplete"] = groups.IsComplete;
        answer["readSince"] = groups.ReadSince;
        return answer;
    }

    private static JsonObject Written(RefusalGroup group, ImmutableArray<RefusalKey> keys)
    {
        var node = new JsonObject();
        for (int i = 0; i < keys.Length; i++)
            node[Word(keys[i])] = group.Values[i];
        node["attempts"] = group.Attempts;
        node["recipients"] = group.Recipients;
        node["firstAt"] = group.FirstAt;
        node["lastAt"] = group.LastAt;
        node["sample"] = RecordJson.ToNode(group.Last, RecordJson.Default.RefusalItem);
        return node;
    }

    private static RefusalQuery Query(AdminRequest r) => new()
    {
        Class = Class(r.Query("class")),
        Words = Words(r.Query("reply") ?? ""),
        Subscription = r.Query("subscription"),
        Provider = r.Query("provider"),
        Ip = r.Query("ip") is not { } ip ? null
            : ListenerEndpoint.TryParseAddress(ip, out IPAddress? address) ? address.ToString() : throw AdminRequest.Bad($"ip: '{AccountNames.Printable(ip)}' is no IP address: one such as 192.0.2.11 is expected"),
        RecipientDomain = r.Query("toDomain"),
        List = r.Query("list"),
        Since = r.Time("since"),
        MessagesSince = r.Caller.Since,
        Until = r.Time("until"),
        Limit = r.Limit,
        Cursor = r.Query("cursor"),
    };

    private static ImmutableArray<string> Words(string text) => text.Length > MaxWords
        ? throw AdminRequest.Bad($"reply has {text.Length} characters: {MaxWords} at most")
        : [.. text.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries)];

    private static ReplyClass? Class(string? word) => word is null ? null
        : ReplyClassNames.TryParse(word, out ReplyClass found) && found != ReplyClass.None ? found
        : throw AdminRequest.Bad($"class is '{word}': one of {string.Join(", ", ReplyClassNames.All.Skip(1))} is expected");

    private static ImmutableArray<RefusalKey> Keys(string text)
    {
        var keys = ImmutableArray.CreateBuilder<RefusalKey>();
        foreach (string word in text.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
        {
            RefusalKey[] known = [.. Enum.GetValues<RefusalKey>().Where(key => Word(key) == word)];
            if (known.Length == 0)
                throw AdminRequest.Bad($"by is '{word}': {KeyNames} with commas are expected");
            if (!keys.Contains(known[0]))
                keys.Add(known[0]);
        }
        return keys.Count > 0 ? keys.ToImmutable() : throw AdminRequest.Bad($"by is empty: {KeyNames} with commas are expected");
    }

    private static string KeyNames => string.Join(", ", Enum.GetValues<RefusalKey>().Select(Word));

    private static string Word(RefusalKey key) => JsonNamingPolicy.KebabCaseLower.ConvertName(key.ToString());
}
