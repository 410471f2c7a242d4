using RelayGate.Core.Policy;

namespace RelayGate.Core.Tests.Policy;

/// <summary>Which route a recipient has, and how next hops are written.</summary>
public sealed class RouteTests
{
    [Theory]
    [InlineData("acme", "partner.test", "smtp://both:25")]
    [InlineData("beta", "partner.test", "smtp://domain:25")]
    [InlineData("acme", "example.com", "smtp://subscription:25")]
    [InlineData("beta", "example.com", "mx")]
    public void The_most_special_route_wins(string subscription, string domain, string expected)
    {
        var table = new RouteTable([], [
            Of("acme", "partner.test", "smtp://both"), Of("", "partner.test", "smtp://domain"), Of("acme", "", "smtp://subscription")]);

        Assert.Equal(expected, table.Find(subscription, domain).NextHop);
    }

    [Fact]
    public void A_stored_server_route_wins_over_the_configured_one()
    {
        Assert.True(NextHopText.TryParse("smtp://configured", out var configured));

        Assert.Equal("smtp://configured:25", new RouteTable(configured.Value, []).Find("acme", "example.com").NextHop);
        Assert.Equal("mx", new RouteTable(configured.Value, [Of("", "", "mx")]).Find("acme", "example.com").NextHop);
    }

    [Theory]
    [InlineData("MX", "mx")]
    [InlineData("smtps://relay.example.net", "smtps://relay.example.net:465")]
    [InlineData("smtp://a.test,smtp://b.test:26  smtps://[2001:db8::1]", "smtp://a.test:25,smtp://b.test:26 smtps://[2001:db8::1]:465")]
    [InlineData("smtp://a.test,", null)]
    [InlineData("smtp://a.test mx", null)]
    [InlineData("smtp://user:pw@a.test", null)]
    [InlineData("smtp://[::ffff:1%eth0]", null)]
    [InlineData("", null)]
    public void Next_hops_have_one_spelling(string text, string? expected) =>
        Assert.Equal(expected, NextHopText.TryParse(text, out var smarthosts) ? NextHopText.Format(smarthosts.Value) : null);

    [Fact]
    public void A_password_is_in_no_text_of_a_route()
    {
        Route route = Of("acme", "", "smtp://relay.test") with { Login = new SmarthostLogin("acme", "geheim") };

        Assert.DoesNotContain("geheim", $"{route} {route.Lane} {route.Login}", StringComparison.Ordinal);
    }

    private static Route Of(string subscription, string domain, string nextHop)
    {
        Assert.True(NextHopText.TryParse(nextHop, out var smarthosts));
        return new Route(new RouteKey(subscription, domain), smarthosts.Value);
    }
}
