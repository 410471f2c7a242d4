using System.Security.Cryptography;
using RelayGate.Core.Mail;

namespace RelayGate.Core.Dkim;

/// <summary>A DKIM key pair of one domain, parsed once and used for every signature (RFC 6376 §3.3, §3.6.1).</summary>
/// <param name="Domain">The signing domain, d=.</param>
/// <param name="Selector">s=.</param>
/// <param name="Rsa">At least <see cref="MinBits"/>, which verifiers must take (RFC 8301 §3.2); 2048 is what we make; signing with one instance from several threads at once is safe with OpenSSL.</param>
public sealed record DkimKey(Domain Domain, string Selector, RSA Rsa)
{
    /// <summary>Size of keys made here, in bits.</summary>
    public const int DefaultBits = 2048;

    /// <summary>Verifiers refuse smaller keys (RFC 8301 §3.2).</summary>
    public const int MinBits = 1024;

    /// <summary>Larger keys do not fit into usual DNS answers, and verifiers need not take them (RFC 6376 §3.3.3).</summary>
    public const int MaxBits = 4096;

    private const int MaxPemCharacters = 16 * 1024;
    private const int MaxStringOctets = 255; // Of one string of a TXT record (RFC 1035 §3.3.14).

    /// <summary>Name of the TXT record: <c>selector._domainkey.domain</c>.</summary>
    public string DnsName => $"{Selector}._domainkey.{Domain}";

    /// <summary>The TXT record's text, in one piece.</summary>
    public string DnsText => $"v=DKIM1; k=rsa; p={Convert.ToBase64String(Rsa.ExportSubjectPublicKeyInfo())}";

    /// <summary>Makes a new key.</summary>
    public static DkimKey Generate(Domain domain, string selector, int bits = DefaultBits) =>
        bits is < MinBits or > MaxBits
            ? throw new ArgumentOutOfRangeException(nameof(bits), bits, $"An RSA key for DKIM has {MinBits} to {MaxBits} bits")
            : new DkimKey(domain, selector, RSA.Create(bits));

    /// <summary>Reads a private key in PEM: PKCS#8 or PKCS#1, not encrypted.</summary>
    /// <param name="error">What is wrong with it, in words for an administrator; never holds key material.</param>
    public static bool TryReadPem(Domain domain, string selector, string pem, out DkimKey? key, out string? error)
    {
        key = null;
        error = null;
        if (pem.Length > MaxPemCharacters)
            error = "The key file is larger than 16 KiB";
        else if (pem.Contains("ENCRYPTED", StringComparison.Ordinal))
            error = "The private key is encrypted: remove its password first";
        else if (!pem.Contains("PRIVATE KEY-----", StringComparison.Ordinal))
            error = "The file holds no private key in PEM form (-----BEGIN PRIVATE KEY----- or -----BEGIN RSA PRIVATE KEY-----)";
        if (error is not null)
            return false;
        var rsa = RSA.Create();
        try
        {
            rsa.ImportFromPem(pem);
            _ = rsa.ExportRSAPrivateKey(); // Throws where only a public key was read.
        }
        catch (Exception e) when (e is CryptographicException or ArgumentException)
        {
            rsa.Dispose();
            error = "The file holds no readable RSA private key";
            return false;
        }
        if (rsa.KeySize is < MinBits or > MaxBits)
        {
            error = $"The RSA key has {rsa.KeySize} bits; {MinBits} to {MaxBits} are allowed";
            rsa.Dispose();
            return false;
        }
        key = new DkimKey(domain, selector, rsa);
        return true;
    }

    /// <summary>The private key as PKCS#8 in PEM, as the store keeps it.</summary>
    public string ToPem() => Rsa.ExportPkcs8PrivateKeyPem();

    /// <summary>A selector is one or more labels (RFC 6376 §3.1).</summary>
    public static bool IsSelector(string text) => text.Length <= 63 && Domain.TryParse(text, out _);

    /// <summary>The record as a line of a zone file, its text cut into strings of at most 255 octets.</summary>
    public string ToZoneLine()
    {
        IEnumerable<string> strings = DnsText.Chunk(MaxStringOctets).Select(static piece => $"\"{new string(piece)}\"");
        return $"{DnsName}. IN TXT ( {string.Join(' ', strings)} )";
    }
}
