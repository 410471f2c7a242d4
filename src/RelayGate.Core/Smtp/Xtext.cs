using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text;
using RelayGate.Core.Messages;

namespace RelayGate.Core.Smtp;

/// <summary>Any text as printable ASCII without blanks (RFC 3461 §4): <c>+</c>, <c>=</c> and all that is not printable become <c>+HH</c>.</summary>
public static class Xtext
{
    public static string Encode(string text)
    {
        var encoded = new StringBuilder(text.Length);
        foreach (byte c in Encoding.UTF8.GetBytes(text))
        {
            if (c is > 32 and < 127 and not ((byte)'+' or (byte)'='))
                encoded.Append((char)c);
            else
                encoded.Append(CultureInfo.InvariantCulture, $"+{c:X2}");
        }
        return encoded.ToString();
    }

    /// <summary>Decodes to text that may stand in a record: control characters and what is no UTF-8 become a question mark.</summary>
    /// <param name="maxOctets">Octets of the decoded text at most.</param>
    /// <returns>False: this is no xtext, or too long.</returns>
    public static bool TryDecode(ReadOnlySpan<byte> xtext, int maxOctets, [NotNullWhen(true)] out string? text)
    {
        text = null;
        byte[] decoded = new byte[Math.Min(xtext.Length, maxOctets)];
        int length = 0;
        for (int i = 0; i < xtext.Length; i++)
        {
            byte c = xtext[i];
            if (c is < 33 or > 126 or (byte)'=' || length == decoded.Length)
                return false;
            if (c == '+')
            {
                if (i + 2 >= xtext.Length || !byte.TryParse(xtext.Slice(i + 1, 2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out c))
                    return false;
                i += 2;
            }
            decoded[length++] = c;
        }
        text = PrintableText.Clean(Encoding.UTF8.GetString(decoded, 0, length).Replace('\ufffd', '?'), '?');
        return true;
    }
}
