using FsCheck;
using FsCheck.Fluent;
using RelayGate.Core.Mail;

namespace RelayGate.Core.Tests.Mail;

public class MailboxAddressTests
{
    [Theory]
    [InlineData("info@shop.test", "info@shop.test")]
    [InlineData("Info@Shop.TEST", "info@shop.test")]
    [InlineData("\"info\"@shop.test", "info@shop.test")]
    [InlineData("\"in\\fo\"@shop.test", "info@shop.test")]
    [InlineData("info@müller.test", "info@xn--mller-kva.test")]
    [InlineData("info@XN--MLLER-KVA.test", "info@xn--mller-kva.test")]
    [InlineData("info@m\u00fcller\u3002test", "info@xn--mller-kva.test")]
    [InlineData("\"a@b\"@shop.test", "a@b@shop.test")]
    [InlineData("a@[IPv6:2001:DB8::1]", "a@[ipv6:2001:db8::1]")]
    public void All_spellings_of_a_mailbox_have_one_canonical_form(string text, string canonical)
    {
        var address = MailboxAddress.Parse(text);

        Assert.Equal((canonical, text), (address.Canonical, address.Text)); // And it is sent on as it was written.
    }

    /// <summary>RFC 5321 §2.4: case counts in the local part, not in the domain; §4.1.2: quotes say nothing.</summary>
    [Theory]
    [InlineData("Info@shop.test", "info@shop.test", false)]
    [InlineData("info@Shop.TEST", "info@shop.test", true)]
    [InlineData("\"info\"@shop.test", "info@shop.test", true)]
    [InlineData("info@müller.test", "info@xn--mller-kva.test", true)]
    [InlineData("a@[IPv6:2001:DB8::1]", "a@[ipv6:2001:db8::1]", true)]
    public void Two_recipients_are_one_only_if_no_server_could_tell_them_apart(string one, string other, bool same)
    {
        var envelope = Envelope.Begin(ReversePath.Null)
            .WithRecipient(new EnvelopeRecipient(new ForwardPath(MailboxAddress.Parse(one))))
            .WithRecipient(new EnvelopeRecipient(new ForwardPath(MailboxAddress.Parse(other))));

        Assert.Equal(same ? 1 : 2, envelope.Recipients.Length);
        Assert.Equal(same ? 1 : 2, new HashSet<MailboxAddress> { MailboxAddress.Parse(one), MailboxAddress.Parse(other) }.Count);
    }

    [Theory]
    [InlineData("")]
    [InlineData("@shop.test")]
    [InlineData("a@")]
    [InlineData("a")]
    [InlineData("a@b@c.test")]
    [InlineData(".a@shop.test")]
    [InlineData("a.@shop.test")]
    [InlineData("a..b@shop.test")]
    [InlineData("a b@shop.test")]
    [InlineData("a(comment)@shop.test")]
    [InlineData("\"\"@shop.test")]
    [InlineData("\"a@shop.test")]
    [InlineData("\"a\r\nb\"@shop.test")]
    [InlineData("\"a\"b@shop.test")]
    [InlineData("a\u2028b@shop.test")]
    [InlineData("a\u0085b@shop.test")]
    [InlineData("a@-shop.test")]
    [InlineData("a@shop-.test")]
    [InlineData("a@shop.test.")]
    [InlineData("a@shop..test")]
    [InlineData("a@[127.1]")]
    [InlineData("a@[0x7f000001]")]
    [InlineData("a@[010.0.0.1]")]
    [InlineData("a@[::1]")]
    [InlineData("a@[IPv6:::1%eth0]")]
    [InlineData("a@[IPv6:[::1]]")]
    [InlineData("a@[IPv6:[::1]:25]")]
    [InlineData("a@[x-tag:whatever]")]
    public void What_RFC_5321_has_not_is_no_mailbox(string text) => Assert.False(MailboxAddress.TryParse(text, out _));

    [Fact]
    public void Lengths_are_those_of_RFC_5321_in_octets()
    {
        string domain = string.Join('.', Enumerable.Repeat(new string('d', 60), 3)) + ".test"; // 187 octets.
        Assert.True(MailboxAddress.TryParse($"{new string('a', 64)}@{domain}", out _));
        Assert.False(MailboxAddress.TryParse($"{new string('a', 65)}@{domain}", out _));
        Assert.False(MailboxAddress.TryParse($"{new string('ü', 33)}@b.test", out _));
        Assert.False(MailboxAddress.TryParse($"aaaa@{domain}.{new string('d', 62)}", out _)); // 255 with the local part.
        Assert.False(MailboxAddress.TryParse($"a@{new string('d', 64)}.test", out _));
    }

    [Fact]
    public void Any_text_is_an_address_or_not_and_what_is_one_is_kept() =>
        Prop.ForAll<string>(text => text is null || !MailboxAddress.TryParse(text, out MailboxAddress? address, allowUnqualified: true) || address.Text == text)
            .QuickCheckThrowOnFailure();
}
