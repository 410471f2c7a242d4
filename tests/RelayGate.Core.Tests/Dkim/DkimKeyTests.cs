using System.Security.Cryptography;
using System.Text.RegularExpressions;
using RelayGate.Core.Dkim;
using RelayGate.Core.Mail;

namespace RelayGate.Core.Tests.Dkim;

public sealed class DkimKeyTests
{
    private static readonly Domain Shop = Domain.Parse("shop.test");

    [Fact]
    public void Keys_are_read_from_PKCS8_and_PKCS1()
    {
        using var rsa = RSA.Create(2048);
        foreach (string pem in new[] { rsa.ExportPkcs8PrivateKeyPem(), rsa.ExportRSAPrivateKeyPem(), "junk before\n" + rsa.ExportPkcs8PrivateKeyPem().Replace("\n", "\r\n", StringComparison.Ordinal) })
        {
            Assert.True(DkimKey.TryReadPem(Shop, "rg1", pem, out DkimKey? key, out string? error), error);
            Assert.Equal(rsa.ExportSubjectPublicKeyInfo(), key!.Rsa.ExportSubjectPublicKeyInfo());
        }
    }

    [Fact]
    public void Keys_made_here_have_2048_bits_and_survive_PEM()
    {
        DkimKey key = DkimKey.Generate(Shop, "rg1");

        Assert.Equal(2048, key.Rsa.KeySize);
        Assert.True(DkimKey.TryReadPem(Shop, "rg1", key.ToPem(), out DkimKey? again, out _));
        Assert.Equal(key.DnsText, again!.DnsText);
    }

    [Fact]
    public void What_is_no_usable_private_key_is_refused_in_words()
    {
        using var small = RSA.Create(512);
        using var rsa = RSA.Create(1024);
        using var ec = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        Assert.Contains("1024", ErrorOf(small.ExportPkcs8PrivateKeyPem()), StringComparison.Ordinal);
        Assert.Contains("no private key", ErrorOf(rsa.ExportSubjectPublicKeyInfoPem()), StringComparison.Ordinal);
        Assert.Contains("RSA", ErrorOf(ec.ExportPkcs8PrivateKeyPem()), StringComparison.Ordinal);
        Assert.Contains("encrypted", ErrorOf(rsa.ExportEncryptedPkcs8PrivateKeyPem("x", new(PbeEncryptionAlgorithm.Aes128Cbc, HashAlgorithmName.SHA256, 1))), StringComparison.Ordinal);
        Assert.Contains("no private key", ErrorOf(""), StringComparison.Ordinal);
        Assert.Contains("no readable", ErrorOf("-----BEGIN PRIVATE KEY-----\n!!!\n-----END PRIVATE KEY-----\n"), StringComparison.Ordinal);
        Assert.Contains("16 KiB", ErrorOf(new string('x', 20_000)), StringComparison.Ordinal);
    }

    [Fact]
    public void The_zone_line_cuts_the_text_into_strings_that_DNS_can_hold()
    {
        DkimKey key = DkimKey.Generate(Shop, "rg1");
        string line = key.ToZoneLine();
        MatchCollection strings = Regex.Matches(line, "\"([^\"]*)\"");

        Assert.StartsWith("rg1._domainkey.shop.test. IN TXT ( \"v=DKIM1; k=rsa; p=", line, StringComparison.Ordinal);
        Assert.All(strings, static s => Assert.InRange(s.Groups[1].Length, 1, 255));
        Assert.Equal(key.DnsText, string.Concat(strings.Select(static s => s.Groups[1].Value)));
    }

    [Theory]
    [InlineData("rg1", true)]
    [InlineData("s2026.mail", true)]
    [InlineData("", false)]
    [InlineData("a b", false)]
    [InlineData("a;b", false)]
    public void Selectors_are_labels(string text, bool valid) => Assert.Equal(valid, DkimKey.IsSelector(text));

    private static string ErrorOf(string pem)
    {
        Assert.False(DkimKey.TryReadPem(Shop, "rg1", pem, out DkimKey? key, out string? error));
        Assert.Null(key);
        return error!;
    }
}
