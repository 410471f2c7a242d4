using RelayGate.Accounts;
using RelayGate.Configuration;
using RelayGate.Replies;

namespace RelayGate.Admin;

/// <summary>Which destination providers there can be: an order for one that is mistyped would do nothing, unnoticed.</summary>
internal sealed class ProviderNames(ReplyRuleBook rules, AccountDirectory accounts, RelayGateOptions options)
{
    private const int MaxLike = 6;

    /// <summary>A name with a dot may be the parent domain of any host, or an address; others are given by somebody.</summary>
    /// <param name="name">In lower case.</param>
    /// <exception cref="ProblemException">Nobody has it.</exception>
    public void Check(string name)
    {
        if (name.AsSpan().ContainsAny('.', ':') || rules.Current.IsNamed(name) || options.Delivery.Providers.ContainsKey(name) || accounts.Routes.HasSmarthost(name))
            return;
        string like = string.Join(", ", rules.Current.Providers.Where(known => known[0] == name[0]).Take(MaxLike));
        throw AdminRequest.Bad($"no provider is called {name}{(like.Length > 0 ? $" (there are {like})" : "")}, and a domain has a dot; names: relaygate rules list");
    }
}
