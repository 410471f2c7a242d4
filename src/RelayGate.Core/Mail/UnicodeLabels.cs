using System.Globalization;
using System.Text;

namespace RelayGate.Core.Mail;

/// <summary>Brings a domain name in UTF-8 to the one form that has one A-label for each name, or refuses it (RFC 5891 §5, RFC 5892).</summary>
/// <remarks>
/// Upper case is mapped (RFC 5895 §2.1). What other readers would map to something else is refused: an address that is compared as one name and
/// read as another is how senders are forged. So a label is in NFC, has no compatibility form, and nothing that cannot be seen. Where NFC cannot
/// be told without tables of compositions, a combining mark is refused, although it might stand by itself: such names can be written as A-labels.
/// </remarks>
internal static class UnicodeLabels
{
    /// <summary>Letters, marks and digits that NFKC and case folding change (RFC 5892 §2.2, by Unicode 14), and those that are ignored (§2.3): from, to.</summary>
    private static ReadOnlySpan<uint> Unstable =>
    [
        0x00aa, 0x00ba, 0x0133, 0x0133, 0x0140, 0x0140, 0x0149, 0x0149, 0x017f, 0x017f, 0x01c6, 0x01cc, 0x01f3, 0x01f3, 0x02b0, 0x02b8,
        0x02e0, 0x02e4, 0x0340, 0x0341, 0x0343, 0x0345, 0x0374, 0x0374, 0x037a, 0x037a, 0x03d0, 0x03d6, 0x03f0, 0x03f2, 0x03f5, 0x03f5,
        0x0587, 0x0587, 0x0675, 0x0678, 0x0958, 0x095f, 0x09dc, 0x09df, 0x0a33, 0x0a33, 0x0a36, 0x0a36, 0x0a59, 0x0a5b, 0x0a5e, 0x0a5e,
        0x0b5c, 0x0b5d, 0x0e33, 0x0e33, 0x0eb3, 0x0eb3, 0x0edc, 0x0edd, 0x0f43, 0x0f43, 0x0f4d, 0x0f4d, 0x0f52, 0x0f52, 0x0f57, 0x0f57,
        0x0f5c, 0x0f5c, 0x0f69, 0x0f69, 0x0f73, 0x0f73, 0x0f75, 0x0f79, 0x0f81, 0x0f81, 0x0f93, 0x0f93, 0x0f9d, 0x0f9d, 0x0fa2, 0x0fa2,
        0x0fa7, 0x0fa7, 0x0fac, 0x0fac, 0x0fb9, 0x0fb9, 0x10fc, 0x10fc, 0x13f8, 0x13fd, 0x1c80, 0x1c88, 0x1d2c, 0x1d2e, 0x1d30, 0x1d3a,
        0x1d3c, 0x1d4d, 0x1d4f, 0x1d6a, 0x1d78, 0x1d78, 0x1d9b, 0x1dbf, 0x1e9a, 0x1e9b, 0x1f71, 0x1f71, 0x1f73, 0x1f73, 0x1f75, 0x1f75,
        0x1f77, 0x1f77, 0x1f79, 0x1f79, 0x1f7b, 0x1f7b, 0x1f7d, 0x1fa7, 0x1fb2, 0x1fb4, 0x1fb7, 0x1fc4, 0x1fc7, 0x1fc7, 0x1fd3, 0x1fd3,
        0x1fe3, 0x1fe3, 0x1ff2, 0x1ff4, 0x1ff7, 0x209c, 0x210a, 0x2149, 0x2c7c, 0x2c7d, 0x2d6f, 0x2d6f, 0x309f, 0x309f, 0x30ff, 0x30ff,
        0x3131, 0x318e, 0xa69c, 0xa69d, 0xa770, 0xa770, 0xa7f2, 0xa7f4, 0xa7f8, 0xa7f9, 0xab5c, 0xab5f, 0xab69, 0xabbf, 0xf900, 0xfa0d,
        0xfa10, 0xfa10, 0xfa12, 0xfa12, 0xfa15, 0xfa1e, 0xfa20, 0xfa20, 0xfa22, 0xfa22, 0xfa25, 0xfa26, 0xfa2a, 0xfb1d, 0xfb1f, 0xfdfb,
        0xfe70, 0xfe72, 0xfe74, 0xffdc, 0x10781, 0x107ba, 0x1d41a, 0x1d7ff, 0x1ee00, 0x1fbf9, 0x2f800, 0x2fa1d,
        // Ignored by readers: grapheme joiner, Hangul fillers and old jamo, Khmer inherent vowels, Mongolian and other variation selectors.
        0x034f, 0x034f, 0x1100, 0x11ff, 0x17b4, 0x17b5, 0x180b, 0x180f, 0x3164, 0x3164, 0xa960, 0xa97c, 0xd7b0, 0xd7fb, 0xfe00, 0xfe0f, 0xe0100, 0xe01ef,
        // Combining marks that compose with the letter before them: Latin, Greek and Cyrillic, Arabic, Balinese, kana and some others.
        0x0300, 0x036f, 0x0653, 0x0655, 0x1b35, 0x1b35, 0x3099, 0x309a, 0x110ba, 0x110ba, 0x11127, 0x11127, 0x1133e, 0x1133e, 0x11357, 0x11357,
        0x114b0, 0x114b0, 0x114ba, 0x114ba, 0x114bd, 0x114bd, 0x115af, 0x115af, 0x11930, 0x11930,
    ];

    /// <summary>Letter and sign that compose where the sign itself is in use: Devanagari, Bengali, Oriya, Tamil, Telugu, Kannada, Malayalam, Sinhala, Burmese.</summary>
    private static readonly string Composing =
        "\u0928\u093c\u0930\u093c\u0933\u093c\u09c7\u09be\u09c7\u09d7\u0b47\u0b56\u0b47\u0b3e\u0b47\u0b57\u0b92\u0bd7\u0bc6\u0bbe\u0bc7\u0bbe\u0bc6\u0bd7\u0c46\u0c56"
        + "\u0cbf\u0cd5\u0cc6\u0cd5\u0cc6\u0cd6\u0cc6\u0cc2\u0cca\u0cd5\u0d46\u0d3e\u0d47\u0d3e\u0d46\u0d57\u0dd9\u0dca\u0dd9\u0dcf\u0ddc\u0dca\u0dd9\u0ddf\u1025\u102e";

    /// <returns>Lower case, labels divided by "."; null when it is no domain name in every reader's eyes.</returns>
    public static string? TryMap(string text)
    {
        var mapped = new StringBuilder(text.Length);
        int before = 0;
        foreach (Rune given in text.EnumerateRunes())
        {
            if (given.Value == 0x130)
                return null; // Its lower case has two characters, or one, depending on whom one asks.
            Rune rune = given.Value is 0x3002 or 0xff0e or 0xff61 ? new Rune('.') : Rune.ToLowerInvariant(given);
            if (rune == Rune.ReplacementChar || (!rune.IsAscii && !IsAllowed(rune, before)))
                return null;
            mapped.Append(rune);
            before = rune.Value;
        }
        return mapped.ToString();
    }

    private static bool IsAllowed(Rune rune, int before)
    {
        if (rune.Value is 0xdf or 0x3c2 or 0xb7 or 0x3007 or 0x30fb) // Exceptions of RFC 5892 §2.6 that are in use.
            return true;
        if (Rune.GetUnicodeCategory(rune) is not (UnicodeCategory.LowercaseLetter or UnicodeCategory.OtherLetter or UnicodeCategory.ModifierLetter
            or UnicodeCategory.NonSpacingMark or UnicodeCategory.SpacingCombiningMark or UnicodeCategory.DecimalDigitNumber))
            return false;
        ReadOnlySpan<uint> ranges = Unstable;
        for (int i = 0; i < ranges.Length; i += 2)
        {
            if (rune.Value >= ranges[i] && rune.Value <= ranges[i + 1])
                return false;
        }
        for (int i = 0; i < Composing.Length; i += 2)
        {
            if (Composing[i] == before && Composing[i + 1] == rune.Value)
                return false;
        }
        return true;
    }
}
