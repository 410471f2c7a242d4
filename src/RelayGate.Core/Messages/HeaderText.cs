using System.Text;

namespace RelayGate.Core.Messages;

/// <summary>Text taken out of header fields for records and logs; never written back.</summary>
internal static class HeaderText
{
    /// <summary>The octets as text: UTF-8, with U+FFFD for what is not.</summary>
    public static string Decode(ReadOnlySpan<byte> octets) => Encoding.UTF8.GetString(octets);

    /// <summary>One line of at most <paramref name="maxCharacters"/>: folds and control characters become one blank, blanks at both ends go.</summary>
    public static string Clean(string text, int maxCharacters)
    {
        string trimmed = text.Trim();
        if (trimmed.Length <= maxCharacters && !NeedsCleaning(trimmed))
            return trimmed;
        var clean = new StringBuilder(Math.Min(trimmed.Length, maxCharacters));
        bool blank = false;
        foreach (char c in trimmed)
        {
            if (clean.Length >= maxCharacters)
                break;
            if (char.IsWhiteSpace(c) || PrintableText.IsUnsafe(c))
            {
                blank = true;
                continue;
            }
            if (blank && clean.Length > 0)
                clean.Append(' ');
            blank = false;
            clean.Append(c);
        }
        if (clean.Length > maxCharacters)
            clean.Length = maxCharacters;
        if (clean.Length > 0 && char.IsHighSurrogate(clean[^1]))
            clean.Length--;
        return clean.ToString();
    }

    private static bool NeedsCleaning(string text)
    {
        foreach (char c in text)
        {
            if (PrintableText.IsUnsafe(c))
                return true;
        }
        return false;
    }
}
