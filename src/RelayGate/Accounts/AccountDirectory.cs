using System.Net;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;

namespace RelayGate.Accounts;

/// <summary>Answers "who is this and what may it do" from a bounded cache of immutable records over the store.</summary>
public sealed class AccountDirectory
{
    /// <summary>Checks a mailbox's password (RFC 5803 SCRAM-SHA-256 record, cache of verified logins). Unknown logins cost the same time.</summary>
    public ValueTask<AuthenticationResult> AuthenticateAsync(string login, string password, CancellationToken cancellationToken) => throw new NotImplementedException();

    /// <summary>The identity of a client that did not log in: its uid, a listed network, or none.</summary>
    public ValueTask<SenderIdentity> IdentifyAsync(IPAddress? client, int? uid, int? pid, int? gid, CancellationToken cancellationToken) => throw new NotImplementedException();

    /// <summary>Looks up all that the policy must know, with the last known usage for the early decision.</summary>
    /// <param name="headerFrom">First address of the header From, or null while it is not known.</param>
    public ValueTask<AccountLookup> LookUpAsync(SenderIdentity identity, ReversePath reversePath, MailboxAddress? headerFrom, CancellationToken cancellationToken) => throw new NotImplementedException();

    /// <summary>The current version for a subscription; a prepared message with another one is prepared again.</summary>
    public AccountVersion VersionOf(string? subscription) => throw new NotImplementedException();

    /// <summary>Where mail to an unqualified recipient of this local identity goes: the contact of its subscription, else Postmaster, else null.</summary>
    public ValueTask<MailboxAddress?> LocalContactAsync(SenderIdentity identity, CancellationToken cancellationToken) => throw new NotImplementedException();
}

/// <param name="Usage">Copies of the last known usage, for the early decision only.</param>
public sealed record AccountLookup(SenderAccount Account, UsageView Usage);

public enum AuthenticationOutcome
{
    Accepted,

    /// <summary>535 5.7.8.</summary>
    Rejected,

    /// <summary>454 4.7.0: the wait for a free hash slot was too long.</summary>
    TryLater,
}

/// <param name="Identity">The login identity when accepted.</param>
public sealed record AuthenticationResult(AuthenticationOutcome Outcome, SenderIdentity? Identity);
