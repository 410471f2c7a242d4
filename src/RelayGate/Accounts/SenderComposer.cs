using System.Collections.Immutable;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;

namespace RelayGate.Accounts;

/// <summary>Makes the <see cref="SenderAccount"/> of one identity, reverse-path and header From out of records.</summary>
internal static class SenderComposer
{
    /// <param name="from">Of the header From; default while it is not known.</param>
    /// <param name="others">Further addresses that the policy will ask the owner of.</param>
    /// <param name="now">By the wall clock.</param>
    /// <returns>The account without its version; worth nothing when <see cref="AccountReader.IsIncomplete"/>.</returns>
    public static SenderAccount Compose(ref AccountReader reader, SenderIdentity identity, ReversePath reversePath, ImmutableArray<MailboxAddress> from, ImmutableArray<MailboxAddress> others, DateTimeOffset now)
    {
        EffectiveSettings? settings = reader.Settings();
        if (settings is null)
            return new SenderAccount { Identity = identity };
        var account = new SenderAccount
        {
            Identity = identity,
            MaxMessageOctets = settings.MaxMessageOctets,
            MaxRecipients = settings.MaxRecipients,
            IsExemptFromLimits = !settings.EnforceLimits,
            ExemptClasses = settings.ExemptClasses,
        };
        if (identity.Kind == IdentityKind.None)
            return account; // Nobody knows the client, and it names whatever domains it likes.
        DomainRecord? reverse = Hosted(ref reader, settings, reversePath.Address);
        DomainRecord? author = from.IsDefaultOrEmpty ? null : Hosted(ref reader, settings, from[0]);
        Claim claim = identity.Kind switch
        {
            IdentityKind.Login => OfLogin(ref reader, identity, now),
            IdentityKind.Uid => OfUid(ref reader, identity, reverse, author),
            IdentityKind.Network => OfNetwork(ref reader, identity, reverse),
            _ => default,
        };
        if (claim.Subscription is null || reader.Subscription(claim.Subscription) is not { } subscription)
            return account;
        string name = subscription.Name;
        DomainOwner reverseOwner = OwnerOf(reverse, name);
        DomainOwner fromOwner = OwnerOf(author, name);
        SenderRules rules = SenderRules.Of(settings, identity.Kind, subscription, claim.Domain
            ?? (reverseOwner == DomainOwner.Own ? reverse : fromOwner == DomainOwner.Own ? author : subscription.FirstDomain is { } first ? reader.Domain(first) : null));
        SenderMode mode = rules.Sender.Value;
        if (mode == SenderMode.Reject && claim.Domain is null && from.IsDefault && reverseOwner != DomainOwner.Own)
            mode = SenderMode.Trust; // Until the header From is known: the mode may be another one at its domain.
        DomainRecord? counted = claim.Domain is { } own
            ? own
            : CountedDomain(ref reader, subscription, reversePath, reverse, author, mode, isFromKnown: !from.IsDefault);
        for (int i = 1; fromOwner != DomainOwner.Other && !from.IsDefault && i < from.Length; i++)
            fromOwner = OwnerOf(Hosted(ref reader, settings, from[i]), name) == DomainOwner.Other ? DomainOwner.Other : fromOwner;
        AccountKey[] chain = LimitsInForce.Chain(subscription, counted?.Name, claim.Mailbox?.Address);
        return account with
        {
            Subscription = name,
            Plan = subscription.Plan,
            Levels = LimitsInForce.OfAll(ref reader, settings, chain),
            MaxRecipients = LimitsInForce.MaxRecipients(ref reader, settings, chain).Count,
            Suspended = Suspended(ref reader, identity, subscription, counted, reverseOwner == DomainOwner.Own ? reverse : null, fromOwner == DomainOwner.Own ? author : null, claim),
            SenderMode = mode,
            HeaderFromMode = rules.HeaderFrom.Value,
            NamedDomains = [.. new[] { reverse, author }.Where(d => d is not null && d.Subscription == name && d.Name != counted?.Name).Select(static d => d!.Name).Distinct()],
            Aliases = rules.Owned.Value >= OwnedAddresses.Aliases && claim.Mailbox is { } its ? its.Aliases : [],
            OwnedDomains = OwnedDomains(ref reader, settings, name, claim, rules.Owned.Value, reversePath, from, others),
            Mailbox = claim.Mailbox is { } mailbox ? MailboxAddress.Parse(mailbox.Address) : null,
            DefaultSender = DefaultSender(identity, subscription, claim, settings.Hostname),
            ReversePathOwner = reverseOwner,
            HeaderFromOwner = fromOwner,
            IsClaimed = claim.IsClaimed,
            Until = claim.Until,
            BlockedScripts = identity.Uid is { } uid && reader.ScriptBlocks(uid) is { } blocks ? blocks.Scripts : [],
            TrustsAnySender = claim.Network?.TrustsAll ?? false,
            IsExemptFromLimits = account.IsExemptFromLimits || (claim.Network?.IsExempt ?? false),
            Egress = EgressChooser.Choose(ref reader, settings, subscription, counted ?? (fromOwner == DomainOwner.Own ? author : null)),
            SigningDomain = fromOwner == DomainOwner.Own ? author!.Name : null,
            SigningKeys = fromOwner == DomainOwner.Own && reader.Keys(author!.Name) is { } keys ? keys.Keys : [],
        };
    }

    /// <summary>The record of an identity's uid, if its name is still what it was.</summary>
    public static SystemUserRecord? UserOf(ref AccountReader reader, SenderIdentity identity) =>
        identity.Uid is { } uid && reader.SystemUser(uid) is { } user && (user.Name == identity.Name || user.Name[0] == '#') ? user : null;

    /// <summary>Which subscription an identity speaks for.</summary>
    /// <param name="Domain">The login's own: that of its mailbox, or the credential's.</param>
    private readonly record struct Claim(
        string? Subscription, DomainRecord? Domain = null, MailboxRecord? Mailbox = null, NetworkRecord? Network = null, bool IsClaimed = false, SuspendedObject? Suspended = null,
        DateTimeOffset? Until = null);

    private static Claim OfLogin(ref AccountReader reader, SenderIdentity identity, DateTimeOffset now)
    {
        if (identity.Credential is null)
            return identity.PasswordSetAt != 0 && reader.Mailbox(identity.Name)?.PasswordAt != identity.PasswordSetAt ? default : OfMailbox(ref reader, identity.Name);
        if (reader.Credential(identity.Credential) is not { } credential || (identity.PasswordSetAt != 0 && !credential.Has(identity.PasswordSetAt, now)))
            return default;
        Claim claim = credential.Of.Level switch
        {
            Level.Mailbox => OfMailbox(ref reader, credential.Of.Name),
            Level.Domain => reader.Domain(credential.Of.Name) is { } domain ? new Claim(domain.Subscription, domain) : default,
            _ => new Claim(credential.Of.Name),
        };
        claim = claim with { Until = credential.PreviousOf(identity.PasswordSetAt)?.Until };
        return credential.IsSuspended ? claim with { Suspended = new SuspendedObject(SuspendedObject.CredentialKind, credential.Name) } : claim;
    }

    private static Claim OfMailbox(ref AccountReader reader, string address) =>
        reader.Mailbox(address) is { } mailbox && reader.Domain(mailbox.Domain) is { } domain ? new Claim(domain.Subscription, domain, mailbox) : default;

    /// <summary>A uid that many sites share says nothing by itself, so the sender's domain chooses; without one it is its owner's.</summary>
    private static Claim OfUid(ref AccountReader reader, SenderIdentity identity, DomainRecord? reverse, DomainRecord? author)
    {
        if (UserOf(ref reader, identity) is not { } user)
            return default;
        return user.IsShared && (reverse ?? author) is { } chosen
            ? new Claim(chosen.Subscription, IsClaimed: true)
            : new Claim(user.Subscription);
    }

    private static Claim OfNetwork(ref AccountReader reader, SenderIdentity identity, DomainRecord? reverse) =>
        reader.Networks()?.ByName(identity.Name) is { } network ? new Claim(reverse?.Subscription ?? network.Subscription, Network: network) : default;

    private static DomainRecord? Hosted(ref AccountReader reader, EffectiveSettings settings, MailboxAddress? address) =>
        address?.Domain is { } domain ? reader.HostedAtOrAbove(domain, settings.Hostname) : null;

    private static DomainOwner OwnerOf(DomainRecord? domain, string subscription) =>
        domain is null ? DomainOwner.NotHosted : domain.Subscription == subscription ? DomainOwner.Own : DomainOwner.Other;

    /// <summary>
    /// The domain a uid's or network's message counts at: that of its reverse-path, else of its header From where the subscription owns it, else
    /// that of the default sender where the policy will put it in.
    /// </summary>
    private static DomainRecord? CountedDomain(
        ref AccountReader reader, SubscriptionRecord subscription, ReversePath reversePath, DomainRecord? reverse, DomainRecord? author, SenderMode mode, bool isFromKnown)
    {
        if (OwnerOf(reverse, subscription.Name) == DomainOwner.Own)
            return reverse;
        if (OwnerOf(author, subscription.Name) == DomainOwner.Own)
            return author;
        bool isReplaced = reversePath.Address is { } address && (address.IsUnqualified || mode == SenderMode.Correct);
        return isReplaced && isFromKnown && subscription.FirstDomain is { } first ? reader.Domain(first) : null;
    }

    /// <summary>
    /// Those of the domains asked for of which every address is the sender's. A mailbox has what its rules say, the credential of a domain that
    /// domain, and a uid, a network or the credential of a subscription every domain of it.
    /// </summary>
    private static ImmutableArray<string> OwnedDomains(
        ref AccountReader reader, EffectiveSettings settings, string subscription, in Claim claim, OwnedAddresses rule, ReversePath reversePath,
        ImmutableArray<MailboxAddress> from, ImmutableArray<MailboxAddress> others)
    {
        OwnedAddresses owned = claim.Domain is null ? OwnedAddresses.Subscription : claim.Mailbox is null ? OwnedAddresses.Domain : rule;
        if (owned < OwnedAddresses.Domain)
            return [];
        string? own = owned == OwnedAddresses.Domain ? claim.Domain!.Name : null;
        var domains = new HashSet<string>(StringComparer.Ordinal);
        if (reversePath.Address is { } address)
            Add(ref reader, address);
        foreach (MailboxAddress author in from.IsDefault ? [] : from)
            Add(ref reader, author);
        foreach (MailboxAddress other in others)
            Add(ref reader, other);
        return [.. domains];

        void Add(ref AccountReader reader, MailboxAddress address)
        {
            if (Hosted(ref reader, settings, address) is { } hosted
                && (own is null ? hosted.Subscription == subscription : hosted.Name == own))
                domains.Add(address.Domain!.Value);
        }
    }

    private static SuspendedObject? Suspended(
        ref AccountReader reader, SenderIdentity identity, SubscriptionRecord subscription, DomainRecord? counted, DomainRecord? reverse, DomainRecord? author, Claim claim)
    {
        if (subscription.Plan is { } name && reader.Plan(name) is { IsSuspended: true })
            return SuspendedObject.Of(new AccountKey(Level.Plan, name));
        if (subscription.IsSuspended)
            return SuspendedObject.Of(new AccountKey(Level.Subscription, subscription.Name));
        if (counted is { IsSuspended: true })
            return SuspendedObject.Of(new AccountKey(Level.Domain, counted.Name));
        if (reverse is { IsSuspended: true })
            return SuspendedObject.Of(new AccountKey(Level.Domain, reverse.Name));
        if (author is { IsSuspended: true })
            return SuspendedObject.Of(new AccountKey(Level.Domain, author.Name));
        if (claim.Mailbox is { IsSuspended: true } mailbox)
            return SuspendedObject.Of(new AccountKey(Level.Mailbox, mailbox.Address));
        // Whatever its processes hand in on the socket, by a login as well: it is the process that is stopped.
        return claim.Suspended ?? (identity.Uid is { } uid && reader.SystemUser(uid) is { IsSuspended: true } user ? new SuspendedObject(SuspendedObject.UidKind, user.Name) : null);
    }

    private static MailboxAddress? DefaultSender(SenderIdentity identity, SubscriptionRecord subscription, Claim claim, string hostname)
    {
        if (claim.Mailbox is { } mailbox)
            return MailboxAddress.Parse(mailbox.Address);
        string localPart = identity.Kind == IdentityKind.Uid ? identity.Name.Replace("#", "uid-", StringComparison.Ordinal) : "postmaster";
        return MailboxAddress.TryParse($"{localPart}@{claim.Domain?.Name ?? subscription.FirstDomain ?? hostname}", out MailboxAddress? address) ? address : null;
    }
}
