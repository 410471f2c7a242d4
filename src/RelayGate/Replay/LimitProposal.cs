using System.Diagnostics.CodeAnalysis;
using RelayGate.Accounts;
using RelayGate.Core.Policy;

namespace RelayGate.Replay;

/// <summary>One limit that is tried out.</summary>
/// <param name="Name">Null: for every object of the level that has no limit of its own, in place of what it inherits.</param>
/// <param name="Text">As it was written.</param>
public sealed record LimitProposal(Level Level, string? Name, LimitSet Limits, string Text)
{
    private const string Forms = "write LEVEL=VALUE for a default or LEVEL:NAME=VALUE for one object, for instance domain=100/h or mailbox:info@shop.test=20/h,100/d";

    /// <summary>Reads <c>domain=100/h</c>, <c>domain:shop.test=100/h</c> or <c>domain shop.test=100/h</c>.</summary>
    /// <param name="fault">One line: what is wrong, and what would be right.</param>
    public static bool TryParse(string text, [NotNullWhen(true)] out LimitProposal? proposal, [NotNullWhen(false)] out string? fault)
    {
        proposal = null;
        string shown = AccountNames.Printable(text);
        int equals = text.LastIndexOf('='); // A local part may hold one; a value never does.
        if (equals < 0)
        {
            fault = $"'{shown}' proposes no limit: {Forms}";
            return false;
        }
        string target = text[..equals].Trim();
        int separator = target.IndexOfAny([':', ' ']);
        string word = separator < 0 ? target : target[..separator];
        string? name = separator < 0 ? null : target[(separator + 1)..].Trim();
        Level? level = word switch
        {
            "server" => Level.Server,
            "plan" => Level.Plan,
            "subscription" => Level.Subscription,
            "domain" => Level.Domain,
            "mailbox" => Level.Mailbox,
            _ => null,
        };
        if (level is null)
            fault = $"'{shown}': '{AccountNames.Printable(word)}' is no level; it is one of server, plan, subscription, domain and mailbox";
        else if (name is "" || (level == Level.Server && name is not null))
            fault = level == Level.Server ? $"'{shown}': the server has no name; write server=VALUE" : $"'{shown}': the name is missing; {Forms}";
        else if (!LimitSet.TryParse(text[(equals + 1)..], out LimitSet? limits))
            fault = $"'{shown}': {AccountAdministration.BadLimit(text[(equals + 1)..])}";
        else
            return TryName(new LimitProposal(level.Value, level == Level.Server ? "" : name, limits, text), out proposal, out fault);
        return false;
    }

    private static bool TryName(LimitProposal read, [NotNullWhen(true)] out LimitProposal? proposal, [NotNullWhen(false)] out string? fault)
    {
        try
        {
            proposal = read.Name is { } name ? read with { Name = AccountNames.Key(new AccountKey(read.Level, name)).Name } : read;
            fault = null;
            return true;
        }
        catch (AdminException error)
        {
            (proposal, fault) = (null, error.Message);
            return false;
        }
    }
}

/// <summary>All limits that are tried out together.</summary>
/// <param name="over">What happens above them; null: as it is in force.</param>
internal sealed class LimitProposals(IReadOnlyList<LimitProposal> proposals, OverLimitAction? over)
{
    private readonly Dictionary<AccountKey, LimitProposal> _own = proposals.Where(p => p.Name is not null).ToDictionary(p => new AccountKey(p.Level, p.Name!));
    private readonly Dictionary<Level, LimitProposal> _defaults = proposals.Where(p => p.Name is null).ToDictionary(p => p.Level);

    /// <summary>What would be in force at an object.</summary>
    /// <param name="inForce">What is.</param>
    public LevelLimit At(LevelLimit inForce)
    {
        if (!_own.TryGetValue(inForce.Key, out LimitProposal? proposal)
            && (inForce.Origin == LimitsInForce.Own || !_defaults.TryGetValue(inForce.Key.Level, out proposal)))
            return inForce;
        return inForce with { Limits = proposal.Limits, Origin = ReplayReport.Proposed, Action = over ?? inForce.Action, IsEnforced = true };
    }
}
