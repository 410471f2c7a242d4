using System.Globalization;

namespace RelayGate.Core.Messages;

/// <summary>Text of strangers on its way to a terminal, a log or a page.</summary>
public static class PrintableText
{
    /// <summary>
    /// Whether a character could steer a terminal, break a line, turn the direction of text or hide: controls, line ends of Unicode and its format
    /// characters, without the two joiners, which belong to the spelling of words.
    /// </summary>
    public static bool IsUnsafe(char c) => c is (< ' ' or >= '\x7f') and not ('\u200c' or '\u200d')
        && char.GetUnicodeCategory(c) is UnicodeCategory.Control or UnicodeCategory.Format or UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator;

    /// <summary>The text with another character instead of each unsafe one; itself where there is none.</summary>
    public static string Clean(string text, char instead)
    {
        foreach (char c in text)
        {
            if (IsUnsafe(c))
                return string.Create(text.Length, (text, instead), static (span, source) =>
                {
                    for (int i = 0; i < span.Length; i++)
                        span[i] = IsUnsafe(source.text[i]) ? source.instead : source.text[i];
                });
        }
        return text;
    }
}
