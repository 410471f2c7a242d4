using System.Collections.Immutable;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;

namespace RelayGate.Accounts;

/// <summary>For whom an account is composed: all that the answer depends on, as the key of the cache.</summary>
/// <param name="ReverseDomain">Domain of the reverse-path; <see cref="Null"/>, <see cref="Unqualified"/> or <see cref="Literal"/> where it has none.</param>
/// <param name="FromDomain">Domain of the header From; <see cref="Unknown"/> before the end of data, <see cref="Literal"/> where it has none.</param>
/// <param name="PasswordSetAt">Of a login: which of its passwords it was.</param>
internal readonly record struct SenderQuestion(IdentityKind Kind, string Name, int Uid, string ReverseDomain, string FromDomain, long PasswordSetAt = 0)
{
    public const string Null = "<>";
    public const string Unqualified = "";
    public const string Literal = "[]";
    public const string Unknown = "?";

    public static SenderQuestion Of(SenderIdentity identity, ReversePath reversePath, ImmutableArray<MailboxAddress> from) => identity.Kind == IdentityKind.None ? new(identity.Kind, "", -1, Null, Unknown) : new(
        identity.Kind,
        identity.Name,
        identity.Uid ?? -1, // Of a login over the unix socket too: its scripts may be blocked.
        reversePath.Address is not { } address ? Null : DomainOf(address),
        from.IsDefault ? Unknown : from.IsEmpty ? Unqualified : DomainOf(from[0]),
        identity.PasswordSetAt);

    /// <summary>Whether the answer tells of these addresses as well; of those with a domain that the question does not name, it is made anew each time.</summary>
    public bool Covers(ImmutableArray<MailboxAddress> addresses)
    {
        foreach (MailboxAddress address in addresses.IsDefault ? [] : addresses)
        {
            string domain = DomainOf(address);
            if (domain != FromDomain && domain != ReverseDomain)
                return false;
        }
        return true;
    }

    private static string DomainOf(MailboxAddress address) => address.IsUnqualified ? Unqualified : address.Domain?.Value ?? Literal;
}
