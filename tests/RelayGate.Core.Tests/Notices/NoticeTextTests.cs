using RelayGate.Core.Notices;

namespace RelayGate.Core.Tests.Notices;

public sealed class NoticeTextTests
{
    [Fact]
    public void A_smarthost_that_wants_a_login_has_refused_none()
    {
        var wants = new Notice { Kind = NoticeKind.LoginRefused, Level = "smarthost", Name = "relay.test", Remark = "530 5.7.0 Authentication required" };
        Notice refuses = wants with { Sources = [new NoticeSource("login", "acme", null)] };

        Assert.Equal(["login-refused: smarthost relay.test wants a login", "login-refused: smarthost relay.test refuses our login"], new[] { wants, refuses }.Select(NoticeText.Headline));
        Assert.Contains("wants a login, and its route has none.", NoticeText.Sentence(wants), StringComparison.Ordinal);
        Assert.Contains("refuses the login of its route.", NoticeText.Sentence(refuses), StringComparison.Ordinal);
    }

    /// <summary>Only addresses are refused: on loopback and the unix socket nobody is, and a login's right user never.</summary>
    [Theory]
    [InlineData("client", "192.0.2.7", "More from there are refused for a time.")]
    [InlineData("login", "info@shop.test", "More are answered later and later.")]
    public void Guessing_says_what_becomes_of_more_tries(string level, string name, string end) =>
        Assert.EndsWith(end, NoticeText.Sentence(new Notice { Kind = NoticeKind.PasswordGuessing, Level = level, Name = name, Used = 30 }), StringComparison.Ordinal);
}
