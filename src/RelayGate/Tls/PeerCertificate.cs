using System.Collections.Immutable;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using RelayGate.Core.Dns;
using RelayGate.Core.Tls;

namespace RelayGate.Tls;

/// <summary>Checks the certificate of a next hop against a policy: by authorities and name (RFC 8461 §4.1), or by TLSA records (RFC 7672 §3.1).</summary>
public static class PeerCertificate
{
    private const X509ChainStatusFlags TimeFlags = X509ChainStatusFlags.NotTimeValid | X509ChainStatusFlags.CtlNotTimeValid;

    /// <param name="chain">As built from what the host sent, with the authorities that are trusted.</param>
    /// <returns>Ok, or what is wrong and a reason in words that follow the host's name.</returns>
    public static (TlsResult Result, string? Reason) Check(TlsPolicy policy, X509Certificate2? leaf, X509Chain? chain)
    {
        if (policy.Mode < TlsMode.Verify)
            return (TlsResult.Ok, null);
        if (leaf is null || chain is null)
            return (TlsResult.ValidationFailure, "sent no certificate");
        return policy.Mode == TlsMode.Dane ? CheckDane(policy, leaf, chain) : CheckAuthority(policy, leaf, chain);
    }

    private static (TlsResult, string?) CheckAuthority(TlsPolicy policy, X509Certificate2 leaf, X509Chain chain)
    {
        X509ChainStatusFlags flags = X509ChainStatusFlags.NoError;
        foreach (X509ChainStatus status in chain.ChainStatus)
            flags |= status.Status;
        if (chain.ChainElements.Count == 0)
            return (TlsResult.CertificateNotTrusted, "has a certificate that no chain can be built for");
        if ((flags & TimeFlags) != X509ChainStatusFlags.NoError)
            return (TlsResult.CertificateExpired, "has a certificate, or one in its chain, that has expired or is not valid yet");
        if (flags != X509ChainStatusFlags.NoError)
            return (TlsResult.CertificateNotTrusted, "has a certificate of no authority that is trusted here");
        return CheckName(policy, leaf);
    }

    private static (TlsResult, string?) CheckName(TlsPolicy policy, X509Certificate2 leaf) => policy.Names.Any(n => leaf.MatchesHostname(n, allowWildcards: true, allowCommonName: false))
        ? (TlsResult.Ok, null)
        : (TlsResult.CertificateHostMismatch, $"has a certificate for another name than {string.Join(" or ", policy.Names)}");

    private static (TlsResult, string?) CheckDane(TlsPolicy policy, X509Certificate2 leaf, X509Chain sent)
    {
        // DANE-EE: the record alone decides; names and dates do not matter (RFC 7672 §3.1.1).
        if (Fits(policy.Tlsa, TlsaMatch.EndEntity, leaf))
            return (TlsResult.Ok, null);
        if (!policy.Tlsa.Any(static r => r.Usage == TlsaMatch.TrustAnchor))
            return (TlsResult.CertificateNotTrusted, "has a certificate that none of its TLSA records speaks of");
        return CheckAnchor(policy, leaf, sent);
    }

    /// <summary>DANE-TA: the chain must lead to the certificate a record speaks of, with valid signatures and dates up to there, and the name must fit (§3.1.2).</summary>
    private static (TlsResult, string?) CheckAnchor(TlsPolicy policy, X509Certificate2 leaf, X509Chain sent)
    {
        using var chain = new X509Chain();
        chain.ChainPolicy.RevocationMode = X509RevocationMode.NoCheck;
        chain.ChainPolicy.DisableCertificateDownloads = true;
        chain.ChainPolicy.VerificationFlags = X509VerificationFlags.AllowUnknownCertificateAuthority; // What lies beyond the anchor does not matter.
        chain.ChainPolicy.VerificationTime = sent.ChainPolicy.VerificationTime;
        chain.ChainPolicy.TrustMode = X509ChainTrustMode.CustomRootTrust;
        chain.ChainPolicy.ExtraStore.AddRange(sent.ChainPolicy.ExtraStore);
        foreach (TlsaRecord record in policy.Tlsa)
        {
            if (record is { Usage: TlsaMatch.TrustAnchor, Selector: 0, Matching: 0 } && TryLoad(record) is { } whole)
                chain.ChainPolicy.ExtraStore.Add(whole); // The record is the authority itself, which the host need not send.
        }
        chain.Build(leaf);
        for (int i = 0; i < chain.ChainElements.Count; i++)
        {
            X509ChainElement element = chain.ChainElements[i];
            X509ChainStatusFlags flags = X509ChainStatusFlags.NoError;
            foreach (X509ChainStatus status in element.ChainElementStatus)
                flags |= status.Status;
            flags &= ~(X509ChainStatusFlags.UntrustedRoot | X509ChainStatusFlags.PartialChain);
            if ((flags & TimeFlags) != X509ChainStatusFlags.NoError)
                return (TlsResult.CertificateExpired, "has a certificate, or one in its chain, that has expired or is not valid yet");
            if (flags != X509ChainStatusFlags.NoError)
                break;
            if (i > 0 && Fits(policy.Tlsa, TlsaMatch.TrustAnchor, element.Certificate))
                return CheckName(policy, leaf);
        }
        return (TlsResult.CertificateNotTrusted, "has a certificate whose chain leads to none of its TLSA records");
    }

    private static bool Fits(ImmutableArray<TlsaRecord> records, byte usage, X509Certificate2 certificate)
    {
        byte[] octets = certificate.RawData;
        byte[] key = certificate.PublicKey.ExportSubjectPublicKeyInfo();
        return records.Any(r => r.Usage == usage && TlsaMatch.Fits(r, octets, key));
    }

    private static X509Certificate2? TryLoad(TlsaRecord record)
    {
        try
        {
            return X509CertificateLoader.LoadCertificate(record.Data.AsSpan());
        }
        catch (CryptographicException)
        {
            return null; // No certificate: the record fits nothing.
        }
    }
}
