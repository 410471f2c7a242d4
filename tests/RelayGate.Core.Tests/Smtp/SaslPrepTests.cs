using RelayGate.Core.Smtp;

namespace RelayGate.Core.Tests.Smtp;

public sealed class SaslPrepTests
{
    [Theory]
    [InlineData("correct horse", "correct horse")]
    [InlineData("P\u00e4ssw\u00f6rt", "P\u00e4ssw\u00f6rt")]
    [InlineData("I\u00adX", "IX")] // RFC 4013 §3, example 1.
    [InlineData("a\u00a0b\u3000c", "a b c")]
    [InlineData("\ud83d\udd11 key", "\ud83d\udd11 key")]
    [InlineData("", "")]
    public void Text_is_mapped(string text, string expected)
    {
        Assert.True(SaslPrep.TryPrepare(text, out string? prepared));
        Assert.Equal(expected, prepared);
    }

    [Theory]
    [InlineData("a\u0007b")] // RFC 4013 §3, example 6.
    [InlineData("a\u007f")]
    [InlineData("a\u0085b")]
    [InlineData("a\ufffdb")]
    [InlineData("a\ud800b")]
    [InlineData("a\ue000b")]
    [InlineData("a\u202eb")]
    public void Prohibited_characters_are_found(string text) => Assert.False(SaslPrep.TryPrepare(text, out _));
}
