using System.Security.Cryptography;
using RelayGate.Core.Dns;

namespace RelayGate.Core.Tls;

/// <summary>Which TLSA records can be used for SMTP, and which certificate they speak of (RFC 6698 §2.1, RFC 7672 §3.1).</summary>
public static class TlsaMatch
{
    /// <summary>Usage of a record that names an authority, as found in the chain of the host.</summary>
    public const byte TrustAnchor = 2;

    /// <summary>Usage of a record that names the certificate of the host itself.</summary>
    public const byte EndEntity = 3;

    /// <summary>Whether a record is usable: DANE-TA or DANE-EE, with a selector and a matching type that are known and data that fits it.</summary>
    public static bool IsUsable(TlsaRecord record) => record is { Usage: TrustAnchor or EndEntity, Selector: 0 or 1 } && record.Matching switch
    {
        0 => record.Data.Length > 0,
        1 => record.Data.Length == SHA256.HashSizeInBytes,
        2 => record.Data.Length == SHA512.HashSizeInBytes,
        _ => false,
    };

    /// <param name="certificate">The certificate (DER).</param>
    /// <param name="publicKey">Its SubjectPublicKeyInfo (DER).</param>
    public static bool Fits(TlsaRecord record, ReadOnlySpan<byte> certificate, ReadOnlySpan<byte> publicKey)
    {
        ReadOnlySpan<byte> selected = record.Selector == 0 ? certificate : publicKey;
        Span<byte> hash = stackalloc byte[SHA512.HashSizeInBytes];
        ReadOnlySpan<byte> associated = record.Matching switch
        {
            1 => hash[..SHA256.HashData(selected, hash)],
            2 => hash[..SHA512.HashData(selected, hash)],
            _ => selected,
        };
        return associated.SequenceEqual(record.Data.AsSpan());
    }
}
