using System.Net;

namespace RelayGate.Core.Policy;

/// <summary>How a client proved who it is.</summary>
public enum IdentityKind
{
    /// <summary>Nothing was proved; MAIL gets 530 5.7.0.</summary>
    None,

    /// <summary>A login by AUTH: that of a mailbox, or an application password.</summary>
    Login,

    /// <summary>The uid that the kernel names for the process at the other end of the unix socket (SO_PEERCRED).</summary>
    Uid,

    /// <summary>The client's address is in a listed network.</summary>
    Network,
}

/// <summary>Who is at the other end of a session.</summary>
/// <param name="Name">Canonical mailbox address, name of the credential that logged in (never with an @), system user name (or <c>#uid</c> when it has none), or the network in CIDR form; empty for none.</param>
/// <param name="Client">The peer's address; null on a unix socket.</param>
/// <param name="Process">The peer's process on a unix socket, also when a login replaced its uid as identity; null elsewhere.</param>
public sealed record SenderIdentity(IdentityKind Kind, string Name, IPAddress? Client = null, PeerProcess? Process = null)
{
    /// <summary>The credential (application password) that logged in; null for a mailbox's own login and for who did not log in.</summary>
    public string? Credential { get; init; }

    /// <summary>Which of the login's passwords it was: the time it was set, in milliseconds. One that was replaced speaks for nobody. 0: whichever, for mail that was taken with it before.</summary>
    public long PasswordSetAt { get; init; }

    public static SenderIdentity Anonymous(IPAddress? client) => new(IdentityKind.None, "", client);

    /// <summary>Peer's uid on a unix socket.</summary>
    public int? Uid => Process?.Uid;

    /// <summary>Whether the client runs on this machine and reached us by the unix socket.</summary>
    public bool IsLocal => Process is not null;

    /// <summary>Names the identity in records; floods of these are merged by it.</summary>
    public string Key => Kind == IdentityKind.None ? $"none {Client}" : $"{Kind.ToString().ToLowerInvariant()} {Name}";
}
