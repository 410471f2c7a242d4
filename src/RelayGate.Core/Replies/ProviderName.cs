using RelayGate.Core.Mail;
using RelayGate.Core.Messages;

namespace RelayGate.Core.Replies;

/// <summary>Whether there can be a provider of this name: what is said of one that is mistyped would have no effect, unnoticed.</summary>
internal static class ProviderName
{
    /// <param name="name">In lower case. With a dot it may be the parent domain of any host; in brackets, or with a colon, an address.</param>
    /// <param name="known">The names that are given.</param>
    /// <returns>What is wrong, and what would be right; null: nothing.</returns>
    public static string? WhyUnknown(string name, IReadOnlyCollection<string> known)
    {
        if (known.Contains(name))
            return null;
        string printable = PrintableText.Clean(name.Length > 80 ? name[..80] + "…" : name, '?');
        if (name.AsSpan().ContainsAny('.', ':', '['))
        {
            return Domain.TryParse(name, out _) || AddressLiteral.IsValid(name) || System.Net.IPAddress.TryParse(name, out _)
                ? null
                : $"'{printable}' is no provider: a name such as google, or a domain such as example.net, is expected";
        }
        return $"no provider is called {printable}; {NearName.DidYouMean(name, known) ?? "names: relaygate rules list; every other provider is a domain, which has a dot"}";
    }
}
