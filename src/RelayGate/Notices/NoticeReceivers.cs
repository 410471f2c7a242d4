using System.Collections.Immutable;
using RelayGate.Configuration;
using RelayGate.Core.Mail;
using RelayGate.Core.Notices;

namespace RelayGate.Notices;

/// <summary>Who is told by mail, as the settings have it.</summary>
internal sealed class NoticeReceivers
{
    public NoticeReceivers(RelayGateOptions options)
    {
        NoticeOptions notices = options.Notices;
        Administrator = MailboxAddress.TryParse(notices.Administrator ?? options.Postmaster, out MailboxAddress? address) ? address : null;
        From = MailboxAddress.Parse(notices.From ?? $"relaygate@{options.Hostname}");
        AdministratorKinds = NoticeKinds.ParseList(notices.AdministratorKinds) ?? [];
        OwnerKinds = NoticeKinds.ParseList(notices.OwnerKinds) ?? [];
    }

    /// <summary>Null: nobody is told of everything.</summary>
    public MailboxAddress? Administrator { get; }

    public MailboxAddress From { get; }

    private ImmutableArray<NoticeKind> AdministratorKinds { get; }

    private ImmutableArray<NoticeKind> OwnerKinds { get; }

    /// <param name="contact">Of the subscription that the notice's object belongs to, or null.</param>
    /// <param name="ownerKinds">Kinds that this contact is told of; null: those of the settings.</param>
    public IEnumerable<MailboxAddress> Of(NoticeKind kind, string? contact, ImmutableArray<NoticeKind>? ownerKinds)
    {
        if (Administrator is not null && (kind == NoticeKind.Test || AdministratorKinds.Contains(kind)))
            yield return Administrator;
        if (contact is not null && (ownerKinds ?? OwnerKinds).Contains(kind) && MailboxAddress.TryParse(contact, out MailboxAddress? owner) && !IsAdministrator(owner))
            yield return owner;
    }

    public bool IsAdministrator(MailboxAddress address) => Administrator is not null && Administrator.Canonical == address.Canonical;
}
