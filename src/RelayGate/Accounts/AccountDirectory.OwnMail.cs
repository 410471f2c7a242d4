using System.Collections.Immutable;
using RelayGate.Core.Dkim;
using RelayGate.Core.Mail;
using RelayGate.Queue;

namespace RelayGate.Accounts;

/// <content>In whose name the gateway writes itself.</content>
public sealed partial class AccountDirectory
{
    /// <summary>
    /// A DSN is the server's own mail: from our Hostname, where the server has a key for that. Else in the name of the sender's own domain, or of the
    /// one it was counted at, where that has a key, so that receivers can verify it; without any key it comes from our Hostname, unsigned.
    /// </summary>
    public async ValueTask<DsnOrigin> DsnOriginAsync(QueuedMessage about, CancellationToken cancellationToken)
    {
        var reader = new AccountReader(_cache, null);
        DsnOrigin origin = OriginOf(ref reader, about);
        return reader.IsIncomplete
            ? await _store.ReadAsync(
                db =>
                {
                    var complete = new AccountReader(_cache, db);
                    return OriginOf(ref complete, about);
                },
                cancellationToken)
            : origin;
    }

    /// <summary>From where the server's own mail leaves, which belongs to no subscription, and with which keys it is signed.</summary>
    internal async ValueTask<ServerMailOrigin> ServerMailOriginAsync(MailboxAddress from, CancellationToken cancellationToken) => await _store.ReadAsync(
        db =>
        {
            var reader = new AccountReader(_cache, db);
            return new ServerMailOrigin(EgressChooser.OfServer(ref reader, reader.Settings()!), ServerKeys(ref reader, from.Domain)?.Keys ?? []);
        },
        cancellationToken);

    private static DsnOrigin OriginOf(ref AccountReader reader, QueuedMessage about)
    {
        string hostname = reader.Settings()?.Hostname ?? "localhost";
        MailboxAddress to = about.ReversePath.Address!;
        DomainRecord? hosted = to.Domain is { } domain ? reader.HostedAtOrAbove(domain, hostname) : null;
        bool isHosted = hosted is not null || to.Domain?.Value == hostname;
        if (Domain.TryParse(hostname, out Domain? own) && ServerKeys(ref reader, own) is { } server)
            return new DsnOrigin(FromAt(hostname), server.Keys, isHosted);
        DomainRecord? counted = about.CountedAt is { } at ? reader.Domain(at[(at.LastIndexOf('@') + 1)..]) : null;
        foreach (DomainRecord? candidate in (ReadOnlySpan<DomainRecord?>)[hosted, counted])
        {
            if (candidate is not null && candidate.Subscription == about.Subscription && KeysOf(ref reader, candidate) is { } keys)
                return new DsnOrigin(FromAt(candidate.Name), keys.Keys, isHosted);
        }
        return new DsnOrigin(FromAt(hostname), [], isHosted);
    }

    /// <summary>The keys of a domain that is the server's own, at or above a name: nobody else's sign what the server writes (DESIGN §1, promise 5).</summary>
    private static DkimKeys? ServerKeys(ref AccountReader reader, Domain? domain) =>
        domain is not null && reader.HostedAtOrAbove(domain, hostname: "") is { Subscription: AccountWrite.SystemSubscription } hosted ? KeysOf(ref reader, hosted) : null;

    private static DkimKeys? KeysOf(ref AccountReader reader, DomainRecord domain) => reader.Keys(domain.Name) is { Keys.IsEmpty: false } keys ? keys : null;

    private static MailboxAddress FromAt(string domain) => MailboxAddress.Parse($"{DsnOrigin.LocalPart}@{domain}");
}
