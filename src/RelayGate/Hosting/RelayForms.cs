using System.Collections.Immutable;

namespace RelayGate.Hosting;

/// <summary>The forms of sender and recipient by which servers have been talked into relaying.</summary>
/// <param name="Hostname">Our own name.</param>
/// <param name="Hosted">A domain hosted here, or again our own name.</param>
internal sealed record RelayForms(string Hostname, string Hosted)
{
    /// <summary>As they stand between the angle brackets of MAIL.</summary>
    public ImmutableArray<string> Senders =>
    [
        "", "relay-probe@example.com", $"relay-probe@{Hosted}", $"postmaster@{Hostname}", "relay-probe@localhost", "relay-probe@[127.0.0.1]",
        $"relay-probe%example.com@{Hosted}", $"\"relay-probe@example.com\"@{Hosted}", $"@{Hostname}:relay-probe@example.com",
    ];

    /// <summary>As they stand between the angle brackets of RCPT.</summary>
    public ImmutableArray<string> Recipients =>
    [
        "relay-probe@example.net", // A foreign domain.
        $"relay-probe%example.net@{Hosted}", $"relay-probe%example.net@{Hostname}", "relay-probe%example.net@localhost", "relay-probe%example.net@[127.0.0.1]", // Percent-hack.
        $"@{Hostname}:relay-probe@example.net", $"@{Hosted},@{Hostname}:relay-probe@example.net", // Source routes (RFC 5321 Appendix C).
        $"\"relay-probe@example.net\"@{Hosted}", $"\"relay-probe@example.net\"@{Hostname}", "\"relay-probe@example.net\"", // Quoted local parts.
        "relay-probe@[192.0.2.1]", "relay-probe@[IPv6:2001:db8::1]", "relay-probe@[127.0.0.1]", // Address literals.
        $"example.net!relay-probe@{Hosted}", $"relay-probe@example.net@{Hosted}", // UUCP, two @.
        $"relay-probe@{Hosted}", "postmaster", $"postmaster@{Hostname}",
    ];
}
