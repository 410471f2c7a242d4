namespace RelayGate.Core.Tls;

/// <summary>What came of TLS with a next hop: the result types of RFC 8460 §4.3.</summary>
public enum TlsResult
{
    /// <summary>TLS, and every check of the policy passed; or nothing was asked for.</summary>
    Ok,
    StartTlsNotSupported,
    CertificateHostMismatch,
    CertificateExpired,
    CertificateNotTrusted,

    /// <summary>A handshake that failed, or any reason that has no type of its own.</summary>
    ValidationFailure,
    TlsaInvalid,
    DnssecInvalid,
    DaneRequired,
    StsPolicyFetchError,
    StsPolicyInvalid,
    StsWebPkiInvalid,
}

/// <summary>The names of RFC 8460 §4.3.</summary>
public static class TlsResults
{
    /// <summary>ok, or a result type as it stands in a TLS report.</summary>
    public static string Word(this TlsResult result) => result switch
    {
        TlsResult.Ok => "ok",
        TlsResult.StartTlsNotSupported => "starttls-not-supported",
        TlsResult.CertificateHostMismatch => "certificate-host-mismatch",
        TlsResult.CertificateExpired => "certificate-expired",
        TlsResult.CertificateNotTrusted => "certificate-not-trusted",
        TlsResult.TlsaInvalid => "tlsa-invalid",
        TlsResult.DnssecInvalid => "dnssec-invalid",
        TlsResult.DaneRequired => "dane-required",
        TlsResult.StsPolicyFetchError => "sts-policy-fetch-error",
        TlsResult.StsPolicyInvalid => "sts-policy-invalid",
        TlsResult.StsWebPkiInvalid => "sts-webpki-invalid",
        _ => "validation-failure",
    };
}
