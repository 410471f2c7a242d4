using RelayGate.Core.Notices;

namespace RelayGate.Core.Tests.Notices;

public sealed class NoticeTextTests
{
    /// <summary>Only addresses are refused: on loopback and the unix socket nobody is, and a login's right user never.</summary>
    [Theory]
    [InlineData("client", "192.0.2.7", "More from there are refused for a time.")]
    [InlineData("login", "info@shop.test", "More are answered later and later.")]
    public void Guessing_says_what_becomes_of_more_tries(string level, string name, string end) =>
        Assert.EndsWith(end, NoticeText.Sentence(new Notice { Kind = NoticeKind.PasswordGuessing, Level = level, Name = name, Used = 30 }), StringComparison.Ordinal);
}
