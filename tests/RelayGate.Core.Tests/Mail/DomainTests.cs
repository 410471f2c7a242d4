using RelayGate.Core.Mail;

namespace RelayGate.Core.Tests.Mail;

/// <summary>One name, one value: whatever the spelling.</summary>
public class DomainTests
{
    [Theory]
    [InlineData("shop.test", "shop.test")]
    [InlineData("SHOP.Test", "shop.test")]
    [InlineData("b\u00fccher.test", "xn--bcher-kva.test")]
    [InlineData("B\u00dcCHER.test", "xn--bcher-kva.test")] // An address of another subscription, if it were another name.
    [InlineData("XN--BCHER-KVA.TEST", "xn--bcher-kva.test")]
    [InlineData("b\u00fccher\u3002test", "xn--bcher-kva.test")] // Ideographic, full-width and half-width full stop.
    [InlineData("b\u00fccher\uff0etest", "xn--bcher-kva.test")]
    [InlineData("b\u00fccher\uff61test", "xn--bcher-kva.test")]
    [InlineData("stra\u00dfe.test", "xn--strae-oqa.test")] // By IDNA 2008, not "strasse".
    [InlineData("\u0411\u0410\u041d\u041a.test", "xn--80ab2al.test")]
    [InlineData("\u0431\u0430\u043d\u043a.test", "xn--80ab2al.test")]
    [InlineData("\u0441hop.test", "xn--hop-3ed.test")] // Cyrillic "s": another name than shop.test, and it shows.
    [InlineData("\u2126.test", "xn--bya.test")] // Ohm and Kelvin sign.
    [InlineData("\u212aing.test", "king.test")]
    [InlineData("\u65e5\u672c\u8a9e.test", "xn--wgv71a119e.test")]
    [InlineData("\u0915\u093c.test", "xn--11b2f.test")] // A mark that stands by itself where there is no composed letter in use.
    public void Every_spelling_of_a_name_is_one_value(string text, string value) => Assert.Equal(value, Domain.Parse(text).Value);

    [Theory]
    [InlineData("shop.test.")]
    [InlineData("b\u00fccher.test.")]
    [InlineData("b\u00fccher.test\u3002")]
    [InlineData("shop..test")]
    [InlineData(".test")]
    [InlineData("bu\u0308cher.test")] // Not in NFC: some readers compose it.
    [InlineData("\u304b\u3099.test")]
    [InlineData("\u09c7\u09be.test")]
    [InlineData("\uff53\uff48\uff4f\uff50.test")] // Full width: most readers take it for shop.test.
    [InlineData("sho\u00adp.test")] // Soft hyphen, joiners, variation selector, grapheme joiner: not to be seen.
    [InlineData("sho\u200dp.test")]
    [InlineData("sho\u200bp.test")]
    [InlineData("sho\ufe0fp.test")]
    [InlineData("sho\u034fp.test")]
    [InlineData("\u017fhop.test")] // Long s.
    [InlineData("\u0130nfo.test")]
    [InlineData("\ud83d\ude00.test")]
    [InlineData("sh\u00a0op.test")]
    [InlineData("\u202etest.pohs")]
    public void What_readers_would_read_in_two_ways_is_refused(string text)
    {
        Assert.False(Domain.TryParse(text, out _));
        Assert.False(MailboxAddress.TryParse("info@" + text, out _));
    }

    [Theory]
    [InlineData("info@B\u00dcCHER.test", "INFO@xn--bcher-kva.test", true)]
    [InlineData("j\u00fcrgen@b\u00fccher.test", "J\u00dcRGEN@XN--BCHER-KVA.test", true)]
    [InlineData("ju\u0308rgen@shop.test", "j\u00fcrgen@shop.test", false)] // Local parts are compared as they are written, but for case.
    [InlineData("\"in\\fo\"@shop.test", "info@shop.test", true)]
    public void Addresses_are_compared_by_their_canonical_form(string one, string other, bool areSame) =>
        Assert.Equal(areSame, MailboxAddress.Parse(one).Canonical == MailboxAddress.Parse(other).Canonical);

    [Fact]
    public void An_address_is_written_with_A_labels_where_that_is_asked_for()
    {
        MailboxAddress address = MailboxAddress.Parse("info@b\u00fccher.test");

        Assert.Equal("info@xn--bcher-kva.test", address.WithAsciiDomain().Text);
        Assert.Equal(address, address.WithAsciiDomain());
        Assert.Equal("a@[192.0.2.1]", MailboxAddress.Parse("a@[192.0.2.1]").WithAsciiDomain().Text);
    }
}
