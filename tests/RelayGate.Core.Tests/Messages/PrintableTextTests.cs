using System.Text;
using RelayGate.Core.Messages;
using RelayGate.Core.Smtp;

namespace RelayGate.Core.Tests.Messages;

/// <summary>What strangers name does not steer who reads it.</summary>
public class PrintableTextTests
{
    [Theory]
    [InlineData("con\u202Ephp.tact", "con?php.tact")] // Shown as contact.php otherwise.
    [InlineData("a\u2066b\u200Fc\u061Cd\uFEFFe\u00ADf", "a?b?c?d?e?f")]
    [InlineData("a\u001b[31m\u0085\u2028", "a?[31m??")]
    [InlineData("straße-مثال.php", "straße-مثال.php")]
    [InlineData("می\u200Cخواهم 👨\u200D👩", "می\u200Cخواهم 👨\u200D👩")] // Joiners are spelling.
    public void What_steers_or_hides_is_replaced(string text, string clean) => Assert.Equal(clean, PrintableText.Clean(text, '?'));

    [Fact]
    public void A_claim_is_cleaned()
    {
        Assert.True(Xtext.TryDecode(Encoding.ASCII.GetBytes("a+E2+80+AEb"), 255, out string? text));
        Assert.Equal("a?b", text);
    }

    [Fact]
    public void A_field_is_cleaned() => Assert.Equal("1001:con php.tact", HeaderText.Clean("1001:con\u202Ephp.tact", 100));
}
