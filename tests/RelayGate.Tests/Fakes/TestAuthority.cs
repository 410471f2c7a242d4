using System.Net;
using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace RelayGate.Tests.Fakes;

/// <summary>A root and an intermediate authority, made for one test, that certify hosts.</summary>
public sealed class TestAuthority : IDisposable
{
    private static readonly DateTimeOffset Start = DateTimeOffset.UnixEpoch;
    private static readonly DateTimeOffset End = new(2100, 1, 1, 0, 0, 0, TimeSpan.Zero);

    private readonly X509Certificate2 _rootWithKey;
    private readonly X509Certificate2 _intermediateWithKey;
    private long _serial = 100;

    public TestAuthority(string name = "root.test")
    {
        using ECDsa rootKey = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        _rootWithKey = Authority($"CN={name}", rootKey).CreateSelfSigned(Start, End);
        using ECDsa key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        using X509Certificate2 made = Authority($"CN=intermediate.{name}", key).Create(_rootWithKey, Start, End, [2]);
        _intermediateWithKey = made.CopyWithPrivateKey(key);
    }

    /// <summary>Without its key.</summary>
    public X509Certificate2 Root => X509CertificateLoader.LoadCertificate(_rootWithKey.RawData);

    /// <summary>Without its key.</summary>
    public X509Certificate2 Intermediate => X509CertificateLoader.LoadCertificate(_intermediateWithKey.RawData);

    /// <summary>Writes the root as PEM.</summary>
    public string WriteRoot(string folder)
    {
        string path = Path.Combine(folder, "root.pem");
        File.WriteAllText(path, _rootWithKey.ExportCertificatePem());
        return path;
    }

    /// <summary>A certificate for host names (or addresses), valid unless said otherwise, by the intermediate.</summary>
    public X509Certificate2 Issue(string[] names, DateTimeOffset? notAfter = null)
    {
        using ECDsa key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest($"CN={names[0]}", key, HashAlgorithmName.SHA256);
        var alternatives = new SubjectAlternativeNameBuilder();
        foreach (string name in names)
        {
            if (IPAddress.TryParse(name, out IPAddress? address))
                alternatives.AddIpAddress(address);
            else
                alternatives.AddDnsName(name);
        }
        request.CertificateExtensions.Add(alternatives.Build());
        using X509Certificate2 made = request.Create(_intermediateWithKey, Start, notAfter ?? End, BitConverter.GetBytes(Interlocked.Increment(ref _serial)));
        using X509Certificate2 whole = made.CopyWithPrivateKey(key);
        return X509CertificateLoader.LoadPkcs12(whole.Export(X509ContentType.Pkcs12), null);
    }

    /// <summary>What a server shows: a certificate with the intermediate.</summary>
    public SslStreamCertificateContext Serve(X509Certificate2 certificate) =>
        SslStreamCertificateContext.Create(certificate, [Intermediate], offline: true);

    public void Dispose()
    {
        _rootWithKey.Dispose();
        _intermediateWithKey.Dispose();
    }

    private static CertificateRequest Authority(string name, ECDsa key)
    {
        var request = new CertificateRequest(name, key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(certificateAuthority: true, hasPathLengthConstraint: false, 0, critical: true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.KeyCertSign | X509KeyUsageFlags.CrlSign, critical: true));
        return request;
    }
}
