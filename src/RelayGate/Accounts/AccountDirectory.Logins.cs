using System.Net;
using System.Security.Cryptography;
using System.Text;
using RelayGate.Core.Mail;
using RelayGate.Core.Policy;

namespace RelayGate.Accounts;

/// <content>Logins: mailboxes and credentials, by PLAIN, LOGIN and SCRAM-SHA-256.</content>
public sealed partial class AccountDirectory
{
    private const int SaltOctets = 16;

    private readonly byte[] _salt;
    private readonly ScramRecord _nobody = ScramRecord.Create(Convert.ToBase64String(RandomNumberGenerator.GetBytes(32)), new byte[SaltOctets], ScramRecord.LeastIterations);

    /// <summary>Checks a password (RFC 5803 SCRAM-SHA-256 record, cache of verified logins). Unknown logins cost the same time.</summary>
    public async ValueTask<AuthenticationResult> AuthenticateAsync(string login, string password, CancellationToken cancellationToken)
    {
        KnownLogin known = await FindLoginAsync(login, cancellationToken);
        PasswordCheck check = await _passwords.CheckAsync(known.Name, password, known.Password, known.Previous?.Record, cancellationToken);
        return known.Result(check);
    }

    /// <summary>What SCRAM needs of a login; one that does not exist gets a salt that stays the same, and keys that no password fits.</summary>
    internal async ValueTask<ScramLogin> FindScramLoginAsync(string login, CancellationToken cancellationToken)
    {
        KnownLogin known = await FindLoginAsync(login, cancellationToken);
        ScramRecord nobody = _nobody.Shown(SaltOf(known.Name.Length > 0 ? known.Name : login)); // For everybody: the same work.
        return new ScramLogin(known, ScramRecord.Read(known.Password ?? nobody.ToString()) ?? nobody, ScramRecord.Read(known.Previous?.Record));
    }

    /// <summary>The salt of a login's password: from a secret of the store, so that a login has one whether it exists or not.</summary>
    /// <param name="name">Canonical mailbox address or name of a credential.</param>
    internal byte[] SaltOf(string name) => HMACSHA256.HashData(_salt, Encoding.UTF8.GetBytes(name))[..SaltOctets];

    /// <summary>When logins and system users were used last; written by <see cref="AccountAdministration.SaveUsesAsync"/>.</summary>
    public IdentityUses Uses { get; }

    /// <summary>Whether a login was right lately from the network of an address.</summary>
    internal async ValueTask<bool> HasLoggedInAsync(string login, IPAddress address, CancellationToken cancellationToken)
    {
        string network = IdentityUses.NetworkOf(address);
        return Uses.WaitingOf(IdentityUses.Login, login).Addresses.Contains(network)
            || await _store.ReadAsync(db => CredentialSql.UseOf(db, IdentityUses.Login, login).Addresses.Contains(network), cancellationToken);
    }

    private async ValueTask<KnownLogin> FindLoginAsync(string login, CancellationToken cancellationToken)
    {
        if (!login.Contains('@'))
        {
            if (!AccountNames.IsCredential(login.ToLowerInvariant()))
                return new KnownLogin("", null); // May be as long as a line: nothing keeps it.
            string name = login.ToLowerInvariant();
            var reader = new AccountReader(_cache, null);
            CredentialRecord? credential = reader.Credential(name);
            if (reader.IsIncomplete)
                credential = await _store.ReadAsync(db => new AccountReader(_cache, db).Credential(name), cancellationToken);
            return new KnownLogin(name, credential?.Password, credential, credential?.Previous is { } previous && previous.Until > _time.GetUtcNow() ? previous : null);
        }
        if (!MailboxAddress.TryParse(login, out MailboxAddress? address))
            return new KnownLogin("", null);
        string canonical = address.Canonical;
        var mailboxes = new AccountReader(_cache, null);
        MailboxRecord? mailbox = mailboxes.Mailbox(canonical);
        if (mailboxes.IsIncomplete)
            mailbox = await _store.ReadAsync(db => new AccountReader(_cache, db).Mailbox(canonical), cancellationToken);
        return new KnownLogin(canonical, mailbox?.Password) { MailboxPasswordAt = mailbox?.PasswordAt ?? 0 };
    }
}

/// <summary>What a login name stands for.</summary>
/// <param name="Name">Canonical; "" for what can be no login.</param>
/// <param name="Password">SCRAM-SHA-256 record; null when nobody can log in by this name.</param>
/// <param name="Previous">A replaced password that is still valid now.</param>
internal sealed record KnownLogin(string Name, string? Password, CredentialRecord? Credential = null, PreviousPassword? Previous = null)
{
    /// <summary>Of a mailbox: when its password was set.</summary>
    public long MailboxPasswordAt { get; init; }

    public AuthenticationResult Result(PasswordCheck check) => new(check.Outcome, check.Outcome == AuthenticationOutcome.Accepted ? Identity(check.IsPrevious) : null)
    {
        Name = Name,
        Exists = Password is not null,
    };

    private SenderIdentity Identity(bool isPrevious) => new(IdentityKind.Login, Name)
    {
        Credential = Credential?.Name,
        PasswordSetAt = Credential is null ? MailboxPasswordAt : isPrevious ? Previous!.At : Credential.PasswordAt,
    };
}

/// <summary>A login for SCRAM, which may not exist.</summary>
internal sealed record ScramLogin(KnownLogin Known, ScramRecord Record, ScramRecord? Previous);

public enum AuthenticationOutcome
{
    Accepted,

    /// <summary>535 5.7.8.</summary>
    Rejected,

    /// <summary>454 4.7.0: the wait for a free hash slot was too long.</summary>
    TryLater,
}

/// <param name="Identity">The login identity when accepted.</param>
public sealed record AuthenticationResult(AuthenticationOutcome Outcome, SenderIdentity? Identity)
{
    /// <summary>The login in its canonical form, whether it exists or not; "" for what can be no login.</summary>
    public string Name { get; init; } = "";

    /// <summary>Somebody can log in by this name.</summary>
    public bool Exists { get; init; }
}
