using System.Security.Cryptography;
using System.Text;
using RelayGate.Core.Dkim;
using RelayGate.Core.Mail;
using RelayGate.Core.Messages;

namespace RelayGate.Core.Tests.Dkim;

public sealed class DkimSignerTests
{
    private static readonly DkimKey Key = DkimKey.Generate(Domain.Parse("shop.test"), "rg1");
    private static readonly DateTimeOffset At = new(2026, 11, 21, 9, 5, 7, TimeSpan.Zero);

    public static TheoryData<string> Headers() =>
    [
        "From: a@shop.test\r\n",
        "From: a@shop.test\r\nTo: b@example.net\r\nSubject: x\r\nDate: d\r\nMessage-ID: <1@shop.test>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n",
        "Subject:  folded\r\n\ttwice \r\n  over   \r\nfrom :a@shop.test\r\nTO:\r\n b@example.net\r\n",
        "To: a\r\nTo: b\r\nFrom: a@shop.test\r\nSubject: one\r\nSubject: two\r\nSubject:\r\nTo: c\r\n",
        "From: J\xfcrgen <a@shop.test>\r\nSubject: \xc3\xbc \xff\r\n",
        "From: a@shop.test\r\nSubject: " + new string('x', 5000) + "\r\nReferences:" + string.Concat(Enumerable.Range(0, 200).Select(static i => $"\r\n <{i}@shop.test>")) + "\r\n",
        "Received: x\r\nReturn-Path: <a@b>\r\nDKIM-Signature: v=1; a=rsa-sha256; b=x\r\nFrom: a@shop.test\r\nSubject: \r\n \t \r\n",
        "List-Unsubscribe: <https://shop.test/u>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\nFrom: a@shop.test\r\nFeedback-ID: a:b\r\nSubject:\t\r\n",
    ];

    [Theory]
    [MemberData(nameof(Headers))]
    public void Signatures_verify(string fields)
    {
        foreach (string body in new[] { "", "\r\n", "text", "a  b\t\r\n\r\n \r\n", "\r\n\r\nx \r\n" })
        {
            byte[] signed = Sign(fields, body);

            Assert.Null(SlowVerifier.Verify(signed, Key.Rsa));
        }
    }

    [Theory]
    [InlineData("Subject: x", "Subject: y")]
    [InlineData("To: first", "To: other")]
    [InlineData("From: a@shop.test", "From: b@shop.test")]
    [InlineData("body", "boby")]
    [InlineData("Subject: x\r\n", "Subject: x\r\nFrom: x@other.test\r\n")] // Oversigned.
    [InlineData("From: a@shop.test", "From: x@other.test\r\nFrom: a@shop.test")]
    public void A_change_breaks_the_signature(string old, string changed)
    {
        string signed = Encoding.Latin1.GetString(Sign("From: a@shop.test\r\nTo: first\r\nTo: second\r\nSubject: x\r\n", "body\r\n"));

        Assert.NotNull(SlowVerifier.Verify(Encoding.Latin1.GetBytes(signed.Replace(old, changed, StringComparison.Ordinal)), Key.Rsa));
    }

    [Fact]
    public void Fields_that_change_on_the_way_are_not_signed_and_From_is_oversigned()
    {
        string signed = Encoding.Latin1.GetString(Sign("Received: r\r\nReturn-Path: <a@b>\r\nX-Other: x\r\nFrom: a@shop.test\r\nTo: b\r\nTo: c\r\n", "x\r\n"));

        Assert.Contains("h=from:from:to:to;", signed, StringComparison.Ordinal);
        Assert.Contains($"d=shop.test; s=rg1; t={At.ToUnixTimeSeconds()};", signed, StringComparison.Ordinal);
        Assert.DoesNotContain("l=", signed[..signed.IndexOf("\r\nReceived", StringComparison.Ordinal)].Split("bh=")[0], StringComparison.Ordinal);
    }

    [Fact]
    public void Lines_stay_below_78_columns()
    {
        string all = string.Concat(Enum.GetValues<FieldName>().Where(static n => n.IsSigned()).Select(static n => $"{n.Spelling()}: x\r\n"));
        var longKey = new DkimKey(Domain.Parse("a-rather-long-name-for-a-domain.shop.example.test"), "selector2026", Key.Rsa);
        foreach (DkimKey key in new[] { Key, longKey })
        {
            HeaderSection header = HeaderSection.Parse(Encoding.ASCII.GetBytes(all));
            string field = Encoding.ASCII.GetString(DkimSigner.Sign(header, key, RelaxedBodyHash.Of([]), At));

            Assert.All(field.Split("\r\n"), static line => Assert.InRange(line.Replace("\t", "        ", StringComparison.Ordinal).Length, 0, 77));
            Assert.Null(SlowVerifier.Verify(Encoding.ASCII.GetBytes(field + all + "\r\n"), Key.Rsa));
        }
    }

    [Theory]
    [InlineData("To: b\r\n", false)]
    [InlineData("From: a@shop.test\r\nFrom: b@shop.test\r\n", false)]
    [InlineData("From: a@shop.test\r\nbroken\r\n", false)]
    [InlineData("From: a@shop.test\r\n", true)]
    public void Only_what_every_verifier_reads_alike_is_signed(string fields, bool canSign) =>
        Assert.Equal(canSign, DkimSigner.CanSign(HeaderSection.Parse(Encoding.ASCII.GetBytes(fields))));

    [Fact]
    public async Task One_key_signs_from_many_threads_at_once()
    {
        HeaderSection header = HeaderSection.Parse("From: a@shop.test\r\nSubject: x\r\n"u8.ToArray());
        byte[] bodyHash = RelaxedBodyHash.Of("x\r\n"u8);
        byte[] expected = DkimSigner.Sign(header, Key, bodyHash, At);

        byte[][][] signatures = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => Task.Run(
            () => Enumerable.Range(0, 100).Select(_ => DkimSigner.Sign(header, Key, bodyHash, At)).ToArray())));

        Assert.All(signatures.SelectMany(static s => s), signature => Assert.Equal(expected, signature)); // PKCS#1 v1.5 is deterministic.
    }

    private static byte[] Sign(string fields, string body)
    {
        byte[] octets = Encoding.Latin1.GetBytes(fields);
        byte[] bodyOctets = Encoding.Latin1.GetBytes(body);
        byte[] signature = DkimSigner.Sign(HeaderSection.Parse(octets), Key, RelaxedBodyHash.Of(bodyOctets), At);
        return [.. signature, .. octets, .. "\r\n"u8, .. bodyOctets];
    }
}
