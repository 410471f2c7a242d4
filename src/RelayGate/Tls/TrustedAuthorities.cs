using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace RelayGate.Tls;

/// <summary>The authorities that certificates of next hops and policy hosts are verified with: those of a file, else the system's.</summary>
public sealed class TrustedAuthorities
{
    private readonly X509Certificate2Collection? _roots;

    /// <param name="path">PEM file; null: the system's.</param>
    /// <exception cref="IOException">The file cannot be read.</exception>
    /// <exception cref="CryptographicException">It holds no certificate.</exception>
    public TrustedAuthorities(string? path)
    {
        if (path is null)
            return;
        _roots = [];
        _roots.ImportFromPemFile(path);
        if (_roots.Count == 0)
            throw new CryptographicException($"{path} holds no certificate in PEM");
    }

    /// <summary>For one chain. Nothing is fetched from the network: neither revocation lists nor missing certificates.</summary>
    public X509ChainPolicy NewPolicy()
    {
        var policy = new X509ChainPolicy { RevocationMode = X509RevocationMode.NoCheck, DisableCertificateDownloads = true };
        if (_roots is not null)
        {
            policy.TrustMode = X509ChainTrustMode.CustomRootTrust;
            policy.CustomTrustStore.AddRange(_roots);
        }
        return policy;
    }
}
