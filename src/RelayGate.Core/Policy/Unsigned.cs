using RelayGate.Core.Mail;

namespace RelayGate.Core.Policy;

/// <summary>Why an accepted message goes out without a DKIM signature.</summary>
/// <param name="Why">A slug: <see cref="NoDomain"/>, <see cref="DomainNotOwned"/> or <see cref="DomainWithoutKey"/>.</param>
/// <param name="Domain">The domain of the header From; of one without a key the hosted domain that would sign.</param>
public sealed record Unsigned(string Why, string? Domain)
{
    /// <summary>The header From names no domain.</summary>
    public const string NoDomain = "no-domain";

    /// <summary>The domain is not one of the identity's own subscription.</summary>
    public const string DomainNotOwned = "domain-not-owned";

    public const string DomainWithoutKey = "domain-without-key";

    /// <param name="account">Looked up for <paramref name="author"/>.</param>
    /// <param name="author">The (first) address of the header From as it leaves.</param>
    /// <returns>Null when it is signed.</returns>
    public static Unsigned? Of(SenderAccount account, MailboxAddress? author) => account switch
    {
        { SigningKeys.IsEmpty: false } => null,
        { HeaderFromOwner: DomainOwner.Own } => new Unsigned(DomainWithoutKey, account.SigningDomain),
        _ => author?.Domain is { } domain ? new Unsigned(DomainNotOwned, domain.Value) : new Unsigned(NoDomain, null),
    };
}
