using System.Net.Security;
using Microsoft.Extensions.Logging.Abstractions;
using RelayGate.Configuration;
using RelayGate.Tests.Fakes;
using RelayGate.Tls;

namespace RelayGate.Tests.Tls;

public sealed class ServerCertificateTests : IDisposable
{
    private readonly TempFolder _folder = new();
    private readonly ManualTimeProvider _time = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_changed_certificate_is_taken_within_a_minute()
    {
        using ServerCertificate certificate = Load(_time.GetUtcNow().AddDays(90));
        string before = NameOf(certificate);

        TestCertificate.Write(_folder.Path, _time.GetUtcNow().AddDays(300), "other.test");
        _time.Advance(TimeSpan.FromMinutes(1));

        Assert.Equal(("CN=relay.test", "CN=other.test"), (before, NameOf(certificate)));
    }

    [Fact]
    public void A_bad_new_certificate_leaves_the_old_one_in_use()
    {
        using ServerCertificate certificate = Load(_time.GetUtcNow().AddDays(90));
        File.WriteAllText(Path.Combine(_folder.Path, "relay.key"), "rubbish");
        _time.Advance(TimeSpan.FromMinutes(1));
        Assert.Equal("CN=relay.test", NameOf(certificate));

        File.Delete(Path.Combine(_folder.Path, "relay.pem"));
        _time.Advance(TimeSpan.FromMinutes(1));
        Assert.Equal("CN=relay.test", NameOf(certificate));
    }

    [Fact]
    public void Without_certificate_there_is_no_TLS()
    {
        using var certificate = new ServerCertificate(new CertificateOptions(), _time, NullLogger<ServerCertificate>.Instance);
        Assert.False(certificate.IsAvailable);
    }

    private ServerCertificate Load(DateTimeOffset notAfter)
    {
        (string path, string keyPath) = TestCertificate.Write(_folder.Path, notAfter);
        return new ServerCertificate(new CertificateOptions { Path = path, KeyPath = keyPath }, _time, NullLogger<ServerCertificate>.Instance);
    }

    private static string NameOf(ServerCertificate certificate)
    {
        SslServerAuthenticationOptions options = certificate.ForHandshake();
        return options.ServerCertificateContext!.TargetCertificate.Subject;
    }
}
