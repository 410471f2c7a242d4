using RelayGate.Core.Dns;
using RelayGate.Core.Tls;

namespace RelayGate.Core.Tests.Tls;

public class TlsPolicyTests
{
    [Fact]
    public void Policies_with_the_same_demands_are_equal_and_others_are_not()
    {
        TlsPolicy Dane(byte octet, params string[] names) =>
            new(TlsMode.Dane) { Names = [.. names], Tlsa = [new TlsaRecord("_25._tcp.mx.test", (uint)octet + 1, 3, 1, 1, [octet, 2])] };

        Assert.Equal(Dane(1, "mx.test"), Dane(1, "mx.test"));
        Assert.Equal(Dane(1, "mx.test").GetHashCode(), Dane(1, "mx.test").GetHashCode());
        Assert.NotEqual(Dane(1, "mx.test"), Dane(2, "mx.test"));
        Assert.NotEqual(Dane(1, "mx.test"), Dane(1, "mx.test", "other.test"));
        Assert.NotEqual(TlsPolicy.May, new TlsPolicy(TlsMode.Encrypt));
        Assert.NotEqual(TlsPolicy.May, TlsPolicy.May with { Minimum = TlsVersion.Tls13 });
        Assert.NotEqual(new TlsPolicy(TlsMode.Sts) { Names = ["mx.test"] }, new TlsPolicy(TlsMode.Sts) { Names = ["mx.test"], IsEnforced = false });
    }

    [Theory]
    [InlineData("May", TlsMode.May)]
    [InlineData("verify", TlsMode.Verify)]
    [InlineData("dane", TlsMode.Dane)]
    public void A_mode_is_read_by_its_word(string text, TlsMode mode)
    {
        Assert.True(TlsModes.TryParse(text, out TlsMode read));
        Assert.Equal(mode, read);
    }

    [Theory]
    [InlineData("sts")]
    [InlineData("")]
    [InlineData("maybe")]
    public void What_cannot_be_asked_of_a_next_hop_is_no_mode(string text) => Assert.False(TlsModes.TryParse(text, out _));
}
