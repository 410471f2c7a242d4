using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace RelayGate.Tests.Fakes;

/// <summary>Self-signed certificates made for one test.</summary>
internal static class TestCertificate
{
    /// <summary>Writes <c>relay.pem</c> and <c>relay.key</c> into a folder.</summary>
    public static (string Path, string KeyPath) Write(string folder, DateTimeOffset notAfter, string name = "relay.test")
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest($"CN={name}", key, HashAlgorithmName.SHA256);
        var names = new SubjectAlternativeNameBuilder();
        names.AddDnsName(name);
        request.CertificateExtensions.Add(names.Build());
        using X509Certificate2 certificate = request.CreateSelfSigned(notAfter.AddYears(-1), notAfter);
        string path = Path.Combine(folder, "relay.pem");
        string keyPath = Path.Combine(folder, "relay.key");
        File.WriteAllText(path, certificate.ExportCertificatePem());
        File.WriteAllText(keyPath, key.ExportPkcs8PrivateKeyPem());
        return (path, keyPath);
    }
}
