using System.Collections.Immutable;
using System.Text.Json.Nodes;
using RelayGate.Core.Policy;
using RelayGate.Core.Replies;
using RelayGate.Core.Smtp;
using RelayGate.Queue;
using RelayGate.Replies;
using RelayGate.Storage;

namespace RelayGate.Admin;

/// <summary>The rules on replies in force: what there is, what they make of a reply, and reading their file anew.</summary>
internal sealed class ReplyRulesApi(ReplyRuleBook book, ProviderNames providers, QueueWriter writer, TimeProvider time)
{
    public void Map(AdminDispatcher api)
    {
        api.ReadAll("rules", _ => Task.FromResult<JsonNode?>(AdminJson.List(book.Current.Rules, Written)));
        api.ReadAll("rules/test", r => Task.FromResult<JsonNode?>(Test(r)));
        api.Change("POST", "rules/reload", ReloadAsync);
    }

    private async Task<JsonNode?> ReloadAsync(AdminRequest r)
    {
        await r.BodyAsync();
        int before = book.Current.Rules.Length;
        ImmutableArray<ReplyRuleFault> faults = book.Reload();
        if (!faults.IsEmpty)
            throw AdminRequest.Bad($"the rules stay as they are: {faults[0]}{(faults.Length > 1 ? $" (and {faults.Length - 1} more: relaygate rules check {faults[0].File})" : "")}");
        int after = book.Current.Rules.Length;
        await writer.RunAsync(
            context => AuditRows.Add(context.Connection.Connection, time.GetUtcNow(), r.Caller.ToString(), "rules reload", "rules", null, $"{before} rules", $"{after} rules"), r.Aborted);
        return new JsonObject { ["file"] = book.Path, ["rules"] = after };
    }

    /// <summary>The host tells the provider where none is named.</summary>
    private JsonObject Test(AdminRequest r)
    {
        ReplyRules rules = book.Current;
        string text = r.Query("reply") ?? throw AdminRequest.Bad("reply is missing");
        SmtpReply reply = ReplyRuleReader.TryReply(text)
            ?? throw AdminRequest.Bad("reply is no refusal: lines such as \"550-5.7.1 some text\" and \"550 5.7.1 more\", all with the same code, are expected");
        DeliveryStage stage = DeliveryStage.Rcpt;
        if (r.Query("stage") is { } word && !ReplyRuleReader.TryStage(word, out stage))
            throw AdminRequest.Bad($"stage is '{word}': one of {ReplyRuleReader.StageNames} is expected");
        string provider = r.Query("provider")?.ToLowerInvariant() ?? (r.Query("host") is { } host ? rules.ProviderOf(host) : "");
        if (r.Query("provider") is not null)
            providers.Check(provider);
        ReplyFinding found = rules.Classify(provider, stage, reply);
        return new JsonObject
        {
            ["class"] = ReplyClassNames.NameOf(found.Class),
            ["provider"] = found.Provider,
            ["code"] = found.Code,
            ["list"] = found.List,
            ["url"] = found.Url,
            ["rule"] = found.Rule,
            ["recipient"] = DeliveryOutcome.OfReply(stage, reply.Code, found.Class) == OutcomeKind.Failed ? "failed" : "deferred",
        };
    }

    private static JsonNode Written(ReplyRule rule) => new JsonObject
    {
        ["rule"] = rule.Name,
        ["class"] = ReplyClassNames.NameOf(rule.Class),
        ["providers"] = new JsonArray([.. rule.Providers.Select(static p => (JsonNode)p)]),
        ["file"] = rule.File,
        ["line"] = rule.Line,
        ["sample"] = rule.Samples[0].Reply,
    };
}
