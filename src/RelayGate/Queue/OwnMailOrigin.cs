using System.Collections.Immutable;
using RelayGate.Core.Dkim;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;

namespace RelayGate.Queue;

/// <summary>From where the server's own mail leaves, and with which keys it is signed: those of a domain that is the server's own.</summary>
public sealed record ServerMailOrigin(EgressChoice Egress, ImmutableArray<DkimKey> Keys);

/// <summary>In whose name a DSN is written.</summary>
/// <param name="From">Of the header; the reverse-path is null.</param>
/// <param name="Keys">Of the domain of <paramref name="From"/>, which is the server's own or one of the original's subscription; empty: not signed.</param>
/// <param name="IsToHosted">Whether the DSN goes to an address of a domain that is hosted here.</param>
public sealed record DsnOrigin(MailboxAddress From, ImmutableArray<DkimKey> Keys, bool IsToHosted)
{
    /// <summary>The local part of <see cref="From"/>.</summary>
    public const string LocalPart = "MAILER-DAEMON";
}

/// <summary>Finds in whose name the DSN about a message is written. The message has a reverse-path that is not null.</summary>
public delegate ValueTask<DsnOrigin> DsnOriginLookup(QueuedMessage about, CancellationToken cancellationToken);
