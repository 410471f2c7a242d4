using System.Diagnostics.CodeAnalysis;
using System.Globalization;

namespace RelayGate.Core.Mail;

/// <summary>A domain name, kept and compared as lower-case A-labels (RFC 5890 §2.3.2.1), so that every spelling of a name is one value.</summary>
public sealed record Domain
{
    private const int MaxOctets = 255; // RFC 5321 §4.5.3.1.2.
    private const int MaxLabelOctets = 63; // RFC 1035 §2.3.4.

    private static readonly IdnMapping Idn = new() { AllowUnassigned = false, UseStd3AsciiRules = true };

    private Domain(string value) => Value = value;

    /// <summary>The name in lower case, each label as its A-label, without a final dot.</summary>
    public string Value { get; }

    /// <summary>Reads a domain in ASCII or UTF-8 spelling; letters, digits, hyphens and (as hosts in the wild have them) underscores.</summary>
    public static bool TryParse(string text, [NotNullWhen(true)] out Domain? domain)
    {
        domain = null;
        if (text.Length is 0 or > MaxOctets)
            return false;
        string ascii = text;
        foreach (char c in text)
        {
            if (c < 0x80)
                continue;
            if (UnicodeLabels.TryMap(text) is not { } mapped)
                return false;
            try
            {
                ascii = Idn.GetAscii(mapped);
            }
            catch (ArgumentException)
            {
                return false; // Not a valid internationalised name (RFC 5891).
            }
            break;
        }
        if (!IsHostName(ascii))
            return false;
        domain = new Domain(ascii.ToLowerInvariant());
        return true;
    }

    /// <summary>Reads a domain that is known to be valid.</summary>
    /// <exception cref="FormatException">The text is no domain name.</exception>
    public static Domain Parse(string text) =>
        TryParse(text, out Domain? domain) ? domain : throw new FormatException($"'{text}' is not a domain name");

    public override string ToString() => Value;

    private static bool IsHostName(string text)
    {
        if (text.Length > MaxOctets)
            return false;
        int label = 0;
        for (int i = 0; i < text.Length; i++)
        {
            char c = text[i];
            if (c == '.')
            {
                if (label == 0 || text[i - 1] == '-')
                    return false;
                label = 0;
                continue;
            }
            if (!(char.IsAsciiLetterOrDigit(c) || c == '_' || (c == '-' && label > 0)) || ++label > MaxLabelOctets)
                return false;
        }
        return label > 0 && text[^1] != '-';
    }
}
