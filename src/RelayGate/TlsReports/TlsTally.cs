using System.Collections.Immutable;
using System.Net;
using System.Text.Json;
using System.Text.Json.Nodes;
using RelayGate.Core.Tls;
using RelayGate.Core.Tls.Reports;

namespace RelayGate.TlsReports;

/// <summary>What is counted together: the sessions of a day with the servers of one domain under one policy.</summary>
/// <param name="Day">UTC.</param>
/// <param name="Policy">As <see cref="TlsPolicyText"/> writes it.</param>
internal sealed record TlsTallyKey(DateOnly Day, string Domain, string Policy);

/// <summary>Figures of one <see cref="TlsTallyKey"/>; those of <paramref name="Details"/> have no count of their own there.</summary>
internal sealed record TlsFigures(TlsTallyKey Key, long Successes, long Failures, ImmutableArray<TlsFailure> Details);

/// <summary>Counts what deliveries observe until it is written to the store. Bounded; called by deliveries, so it neither waits nor throws.</summary>
internal sealed class TlsTally
{
    /// <summary>Days, domains and policies that are counted between two writes; more are not.</summary>
    public const int MaxKeys = 5000;

    /// <summary>Kinds of failures of one key that are told apart between two writes; more are counted without their details.</summary>
    public const int MaxDetails = 20;

    private const int MaxReason = 200;

    private readonly Lock _lock = new();
    private Dictionary<TlsTallyKey, Figures> _figures = [];

    /// <summary>Observations that were not counted, because too much was observed at once.</summary>
    public long Lost { get; private set; }

    public void Add(TlsObservation observation)
    {
        var key = new TlsTallyKey(
            DateOnly.FromDateTime(observation.At.UtcDateTime), observation.RecipientDomain.ToLowerInvariant(), TlsPolicyText.Write(observation.Policy));
        lock (_lock)
        {
            if (!_figures.TryGetValue(key, out Figures? figures))
            {
                if (_figures.Count >= MaxKeys)
                {
                    Lost++;
                    return;
                }
                _figures.Add(key, figures = new Figures());
            }
            if (observation.Result == TlsResult.Ok)
                figures.Successes++;
            else
                figures.Fail(observation);
        }
    }

    /// <summary>Takes what was counted since the last time.</summary>
    public List<TlsFigures> Take()
    {
        Dictionary<TlsTallyKey, Figures> taken;
        lock (_lock)
            (taken, _figures) = (_figures, []);
        return [.. taken.Select(static f => new TlsFigures(
            f.Key, f.Value.Successes, f.Value.Failures, [.. f.Value.Details.Select(static d => d.Key with { Count = d.Value })]))];
    }

    private sealed class Figures
    {
        public long Successes { get; set; }

        public long Failures { get; private set; }

        /// <summary>By the kind of failure, whose count is 0.</summary>
        public Dictionary<TlsFailure, long> Details { get; } = [];

        public void Fail(TlsObservation seen)
        {
            Failures++;
            string reason = seen.Reason is { Length: > MaxReason } longer ? longer[..MaxReason] : seen.Reason ?? "";
            var kind = new TlsFailure(seen.Result.Word(), seen.MxHost ?? "", Text(seen.Local), Text(seen.Remote), reason, 0);
            if (!Details.ContainsKey(kind) && Details.Count >= MaxDetails)
                kind = new TlsFailure(seen.Result.Word(), "", "", "", "", 0);
            Details[kind] = Details.GetValueOrDefault(kind) + 1;
        }

        private static string Text(IPAddress? address) => address is null ? "" : (address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address).ToString();
    }
}

/// <summary>A published policy as one line of JSON, by which it is counted and kept. Bounded.</summary>
internal static class TlsPolicyText
{
    private const int MaxLines = 32;
    private const int MaxLine = 512;

    public static string Write(PublishedTlsPolicy policy) => new JsonObject
    {
        ["type"] = (int)policy.Type,
        ["domain"] = policy.Domain,
        ["strings"] = List(policy.Strings),
        ["mx"] = List(policy.MxHosts),
    }.ToJsonString();

    public static PublishedTlsPolicy Read(string text)
    {
        using JsonDocument json = JsonDocument.Parse(text);
        JsonElement root = json.RootElement;
        return new PublishedTlsPolicy(
            (TlsPolicyType)root.GetProperty("type").GetInt32(), root.GetProperty("domain").GetString()!, Lines(root.GetProperty("strings")), Lines(root.GetProperty("mx")));
    }

    private static JsonArray List(ImmutableArray<string> lines) =>
        new([.. lines.Take(MaxLines).Select(static l => (JsonNode)JsonValue.Create(l.Length > MaxLine ? l[..MaxLine] : l))]);

    private static ImmutableArray<string> Lines(JsonElement list) => [.. list.EnumerateArray().Select(static l => l.GetString()!)];
}
