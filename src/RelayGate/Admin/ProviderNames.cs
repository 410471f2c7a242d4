using RelayGate.Accounts;
using RelayGate.Configuration;
using RelayGate.Replies;

namespace RelayGate.Admin;

/// <summary>Which destination providers there can be: those of the rules on replies, domains and addresses, and smarthosts, each its own provider.</summary>
internal sealed class ProviderNames
{
    private readonly ReplyRuleBook _rules;
    private readonly AccountDirectory _accounts;

    /// <exception cref="FormatException">The configuration has settings for a provider that there is not; the text says which.</exception>
    public ProviderNames(ReplyRuleBook rules, AccountDirectory accounts, RelayGateOptions options)
    {
        _rules = rules;
        _accounts = accounts;
        foreach (string name in options.Delivery.Providers.Keys)
        {
            if (WhyUnknown(name.ToLowerInvariant()) is { } why)
                throw new FormatException($"{name}: {why}");
        }
    }

    /// <summary>Refuses an order for a provider that there is not.</summary>
    /// <param name="name">In lower case.</param>
    /// <exception cref="ProblemException">There is none; it says what would be right.</exception>
    public void Check(string name)
    {
        if (WhyUnknown(name) is { } why)
            throw AdminRequest.Bad(why);
    }

    private string? WhyUnknown(string name) => _accounts.Routes.HasSmarthost(name) ? null : _rules.Current.WhyUnknown(name);
}
