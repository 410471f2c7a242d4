using System.Security.Cryptography;
using System.Text;
using FsCheck;
using FsCheck.Fluent;
using RelayGate.Core.Dkim;

namespace RelayGate.Core.Tests.Dkim;

public sealed class RelaxedBodyHashTests
{
    [Theory]
    [InlineData("", "")]
    [InlineData("\r\n", "")]
    [InlineData("\r\n\r\n\r\n", "")]
    [InlineData(" \t\r\n \r\n", "")]
    [InlineData("a", "a\r\n")]
    [InlineData("a\r\n", "a\r\n")]
    [InlineData("a\r\n\r\n\r\n", "a\r\n")]
    [InlineData(" C \r\nD \t E\r\n\r\n\r\n", " C\r\nD E\r\n")] // RFC 6376 §3.4.5.
    [InlineData("\r\n\r\na\r\n\r\nb", "\r\n\r\na\r\n\r\nb\r\n")]
    [InlineData("a \r\n", "a\r\n")]
    [InlineData("a\t\r\n", "a\r\n")]
    [InlineData("a  b\t\tc \t d\r\n", "a b c d\r\n")]
    [InlineData("\ta\r\n", " a\r\n")]
    [InlineData("a ", "a\r\n")]
    [InlineData("a\rb\nc\r\n", "a\rb\nc\r\n")]
    [InlineData("a\r", "a\r\r\n")]
    public void Body_is_hashed_in_canonical_form(string body, string canonical)
    {
        byte[] expected = SHA256.HashData(Encoding.ASCII.GetBytes(canonical));

        Assert.Equal(expected, RelaxedBodyHash.Of(Encoding.ASCII.GetBytes(body)));
        Assert.Equal(expected, RelaxedBodyHash.Of(Encoding.ASCII.GetBytes(body)));
    }

    [Fact]
    public void Hash_does_not_depend_on_where_pieces_end_and_agrees_with_the_plain_reading() =>
        Prop.ForAll<List<byte>, List<byte>>((octets, cuts) =>
        {
            byte[] alphabet = "abc  \t\r\n\r\n."u8.ToArray();
            byte[] body = [.. octets.SelectMany(o => o switch
            {
                < 80 => [alphabet[o % alphabet.Length]],
                < 140 => "\r\n"u8.ToArray(),
                < 150 => Encoding.ASCII.GetBytes(new string('x', o) + " y" + "\r\n"),
                _ => new[] { o },
            })];
            using var hash = new RelaxedBodyHash();
            ReadOnlySpan<byte> rest = body;
            foreach (byte cut in cuts)
            {
                int length = Math.Min(cut % 40, rest.Length);
                hash.Append(rest[..length]);
                rest = rest[length..];
            }
            hash.Append(rest);
            return hash.Finish().AsSpan().SequenceEqual(SHA256.HashData(SlowVerifier.RelaxedBody(body)));
        }).Check(Config.QuickThrowOnFailure.WithMaxTest(2000).WithEndSize(400));

    [Theory]
    [InlineData(16 * 1024 - 2)]
    [InlineData(16 * 1024)]
    [InlineData(100_000)]
    public void Bodies_larger_than_the_buffer_are_hashed_whole(int octets)
    {
        byte[] body = Encoding.ASCII.GetBytes(string.Concat(Enumerable.Range(0, octets / 20).Select(static i => $"line  {i,10} text\r\n")));
        byte[] expected = SHA256.HashData(SlowVerifier.RelaxedBody(body));
        using var hash = new RelaxedBodyHash();
        for (int i = 0; i < body.Length; i += 1000)
            hash.Append(body.AsSpan(i, Math.Min(1000, body.Length - i)));

        Assert.Equal(expected, hash.Finish());
        Assert.Equal(expected, RelaxedBodyHash.Of(body));
    }
}
