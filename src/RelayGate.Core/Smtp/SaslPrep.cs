using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text;

namespace RelayGate.Core.Smtp;

/// <summary>Brings a password into the form in which it is hashed, as both sides of SCRAM must: the mapping and the prohibitions of RFC 4013.</summary>
/// <remarks>
/// Not done are normalisation (NFKC) and the check of bidirectional text: text is taken as it was typed, and both only matter for passwords
/// with compatibility characters or separate combining marks. ASCII is never changed.
/// </remarks>
public static class SaslPrep
{
    /// <returns>False when the text has a prohibited character (RFC 4013 §2.3): it can be nobody's password.</returns>
    public static bool TryPrepare(string text, [NotNullWhen(true)] out string? prepared)
    {
        prepared = text;
        if (Ascii.IsValid(text))
            return !text.Any(char.IsControl);
        var mapped = new StringBuilder(text.Length);
        foreach (Rune rune in text.EnumerateRunes())
        {
            if (IsMappedToNothing(rune.Value))
                continue;
            if (IsSpace(rune.Value))
                mapped.Append(' ');
            else if (IsProhibited(rune))
            {
                prepared = null;
                return false;
            }
            else
                mapped.Append(rune);
        }
        prepared = mapped.ToString();
        return true;
    }

    /// <summary>RFC 3454 table B.1.</summary>
    private static bool IsMappedToNothing(int c) =>
        c is 0xAD or 0x34F or 0x1806 or (>= 0x180B and <= 0x180D) or (>= 0x200B and <= 0x200D) or 0x2060 or (>= 0xFE00 and <= 0xFE0F) or 0xFEFF;

    /// <summary>RFC 3454 table C.1.2, without U+200B, which B.1 has as well.</summary>
    private static bool IsSpace(int c) => c is 0xA0 or 0x1680 or (>= 0x2000 and <= 0x200A) or 0x202F or 0x205F or 0x3000;

    /// <summary>RFC 3454 tables C.2 to C.9; unpaired surrogates come as U+FFFD, which is among them.</summary>
    private static bool IsProhibited(Rune rune) => rune.Value is < 0x20 or (>= 0x7F and <= 0x9F)
        or 0x6DD or 0x70F or 0x180E or 0x2028 or 0x2029 or (>= 0x2061 and <= 0x2063) or (>= 0x206A and <= 0x206F) or (>= 0x1D173 and <= 0x1D17A)
        or 0x340 or 0x341 or 0x200E or 0x200F or (>= 0x202A and <= 0x202E)
        or (>= 0x2FF0 and <= 0x2FFB) or (>= 0xFFF9 and <= 0xFFFD) or (>= 0xFDD0 and <= 0xFDEF) or (>= 0xE0000 and <= 0xE007F)
        || (rune.Value & 0xFFFE) == 0xFFFE || Rune.GetUnicodeCategory(rune) == UnicodeCategory.PrivateUse;
}
