namespace RelayGate.Core.Tls;

/// <summary>What protection a connection to a next hop must have, from the weakest on.</summary>
public enum TlsMode
{
    /// <summary>Plain text; STARTTLS is not used even where it is offered.</summary>
    None,

    /// <summary>TLS where it is offered, unverified; plain text where it is not or fails (RFC 7435).</summary>
    May,

    /// <summary>TLS or no delivery; the certificate is not verified.</summary>
    Encrypt,

    /// <summary>TLS with a certificate of a known authority for the name of the host.</summary>
    Verify,

    /// <summary>As <see cref="Verify"/>, because the policy of the recipient's domain says so (RFC 8461).</summary>
    Sts,

    /// <summary>TLS with a certificate that fits the TLSA records of the host (RFC 7672).</summary>
    Dane,
}

/// <summary>Words for <see cref="TlsMode"/> in configuration, records and labels.</summary>
public static class TlsModes
{
    /// <summary>none, may, encrypt, verify, sts, dane.</summary>
    public static string Word(this TlsMode mode) => mode switch
    {
        TlsMode.None => "none",
        TlsMode.May => "may",
        TlsMode.Encrypt => "encrypt",
        TlsMode.Verify => "verify",
        TlsMode.Sts => "sts",
        _ => "dane",
    };

    /// <summary>What can be configured for a next hop: none, may, encrypt, verify or dane, in any case. sts is the recipient domain's to say.</summary>
    public static bool TryParse(string text, out TlsMode mode)
    {
        foreach (TlsMode candidate in (ReadOnlySpan<TlsMode>)[TlsMode.None, TlsMode.May, TlsMode.Encrypt, TlsMode.Verify, TlsMode.Dane])
        {
            if (text.Equals(candidate.Word(), StringComparison.OrdinalIgnoreCase))
            {
                mode = candidate;
                return true;
            }
        }
        mode = TlsMode.May;
        return false;
    }
}
