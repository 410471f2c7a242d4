using System.Collections.Frozen;
using System.Collections.Immutable;
using System.Text.RegularExpressions;
using RelayGate.Core.Policy;
using RelayGate.Core.Smtp;

namespace RelayGate.Core.Replies;

/// <summary>Says what a refusal is about, and who runs a host: the rules of all files, in order, as one snapshot. Pure.</summary>
/// <remarks>
/// Provider and text come before the code, because providers use codes as they like (4.7.28 of Google is a rate, that of IANA is not); the order of
/// the file sees to it, as its rules on codes alone come last. The first rule that matches wins.
/// </remarks>
public sealed class ReplyRules
{
    private readonly FrozenDictionary<string, string> _hosts;
    private readonly FrozenDictionary<string, ImmutableArray<ReplyRule>> _ofProvider;
    private readonly ImmutableArray<ReplyRule> _ofAny;
    private readonly ImmutableArray<ReplyList> _lists;

    /// <param name="hosts">Host suffix → provider, in lower case.</param>
    internal ReplyRules(ImmutableArray<ReplyRule> rules, IReadOnlyDictionary<string, string> hosts, ImmutableArray<ReplyList> lists)
    {
        Rules = rules;
        _hosts = hosts.ToFrozenDictionary(StringComparer.OrdinalIgnoreCase);
        _lists = lists;
        _ofAny = [.. rules.Where(static r => r.Providers.IsEmpty)];
        Providers = [.. hosts.Values.Concat(rules.SelectMany(static r => r.Is is { } name ? r.Providers.Add(name) : r.Providers)).Distinct().Order(StringComparer.Ordinal)];
        _ofProvider = Providers.ToFrozenDictionary(
            static name => name, name => rules.Where(r => r.Providers.IsEmpty || r.Providers.Contains(name)).ToImmutableArray(), StringComparer.OrdinalIgnoreCase);
    }

    /// <summary>In the order in which they are asked.</summary>
    public ImmutableArray<ReplyRule> Rules { get; }

    /// <summary>The providers that have a name.</summary>
    public ImmutableArray<string> Providers { get; }

    /// <summary>What is wrong with a provider's name, and what would be right; null: there may be such a one.</summary>
    /// <param name="name">In lower case.</param>
    public string? WhyUnknown(string name) => ProviderName.WhyUnknown(name, Providers);

    /// <summary>Whether this is a provider's name, rather than the parent domain of a host.</summary>
    public bool IsNamed(string provider) => _ofProvider.ContainsKey(provider);

    /// <summary>Who runs a host that takes mail.</summary>
    /// <param name="host">An MX host, or an address literal in brackets.</param>
    /// <returns>The name for its longest suffix that has one, else its parent domain: the host without its first label where it has three or more.</returns>
    public string ProviderOf(string host)
    {
        string name = host.TrimEnd('.').ToLowerInvariant();
        if (name.Length == 0 || name[0] == '[')
            return name;
        FrozenDictionary<string, string>.AlternateLookup<ReadOnlySpan<char>> suffixes = _hosts.GetAlternateLookup<ReadOnlySpan<char>>();
        for (int start = 0; start < name.Length;)
        {
            if (suffixes.TryGetValue(name.AsSpan(start), out string? provider))
                return provider;
            int dot = name.IndexOf('.', start);
            if (dot < 0)
                break;
            start = dot + 1;
        }
        int first = name.IndexOf('.', StringComparison.Ordinal);
        return first >= 0 && name.IndexOf('.', first + 1) >= 0 ? name[(first + 1)..] : name;
    }

    /// <summary>What a refusal is about.</summary>
    /// <param name="provider">Who runs the next hop, as <see cref="ProviderOf"/> says it.</param>
    /// <param name="reply">4yz or 5yz, with all of its text.</param>
    public ReplyFinding Classify(string provider, DeliveryStage stage, SmtpReply reply)
    {
        bool isNamed = _ofProvider.TryGetValue(provider, out ImmutableArray<ReplyRule> rules);
        foreach (ReplyRule rule in isNamed ? rules : _ofAny)
        {
            if (rule.Matches(stage, reply, out Match? match))
                return Found(rule, match, isNamed ? provider : rule.Is ?? provider, reply.Text);
        }
        return new ReplyFinding(reply.Code / 100 == 4 ? ReplyClass.Transient : ReplyClass.Refused, provider, Url: ReplyText.FindUrl(reply.Text));
    }

    private ReplyFinding Found(ReplyRule rule, Match? match, string provider, string text)
    {
        string? code = match is null ? null : Captured(match, "code")?.ToUpperInvariant();
        string? list = rule.List ?? (match is null ? null : Captured(match, "list")?.ToLowerInvariant());
        bool isOfLists = rule.Class is ReplyClass.IpBlocked or ReplyClass.IpDeferred or ReplyClass.DomainReputation;
        if (isOfLists && rule.List is null && list?.Contains('.', StringComparison.Ordinal) != true)
            list = ListIn(text) ?? list;
        string? url = match?.Groups["url"] is { Success: true } named ? ReplyText.CutUrl(named.ValueSpan) : null;
        return new ReplyFinding(rule.Class, provider, code, list, url ?? ReplyText.FindUrl(text), rule.Name);
    }

    private static string? Captured(Match match, string group) => match.Groups[group] is { Success: true } found ? ReplyText.Word(found.Value) : null;

    private string? ListIn(string text)
    {
        foreach (ReplyList list in _lists)
        {
            if (list.Text.IsMatch(text))
                return list.Name;
        }
        return null;
    }
}

/// <summary>How the name of a list is known in a reply that does not spell it out.</summary>
internal sealed record ReplyList(string Name, ReplyPattern Text);
